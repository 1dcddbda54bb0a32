"""What is known now: checks with their latest results, statuses of components, open incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sentinel.core.component import dependencies
from sentinel.core.component import health as health_core
from sentinel.core.component import incident as incident_core
from sentinel.core.component.health import Health
from sentinel.core.component.incident import BAD
from sentinel.core.fault import (
    Fault,
    FaultCounts,
    FaultKind,
    FaultStep,
    Severity,
    StandingFault,
    Status,
    worst,
)
from sentinel.core.model import (
    Check,
    Component,
    Finding,
    Impact,
    Incident,
    IncidentState,
    Result,
    Section,
)
from sentinel.metrics import Metrics
from sentinel.probes import Kind
from sentinel.store import ComponentView
from sentinel.store.document import as_written

CheckState = tuple[Check, Result | None, Finding | None, Status, int]
"""A check with its latest result, finding after thresholds, shown status and number of runs."""


SEVERITIES = tuple(Severity)
NOTHING_MOVED = FaultStep()
LONG_AGO = datetime.min.replace(tzinfo=UTC)
NO_COUNTS: FaultCounts = ({}, {})


@dataclass(slots=True)
class WatchedCheck:
    """What is known of one check."""

    check: Check
    kind: Kind
    health: Health
    raised: frozenset[tuple[object, ...]] = frozenset()
    runs: int = 0
    finding: Finding | None = None
    result: Result | None = None
    failing_since: datetime | None = None
    """Start of the first run of the present row of failures."""
    verdict: Status = Status.UNKNOWN
    """What the latest run says of now: without what is accepted, and without what is past."""
    standing: tuple[StandingFault, ...] = ()
    """The faults that the latest look which could see has found."""
    moved: FaultStep = NOTHING_MOVED
    """What that look changed."""
    cut: int = 0
    """Subjects with faults that are more than can be kept one by one."""
    beyond: FaultCounts = NO_COUNTS
    """How many of those each fault has: that count, and that somebody accepted."""
    newcomer: bool = False
    """Whether it came while its component was sick already: how it was before, nobody knows."""
    at: datetime = LONG_AGO
    """When its latest result was taken in."""
    complaint: str = ""
    """Detail of the latest finding that was bad: the cause of what is hard, also when the very
    latest run passes.
    """
    blamed: str = ""
    """Key of the worst fault of that finding."""
    dump: str = ""
    """What its kind remembers, as it is written; "" of nothing."""
    pledge: str | None = None
    """What of it must be written before the next run; None: all of it."""
    noted: str | None = None
    """What was given to the recorder last of what must be."""
    told: object = None
    """What of it was written last, as far as it matters at once."""

    @property
    def counting(self) -> list[StandingFault]:
        """The faults that stand and that nobody accepted, the worst first."""
        return [each for each in self.standing if each.accepted is None]

    @property
    def lost(self) -> Status:
        """How bad it is what was lost for good and nobody has accepted; up of nothing."""
        losses = (each.fault.status for each in self.counting if each.fault.loss is not None)
        return max(losses, key=lambda status: status.rank, default=Status.UP)

    @property
    def shown(self) -> Status:
        """What is believed of it, and what was lost before: no repair has undone that."""
        believed = self.health.shown
        return worst([believed, self.lost]) if self.standing else believed

    def freeze(self) -> WatchedCheck:
        """As it is now, for whoever reads it later, or in another thread."""
        return WatchedCheck(*_FIELDS(self))

    def count_faults(self) -> FaultCounts:
        """How many subjects have each fault: those that count, and those that are accepted."""
        if not (self.standing or any(self.beyond)):
            return NO_COUNTS
        accepted = Counter(each.fault.key for each in self.standing if each.accepted is not None)
        counting = Counter(each.fault.key for each in self.counting)
        counting.update(self.beyond[0])
        accepted.update(self.beyond[1])
        return dict(counting), dict(accepted)

    def follow_clock(self, step: timedelta) -> None:
        """Move every instant by a step of the clock."""
        self.health = health_core.follow_clock(self.health, step)
        self.standing = tuple(each.follow_clock(step) for each in self.standing)
        if self.failing_since is not None:
            self.failing_since += step
        if self.at is not LONG_AGO:
            self.at += step
        if self.result is not None:
            self.result = replace(self.result, started=self.result.started + step)

    def severity(self, fault: Fault) -> int:
        """How soon somebody must hear of a fault; less is sooner."""
        return rank_severity(self.kind.fault_kinds, fault)

    @property
    def matter(self) -> str:
        """Fault that a person would look up: what is bad now, or was bad while the check is not
        healthy again; "" of none.
        """
        worst_now = next((each.fault.key for each in self.counting), "") if self.standing else ""
        return worst_now or (self.blamed if self.shown in BAD else "")

    def fresh(self, now: datetime) -> Status:
        """The hard status, or unknown when the latest verdict is too old to count."""
        if self.result is None:
            return Status.UNKNOWN
        still_counts = timedelta(seconds=2 * self.check.every + self.check.timeout)
        return self.health.shown if now - self.result.started <= still_counts else Status.UNKNOWN

    def status_after(self, instant: datetime) -> Status:
        """What a verdict taken after an instant says, hard or soft, the worse; else unknown."""
        if self.result is None or self.finding is None or self.result.started < instant:
            return Status.UNKNOWN
        return worst([self.health.shown, self.verdict])

    def is_bad_since(self, instant: datetime) -> bool:
        """Whether a verdict taken after an instant is bad."""
        result = self.result
        return bool(result and result.started >= instant and self.verdict in BAD)

    @property
    def certain(self) -> bool:
        """Whether one look is proof: a fault that makes the verdict is of such a kind."""
        worst_ones = (each.fault for each in self.counting if each.fault.status is self.verdict)
        kinds = self.kind.fault_kinds
        return any(kinds[fault.key].certain for fault in worst_ones if fault.key in kinds)


_FIELDS = attrgetter(*(each.name for each in fields(WatchedCheck)))


def remember(watched: WatchedCheck) -> dict[str, Any]:
    """What the kind of a check remembers, by the check's name, as a turn writes it."""
    return {watched.check.name: as_written(watched.dump)} if watched.dump else {}


@dataclass(frozen=True, slots=True)
class Edges(Mapping[str, tuple[str, ...]]):
    """Components read as what each needs directly: asked at every turn, so nothing is copied."""

    components: Mapping[str, Component]

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self.components[name].depends_on

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    def __len__(self) -> int:
        return len(self.components)


@dataclass(slots=True)
class Picture:
    """Read by everybody in the engine; changed by what happens to a result and by the roster."""

    metrics: Metrics
    utcnow: Callable[[], datetime]
    components: dict[str, Component] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    """The open incident of each component that has one; `Incidents` alone changes them."""
    beneath: dict[str, Incident] = field(default_factory=dict)
    """The incident of a degradation that was there before that one, and goes on."""
    statuses: dict[str, Status] = field(default_factory=dict)
    """What people are told of each component: what was lost and nobody accepted counts."""
    present: dict[str, Status] = field(default_factory=dict)
    """How each component is now, so that something could be done about it."""
    since: dict[str, datetime] = field(default_factory=dict)
    present_since: dict[str, datetime] = field(default_factory=dict)
    """When each of both changed last."""
    _before: dict[str, ComponentView] = field(default_factory=dict)
    """As people saw each when sentinel ended, until it is judged again: a restart of sentinel makes
    nothing younger.
    """
    _critical: frozenset[str] | None = None
    """Components that others rest on; None while nobody has asked."""
    _dependents: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of each that was asked for, all that need it."""
    _checks: dict[str, WatchedCheck] = field(default_factory=dict)
    _of_component: dict[str, dict[str, WatchedCheck]] = field(default_factory=dict)

    # -- who is watched ---------------------------------------------------------------------------

    def add_component(
        self,
        component: Component,
        incident: Incident | None,
        beneath: Incident | None = None,
        before: ComponentView | None = None,
    ) -> None:
        """Begin to keep the picture of a component, with the incident that is still open from
        before, and as it was shown then.
        """
        self.components[component.name] = component
        if before is not None and component.name not in self.statuses:
            self._before[component.name] = before
        self._critical = None
        self._dependents.clear()
        self.statuses.setdefault(component.name, Status.UNKNOWN)
        self.present.setdefault(component.name, Status.UNKNOWN)
        self.metrics.set_component_status(component.name, self.statuses[component.name])
        if incident is not None:
            self.incidents[component.name] = incident
        if beneath is not None:
            self.beneath[component.name] = beneath
        self._show_incident(component.name, incident)

    def remove_component(self, name: str) -> None:
        """Forget a component that the configuration no longer has; its incident stays as it is in
        the store.
        """
        self.components.pop(name, None)
        self._critical = None
        self._dependents.clear()
        self.incidents.pop(name, None)
        self.beneath.pop(name, None)
        self.statuses.pop(name, None)
        self.present.pop(name, None)
        self.since.pop(name, None)
        self.present_since.pop(name, None)
        self.metrics.remove_component(name)

    def replace_components(self, components: Sequence[Component]) -> None:
        """Take the components of a configuration, in its order, which is that of dependencies."""
        self.components = {component.name: component for component in components}
        self._critical = None
        self._dependents.clear()

    def add_check(
        self,
        check: Check,
        kind: Kind,
        health: Health | None,
        standing: Sequence[StandingFault] = (),
    ) -> None:
        """Begin to take results of a check; `health` is what was believed before a restart, and
        `standing` the faults that stood then.
        """
        known = self._checks.get(check.name)
        if known is not None and known.check.component != check.component:
            self.remove_check(check.name)  # the component that it leaves keeps nothing of it
        restored = known.health if known else replace(health, restored=True) if health else Health()
        kept = known.standing if known else tuple(standing)
        newcomer = known.newcomer if known else health is None and check.component in self.incidents
        watched = WatchedCheck(check, kind, restored, standing=kept, newcomer=newcomer)
        self._checks[check.name] = watched
        self._of_component.setdefault(check.component, {})[check.name] = watched
        self.metrics.add_check(check, watched.shown)
        self.metrics.set_faults(check.name, *watched.count_faults())

    def remove_check(self, name: str) -> None:
        """Forget a check that the configuration no longer has."""
        watched = self._checks.pop(name, None)
        if watched is not None:
            self._of_component[watched.check.component].pop(name, None)
            self.metrics.remove_check(name)

    # -- what changes -----------------------------------------------------------------------------

    def set_status(
        self, component: str, status: Status, now: datetime, present: Status | None = None
    ) -> None:
        """A component is something else from now on, as people are told it; `present`: as it is
        now, where what was lost before makes a difference.
        """
        present = status if present is None else present
        before = self._before.pop(component, None)
        if self.statuses.get(component) is not status:
            was = before.since if before is not None and before.status == status else None
            self.statuses[component], self.since[component] = status, was or now
            self.metrics.set_component_status(component, status)
        if self.present.get(component) is not present:
            was = before.present_since if before and before.present == present else None
            self.present[component], self.present_since[component] = present, was or now

    @property
    def calm(self) -> bool:
        """Whether nothing is being repaired or proven: what is degraded or was lost may stand for
        weeks, and no timer runs for it.
        """
        known = (*self.incidents.values(), *self.beneath.values())
        return all(incident_core.is_calm(incident) for incident in known)

    def follow_clock(self, seconds: float) -> list[WatchedCheck]:
        """The clock was set by so many seconds, while the picture was calm: every instant moves
        along, so that nothing is older or younger for it. Returns the checks with a result.
        """
        step = timedelta(seconds=seconds)
        for incidents in (self.incidents, self.beneath):
            for name, incident in incidents.items():
                incidents[name] = incident_core.follow_clock(incident, step)
        self._before.clear()  # by another clock
        for since in (self.since, self.present_since):
            since.update({name: at + step for name, at in since.items()})
        for watched in self._checks.values():
            watched.follow_clock(step)
        return [watched for watched in self._checks.values() if watched.result is not None]

    def keep_incident(self, incident: Incident) -> None:
        """An incident was opened, has changed, or was closed: then what was beneath it is left."""
        name, ended = incident.component, incident.state is IncidentState.CLOSED
        lower = self.beneath.get(name)
        if lower is not None and lower.id == incident.id:
            self.beneath[name] = incident
            if ended:
                del self.beneath[name]
        elif not ended:
            self.incidents[name] = incident
        elif lower is not None:
            self.incidents[name] = self.beneath.pop(name)
        else:
            self.incidents.pop(name, None)
        self._show_incident(name, self.incidents.get(name))

    def lay_beneath(self, component: str) -> None:
        """The incident of a component waits beneath the one that is opened next."""
        self.beneath[component] = self.incidents.pop(component)

    def _show_incident(self, name: str, incident: Incident | None) -> None:
        self.metrics.incidents_open.labels(name).set(name in self.incidents)
        self.metrics.exhausted.labels(name).set(incident is not None and incident.exhausted)

    def begin_anew(self, component: str) -> None:
        """It was started: that it did not run before, as it was meant, is no failure to recover
        from, so its status follows the first look.
        """
        for watched in self.of(component):
            if watched.health.status in BAD:
                watched.health = Health(steady=watched.health.steady)

    def forget_failures(self, component: str) -> None:
        """The next failure of a component begins a story of its own (after an operator's reset)."""
        for watched in self.of(component):
            watched.failing_since = None

    # -- what is asked ----------------------------------------------------------------------------

    def check(self, name: str) -> WatchedCheck | None:
        """What is known of a check."""
        return self._checks.get(name)

    def of(self, component: str) -> list[WatchedCheck]:
        """The checks of a component."""
        return list(self._of_component.get(component, {}).values())

    def checks_of(self, component: str) -> list[str]:
        """Names of a component's checks."""
        return list(self._of_component.get(component, ()))

    def depends_on(self) -> dependencies.DependsOn:
        """Each component with what it needs directly."""
        return Edges(self.components)

    def is_critical(self, check: Check) -> bool:
        """Whether others rest on what a check says: what sentinel drives, and what that needs."""
        if self._critical is None:
            driven = [each.name for each in self.components.values() if each.driver]
            needed = [need for each in self.components.values() for need in each.depends_on]
            self._critical = frozenset([*driven, *needed])
        return check.component in self._critical

    def needed(self, component: str) -> list[str]:
        """Every transitive dependency of a component."""
        return dependencies.find_needed(component, self.depends_on())

    def dependents(self, component: str) -> frozenset[str]:
        """Every component that needs this one, itself or by another one."""
        found = self._dependents.get(component)
        if found is None:
            needing = dependencies.turn_round(self.depends_on())
            found = frozenset(dependencies.find_needed(component, needing))
            self._dependents[component] = found
        return found

    def find_root_cause(self, component: str) -> str:
        """The dependency that is down and explains what a component shows, or ""."""
        return dependencies.find_root_cause(component, self.depends_on(), self.present)

    def find_worst_check(self, component: str) -> WatchedCheck | None:
        """The worst check of a component among those that have a finding."""
        found, rank = None, -1
        for watched in self._of_component.get(component, {}).values():
            if watched.finding is not None and watched.shown.rank > rank:
                found, rank = watched, watched.shown.rank
        return found

    def speaks_for_all(self, watched: WatchedCheck) -> bool:
        """Whether a check is the worst one of its component, the first of equals: or nobody knows."""
        name = watched.check.component
        status = self.statuses.get(name)
        for each in self._of_component.get(name, {}).values():
            if each.shown is status and each.finding is not None:
                return each is watched
        return True

    def find_faults(self, component: str) -> list[tuple[WatchedCheck, Fault]]:
        """The faults of a component that count, of checks that are believed to be bad: what is now
        before what was lost, by status, then by how soon somebody must hear of them.
        """
        faults = [
            (watched, each.fault)
            for watched in self._of_component.get(component, {}).values()
            if watched.standing
            for each in watched.counting
            if watched.health.shown in BAD or each.fault.loss is not None
        ]
        return sorted((each for each in faults if each[1].status in BAD), key=_urgency)

    def status_after(self, component: str, instant: datetime) -> Status:
        """What verdicts taken after an instant say of a component: hard or soft, the worse; older
        ones say nothing.
        """
        return worst([watched.status_after(instant) for watched in self.of(component)])

    def is_observed_down(self, component: str) -> bool:
        """Whether a fresh verdict says down: a check that passes again needs no action."""
        now = self.utcnow()
        return any(
            watched.fresh(now) is Status.DOWN and watched.health.window[-1:] == (Status.DOWN,)
            for watched in self.of(component)
        )

    def before(self, component: str) -> dict[str, Status]:
        """How each check was last for long; one that never was has to be up, unless it came while
        the component was sick: then nothing is said of it.
        """
        steady = {
            watched.check.name: watched.health.steady
            for watched in self.of(component)
            if not (watched.newcomer and watched.health.steady is Status.UNKNOWN)
        }
        return {
            name: Status.UP if status is Status.UNKNOWN else status
            for name, status in steady.items()
        }

    def compare(self, component: str, incident: Incident | None) -> Status:
        """How a component is now, measured by how it was before the failure of an incident."""
        shown = {watched.check.name: watched.health.shown for watched in self.of(component)}
        return worst(list(incident_core.compare_with_before(incident, shown).values()))

    def passes(self, incident: Incident) -> int:
        """How many times in a row each check of a component was as it was before the failure, the
        fewest of all.
        """
        found = self.of(incident.component)
        return min((_count_passes(watched, incident) for watched in found), default=0)

    def is_flapping(self, component: str) -> bool:
        """Whether any check of the component flaps."""
        return any(watched.health.flapping for watched in self.of(component))

    def last_result(self, check: str) -> Result | None:
        """The latest result of a check."""
        watched = self._checks.get(check)
        return watched.result if watched else None

    def results(self) -> list[CheckState]:
        """Every check as it is now."""
        return [(w.check, w.result, w.finding, w.shown, w.runs) for w in self._checks.values()]

    def looks(self) -> dict[str, tuple[datetime, int]]:
        """When each check that has a result began last, and how often it ran."""
        known = self._checks.items()
        return {name: (w.result.started, w.runs) for name, w in known if w.result is not None}

    def watched(self) -> list[WatchedCheck]:
        """Everything that is known of each check."""
        return list(self._checks.values())

    def count_unseen(self) -> int:
        """Checks without a result yet."""
        return sum(watched.result is None for watched in self._checks.values())

    def has_told(self, section: Section) -> bool:
        """Whether every check that may name figures of a section one by one has done so."""
        known = ((watched, watched.kind.impact) for watched in self._checks.values())
        told = [
            _names_each(watched, impact)
            for watched, impacts in known
            for impact in impacts
            if impact.section is section
        ]
        return bool(told) and all(told)


def _names_each(watched: WatchedCheck, impact: Impact) -> bool:
    read = {term.measurement for term in impact.certain}
    rows = watched.finding.rows if watched.finding is not None else ()
    return any(impact.each in row.labels and read & row.values.keys() for row in rows)


def rank_severity(kinds: Mapping[str, FaultKind], fault: Fault) -> int:
    """How soon somebody must hear of a fault, as its kind declares it; less is sooner."""
    declared = kinds.get(fault.key)
    return SEVERITIES.index(declared.severity) if declared else len(SEVERITIES)


def _urgency(found: tuple[WatchedCheck, Fault]) -> tuple[bool, int, int]:
    watched, fault = found
    believed = min(watched.shown.rank, fault.status.rank)
    return fault.loss is not None, -believed, watched.severity(fault)


def _count_passes(watched: WatchedCheck, incident: Incident) -> int:
    health, before = watched.health, incident.before
    if before and before.get(watched.check.name) is not Status.UP:
        return health.not_down
    return health.passes
