"""References to the environment in texts: `${NAME}`, `${NAME:-default}`; `$${` is a plain `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sentinel.strict.place import Place

_REFERENCE = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)[^}])*))?\})")


def find_variables(text: str) -> tuple[str, ...]:
    """The variables that a text names."""
    return (
        tuple(found[2] for found in _REFERENCE.finditer(text) if found[2]) if "${" in text else ()
    )


def substitute(text: str, place: Place, environment: Mapping[str, str]) -> str:
    """The text with every reference replaced, once: a value is never looked at again."""

    def replace(match: re.Match[str]) -> str:
        name = match[2]
        if name is None:
            return "${"
        value = environment.get(name, match[3])
        if value is None:
            remedy = f"export {name}=…, or write ${{{name}:-default}}"
            place.refuse(f"the environment variable {name} is not set", remedy)
        return value or ""

    if "${" in _REFERENCE.sub("", text):
        place.refuse(
            "holds a `${` that names no environment variable",
            "write ${NAME} or ${NAME:-default}; $${ stands for ${ itself",
        )
    return _REFERENCE.sub(replace, text)
