"""The picture as people read it: rows of the store, written when something in them has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter, is_
from typing import Any

from sentinel.core.component.incident import BAD, Cause
from sentinel.core.fault import Fault, Status, headline
from sentinel.core.model import Component, Finding, Row
from sentinel.engine.novelty import says_the_same
from sentinel.engine.picture import Picture, WatchedCheck
from sentinel.engine.runbooks import RunbookGuide
from sentinel.engine.situation import Circumstances
from sentinel.store import Changes, CheckView, ComponentView

MANY = 50
"""So many of them are looked at whenever something happened to one."""
OTHERS_EVERY = 0.25
"""Seconds between two looks at all components with incidents: why nothing is done, and until when."""
_TELLING = attrgetter("finding", "standing", "health", "complaint", "verdict")
"""What of a check its component may be judged by in words; each is replaced, never changed."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The sentence on a component, and what it rests on: while that is so it is not made again."""

    basis: tuple[object, ...]
    watched: WatchedCheck | None = None
    fault: Fault | None = None
    text: str = ""

    def rests_on(self, basis: tuple[object, ...]) -> bool:
        """Whether it is the very same: to compare what is equal would cost what it is to spare."""
        return len(basis) == len(self.basis) and all(map(is_, basis, self.basis))


@dataclass(slots=True)
class Views:
    """Makes the views, without secrets."""

    picture: Picture
    circumstances: Circumstances
    runbooks: RunbookGuide
    scrub: Callable[[Any], Any]
    monotonic: Callable[[], float]
    _shown: dict[str, ComponentView] = field(default_factory=dict)
    """The views as they were last written: only what changed is written again."""
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _others_at: float = float("-inf")
    """When those with incidents are looked at next, whatever happens."""

    def describe_cause(self, component: str) -> Cause:
        """What is wrong with a component: its worst fault, in one line for people."""
        account = self._accounts.get(component)
        basis = self._find_basis(component)
        if account is None or not account.rests_on(basis):
            account = self._accounts[component] = self._make_account(component, basis)
        watched, fault = account.watched, account.fault
        if watched is None:
            return Cause()
        book = self.runbooks.runbook_of(watched.check, fault.key if fault else watched.matter)
        return Cause(watched.check.name, account.text, fault, book)

    def _find_basis(self, component: str) -> tuple[object, ...]:
        """All that the sentence follows from."""
        basis: list[object] = [self.picture.incidents.get(component)]
        for watched in self.picture.of(component):
            basis += (watched, *_TELLING(watched))
        return tuple(basis)

    def _make_account(self, component: str, basis: tuple[object, ...]) -> _Account:
        found = self.picture.find_faults(component)
        if found:
            text = headline([fault for _, fault in found])
            return _Account(basis, *found[0], self.scrub(text))
        worst = self.picture.find_worst_check(component)
        if worst is None or worst.finding is None:
            return _Account(basis)
        return _Account(basis, worst, None, self.scrub(self._describe_worst_check(worst)))

    def _describe_worst_check(self, worst: WatchedCheck) -> str:
        """No fault stands: how things are, or what was bad last while it is not believed over."""
        detail = worst.finding.detail if worst.finding is not None else ""
        if worst.shown not in BAD:
            return detail
        return worst.complaint or self._recall(worst.check.component, worst) or detail

    def _recall(self, component: str, watched: WatchedCheck) -> str:
        """Why it is believed to be bad, when only a sentinel before this one saw that."""
        if watched.verdict in BAD or watched.finding is None:
            return ""
        incident = self.picture.incidents.get(component)
        if incident is not None and incident.check == watched.check.name:
            return incident.summary.removeprefix(f"{component}: ")
        return f"passes again, not believed yet: {watched.finding.detail}"

    def show_check(self, watched: WatchedCheck, changes: Changes) -> None:
        """Write the view of a check that has a result."""
        check, health, finding = watched.check, watched.health, watched.finding
        result = watched.result
        if finding is None or result is None:
            raise ValueError(f"no result of {check.name} yet")
        standing, accepted = watched.count_faults()
        view = CheckView(
            name=check.name,
            kind=check.kind,
            component=check.component,
            status=watched.shown,
            soft=finding.status,
            since=health.since,
            detail=self.scrub(finding.detail),
            key=finding.key,
            guidance=self.scrub(_next_step(watched, finding)),
            evidence=self.scrub(dict(finding.evidence)),
            rows=[_plain(row) for row in finding.rows],
            runs=watched.runs,
            every=check.every,
            last_run=result.started,
            duration=result.duration,
            outcome=result.outcome,
            quality=result.quality,
            trace_id=result.trace_id,
            runbook=self.runbooks.runbook_of(check, watched.matter),
            flapping=health.flapping,
            faults=standing,
            accepted=accepted,
            cut=watched.cut,
        )
        changes.checks.append(view)

    def may_differ(self, watched: WatchedCheck, changes: Changes) -> bool:
        """Whether a turn of a check, after which its component is as it was, may change what is said
        of any component: nearly all say how their first check is, and what another one measured is
        not in it.
        """
        name = watched.check.component
        tells_more = name in self.picture.incidents or name in self.circumstances.fleet.drivers
        if watched.standing or tells_more or name not in self._shown:
            return True
        happened = changes.transitions or changes.incidents or changes.faults
        is_time = self.picture.incidents and self.monotonic() >= self._others_at
        return bool(happened or is_time) or self.picture.speaks_for_all(watched)

    def show_components(self, name: str, changes: Changes) -> list[ComponentView]:
        """Write the views that may have changed with a turn of `name`: its own, and those with
        incidents. What has other figures and no other words is given back, and may wait.
        """
        patient = list[ComponentView]()
        for each in {name, *self._find_others(changes)}:
            component, before = self.picture.components.get(each), self._shown.get(each)
            view = self._view(component) if component is not None else None
            if view is None or view == before:
                continue
            self._shown[each] = view
            alike = before is not None and says_the_same(before, view)
            (patient if alike else changes.components).append(view)
        return patient

    def _find_others(self, changes: Changes) -> Iterable[str]:
        """Those with incidents, when something happened, else now and then: they may be many, and of
        most of them a turn that found nothing new says nothing.
        """
        now, incidents = self.monotonic(), self.picture.incidents
        happened = changes.transitions or changes.incidents
        if now < self._others_at and (not happened or len(incidents) > MANY):
            return {each.component for each in changes.incidents}
        self._others_at = now + OTHERS_EVERY
        return incidents

    def _view(self, component: Component) -> ComponentView:
        name = component.name
        action, pid, restarts = self.circumstances.describe(name)
        stopped = name in self.circumstances.fleet.stopped  # nobody is to read that it is up
        return ComponentView(
            name=name,
            status=Status.UNKNOWN if stopped else self.picture.statuses[name],
            since=self.picture.since.get(name),
            detail=self.describe_cause(name).headline,
            depends_on=component.depends_on,
            driver=component.driver,
            pid=pid,
            restarts=restarts,
            action=action,
            present=Status.UNKNOWN if stopped else self.picture.present[name],
            present_since=self.picture.present_since.get(name),
        )


def _next_step(watched: WatchedCheck, finding: Finding) -> str:
    """Of the very fault that the line begins with, not of another one."""
    return next((each.fault.guidance for each in watched.counting), finding.guidance)


def _plain(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in row.values.items() if isinstance(value, int | float)}
    return {"labels": dict(row.labels), "values": values}
