"""Cause cards: each open incident that is a cause, with what it takes down folded into a count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sentinel.core.fault import FaultIdentity, StandingFault
from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import Incident
from sentinel.store.runbook import choose_runbook
from sentinel.web.document import explain_standstill, show_status
from sentinel.web.live.frame import PageFrame
from sentinel.web.live.line import FaultLine, describe_fault_line

MAX_CARDS = 50
MAX_FAULTS = 5
MAX_DEPENDANTS = 20
_LOOKED_THROUGH = 50
_ORDINAL = 10**14
_FIGURES = re.compile(r"\d[\d.,:]*")
"""They differ from look to look, and say the same."""


@dataclass(frozen=True, slots=True)
class IncidentCard:
    """One cause. Instants are aware UTC; `sort` orders cards, the most urgent first."""

    id: str
    component: str
    status: str
    state: str
    opened: datetime
    recovered: datetime | None
    settled: datetime | None
    watched_until: datetime | None
    acknowledged_by: str
    summary: str
    root_cause: str
    check: str
    why: str
    runbook: str
    faults: tuple[FaultLine, ...]
    """What the summary does not tell already, each sentence once, the worst."""
    standing: int
    """How many faults there are in all."""
    dependants: tuple[str, ...]
    more_dependants: int
    healed: int
    """Those that work again already."""
    attempts: int
    latest: tuple[datetime, str] | None
    """The last line of its timeline."""
    untold: tuple[str, ...]
    """Why nobody is told of it: silences, maintenance."""
    sort: str


@dataclass(frozen=True, slots=True)
class CardCount:
    """Open incidents: causes, those that are only their effects, causes that work again and are
    watched, and how many of all have no card.
    """

    causes: int
    effects: int
    watched: int
    cut: int


@dataclass(frozen=True, slots=True)
class CardSources:
    """What cards are made of; mappings are by component, `story` by incident: last line, number of
    attempts.
    """

    incidents: Mapping[str, Incident]
    actions: Mapping[str, str]
    faults: Mapping[str, Sequence[StandingFault]]
    books: Mapping[str, str]
    """The runbook of each check."""
    story: Mapping[str, tuple[tuple[datetime, str] | None, int]]
    frame: PageFrame


def make_cards(found: CardSources) -> tuple[list[IncidentCard], CardCount]:
    """The cards that are shown, the most urgent first, and how many there are."""
    causes, dependants = fold(found.incidents.values())
    ordered = sorted(causes, key=_sort_key)
    cards = [
        _make_card(each, dependants.get(each.component, []), found) for each in ordered[:MAX_CARDS]
    ]
    works = sum(each.recovered is not None for each in causes)
    effects, cut = len(found.incidents) - len(causes), len(causes) - len(cards)
    return cards, CardCount(len(causes) - works, effects, works, cut)


def fold(incidents: Iterable[Incident]) -> tuple[list[Incident], dict[str, list[Incident]]]:
    """Which are causes, and by the component of each those that are bad because of it, or were and
    work again before it does.
    """
    known = list(incidents)
    bad = {each.component for each in known if each.recovered is None and not each.blocked_by}
    causes, dependants = list[Incident](), dict[str, list[Incident]]()
    for each in known:
        cause = each.blocked_by or (each.root_cause if each.recovered is not None else "")
        if cause in bad and cause != each.component:
            dependants.setdefault(cause, []).append(each)
        else:
            causes.append(each)
    return causes, dependants


def _urgency(standing: StandingFault) -> tuple[int, datetime, str, FaultIdentity]:
    fault = standing.fault
    return -fault.status.rank, standing.began, standing.check, fault.identity


def _sort_key(incident: Incident) -> str:
    """What is broken before what recovers, the worst first, then the newest."""
    works = incident.recovered is not None
    moment = _ORDINAL - int(incident.opened.timestamp() * 1000)
    return f"{works:d}{9 - incident.status.rank}{moment:014d}{incident.id}"


def _make_card(incident: Incident, dependants: list[Incident], found: CardSources) -> IncidentCard:
    standing = [each for each in found.faults.get(incident.component, ()) if not each.accepted]
    worst_first = sorted(standing, key=_urgency)
    latest, attempts = found.story.get(incident.id, (None, 0))
    book = found.books.get(incident.check, "")
    action = found.actions.get(incident.component, "")
    names = sorted(each.component for each in dependants if each.recovered is None)
    return IncidentCard(
        id=make_visible(incident.id),
        component=make_visible(incident.component),
        status=show_status(incident),
        state=incident.state.value,
        opened=incident.opened,
        recovered=incident.recovered,
        settled=incident.settled,
        watched_until=incident.watched_until,
        acknowledged_by=make_visible(incident.acknowledged_by) if incident.acknowledged else "",
        summary=make_visible(incident.summary),
        root_cause=make_visible(incident.blocked_by or incident.root_cause),
        check=make_visible(incident.check),
        why=make_visible(explain_standstill(incident, action)),
        runbook=choose_runbook(found.frame.conditions, incident, book),
        faults=_choose_faults(incident, worst_first),
        standing=len(worst_first),
        dependants=tuple(map(make_visible, names[:MAX_DEPENDANTS])),
        more_dependants=max(len(names) - MAX_DEPENDANTS, 0),
        healed=len(dependants) - len(names),
        attempts=attempts,
        latest=_choose_latest(incident, latest),
        untold=found.frame.find_untold(incident),
        sort=make_visible(_sort_key(incident)),
    )


def _choose_faults(
    incident: Incident, worst_first: Sequence[StandingFault]
) -> tuple[FaultLine, ...]:
    """Those that are shown one by one. What six checks say of one dead server is one line."""
    summary = make_visible(incident.summary)
    lines = dict[tuple[str, str], FaultLine]()
    for standing in worst_first[:_LOOKED_THROUGH]:
        line = describe_fault_line(standing)
        named = len(worst_first) == 1 or (standing.fault.subject and line.subject in summary)
        if not _is_told(line.text, summary, but_for_figures=bool(named)):
            lines.setdefault((line.subject, line.text), line)
    return tuple(lines.values())[:MAX_FAULTS]


def _is_told(text: str, summary: str, *, but_for_figures: bool) -> bool:
    """Whether the summary says it. Figures may be part of a name: where nothing else names the
    subject they count.
    """
    if but_for_figures:
        return _FIGURES.sub("0", text) in _FIGURES.sub("0", summary)
    return text in summary


def _choose_latest(
    incident: Incident, latest: tuple[datetime, str] | None
) -> tuple[datetime, str] | None:
    """The last line of the timeline, where it says more than the summary."""
    if latest is None or incident.summary in latest[1]:
        return None
    return latest[0], make_visible(latest[1])
