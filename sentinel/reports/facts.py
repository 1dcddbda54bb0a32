"""The facts of reports, as frozen values. JSON, Markdown and HTML are made from these and from
nothing else.

A figure that sentinel did not measure is None, and its `basis` says why; no figure is ever made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number or interval [low, high]; low = high is exact, None was not measured.

    `unit` is "" for counts, else `seconds` or `ratio`. `basis` says over what it was counted.
    """

    name: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    check: str = ""
    basis: str = NOT_MEASURED


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline."""

    at: datetime
    event: str
    text: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one status: offset and width as ratios of the period, for the bar."""

    status: str
    offset: float
    width: float


@dataclass(frozen=True, slots=True)
class Uptime:
    """How one component spent a period, in seconds. `ratio` is (up + degraded) / observed, None if
    unobserved.
    """

    component: str
    up: float
    degraded: float
    down: float
    unobserved: float
    ratio: float | None
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """One attempt to cure, and what became of it. Seconds."""

    n: int
    action: str
    component: str
    reason: str
    at: datetime
    outcome: str
    verdict: str
    detail: str
    recovered_in: float | None


@dataclass(frozen=True, slots=True)
class LookedStep:
    """One step of a runbook that ran in an incident."""

    name: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What a runbook found in an incident: by itself, or run by a person."""

    at: datetime
    text: str
    steps: Sequence[LookedStep]
    transcript: str


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when a report speaks."""

    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Episode:
    """The incident of a recovery report, with its times. Seconds; None was not measured or has not
    happened.
    """

    id: str
    component: str
    state: str
    status: str
    summary: str
    check: str
    root_cause: str
    blocked_by: str
    exhausted: bool
    opened: datetime
    recovered: datetime | None
    closed: datetime | None
    detection: Figure
    response: Figure
    recovery: Figure
    runbook: str = ""
    worst: str = ""


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """What a recovery report says. `incident` is None when there is nothing to report."""

    platform: str
    generated: datetime
    headline: str
    incident: Episode | None
    period: Period | None
    impact: Sequence[Figure] = ()
    timeline: Sequence[Moment] = ()
    uptime: Sequence[Uptime] = ()
    actions: Sequence[Act] = ()
    gaps: Sequence[Moment] = ()
    diagnoses: Sequence[Looked] = ()
    open_issues: Sequence[str] = ()
    next_update: datetime | None = None
    cut: int = 0
    kind: str = "recovery"


@dataclass(frozen=True, slots=True)
class ComponentFact:
    """One component at the end of the period."""

    name: str
    status: str
    since: datetime | None
    detail: str
    restarts: int
    action: str


@dataclass(frozen=True, slots=True)
class AgentFact:
    """One agent: completed tasks at the last report and now; None where unknown."""

    name: str
    status: str
    tasks_from: float | None
    tasks_to: float | None
    done: float | None
    tasks_open: float | None


@dataclass(frozen=True, slots=True)
class Milestone:
    """A milestone that a check gave evidence of."""

    name: str
    status: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tasks per hour against the target, and from which counts."""

    per_hour: float | None
    target: float | None
    ratio: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class ProgressFacts:
    """What a progress report says."""

    platform: str
    generated: datetime
    headline: str
    since: datetime | None
    components: Sequence[ComponentFact] = ()
    agents: Sequence[AgentFact] = ()
    throughput: Throughput = field(
        default_factory=lambda: Throughput(None, None, None, NOT_MEASURED)
    )
    assignment: Sequence[Figure] = ()
    delivery: Sequence[Figure] = ()
    blockers: Sequence[str] = ()
    milestones: Sequence[Milestone] = ()
    next_update: datetime | None = None
    totals: Mapping[str, Any] = field(default_factory=dict)
    """Counters as of now, by check: what the next report takes its differences from."""
    cut: int = 0
    kind: str = "progress"
