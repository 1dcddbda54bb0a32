"""What a look at pending entries is told, and what it brings: places, habits, standings of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sentinel.adapters.bus.pending_reader import GroupReading, GroupSummary
from sentinel.core.bus.delivery import Id
from sentinel.core.bus.pending_fault import PendingCase, PendingStanding
from sentinel.core.fault import Fault
from sentinel.core.quantity import Bounds

GroupKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Habits:
    """How consumers are looked at: expected names, and every how many runs quiet or large groups
    are listed.
    """

    known: Sequence[str]
    every: int


@dataclass(frozen=True, slots=True)
class PendingPlace:
    """A group to look at."""

    key: bytes
    stream: str
    summary: GroupSummary
    id: GroupKey


@dataclass(frozen=True, slots=True)
class SeenGroup:
    """What was read of a group, and counted: overdue below `bound`, without payload."""

    reading: GroupReading
    bound: Id
    late: Bounds
    gone: Bounds


@dataclass(slots=True)
class PendingLook:
    """What one run found. `read` of `known` streams were looked at; the oldest look is `width`
    seconds ago. `crowded` are groups with too many consumers to list.
    """

    now: float = 0.0
    read: int = 0
    known: int = 0
    width: float = 0.0
    standings: list[PendingStanding] = field(default_factory=list)
    unjudged: list[Fault] = field(default_factory=list)
    crowded: list[PendingCase] = field(default_factory=list)
    streams: int = 0


@dataclass(slots=True)
class StreamStand:
    """What was found at one stream when it was looked at, at server time `at`."""

    at: float
    readable: bool
    standings: list[PendingStanding] = field(default_factory=list)
    unjudged: list[Fault] = field(default_factory=list)
    crowded: list[PendingCase] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether something is pending, or was found to be wrong."""
        if self.unjudged or self.crowded:
            return True
        return any(each.pending for each in self.standings)
