"""Every change of an incident: opened, continued, told, closed. The core decides, this writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from sentinel.core.component import incident as incident_core
from sentinel.core.component.incident import BAD, Event
from sentinel.core.fault import Status, worst
from sentinel.core.model import Component, Incident
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.automation import Automation
from sentinel.engine.fault_lines import bound_lines, describe_begun, describe_standing
from sentinel.engine.novelty import find_words
from sentinel.engine.pause import PauseGuard
from sentinel.engine.picture import Picture, WatchedCheck
from sentinel.engine.recorder import Recorder
from sentinel.engine.runbooks import RunbookGuide
from sentinel.engine.situation import Circumstances
from sentinel.engine.views import Views
from sentinel.store import Changes, Gap

_CAUSE_SHOWS = timedelta(seconds=15)
"""Within this time the check of a dependency that is the cause says so."""
_REWRITTEN = timedelta(seconds=10)
"""So often an incident is written that says the same with other figures; at once what says more."""
MANY = 50
"""So many open incidents are looked at with every turn of every check; more of them now and then."""
_ALL_EVERY = timedelta(seconds=0.25)
_REST = attrgetter(
    *(each.name for each in fields(Incident) if each.name not in {"summary", "last_unhealthy"})
)
_SHOWN_WITH = frozenset({"opened", "changed", "relapsed"})
"""Events that carry the evidence of the check."""


@dataclass(slots=True)
class Incidents:
    """One incident per component and episode; whoever wants one changed asks here."""

    picture: Picture
    circumstances: Circumstances
    automation: Automation
    runbooks: RunbookGuide
    views: Views
    recorder: Recorder
    guard: PauseGuard
    scrub: Callable[[Any], Any]
    utcnow: Callable[[], datetime]
    _away: list[Gap] = field(default_factory=list)
    _judged_all: datetime | None = None
    """When all that nobody was told of were judged last."""
    _written: dict[str, tuple[Incident, datetime]] = field(default_factory=dict)
    """Open incidents as they were given to be written, and when."""

    def note_away(self, *gaps: Gap) -> None:
        """Times before this start in which no sentinel was running: they do not count as health."""
        self._away.extend(gaps)

    # -- what a turn changes ----------------------------------------------------------------------

    def judge(self, name: str, changes: Changes, now: datetime, *, changed: bool) -> None:
        """After a turn of `name`: its incident, and those that it may move.

        Of those that need it when its status `changed`, and those that nobody was told of; where
        very many are open, of these now and then.
        """
        self.circumstances.note_look(name)
        for each in (name, *self._find_moved(name, now, changed=changed)):
            component = self.picture.components.get(each)
            if component is not None:
                self._judge_one(component, changes, now)

    def _find_moved(self, name: str, now: datetime, *, changed: bool) -> list[str]:
        incidents, is_time = self.picture.incidents, True
        if len(incidents) > MANY:
            is_time = self._judged_all is None or abs(now - self._judged_all) >= _ALL_EVERY
            if not (changed or is_time):
                return []
        if is_time:
            self._judged_all = now
        dependents = self.picture.dependents(name) if changed else frozenset[str]()
        return [
            each
            for each, incident in incidents.items()
            if each != name and ((is_time and not incident.announced) or each in dependents)
        ]

    def _judge_one(self, component: Component, changes: Changes, now: datetime) -> None:
        name = component.name
        known, status = self.picture.incidents.get(name), self.picture.statuses[name]
        present = self.picture.present[name]
        if known is not None and self._is_another(component, known, present, now):
            self._part(known, changes, now)
            known = None
        elif known is not None and incident_core.is_beside(
            known, present, self.picture.before(name)
        ):
            if self.circumstances.is_held(name):
                return  # it was started just now, and lives: that is no failure yet
            self._lay_aside(known, changes, now)
            known = None
        elif known is not None and present is Status.UNKNOWN:
            status = present  # what was lost is no news, and the rest nobody sees
        elif known is not None and known.before:
            present = self.picture.compare(name, known)
            # What was lost keeps the older incident open, where there is one.
            status = present if name in self.picture.beneath else self._with_losses(name, present)
        self._step(component, known, status, present, changes, now)
        lower = self.picture.beneath.get(name)
        if lower is not None and self.picture.present[name] is not Status.DOWN:
            self._step_beneath(component, lower, changes, now)

    def _step_beneath(
        self, component: Component, lower: Incident, changes: Changes, now: datetime
    ) -> None:
        """What was degraded before the failure: while the component is down nobody can tell."""
        name = component.name
        present = self.picture.compare(name, lower)
        self._step(component, lower, self._with_losses(name, present), present, changes, now)

    def _with_losses(self, name: str, present: Status) -> Status:
        return worst([present, *(each.lost for each in self.picture.of(name))])

    def _step(
        self,
        component: Component,
        known: Incident | None,
        status: Status,
        present: Status,
        changes: Changes,
        now: datetime,
    ) -> None:
        name = component.name
        if known is None and (status not in BAD or self.circumstances.is_held(name)):
            return
        after, events = incident_core.step(
            known,
            name,
            status,
            self.views.describe_cause(name),
            self.picture.find_root_cause(name),
            component.restart,
            now,
            self._blind_seconds(known, now),
            past=present is Status.UP,
            before=self.picture.before(name) if present is Status.DOWN else None,
        )
        if after is None:
            return
        if any(event.kind == "recovered" for event in events) and not self.picture.is_flapping(
            name
        ):
            after = replace(after, return_told=after.announced)
        told = known is not None and known.announced
        if after.announced and not told and self._is_silent(component, after, now):
            after = replace(after, announced=False)
        self._keep_on(after, changes, now, quietly=not events)
        for event in events:
            self._note(after, event, changes, now)
            if event.kind == "relapsed" and known is not None and known.return_told:
                _tell(after, event, changes, now)
        if after.announced and not told:
            self._announce(after, changes)

    def _is_another(
        self, component: Component, known: Incident, present: Status, now: datetime
    ) -> bool:
        blind = self._blind_seconds(known, now)
        return present in BAD and incident_core.is_over(known, component.restart, now, blind)

    def _part(self, incident: Incident, changes: Changes, now: datetime) -> None:
        """End an incident that only stood for what was lost: a failure that begins now has its own,
        with a budget of its own.
        """
        closed = incident_core.close(incident, now)
        self._keep(closed, changes)
        text = "a new failure is an incident of its own; what was lost before stays a fault"
        self._note(closed, Event("closed", text), changes, now)

    def _lay_aside(self, incident: Incident, changes: Changes, now: datetime) -> None:
        """A failure beside a degradation that was there before has an incident of its own; the
        degradation goes on beneath it.
        """
        name = incident.component
        if name in self.picture.beneath:
            closed = incident_core.close(incident, now)
            text = (
                "a new failure is an incident of its own; what is degraded goes on as the older one"
            )
            self._keep(closed, changes)
            self.picture.lay_beneath(name)
            self._note(closed, Event("closed", text), changes, now)
            return
        text = f"{name} goes down: that is an incident of its own, this one goes on beneath it"
        self._note(incident, Event("failure beside it", text), changes, now)
        self.picture.lay_beneath(name)

    def _blind_seconds(self, incident: Incident | None, now: datetime) -> float:
        began = (incident.recovered or incident.settled) if incident is not None else None
        if began is None:
            return 0.0
        gaps = ((gap.ended - max(gap.began, began)).total_seconds() for gap in self._away)
        away = sum(max(seconds, 0.0) for seconds in gaps)
        return away + self.guard.paused(self.guard.monotonic() - (now - began).total_seconds())

    # -- which faults began, changed and ended ----------------------------------------------------

    def tell_faults(self, watched: WatchedCheck, changes: Changes, now: datetime) -> None:
        """Put what a turn changed about the faults of a check into the timeline of its incident."""
        name = watched.check.component
        incident = self.picture.incidents.get(name)
        if incident is None:
            return
        if incident.recovered or incident.settled:
            incident = self.picture.beneath.get(name, incident)
        lines = describe_standing(watched.moved)
        if incident.opened == now:  # what stood before it was opened belongs to it, too
            found = self.picture.of(incident.component)
            lines = [line for each in found for line in describe_begun(each.counting)]
        for event, evidence in bound_lines(lines):
            changes.events.append((incident.id, now, event, evidence))

    # -- whether people are told ------------------------------------------------------------------

    def _is_silent(self, component: Component, incident: Incident, now: datetime) -> bool:
        """Whether nobody is told yet: ten that fall together are one page, and so is a cause with
        its effects.
        """
        return self.automation.holds_announcement(
            component.group, incident.opened
        ) or self._waits_for_its_cause(incident, now)

    def _waits_for_its_cause(self, incident: Incident, now: datetime) -> bool:
        """Whether it may be the effect of something else, so that nobody is told of it yet.

        A dependency was not found healthy since it began: its check comes later. Or what blocked it
        has just recovered, and its own checks do not say yet that it stays bad.
        """
        if now - max(incident.opened, incident.unblocked or incident.opened) > _CAUSE_SHOWS:
            return False
        picture, since = self.picture, incident.unblocked
        needed = [each for each in picture.needed(incident.component) if picture.of(each)]
        if any(
            picture.status_after(each, incident.opened) in {Status.UNKNOWN, Status.DOWN}
            for each in needed
        ):
            return True
        return since is not None and not any(
            each.is_bad_since(since) for each in picture.of(incident.component)
        )

    def _announce(self, incident: Incident, changes: Changes) -> None:
        text = f"{incident.component} is {incident.status}: {incident.summary}"
        _tell(incident, Event("opened", text), changes)
        self._order_diagnosis(incident, changes)

    def _order_diagnosis(self, incident: Incident, changes: Changes) -> None:
        """Have somebody look, in the transaction that opens the incident: the key makes it once for
        each.
        """
        watched, book = self.picture.check(incident.check), incident.runbook
        if watched is None or not book or not self.runbooks.is_wanted(watched.check, book):
            return
        payload = {"incident": incident.id, "runbook": book, "at": self.utcnow().isoformat()}
        key = f"{incident.id}/diagnose"
        changes.orders.append(Order(OrderKind.DIAGNOSE, key, incident.component, payload))

    # -- what is written --------------------------------------------------------------------------

    def _keep(self, incident: Incident, changes: Changes) -> None:
        self.picture.keep_incident(incident)
        changes.incidents.append(incident)
        self._written[incident.id] = incident, self.utcnow()
        if incident.closed is not None:
            del self._written[incident.id]

    def _keep_on(
        self, incident: Incident, changes: Changes, now: datetime, *, quietly: bool
    ) -> None:
        """What goes on with other figures alone is known at once, and written a little later."""
        written, at = self._written.get(incident.id, (None, now))
        if incident == written:
            return
        soon = quietly and written is not None and timedelta() <= now - at < _REWRITTEN
        if soon and written is not None and _says_the_same(written, incident):
            self.picture.keep_incident(incident)
            return
        self._keep(incident, changes)

    def _note(self, incident: Incident, event: Event, changes: Changes, now: datetime) -> None:
        evidence = self._evidence(incident) if event.kind in _SHOWN_WITH else {}
        changes.events.append((incident.id, now, event, evidence))
        if event.kind in {"settled", "closed"} and incident.announced:
            _tell(incident, event, changes)
        if event.kind == "recovered" and incident.return_told:
            _tell(incident, _until(incident, event), changes, now)

    def _evidence(self, incident: Incident) -> Mapping[str, Any]:
        watched = self.picture.check(incident.check)
        if watched is None or watched.result is None or watched.finding is None:
            return {}
        evidence: dict[str, Any] = {"check": incident.check, "detail": watched.finding.detail}
        evidence["trace_id"] = watched.result.trace_id
        if watched.failing_since is not None:
            evidence["failing_since"] = watched.failing_since.isoformat()
        scrubbed: Mapping[str, Any] = self.scrub(evidence)
        return scrubbed

    # -- what others ask for ----------------------------------------------------------------------

    async def note(self, name: str, event: Event) -> None:
        """Put a line into the timeline of a component's open incident, if it has one."""
        incident = self.picture.incidents.get(name)
        if incident is not None:
            await self._change(incident, event)

    async def acknowledge(self, name: str, by: str, reason: str) -> Answer:
        """Somebody sees to an incident: it is not escalated any further, and nobody is reminded."""
        known = [*self.picture.incidents.values(), *self.picture.beneath.values()]
        incident = next((each for each in known if each.id == name), None)
        if incident is None:
            return Answer.unknown(f"there is no open incident {name!r}")
        if incident.acknowledged is not None:
            return Answer.done(f"was acknowledged by {incident.acknowledged_by}")
        text = f"acknowledged by {by}{f': {reason}' if reason else ''}"
        event = Event("acknowledged", text)
        await self._change(replace(incident, acknowledged=self.utcnow(), acknowledged_by=by), event)
        return Answer.done(f"{incident.component}: {text}")

    async def exhaust(self, incident: Incident, event: Event) -> None:
        """Give it up: no further attempt, and a person is told."""
        await self._change(replace(incident, exhausted=True, escalated=True), event)

    async def close_all(self, name: str, text: str) -> None:
        """Close every open incident of a component, for another reason than health."""
        while name in self.picture.incidents:
            await self.close(name, Event("closed", text))

    async def close(self, name: str, event: Event) -> None:
        """Close the open incident of a component, if it has one, for another reason than health."""
        incident = self.picture.incidents.get(name)
        if incident is not None:
            await self._change(incident_core.close(incident, self.utcnow()), event)

    async def _change(self, incident: Incident, event: Event) -> None:
        changes = Changes()
        self._keep(incident, changes)
        changes.events.append((incident.id, self.utcnow(), event, {}))
        if event.kind in {"exhausted", "acknowledged"}:
            _tell(incident, event, changes)
        changes.components.extend(self.views.show_components(incident.component, changes))
        await self.recorder.record(changes)


def _says_the_same(before: Incident, after: Incident) -> bool:
    """Whether two states of an incident differ in figures alone, and in when it was seen last."""
    same = find_words(before.summary) == find_words(after.summary)
    return same and _REST(before) == _REST(after)


def _until(incident: Incident, event: Event) -> Event:
    """That it is over, and why the incident is not yet."""
    if incident.watched_until is None:
        return event
    text = f"{event.text}; watched until {incident.watched_until:%H:%M:%S} UTC"
    return replace(event, text=text)


def _tell(
    incident: Incident, event: Event, changes: Changes, again: datetime | None = None
) -> None:
    """Order a notification; its key makes it one for each incident and event, and for each instant
    where it may happen `again`.
    """
    payload = {"event": event.kind, "text": event.text, "incident": incident.id}
    key = f"{incident.id}/{event.kind}" + (f"/{again.isoformat()}" if again else "")
    changes.orders.append(Order(OrderKind.NOTIFY, key, incident.component, payload))
