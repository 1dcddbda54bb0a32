"""The nouns of sentinel, as frozen values. Every arrow of the data flow is one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sentinel.core.fault import Acceptance, Fault, Labels, Status
from sentinel.core.fault.loss import KEEP_LOSSES
from sentinel.core.moment import Moment


class Quality(StrEnum):
    """Whether a verdict was really observed, or taken while sentinel itself was blind (stalled,
    starved).
    """

    OBSERVED = "observed"
    BLIND = "blind"


class ErrorClass(StrEnum):
    """Whose fault, and whether trying again may help."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative classic histogram: `counts[i]` observations ≤ `bounds[i]`; `total` is the +Inf
    bucket.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: int
    sum: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Declaration of one measured figure: the name used in rows and thresholds, and the metric it
    feeds.

    `labels` are the metric's labels; a row that carries this measurement must have all of them.
    Counters carry totals since sentinel began to watch and never go back; a gauge of a check that
    failed is removed, not frozen. `unit` is `seconds`, `bytes`, `ratio`, `entries` or "".
    """

    name: str
    help: str
    metric: str = ""
    type: str = "gauge"
    unit: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """Which rows a figure of a report adds up: a measurement, and labels that they must carry.

    `sparse` rows appear with the first event that they count: as long as the check gives any other
    row, their absence is zero. Of all others it means that nobody measured.
    """

    measurement: str
    labels: Labels = field(default_factory=dict)
    sparse: bool = False

    def fits(self, labels: Labels) -> bool:
        """Whether a row with these labels belongs to it."""
        return all(labels.get(label) == value for label, value in self.labels.items())


class Section(StrEnum):
    """Where a report shows a figure."""

    INCIDENT = "incident"
    """What an incident cost."""
    DELIVERY = "delivery"
    ASSIGNMENT = "assignment"
    WORK = "work"
    """Flows and agents: what stands, what moves."""
    COMPLETED = "completed"
    """Tasks that were done, agent by agent where the rows tell the agent."""
    CREATED = "created"
    """Tasks that came in; the rate of work where nobody counts what was done."""
    HELD = "held"
    """Tasks that agents hold now."""
    POSITION = "position"
    """How far a log has got: before and after a failure it tells whether anything was taken back."""


class Fold(StrEnum):
    """How the rows of a figure become one number."""

    GAIN = "gain"
    """What a total gained over the period of the report."""
    SUM = "sum"
    """All rows as they are now, added up."""
    LARGEST = "largest"
    """The largest row as it is now."""


@dataclass(frozen=True, slots=True)
class Impact:
    """Declaration of one figure of a report, beside the measurements that it is made of.

    `certain` is its lower bound, `possible` is what the upper bound adds. With `whole` the figure
    is the share certain ÷ whole. `each` is the label whose values are told one by one. `basis` says
    what a reader must know: over what it is counted, and what it leaves out. `loss`: what it counts
    is gone for good; of a position, that any change of it means so.
    """

    name: str
    section: Section
    certain: tuple[Term, ...]
    possible: tuple[Term, ...] = ()
    whole: tuple[Term, ...] = ()
    fold: Fold = Fold.GAIN
    unit: str = ""
    each: str = ""
    basis: str = ""
    loss: bool = False
    trend: bool = False
    """Whether reports draw it as a curve: its largest value is kept once a minute."""

    @property
    def terms(self) -> tuple[Term, ...]:
        """Everything that it reads."""
        return (*self.certain, *self.possible, *self.whole)


@dataclass(frozen=True, slots=True)
class Margin:
    """Declaration of something that runs out, beside the measurements that tell how far it is.

    `used` of `whole` (a measurement of the same row, or a number) is a share; a report calls it
    close from the share `close` on. Without a `whole`, `used` is what is left, in `unit`, and close
    below `close`.
    """

    name: str
    used: str
    close: float
    whole: str | float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Sli:
    """Declaration of what an objective can be set for, beside the counters that it is made of.

    Each event was judged once and for good: `whole` adds up all of them, `good` those that were as
    they should be; or `bad` those that were not, where a kind counts those. `name` is stable:
    `objectives:` of the configuration names it. `meaning` says what a good event is.
    """

    name: str
    meaning: str
    whole: tuple[Term, ...]
    good: tuple[Term, ...] = ()
    bad: tuple[Term, ...] = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        """Everything that it reads."""
        return (*self.whole, *self.good, *self.bad)


@dataclass(frozen=True, slots=True)
class Row:
    """Named measurements of one subject (a stream and group, a queue, a database …)."""

    labels: Labels
    values: Mapping[str, float | Histogram]


@dataclass(frozen=True, slots=True)
class AuditNote:
    """What a look leaves in the audit log, whatever is forgotten of its verdict later: one word for
    the action, and what was done.
    """

    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one run of a probe found.

    `detail` is one line for people, the worst fault first. `faults` say what is wrong with whom,
    the worst first; a finding that is degraded or down has at least one, and none of them is worse
    than the finding. `rows` are measurements. `evidence` is a small JSON-able mapping with samples
    and commands that cure. `guidance` tells the next manual step when not up. `key` names the
    figure people look at first: (label, text), such as ("acked", "99.95 %"). `notes` go into the
    audit log, in the same transaction.
    """

    status: Status
    detail: str
    rows: Sequence[Row] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    guidance: str = ""
    key: tuple[str, str] | None = None
    faults: Sequence[Fault] = ()
    notes: Sequence[AuditNote] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """Value hysteresis: enter at `raise_at`, leave at `clear_at`. raise > clear: high is bad; less:
    low is bad.
    """

    raise_at: float
    clear_at: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """Levels of one measurement of a check."""

    measurement: str
    degraded: Level | None = None
    down: Level | None = None


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Hard after `failures` of the last `of` verdicts; back after `recoveries` and `recovery_time`
    s.
    """

    failures: int = 3
    of: int = 5
    recoveries: int = 2
    recovery_time: float = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One configured check. `options` is the kind's own Options object; times in seconds."""

    name: str
    kind: str
    component: str
    every: float
    timeout: float
    options: Any
    resources: Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    health: HealthPolicy = field(default_factory=HealthPolicy)
    runbook: str = ""
    diagnose: bool | None = None
    """Whether reading steps of its runbook run by themselves; None leaves it to the runbook and the
    platform.
    """
    source: str = field(default="", compare=False)
    """Where it is written, as file:line. A check that only moved is the same one."""
    accept: tuple[Acceptance, ...] = ()
    """Faults that somebody knows of and bears, each with its reason and end."""
    keep_losses: float = KEEP_LOSSES
    """For how long what was lost for good stands as a fault when nobody accepts it."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before attempt n: `first` for n = 1, then `initial`·`factor`^(n−2), at most `max`, × 1
    ± `jitter`.
    """

    first: float = 5.0
    initial: float = 20.0
    factor: float = 4.0
    max: float = 300.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Caps and times of automatic restarts of one component; times in seconds (reliability.md §3)."""

    max_attempts: int = 3
    per_hour: int = 3
    per_day: int = 6
    backoff: Backoff = field(default_factory=Backoff)
    startup_grace: float = 60.0
    success_after: float = 60.0
    close_after: float = 600.0
    stop_timeout: float = 30.0
    kill_safe: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the platform. `options` is its driver's own Options object, None without a driver."""

    name: str
    resource: str = ""
    driver: str = ""
    options: object = None
    depends_on: tuple[str, ...] = ()
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    group: str = ""
    watch: tuple[str, ...] = ()
    """Files and folders whose change has it reload or restart."""
    owner: str = ""
    """Who answers for it."""


@dataclass(frozen=True, slots=True)
class Result:
    """One ended run of a check: the finding, or what stopped it. `started` is aware UTC, `duration`
    seconds.
    """

    check: str
    finding: Finding
    started: datetime
    duration: float
    trace_id: str
    quality: Quality = Quality.OBSERVED
    error_class: ErrorClass | None = None
    outcome: str = "ok"
    state: Any = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of the hard status of a check or a component."""

    subject: str
    scope: str
    before: Status
    after: Status
    at: datetime
    reason: str


class IncidentState(StrEnum):
    """Life of an incident: open until the component is healthy, recovering while that is proven,
    then closed.
    """

    OPEN = "open"
    RECOVERING = "recovering"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Incident:
    """One continuous not-healthy episode of one component. Instants are aware UTC."""

    id: str
    component: str
    opened: datetime
    state: IncidentState
    status: Status
    summary: str
    check: str = ""
    blocked_by: str = ""
    root_cause: str = ""
    """The dependency that was found down with it, also when that is over; "" when it is a cause
    itself.
    """
    runbook: str = ""
    """The one for what was found; what the check says later, when it passes again, is another
    matter.
    """
    exhausted: bool = False
    escalated: bool = False
    announced: bool = False
    """Whether people were told of it; an incident that is blocked by another one is not announced.
    """
    unblocked: datetime | None = None
    """When what blocked it became healthy, while it was not."""
    recovered: datetime | None = None
    watched_until: datetime | None = None
    """When it is closed if the component stays healthy and sentinel sees it, while it is recovered.
    """
    acknowledged: datetime | None = None
    """When somebody said that they see to it: nobody else is called any more."""
    acknowledged_by: str = ""
    return_told: bool = False
    """Whether people were told that it recovered: then they hear of a relapse, too."""
    settled: datetime | None = None
    """Since when the component works and nothing but what was lost for good keeps it open."""
    closed: datetime | None = None
    last_unhealthy: datetime | None = None
    fault: str = ""
    """Key of the fault that `summary` begins with: the worst that stands, or stood last."""
    subject: Labels = field(default_factory=dict)
    """Whom it concerns."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What that fault tells its runbook."""
    began_as: str = ""
    """The summary when it was opened; `summary` itself follows what stands now."""
    worst: Status | None = None
    """The worst status so far; `status` is the latest bad one. None where an older sentinel wrote
    it.
    """
    before: Mapping[str, Status] = field(default_factory=dict)
    """How each check was when the component went down: the failure is over when they are so again.
    Empty while it did not, and where an older sentinel wrote it: then it is over when all are up.
    """


@dataclass(frozen=True, slots=True)
class Attempt:
    """One journaled intent to act; the row exists before the act, so its number is spent whatever
    happens.
    """

    incident: str
    n: int
    component: str
    action: str
    reason: str
    intended: datetime
    outcome: str = ""
    detail: str = ""
    ended: datetime | None = None
    verdict: str = ""
    recovered_in: float | None = None
    start_id: str = ""
    by: str = "sentinel"
    """Who asked: `sentinel` itself, a `runbook` (the same budget), an `operator` or a `watch` of
    files (no budget).
    """
    boot: str = ""
    uptime: float | None = None
    ended_uptime: float | None = None
    epoch: int = 0
    target: str = ""
    """Start id of the target before the act: after a crash it tells whether the act happened."""
    command: str = ""
    """Hash of what is started."""

    @property
    def began(self) -> Moment:
        """When it was intended, safe from changes of the wall clock."""
        return Moment(self.intended, self.boot, self.uptime)

    @property
    def finished(self) -> Moment:
        """When it ended, or was intended while that is not known."""
        return Moment(self.ended, self.boot, self.ended_uptime) if self.ended else self.began
