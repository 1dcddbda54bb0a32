"""How long ago an entry was published: by its id where that can be true, else since the first look
that saw it, which is a lower bound (measurement.md §11.9).

An id is a time when the server chose it and its clock was right. Sequence numbers, replayed history
and a clock that was fast give ids that are none: what was published between two looks was published
in the time between them, whatever its id says.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Protocol

from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE, Id

SLACK = 1.0
"""Seconds by which an id may lie outside of the looks around its publication: the clock of ids
stands still while a command runs.
"""
LAST_SEQUENCE = 2**64 - 1
MAX_MARKS = 32


class Mark(Protocol):
    """Entries up to `id` were there at server time `at`; those behind the mark before it were not
    yet at `after` (0: nobody looked then).
    """

    @property
    def id(self) -> Id:
        """The newest id of that look."""

    @property
    def at(self) -> float:
        """Server time of the look, seconds."""

    @property
    def after(self) -> float:
        """Server time of the look before, seconds."""


@dataclass(frozen=True, slots=True)
class IdMark:
    """A look at a stream, as `Mark` tells."""

    id: Id
    at: float
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since an entry was published; at least so many when it is not `timed`."""

    seconds: float
    timed: bool = True


def find_age(entry: Id | None, now: float, marks: Sequence[Mark]) -> Age | None:
    """How old an entry is at `now` (seconds, server's clock), given the looks in their order; None
    without an entry.
    """
    if entry is None:
        return None
    index = bisect_left(marks, entry, key=attrgetter("id"))
    mark = marks[index] if index < len(marks) else IdMark(entry, now)
    if not _is_time(entry, mark):
        return Age(max(0.0, now - mark.at), timed=False)
    published = min(max(entry[0] / 1000, mark.after), mark.at)
    return Age(max(0.0, now - published))


def _is_time(entry: Id, mark: Mark) -> bool:
    """Whether the id can be the time of its publication, first seen at this mark."""
    told = entry[0] / 1000
    plausible = entry[0] >= OLDEST_PLAUSIBLE
    return plausible and mark.after - SLACK <= told <= mark.at + SLACK


def is_timed(entry: Id, marks: Sequence[Mark]) -> bool:
    """Whether the id of an entry that was seen is the time of its publication."""
    age = find_age(entry, 0.0, marks)
    return age is not None and age.timed


def find_published_by(instant: float, marks: Sequence[Mark]) -> Id:
    """The last id of which everything up to it was published by then (seconds, server's clock),
    replayed entries at the head of one look aside: ask `find_age` of each.
    """
    known = bisect_right(marks, instant, key=attrgetter("at"))
    certain = marks[known - 1].id if known else (0, 0)
    mark = _find_divided(instant, marks)
    if mark is None or not _is_time(mark.id, mark):
        return certain
    return max(certain, min((int(instant * 1000), LAST_SEQUENCE), mark.id))


def is_sharp(instant: float, marks: Sequence[Mark]) -> bool:
    """Whether nothing behind `find_published_by` can have been published by then."""
    mark = _find_divided(instant, marks)
    return mark is None or _is_time(mark.id, mark)


def _find_divided(instant: float, marks: Sequence[Mark]) -> Mark | None:
    """The look of whose news a part may have been published by then: what a later one found was
    published after it.
    """
    known = bisect_right(marks, instant, key=attrgetter("at"))
    return marks[known] if known < len(marks) and instant >= marks[known].after else None


def following(entry: Id) -> Id:
    """The next id that can be."""
    return (entry[0] + 1, 0) if entry[1] >= LAST_SEQUENCE else (entry[0], entry[1] + 1)


def add_mark(
    marks: Sequence[IdMark], last: Id, now: float, looked: float, oldest: Id
) -> list[IdMark]:
    """The looks with another one that showed `last`; the one before was at `looked` (0: never).
    What is older than the `oldest` entry of interest is let go.
    """
    if marks and last < marks[-1].id:
        return [IdMark(last, now, looked)]
    found = [mark for mark in marks if mark.id >= oldest]
    if not marks or last > marks[-1].id:
        found.append(IdMark(last, now, looked))
    return thin_marks(found)


def thin_marks(marks: list[IdMark]) -> list[IdMark]:
    """At most MAX_MARKS: every other of the older ones goes, and the next one answers for it."""
    if len(marks) <= MAX_MARKS:
        return marks
    kept = []
    middle = len(marks) // 2
    for index, mark in enumerate(marks):
        if index >= middle or index % 2:
            kept.append(replace(mark, after=marks[index - 1].after) if index < middle else mark)
    return kept
