"""The status of the platform as one JSON document: the page, the API and `sentinel status --json`
show this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.fault import Status, worst
from sentinel.core.model import Incident
from sentinel.core.quantity import format_duration
from sentinel.store import CheckView, ComponentView, Reader, unobserved_since
from sentinel.store.document import to_json
from sentinel.store.runbook import held_back, own_troubles, runbook_of
from sentinel.web.notices import describe_channels, describe_maintenance, describe_silences
from sentinel.web.objectives import list_objectives

STALE = "stale"
TOLD_FOR = timedelta(hours=1)
"""So long it is said that sentinel saw nothing."""
_ORDER = (Status.UP, Status.UNKNOWN, STALE, Status.DEGRADED, Status.DOWN)

Document = dict[str, Any]


def status_document(store: Reader, now: datetime) -> Document:
    """What is the matter now, for people and programs; JSON-able.

    Keys: `platform`, `generated`, `started`, `status` (worst of all components), `held` (what holds
    all actions back), `own` (what of sentinel itself does not work), `incidents` (open ones, causes
    and the worst first), `components`, `checks`, `objectives`, `blind` (the latest gap or null),
    `channels` (how they deliver), `maintenance` (what is worked upon), `silences` (what nobody
    is told of). Ages are seconds; every `…_text` is the same figure for people.
    """
    alive = unobserved_since(store, now) is None
    checks = [describe_check(view, read_clock(view, now, alive=alive)) for view in store.checks()]
    views = store.components()
    components = [
        describe_component(
            view, [check for check in checks if check["component"] == view.name], now
        )
        for view in views
    ]
    actions = {view.name: view.action for view in views}
    urgent = sorted(store.incidents(open_only=True), key=_urgency)
    incidents = [
        {**describe_incident(incident, now, actions), "runbook": runbook_of(store, incident)}
        for incident in urgent
    ]
    document: Document = to_json(
        {
            "platform": store.meta("platform") or "platform",
            "generated": now,
            "started": store.meta("started"),
            "status": worst([_status(item["status"]) for item in components]).value,
            "held": held_back(store),
            "own": own_troubles(store),
            "incidents": incidents,
            "components": components,
            "checks": checks,
            "objectives": list_objectives(store),
            "blind": describe_blindness(store, now),
            "channels": describe_channels(store, now),
            "maintenance": describe_maintenance(store, now),
            "silences": describe_silences(store, now),
        }
    )
    return document


def _urgency(incident: Incident) -> tuple[bool, bool, int]:
    """What is broken before what recovers, causes before what they block, the worst first, then the
    newest.
    """
    return incident.recovered is not None, bool(incident.blocked_by), -incident.status.rank


def read_clock(view: CheckView, now: datetime, *, alive: bool) -> datetime:
    """Until when it is known that a check did not run again: a daemon that lives notes it now and
    then.
    """
    return min(view.noted, now) if alive and view.noted is not None else now


def describe_check(view: CheckView, now: datetime) -> Document:
    """One check. `status` is the hard status, or `stale` when runs are overdue; `soft` is the
    latest verdict. `measured` is the run that its figures are of; a later one said the same.
    """
    last = view.latest
    age = (now - last).total_seconds() if last else None
    next_in = view.every - age if age is not None else None
    return {
        "name": view.name,
        "kind": view.kind,
        "component": view.component,
        "status": STALE if is_stale(view, now) else _status(view.status).value,
        "hard": view.status,
        "soft": view.soft,
        "since": view.since,
        "detail": view.detail or "not run yet",
        "guidance": view.guidance,
        "key": ": ".join(view.key) if view.key else "",
        "runs": view.runs,
        "every": view.every,
        "last_run": last,
        "measured": view.last_run,
        "age": age,
        "age_text": _ago(age),
        "next_run": last + timedelta(seconds=view.every) if last else None,
        "next_text": _ahead(next_in),
        "duration": view.duration,
        "outcome": view.outcome,
        "quality": view.quality,
        "trace_id": view.trace_id,
        "runbook": view.runbook,
        "flapping": view.flapping,
    }


def is_stale(view: CheckView, now: datetime) -> bool:
    """Whether more than two intervals, and the last run and one as long as it, passed since a check
    last began.
    """
    last = view.latest
    if last is None:
        return False
    return (now - last).total_seconds() > 2 * (view.every + view.duration) + 1


def describe_incident(incident: Incident, now: datetime, actions: Mapping[str, str]) -> Document:
    """One incident with its root cause, and why nothing (more) is being done."""
    ended = incident.closed or now
    age = (ended - incident.opened).total_seconds()
    return {
        "id": incident.id,
        "component": incident.component,
        "status": incident.status.value,
        "shown": show_status(incident),
        "state": incident.state.value,
        "opened": incident.opened,
        "recovered": incident.recovered,
        "watched_until": incident.watched_until,
        "closed": incident.closed,
        "age": age,
        "age_text": format_duration(age),
        "state_text": _tell_state(incident, now),
        "summary": incident.summary,
        "check": incident.check,
        "fault": incident.fault,
        "subject": dict(incident.subject),
        "parameters": dict(incident.parameters),
        "root_cause": incident.blocked_by or incident.root_cause or incident.component,
        "blocked_by": incident.blocked_by,
        "exhausted": incident.exhausted,
        "escalated": incident.escalated,
        "acknowledged": incident.acknowledged,
        "acknowledged_by": incident.acknowledged_by,
        "why": explain_standstill(incident, actions.get(incident.component, "")),
    }


def show_status(incident: Incident) -> str:
    """The status as it is shown: what works again is no red card because it is watched."""
    return Status.UP.value if incident.recovered is not None else incident.status.value


def _tell_state(incident: Incident, now: datetime) -> str:
    """The state and since when: `open for 3 min`, `recovered 20.0 s ago, watched until 12:10:04
    UTC, was bad for 3 min`.
    """
    opened, recovered = incident.opened, incident.recovered
    if incident.closed is not None:
        return f"closed, lasted {_span(opened, recovered or incident.closed)}"
    if recovered is None and incident.settled is not None:
        works = f"works again for {_span(incident.settled, now)}"
        return f"{incident.state.value} for {_span(opened, now)}, {works}"
    if recovered is None:
        seen_to = f", {incident.acknowledged_by} sees to it" if incident.acknowledged else ""
        return f"{incident.state.value} for {_span(opened, now)}{seen_to}"
    since, bad = _span(recovered, now), _span(opened, recovered)
    until = incident.watched_until
    watched = f"watched until {until:%H:%M:%S} UTC, " if until is not None else ""
    return f"recovered {since} ago, {watched}was bad for {bad}"


def _span(began: datetime, ended: datetime) -> str:
    return format_duration((ended - began).total_seconds())


def explain_standstill(incident: Incident, action: str) -> str:
    """Why nothing is being done, in one sentence; "" when there is no obstacle that we know of."""
    if incident.closed is not None:
        return ""
    if incident.exhausted:
        cure = f"`sentinel reset {incident.component} --reason repaired`"
        return f"restarts are used up: repair it, then {cure}"
    if incident.blocked_by:
        return f"blocked by {incident.blocked_by}: repair that first"
    if incident.recovered is not None:
        return (
            f"it works since {incident.recovered:%H:%M:%S} UTC: this incident is closed when it"
            " has been seen healthy for long enough, so that a relapse is no incident of its own"
        )
    return action


def incident_document(
    store: Reader, incident: Incident, now: datetime, most: int | None = None
) -> Document:
    """One incident with its timeline and attempts; of more than `most` lines both ends."""
    actions = {view.name: view.action for view in store.components()}
    document: Document = to_json(
        {
            **describe_incident(incident, now, actions),
            "runbook": runbook_of(store, incident),
            "timeline": store.timeline(incident.id, most=most),
            "attempts": store.attempts(incident=incident.id),
        }
    )
    return document


def describe_component(
    view: ComponentView, checks: Sequence[Mapping[str, Any]], now: datetime
) -> Document:
    """One component: its own status; stale when all of its checks are."""
    ages = [check["age"] for check in checks if check["age"] is not None]
    age = min(ages) if ages else None
    stale = bool(checks) and all(check["status"] == STALE for check in checks)
    ranked = sorted(checks, key=lambda check: -_ORDER.index(check["status"]))
    since = (now - view.since).total_seconds() if view.since else None
    return {
        "name": view.name,
        "status": STALE if stale else _status(view.status).value,
        "since": view.since,
        "since_text": format_duration(since),
        "detail": view.detail,
        "depends_on": list(view.depends_on),
        "driver": view.driver,
        "pid": view.pid,
        "restarts": view.restarts,
        "action": view.action,
        "age": age,
        "age_text": _ago(age),
        "key": next((check["key"] for check in ranked if check["key"]), ""),
        "checks": [check["name"] for check in checks],
    }


def _status(word: str) -> Status:
    return Status(word) if word in Status.__members__.values() else Status.UNKNOWN


def _ago(age: float | None) -> str:
    return "never" if age is None else "now" if age < 1 else f"{format_duration(age)} ago"


def _ahead(seconds: float | None) -> str:
    if seconds is None:
        return "not run yet"
    if seconds < -1:
        return f"overdue {format_duration(-seconds)}"
    return "due" if seconds < 1 else f"in {format_duration(seconds)}"


def describe_blindness(store: Reader, now: datetime) -> Document | None:
    """The latest time in which sentinel saw nothing, within the last hour."""
    gaps = store.gaps(since=now - TOLD_FOR)
    if not gaps:
        return None
    gap = gaps[-1]
    lasted = format_duration((gap.ended - gap.began).total_seconds())
    return {
        "began": gap.began,
        "ended": gap.ended,
        "reason": gap.reason,
        "text": f"saw nothing for {lasted}",
    }
