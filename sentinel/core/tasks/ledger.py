"""Every task in exactly one counter: what was counted, by stretches of the axis of its creation.

A task is counted in the window of its creation, and that window may be counted too early: a row
becomes visible later than its time says (a clock of the client, a writer in the background), or its
time is another zone's. So each stretch of the axis remembers how many rows it had when it was
counted. What it has more at the next look has become visible since, and is counted then:

* in a stretch that is not final yet (younger than `settle_after`): into the classes of its window;
* in a final one: `late`;
* whole hours off (or 30, 45 minutes more), or half an hour ahead of the clock and more: `offset`.

A window that meets rows which were counted ahead of their time counts nothing there: they can't be
told from those that belong there, so both are `offset`. What is deleted only lowers the number.

The axis is that of the column (measurement.md §11.11): instants of a type with a zone, else wall
times read as if they were UTC. All positions are seconds on it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.moment.skew import LEAST_OFFSET, TOLERANCE, find_slot_offset

MINUTE = 60.0
BACK, AHEAD = 54_000.0, 54_000.0
"""Seconds: 15 h to either side, for all zones of the world against UTC."""
AHEAD_FROM = LEAST_OFFSET - TOLERANCE
"""Seconds ahead of the clock from which a row is another zone's. Nearer ones wait for their window:
a clock that is fast."""
LONGEST = 300.0
"""Seconds between two looks within which an offset of zones can be told from a late row."""
_MICRO = 1_000_000
Classes = dict[tuple[str | None, str], int]


@dataclass(slots=True)
class Counted:
    """A stretch [start, end) in which `n` rows were counted. `own`: by its window, else ahead of
    time or behind it; `classes`: as long as it is not final.
    """

    start: float
    end: float
    n: int
    own: bool = True
    classes: Classes | None = None


@dataclass(frozen=True, slots=True)
class AxisRow:
    """Of a look: how many rows are in a piece of the axis (between edges; from 1), by minute, and
    where the newest of them is.
    """

    piece: int
    minute: int
    n: int
    newest: float


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Rows that became visible since the last look, in final stretches: how many, of what kind
    (`late`, `offset`), and by how many seconds their times are ahead (else behind).
    """

    kind: str
    n: int
    off: float = 0.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at the axis found: rows in final stretches, stretches to count again, and rows
    that lie ahead of the clock now, with the newest of them.
    """

    newcomers: Sequence[Newcomers] = ()
    again: Sequence[Counted] = ()
    ahead: int = 0
    newest: float = 0.0


@dataclass(slots=True)
class AxisLedger:
    """What was counted where. `looked`: when the whole axis was looked at last, on the axis; None:
    never, so that what is there is from before the watch.
    """

    stretches: list[Counted] = field(default_factory=list)
    looked: float | None = None

    @classmethod
    def load(cls, document: Mapping[str, Any] | None) -> AxisLedger:
        """From `dump`; of an old version nothing is known."""
        known, stretches, at = document or {}, [], 0
        for gap, length, n, own, *more in known.get("stretches", ()):
            start, at = at + gap, at + gap + length
            classes = {(queue, kind): count for queue, kind, count in more[0]} if more else None
            stretches.append(Counted(start / _MICRO, at / _MICRO, n, bool(own), classes))
        return cls(stretches, known.get("looked"))

    def dump(self) -> dict[str, Any]:
        """JSON-able document: of each stretch how far it is from the one before and how long, in
        microseconds, which makes a third of it.
        """
        rows, at = [], 0
        for each in self.stretches:
            start, end = round(each.start * _MICRO), round(each.end * _MICRO)
            row: list[Any] = [start - at, end - start, each.n, int(each.own)]
            if each.classes is not None:
                row.append([[queue, kind, n] for (queue, kind), n in each.classes.items()])
            rows.append(row)
            at = end
        return {"stretches": rows, "looked": self.looked}

    # --- windows --------------------------------------------------------------------------------

    def free(self, start: float, end: float) -> Iterator[tuple[float, float]]:
        """The parts of a window where nothing was counted yet."""
        return _without(start, end, self._within(start, end))

    def sound(self, start: float, end: float) -> Iterator[tuple[float, float]]:
        """The parts of a window without rows that were counted ahead of their time or behind it:
        those whose durations hold.
        """
        return _without(start, end, [each for each in self._within(start, end) if not each.own])

    def is_sound(self, at: float) -> bool:
        """Whether a row at that point belongs to its window."""
        index = bisect_right(self.stretches, at, key=_start) - 1
        return index < 0 or self.stretches[index].own or self.stretches[index].end <= at

    def settle(self, start: float, end: float, classes: Classes | None, n: int) -> None:
        """A window was counted; `classes` where it is not final."""
        at = bisect_right(self.stretches, start, key=_start)
        self.stretches.insert(at, Counted(start, end, n, True, classes))

    def recount(self, stretch: Counted, classes: Classes) -> Classes:
        """A window was counted again: what it has more, by queue and class.

        A task that was counted `unassigned` and is assigned now stays what it was at its deadline.
        """
        more = find_more(stretch.classes or {}, classes)
        stretch.classes, stretch.n = classes, sum(classes.values())
        return more

    # --- looks at the axis ----------------------------------------------------------------------

    def edges(self, now: float, settled: float, since: float, until: float) -> list[float]:
        """Where to cut the axis between `since` and `until` for a look at it."""
        marks = {now + TOLERANCE, now + AHEAD_FROM, settled, since, until}
        for each in self._within(since, until):
            marks |= {each.start, each.end}
        return sorted(mark for mark in marks if since <= mark <= until)

    def see(
        self,
        rows: Iterable[AxisRow],
        edges: Sequence[float],
        now: float,
        settled: float,
        final: float,
    ) -> Sighting:
        """Take in a look at the axis between `edges`. `settled`: where windows have not come yet;
        `final`: what ends before it is final. All on the axis.
        """
        totals, fresh, ahead, newest = self._sort(rows, edges, now, settled)
        newcomers, again = [], []
        for each in self._within(edges[0], edges[-1]):
            if each.start < edges[0] or each.end > edges[-1]:
                continue  # only a part of it was looked at
            found = totals.get(each.start, 0)
            if each.classes is not None and found > each.n:
                again.append(each)  # also when it is final by now: it may have come before that
                continue
            if each.end <= final:
                each.classes = None
            if found > each.n:
                newcomers.append(self._judge(each, found - each.n, now, final))
            each.n = found
        if self.looked is not None:
            newcomers += [self._judge_fresh(each, now) for each in fresh]
        if fresh:
            self.stretches = sorted([*self.stretches, *fresh], key=_start)
        return Sighting(newcomers, again, ahead, newest)

    def close(self, now: float, since: float) -> None:
        """End of a look at the whole axis: forget what is out of reach, put final stretches of a
        minute together.
        """
        self.looked = now
        kept: list[Counted] = []
        for each in self.stretches:
            if each.end <= since or not (each.own or each.n):
                continue
            if kept and _is_one(kept[-1], each):
                kept[-1] = Counted(kept[-1].start, each.end, kept[-1].n + each.n, each.own)
            else:
                kept.append(each)
        self.stretches = kept

    def _within(self, start: float, end: float) -> list[Counted]:
        """Stretches that are not wholly outside."""
        first = bisect_right(self.stretches, start, key=_start)
        return self.stretches[max(0, first - 1) : bisect_right(self.stretches, end, key=_start)]

    def _sort(
        self, rows: Iterable[AxisRow], edges: Sequence[float], now: float, settled: float
    ) -> tuple[dict[float, int], list[Counted], int, float]:
        """Rows by stretch; new stretches, minute by minute, where there was none; what is ahead."""
        spans = [(each.start, each.end) for each in self._within(edges[0], edges[-1])]
        totals: dict[float, int] = {}
        fresh: list[Counted] = []
        ahead, newest = 0, 0.0
        for row in rows:
            if not 1 <= row.piece < len(edges):
                continue
            low, high = edges[row.piece - 1], edges[row.piece]
            if low >= now + TOLERANCE:
                ahead, newest = ahead + row.n, max(newest, row.newest)
            at = bisect_right(spans, (low, math.inf)) - 1
            if at >= 0 and high <= spans[at][1]:
                totals[spans[at][0]] = totals.get(spans[at][0], 0) + row.n
            elif high <= settled or low >= now + AHEAD_FROM:
                start, end = max(low, row.minute * MINUTE), min(high, (row.minute + 1) * MINUTE)
                # What is there at the first look is from before the watch.
                is_own = self.looked is None and high <= settled
                fresh.append(Counted(start, end, row.n, is_own))
        return totals, fresh, ahead, newest

    def _judge(self, stretch: Counted, n: int, now: float, final: float) -> Newcomers:
        """What became visible in a stretch that was final."""
        since = self._since(now)
        # Rows meet others that were counted ahead of their time; or an hour occurs twice.
        is_mixed = stretch.end > (final if stretch.own else since - TOLERANCE)
        off = find_slot_offset(stretch.start, stretch.end, since, now)
        if off is None and not is_mixed:
            return Newcomers("late", n)
        ahead = stretch.start - now if stretch.start >= now + TOLERANCE else 0.0
        return Newcomers("offset", n, ahead if off is None else off)

    def _judge_fresh(self, stretch: Counted, now: float) -> Newcomers:
        """What became visible where nothing was."""
        off = find_slot_offset(stretch.start, stretch.end, self._since(now), now)
        if off is None and stretch.start < now + TOLERANCE:
            return Newcomers("late", stretch.n)
        return Newcomers("offset", stretch.n, stretch.start - now if off is None else off)

    def _since(self, now: float) -> float:
        """Since when rows are new. Long after the last look any difference of zones would fit, so
        only the newest rows are judged by that.
        """
        return now if self.looked is None else max(self.looked, now - LONGEST)


def find_more(before: Mapping[Any, int], after: Mapping[Any, int]) -> Classes:
    """What a second count of a window adds, by queue and class: per queue as many as there are more
    rows, first in the classes that only grow.
    """
    more: Classes = {}
    for queue in {queue for queue, _ in after}:
        left = sum(n for (q, _), n in after.items() if q == queue) - sum(
            n for (q, _), n in before.items() if q == queue
        )
        kinds = sorted({kind for q, kind in after if q == queue}, key=_rank)
        for kind in kinds:
            grown = after[queue, kind] - before.get((queue, kind), 0)
            taken = max(0, min(left, grown))
            if taken:
                more[queue, kind] = taken
            left -= taken
    return more


def _rank(kind: str) -> tuple[int, str]:
    """What was open may have become late meanwhile: such growth comes last."""
    return ({"unassigned": 1, "late": 2}.get(kind, 0), kind)


def _start(stretch: Counted) -> float:
    return stretch.start


def _without(start: float, end: float, taken: Iterable[Counted]) -> Iterator[tuple[float, float]]:
    for each in taken:
        if each.end <= start:
            continue
        if each.start >= end:
            break
        if each.start > start:
            yield start, each.start
        start = max(start, each.end)
    if start < end:
        yield start, end


def _is_one(one: Counted, next_: Counted) -> bool:
    return (
        one.end == next_.start
        and one.own == next_.own
        and one.classes is None
        and next_.classes is None
        and one.start // MINUTE == (next_.end - 1e-6) // MINUTE
    )
