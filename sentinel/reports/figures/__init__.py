"""The facts of reports, as frozen values. JSON, Markdown and HTML are made from these and from
nothing else.

A figure that sentinel did not measure is None, and its `basis` says why; no figure is ever made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
class TimelineLine:
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
    """How one component spent a period, in seconds. Both ratios are of the observed time, None
    where nothing was observed: `up_ratio` is up alone, `working_ratio` is up and degraded. Time of
    `maintenance` is in no other figure, seen or not. `status` is how it stands now, `owner` who
    answers for it.
    """

    component: str
    up: float
    degraded: float
    down: float
    unobserved: float
    maintenance: float
    up_ratio: float | None
    working_ratio: float | None
    spans: Sequence[Span] = ()
    status: str = ""
    owner: str = ""


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
    incident: str = ""
    by: str = ""


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
class FaultFact:
    """One thing that was wrong with one subject, as often as it came back in the period.

    `began` is of the first time, `ended` of the last, None while it stands; `seconds` is how long
    it stood in all. `low` and `high` are how many entries, tasks or rows it concerns. `priority` is
    the severity that its kind declares, `owner` who answers for the component, `command` the first
    thing to type. `lost`: it tells of what is gone for good.
    """

    check: str
    component: str
    key: str
    subject: str
    status: str
    worst: str
    text: str
    began: datetime
    ended: datetime | None
    seconds: float
    times: int = 1
    low: float | None = None
    high: float | None = None
    cure: Sequence[str] = ()
    guidance: str = ""
    lost: bool = False
    priority: str = ""
    owner: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class AcceptedFault:
    """A fault that somebody knows of and bears: why, and until when."""

    fault: FaultFact
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Linked:
    """Another incident of the same failure: the cause of a symptom, or a symptom of a cause."""

    id: str
    component: str
    summary: str
    opened: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Episode:
    """The incident of a recovery report, with its times. Seconds; None was not measured or has not
    happened. `cause` is the incident behind a symptom, `symptoms` those that it brought about.
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
    spent: Uptime
    runbook: str = ""
    worst: str = ""
    cause: Linked | None = None
    symptoms: Sequence[Linked] = ()


@dataclass(frozen=True, slots=True)
class PersonAct:
    """What a person did: a note in an incident, or an order from the audit log."""

    at: datetime
    by: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class PositionFact:
    """How far a log was before and after a failure. `went_back` is None where one is unknown."""

    name: str
    check: str
    unit: str
    before: float | None
    after: float | None
    before_at: datetime | None
    after_at: datetime | None
    went_back: bool | None
    verdict: str


@dataclass(frozen=True, slots=True)
class TargetFact:
    """A target and what came of it; `met` is None where that is not measured or too little is
    known.
    """

    name: str
    target: float
    actual: Figure
    met: bool | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class RiskFact:
    """Something that runs out, and how near it is. `nearness` is 1 where it is called close, more
    beyond; `share` of the whole is used, or `left` is left, in `unit`.
    """

    name: str
    check: str
    subject: str
    nearness: float
    share: float | None
    left: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class RiskTable:
    """What is close to a limit, what was looked at and is not, and what no check looks at."""

    close: Sequence[RiskFact] = ()
    far: Sequence[str] = ()
    unmeasured: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """The largest value of a stretch of time that ends at `at`."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class TrendFact:
    """How a figure went over a period, as a curve; `target` is a line to compare it with, and what
    it is called.
    """

    name: str
    check: str
    unit: str
    points: Sequence[TrendPoint]
    target: float | None = None
    target_name: str = "target"


@dataclass(frozen=True, slots=True)
class Calling:
    """A step of the escalation path. `since` is the oldest incident that has stood so long, None
    while none has.
    """

    after: float
    who: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """What a recovery report says. `incident` is None for a period over the whole platform, and
    when there is nothing to report: then `period` is None, too.
    """

    platform: str
    generated: datetime
    headline: str
    incident: Episode | None
    period: Period | None
    summary: Sequence[str] = ()
    episodes: Sequence[Episode] = ()
    impact: Sequence[Figure] = ()
    timeline: Sequence[TimelineLine] = ()
    faults: Sequence[FaultFact] = ()
    accepted: Sequence[AcceptedFault] = ()
    uptime: Sequence[Uptime] = ()
    actions: Sequence[Act] = ()
    gaps: Sequence[TimelineLine] = ()
    diagnoses: Sequence[Looked] = ()
    open_issues: Sequence[str] = ()
    unaffected: Sequence[str] = ()
    people: Sequence[PersonAct] = ()
    agents: Sequence[AgentFact] = ()
    agents_period: Period | None = None
    """Between the counts `tasks_from` and `tasks_to`; None where none is kept from before its end."""
    losses: Sequence[Figure] = ()
    lost: Sequence[FaultFact] = ()
    positions: Sequence[PositionFact] = ()
    targets: Sequence[TargetFact] = ()
    risks: RiskTable = RiskTable()
    trends: Sequence[TrendFact] = ()
    escalation: Sequence[Calling] = ()
    next_update: datetime | None = None
    cut: int = 0


@dataclass(frozen=True, slots=True)
class ComponentFact:
    """One component at the end of the period."""

    name: str
    status: str
    since: datetime | None
    detail: str
    restarts: int
    action: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class AgentFact:
    """One agent as one check sees it: completed tasks at the beginning and at the end of what
    is told; None where nobody measured. `label` is the name that people call it, "" when it has no other than its id.
    """

    name: str
    label: str
    check: str
    status: str
    tasks_from: float | None
    tasks_to: float | None
    done: float | None
    tasks_open: float | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tasks per hour against the target, and from which counts."""

    per_hour: float | None
    target: float | None
    ratio: float | None
    basis: str
    check: str = ""
