"""What sentinel remembers. The engine writes values of the core; everybody else reads them back as
values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import StandingFault
from sentinel.core.model import Attempt, Incident, Transition
from sentinel.core.moment import Moment, read_moment
from sentinel.core.objective import ObjectiveStanding, Slice, Tally
from sentinel.core.order import Answer, Order
from sentinel.store.counted import CountedReader, CountedStore

if TYPE_CHECKING:  # they are made of what stands here
    from sentinel.store.audit import AuditVerdict
    from sentinel.store.plans import CleaningLedger
    from sentinel.store.runbook import RunbookRun

FRESH = 10.0
"""Seconds after its last sign of life in which a daemon counts as running."""
HALT_FILE = "HALT"
"""The kill switch: while this file is in the state folder, nothing acts by itself."""
BEAT = "beat"
"""Under this word the daemon remembers its last sign of life: a moment."""
HELD_KEY = "held"
"""Under this word the daemon remembers what holds all its actions back: JSON, a list of [reason,
text].
"""
PLEDGE = "pledge/"
"""With the name of a check behind it: what its kind pledged, newer than its state (JSON)."""
FORGOTTEN = "forgotten"
"""Under this word the store remembers from when on it has all that happened: an instant."""
OWN_ACTOR = "sentinel"
"""Who acts where nobody ordered it."""
OWN_KEY = "own"
"""Under this word the daemon remembers what of itself does not work: JSON, a list of sentences."""


@dataclass(frozen=True, slots=True)
class CheckView:
    """The latest of one check, for people: hard status, last finding, runs. Instants aware UTC,
    seconds.
    """

    name: str
    kind: str
    component: str
    status: str
    soft: str
    since: datetime | None
    detail: str
    key: tuple[str, str] | None
    guidance: str
    evidence: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    runs: int
    every: float
    last_run: datetime | None
    duration: float
    outcome: str
    quality: str
    trace_id: str
    runbook: str
    flapping: bool
    faults: Mapping[str, int] = field(default_factory=dict)
    """Fault → number of subjects that have it and that nobody accepted."""
    accepted: Mapping[str, int] = field(default_factory=dict)
    """Fault → number of subjects that have it and for which somebody accepted it."""
    cut: int = 0
    """Subjects with faults that are more than can be remembered one by one."""
    looked: datetime | None = None
    noted: datetime | None = None
    """When it ran last, which may be later than the run that it tells of, and when that was noted."""

    @property
    def latest(self) -> datetime | None:
        """When it ran last."""
        return self.looked or self.last_run


@dataclass(frozen=True, slots=True)
class ComponentView:
    """The latest of one component: worst status, why nothing is being done, restarts so far."""

    name: str
    status: str
    since: datetime | None
    detail: str
    depends_on: Sequence[str]
    driver: str
    pid: int | None
    restarts: int
    action: str
    present: str = ""
    """The status without what was lost for good, which no repair ends; "" in older documents."""
    present_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of an incident's timeline."""

    incident: str
    at: datetime
    kind: str
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """The last known process of a component, so that a new daemon can adopt it.

    Not `wanted`: it was stopped on request and stays so, or `with_platform`: it was stopped
    together with sentinel, and is started together with it.
    """

    component: str
    pid: int
    start_id: str
    started: datetime
    wanted: bool
    with_platform: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which sentinel saw nothing: stalled, stopped, not running."""

    began: datetime
    ended: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A rendered report: where it lies and the facts it was made from."""

    id: int
    kind: str
    at: datetime
    paths: Sequence[str]
    facts: Mapping[str, Any]


ROLLED_UP_WITHIN = timedelta(hours=6)
"""A total that does not move has a reading at least so often while it is looked at."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure at the end of a minute in which a total of its check moved, or at the end of the
    time in which none did: a roll-up for reports.
    """

    at: datetime
    check: str
    measurement: str
    labels: Mapping[str, str]
    value: float


LOOK_DURATION = "look_duration_seconds"
"""The measurement under which the duration of a check's latest look is rolled up, in seconds."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit log: who did what, chained by hash."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line that is still to be appended to the audit log."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class StateTrouble:
    """What is wrong with the state itself. `doubt`: why it is not certainly the one that was here,
    with its `cure`; `damaged`: rows that were set aside and that nobody has accepted, by table;
    `unwritable`: why a command could only read it.
    """

    doubt: str = ""
    cure: str = ""
    damaged: Mapping[str, int] = field(default_factory=dict)
    last: datetime | None = None
    unwritable: str = ""

    @property
    def damage(self) -> str:
        """Which rows were set aside, for people, with the next step; ""."""
        if not self.damaged:
            return ""
        parts = ", ".join(f"{n} of {name}" for name, n in sorted(self.damaged.items()))
        return (
            f"damaged rows of the state were set aside ({parts}), and budgets that they counted"
            " are spent: `sentinel state show`, then `sentinel state accept --reason …`"
        )

    @property
    def lines(self) -> list[str]:
        """All of it for people, with the next step."""
        doubt = f"no action: {self.doubt}; {self.cure}" if self.doubt else ""
        return [line for line in (doubt, self.no_room, self.damage) if line]

    @property
    def no_room(self) -> str:
        """Why nothing is done with a state that can only be read, for people; ""."""
        return f"no action, the state can't be written: {self.unwritable}" * bool(self.unwritable)


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that was set aside: from which table, why, what it held (an SQL literal), and whose
    budget counts as spent for it ("*": everybody's).
    """

    at: datetime
    source: str
    why: str
    content: str
    lost: str
    seen: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """Instants before which is forgotten: what happened, attempts and caps (they count budgets for
    a day at least), reports, the audit log, what was counted for objectives.
    """

    before: datetime
    journal: datetime
    reports: datetime
    audit: datetime
    objectives: datetime


@dataclass(frozen=True, slots=True)
class RetentionStep:
    """What one step of forgetting did: rows dropped, pages given back, and whether there is `more`."""

    rows: int = 0
    pages: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """What must hold in the ledger in the moment of a claim, whatever the claimant believes
    (scale.md §4.3).

    The shard is `member`'s under `epoch`; fewer than `max_attempts` of the incident count into the
    budget; fewer than
    `concurrent` attempts are running. 0 or "" asks nothing.
    """

    member: str = ""
    epoch: int = 0
    shard: int = 0
    max_attempts: int = 0
    concurrent: int = 0


NO_FENCE = Fence()


@dataclass(slots=True)
class Changes:
    """Everything that one turn of the pipeline wants to remember; committed in one transaction."""

    checks: list[CheckView] = field(default_factory=list)
    components: list[ComponentView] = field(default_factory=list)
    health: dict[str, Health] = field(default_factory=dict)
    probe_state: dict[str, Any] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    events: list[tuple[str, datetime, Event, Mapping[str, Any]]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    processes: list[ProcessRow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    payloads: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Key of an order that waits → what it carries from now on."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Key of an order → what became of it."""
    faults: list[StandingFault] = field(default_factory=list)
    audit: list[AuditLine] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    standings: dict[str, ObjectiveStanding] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    clock_step: timedelta = timedelta()
    """By how much the clock was set: faults that stand have stood as long as before."""

    def __bool__(self) -> bool:
        return any(_PARTS(self))


_PARTS = attrgetter(*Changes.__slots__)


class Reader(CountedReader, Protocol):
    """What web, reports, runbooks and the CLI may ask."""

    def meta(self, key: str) -> str | None:
        """A single remembered word, such as `started` or `platform`."""
        ...

    def checks(self) -> list[CheckView]:
        """Every check of the running configuration, by name."""
        ...

    def components(self) -> list[ComponentView]:
        """Every component of the running configuration, in dependency order."""
        ...

    def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Newest first."""
        ...

    def incident(self, incident_id: str) -> Incident | None:
        """One incident by id."""
        ...

    def timeline(self, incident_id: str, *, most: int | None = None) -> list[TimelineEntry]:
        """What happened in an incident, oldest first; of more than `most` lines the first quarter
        of it and the rest from the end.
        """
        ...

    def count_timeline(self, incident_id: str) -> int:
        """How many lines that are."""
        ...

    def attempts(
        self,
        *,
        incident: str | None = None,
        component: str | None = None,
        since: datetime | None = None,
        limit: int = -1,
    ) -> list[Attempt]:
        """Journaled attempts, oldest first; with `limit` only the newest."""
        ...

    def faults(
        self, check: str | None = None, *, since: datetime | None = None, limit: int = -1
    ) -> list[StandingFault]:
        """Faults that stand now, and with `since` those too that ended after it; by check."""
        ...

    def transitions(
        self, *, since: datetime, subject: str | None = None, limit: int = -1
    ) -> list[Transition]:
        """Changes of hard status since an instant, oldest first; with `limit` only the newest."""
        ...

    def gaps(self, *, since: datetime, limit: int = -1) -> list[Gap]:
        """Times in which sentinel saw nothing, that ended after `since`, oldest first; with `limit`
        only the newest.
        """
        ...

    def samples(
        self,
        *,
        since: datetime,
        measurement: str | None = None,
        check: str | None = None,
        limit: int = -1,
    ) -> list[Sample]:
        """Roll-ups since an instant, oldest first; with `limit` only the newest."""
        ...

    def reports(self, kind: str | None = None, limit: int = 20) -> list[ReportRow]:
        """Rendered reports, newest first."""
        ...

    @property
    def cleaning(self) -> CleaningLedger:
        """Caps, plans and memory of housekeeping."""
        ...

    def audit(self, limit: int = 100, *, without: str = "") -> list[AuditRow]:
        """The audit log, newest first, `without` one action."""
        ...

    def audit_of(self, action: str, began: datetime, ended: datetime, limit: int) -> list[AuditRow]:
        """What the audit log has of one action in a period: the newest `limit`, oldest first."""
        ...

    def trouble(self) -> StateTrouble:
        """Whether this is the state that was here, and what of it was damaged."""
        ...


def unobserved_since(store: Reader, now: datetime) -> datetime | None:
    """The daemon's last sign of life when it was stopped or has been silent for long; None while
    one runs. `now` is by the store's clock (`show_time`).
    """
    beat = store.meta(BEAT)
    if beat is None:
        return None
    seen = read_moment(beat).at
    # A sign of life from a time that is still to come is of another boot, whose clock was wrong.
    return seen if store.meta("stopped") or abs((now - seen).total_seconds()) >= FRESH else None


def show_time(store: Reader, here: Moment) -> datetime:
    """Now, by the clock that wrote what is in the store: the daemon takes a wall clock that was set
    over only while nothing is wrong, and every age is to be counted by one clock.
    """
    beat = store.meta(BEAT)
    return here.show(read_moment(beat)) if beat else here.at


class Store(Reader, CountedStore, Protocol):
    """What the daemon and the commands may do besides reading."""

    def healths(self) -> dict[str, Health]:
        """What was believed of each check, by its name."""
        ...

    def probe_states(self) -> dict[str, Any]:
        """What the kinds with a memory dumped, by check."""
        ...

    def processes(self) -> list[ProcessRow]:
        """The last known process of every component that has one."""
        ...

    def replace_configuration(self, checks: Sequence[str], components: Sequence[str]) -> None:
        """Drop views of what is no longer configured, and note the order of the rest."""
        ...

    def save_run(self, run: RunbookRun) -> None:
        """Remember a run of a runbook as it is now."""
        ...

    def runs(self, run_id: str | None = None, limit: int = 100) -> list[RunbookRun]:
        """Runs of runbooks, newest first."""
        ...

    def verify_audit(self, noted: tuple[int, str] | None = None) -> AuditVerdict:
        """Whether the audit log is whole, and as it was `noted` elsewhere."""
        ...

    def commit(self, changes: Changes) -> None:
        """Remember everything, or nothing. StateError: try later; ValueError: it can never be
        stored.
        """
        ...

    def claim_attempt(self, attempt: Attempt, fence: Fence = NO_FENCE) -> None:
        """Journal an intent with full sync before the act. ActionRefused: its number is taken, or
        the fence objects.
        """
        ...

    def join(self, member: str, at: datetime) -> int:
        """Take all shards under a new epoch; every earlier member is fenced. Returns the epoch."""
        ...

    def newest_epoch(self, member: str, at: datetime | None = None) -> int:
        """The epoch of whoever joined last; with `at` it is a sign of life of a member, too."""
        ...

    def set_watermarks(self, watermarks: Mapping[int, str]) -> None:
        """Note how far shards were worked through when they were given up."""
        ...

    def add_order(self, order: Order, at: datetime) -> bool:
        """Put an order; False when its key is already known."""
        ...

    def take_orders(self) -> list[Order]:
        """Orders not done yet, oldest first."""
        ...

    def finish_order(self, key: str, answer: Answer, at: datetime) -> None:
        """Note what became of an order."""
        ...

    def order_keys(self, kind: str) -> list[str]:
        """Keys of every order of a kind that is still remembered, oldest first."""
        ...

    def order_outcome(self, key: str) -> Answer | None:
        """What became of an order, or None while it waits."""
        ...

    def add_audit(self, at: datetime, actor: str, action: str, subject: str, detail: str) -> None:
        """Append to the audit log; the hash chains it to the line before."""
        ...

    def add_report(
        self, kind: str, at: datetime, paths: Sequence[str], facts: Mapping[str, Any]
    ) -> int:
        """Remember a rendered report; its id."""
        ...

    def forget(self, retention: Retention) -> RetentionStep:
        """Drop a little of what is older than the retention, in one short transaction."""
        ...

    @property
    def is_unseen(self) -> bool:
        """Whether it can be read by now, and could not when sentinel started: it must be anew."""
        ...

    def look_through(self) -> int | None:
        """Some rows more of what the start left out; how many were whole so far, None when nothing
        is left. StateError: some of it can't be read.
        """
        ...

    def lost(self, component: str) -> str | None:
        """Since when the budget of a component counts as spent for a damaged row: a moment."""
        ...

    def accept(self, at: datetime, actor: str, reason: str) -> None:
        """At a person's word this state counts from now on, and its damage was seen."""
        ...

    def damaged(self, limit: int = 100) -> list[DamagedRow]:
        """Rows that were set aside, newest first."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
