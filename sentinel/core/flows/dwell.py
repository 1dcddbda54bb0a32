"""How long flows stay in a status: completed stays, limits learned from them, and statuses that
nobody leaves.

A limit per (flow type, status) is learned by split conformal prediction (measurement.md §11.12): of
n completed stays of the window, the one of rank ceil((n + 1)(1 − α)). A further stay that is
exchangeable with them is longer with a probability of at most α, whatever their distribution. α is
a budget: false alarms a week ÷ stays a week. A flow that is stuck has no completed stay, so that it
can't raise its own limit. All times in seconds, `now` in Unix seconds.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.model import Histogram

BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
DAYS = 30
NO_EXITS_FLOOR = 900.0
DAY = 86400.0
WEEK = 7 * DAY
LEAST_ALARMS = 7 / DAYS
"""Alarms a week: one in a window. A rarer one can't be learned from it."""
MOST_RISK = 0.01
"""However few stays a week there are: never more than one in a hundred is a false alarm."""
STEP = math.log(1.1)
_SHORTEST = 0.001
_SPAN = 3600.0
_FEW = 10
LONGEST = 10
"""So many of the longest stays are known exactly: a limit of up to two false alarms a week is."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What `n` completed stays teach of the next one: it is longer than `seconds` with a
    probability of at most `risk`. None while there are fewer than `needed`, which is 1/risk − 1.
    """

    n: int
    needed: int
    risk: float
    seconds: float | None = None


NOTHING = Lesson(0, math.ceil(1 / MOST_RISK - 1 - 1e-9), MOST_RISK)
"""Of no stay."""


@dataclass(frozen=True, slots=True)
class Stays:
    """`n` completed stays as (bucket, count), the shortest first; the `first` of them ended then.

    A bucket stands for its upper edge: each stay is known to 10 %, upwards, so that a limit is
    never lower than the stay that it comes from. The `longest` are known exactly, in falling order.
    """

    counts: tuple[tuple[int, int], ...]
    first: float
    n: int
    longest: tuple[float, ...] = ()

    @classmethod
    def of(cls, counts: Mapping[int, int], first: float, longest: Sequence[float] = ()) -> Stays:
        """From counts by bucket, and the longest stays, in any order."""
        known = tuple(sorted(longest, reverse=True)[:LONGEST])
        return cls(tuple(sorted(counts.items())), first, sum(counts.values()), known)

    @property
    def median(self) -> float:
        """Seconds."""
        return _edge(_at_rank(self.counts, max(1, math.ceil(self.n / 2))))

    def risk(self, alarms_per_week: float, now: float) -> float:
        """α: false alarms a week ÷ stays a week, over the time that these stays took."""
        weeks = max(now - self.first, _SPAN) / WEEK
        return min(MOST_RISK, alarms_per_week * weeks / self.n)

    def learn(self, risk: float) -> Lesson:
        """The stay of rank ceil((n + 1)(1 − risk)), which is the floor((n + 1) risk)-th longest."""
        needed = math.ceil(1 / risk - 1 - 1e-9)
        rank = math.floor((self.n + 1) * risk + 1e-9)
        if rank < 1:
            return Lesson(self.n, max(needed, self.n + 1), risk)
        if rank <= len(self.longest):
            return Lesson(self.n, needed, risk, self.longest[rank - 1])
        return Lesson(self.n, needed, risk, _edge(_at_rank(self.counts[::-1], rank)))


def _at_rank(counts: Sequence[tuple[int, int]], rank: int) -> int:
    """The bucket of the stay of that rank, counted in the given order."""
    seen = 0
    for bucket, n in counts:
        seen += n
        if seen >= rank:
            return bucket
    return counts[-1][0]


def find_bucket(seconds: float) -> int:
    """The bucket of a stay: the smallest whose upper edge is not below it."""
    return math.ceil(math.log(max(seconds, _SHORTEST)) / STEP)


def _edge(bucket: int) -> float:
    return math.exp(bucket * STEP)


@dataclass(slots=True)
class Sketch:
    """Counts of completed stays by the day on which they ended, and by bucket; 30 days are kept.

    `longest`: of each day, in rising order; of a day that an older version counted, there are none.

    `first`: when the first of them ended. Older versions did not note it: then it was at the latest
    at the end of the first day, which makes stays seem more frequent, and false alarms rarer.
    """

    days: dict[int, dict[int, int]] = field(default_factory=dict)
    first: float | None = None
    longest: dict[int, list[float]] = field(default_factory=dict)
    _texts: dict[int, list[str]] = field(default_factory=dict, repr=False, compare=False)
    _summary: Stays | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, document: Sequence[Any], first: float | None = None) -> Sketch:
        """Read what `dump` gave, also that of older versions: lists of pairs in place of text."""
        days = {day: _read_counts(counts) for day, counts, *_ in document}
        longest = {day: _read_numbers(more[0]) for day, _, *more in document if more}
        return cls(days, first, longest)

    def dump(self) -> Any:
        """JSON-able document of the days: `[[day, "bucket count …", "longest longest …"], …]`."""
        for day, counts in self.days.items():
            if day not in self._texts:
                self._texts[day] = [" ".join(f"{bucket} {n}" for bucket, n in counts.items())]
                if day in self.longest:
                    self._texts[day].append(" ".join(f"{each:.13g}" for each in self.longest[day]))
        return [[day, *self._texts[day]] for day in self.days]

    def add(self, seconds: float, now: float) -> None:
        """Note one completed stay."""
        self._forget(now)
        today, bucket = int(now // DAY), find_bucket(seconds)
        if not self.days and self.first is None:
            self.first = now
        if today not in self.days:
            self.days[today], self.longest[today] = {}, []
        counts = self.days[today]
        counts[bucket] = counts.get(bucket, 0) + 1
        if today in self.longest:
            insort(self.longest[today], math.ceil(seconds * 1000) / 1000)
            del self.longest[today][:-LONGEST]
        self._texts.pop(today, None)
        self._summary = None

    def summarise(self, now: float) -> Stays | None:
        """The stays of the last 30 days, None without one."""
        self._forget(now)
        if self._summary is None and self.days:
            self._summary = self._merge()
        return self._summary

    def _forget(self, now: float) -> None:
        """Drop the days before the window; what is left is all that ended since it began."""
        oldest = int(now // DAY) - DAYS
        if any(day <= oldest for day in self.days):
            self.days = {day: counts for day, counts in self.days.items() if day > oldest}
            self._texts = {day: text for day, text in self._texts.items() if day > oldest}
            self.longest = {day: known for day, known in self.longest.items() if day > oldest}
            self.first, self._summary = (oldest + 1) * DAY, None

    def _merge(self) -> Stays:
        merged: dict[int, int] = {}
        for counts in self.days.values():
            for bucket, n in counts.items():
                merged[bucket] = merged.get(bucket, 0) + n
        known = self.first if self.first is not None else (min(self.days) + 1) * DAY
        if self.days.keys() - self.longest.keys():
            return Stays.of(merged, known)
        return Stays.of(merged, known, [each for day in self.longest.values() for each in day])


def _read_numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def _read_counts(counts: str | Sequence[Sequence[int]]) -> dict[int, int]:
    if not isinstance(counts, str):
        return {int(bucket): int(n) for bucket, n in counts}
    numbers = [int(word) for word in counts.split()]
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


@dataclass(slots=True)
class Passage:
    """Entries into a status since nobody has left it, or since it was last empty (`start`)."""

    start: float
    entries: int = 0

    def is_blocked(self, stays: Stays | None, longest: float, now: float) -> bool:
        """Whether flows go in and none comes out: for max(15 min, 10 × median).

        With fewer than ten known stays the median says nothing, and the status's own limit takes
        its place.
        """
        usual = 10 * stays.median if stays is not None and stays.n >= _FEW else longest
        return self.entries > 1 and now - self.start >= max(NO_EXITS_FLOOR, usual)


@dataclass(slots=True)
class ObservedStays:
    """Histogram of stays since sentinel began to watch."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))
    total: int = 0
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        """Note one stay."""
        self.counts = [n + (seconds <= bound) for n, bound in zip(self.counts, BOUNDS, strict=True)]
        self.total += 1
        self.sum += seconds

    def histogram(self) -> Histogram:
        """The frozen value."""
        return Histogram(BOUNDS, tuple(self.counts), self.total, self.sum)


def dump_map(values: Mapping[tuple[str, ...], Any]) -> list[list[Any]]:
    """A mapping by tuple as JSON: `[[key, value], …]`."""
    return [[list(key), value] for key, value in values.items()]


def load_map(document: Sequence[Sequence[Any]]) -> dict[tuple[str, ...], Any]:
    """Read what `dump_map` gave."""
    return {tuple(key): value for key, value in document}
