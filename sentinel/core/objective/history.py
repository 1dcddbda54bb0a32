"""Slices of time, added up over any window at once: cumulative sums, and a search for its edges."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from datetime import datetime

from sentinel.core.objective.value import Counts, Slice

SLICE = 300.0
"""Seconds of one slice, at most: the resolution of everything that is told of the past."""
LOST = 4096
"""Slices that are left out in one go, once they are too old to be asked for."""


class SliceHistory:
    """What was counted for one source, slice by slice, oldest first. Times have the names that they
    had then: when the clock is set, the past is not moved.
    """

    def __init__(self, slices: Iterable[Slice] = ()) -> None:
        self._began: list[datetime] = []
        self._slices: list[Slice] = []
        self._before: list[Counts] = []
        """What was counted before each slice."""
        self._sum = Counts()
        for each in slices:
            self.add(each)

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, each: Slice) -> None:
        """The next slice. One that begins before the last one (the clock was set back) counts from
        where that one began.
        """
        began = max(each.began, self._began[-1]) if self._began else each.began
        self._began.append(began)
        self._slices.append(each)
        self._before.append(self._sum)
        self._sum += each.counts

    def count_since(self, instant: datetime) -> Counts:
        """What was counted since an instant; of a slice that it cuts, in proportion."""
        at = bisect.bisect_right(self._began, instant) - 1
        if at < 0:
            return self._sum
        cut, gone = self._slices[at], self._before[at]
        part = _share_until(cut, instant)
        until = gone + cut.counts.share(part)
        return Counts(
            self._sum.good - until.good,
            self._sum.total - until.total,
            max(self._sum.seen - until.seen, 0.0),
        )

    def forget(self, instant: datetime) -> None:
        """Leave out what ended before an instant, many slices at a time."""
        at = bisect.bisect_left(self._began, instant) - 1
        if at >= LOST:
            self.__init__(self._slices[at:])  # type: ignore[misc]


def _share_until(each: Slice, instant: datetime) -> float:
    """The part of a slice that lies before an instant."""
    length = (each.ended - each.began).total_seconds()
    if length <= 0:
        return 1.0
    return min(max((instant - each.began).total_seconds() / length, 0.0), 1.0)
