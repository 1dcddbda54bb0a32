"""How long flows stay in a status: sketches of completed stays, learned limits, and statuses that
nobody leaves.

Limit per (flow type, status), measurement.md §5: greatest(60 s, 3 × p99 of the completed stays of
30 days, exp(median ln d + 6 × 1.4826 × MAD)), once 50 stays are known. A flow that is stuck has no
completed stay, so that it can't raise its own limit. All times in seconds, `now` in Unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.model import Histogram

BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
DAYS = 30
ENOUGH = 50
FLOOR = 60.0
NO_EXITS_FLOOR = 900.0
DAY = 86400.0
_STEP = math.log(1.1)
_SHORTEST = 0.001
_FEW = 10


@dataclass(frozen=True, slots=True)
class Stays:
    """Summary of `n` completed stays: median and MAD of ln(seconds), and the 99th percentile in
    seconds.
    """

    n: int
    log_median: float
    mad: float
    p99: float

    @property
    def median(self) -> float:
        """Seconds."""
        return math.exp(self.log_median)

    @property
    def limit(self) -> float | None:
        """The longest normal stay in seconds; None while fewer than 50 stays are known."""
        if self.n < ENOUGH:
            return None
        return max(
            FLOOR, 3 * self.p99, math.exp(min(self.log_median + 6 * 1.4826 * self.mad, 50.0))
        )


@dataclass(slots=True)
class Sketch:
    """Counts of stays by day and by logarithmic bucket: each known to 10 %, upwards; 30 days are
    kept.
    """

    days: dict[int, dict[int, int]] = field(default_factory=dict)
    _texts: dict[int, str] = field(default_factory=dict, repr=False, compare=False)
    _summary: Stays | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, document: Sequence[Any]) -> Sketch:
        """Read what `dump` gave, also that of older versions: lists of pairs in place of text."""
        return cls({day: _read_counts(counts) for day, counts in document})

    def dump(self) -> Any:
        """JSON-able document: `[[day, "bucket count bucket count …"], …]`."""
        for day, counts in self.days.items():
            if day not in self._texts:
                self._texts[day] = " ".join(f"{bucket} {n}" for bucket, n in counts.items())
        return [[day, self._texts[day]] for day in self.days]

    def add(self, seconds: float, now: float) -> None:
        """Note one completed stay; forgets what is older than 30 days."""
        today = int(now // DAY)
        bucket = math.ceil(math.log(max(seconds, _SHORTEST)) / _STEP)
        counts = self.days.setdefault(today, {})
        counts[bucket] = counts.get(bucket, 0) + 1
        self.days = {day: counts for day, counts in self.days.items() if day > today - DAYS}
        self._texts.pop(today, None)
        self._summary = None

    def summarise(self) -> Stays | None:
        """The summary of all days, None without a stay; it is the same until another stay is added."""
        if self._summary is None:
            self._summary = self._merge()
        return self._summary

    def _merge(self) -> Stays | None:
        merged: dict[int, int] = {}
        for counts in self.days.values():
            for bucket, n in counts.items():
                merged[bucket] = merged.get(bucket, 0) + n
        if not merged:
            return None
        logs = [(bucket * _STEP, n) for bucket, n in merged.items()]
        median = _quantile(logs, 0.5)
        mad = _quantile([(abs(value - median), n) for value, n in logs], 0.5)
        return Stays(sum(merged.values()), median, mad, math.exp(_quantile(logs, 0.99)))


def _read_counts(counts: str | Sequence[Sequence[int]]) -> dict[int, int]:
    if not isinstance(counts, str):
        return {int(bucket): int(n) for bucket, n in counts}
    numbers = [int(word) for word in counts.split()]
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _quantile(weighted: Sequence[tuple[float, int]], q: float) -> float:
    """Nearest rank over (value, count) pairs."""
    rank, seen = max(1, math.ceil(q * sum(n for _, n in weighted) - 1e-9)), 0
    for value, n in sorted(weighted):
        seen += n
        if seen >= rank:
            return value
    return max(value for value, _ in weighted)


@dataclass(frozen=True, slots=True)
class Limit:
    """A learned limit in seconds, when it was learned, and from how many stays."""

    seconds: float
    at: float
    n: int


def relearn(known: Limit | None, stays: Stays | None, now: float) -> Limit | None:
    """The limit after this look: the first as it is, later ones once a day and at most twice or
    half the former.
    """
    if stays is None or stays.limit is None:
        return known
    if known is None:
        return Limit(stays.limit, now, stays.n)
    if now - known.at < DAY:
        return known
    return Limit(min(max(stays.limit, known.seconds / 2), known.seconds * 2), now, stays.n)


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
