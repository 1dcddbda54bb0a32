"""One incident with its times, and how it hangs together with others: cause and symptoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.notice.maintenance import Maintenance, find_spans
from sentinel.core.quantity import format_duration
from sentinel.reports.figures import Episode, Figure, Linked, Period, Uptime
from sentinel.reports.figures.period import list_gaps
from sentinel.reports.figures.uptime import measure_uptime
from sentinel.store import ComponentView, Gap, Reader, TimelineEntry
from sentinel.store.document import read_instant
from sentinel.store.notices import read_maintenance
from sentinel.store.runbook import runbook_of

MAX_INCIDENTS = 500
"""Newest incidents among which causes and symptoms are looked for."""
MAX_SIGNS = 400
"""Lines of a timeline among which the first sign is looked for: it is told when it opens."""
_FIRST_SIGNS = ("failing_since", "died_at", "first_failure")


# -- which one -------------------------------------------------------------------------------------


def find_latest_cause(incidents: Sequence[Incident]) -> Incident | None:
    """The newest incident, or the one behind it when it is a symptom; `incidents` newest first."""
    latest = next(iter(incidents), None)
    return latest and (find_cause(latest, incidents) or latest)


def find_cause(incident: Incident, incidents: Sequence[Incident]) -> Incident | None:
    """The incident at the root of a symptom; None of a cause, or when it is not known."""
    found, seen = incident, {incident.id}
    while (deeper := _find_behind(found, incidents)) is not None and deeper.id not in seen:
        found = deeper
        seen.add(found.id)
    return None if found is incident else found


def list_symptoms(incident: Incident, incidents: Sequence[Incident]) -> list[Incident]:
    """Incidents that this one brought about, oldest first."""
    own = [each for each in incidents if find_cause(each, incidents) == incident]
    return sorted(own, key=lambda each: each.opened)


def _find_behind(incident: Incident, incidents: Sequence[Incident]) -> Incident | None:
    """The newest incident of the component that took this one down, at the same time."""
    component = incident.blocked_by or incident.root_cause
    if component in ("", incident.component):
        return None
    at_once = (each for each in incidents if each.component == component)
    return next((each for each in at_once if _overlap(each, incident)), None)


def _overlap(one: Incident, other: Incident) -> bool:
    """Whether two incidents lasted at the same time; one that is not closed lasts."""
    before = one.closed is not None and one.closed < other.opened
    after = other.closed is not None and other.closed < one.opened
    return not before and not after


def link(incident: Incident) -> Linked:
    """The short form in which another incident's report names it."""
    return Linked(
        incident.id,
        incident.component,
        incident.summary,
        incident.opened,
        incident.state.value,
    )


def list_within(incidents: Sequence[Incident], period: Period) -> list[Incident]:
    """Incidents that lasted within a period, oldest first."""
    found = [
        each
        for each in incidents
        if each.opened < period.ended and (each.closed is None or each.closed >= period.began)
    ]
    return sorted(found, key=lambda each: each.opened)


def attempts_of(store: Reader, incidents: Sequence[Incident], now: datetime) -> list[Attempt]:
    """What was done to the components of incidents while these lasted, oldest first."""
    found: dict[tuple[str, int], Attempt] = {}
    for incident in incidents:
        ended = incident.closed or now
        own = store.attempts(component=incident.component, since=incident.opened)
        for attempt in (*store.attempts(incident=incident.id), *own):
            if attempt.incident == incident.id or attempt.intended <= ended:
                found[attempt.incident, attempt.n] = attempt
    return sorted(found.values(), key=lambda each: each.intended)


# -- its times -------------------------------------------------------------------------------------


def describe_episode(
    store: Reader,
    incident: Incident,
    incidents: Sequence[Incident],
    attempts: Sequence[Attempt],
    now: datetime,
    remembered: float | None = None,
) -> Episode:
    """The incident as its report shows it. `attempts` may be those of other incidents, too;
    `remembered`: for how many seconds the store remembers what happened.
    """
    check = next((check for check in store.checks() if check.name == incident.check), None)
    cause = find_cause(incident, incidents)
    return Episode(
        id=incident.id,
        component=incident.component,
        state=incident.state.value,
        status=incident.status.value,
        summary=incident.summary,
        check=f"{check.name} ({check.kind})" if check else incident.check,
        root_cause=incident.blocked_by or incident.root_cause or incident.component,
        blocked_by=incident.blocked_by,
        exhausted=incident.exhausted,
        opened=incident.opened,
        recovered=incident.recovered or incident.settled,
        closed=incident.closed,
        detection=_detection(incident, store.timeline(incident.id, most=MAX_SIGNS)),
        response=_response(cause or incident, attempts),
        recovery=_recovery(incident, now),
        spent=measure_ill_time(store, incident, now, remembered),
        runbook=runbook_of(store, incident),
        worst=(incident.worst or incident.status).value,
        cause=None if cause is None else link(cause),
        symptoms=[link(each) for each in list_symptoms(incident, incidents)],
    )


def _detection(incident: Incident, entries: Sequence[TimelineEntry]) -> Figure:
    """From the first sign in the evidence to the opening; nothing is inferred from intervals."""
    signs = [
        sign
        for entry in entries
        if (sign := _first_sign(entry.evidence)) and sign <= incident.opened
    ]
    if not signs:
        why = "no evidence of when it began"
        return Figure("detection", unit="seconds", basis=why)
    seconds = (incident.opened - min(signs)).total_seconds()
    return Figure("detection", seconds, seconds, "seconds", basis="first sign to incident opened")


def _first_sign(evidence: Mapping[str, Any]) -> datetime | None:
    text = next((evidence[key] for key in _FIRST_SIGNS if isinstance(evidence.get(key), str)), "")
    try:
        at = read_instant(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _response(incident: Incident, attempts: Sequence[Attempt]) -> Figure:
    """To the first act for it; `attempts` are oldest first. What was done for another incident of
    its component is no answer to this one.
    """
    first = next((each for each in attempts if each.incident == incident.id), None)
    if first is None:
        return Figure("response", unit="seconds", basis="no action was taken")
    seconds = max(0.0, (first.intended - incident.opened).total_seconds())
    basis = f"incident of {incident.component} opened to first action"
    return Figure("response", seconds, seconds, "seconds", basis=basis)


def _recovery(incident: Incident, now: datetime) -> Figure:
    recovered = incident.recovered or incident.settled
    if recovered is None:
        lasting = format_duration((now - incident.opened).total_seconds())
        return Figure("recovery", unit="seconds", basis=f"not recovered, {lasting} so far")
    seconds = (recovered - incident.opened).total_seconds()
    basis = "incident opened to component healthy"
    return Figure("recovery", seconds, seconds, "seconds", basis=basis)


# -- how it spent them -----------------------------------------------------------------------------


def measure_ill_time(
    store: Reader, incident: Incident, now: datetime, remembered: float | None = None
) -> Uptime:
    """How the component spent the time from opening to recovery, or until now, as far as sentinel
    saw it.
    """
    until = max(incident.recovered or incident.settled or now, incident.opened)
    period = Period(incident.opened, until)
    view = next((each for each in store.components() if each.name == incident.component), None)
    gaps = list_gaps(store, period, now, remembered)
    return measure_component(store, incident.component, period, view, gaps)


def measure_component(
    store: Reader,
    name: str,
    period: Period,
    view: ComponentView | None,
    gaps: Sequence[Gap],
    maintenance: Sequence[Maintenance] | None = None,
) -> Uptime:
    """How one component spent a period, but for the `gaps` in which sentinel saw nothing;
    `maintenance` where the caller has read that already.
    """
    changes: list[Transition] = [
        change
        for change in store.transitions(since=period.began, subject=name)
        if change.scope == "component"
    ]
    if view is None:
        status, since = Status.UNKNOWN, None
    else:
        status, since = read_status(view.present or view.status), view.present_since or view.since
    known = read_maintenance(store) if maintenance is None else maintenance
    spans = find_spans(known, name, period.began, period.ended)
    return measure_uptime(name, period, changes, gaps, status, since, spans)


def read_status(word: str) -> Status:
    """The status of a view's word; anything else is unknown."""
    return Status(word) if word in Status.__members__.values() else Status.UNKNOWN


def describe_end(episode: Episode, now: datetime) -> str:
    """One sentence: for how long it was ill, how much of that it was down, and how it stands."""
    until = episode.recovered or now
    lasting = _describe_lasting(
        episode.spent, format_duration((until - episode.opened).total_seconds())
    )
    if episode.recovered is None:
        return f"{episode.component} is {episode.status}, ill for {lasting}{_need(episode)}."
    if episode.state == "open":
        tail = "what was lost is still to be accepted"
        return f"{episode.component} works again after {lasting}; {tail}."
    tail = "the incident is closed" if episode.closed else "its health is being observed"
    return f"{episode.component} recovered after {lasting}; {tail}."


def _describe_lasting(spent: Uptime, lasting: str) -> str:
    """`8 min (down 1 min 39 s, degraded 6 min 21 s)`, `8 min, all of it down`; the bare time when
    nothing of it was seen.
    """
    parts = {
        "down": spent.down,
        "degraded": spent.degraded,
        "up in between": spent.up,
        "unobserved": spent.unobserved,
        "in maintenance": spent.maintenance,
    }
    told = {word: seconds for word, seconds in parts.items() if seconds > 0}
    if not spent.down and not spent.degraded:
        return lasting
    if len(told) == 1:
        return f"{lasting}, all of it {next(iter(told))}"
    shares = (f"{word} {format_duration(seconds)}" for word, seconds in told.items())
    return f"{lasting} ({', '.join(shares)})"


def _need(episode: Episode) -> str:
    if episode.exhausted:
        return "; automatic restarts are exhausted, a person is needed"
    return f"; its cause is {episode.cause.component}" if episode.cause is not None else ""


def lasted(incident: Incident, now: datetime) -> Period:
    """From opening to closing, or until now."""
    return Period(incident.opened, max(incident.closed or now, incident.opened))


def is_settled(incident: Incident) -> bool:
    """Whether nothing more is expected of it."""
    return incident.state is IncidentState.CLOSED
