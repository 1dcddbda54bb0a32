"""What one look of the cross-check works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.tasks.assigned import AssignedTasks
from sentinel.core.bus.crosscheck import SampleVerdict
from sentinel.core.bus.envelope import Envelope, Template
from sentinel.watch.crosscheck_clock import TaskTimes, is_odd, is_twofold

Verdicts = list[tuple[SampleVerdict, Mapping[str, Any]]]
NO_TIME = "stream {} has ids that are no times"


@dataclass(frozen=True, slots=True)
class CrosscheckPlan:
    """What is compared, and when it is judged. Times in seconds."""

    statements: AssignedTasks
    stream: Template
    group: Template
    exclude: Sequence[str]
    envelope: Envelope
    assigned: frozenset[str]
    published_within: float
    confirm_after: float
    effect_within: float
    samples: int
    window: float


@dataclass(slots=True)
class CrosscheckLook:
    """One run. `now` is the bus's clock, `offset` what it is ahead of the database's; `times`: how
    far those of the table can be compared; why samples had no verdict.
    """

    plan: CrosscheckPlan
    bus: RedisClient
    database: PostgresClient
    now: float
    offset: float
    times: TaskTimes
    reasons: set[str] = field(default_factory=set)

    def is_odd(self, row: Mapping[str, Any]) -> bool:
        """Whether a task's own times, in Unix seconds of the database, can't be."""
        created, assigned = row["created"], row["assigned"]
        return created is not None and is_odd(created, assigned, self.times.now)

    def is_doubtful(self, assigned: float) -> bool:
        """Whether a time of the database may be one of another zone: it lay ahead of the clock
        before, or its hour occurs twice.
        """
        tasks = self.plan.statements
        is_known = assigned > self.times.doubted_to
        return not is_known or is_twofold(assigned, tasks.clocks.get(tasks.assigned_at))
