"""The recovery report: one failure from the first sign to the last cure, or a period over the whole
platform, in measured numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.model import Attempt, Incident
from sentinel.core.quantity import format_duration
from sentinel.errors import UsageError
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures import (
    Act,
    Episode,
    Looked,
    LookedStep,
    Period,
    RecoveryFacts,
    TimelineLine,
    Uptime,
)
from sentinel.reports.figures.agents import list_agents
from sentinel.reports.figures.component import is_unhurt
from sentinel.reports.figures.duty import assign_faults, list_calls, list_people
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
    list_within,
    measure_component,
)
from sentinel.reports.figures.faults import describe_obstacle, describe_open, list_faults, list_open
from sentinel.reports.figures.measure import measure_incident
from sentinel.reports.figures.period import bound_period, list_gaps, watch_began
from sentinel.reports.figures.position import list_positions
from sentinel.reports.figures.risk import list_risks
from sentinel.reports.figures.summary import summarize
from sentinel.reports.figures.target import list_targets
from sentinel.reports.figures.totals import read_around
from sentinel.reports.figures.trend import list_budgets, list_trends
from sentinel.store import Gap, Reader, TimelineEntry
from sentinel.store.document import write
from sentinel.store.notices import read_maintenance

UPTIME_WINDOW = timedelta(hours=24)
UPDATE_EVERY = timedelta(minutes=30)
MAX_MOMENTS = 400
MAX_EVIDENCE = 300
MAX_DIAGNOSES = 5


def recovery_facts(store: Reader, now: datetime, request: ReportRequest) -> RecoveryFacts:
    """The facts of a period over the whole platform where one is asked for, else of the named
    incident, or of the cause of the last one; of none, facts that say so.

    `next_update` defaults to 30 min from now while something is not closed. Raises UsageError when
    the named incident is unknown, or the period ends before it begins.
    """
    incidents = store.incidents(limit=MAX_INCIDENTS)
    if request.began is not None:
        period = bound_period(request.began, request.ended, now)
        within = list_within(incidents, period)
        return _tell(_Case(store, now, request, None, within, incidents, period))
    incident = _find(store, request.incident, incidents)
    if incident is None:
        platform = store.meta("platform") or "platform"
        nothing = "Nothing to report: no incident has been recorded."
        return RecoveryFacts(platform, now, nothing, None, None)
    whole = _whole_failure(incident, incidents)
    return _tell(_Case(store, now, request, incident, whole, incidents, lasted(incident, now)))


@dataclass(frozen=True, slots=True)
class _Case:
    """What a report is about: one incident with those that hang together with it, or a period with
    all incidents in it.
    """

    store: Reader
    now: datetime
    request: ReportRequest
    incident: Incident | None
    incidents: Sequence[Incident]
    known: Sequence[Incident]
    """All of them, among which causes and symptoms are looked for."""
    period: Period

    @property
    def window(self) -> Period:
        """Over which uptime is told: the period, of an incident at least a day."""
        return self.period if self.incident is None else _uptime_window(self.store, self.period)

    def tells(self, at: datetime) -> bool:
        """Whether what happened then is of this report: all that hangs together with its incident,
        or what lies in its period; what happens at its very end is of the next one.
        """
        return self.incident is not None or self.period.began <= at < self.period.ended


def _tell(case: _Case) -> RecoveryFacts:
    store, now, request, window = case.store, case.now, case.request, case.window
    checks, kinds = store.checks(), request.kinds
    faults, accepted, unlisted = list_faults(store, case.period, now)
    faults = assign_faults(faults, checks, request, case.incidents)
    entries, left_out = _read_entries(case)
    timeline, cut = _bounded(_timeline(case, entries))
    people, unnamed = list_people(store, case.period, entries)
    gaps = list_gaps(store, window, now, request.remembered)
    impact = measure_incident(store, kinds, checks, case.period)
    lasting = {impact.name for kind in kinds.values() for impact in kind.impact if impact.loss}
    uptime = _uptimes(case, gaps)
    earlier, later = read_around(store, "progress", case.period)
    facts = RecoveryFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline="",
        incident=_describe(case, case.incident) if case.incident else None,
        period=window,
        episodes=[_describe(case, one) for one in case.incidents if case.incident is None],
        impact=impact,
        timeline=timeline,
        faults=faults,
        accepted=accepted,
        uptime=uptime,
        actions=[
            _act(attempt)
            for attempt in attempts_of(store, case.incidents, now)
            if case.tells(attempt.intended)
        ],
        people=people,
        diagnoses=_diagnoses(entries),
        gaps=[_gap_line(gap) for gap in gaps if _touches(gap, case.period)],
        open_issues=_open_issues(store, case.incident),
        unaffected=[one.component for one in uptime if is_unhurt(one)],
        agents=list_agents(kinds, checks, earlier, later),
        agents_period=Period(earlier.at, (later and later.at) or now) if earlier.at else None,
        losses=[figure for figure in impact if figure.name in lasting],
        lost=[fault for fault in faults if fault.lost],
        positions=list_positions(store, kinds, checks, case.period),
        targets=list_targets(store, request, now),
        risks=list_risks(kinds, checks, request.disk),
        trends=[*list_trends(store, kinds, checks, window), *list_budgets(store, window)],
        escalation=list_calls(request.escalation, list_open(store), now),
        next_update=request.next_update or _plan_update(case),
        cut=cut + left_out + unlisted + unnamed,
    )
    facts = replace(facts, headline=_headline(facts, case))
    return replace(facts, summary=summarize(facts))


def _uptimes(case: _Case, gaps: Sequence[Gap]) -> list[Uptime]:
    owners, known = case.request.owners, read_maintenance(case.store)
    return [
        replace(
            measure_component(case.store, one.name, case.window, one, gaps, known),
            status=one.status,
            owner=owners.get(one.name, ""),
        )
        for one in case.store.components()
    ]


def _describe(case: _Case, incident: Incident) -> Episode:
    attempts = attempts_of(case.store, case.incidents, case.now)
    remembered = case.request.remembered
    return describe_episode(case.store, incident, case.known, attempts, case.now, remembered)


def _headline(facts: RecoveryFacts, case: _Case) -> str:
    if facts.incident is not None:
        return describe_end(facts.incident, case.now)
    length = format_duration((case.period.ended - case.period.began).total_seconds())
    if not facts.episodes:
        return f"No incident in {length}: nothing happened that sentinel saw."
    still = sum(one.closed is None for one in facts.episodes)
    tail = f"{still} not closed" if still else "all closed"
    return f"{len(facts.episodes)} incident{'s' * (len(facts.episodes) != 1)} in {length}, {tail}."


def _plan_update(case: _Case) -> datetime | None:
    subject = case.incidents if case.incident is None else [case.incident]
    return None if all(map(is_settled, subject)) else case.now + UPDATE_EVERY


def _touches(gap: Gap, period: Period) -> bool:
    return gap.began < period.ended and gap.ended > period.began


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


def _read_entries(case: _Case) -> tuple[list[TimelineEntry], int]:
    """Both ends of the timeline of each incident, and how many lines of those that are told were
    left between them.
    """
    entries: list[TimelineEntry] = []
    left_out = 0
    for one in case.incidents:
        found = case.store.timeline(one.id, most=MAX_MOMENTS)
        entries += found
        if len(found) >= MAX_MOMENTS and case.incident in (None, one):
            left_out += case.store.count_timeline(one.id) - len(found)
    return entries, left_out


def _timeline(case: _Case, entries: Sequence[TimelineEntry]) -> list[TimelineLine]:
    """What the incidents' timelines say, oldest first; of an incident without one, its instants.

    The report of one incident tells that one; its causes and symptoms have reports of their own.
    """
    told = case.incidents if case.incident is None else [case.incident]
    names = {one.id: one.component for one in told}
    lines = [
        TimelineLine(
            entry.at,
            entry.kind,
            entry.text if case.incident else _prefix(names[entry.incident], entry.text),
            _brief(entry.evidence),
        )
        for entry in entries
        if entry.incident in names and case.tells(entry.at)
    ]
    bare = names.keys() - {entry.incident for entry in entries}
    for one in told:
        lines += _instants(one) if one.id in bare else []
    return sorted(lines, key=lambda line: line.at)


def _prefix(component: str, text: str) -> str:
    return text if text.startswith(component) else f"{component}: {text}"


def _instants(incident: Incident) -> list[TimelineLine]:
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


def _open_issues(store: Reader, incident: Incident | None) -> list[str]:
    issues, views, standing = [], store.components(), store.faults()
    for other in list_open(store):
        own = "this incident" if incident and other.id == incident.id else f"incident {other.id}"
        issues += describe_open(other, standing, views, f" ({other.state.value}, {own})")
        issues += describe_obstacle(other)
    return issues + [f"{view.name}: {view.action}" for view in views if view.action]


REPORT = Report(
    name="recovery",
    summary="one failure, or a period: what it cost, what was done, how it stands",
    facts=recovery_facts,
)
