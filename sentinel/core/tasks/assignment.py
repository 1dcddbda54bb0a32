"""Task-assignment latency without survivor bias: deadline cohorts, a commit horizon, censored
quantiles.

Everything created before the oldest running transaction began is final; windows are half-open, so
each task is counted exactly once (measurement.md §3.2). A task that nobody took is a failure, and
its age is a lower bound of its latency (§3.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.model import Histogram
from sentinel.core.moment.skew import find_offset

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0)
OUTCOMES = ("in_deadline", "late", "unassigned")
ASIDE = ("negative", "offset", "missing", "censored", "deleted", "untracked")
HORIZON_CAP = 60.0
STAGE_BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0)
CHUNK = timedelta(minutes=15)
MAX_CHUNKS = 8


SHOWN_WITHIN = 1.0
"""Seconds. PostgreSQL stamps a transaction (and so `created_at`) before it shows it in
pg_stat_activity; on a starved machine there is time between the two, in which the horizon would be
too young and the task missed for ever."""


@dataclass(frozen=True, slots=True)
class CohortWindow:
    """Tasks created in [start, end); aware UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Horizon:
    """The server's clock, and the instant before which nothing new can become visible; aware UTC."""

    now: datetime
    exact: datetime

    @property
    def capped(self) -> datetime:
        """The horizon, at most 60 s ago: one forgotten BEGIN must not stop the measurement."""
        return max(self.exact, self.now - timedelta(seconds=HORIZON_CAP))

    @property
    def hold(self) -> float:
        """Seconds for which the oldest transaction holds the horizon back."""
        return (self.now - self.exact).total_seconds()


def due_until(horizon: Horizon, delay: float) -> datetime:
    """Tasks created before this instant are `delay` seconds old, counted from the horizon as
    `due_windows` does.
    """
    return horizon.capped - timedelta(seconds=max(delay, SHOWN_WITHIN))


def due_windows(watermark: datetime, horizon: Horizon, delay: float) -> Iterator[CohortWindow]:
    """Windows of at most 15 minutes, from the watermark to `delay` seconds before the horizon;
    eight at a time.

    `delay` counts from the horizon and not from now: an assignment that was made in time may still
    be uncommitted in a transaction that began before. It is at least `SHOWN_WITHIN`.
    """
    end, start = due_until(horizon, delay), watermark
    for _ in range(MAX_CHUNKS):
        if start >= end:
            return
        stop = min(start + CHUNK, end)
        yield CohortWindow(start, stop)
        start = stop


def censored_quantile(
    latencies: Sequence[float], open_ages: Sequence[float], q: float
) -> float | None:
    """Nearest-rank quantile of latencies and ages of still-open tasks; seconds, None without any
    task.

    A lower bound, which grows while nobody assigns (measurement.md §3.5).
    """
    values = sorted([*latencies, *open_ages])
    if not values:
        return None
    rank = max(1, -int(-q * len(values) // 1))
    return values[min(rank, len(values)) - 1]


@dataclass(slots=True)
class Buckets:
    """A histogram that grows: `buckets` are cumulative, one count per bound; `sum` in seconds."""

    buckets: list[int] = field(default_factory=list)
    total: int = 0
    sum: float = 0.0

    def histogram(self, bounds: Sequence[float]) -> Histogram:
        """The frozen value; buckets are cumulative already."""
        return Histogram(
            tuple(bounds), tuple(self.buckets or [0] * len(bounds)), self.total, self.sum
        )

    def observe(self, buckets: Sequence[int], total: int, seconds: float) -> None:
        """Add one settled window: cumulative bucket counts, all tasks, sum of seconds."""
        known = self.buckets or [0] * len(buckets)
        self.buckets = [before + more for before, more in zip(known, buckets, strict=True)]
        self.total += total
        self.sum += seconds

    def add(self, seconds: float, bounds: Sequence[float], cap: float) -> None:
        """Add one observation; the sum takes at most `cap` seconds of it."""
        self.observe([int(seconds <= bound) for bound in bounds], 1, min(seconds, cap))

    def reset(self) -> None:
        """Begin again."""
        self.buckets, self.total, self.sum = [], 0, 0.0

    def dump(self) -> dict[str, Any]:
        """JSON-able document, the keyword arguments of another one."""
        return {"buckets": list(self.buckets), "total": self.total, "sum": self.sum}


@dataclass(slots=True)
class QueueTotals(Buckets):
    """Counts of one queue since sentinel began to watch, and the histogram of its latencies."""

    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    reassigned: int = 0

    def dump(self) -> dict[str, Any]:
        """As of `Buckets`."""
        return {**Buckets.dump(self), "settled": dict(self.settled), "reassigned": self.reassigned}


@dataclass(slots=True)
class StageTotals(Buckets):
    """Durations of one stage; `unfinished` had begun only, `skewed` ended before they began
    (another clock).
    """

    unfinished: int = 0
    skewed: int = 0

    def dump(self) -> dict[str, Any]:
        """As of `Buckets`."""
        return {**Buckets.dump(self), "unfinished": self.unfinished, "skewed": self.skewed}


def usable_bounds(deadline: float, settle_after: float) -> tuple[float, ...]:
    """Histogram edges that settle in time, with the deadline among them (every SLO threshold is an
    edge).
    """
    return tuple(sorted({bound for bound in (*BOUNDS, deadline) if bound <= settle_after}))


@dataclass(slots=True)
class Inserted:
    """Inserted rows against counted tasks: who writes times of another clock is never seen by time
    of creation.

    Marks are (server's clock, rows inserted so far, tasks counted so far). Statistics lag by some
    seconds, so a minute's rows are missed only when nothing was counted from the mark before that
    minute on.
    """

    marks: list[tuple[float, int, int]] = field(default_factory=list)

    def note(self, at: float, inserted: int, counted: int) -> None:
        """Take in a mark; as many are kept as a long deadline needs."""
        self.marks = [*self.marks[-60:], (at, inserted, counted)]

    def count_missed(self, settled_to: float, counted: int) -> int:
        """Rows of the latest minute whose tasks would be counted by now, while none was; seconds,
        tasks so far.
        """
        done = [mark for mark in self.marks if mark[0] <= settled_to][-3:]
        if len(done) < 3 or counted != done[0][2]:
            return 0
        return max(0, done[2][1] - done[1][1])


class OddTimes:
    """By how much times were off lately, by column: what a person looks for first."""

    SPAN = 120.0

    def __init__(self) -> None:
        self._entries: list[tuple[float, str, float, int]] = []

    def note(self, now: float, column: str, off: float, n: int) -> None:
        """`n` times of a column were `off` seconds ahead (else behind); `now`: Unix seconds."""
        self._entries = [entry for entry in self._entries if entry[0] > now - self.SPAN]
        self._entries.append((now, column, off, n))

    def most(self, now: float) -> tuple[str, float] | None:
        """The column and the offset of most of them, whole differences of zones before others."""
        counts = Counter[tuple[str, float]]()
        for at, column, off, n in self._entries:
            if at > now - self.SPAN:
                counts[column, off] += n
        named = Counter({key: n for key, n in counts.items() if find_offset(key[1])})
        found = (named or counts).most_common(1)
        return found[0][0] if found else None

    def offsets(self, now: float, column: str) -> set[float]:
        """The differences of zones that times of a column have."""
        return {
            off
            for at, name, off, _ in self._entries
            if at > now - self.SPAN and name == column and find_offset(off)
        }


class RecentTasks:
    """Settled tasks by second for the last minute: (good, settled, skewed). Seconds of the server's
    clock.
    """

    SPAN = 60.0

    def __init__(self, document: Sequence[Sequence[float]] = ()) -> None:
        self._entries = [tuple(entry) for entry in document]

    def add(self, now: float, counts: Mapping[str, int]) -> None:
        """Note one settled window."""
        settled = sum(counts.get(outcome, 0) for outcome in OUTCOMES)
        skewed = counts.get("negative", 0) + counts.get("offset", 0)
        if settled or skewed:
            self._entries.append((now, counts.get("in_deadline", 0), settled, skewed))

    def count(self, now: float) -> tuple[int, int, int]:
        """(good, settled, skewed) of the last minute; forgets what is older."""
        self._entries = [entry for entry in self._entries if entry[0] > now - self.SPAN]
        good, settled, skewed = (sum(int(entry[i]) for entry in self._entries) for i in (1, 2, 3))
        return good, settled, skewed

    def dump(self) -> list[list[float]]:
        """JSON-able document."""
        return [list(entry) for entry in self._entries]
