"""What a person types beside a command: it goes into timelines, the audit log, notices and reports."""

from __future__ import annotations

from argparse import ArgumentTypeError

from sentinel.core.foreign.visible import make_visible

MAX_LINE = 500
"""Characters of a name, a pattern or a reason."""


def one_line(text: str) -> str:
    """The text on one line, with what is invisible in it written out. Raises ArgumentTypeError for
    what is too long for a row of a table.
    """
    line = " ".join(make_visible(text).split())
    if len(line) > MAX_LINE:
        raise ArgumentTypeError(f"has {len(line)} characters, more than {MAX_LINE}")
    return line


def legible(text: str) -> str:
    """The text with bytes that are no UTF-8 written out: no name that is kept has any."""
    return text.encode("utf-8", "backslashreplace").decode()
