"""What happens to a result, in order: record → measure → health → component → incident; one
transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sentinel.core import health as health_core
from sentinel.core import incident as incident_core
from sentinel.core.fault import Status, worst
from sentinel.core.health import Health
from sentinel.core.incident import Event, find_root_cause
from sentinel.core.model import (
    Check,
    Component,
    Finding,
    Incident,
    IncidentState,
    Result,
    Row,
    Transition,
)
from sentinel.core.order import Order
from sentinel.engine.recorder import Recorder
from sentinel.engine.stall import StallGuard
from sentinel.metrics import Metrics
from sentinel.probes import Kind
from sentinel.store import Changes, CheckView, ComponentView, Gap, Sample

_CAUSE_SHOWS = timedelta(seconds=15)
"""Within this time the check of a dependency that is the cause says so."""


@dataclass(slots=True)
class _Watched:
    """What the pipeline knows of one check."""

    check: Check
    kind: Kind
    health: Health
    raised: frozenset[tuple[object, ...]] = frozenset()
    runs: int = 0
    finding: Finding | None = None
    result: Result | None = None
    failing_since: datetime | None = None
    """Start of the first run of the present row of failures."""
    complaint: str = ""
    """Detail of the latest finding that was bad: the cause of what is hard, also when the very
    latest run passes.
    """


@dataclass(slots=True)
class Pipeline:
    """Takes results; keeps the current picture; tells `on_turn` which components to look at again."""

    recorder: Recorder
    metrics: Metrics
    guard: StallGuard
    utcnow: Callable[[], datetime]
    scrub: Callable[[Any], Any]
    on_turn: Callable[[], None] = lambda: None
    components: dict[str, Component] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    away: Sequence[Gap] = ()
    """Times before this start in which no sentinel was running."""
    describe_action: Callable[[str], tuple[str, int | None, int]] = lambda _name: ("", None, 0)
    runbook_of: Callable[[Check, str], str] = lambda check, _detail: check.runbook
    """The runbook for a check and the line of its finding."""
    diagnoses: Callable[[Check, str], bool] = lambda _check, _runbook: False
    """Whether the reading steps of a runbook run by themselves when a check opens an incident."""
    holds_announcement: Callable[[str, datetime], bool] = lambda _group, _opened: False
    """Whether the incident of a member of a group waits: ten that fall together are one page."""
    is_held: Callable[[str], bool] = lambda _name: False
    """Whether a component, or something that it needs, is stopped on request: that is no incident.
    """
    is_stopped: Callable[[str], bool] = lambda _name: False
    """Whether a component itself is stopped on request: nobody is to read that it is up."""
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _of_component: dict[str, dict[str, _Watched]] = field(default_factory=dict)
    _shown: dict[str, ComponentView] = field(default_factory=dict)
    """The views as they were last written: only what changed is written again."""

    def add_component(self, component: Component, incident: Incident | None) -> None:
        """Begin to keep the picture of a component, with the incident that is still open from
        before.
        """
        self.components[component.name] = component
        self.statuses.setdefault(component.name, Status.UNKNOWN)
        if incident is not None:
            self.incidents[component.name] = incident
        self.metrics.set_component_status(component.name, self.statuses[component.name])
        self.metrics.incidents_open.labels(component.name).set(incident is not None)
        self.metrics.exhausted.labels(component.name).set(
            incident is not None and incident.exhausted
        )

    def add_check(self, check: Check, kind: Kind, health: Health | None) -> None:
        """Begin to take results of a check; `health` is what was believed before a restart."""
        known = self._watched.get(check.name)
        restored = known.health if known else replace(health, restored=True) if health else Health()
        watched = _Watched(check, kind, restored)
        self._watched[check.name] = watched
        self._of_component.setdefault(check.component, {})[check.name] = watched
        self.metrics.add_check(check.name, check.component, check.every)
        self.metrics.set_check_status(check.name, check.component, restored.shown)

    def remove_check(self, name: str) -> None:
        """Forget a check that the configuration no longer has."""
        watched = self._watched.pop(name, None)
        for mine in self._of_component.values():
            mine.pop(name, None)
        if watched is not None:
            self.metrics.remove_check(name, watched.check.component)

    def remove_component(self, name: str) -> None:
        """Forget a component that the configuration no longer has; its incident stays as it is in
        the store.
        """
        self.components.pop(name, None)
        self.incidents.pop(name, None)
        self.statuses.pop(name, None)
        self.since.pop(name, None)
        self.metrics.remove_component(name)

    async def take(self, result: Result) -> bool:
        """One turn. True when the status is soft, so that a faster re-check is wanted."""
        watched = self._watched.get(result.check)
        if watched is None:
            return False
        now = self.utcnow()
        changes = Changes(gaps=self.guard.take_gaps())
        self._record(watched, result, changes)
        finding = self._measure(watched, result)
        self._judge_health(watched, finding, result, changes, now)
        self._judge_component(watched.check.component, changes, now)
        changes.checks.append(self._view_check(watched))
        self._view_components(watched.check.component, changes)
        await self.recorder.record(changes)
        self.on_turn()
        return watched.health.soft and finding.status is not Status.UNKNOWN

    # -- record and measure -----------------------------------------------------------------------

    def _record(self, watched: _Watched, result: Result, changes: Changes) -> None:
        watched.runs += 1
        watched.result = result
        self.metrics.observe(result, watched.kind.measurements)
        if result.state is not None:
            changes.probe_state[result.check] = result.state

    def _measure(self, watched: _Watched, result: Result) -> Finding:
        """Apply the thresholds of the configuration on top of the kind's own judgement."""
        finding = result.finding
        if finding.status is Status.UNKNOWN:
            watched.finding = finding
            return finding
        crossed, watched.raised = health_core.cross_thresholds(
            watched.check.thresholds, finding.rows, watched.raised
        )
        if crossed:
            status = worst([finding.status, *(each.status for each in crossed)])
            texts = [
                f"{each.measurement} is {each.value:g}{_of(each.labels)}" for each in crossed[:3]
            ]
            finding = replace(
                finding, status=status, detail=f"{'; '.join(texts)} – {finding.detail}"
            )
        watched.finding = finding
        return finding

    # -- health -----------------------------------------------------------------------------------

    def _judge_health(
        self, watched: _Watched, finding: Finding, result: Result, changes: Changes, now: datetime
    ) -> None:
        before = watched.health
        check = watched.check
        if finding.status is Status.UP:
            watched.failing_since = None
        elif finding.status is not Status.UNKNOWN:
            watched.failing_since = watched.failing_since or result.started
            watched.complaint = finding.detail
        watched.health = health_core.step(
            before, finding.status, result.quality, check.health, check.every, now
        )
        after = watched.health
        changes.health[check.name] = after
        if before.shown is not after.shown:
            self.metrics.set_check_status(check.name, check.component, after.shown)
            reason = self.scrub(finding.detail)
            changes.transitions.append(
                Transition(check.name, "check", before.shown, after.shown, now, reason)
            )

    # -- components and incidents -----------------------------------------------------------------

    def _judge_component(self, name: str, changes: Changes, now: datetime) -> None:
        mine = self._mine(name)
        status = worst([watched.health.shown for watched in mine])
        before = self.statuses.get(name, Status.UNKNOWN)
        if status is not before:
            self.statuses[name] = status
            self.since[name] = now
            self.metrics.set_component_status(name, status)
            cause = self._cause(name)[1]
            changes.transitions.append(Transition(name, "component", before, status, now, cause))
        for each in (name, *self._others(name, changed=status is not before)):
            self._judge_incident(each, changes, now)

    def _others(self, name: str, *, changed: bool) -> list[str]:
        """Whose incidents a turn of `name` may move: all when it changed, else those that nobody
        was told of.
        """
        return [
            each
            for each, incident in self.incidents.items()
            if each != name and (changed or not incident.announced)
        ]

    def _cause(self, name: str) -> tuple[str, str]:
        """The worst check of a component and its detail line."""
        mine = [watched for watched in self._mine(name) if watched.finding]
        if not mine:
            return "", ""
        bad = max(mine, key=lambda watched: watched.health.shown.rank)
        detail = bad.finding.detail if bad.finding else ""
        if bad.health.shown in incident_core.BAD:
            detail = bad.complaint or detail
        return bad.check.name, self.scrub(detail)

    def _judge_incident(self, name: str, changes: Changes, now: datetime) -> None:
        component = self.components.get(name)
        if component is None:
            return
        known = self.incidents.get(name)
        if known is None and (self.statuses[name] not in incident_core.BAD or self.is_held(name)):
            return
        depends_on = {each.name: each.depends_on for each in self.components.values()}
        root = find_root_cause(name, depends_on, self.statuses)
        blind = self._blind_seconds(known, now)
        after, events = incident_core.step(
            known, name, self.statuses[name], self._cause(name), root, component.restart, now, blind
        )
        if after is None:
            return
        if known is None or (known.check, known.summary) != (after.check, after.summary):
            watched = self._watched.get(after.check)
            after = replace(
                after, runbook=self.runbook_of(watched.check, after.summary) if watched else ""
            )
        told = known is not None and known.announced
        held = self.holds_announcement(component.group, after.opened) or self._waits_for_its_cause(
            after, now
        )
        if after.announced and not told and held:
            after = replace(after, announced=False)
        if after != known:
            self._keep_incident(after, changes)
        for event in events:
            self._note(after, event, changes, now)
        if after.announced and not told:
            text = f"{name} is {after.status}: {after.summary}"
            self._tell(after, Event("opened", text), changes)
            self._order_diagnosis(after, changes)

    def _waits_for_its_cause(self, incident: Incident, now: datetime) -> bool:
        """Whether it may be the effect of something else, so that nobody is told of it yet.

        A dependency was not found healthy since it began: its check comes later. Or what blocked it
        has just recovered, and its own checks do not say yet that it stays bad.
        """
        if now - max(incident.opened, incident.unblocked or incident.opened) > _CAUSE_SHOWS:
            return False
        needed = [each for each in self._needed(incident.component) if self._mine(each)]
        if any(
            self.status_after(each, incident.opened) in {Status.UNKNOWN, Status.DOWN}
            for each in needed
        ):
            return True
        since = incident.unblocked
        return since is not None and not any(
            _is_bad_since(each, since) for each in self._mine(incident.component)
        )

    def _needed(self, name: str) -> set[str]:
        component = self.components.get(name)
        direct = set(component.depends_on) if component is not None else set()
        return direct.union(*map(self._needed, direct))

    def _blind_seconds(self, incident: Incident | None, now: datetime) -> float:
        if incident is None or incident.recovered is None:
            return 0.0
        began = incident.recovered
        away = sum(
            max((gap.ended - max(gap.began, began)).total_seconds(), 0.0) for gap in self.away
        )
        return away + self.guard.stalled(self.guard.monotonic() - (now - began).total_seconds())

    def _keep_incident(self, incident: Incident, changes: Changes) -> None:
        if incident.state is IncidentState.CLOSED:
            self.incidents.pop(incident.component, None)
        else:
            self.incidents[incident.component] = incident
        self.metrics.incidents_open.labels(incident.component).set(
            incident.component in self.incidents
        )
        self.metrics.exhausted.labels(incident.component).set(incident.exhausted)
        changes.incidents.append(incident)

    def _note(self, incident: Incident, event: Event, changes: Changes, now: datetime) -> None:
        evidence = (
            self._evidence(incident) if event.kind in {"opened", "changed", "relapsed"} else {}
        )
        changes.events.append((incident.id, now, event, evidence))
        if event.kind == "closed" and incident.announced:
            self._tell(incident, event, changes)

    @staticmethod
    def _tell(incident: Incident, event: Event, changes: Changes) -> None:
        """Order a notification; its key makes it one for each incident and event."""
        payload = {"event": event.kind, "text": event.text, "incident": incident.id}
        changes.orders.append(
            Order("notify", f"{incident.id}/{event.kind}", incident.component, payload)
        )

    def _order_diagnosis(self, incident: Incident, changes: Changes) -> None:
        """Have somebody look, in the transaction that opens the incident: the key makes it once for
        each.
        """
        watched = self._watched.get(incident.check)
        if (
            watched is not None
            and incident.runbook
            and self.diagnoses(watched.check, incident.runbook)
        ):
            payload = {
                "incident": incident.id,
                "runbook": incident.runbook,
                "at": self.utcnow().isoformat(),
            }
            changes.orders.append(
                Order("diagnose", f"{incident.id}/diagnose", incident.component, payload)
            )

    def _evidence(self, incident: Incident) -> Mapping[str, Any]:
        watched = self._watched.get(incident.check)
        if watched is None or watched.result is None or watched.finding is None:
            return {}
        detail = _matter(watched, watched.finding) or watched.finding.detail
        evidence = {"check": incident.check, "detail": detail, "trace_id": watched.result.trace_id}
        if watched.failing_since is not None:
            evidence["failing_since"] = watched.failing_since.isoformat()
        scrubbed: Mapping[str, Any] = self.scrub(evidence)
        return scrubbed

    def forget_failures(self, component: str) -> None:
        """The next failure of a component begins a story of its own (after an operator's reset)."""
        for watched in self._mine(component):
            watched.failing_since = None

    async def change_incident(self, incident: Incident, *events: Event) -> None:
        """Record a change that the remediator or an operator makes to an incident."""
        now = self.utcnow()
        changes = Changes()
        self._keep_incident(incident, changes)
        for event in events:
            changes.events.append((incident.id, now, event, {}))
            if event.kind == "exhausted":
                self._tell(incident, event, changes)
        self._view_components(incident.component, changes)
        await self.recorder.record(changes)

    # -- the picture ------------------------------------------------------------------------------

    def status_after(self, component: str, instant: datetime) -> Status:
        """What verdicts taken after an instant say of a component: hard or soft, the worse; older
        ones say nothing.
        """
        mine = self._mine(component)
        return worst([_after(watched, instant) for watched in mine])

    def checks_of(self, component: str) -> list[str]:
        """Names of a component's checks."""
        return list(self._of_component.get(component, ()))

    def is_observed_down(self, component: str) -> bool:
        """Whether a fresh verdict says down right now: a check that passes again needs no action."""
        now = self.utcnow()
        mine = self._mine(component)
        return any(
            _fresh(w, now) is Status.DOWN and w.health.window[-1:] == (Status.DOWN,) for w in mine
        )

    def passes(self, component: str) -> int:
        """How many times in a row each check of a component has passed by now, the fewest of all."""
        return min((watched.health.passes for watched in self._mine(component)), default=0)

    def is_flapping(self, component: str) -> bool:
        """Whether any check of the component flaps."""
        return any(watched.health.flapping for watched in self._mine(component))

    def last_result(self, check: str) -> Result | None:
        """The latest result of a check."""
        watched = self._watched.get(check)
        return watched.result if watched else None

    def results(self) -> list[tuple[Check, Result | None, Finding | None, Health, int]]:
        """Every check with its latest result, finding after thresholds, health and number of runs."""
        return [(w.check, w.result, w.finding, w.health, w.runs) for w in self._watched.values()]

    def samples(self) -> list[Sample]:
        """Every scalar figure of every check as it is now."""
        now = self.utcnow()
        return [
            Sample(now, watched.check.name, name, dict(row.labels), float(value))
            for watched in self._watched.values()
            if watched.finding is not None
            for row in watched.finding.rows
            for name, value in row.values.items()
            if isinstance(value, int | float)
        ]

    def _mine(self, component: str) -> list[_Watched]:
        """The checks of a component."""
        return list(self._of_component.get(component, {}).values())

    def _view_components(self, name: str, changes: Changes) -> None:
        """Write the views that may have changed with a turn of `name`: its own, and those with
        incidents.
        """
        for each in {name, *self.incidents}:
            component = self.components.get(each)
            view = self._view_component(component) if component is not None else None
            if view is not None and self._shown.get(each) != view:
                self._shown[each] = view
                changes.components.append(view)

    def _view_component(self, component: Component) -> ComponentView:
        action, pid, restarts = self.describe_action(component.name)
        status = (
            Status.UNKNOWN if self.is_stopped(component.name) else self.statuses[component.name]
        )
        detail = self._cause(component.name)[1]
        since = self.since.get(component.name)
        return ComponentView(
            component.name,
            status,
            since,
            detail,
            component.depends_on,
            component.driver,
            pid,
            restarts,
            action,
        )

    def _view_check(self, watched: _Watched) -> CheckView:
        check, health, finding, result = (
            watched.check,
            watched.health,
            watched.finding,
            watched.result,
        )
        if finding is None or result is None:
            raise ValueError(f"no result of {check.name} yet")
        return CheckView(
            name=check.name,
            kind=check.kind,
            component=check.component,
            status=health.shown,
            soft=finding.status,
            since=health.since,
            detail=self.scrub(finding.detail),
            key=finding.key,
            guidance=self.scrub(finding.guidance),
            evidence=self.scrub(dict(finding.evidence)),
            rows=[_plain(row) for row in finding.rows],
            runs=watched.runs,
            every=check.every,
            last_run=result.started,
            duration=result.duration,
            outcome=result.outcome,
            quality=result.quality,
            trace_id=result.trace_id,
            runbook=self.runbook_of(check, _matter(watched, finding)),
            flapping=health.flapping,
        )


def _matter(watched: _Watched, finding: Finding) -> str:
    """What a person would look up: what is bad now, or was bad while the check is not healthy
    again.
    """
    if finding.status is not Status.UP:
        return finding.detail
    return watched.complaint if watched.health.shown in incident_core.BAD else ""


def _fresh(watched: _Watched, now: datetime) -> Status:
    result, check = watched.result, watched.check
    if result is None:
        return Status.UNKNOWN
    age = now - result.started
    return (
        watched.health.shown
        if age <= timedelta(seconds=2 * check.every + check.timeout)
        else Status.UNKNOWN
    )


def _after(watched: _Watched, instant: datetime) -> Status:
    if watched.result is None or watched.finding is None or watched.result.started < instant:
        return Status.UNKNOWN
    return worst([watched.health.shown, watched.finding.status])


def _is_bad_since(watched: _Watched, instant: datetime) -> bool:
    result, finding = watched.result, watched.finding
    return bool(
        result and finding and result.started >= instant and finding.status in incident_core.BAD
    )


def _of(labels: tuple[tuple[str, str], ...]) -> str:
    return f" ({', '.join(value for _, value in labels)})" if labels else ""


def _plain(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in row.values.items() if isinstance(value, int | float)}
    return {"labels": dict(row.labels), "values": values}
