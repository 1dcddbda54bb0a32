"""The facts of plans, as frozen values: tracks, milestones, what is critical, what is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sentinel.reports.figures import (
    AcceptedFault,
    AgentFact,
    ComponentFact,
    Figure,
    TargetFact,
    Throughput,
)


@dataclass(frozen=True, slots=True)
class MilestoneFact:
    """One milestone: from the last report → now, and what it rests on. Seconds.

    `slack`: by how much it may be late before the end is. `early`, `likely`, `late`: when it will be
    done, in one, five and nine of ten trials.
    """

    name: str
    title: str
    track: str
    state: str
    before: float | None
    ratio: float | None
    claimed: bool
    basis: str
    notes: Sequence[str]
    needs: Sequence[str]
    open_needs: Sequence[str]
    due: datetime | None
    remaining: float | None
    slack: float | None
    on_path: bool
    early: datetime | None = None
    likely: datetime | None = None
    late: datetime | None = None
    critical: float = 0.0


@dataclass(frozen=True, slots=True)
class TrackFact:
    """One track: the mean of its milestones, at the last report and now. What is not measured may
    be anything, so that a mean is an interval.
    """

    name: str
    title: str
    owner: str
    agents: Sequence[str]
    tasks_done: float | None
    before: Figure
    now: Figure
    focus: Sequence[str]
    next_steps: Sequence[str]
    claims: int


@dataclass(frozen=True, slots=True)
class DependencyFact:
    """That one milestone needs another one, and whether that is done."""

    milestone: str
    needs: str
    state: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class PathFact:
    """The critical path, and when all is done. `seed` and `trials` are those of the simulation;
    `unknown` are milestones whose time nobody knows: then it is later than said.
    """

    names: Sequence[str]
    seconds: float
    early: datetime | None
    likely: datetime | None
    late: datetime | None
    seed: int
    trials: int
    unknown: Sequence[str]
    claims: int


@dataclass(frozen=True, slots=True)
class AutomationFact:
    """Something that runs by itself: when, and what it did since the last report."""

    name: str
    when: str
    did: str
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class SyncFact:
    """When people meet next, who is needed, and for what."""

    at: datetime | None
    who: Sequence[str]
    topics: Sequence[str]


@dataclass(frozen=True, slots=True)
class RequirementFact:
    """One requirement of the gate."""

    name: str
    state: str
    ratio: float | None
    evidence: str
    basis: str
    waived_by: str = ""
    waiver: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadinessFacts:
    """What the readiness gate says. `go` is the verdict."""

    platform: str
    generated: datetime
    headline: str
    go: bool
    passed: int
    required: int
    share: float | None
    requirements: Sequence[RequirementFact]
    next_update: datetime | None = None
    cut: int = 0


@dataclass(frozen=True, slots=True)
class ProgressFacts:
    """What a progress report says."""

    platform: str
    generated: datetime
    headline: str
    since: datetime | None
    throughput: Throughput
    components: Sequence[ComponentFact] = ()
    agents: Sequence[AgentFact] = ()
    assignment: Sequence[Figure] = ()
    delivery: Sequence[Figure] = ()
    work: Sequence[Figure] = ()
    blockers: Sequence[str] = ()
    accepted: Sequence[AcceptedFault] = ()
    tracks: Sequence[TrackFact] = ()
    milestones: Sequence[MilestoneFact] = ()
    dependencies: Sequence[DependencyFact] = ()
    path: PathFact | None = None
    automations: Sequence[AutomationFact] = ()
    targets: Sequence[TargetFact] = ()
    sync: SyncFact | None = None
    next_update: datetime | None = None
    totals: Mapping[str, Any] = field(default_factory=dict)
    """What every figure stood at, by check: the next report takes its differences from it."""
    cut: int = 0
