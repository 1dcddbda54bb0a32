"""What happens to a result, in order: record → measure → health → component → incident → orders;
one transaction, or none when it says what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sentinel.core.component import health as health_core
from sentinel.core.fault import Acceptance, Fault, Status, headline, sort_faults, worst
from sentinel.core.fault.loss import describe_extent, find_acceptable
from sentinel.core.model import Finding, HealthPolicy, RestartPolicy, Result, Row, Transition
from sentinel.core.order import Answer
from sentinel.engine.faults import Faults
from sentinel.engine.incidents import Incidents
from sentinel.engine.novelty import find_essence, is_pressing
from sentinel.engine.objectives import Objectives
from sentinel.engine.pause import PauseGuard
from sentinel.engine.picture import Picture, WatchedCheck, remember
from sentinel.engine.recorder import Recorder
from sentinel.engine.views import Views
from sentinel.metrics import Metrics
from sentinel.store import OWN_ACTOR, PLEDGE, AuditLine, Changes, CheckView, ComponentView
from sentinel.store.document import write


@dataclass(slots=True)
class Pipeline:
    """Takes results: what they change stands in the picture and, by one commit, in the store."""

    picture: Picture
    incidents: Incidents
    faults: Faults
    objectives: Objectives
    views: Views
    recorder: Recorder
    metrics: Metrics
    guard: PauseGuard
    utcnow: Callable[[], datetime]
    scrub: Callable[[Any], Any]

    async def take(self, result: Result) -> bool:
        """One turn. True when the status is soft, so that a faster re-check is wanted."""
        watched = self.picture.check(result.check)
        if watched is None:
            return False
        now = self.utcnow()
        finding = self._hide_in_labels(result.finding)
        if finding is not result.finding:
            result = replace(result, finding=finding)
        changes, before = Changes(gaps=self.guard.take_gaps()), watched.shown
        watched.at = now
        self._record(watched, result)
        self._note(result, changes)
        self._measure(watched, result, changes)
        self._judge_health(watched, result, now)
        self.objectives.take(watched, result)
        self._tell_status(watched, before, changes)
        await self._conclude(watched, changes)
        return watched.health.soft and watched.verdict is not Status.UNKNOWN

    def _hide_in_labels(self, finding: Finding) -> Finding:
        """Names come from the platform, and become labels of metrics and rows of views."""
        names = [name for row in finding.rows for name in row.labels.values()]
        if all(type(name) is str and self.scrub(name) == name for name in names):
            return finding
        rows = [
            Row({label: str(self.scrub(name)) for label, name in row.labels.items()}, row.values)
            for row in finding.rows
        ]
        return replace(finding, rows=rows)

    async def accept(self, name: str, word: Acceptance, expects: str) -> Answer:
        """Somebody accepts by hand what a check found lost. `expects` is what they saw of it
        (`describe_extent`): when that has changed, nothing is done.
        """
        watched = self.picture.check(name)
        if watched is None:
            return Answer.unknown(f"unknown check {name}")
        found = find_acceptable(watched.standing, word.fault, word.subject)
        if not found:
            return Answer.refused(f"nothing of {name} is lost as {word.fault} and not accepted yet")
        seen = describe_extent(found)
        if seen != expects:
            return Answer.refused(f"meanwhile it is {seen}, it was {expects}: look again")
        changes, before, watched.at = Changes(), watched.shown, self.utcnow()
        self.faults.accept(watched, word, changes)
        self._tell_status(watched, before, changes)
        await self._conclude(watched, changes)
        return Answer.done(f"accepted: {seen}")

    async def _conclude(self, watched: WatchedCheck, changes: Changes) -> None:
        """What a turn of a check means for its component and for those who look, in one commit."""
        component, now = watched.check.component, watched.at
        changed = self._judge_component(component, changes, now)
        self.incidents.judge(component, changes, now, changed=changed)  # puts orders, too
        self.incidents.tell_faults(watched, changes, now)
        if changed or self.views.may_differ(watched, changes):
            patient = self.views.show_components(component, changes)
        else:
            patient = []
        await self._write(watched, changes, patient)

    async def _write(
        self, watched: WatchedCheck, changes: Changes, patient: list[ComponentView]
    ) -> None:
        """At the pace of what is new: at once with everything that belongs to it, soon, or later."""
        essence, pressing = find_essence(watched), is_pressing(changes, watched.moved)
        if pressing or essence != watched.told:
            watched.told, watched.noted = essence, _find_noted(watched)
            changes.components.extend(patient)
            self._show(watched, changes)
            await (self.recorder.record if pressing else self.recorder.later)(changes)
            return
        if watched.noted != _find_noted(watched):
            watched.noted = _find_noted(watched)
            if watched.pledge is None:
                changes.probe_state.update(remember(watched))
            else:
                changes.meta[PLEDGE + watched.check.name] = watched.pledge
            await self.recorder.record(changes)
        else:
            await self.recorder.later(changes)
        await self._hold(watched, patient)

    async def _hold(self, watched: WatchedCheck, components: list[ComponentView]) -> None:
        """What says the same as before, with other figures."""
        for view in components:
            await self.recorder.hold((ComponentView, view.name), partial(_make_changes, view))
        shown = watched.freeze()  # it becomes rows later, and in another thread
        counted = remember(watched) if watched.kind.counts else {}
        make = partial(self._make_rows, shown)
        await self.recorder.hold((CheckView, watched.check.name), make, counted)

    def _show(self, watched: WatchedCheck, changes: Changes) -> None:
        """All rows of a check that each look replaces."""
        if watched.result is not None:
            self.views.show_check(watched, changes)
            changes.health[watched.check.name] = watched.health
            changes.probe_state.update(remember(watched))

    def _make_rows(self, watched: WatchedCheck) -> Changes:
        changes = Changes()
        self._show(watched, changes)
        return changes

    async def reconsider(self, components: Iterable[str]) -> None:
        """Judge components anew that have lost checks; what nobody looks at any more is neither
        healthy nor sick, and its incident ends.
        """
        for name in components:
            changes, now = Changes(), self.utcnow()
            if self._judge_component(name, changes, now):
                self.incidents.judge(name, changes, now, changed=True)
            changes.components.extend(self.views.show_components(name, changes))
            await self.recorder.record(changes)
            if not self.picture.of(name):
                await self.incidents.close_all(name, "no check looks at it any more")

    def _record(self, watched: WatchedCheck, result: Result) -> None:
        watched.runs += 1
        watched.result = result
        self.metrics.observe(result, watched.kind.measurements)
        if result.state is not None:  # the kind goes on changing it: it is written down here
            watched.dump, kind = write(result.state), watched.kind
            pledge = kind.pledge(watched.check.options, result.state) if kind.patient else None
            watched.pledge = None if pledge is None else write(pledge)

    def _note(self, result: Result, changes: Changes) -> None:
        """What must be shown later goes into the audit log, with the names of the platform hidden as
        everywhere.
        """
        changes.audit.extend(
            AuditLine(self.utcnow(), OWN_ACTOR, note.action, result.check, self.scrub(note.detail))
            for note in result.finding.notes
        )

    def _measure(self, watched: WatchedCheck, result: Result, changes: Changes) -> None:
        """Apply the thresholds of the configuration on top of the kind's own judgement, and take
        out what somebody accepted.
        """
        finding = result.finding
        limited = watched.check.thresholds or watched.raised
        if limited and finding.status is not Status.UNKNOWN:
            crossed, watched.raised = health_core.cross_thresholds(
                watched.check.thresholds, finding.rows, watched.raised
            )
            finding = _with_thresholds(finding, [each.as_fault() for each in crossed])
        watched.finding = self.faults.take(watched, finding, changes)

    def _judge_health(self, watched: WatchedCheck, result: Result, now: datetime) -> None:
        """What is believed of now. What was lost is certain at the first look, and no repair ends
        it: it is none of this.
        """
        verdict, check = watched.verdict, watched.check
        if verdict is Status.UP:
            watched.failing_since = None
        elif verdict is not Status.UNKNOWN and watched.finding is not None:
            watched.failing_since = watched.failing_since or result.started
            watched.complaint = watched.finding.detail
            watched.blamed = next((each.fault.key for each in watched.counting), "")
        component = self.picture.components.get(check.component)
        restart = component.restart if component is not None else RestartPolicy()
        watched.health = health_core.step(
            watched.health,
            verdict,
            result.quality,
            _find_policy(watched),
            check.every,
            now,
            restart.success_after,
        )

    def _tell_status(self, watched: WatchedCheck, before: Status, changes: Changes) -> None:
        check, after = watched.check, watched.shown
        if before is after or watched.finding is None:
            return
        self.metrics.set_check_status(check.name, after)
        reason = self.scrub(watched.finding.detail)
        changes.transitions.append(
            Transition(check.name, "check", before, after, watched.at, reason)
        )

    def _judge_component(self, name: str, changes: Changes, now: datetime) -> bool:
        """Whether the component is something else than before."""
        found = self.picture.of(name)
        status = worst([watched.shown for watched in found])
        present = worst([watched.health.shown for watched in found])
        before = self.picture.present.get(name, Status.UNKNOWN)
        if (status, present) == (self.picture.statuses.get(name, Status.UNKNOWN), before):
            return False
        self.picture.set_status(name, status, now, present)
        if present is not before:  # uptime is counted from these: what is past takes none of it
            cause = self.views.describe_cause(name).headline
            changes.transitions.append(Transition(name, "component", before, present, now, cause))
        return True


def _find_policy(watched: WatchedCheck) -> HealthPolicy:
    """How many looks it takes: one, where a fault is certain at the first."""
    policy = watched.check.health
    return replace(policy, failures=1) if watched.certain else policy


def _find_noted(watched: WatchedCheck) -> str:
    """What must be on the disk before the next run."""
    return watched.dump if watched.pledge is None else watched.pledge


def _make_changes(view: ComponentView) -> Changes:
    return Changes(components=[view])


def _with_thresholds(finding: Finding, crossed: Sequence[Fault]) -> Finding:
    """A finding with the limits that the configuration sets and that are crossed."""
    if not crossed:
        return finding
    faults = sort_faults([*crossed, *finding.faults])
    status = worst([finding.status, *(fault.status for fault in crossed)])
    said = headline(finding.faults)
    if said and finding.detail.startswith(said):  # one line about all of them, the worst first
        detail = headline(faults) + finding.detail.removeprefix(said)
    else:
        detail = f"{headline(crossed)} – {finding.detail}"
    return replace(finding, status=status, detail=detail, faults=faults)
