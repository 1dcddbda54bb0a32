"""Incidents: one per component and episode, root cause first, closed only after observed health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sentinel.core.component.health import compare
from sentinel.core.fault import Fault, Status, worst
from sentinel.core.model import Incident, IncidentState, RestartPolicy

BAD = (Status.DEGRADED, Status.DOWN)
_INSTANTS = ("opened", "unblocked", "recovered", "watched_until", "settled", "last_unhealthy")
_SAME_FAULT = timedelta(seconds=30)
"""A dependency that is found down so soon after is the cause: its check only came later."""

_A_STEP = 1.0
"""Seconds by which the end of a watch moves before that is written down."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an incident's timeline: what happened, in one word and one sentence."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with a component now: the worst fault that stands, and the line for people.

    `fault` is None when the last look found nothing and the component is not believed to be healthy
    yet: then what was known of it stays.
    """

    check: str = ""
    headline: str = ""
    fault: Fault | None = None
    runbook: str = ""


def step(
    incident: Incident | None,
    component: str,
    status: Status,
    cause: Cause,
    blocked_by: str,
    policy: RestartPolicy,
    now: datetime,
    blind_seconds: float = 0.0,
    *,
    past: bool = False,
    before: Mapping[str, Status] | None = None,
) -> tuple[Incident | None, list[Event]]:
    """The incident after a component's status was judged anew, and what to write into its timeline.

    `blind_seconds` is the time since recovery that sentinel did not observe: it does not count as
    health. Unknown changes nothing. `past`: the component works, and it is bad only for what was
    lost for good: nothing recovers from that, and the incident stays open until it is accepted.
    `before` is how each check was last, for long: what is to be again when it goes down now.
    """
    if incident is None or incident.state is IncidentState.CLOSED:
        if status not in BAD:
            return None, []
        opened, events = _open(component, status, cause, blocked_by, now)
        opened = _note_before(opened, before or {})
        return replace(opened, settled=now if past else None), events
    if status in BAD:
        changed, events = _continue(incident, status, cause, blocked_by, now)
        changed = _note_before(changed, before or {})
        return _settle(incident, changed, events, now, past=past)
    if status is Status.UP:
        return _heal(incident, policy, now, blind_seconds)
    return incident, []


def is_calm(incident: Incident) -> bool:
    """Whether it only stands: it is neither down nor proving its health."""
    degraded = incident.status is Status.DEGRADED and incident.recovered is None
    return degraded or incident.settled is not None


def follow_clock(incident: Incident, step: timedelta) -> Incident:
    """The same incident after the clock was set: everything is as long ago as it was."""
    instants = {
        name: value + step for name in _INSTANTS if (value := getattr(incident, name)) is not None
    }
    return replace(incident, **instants)


def _note_before(incident: Incident, before: Mapping[str, Status]) -> Incident:
    """Once: what is seen while it goes down and up again is no time before."""
    if incident.status is not Status.DOWN or incident.before:
        return incident
    return replace(incident, before=dict(before))


def compare_with_before(
    incident: Incident | None, shown: Mapping[str, Status]
) -> Mapping[str, Status]:
    """How each check is, measured by how it was before the failure of an incident."""
    if incident is None or not incident.before:
        return shown
    return {name: compare(status, incident.before.get(name)) for name, status in shown.items()}


def find_degraded(incident: Incident) -> list[str]:
    """Checks that were degraded before the failure: that is no part of this incident."""
    return sorted(name for name, status in incident.before.items() if status is Status.DEGRADED)


def is_beside(incident: Incident, present: Status, before: Mapping[str, Status]) -> bool:
    """Whether a component that goes down fails beside a degradation that was there for long, and
    that `incident` is about: two causes, two incidents, and the restart answers for one.
    """
    if present is not Status.DOWN or incident.status is not Status.DEGRADED:
        return False
    known = set(find_degraded(incident))
    return any(status is Status.DEGRADED and name not in known for name, status in before.items())


def incident_id(component: str, now: datetime) -> str:
    """Readable, sortable and unique per component and millisecond."""
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{component}"


def close(incident: Incident, now: datetime) -> Incident:
    """The incident as it ends."""
    return replace(incident, state=IncidentState.CLOSED, closed=now, exhausted=False)


def _open(
    component: str, status: Status, cause: Cause, blocked_by: str, now: datetime
) -> tuple[Incident, list[Event]]:
    incident = Incident(
        id=incident_id(component, now),
        component=component,
        opened=now,
        state=IncidentState.OPEN,
        status=status,
        summary=cause.headline,
        check=cause.check,
        runbook=cause.runbook,
        began_as=cause.headline,
        blocked_by=blocked_by,
        announced=not blocked_by,
        last_unhealthy=now,
        worst=status,
        root_cause=blocked_by,
    )
    incident = _follow(incident, cause)
    events = [Event("opened", f"{component} is {status}: {cause.headline}")]
    if blocked_by:
        events.append(
            Event("blocked", f"blocked by {blocked_by}: no attempt while it is not healthy")
        )
    return incident, events


def _continue(
    incident: Incident, status: Status, cause: Cause, blocked_by: str, now: datetime
) -> tuple[Incident, list[Event]]:
    detail = cause.headline
    events = []
    if incident.state is IncidentState.RECOVERING:
        events.append(Event("relapsed", f"{incident.component} is {status} again: {detail}"))
    elif status is not incident.status:
        events.append(
            Event(
                "changed", f"{incident.component} went from {incident.status} to {status}: {detail}"
            )
        )
    if blocked_by != incident.blocked_by:
        text = (
            f"blocked by {blocked_by}"
            if blocked_by
            else f"no longer blocked by {incident.blocked_by}"
        )
        events.append(Event("blocked" if blocked_by else "unblocked", text))
    changed = replace(
        _follow(incident, cause),
        state=IncidentState.OPEN,
        status=status,
        blocked_by=blocked_by,
        root_cause=_root_cause(incident, blocked_by, now),
        unblocked=now if incident.blocked_by and not blocked_by else incident.unblocked,
        announced=incident.announced or not blocked_by,
        recovered=None,
        watched_until=None,
        return_told=False,
        last_unhealthy=now,
        worst=worst((incident.worst or incident.status, status)),
    )
    return changed, events


def _settle(
    before: Incident, changed: Incident, events: list[Event], now: datetime, *, past: bool
) -> tuple[Incident, list[Event]]:
    """Note since when nothing is wrong but what was lost."""
    if not past:
        return replace(changed, settled=None), events
    if before.settled is None and before.recovered is None:
        text = f"{before.component} works; what was lost stays open until somebody accepts it"
        events = [*events, Event("settled", text)]
    return replace(changed, settled=before.settled or before.recovered or now), events


def is_over(incident: Incident, policy: RestartPolicy, now: datetime, blind_seconds: float) -> bool:
    """Whether the component has worked for so long that its next failure is another incident, though
    what was lost keeps this one open.
    """
    if incident.state is not IncidentState.OPEN or incident.settled is None:
        return False
    return (now - incident.settled).total_seconds() - blind_seconds >= policy.close_after


def _follow(incident: Incident, cause: Cause) -> Incident:
    """The headline, its subject and the runbook follow the fault that is the worst now."""
    if cause.fault is None:
        return incident
    return replace(
        incident,
        check=cause.check,
        summary=cause.headline,
        runbook=cause.runbook,
        fault=cause.fault.key,
        subject=dict(cause.fault.subject),
        parameters=dict(cause.fault.parameters),
    )


def _root_cause(incident: Incident, blocked_by: str, now: datetime) -> str:
    if incident.state is IncidentState.RECOVERING:
        return blocked_by
    found_together = now - incident.opened <= _SAME_FAULT
    return incident.root_cause or (blocked_by if found_together else "")


def _heal(
    incident: Incident, policy: RestartPolicy, now: datetime, blind_seconds: float
) -> tuple[Incident, list[Event]]:
    if incident.state is IncidentState.OPEN:
        since = incident.settled or now
        seconds = (since - incident.opened).total_seconds()
        healed = replace(
            incident,
            state=IncidentState.RECOVERING,
            recovered=since,
            watched_until=_watch_until(since, policy, blind_seconds),
            settled=None,
            blocked_by="",
        )
        return healed, [Event("recovered", f"{_describe_return(incident)} after {seconds:.1f} s")]
    recovered = incident.recovered or now
    healthy = (now - recovered).total_seconds() - blind_seconds
    if healthy < policy.close_after:
        until = _watch_until(recovered, policy, blind_seconds)
        known = incident.watched_until
        moved = known is None or abs((until - known).total_seconds()) >= _A_STEP
        return (replace(incident, watched_until=until) if moved else incident), []
    text = f"closed after {healthy:.0f} s of observed health"
    return close(incident, now), [Event("closed", text)]


def _watch_until(since: datetime, policy: RestartPolicy, blind_seconds: float) -> datetime:
    return since + timedelta(seconds=policy.close_after + blind_seconds)


def _describe_return(incident: Incident) -> str:
    degraded = find_degraded(incident)
    if not degraded:
        return f"{incident.component} is healthy"
    return f"{incident.component} is as before the failure (degraded then: {', '.join(degraded)})"
