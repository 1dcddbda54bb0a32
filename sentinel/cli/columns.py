"""Tables as plain lines: they fit into the terminal, however narrow, and are never cut in a pipe.

Made here, because a person waits: a library for terminals takes longer to load than to look.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

GAP = "  "
MIN_LAST = 30
"""Cells that the last column needs beside the others; with less, it stands below them."""
_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
}


class Line(str):
    """A text with a look, such as "bold red"; `whole`: it is never broken, however long."""

    __slots__ = ("style", "whole")
    style: str
    whole: bool

    def __new__(cls, text: str = "", style: str = "", *, whole: bool = False) -> Line:
        """The text itself is what it equals."""
        made = super().__new__(cls, text)
        made.style, made.whole = style, whole
        return made


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows below their headings. The last column is the long one: it may be wrapped."""

    names: tuple[str, ...]
    title: str = ""
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """A row more."""
        self.rows.append(cells)

    def lines(self, width: int | None = None) -> Iterator[Line | list[Line]]:
        """The lines of it; a row with several looks is a list. `width` None: as long as they are."""
        if self.title:
            yield Line(self.title, "bold")
        sizes = [max(map(measure, column)) for column in zip(self.names, *self.rows, strict=True)]
        *others, last = sizes
        room = sum(others) + len(GAP) * len(others)
        if width is None or room + last <= width:
            yield from self._beside(sizes, last)
        elif room + MIN_LAST <= width:
            yield from self._beside(sizes, width - room)
        elif room - len(GAP) <= width:
            yield from self._below(others, width)
        else:
            yield from self._stacked(width)

    def _beside(self, sizes: Sequence[int], most: int) -> Iterator[list[Line]]:
        """One row a line, its last cell wrapped within its column."""
        indent = Line(" " * (sum(sizes[:-1]) + len(GAP) * (len(sizes) - 1)))
        for cells in self._with_head():
            first, *rest = wrap(cells[-1], most)
            yield _join([*cells[:-1], _like(cells[-1], first)], sizes)
            yield from ([indent, _like(cells[-1], line)] for line in rest)

    def _below(self, sizes: Sequence[int], width: int) -> Iterator[list[Line]]:
        """The last cell in lines of its own, indented."""
        for number, cells in enumerate(self._with_head()):
            yield _join(cells[:-1], sizes)
            if number and cells[-1]:
                for line in wrap(cells[-1], width - 4):
                    yield [Line("    "), _like(cells[-1], line)]

    def _stacked(self, width: int) -> Iterator[list[Line]]:
        """A row as a few lines: its name, in the colour of its status, then each cell beside its
        heading.
        """
        for cells in self.rows:
            tint = next((c.style for c in cells[:-1] if isinstance(c, Line) and c.style), "")
            yield [Line(line, tint) for line in wrap(cells[0], width)[:1]]
            named = zip(self.names[1:-1], cells[1:-1], strict=True)
            facts = " · ".join(f"{name} {cell}" for name, cell in named if cell)
            for text in filter(None, (facts, cells[-1])):
                for line in wrap(text, width - 4):
                    yield [Line("    "), _like(text, line)]

    def _with_head(self) -> list[Sequence[str]]:
        return [[Line(name, "dim") for name in self.names], *self.rows]


def _join(cells: Sequence[str], sizes: Sequence[int]) -> list[Line]:
    row: list[Line] = []
    for cell, size in zip(cells, sizes, strict=True):
        row += [_like(cell, cell), Line(" " * (size - measure(cell)) + GAP)]
    return row[:-1]


def _like(cell: str, text: str) -> Line:
    return Line(text, cell.style if isinstance(cell, Line) else "")


def measure(text: str) -> int:
    """Cells that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in {"W", "F"})
        for char in text
    )


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells; a longer word is broken, a blank one is a line."""
    if measure(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))]
    narrow = max(width if text.isascii() else width * len(text) // max(measure(text), 1), 8)
    return textwrap.wrap(text, narrow, subsequent_indent=indent, break_on_hyphens=False) or [""]


def is_coloured() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody wants to have none."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in {"dumb", ""}
    )


def find_width() -> int | None:
    """Cells of a line of the terminal; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paint(text: str, style: str) -> str:
    """The text with the codes of its look."""
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


def render(part: str | Columns | list[Line], width: int | None, *, coloured: bool) -> Iterator[str]:
    """The lines of a part as they are printed."""
    if isinstance(part, Columns):
        rows = part.lines(width)
    else:
        rows = iter([part]) if isinstance(part, list) else _break(part, width)
    for row in rows:
        pieces = [row] if isinstance(row, str) else row
        shown = "".join(paint(each, each.style) if coloured else each for each in pieces)
        yield shown if coloured else shown.rstrip()


def _break(text: str, width: int | None) -> Iterator[Line]:
    if width is None or (isinstance(text, Line) and text.whole):
        yield _like(text, text)
        return
    for line in text.split("\n"):
        yield from (_like(text, piece) for piece in wrap(line, width))


def show(*parts: str | Columns | list[Line]) -> None:
    """Print to the terminal; as wide as it is when piped, so that nothing is cut."""
    width, coloured = find_width(), is_coloured()
    lines = (line for part in parts for line in render(part, width, coloured=coloured))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
