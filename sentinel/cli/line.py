"""What a person types beside a command: it goes into timelines, the audit log, notices and reports."""

from __future__ import annotations

from argparse import ArgumentTypeError

MAX_LINE = 500
"""Characters of a name, a pattern or a reason."""


def one_line(text: str) -> str:
    """The text on one line, with what is invisible in it written out. Raises ArgumentTypeError for
    what is too long for a row of a table.
    """
    from sentinel.core.foreign.visible import make_visible  # noqa: PLC0415 - help needs none of it

    line = " ".join(make_visible(text).split())
    if len(line) > MAX_LINE:
        raise ArgumentTypeError(f"has {len(line)} characters, more than {MAX_LINE}")
    return line


def legible(text: str) -> str:
    """The text with bytes that are no UTF-8 written out: no name that is kept has any."""
    return text.encode("utf-8", "backslashreplace").decode()


def some(text: str) -> int:
    """A count of rows. Raises ArgumentTypeError for less than one: nothing shown is not nothing there."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise ArgumentTypeError(f"{text[:20]!r} is no count: write a whole number from 1")
    return int(text)
