"""Where a value stands: file, line and key; and what was found wrong there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sentinel.errors import Problem

KeyPath = tuple[str | int, ...]
"""`("components", "api", "depends_on", 0)`: the way from the top of a file to a value."""


@dataclass(slots=True)
class Document:
    """One file: its value, the line of every path in it, and what was wrong. Lines count from 1.

    `lapsed` has what was right when it was written, and is over by now: somebody has to look at it,
    and nobody has to be without a monitor until then.
    """

    file: str
    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lapsed: list[Problem] = field(default_factory=list)
    digest: str = ""
    references: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)
    """The variables of the environment that a value names, by its path."""
    _unread: set[tuple[int, str]] = field(default_factory=set)

    def at(self, *path: str | int) -> Place:
        """The place of a path in this file."""
        return Place(self, path)

    def line(self, path: KeyPath) -> int:
        """Line of a path, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def note(self, line: int, key: str, message: str, remedy: str = "") -> None:
        """Note a problem at a line: for what is wrong with the text, where no value was read."""
        self.problems.append(Problem(self.file, line, key, message, remedy))

    def take(self, problem: Problem) -> None:
        """Note a problem; what could not even be read is not judged a second time."""
        if (problem.line, problem.key) not in self._unread:
            self.problems.append(problem)

    def hush(self, place: Place) -> None:
        """Say nothing more of a place: its value is not known."""
        self._unread.add((place.line, place.key))


@dataclass(frozen=True, slots=True)
class Place:
    """One key of one file. `place / "key"` is a place within it."""

    document: Document
    path: KeyPath = ()

    def __truediv__(self, part: str | int) -> Place:
        return Place(self.document, (*self.path, part))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def at(self, *path: str | int) -> Place:
        """A place further within."""
        return Place(self.document, (*self.path, *path))

    @property
    def file(self) -> str:
        """The file, as it is shown to people."""
        return self.document.file

    @property
    def line(self) -> int:
        """Its line; that of the nearest key around it where the key itself is missing."""
        return self.document.line(self.path)

    @property
    def key(self) -> str:
        """`components.api.depends_on[0]`."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(parts).lstrip(".")

    def problem(self, message: str, remedy: str = "") -> Problem:
        """What is wrong here, as a value."""
        return Problem(self.file, self.line, self.key, message, remedy)

    def note(self, message: str, remedy: str = "") -> None:
        """Note what is wrong here."""
        self.document.take(self.problem(message, remedy))

    def lapse(self, message: str, remedy: str = "") -> None:
        """Note that what stands here was right, and its time is over."""
        self.document.lapsed.append(self.problem(message, remedy))

    def refuse(self, message: str, remedy: str = "") -> None:
        """Note that the value here can't be read: nothing more is said of it."""
        self.note(message, remedy)
        self.document.hush(self)
