"""Facts of a recovery report: one incident, from the first sign to the last cure, in measured
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, IncidentState
from sentinel.core.quantity import format_duration
from sentinel.errors import UsageError
from sentinel.reports.facts import (
    Act,
    Episode,
    Figure,
    Looked,
    LookedStep,
    Moment,
    Period,
    RecoveryFacts,
    Uptime,
)
from sentinel.reports.measure import measure_impact
from sentinel.reports.uptime import measure_uptime
from sentinel.store import ComponentView, Gap, Reader, TimelineEntry
from sentinel.store.document import read_instant, write
from sentinel.store.runbook import runbook_of

UPTIME_WINDOW = timedelta(hours=24)
UPDATE_EVERY = timedelta(minutes=30)
MAX_MOMENTS = 400
MAX_EVIDENCE = 300
MAX_DIAGNOSES = 5
_FIRST_SIGNS = ("failing_since", "died_at", "first_failure")


def recovery_facts(
    store: Reader,
    now: datetime,
    incident_id: str | None = None,
    *,
    next_update: datetime | None = None,
) -> RecoveryFacts:
    """The facts of the named incident, or of the last one; of none, facts that say so.

    Reads the store only. `next_update` defaults to 30 min from now while the incident is not
    closed. Raises UsageError when the named incident is unknown.
    """
    incident = _find(store, incident_id)
    platform = store.meta("platform") or "platform"
    if incident is None:
        return RecoveryFacts(
            platform, now, "Nothing to report: no incident has been recorded.", None, None
        )
    gaps = store.gaps(since=incident.opened)
    attempts = store.attempts(incident=incident.id)
    entries = store.timeline(incident.id)
    episode = _episode(store, incident, entries, attempts, now)
    lasted = Period(incident.opened, max(incident.closed or now, incident.opened))
    window = _uptime_window(store, lasted)
    timeline, cut = _bounded(_timeline(incident, entries))
    return RecoveryFacts(
        platform=platform,
        generated=now,
        headline=_headline(episode, now),
        incident=episode,
        period=window,
        impact=measure_impact(store, store.checks(), lasted),
        timeline=timeline,
        uptime=_uptimes(store, window),
        actions=[_act(attempt) for attempt in attempts],
        diagnoses=_diagnoses(entries),
        gaps=[_gap_moment(gap) for gap in gaps if gap.began < lasted.ended],
        open_issues=_open_issues(store, incident),
        next_update=next_update
        or (None if incident.state is IncidentState.CLOSED else now + UPDATE_EVERY),
        cut=cut,
    )


def _find(store: Reader, incident_id: str | None) -> Incident | None:
    if incident_id is None:
        return next(iter(store.incidents(limit=1)), None)
    incident = store.incident(incident_id)
    if incident is None:
        raise UsageError(
            f"no incident is called {incident_id}", "`sentinel incident list` shows their ids"
        )
    return incident


def _episode(
    store: Reader,
    incident: Incident,
    entries: Sequence[TimelineEntry],
    attempts: Sequence[Attempt],
    now: datetime,
) -> Episode:
    check = next((check for check in store.checks() if check.name == incident.check), None)
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
        recovered=incident.recovered,
        closed=incident.closed,
        detection=_detection(incident, entries),
        response=_response(incident, attempts),
        recovery=_recovery(incident, now),
        runbook=runbook_of(store, incident),
        worst=(incident.worst or incident.status).value,
    )


def _detection(incident: Incident, entries: Sequence[TimelineEntry]) -> Figure:
    """From the first sign in the evidence to the opening; nothing is inferred from intervals."""
    signs = [
        sign
        for entry in entries
        if (sign := _first_sign(entry.evidence)) and sign <= incident.opened
    ]
    if not signs:
        return Figure(
            "detection", unit="seconds", basis="not measured: no evidence of when it began"
        )
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
    if not attempts:
        return Figure("response", unit="seconds", basis="no action was taken")
    seconds = (attempts[0].intended - incident.opened).total_seconds()
    return Figure("response", seconds, seconds, "seconds", basis="incident opened to first action")


def _recovery(incident: Incident, now: datetime) -> Figure:
    if incident.recovered is None:
        lasting = format_duration((now - incident.opened).total_seconds())
        return Figure("recovery", unit="seconds", basis=f"not recovered, {lasting} so far")
    seconds = (incident.recovered - incident.opened).total_seconds()
    return Figure(
        "recovery", seconds, seconds, "seconds", basis="incident opened to component healthy"
    )


def _headline(episode: Episode, now: datetime) -> str:
    name = episode.component
    if episode.recovered is None:
        lasting = format_duration((now - episode.opened).total_seconds())
        stuck = (
            "; automatic restarts are exhausted, a person is needed" if episode.exhausted else ""
        )
        return f"{name} is {episode.status} for {lasting}{stuck}."
    took = format_duration(episode.recovery.low)
    tail = "the incident is closed" if episode.closed else "its health is being observed"
    return f"{name} recovered after {took}; {tail}."


def _timeline(incident: Incident, entries: Sequence[TimelineEntry]) -> list[Moment]:
    if entries:
        return [
            Moment(entry.at, entry.kind, entry.text, _brief(entry.evidence)) for entry in entries
        ]
    moments = [Moment(incident.opened, "opened", incident.summary)]
    for at, word in ((incident.recovered, "recovered"), (incident.closed, "closed")):
        if at is not None:
            moments.append(Moment(at, word, f"{incident.component} {word}"))
    return moments


def _bounded(moments: list[Moment]) -> tuple[list[Moment], int]:
    """The beginning and the end of a long timeline, and how many lines between them were cut."""
    if len(moments) <= MAX_MOMENTS:
        return moments, 0
    head = MAX_MOMENTS // 4
    return moments[:head] + moments[head - MAX_MOMENTS :], len(moments) - MAX_MOMENTS


def _diagnoses(entries: Sequence[TimelineEntry]) -> list[Looked]:
    """What runbooks found, from the timeline; the newest ones when there are many."""
    found = [entry for entry in entries if isinstance(entry.evidence.get("transcript"), str)]
    return [
        Looked(
            entry.at,
            entry.text,
            [
                LookedStep(step["name"], step["outcome"], step["detail"])
                for step in entry.evidence.get("steps", ())
            ],
            entry.evidence["transcript"],
        )
        for entry in found[-MAX_DIAGNOSES:]
    ]


def _brief(evidence: Mapping[str, Any]) -> str:
    if "transcript" in evidence:
        return "see Diagnosis"
    text = "; ".join(
        f"{key} {value if isinstance(value, str) else write(value)}"
        for key, value in evidence.items()
    )
    return text if len(text) <= MAX_EVIDENCE else f"{text[: MAX_EVIDENCE - 1]}…"


def _act(attempt: Attempt) -> Act:
    return Act(
        n=attempt.n,
        action=attempt.action,
        component=attempt.component,
        reason=attempt.reason,
        at=attempt.intended,
        outcome=attempt.outcome or "outcome unknown",
        verdict=attempt.verdict or "not judged yet",
        detail=attempt.detail,
        recovered_in=attempt.recovered_in,
    )


def _gap_moment(gap: Gap) -> Moment:
    seconds = format_duration((gap.ended - gap.began).total_seconds())
    return Moment(gap.began, "unobserved", f"sentinel saw nothing for {seconds}: {gap.reason}")


def watch_began(store: Reader) -> datetime | None:
    """When sentinel began to watch, as far as the store knows."""
    try:
        at = read_instant(store.meta("watching_since") or store.meta("started") or "")
    except ValueError:
        return None
    return at if at.tzinfo else None


def _uptime_window(store: Reader, lasted: Period) -> Period:
    """The day before the incident's end, not before the watch began; the whole incident in any
    case.
    """
    day_before = lasted.ended - UPTIME_WINDOW
    began = max(watch_began(store) or day_before, day_before)
    return Period(min(began, lasted.began), lasted.ended)


def _uptimes(store: Reader, period: Period) -> list[Uptime]:
    changes = [
        change for change in store.transitions(since=period.began) if change.scope == "component"
    ]
    gaps = store.gaps(since=period.began)
    return [
        measure_uptime(
            view.name,
            period,
            [change for change in changes if change.subject == view.name],
            gaps,
            read_status(view.status),
            view.since,
        )
        for view in store.components()
    ]


def read_status(word: str) -> Status:
    """The status of a view's word; anything else is unknown."""
    return Status(word) if word in Status.__members__.values() else Status.UNKNOWN


def _open_issues(store: Reader, incident: Incident) -> list[str]:
    issues, views = [], store.components()
    for other in store.incidents(open_only=True):
        own = "this incident" if other.id == incident.id else f"incident {other.id}"
        issues.append(describe_standing(other, views, f" ({other.state.value}, {own})"))
        issues += describe_obstacle(other)
    return issues + [f"{view.name}: {view.action}" for view in views if view.action]


def describe_standing(incident: Incident, views: Sequence[ComponentView], note: str = "") -> str:
    """How its component stands now; what an incident began with may be long over."""
    name, was = incident.component, incident.status.value
    if incident.state is IncidentState.RECOVERING:
        worst = (incident.worst or incident.status).value
        return (
            f"{name} is healthy again and being observed{note}; it was {worst}: {incident.summary}"
        )
    now = next((view.detail for view in views if view.name == name and view.status == was), "")
    return f"{name} is {was}{note}: {now or incident.summary}"


def describe_obstacle(incident: Incident) -> list[str]:
    """Why nothing more is done about an incident, and what a person must do."""
    lines = []
    if incident.exhausted:
        lines.append(
            f"{incident.component} used up its restarts: repair it, then `sentinel reset"
            f" {incident.component}`"
        )
    if incident.blocked_by:
        lines.append(f"{incident.component} is blocked by {incident.blocked_by}: repair that first")
    return lines
