"""The recovery report: one failure, from the first sign to the last cure, in measured numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.model import Attempt, Incident
from sentinel.core.quantity import format_duration
from sentinel.errors import UsageError
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures import (
    Act,
    Looked,
    LookedStep,
    Period,
    RecoveryFacts,
    TimelineLine,
    Uptime,
)
from sentinel.reports.figures.episode import (
    MAX_INCIDENTS,
    attempts_of,
    describe_end,
    describe_episode,
    find_cause,
    find_latest_cause,
    is_settled,
    lasted,
    list_symptoms,
    measure_component,
)
from sentinel.reports.figures.faults import describe_obstacle, describe_open, list_faults, list_open
from sentinel.reports.figures.measure import measure_incident
from sentinel.reports.figures.period import watch_began
from sentinel.store import Gap, Reader, TimelineEntry
from sentinel.store.document import write

UPTIME_WINDOW = timedelta(hours=24)
UPDATE_EVERY = timedelta(minutes=30)
MAX_MOMENTS = 400
MAX_EVIDENCE = 300
MAX_DIAGNOSES = 5


def recovery_facts(store: Reader, now: datetime, request: ReportRequest) -> RecoveryFacts:
    """The facts of the named incident, or of the cause of the last one; of none, facts that say so.

    `next_update` defaults to 30 min from now while the incident is not closed. Raises UsageError
    when the named incident is unknown.
    """
    incidents = store.incidents(limit=MAX_INCIDENTS)
    incident = _find(store, request.incident, incidents)
    platform = store.meta("platform") or "platform"
    if incident is None:
        nothing = "Nothing to report: no incident has been recorded."
        return RecoveryFacts(platform, now, nothing, None, None)
    return _tell(store, now, request, incident, incidents)


def _tell(
    store: Reader,
    now: datetime,
    request: ReportRequest,
    incident: Incident,
    incidents: Sequence[Incident],
) -> RecoveryFacts:
    attempts = attempts_of(store, _whole_failure(incident, incidents), now)
    episode = describe_episode(store, incident, incidents, attempts, now)
    entries, period = store.timeline(incident.id), lasted(incident, now)
    window = _uptime_window(store, period)
    timeline, cut = _bounded(_timeline(incident, entries))
    faults, accepted, unlisted = list_faults(store, period, now)
    planned = None if is_settled(incident) else now + UPDATE_EVERY
    return RecoveryFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=describe_end(episode, now),
        incident=episode,
        period=window,
        impact=measure_incident(store, request.kinds, store.checks(), period),
        timeline=timeline,
        faults=faults,
        accepted=accepted,
        uptime=_uptimes(store, window),
        actions=[_act(attempt) for attempt in attempts],
        diagnoses=_diagnoses(entries),
        gaps=[_gap_line(gap) for gap in store.gaps(since=period.began) if gap.began < period.ended],
        open_issues=_open_issues(store, incident),
        next_update=request.next_update or planned,
        cut=cut + unlisted,
    )


def _find(store: Reader, named: str | None, incidents: Sequence[Incident]) -> Incident | None:
    if named is None:
        return find_latest_cause(incidents)
    incident = store.incident(named)
    if incident is None:
        raise UsageError(
            f"no incident is called {named}", "`sentinel incident list` shows their ids"
        )
    return incident


def _whole_failure(incident: Incident, incidents: Sequence[Incident]) -> list[Incident]:
    """The incident, what is behind it, and what it brought about."""
    cause = find_cause(incident, incidents)
    return [*([cause] if cause else []), incident, *list_symptoms(incident, incidents)]


# -- what happened ---------------------------------------------------------------------------------


def _timeline(incident: Incident, entries: Sequence[TimelineEntry]) -> list[TimelineLine]:
    if entries:
        return [
            TimelineLine(entry.at, entry.kind, entry.text, _brief(entry.evidence))
            for entry in entries
        ]
    lines = [TimelineLine(incident.opened, "opened", incident.summary)]
    for at, word in ((incident.recovered, "recovered"), (incident.closed, "closed")):
        if at is not None:
            lines.append(TimelineLine(at, word, f"{incident.component} {word}"))
    return lines


def _bounded(lines: list[TimelineLine]) -> tuple[list[TimelineLine], int]:
    """The beginning and the end of a long timeline, and how many lines between them were cut."""
    if len(lines) <= MAX_MOMENTS:
        return lines, 0
    head = MAX_MOMENTS // 4
    return lines[:head] + lines[head - MAX_MOMENTS :], len(lines) - MAX_MOMENTS


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
        incident=attempt.incident,
        by=attempt.by,
    )


def _gap_line(gap: Gap) -> TimelineLine:
    seconds = format_duration((gap.ended - gap.began).total_seconds())
    return TimelineLine(
        gap.began, "unobserved", f"sentinel saw nothing for {seconds}: {gap.reason}"
    )


# -- how it stands ---------------------------------------------------------------------------------


def _uptime_window(store: Reader, period: Period) -> Period:
    """The day before the incident's end, not before the watch began; the whole incident in any
    case.
    """
    day_before = period.ended - UPTIME_WINDOW
    began = max(watch_began(store) or day_before, day_before)
    return Period(min(began, period.began), period.ended)


def _uptimes(store: Reader, period: Period) -> list[Uptime]:
    return [measure_component(store, view.name, period, view) for view in store.components()]


def _open_issues(store: Reader, incident: Incident) -> list[str]:
    issues, views, standing = [], store.components(), store.faults()
    for other in list_open(store):
        own = "this incident" if other.id == incident.id else f"incident {other.id}"
        issues += describe_open(other, standing, views, f" ({other.state.value}, {own})")
        issues += describe_obstacle(other)
    return issues + [f"{view.name}: {view.action}" for view in views if view.action]


REPORT = Report(
    name="recovery",
    summary="one failure: what it cost, what was done, how it stands",
    facts=recovery_facts,
)
