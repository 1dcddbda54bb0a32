"""Do database and bus agree? Who is asked, what an entry says, and what its absence proves
(measurement.md §1.6).

An acknowledgement is not an effect, and a publication that failed on the client never reached the
bus: neither shows in the bus's own figures. Instants are Unix seconds by the bus's clock unless
they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b, md5
from typing import Any, TypeVar

from sentinel.core.bus.delivery import ZERO, Id
from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE

EARLY = 2.0
"""An entry may be older than its assignment by so many seconds: published before the transaction's
clock reading.
"""
MAX_FOUND = 200
"""Bad samples of the window that are remembered one by one."""
MAX_OPEN = 1000
PUBLISHED, PROCESSED = "db-bus", "bus-db"
T = TypeVar("T")


class SampleVerdict(StrEnum):
    """What became of one sample; `wait` is none yet."""

    GOOD = "good"
    BAD = "bad"
    LATE = "late"
    UNMEASURABLE = "unmeasurable"
    SKEWED = "skewed"
    """Its times are of another zone or clock: it can't be compared."""
    WAIT = "wait"


# --- names and fields ---------------------------------------------------------------------------


def choose(found: Iterable[T], count: int, name: Callable[[T], str]) -> list[T]:
    """At most `count`, by the hash of their names: a sample that favours nobody and needs no dice."""
    return sorted(found, key=lambda each: blake2b(name(each).encode()).digest())[:count]


# --- database → bus -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadRange:
    """A range of assignment times that was read: so many tasks, of which these were sampled, those
    with the lowest hashes (`hash_of`). Unix seconds of the database.
    """

    start: float
    end: float
    n: int
    tasks: tuple[str, ...]

    def find_arrivals(self, n: int, tasks: Iterable[str]) -> tuple[int, list[str]]:
        """(at least so many became visible since, those that are sure) when the same range now has
        `n` tasks, of which `tasks` are the sample.
        """
        known = set(self.tasks)
        last = max(map(hash_of, self.tasks), default="") if self.n > len(known) else None
        sure = [t for t in tasks if t not in known and (last is None or hash_of(t) < last)]
        return max(len(sure), n - self.n), sure


def hash_of(task: str) -> str:
    """What the sample of a range is ordered by."""
    return md5(task.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task that an agent was given at `at`. `is_doubtful`: that time may be of another zone, so an
    entry that is not found proves nothing.
    """

    task: str
    agent: str
    stream: str
    at: float
    is_doubtful: bool = False


def has_time(entry: Id) -> bool:
    """Whether an id can be a publication time: below the year 2001 it is a number that a producer
    chose.
    """
    return entry[0] >= OLDEST_PLAUSIBLE


@dataclass(frozen=True, slots=True)
class Extent:
    """What a stream can still show: its oldest entry and the newest one that was deleted. None of
    it: no stream.
    """

    exists: bool
    first: Id = ZERO
    max_deleted: Id = ZERO

    def keeps(self, since: float) -> bool:
        """Whether nothing that was published after `since` can have been removed.

        A stream whose oldest entry is younger may have been trimmed, or evicted and made anew:
        nobody can tell.
        """
        start = (int(since * 1000), 0)
        return (
            self.exists
            and has_time(self.first)
            and self.first <= start
            and self.max_deleted < start
        )


def decide_published(
    at: float, within: float, seen: Sequence[Id], extent: Extent, *, complete: bool
) -> SampleVerdict:
    """Does the entry of an assignment at `at` exist? `complete`: everything from the window on was
    read.
    """
    start, end = at - EARLY, at + within
    if any(start <= entry[0] / 1000 <= end for entry in seen):
        return SampleVerdict.GOOD
    if seen:
        return SampleVerdict.LATE
    return SampleVerdict.BAD if complete and extent.keeps(start) else SampleVerdict.UNMEASURABLE


def merge_windows(windows: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping windows as one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# --- bus → database -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivered:
    """A sampled entry about a task, of a group that got it. `acked`: first seen without being
    pending.
    """

    stream: str
    group: str
    entry: str
    task: str
    agent: str
    message: str = ""
    acked: float | None = None

    @property
    def published(self) -> float:
        """When it was published, from its id."""
        return int(self.entry.partition("-")[0]) / 1000


@dataclass(frozen=True, slots=True)
class TaskNow:
    """A task's row: canonical facts only. `assigned_at` by the bus's clock; `is_doubtful`: it may be
    of another zone.
    """

    assigned: bool
    agent: str
    assigned_at: float | None
    is_doubtful: bool = False


def decide_effect(
    entry: Delivered, task: TaskNow | None, now: float, within: float, tolerance: float
) -> SampleVerdict:
    """Did the task leave `assigned` after its entry was acknowledged?

    Who has the task of another assignment, another agent or of no row at all can't be judged by
    this entry.
    """
    if entry.acked is None:
        return SampleVerdict.WAIT
    if task is not None and not task.assigned:
        return SampleVerdict.GOOD
    if now - entry.acked < within:
        return SampleVerdict.WAIT
    if task is None or task.is_doubtful or (entry.agent and task.agent != entry.agent):
        return SampleVerdict.UNMEASURABLE
    later = task.assigned_at is not None and task.assigned_at > entry.published + tolerance
    return SampleVerdict.UNMEASURABLE if later else SampleVerdict.BAD


# --- the account --------------------------------------------------------------------------------


@dataclass(slots=True)
class SampleCount:
    """Totals of one direction. Every judged sample is good, bad or late. `skewed`: tasks with times
    of another zone; `arrivals`: tasks that became visible after their range was read, at least.
    """

    samples: int = 0
    bad: int = 0
    late: int = 0
    unmeasurable: int = 0
    skewed: int = 0
    arrivals: int = 0

    def add(self, verdict: SampleVerdict) -> None:
        """Count one verdict."""
        self.samples += verdict in {SampleVerdict.GOOD, SampleVerdict.BAD, SampleVerdict.LATE}
        self.bad += verdict is SampleVerdict.BAD
        self.late += verdict is SampleVerdict.LATE
        self.unmeasurable += verdict is SampleVerdict.UNMEASURABLE
        self.skewed += verdict is SampleVerdict.SKEWED

    def plus(self, other: SampleCount) -> SampleCount:
        """Both together."""
        return SampleCount(
            self.samples + other.samples,
            self.bad + other.bad,
            self.late + other.late,
            self.unmeasurable + other.unmeasurable,
            self.skewed + other.skewed,
            self.arrivals + other.arrivals,
        )


@dataclass(slots=True)
class SampleLedger:
    """Totals, the verdicts of the recent window, and the newest bad samples, of one direction."""

    total: SampleCount = field(default_factory=SampleCount)
    recent: list[tuple[float, SampleCount]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        now: float,
        verdicts: Sequence[tuple[SampleVerdict, Mapping[str, Any]]],
        window: float,
        arrivals: int = 0,
    ) -> None:
        """Count the verdicts of one run; `found` keeps the newest bad ones of the window."""
        run = SampleCount(arrivals=arrivals)
        for verdict, _ in verdicts:
            run.add(verdict)
        self.total = self.total.plus(run)
        self.recent = [(at, count) for at, count in [*self.recent, (now, run)] if at > now - window]
        bad = [
            {**sample, "judged": now}
            for verdict, sample in verdicts
            if verdict is SampleVerdict.BAD
        ]
        self.found = [sample for sample in [*self.found, *bad] if sample["judged"] > now - window][
            -MAX_FOUND:
        ]

    def window(self) -> SampleCount:
        """The recent verdicts together."""
        total = SampleCount()
        for _, count in self.recent:
            total = total.plus(count)
        return total

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return {
            "total": asdict(self.total),
            "recent": [(at, asdict(count)) for at, count in self.recent],
            "found": self.found,
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> SampleLedger:
        """What `dump` gave."""
        recent = [(at, SampleCount(**count)) for at, count in document.get("recent", ())]
        return cls(
            SampleCount(**document.get("total", {})), recent, list(document.get("found", ()))
        )
