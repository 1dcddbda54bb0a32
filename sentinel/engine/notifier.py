"""Decides what is told on which channel: takes what the engine announces, looks at what stands, and
writes orders. The core decides; this gathers, and keeps the book.

One turn is one transaction: what was announced is answered, each notice is an order of its own, and
the book that says so is kept. So a restart tells nothing twice and loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sentinel.core.component import dependencies
from sentinel.core.fault import Severity
from sentinel.core.model import Component, Incident
from sentinel.core.notice import Affair, Notice, Tidings, judge_severity
from sentinel.core.notice.book import (
    NoticeBook,
    NoticePolicy,
    Telling,
    Tellings,
    begin,
    look,
    tell_again,
)
from sentinel.core.notice.maintenance import (
    Maintenance,
    MaintenanceWindow,
    Span,
    follow_windows,
)
from sentinel.core.notice.route import NoticeRoute
from sentinel.core.notice.silence import Silence, keep_running
from sentinel.core.notice.storm import Heap, Storm, StormLimit, admit
from sentinel.core.notice.text import Letterhead, write_digest, write_notice
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.picture import Picture
from sentinel.engine.recorder import Recorder
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store
from sentinel.store.document import read, to_json, write
from sentinel.store.notices import (
    BOOK_KEY,
    MAINTENANCE_KEY,
    SILENCES_KEY,
    WINDOWS_KEY,
    OrderedWindows,
    PlannedMaintenance,
    StandingSilences,
)

log = structlog.get_logger()

BRAKE, BREAKER, INCIDENT = "brake", "breaker", "incident"
_BEGINS = {"braked": BRAKE, "breaker_opened": BREAKER}
_ENDS = {"brake_released": BRAKE, "breaker_closed": BREAKER}
_HAPPENS = {
    "exhausted": Tidings.EXHAUSTED,
    "acknowledged": Tidings.ACKNOWLEDGED,
    "recovered": Tidings.RECOVERED,
    "settled": Tidings.RECOVERED,
    "closed": Tidings.CLOSED,
}
AT_ONCE = 100
"""Announcements of one turn: the loop of events has other work, too. The next turn takes the next."""
PER_SECOND = 1000
"""Affairs that are looked at."""
KEPT = timedelta(days=400)
MOST_KEPT = 2000
"""Times of maintenance that are remembered."""


@dataclass(frozen=True, slots=True)
class NoticeRules:
    """What the configuration says: routes, windows, limits by channel, and who hears of what no
    route fits.
    """

    head: Letterhead = field(default_factory=Letterhead)
    routes: Sequence[NoticeRoute] = ()
    everybody: tuple[str, ...] = ("log",)
    windows: tuple[MaintenanceWindow, ...] = ()
    limits: Mapping[str, StormLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What outlives a restart."""

    book: NoticeBook = field(default_factory=NoticeBook)
    storm: Storm = field(default_factory=Storm)


@dataclass(slots=True)
class Notifier:
    """The book of affairs, and what holds notices back."""

    store: Store
    recorder: Recorder
    metrics: Metrics
    picture: Picture
    utcnow: Callable[[], datetime]
    is_tried: Callable[[Incident], bool] = lambda _incident: False
    """Whether it is watched whether a restart of sentinel's own holds."""
    rules: NoticeRules = field(default_factory=NoticeRules)
    state: NoticeState = field(default_factory=NoticeState)
    silences: tuple[Silence, ...] = ()
    ordered: tuple[MaintenanceWindow, ...] = ()
    """Windows that people ordered; those of the configuration stand in the rules."""
    maintenance: tuple[Maintenance, ...] = ()
    _spans: dict[MaintenanceWindow, Span | None] = field(default_factory=dict)
    """The time of each window that is on or comes next."""
    _begins_anew: bool = False
    _looked: datetime | None = None
    _effects: Counter[str] = field(default_factory=Counter)
    _graph: Mapping[str, Component] = field(default_factory=dict)
    _size: int = 0
    _turned: dependencies.DependsOn = field(default_factory=dict)
    """Each component with those that need it."""
    _dependents: dict[str, int] = field(default_factory=dict)
    _answered: dict[str, None] = field(default_factory=dict)
    """Announcements that are worked off, and whose answer may not be written yet."""

    def load(self) -> None:
        """What the sentinel before this one knew. Without a book, or with one that can't be read,
        people are rather told again of what stands than not at all.
        """
        known = self._read(BOOK_KEY, NoticeState)
        self.state, self._begins_anew = known or NoticeState(), known is None
        silences = self._read(SILENCES_KEY, StandingSilences)
        self.silences = silences.silences if silences else ()
        windows = self._read(WINDOWS_KEY, OrderedWindows)
        self.ordered = windows.windows if windows else ()
        times = self._read(MAINTENANCE_KEY, PlannedMaintenance)
        self.maintenance = times.times if times else ()
        self._show_maintenance()

    def _read(self, key: str, kind: type[Any]) -> Any:
        text = self.store.meta(key)
        try:
            return read(kind, text) if text else None
        except StateError:
            self.metrics.swallowed.labels("notifier").inc()
            return None

    # -- one turn ---------------------------------------------------------------------------------

    async def turn(self, announced: Iterable[Order]) -> bool:
        """Work off what was announced, then look at what stands; True when anything is to be told."""
        now, before = self.utcnow(), self.state
        fresh = [order for order in announced if order.key not in self._answered][:AT_ONCE]
        if not fresh and not self._is_time(now):
            return False
        changes = Changes()
        self._follow_maintenance(now, changes)
        self._forget_silences(now, changes)
        self._count_effects()
        policy = self._policy()
        book, tellings = self._begin_anew(now), Tellings()
        for order in fresh:
            self._answered[order.key] = None
            changes.answers[order.key] = Answer.done("worked off")
            book, more = self._take_or_leave(book, order, policy, now, changes)
            tellings += more
        book, more = look(book, policy, self._present(book), now)
        self._looked, tellings = now, tellings + more
        storm, alone, digests = admit(self.state.storm, tellings, self.rules.limits, now)
        self.state = NoticeState(book, storm)
        notices = self._write(alone, digests, now)
        changes.orders += [order_delivery(each) for each in notices]
        if before != self.state:
            changes.meta[BOOK_KEY] = write(self.state)
        await self.recorder.record(changes)
        return bool(notices)

    def _is_time(self, now: datetime) -> bool:
        """A thick book is looked through less often: a look costs 15 µs an affair."""
        count = len(self.state.book.entries)
        pace = timedelta(seconds=count / PER_SECOND if count > AT_ONCE else 0.0)
        return self._looked is None or not self._looked <= now < self._looked + pace

    def _begin_anew(self, now: datetime) -> NoticeBook:
        """The book; where there was none, with what stands: the next look tells it."""
        if not self._begins_anew:
            return self.state.book
        self._begins_anew = False
        # Numbers that were used before are not used again.
        base = int(now.timestamp()) if self.store.order_keys(OrderKind.DELIVER) else 0
        known = [*self.picture.incidents.values(), *self.picture.beneath.values()]
        affairs = [self._describe(incident) for incident in known if incident.announced]
        book = NoticeBook(base=base)
        return replace(book, entries={a.id: book.find(a) for a in affairs if not a.over})

    def forget(self, waiting: set[str]) -> None:
        """Announcements that are no orders any more are answered for good."""
        for key in [key for key in self._answered if key not in waiting]:
            del self._answered[key]

    def _policy(self) -> NoticePolicy:
        rules = self.rules
        return NoticePolicy(rules.routes, rules.everybody, self.silences, self.maintenance)

    def _write(
        self, alone: Iterable[Telling], digests: Mapping[str, Heap], now: datetime
    ) -> list[Notice]:
        head = self.rules.head
        notices = [write_notice(each, head, now) for each in alone]
        return notices + [write_digest(name, heap, head, now) for name, heap in digests.items()]

    def _take_or_leave(
        self,
        book: NoticeBook,
        order: Order,
        policy: NoticePolicy,
        now: datetime,
        changes: Changes,
    ) -> tuple[NoticeBook, Tellings]:
        """One announcement that is none must not stop the others."""
        try:
            return self._take(book, order, policy, now)
        except Exception as error:
            self.metrics.swallowed.labels("notifier").inc()
            log.error("announcement_not_readable", key=order.key, error=repr(error), exc_info=error)
            changes.answers[order.key] = Answer.failed(repr(error))
            return book, []

    def _take(
        self, book: NoticeBook, order: Order, policy: NoticePolicy, now: datetime
    ) -> tuple[NoticeBook, Tellings]:
        """One announcement of the engine."""
        event, text = str(order.payload.get("event", "")), str(order.payload.get("text", ""))
        if event in _BEGINS:
            return begin(book, self._own_affair(_BEGINS[event], order, text, now), policy, now)
        if event in _ENDS:
            for entry in book.entries.values():
                if (entry.affair.kind, entry.affair.component) == (_ENDS[event], order.subject):
                    return tell_again(book, entry.affair, Tidings.CLOSED, text, policy, now)
            return book, []
        incident = self._find_incident(str(order.payload.get("incident", "")))
        if incident is None:
            return book, []
        affair = self._describe(incident)
        if event == "opened":
            return begin(book, replace(affair, over=False, text=text), policy, now)
        if event in _HAPPENS:
            return tell_again(book, affair, _HAPPENS[event], text, policy, now)
        return book, []  # a relapse is seen by itself

    def _own_affair(self, kind: str, order: Order, text: str, now: datetime) -> Affair:
        """What concerns sentinel's own acting: it stands until it is said to be over."""
        platform, members = self.rules.head.platform, len(order.payload.get("members", ()))
        page = Severity.PAGE
        return Affair(
            order.key, kind, platform, order.subject, page, "down", text, now, dependants=members
        )

    # -- affairs as they are ----------------------------------------------------------------------

    def _find_incident(self, name: str) -> Incident | None:
        for known in (self.picture.incidents, self.picture.beneath):
            for incident in known.values():
                if incident.id == name:
                    return incident
        return self.store.incident(name)

    def _present(self, book: NoticeBook) -> Callable[[str], Affair | None]:
        """Every affair of a book as it is now. Looked up at once: there may be thousands."""
        known = {
            incident.id: incident
            for incidents in (self.picture.incidents, self.picture.beneath)
            for incident in incidents.values()
        }

        def find(name: str) -> Affair | None:
            affair = book.entries[name].affair
            if affair.kind != INCIDENT:
                return affair
            incident = known.get(name)
            return self._describe(incident) if incident is not None else None

        return find

    def _describe(self, incident: Incident) -> Affair:
        name = incident.component
        return Affair(
            id=incident.id,
            kind=INCIDENT,
            platform=self.rules.head.platform,
            component=name,
            severity=judge_severity(
                incident.status, self._severity_of(incident), exhausted=incident.exhausted
            ),
            status=str(incident.status),
            text=f"{name} is {incident.status}: {incident.summary}",
            began=incident.opened,
            fault=incident.fault,
            check=incident.check,
            runbook=incident.runbook,
            cause=incident.blocked_by or incident.root_cause,
            dependants=self._effects[name],
            needed_by=self._count_dependents(name),
            seen=incident.last_unhealthy,
            over=incident.recovered is not None or incident.settled is not None,
            tried=self.is_tried(incident),
        )

    def _count_effects(self) -> None:
        """Components that are bad because of another one, once for all affairs of a turn."""
        self._effects = Counter(
            cause
            for each in self.picture.incidents.values()
            if each.recovered is None
            for cause in {each.blocked_by, each.root_cause} - {""}
        )

    def _count_dependents(self, component: str) -> int:
        """A graph that stays is walked once for each component."""
        graph = self.picture.components
        if self._graph is not graph or len(graph) != self._size:
            self._graph, self._size, self._dependents = graph, len(graph), {}
            self._turned = dependencies.turn_round(self.picture.depends_on())
        if component not in self._dependents:
            found = dependencies.find_needed(component, self._turned)
            self._dependents[component] = len(found)
        return self._dependents[component]

    def _severity_of(self, incident: Incident) -> Severity | None:
        watched = self.picture.check(incident.check)
        kind = watched.kind.fault_kinds.get(incident.fault) if watched is not None else None
        return kind.severity if kind is not None else None

    def find_open(self, channel: str) -> list[Notice]:
        """Notices of what a channel was told and is not over, as it is now."""
        now, head = self.utcnow(), self.rules.head
        return [
            write_notice(
                Telling(entry.affair, channel, Tidings.OPENED, entry.messages, entry.affair.text),
                head,
                now,
            )
            for entry in self.state.book.entries.values()
            if channel in entry.told and entry.returned is None
        ]

    def is_overtaken(self, notice: Notice) -> bool:
        """Whether a notice is not to be sent any more; of what no book is known that is not said."""
        return not self._begins_anew and self.state.book.is_overtaken(notice)

    # -- what people order ------------------------------------------------------------------------

    async def silence(self, silence: Silence) -> Answer:
        """Hold back what fits, from now on."""
        self.silences = (*self.silences, silence)
        await self._keep_silences()
        return Answer.done(f"{silence.id}: until {silence.ends:%Y-%m-%d %H:%M:%S} UTC")

    async def end_silence(self, name: str) -> Answer:
        """What it held back is told from now on, if it still stands."""
        kept = tuple(each for each in self.silences if each.id != name)
        if len(kept) == len(self.silences):
            return Answer.unknown(f"there is no silence {name!r}")
        self.silences = kept
        await self._keep_silences()
        return Answer.done(f"{name} has ended")

    async def _keep_silences(self) -> None:
        document = write(StandingSilences(self.silences))
        await self.recorder.record(Changes(meta={SILENCES_KEY: document}))

    async def order_window(self, window: MaintenanceWindow) -> Answer:
        """A window at somebody's word."""
        if window.name in {each.name for each in (*self.rules.windows, *self.ordered)}:
            return Answer.refused(f"there is a window {window.name!r} already")
        self.ordered = (*self.ordered, window)
        await self._keep_windows()
        ends = f"{window.ends:%Y-%m-%d %H:%M:%S} UTC" if window.ends else "it is ended"
        return Answer.done(f"{window.name}: maintenance until {ends}")

    async def end_window(self, name: str) -> Answer:
        """People are done earlier."""
        kept = tuple(each for each in self.ordered if each.name != name)
        if len(kept) == len(self.ordered):
            if name in {each.name for each in self.rules.windows}:
                return Answer.refused(f"{name} stands in the configuration: take it out there")
            return Answer.unknown(f"there is no window {name!r}")
        self.ordered = kept
        await self._keep_windows()
        return Answer.done(f"{name} has ended")

    async def _keep_windows(self) -> None:
        document = write(OrderedWindows(self.ordered))
        changes = Changes(meta={WINDOWS_KEY: document})
        self._follow_maintenance(self.utcnow(), changes)
        await self.recorder.record(changes)

    # -- maintenance and silences in time ---------------------------------------------------------

    def _follow_maintenance(self, now: datetime, changes: Changes) -> None:
        windows = (*self.rules.windows, *self.ordered)
        on = [each for each in windows if self._may_be_on(each, now)]
        known = follow_windows(on, self.maintenance, now)
        known = tuple(each for each in known if now - each.span[1] < KEPT)[-MOST_KEPT:]
        if known != self.maintenance:
            self.maintenance = known
            changes.meta[MAINTENANCE_KEY] = write(PlannedMaintenance(known))
            self._show_maintenance()
        over = tuple(each for each in self.ordered if each.ends is None or now < each.ends)
        if over != self.ordered:
            self.ordered = over
            changes.meta[WINDOWS_KEY] = write(OrderedWindows(over))

    def list_maintenance(self) -> Sequence[Maintenance]:
        """Every time that is remembered, and what has begun since the latest turn."""
        now, windows = self.utcnow(), (*self.rules.windows, *self.ordered)
        on = [each for each in windows if self._may_be_on(each, now)]
        return follow_windows(on, self.maintenance, now) if on else self.maintenance

    def _may_be_on(self, window: MaintenanceWindow, now: datetime) -> bool:
        """A cron line is asked when its next time has come or gone, not twice a second."""
        known = self._spans.get(window)
        if window not in self._spans or (known is not None and known[1] <= now):
            known = self._spans[window] = window.find_next(now)
        return known is not None and known[0] <= now

    def _show_maintenance(self) -> None:
        on = {each.window for each in self.maintenance if each.ended is None}
        for (name,) in self.metrics.maintenance.figures():
            if name not in on:
                self.metrics.maintenance.remove(name)
        for name in on:
            self.metrics.maintenance.labels(name).set(1)

    def _forget_silences(self, now: datetime, changes: Changes) -> None:
        kept = keep_running(self.silences, now)
        if kept != self.silences:
            self.silences = kept
            changes.meta[SILENCES_KEY] = write(StandingSilences(kept))


def order_delivery(notice: Notice) -> Order:
    """The order to deliver one notice: a row of its own in the store."""
    return Order(OrderKind.DELIVER, notice.key, notice.channel, {"notice": to_json(notice)})
