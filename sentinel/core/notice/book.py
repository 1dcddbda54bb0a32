"""The book of affairs: who was told of which, and what has to be told now. Pure.

What people are to know is compared with what they were told, look by look: so a silence that ends,
quiet hours that end, a severity that rises and an escalation that falls due are one rule, and a
restart repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sentinel.core.notice import OVER, RANKS, Affair, Notice, Tidings
from sentinel.core.notice.maintenance import Maintenance, find_reason, last_end
from sentinel.core.notice.route import NoticeRoute, find_routes
from sentinel.core.notice.silence import Silence

OPENING = frozenset(
    {Tidings.OPENED, Tidings.WORSE, Tidings.ESCALATED, Tidings.REMINDER, Tidings.EXHAUSTED}
)
"""Notices that something is wrong: those that a silence, a window and quiet hours hold back."""

URGING = frozenset({Tidings.ESCALATED, Tidings.REMINDER})
"""Notices that nobody sees to it yet."""


@dataclass(frozen=True, slots=True)
class BookEntry:
    """One affair in the book. `told`: channel → when it was told last. `messages` numbers them.

    `returned`: since when it is over, while a relapse is possible.
    """

    affair: Affair
    told: Mapping[str, datetime] = field(default_factory=dict)
    first: datetime | None = None
    """When anybody was told first: escalation counts from here."""
    messages: int = 0
    returned: datetime | None = None
    acknowledged: bool = False
    tell_close: bool = False
    """Whether a route asked for a word when it is closed."""
    owed: str = ""
    """What is said of its recovery when the restart that brought it has held."""


@dataclass(frozen=True, slots=True)
class NoticeBook:
    """Every affair that is not closed, by its id. Numbers of notices begin after `base`: who has
    lost the book must not use a number again.
    """

    entries: Mapping[str, BookEntry] = field(default_factory=dict)
    base: int = 0

    def find(self, affair: Affair) -> BookEntry:
        """What is known of an affair, or the beginning of it."""
        return self.entries.get(affair.id) or BookEntry(affair, messages=self.base)

    def is_overtaken(self, notice: Notice) -> bool:
        """Whether a notice that still waits would be wrong by now: it urges, and meanwhile somebody
        sees to its affair, or it is over.
        """
        if notice.told not in URGING:
            return False
        entry = self.entries.get(notice.affair)
        if entry is None or entry.acknowledged:
            return True
        return entry.returned is not None or bool(entry.owed)


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to tell on one channel: of `affair`, as `told`; `number` makes its key."""

    affair: Affair
    channel: str
    told: Tidings
    number: int
    text: str
    former: Affair | None = None

    @property
    def key(self) -> str:
        """The same at every repetition."""
        return f"{self.affair.id}/{self.told}/{self.number}@{self.channel}"


@dataclass(frozen=True, slots=True)
class NoticePolicy:
    """What decides who is told: `routes`, else `everybody`; silences, and the maintenance that is
    and was.
    """

    routes: Sequence[NoticeRoute] = ()
    everybody: tuple[str, ...] = ("log",)
    """Channels for what no route fits."""
    silences: tuple[Silence, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()

    def find_routes(self, affair: Affair, now: datetime) -> Sequence[NoticeRoute]:
        """The routes of an affair now; there always is one."""
        return find_routes(self.routes, affair, now) or (NoticeRoute(self.everybody),)

    def holds_back(self, affair: Affair, now: datetime) -> bool:
        """Whether nobody is to be told now that something is wrong with it.

        After a window it counts only when it was seen to be bad again: what was worked upon is
        judged by the first check after it.
        """
        if any(each.covers(affair.labels, now) for each in self.silences):
            return True
        if find_reason(self.maintenance, affair.component, now) is not None:
            return True
        ended = last_end(self.maintenance, affair.component, now)
        return ended is not None and affair.seen is not None and affair.seen <= ended


Tellings = list[Telling]


def look(
    book: NoticeBook, policy: NoticePolicy, present: Callable[[str], Affair | None], now: datetime
) -> tuple[NoticeBook, Tellings]:
    """What has to be told now of the affairs in the book; `present` is each as it is now, None when
    it has ended.
    """
    entries, tellings = dict[str, BookEntry](), Tellings()
    causes = _find_causes(book)
    for name, entry in book.entries.items():
        affair = present(name)
        if affair is None:  # it was ended by another word than health
            _, more = _tell(entry, _closing(entry), f"{entry.affair.component}: closed", now)
        elif entry.returned is not None:
            entries[name], more = _look_back(entry, affair, policy, now)
        elif affair.over and entry.owed and not affair.tried:
            entries[name], more = _tell_owed(entry, affair, now)
        elif affair.over or _is_folded(entry, affair, causes):
            entries[name], more = replace(entry, affair=_rise(entry, affair)), []
        else:  # a restart that has not held is no news
            entries[name], more = _look_at(replace(entry, owed=""), affair, policy, now)
        tellings += more
    return replace(book, entries=entries), tellings


def _find_causes(book: NoticeBook) -> set[str]:
    """Components that are bad, and whose affair is in the book."""
    bad = (each for each in book.entries.values() if each.returned is None)
    return {each.affair.component for each in bad if not each.affair.over}


def _is_folded(entry: BookEntry, affair: Affair, causes: set[str]) -> bool:
    """Whether only its cause is told, with the number of what depends on it."""
    return affair.cause in causes and not entry.told


def _tell_owed(entry: BookEntry, affair: Affair, now: datetime) -> tuple[BookEntry, Tellings]:
    """The restart that brought its recovery has held."""
    well = replace(entry, affair=_rise(entry, affair), returned=now, owed="")
    return _tell(well, dict.fromkeys(entry.told, Tidings.RECOVERED), entry.owed, now)


def _look_back(
    entry: BookEntry, affair: Affair, policy: NoticePolicy, now: datetime
) -> tuple[BookEntry, Tellings]:
    """What was over may be bad again."""
    if affair.over or policy.holds_back(affair, now):
        return entry, []
    entry = replace(entry, affair=_rise(entry, affair), returned=None)
    return _tell(entry, dict.fromkeys(entry.told, Tidings.RELAPSED), affair.text, now)


def _look_at(
    entry: BookEntry, affair: Affair, policy: NoticePolicy, now: datetime
) -> tuple[BookEntry, Tellings]:
    before, affair = entry.affair, _rise(entry, affair)
    worse = affair.severity is not before.severity and bool(entry.told)
    if policy.holds_back(affair, now):
        # What it rises to is told when it may be told.
        severity = before.severity if worse else affair.severity
        return replace(entry, affair=replace(affair, severity=severity)), []
    routes = [each for each in policy.find_routes(affair, now) if not each.is_quiet(affair, now)]
    tell_close = any(each.tell_close for each in routes)
    entry = replace(entry, affair=affair, tell_close=entry.tell_close or tell_close)
    wanted = _find_wanted(entry, routes, now, worse=worse)
    return _tell(entry, wanted, affair.text, now, former=before if worse else None)


def _rise(entry: BookEntry, affair: Affair) -> Affair:
    """As it is now; how severe people were told it is only rises."""
    severity = max(affair.severity, entry.affair.severity, key=RANKS.__getitem__)
    return replace(affair, severity=severity)


def _closing(entry: BookEntry) -> dict[str, Tidings]:
    """A word at the end for those who did not hear that it recovered, or asked for one."""
    is_told = entry.returned is None or entry.tell_close
    return dict.fromkeys(entry.told, Tidings.CLOSED) if is_told else {}


def _find_wanted(
    entry: BookEntry, routes: Sequence[NoticeRoute], now: datetime, *, worse: bool
) -> dict[str, Tidings]:
    """Channel → what it has to be told now."""
    wanted = dict.fromkeys(entry.told if worse else (), Tidings.WORSE)
    if entry.acknowledged:
        return wanted
    for channel in (name for route in routes for name in route.channels):
        if channel not in entry.told:
            wanted[channel] = Tidings.OPENED
    for channel, told in _find_due(entry, routes, now):
        wanted.setdefault(channel, told)
    return wanted


def _find_due(
    entry: BookEntry, routes: Sequence[NoticeRoute], now: datetime
) -> Iterator[tuple[str, Tidings]]:
    """What time alone has made due: escalation, then reminders."""
    for route in routes:
        for step in route.escalate:
            if _is_older(entry.first, step.after, now):
                yield from ((c, Tidings.ESCALATED) for c in step.channels if c not in entry.told)
        for channel in route.everyone if route.remind else ():
            if _is_older(entry.told.get(channel), route.remind, now):
                yield channel, Tidings.REMINDER


def _is_older(at: datetime | None, seconds: float, now: datetime) -> bool:
    return at is not None and now - at >= timedelta(seconds=seconds)


def _tell(
    entry: BookEntry,
    wanted: Mapping[str, Tidings],
    text: str,
    now: datetime,
    former: Affair | None = None,
) -> tuple[BookEntry, Tellings]:
    """Number what is to be told, and note that it was ordered."""
    if not wanted:
        return entry, []
    tellings = [
        Telling(entry.affair, channel, told, entry.messages + n, text, former)
        for n, (channel, told) in enumerate(wanted.items(), 1)
    ]
    entry = replace(
        entry,
        told={**entry.told, **dict.fromkeys(wanted, now)},
        first=entry.first or now,
        messages=entry.messages + len(tellings),
    )
    return entry, tellings


# -- what happens to an affair --------------------------------------------------------------------


def begin(
    book: NoticeBook, affair: Affair, policy: NoticePolicy, now: datetime
) -> tuple[NoticeBook, Tellings]:
    """People may be told of it from now on, and are at once unless something holds it back."""
    entry, tellings = book.find(affair), Tellings()
    if not _is_folded(entry, affair, _find_causes(book)):
        entry, tellings = _look_at(replace(entry, returned=None), affair, policy, now)
    return replace(book, entries={**book.entries, affair.id: entry}), tellings


def tell_again(
    book: NoticeBook, affair: Affair, told: Tidings, text: str, policy: NoticePolicy, now: datetime
) -> tuple[NoticeBook, Tellings]:
    """Something happened to an affair: whoever was told of it hears of that, too. That it gets
    worse is held back as the first notice would be.
    """
    if affair.id not in book.entries and told in OVER:
        return book, []  # nobody was told, and nobody has to be told of its end
    known = book.find(affair)
    fresh = replace(known, affair=_rise(known, affair))
    if told is Tidings.RECOVERED and affair.tried:
        return replace(book, entries={**book.entries, affair.id: replace(fresh, owed=text)}), []
    if told in OPENING and policy.holds_back(fresh.affair, now):
        return replace(book, entries={**book.entries, affair.id: known}), []
    wanted = _closing(known) if told is Tidings.CLOSED else dict.fromkeys(known.told, told)
    former = None if fresh.affair.severity is known.affair.severity else known.affair
    fresh, tellings = _tell(_note(fresh, told, now), wanted, text, now, former)
    entries = {**book.entries, affair.id: fresh}
    if told is Tidings.CLOSED:
        del entries[affair.id]
    return replace(book, entries=entries), tellings


def _note(entry: BookEntry, told: Tidings, now: datetime) -> BookEntry:
    if told is Tidings.RECOVERED:
        return replace(entry, returned=now, owed="")
    if told is Tidings.ACKNOWLEDGED:
        return replace(entry, acknowledged=True)
    return entry
