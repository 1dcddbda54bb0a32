"""Pictures of reports as inline SVG: facts in, markup out.

Each says in words what it shows (`title`, `desc`), for who hears it; each tells by shape, height or
letters what it tells by colour, for who prints it; numbers are rounded, so that the same facts
make the same bytes.
"""
