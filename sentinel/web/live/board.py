"""What the page shows now, in memory: read once, then following what the engine tells. Each turn of
it has a number, so that everybody can be told what is different since the one that he has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from sentinel.core.component.incident import Event
from sentinel.core.fault import StandingFault, Status, worst
from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, CheckView, ComponentView, Reader
from sentinel.web.live.card import CardCount, CardSources, IncidentCard, make_cards
from sentinel.web.live.frame import PageFrame, PageNotices, concerns_frame, read_frame
from sentinel.web.live.graph import draw_graph
from sentinel.web.live.line import (
    STALE,
    CheckLine,
    ComponentLine,
    describe_check_line,
    describe_component_line,
)
from sentinel.web.live.piece import PieceBook
from sentinel.web.live.worst_first import WorstFirst

MAX_CHECKS = 2000
MAX_COMPONENTS = 200
"""Lines on the page; the worst of them come first, and what was cut is said."""
Story = tuple[tuple[datetime, str] | None, int]
"""Of an incident: the last line of its timeline, and how many attempts there were."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """All that is read before the page follows what changes."""

    frame: PageFrame
    checks: tuple[CheckView, ...]
    components: tuple[ComponentView, ...]
    incidents: tuple[Incident, ...]
    faults: tuple[StandingFault, ...]
    story: Mapping[str, Story]


def read_facts(store: Reader, now: datetime) -> PageFacts:
    """All of it, from the store."""
    incidents = tuple(store.incidents(open_only=True, limit=10 * MAX_CHECKS))
    return PageFacts(
        read_frame(store, now),
        tuple(store.checks()),
        tuple(store.components()),
        incidents,
        tuple(store.faults()),
        {each.id: _read_story(store, each.id) for each in incidents},
    )


def _read_story(store: Reader, incident: str) -> Story:
    last = [(each.at, each.text) for each in store.timeline(incident, most=4)][-1:]
    return (last[0] if last else None), len(store.attempts(incident=incident))


@dataclass(frozen=True, slots=True)
class StatusTally:
    """How many lines there are, how many of them are bad, how many are not on the page."""

    number: int
    bad: int
    cut: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What is the matter in one line."""

    platform: str
    status: str
    components: StatusTally
    checks: StatusTally


@dataclass(frozen=True, slots=True)
class PageModel:
    """Everything that is on the page after a `turn`, in the order in which it is there."""

    turn: int
    overview: Any
    count: Any
    graph: Any
    notices: PageNotices
    objectives: Sequence[Mapping[str, Any]]
    channels: Sequence[Mapping[str, Any]]
    cards: Sequence[Any]
    components: Sequence[ComponentLine]
    checks: Sequence[CheckLine]


@dataclass(slots=True)
class LiveBoard:
    """Belongs to the loop: nobody else may touch it. `said` are sentences on what has happened."""

    frame: PageFrame
    checks: dict[str, CheckLine] = field(default_factory=dict)
    components: dict[str, ComponentLine] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    frame_is_old: bool = False
    """Whether the store has to be asked for the frame again."""
    book: PieceBook = field(default_factory=PieceBook)
    _faults: dict[str, dict[tuple[object, ...], StandingFault]] = field(default_factory=dict)
    _story: dict[str, Story] = field(default_factory=dict)
    _check_order: WorstFirst = field(default_factory=lambda: WorstFirst(MAX_CHECKS))
    _component_order: WorstFirst = field(default_factory=lambda: WorstFirst(MAX_COMPONENTS))
    _words: Counter[str] = field(default_factory=Counter)
    """How many checks have each status."""
    _moved_checks: set[str] = field(default_factory=set)
    _moved_components: set[str] = field(default_factory=set)
    _cards_moved: bool = True
    _aging: bool = True
    """Whether a check became stale, or is not any more."""

    @classmethod
    def over(cls, facts: PageFacts, now: datetime) -> LiveBoard:
        """A board that shows this."""
        board = cls(facts.frame)
        for component in facts.components:
            board._put_component(component)
        for check in facts.checks:
            board._put_check(check, now)
        board.incidents.update({each.id: each for each in facts.incidents})
        for standing in facts.faults:
            board._put_fault(standing)
        board._story.update(facts.story)
        board.renew()
        return board

    # -- what changes -----------------------------------------------------------------------------

    def take(self, changes: Changes, now: datetime) -> None:
        """Take in what the engine has changed."""
        for component in changes.components:
            self._put_component(component)
        for check in changes.checks:
            self._put_check(check, now)
        for standing in changes.faults:
            self._put_fault(standing)
        for incident in changes.incidents:
            self._put_incident(incident)
        for incident_id, at, event, _ in changes.events:
            self._tell_story(incident_id, at, event)
        self.frame_is_old |= concerns_frame(changes)

    def take_frame(self, frame: PageFrame) -> None:
        """The frame was read again."""
        self.frame, self._cards_moved = frame, True

    def follow_time(self, now: datetime) -> None:
        """What time alone changes: a check that is overdue is stale; a silence ends."""
        for name, line in list(self.checks.items()):
            if line.status != STALE and line.is_late(now):
                self._show_check(name, replace(line, status=STALE))
        self.frame_is_old |= self.frame.until is not None and now >= self.frame.until

    def _put_check(self, view: CheckView, now: datetime) -> None:
        before, line = self.checks.get(view.name), describe_check_line(view, now)
        if line != before:
            self._show_check(view.name, line)

    def _show_check(self, name: str, line: CheckLine) -> None:
        before = self.checks.get(name)
        self.checks[name] = line
        if before is not None:
            self._words[before.status] -= 1
        self._words[line.status] += 1
        self._aging |= STALE in {line.status, before.status if before else ""}
        self._check_order.put(name, line.status, line.name)
        self._moved_checks.add(name)

    def _put_component(self, view: ComponentView) -> None:
        before, line = self.components.get(view.name), describe_component_line(view)
        if before is not None and before.status == STALE:
            line = replace(line, status=STALE)  # its checks say when it is not any more
        if line != before:
            self._show_component(view.name, line)

    def _show_component(self, name: str, line: ComponentLine) -> None:
        self.components[name] = line
        self._component_order.put(name, line.status, line.name)
        self._moved_components.add(name)
        self._cards_moved = True

    def _put_fault(self, standing: StandingFault) -> None:
        key = (standing.check, *standing.fault.identity)
        mine = self._faults.setdefault(standing.component, {})
        if standing.ended is None:
            mine[key] = standing
        else:
            mine.pop(key, None)
        self._cards_moved = True

    def _put_incident(self, incident: Incident) -> None:
        before = self.incidents.get(incident.id)
        if incident.state is IncidentState.CLOSED:
            self.incidents.pop(incident.id, None)
            self._story.pop(incident.id, None)
        else:
            self.incidents[incident.id] = incident
        if sentence := say_change(before, incident):
            self.said.append(make_visible(sentence))
        self._cards_moved = True

    def _tell_story(self, incident_id: str, at: datetime, event: Event) -> None:
        if incident_id in self.incidents:
            _, attempts = self._story.get(incident_id, (None, 0))
            self._story[incident_id] = (at, event.text), attempts + (event.kind == "attempt")
            self._cards_moved = True

    def _follow_components(self) -> None:
        """A component is stale when all of its checks are."""
        every = Counter(line.component for line in self.checks.values())
        stale = Counter(line.component for line in self.checks.values() if line.status == STALE)
        for name, line in list(self.components.items()):
            is_stale = 0 < every[line.name] == stale[line.name]
            status = STALE if is_stale else line.hard
            if status != line.status:
                self._show_component(name, replace(line, status=status))

    # -- what is shown ----------------------------------------------------------------------------

    def renew(self) -> bool:
        """Put what was taken in into the book, as its next turn. Whether anything is different."""
        if self._aging:
            self._aging = False
            self._follow_components()
        checks, components = self._moved_checks, self._moved_components
        self._moved_checks, self._moved_components = set(), set()
        self._renew_list("checks", "check", checks, self.checks, self._check_order)
        self._renew_list(
            "components", "component", components, self.components, self._component_order
        )
        if self._cards_moved:
            self._cards_moved = False
            self._renew_cards()
        if checks or components:
            self.book.put("", "overview", self._overview())
        return self.book.end_turn()

    def _renew_list(
        self,
        home: str,
        prefix: str,
        moved: set[str],
        lines: Mapping[str, CheckLine] | Mapping[str, ComponentLine],
        order: WorstFirst,
    ) -> None:
        """Only where some are cut a line that moves may take the place of another one."""
        if not moved:
            return
        shown = order.shown() if order.cut else moved
        for name in shown:
            line = lines[name]
            self.book.put(home, f"{prefix}:{line.name}", line)
        if order.cut:
            self.book.keep_only(home, {f"{prefix}:{lines[name].name}" for name in shown})

    def _renew_cards(self) -> None:
        cards, count = self._make_cards()
        for card in cards:
            self.book.put("incidents", f"incident:{card.id}", card)
        self.book.keep_only("incidents", {f"incident:{card.id}" for card in cards})
        self.book.put("", "overview", self._overview())
        self.book.put("", "incident-count", count)
        self.book.put("", "notices", self.frame.notices)
        self.book.put("", "objectives", self.frame.objectives)
        self.book.put("", "channels", self.frame.channels)
        self.book.put("", "graph", draw_graph(self.components.values()))

    def _make_cards(self) -> tuple[list[IncidentCard], CardCount]:
        return make_cards(
            CardSources(
                self.incidents,
                {name: line.action for name, line in self.components.items()},
                {name: list(faults.values()) for name, faults in self._faults.items()},
                {each.check: self._book_of(each.check) for each in self.incidents.values()},
                self._story,
                self.frame,
            )
        )

    def _book_of(self, check: str) -> str:
        line = self.checks.get(check)
        return line.runbook if line is not None else ""

    def _overview(self) -> Overview:
        words = Counter(line.status for line in self.components.values())
        return Overview(
            platform=self.frame.platform,
            status=worst([_known(word) for word in words]).value,
            components=_tally(words, self._component_order.cut),
            checks=_tally(self._words, self._check_order.cut),
        )

    def show(self) -> PageModel:
        """Everything that is on the page, in its order."""
        pieces = self.book.pieces
        cards = [each.model for each in pieces.values() if each.home == "incidents"]
        return PageModel(
            turn=self.book.turn,
            overview=pieces["overview"].model,
            count=pieces["incident-count"].model,
            graph=pieces["graph"].model,
            notices=self.frame.notices,
            objectives=self.frame.objectives,
            channels=self.frame.channels,
            cards=sorted(cards, key=attrgetter("sort")),
            components=[self.components[name] for name in self._component_order.shown()],
            checks=[self.checks[name] for name in self._check_order.shown()],
        )


def _tally(words: Mapping[str, int], cut: int) -> StatusTally:
    good = words.get("up", 0) + words.get("unknown", 0)
    number = sum(words.values())
    return StatusTally(number, number - good, cut)


def _known(word: str) -> Status:
    return Status.UNKNOWN if word == STALE else Status(word)


def say_change(before: Incident | None, after: Incident) -> str:
    """What a change of an incident means, in one sentence for who listens; "" when it is no news:
    of what is only blocked by something else, the cause is told.
    """
    name = after.component
    if after.blocked_by:
        return ""
    if after.state is IncidentState.CLOSED:
        return f"{name}: incident closed" if before is not None else ""
    if before is None or (before.recovered is not None and after.recovered is None):
        return f"{name} is {after.status}: {after.summary}"
    if before.recovered is None and after.recovered is not None:
        return f"{name} works again"
    if before.acknowledged is None and after.acknowledged is not None:
        return f"{name}: {after.acknowledged_by} sees to it"
    if before.status is not after.status:
        return f"{name} is {after.status} now"
    return ""
