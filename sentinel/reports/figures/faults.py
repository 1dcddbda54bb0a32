"""Faults of a period, subject by subject, and the lines that tell what is wrong now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sentinel.core.fault import Acceptance, StandingFault, Status, describe_subject, worst
from sentinel.core.model import Incident, IncidentState
from sentinel.core.quantity import MANY
from sentinel.reports.figures import AcceptedFault, FaultFact, Period
from sentinel.store import ComponentView, Reader

MAX_FAULTS = 300
"""Subjects that a report lists; it says how many more there were."""
MAX_LINES = 20
"""Subjects of one component among what blocks; the rest is one line."""
BAD = (Status.DEGRADED, Status.DOWN)


def list_faults(
    store: Reader, period: Period, now: datetime
) -> tuple[list[FaultFact], list[AcceptedFault], int]:
    """Faults that stood in a period, the worst first, accepted ones apart, and how many were cut.

    A fault that ended before the period began, or began after it ended, is none of them.
    """
    found: dict[tuple[object, ...], list[StandingFault]] = {}
    for each in sorted(store.faults(since=period.began), key=lambda fault: fault.began):
        if each.began <= period.ended:
            key = (each.check, each.fault.identity, each.accepted is None)
            found.setdefault(key, []).append(each)
    ordered = sorted(found.values(), key=lambda spells: (-_worst(spells).rank, spells[0].began))
    kept = ordered[:MAX_FAULTS]
    plain = [describe_fault(spells, now) for spells in kept if spells[-1].accepted is None]
    accepted = [
        AcceptedFault(describe_fault(spells, now), _tell_reason(word), word.until)
        for spells in kept
        if (word := spells[-1].accepted) is not None
    ]
    return plain, accepted, len(ordered) - len(kept)


def describe_fault(spells: Sequence[StandingFault], now: datetime) -> FaultFact:
    """One fault, with every time that it stood; its text is that of the last look that saw it."""
    last = spells[-1]
    fault, count = last.fault, last.fault.count
    return FaultFact(
        check=last.check,
        component=last.component,
        key=fault.key,
        subject=describe_subject(fault.subject) or last.component,
        status=fault.status.value,
        worst=_worst(spells).value,
        text=fault.text,
        began=spells[0].began,
        ended=last.ended,
        seconds=sum(_seconds(each, now) for each in spells),
        times=len(spells),
        low=None if count is None else float(count.lo),
        high=None if count is None or count.hi >= MANY else float(count.hi),
        cure=list(fault.cure),
        guidance=fault.guidance,
        lost=fault.loss is not None,
    )


def _tell_reason(word: Acceptance) -> str:
    return f"{word.reason} ({word.by})" if word.by else word.reason


def _worst(spells: Sequence[StandingFault]) -> Status:
    return worst([each.worst for each in spells])


def _seconds(standing: StandingFault, now: datetime) -> float:
    return max(0.0, ((standing.ended or now) - standing.began).total_seconds())


# -- lines -----------------------------------------------------------------------------------------


def list_open(store: Reader) -> list[Incident]:
    """Incidents that are not closed, causes before what they took down."""
    found = store.incidents(open_only=True)
    return sorted(found, key=lambda each: bool(each.blocked_by or each.root_cause))


def describe_open(
    incident: Incident,
    standing: Iterable[StandingFault],
    views: Sequence[ComponentView],
    note: str = "",
) -> list[str]:
    """What is wrong with the component of an open incident, one line for each subject.

    Without faults to name, how the component stands now.
    """
    name = incident.component
    own = [each for each in standing if each.component == name and _blocks(each)]
    if incident.state is not IncidentState.OPEN or not own:
        return [_describe_standing(incident, views, note)]
    own.sort(key=lambda each: (-each.fault.status.rank, each.began))
    lines = [f"{name} is {each.fault.status}{note}: {each.fault.text}" for each in own[:MAX_LINES]]
    more = len(own) - MAX_LINES
    return lines + ([f"{name}: {more} more, see `sentinel faults`"] if more > 0 else [])


def _blocks(standing: StandingFault) -> bool:
    bad = standing.fault.status in BAD
    return bad and standing.ended is None and standing.accepted is None


def _describe_standing(incident: Incident, views: Sequence[ComponentView], note: str) -> str:
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
    name, lines = incident.component, []
    if incident.exhausted:
        lines.append(
            f"{name} used up its restarts: repair it, then"
            f" `sentinel reset {name} --reason repaired`"
        )
    if incident.blocked_by:
        lines.append(f"{name} is blocked by {incident.blocked_by}: repair that first")
    return lines
