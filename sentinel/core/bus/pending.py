"""Judging pending entries: overdue, poison, redelivered, payload gone, consumers that will never
acknowledge.

Ages come from the entry's id, by the server's clock, or from the first look that saw it (age.py),
and never from idle times: a claim loop keeps those small for ever (measurement.md §1.7).
Everything is counted from pages of bounded length; a count that no page can prove is a lower bound
and says so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.bus.age import IdMark, add_mark
from sentinel.core.bus.delivery import MAX_SEQUENCE, ZERO, Id, format_id, parse_id
from sentinel.core.quantity import MANY, Bounds

MAX_KNOWN = 500
"""Redelivered entries remembered per group."""
MAX_RECHECKS = 100
MAX_DELIVERIES = 1000
"""Counts are capped here: Redis 8.8 marks an entry as fatal with a huge one."""
BEYOND: Id = (MAX_SEQUENCE, MAX_SEQUENCE)


@dataclass(frozen=True, slots=True)
class PendingRow:
    """One row of XPENDING; `idle` seconds since its last delivery; `consumer` may be empty (Redis
    8.8).
    """

    id: Id
    consumer: str
    idle: float
    deliveries: int


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive pending entries after `after` (exclusive), by id; `full` when there may be more
    behind.
    """

    rows: tuple[PendingRow, ...] = ()
    full: bool = False
    after: Id = ZERO

    @property
    def upto(self) -> Id:
        """Every pending entry with an id in (after, upto] is in the page."""
        return self.rows[-1].id if self.full and self.rows else BEYOND


NO_ENTRIES = Bounds(0, 0)


def exactly(count: int) -> Bounds:
    """A number of entries that is proven."""
    return Bounds(count, count)


def at_least(count: int) -> Bounds:
    """A number of entries of which no page proves that there are not more."""
    return Bounds(count, MANY)


def count_below(page: Page, bound: Id) -> Bounds | None:
    """How many pending entries have an id below `bound`; None when this page of the oldest does not
    reach so far.
    """
    if page.upto < bound:
        return None
    return exactly(sum(row.id < bound for row in page.rows))


def count_from_both_ends(pending: int, below: Page, above: Page) -> Bounds:
    """How many of `pending` entries lie below a bound, from a page below it and a page from it on
    (one snapshot).

    The page that isn't full proves the number, however many entries there are; two full pages prove
    a lower bound.
    """
    if not below.full:
        return exactly(len(below.rows))
    if not above.full:
        return exactly(max(len(below.rows), pending - len(above.rows)))
    return at_least(len(below.rows))


# -- delivery counts ------------------------------------------------------------------------------


@dataclass(slots=True)
class Sweep:
    """What is remembered of one group's delivery counts between runs. The oldest entries are read
    each time, the rest a page per run (the cursor), so that every pending entry is looked at once
    per pass.

    `since`: the last id delivered when the watch began; later ids had all their deliveries under
    our eyes.
    `known`: entries delivered twice or more, with their count; ids up to `baseline` not in it had
    count 1. Of those only the ones that this run saw count: the others may be acknowledged since.
    `covered`: up to here the page of the oldest will see them again. `marks` are the looks that
    saw the newest ids, the last of them at server time `looked`.
    """

    since: Id = ZERO
    baseline: Id = ZERO
    known: dict[Id, int] = field(default_factory=dict)
    cursor: Id = ZERO
    visited: int = 0
    last_pass: int = 0
    whole: bool = False
    overflow: bool = False
    dropped: bool = False
    checked: dict[Id, int] = field(default_factory=dict)
    turn: int = 0
    begun: bool = False
    held: bool = False
    covered: Id = ZERO
    marks: list[IdMark] = field(default_factory=list)
    looked: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember: nothing pended at the last look, or nothing was
        looked at yet.

        Begun anew, entries delivered meanwhile count from their first count seen: still a lower
        bound.
        """
        return not (self.known or self.visited or self.overflow or self.dropped or self.held)

    def list_rechecks(self) -> list[Id]:
        """Known entries beyond the page of the oldest, longest unseen first: have they been
        acknowledged?
        """
        beyond = [entry for entry in self.known if entry > self.covered]
        return sorted(beyond, key=lambda entry: (self.checked.get(entry, 0), entry))[:MAX_RECHECKS]

    def look(self, last: Id, now: float, oldest: Id) -> None:
        """At `now` (server time, seconds) `last` was the stream's last id, and the `oldest` entry of
        interest was this one.
        """
        self.marks = add_mark(self.marks, last, now, self.looked, oldest)
        self.looked = now

    def take(self, pages: Sequence[Page], rechecked: Mapping[Id, PendingRow | None]) -> int:
        """Take in what was read; how many redeliveries were seen to happen since the last time (a
        lower bound).
        """
        self.turn += 1
        rows = {row.id: row for page in pages for row in page.rows}
        self.held = bool(rows)
        rows.update({row.id: row for row in rechecked.values() if row is not None})
        self._forget(pages, rechecked, rows)
        self.covered = pages[0].upto if pages else ZERO
        grown = sum(self._note(row) for row in rows.values())
        if not self.begun:
            self.begun, self.baseline = (
                True,
                min(pages[0].upto, self.since) if pages else self.since,
            )
        return grown

    def _forget(
        self,
        pages: Sequence[Page],
        rechecked: Mapping[Id, PendingRow | None],
        rows: Mapping[Id, PendingRow],
    ) -> None:
        """An entry that a page should hold and doesn't was acknowledged."""
        for entry in [entry for entry in self.known if entry not in rows]:
            if entry in rechecked or any(page.after < entry <= page.upto for page in pages):
                del self.known[entry]
                self.checked.pop(entry, None)

    def _note(self, row: PendingRow) -> int:
        count = min(row.deliveries, MAX_DELIVERIES)
        before = self.known.get(row.id, self._first_count(row.id, count))
        if count > 1:
            if row.id in self.known or len(self.known) < MAX_KNOWN:
                self.known[row.id] = count
                self.checked[row.id] = self.turn
            else:
                self.overflow = self.dropped = True
        else:
            self.known.pop(row.id, None)
            self.checked.pop(row.id, None)
        return max(0, count - before)

    def _first_count(self, entry: Id, count: int) -> int:
        """The count that an entry without memory had when the watch began; its own when that can't
        be known.
        """
        seen_at_one = entry > self.since or (self.begun and entry <= self.baseline)
        return 1 if seen_at_one and not self.overflow else count

    def advance(self, head: Page, page: Page | None) -> None:
        """Move the cursor behind the page of this run. Without one, the page of the oldest held
        everything.
        """
        last = head if page is None else page
        self.whole = not last.full and last.after == ZERO
        if last.full:
            self.cursor, self.visited = last.upto, self.visited + len(last.rows)
            return
        self.cursor, self.visited, self.last_pass = ZERO, 0, self.visited + len(last.rows)
        self.overflow, self.dropped = self.dropped, False

    def find_coverage(self, pending: int) -> float:
        """Share of the pending entries whose delivery count was read in this pass or the one before
        it.
        """
        return (
            1.0
            if self.whole or not pending
            else min(1.0, max(self.visited, self.last_pass) / pending)
        )

    def count_poison(self, limit: int) -> Bounds:
        """Entries delivered more than `limit` times; exact when every pending entry was looked at
        in this run.
        """
        return self._count(len(self.find_poison(limit)))

    def find_poison(self, limit: int) -> dict[Id, int]:
        """The entries delivered more than `limit` times that this run saw, with their count."""
        return {entry: n for entry, n in self.known.items() if n > limit and self._saw(entry)}

    def count_redelivered(self) -> Bounds:
        """Pending entries delivered more than once."""
        return self._count(sum(map(self._saw, self.known)))

    def _saw(self, entry: Id) -> bool:
        """Whether this run read the entry: one seen earlier may have been acknowledged since."""
        return self.checked.get(entry) == self.turn

    def _count(self, found: int) -> Bounds:
        """Of entries that nobody looked at, or that had no room in memory, nothing is known."""
        return exactly(found) if self.whole and not self.overflow else at_least(found)

    def dump(self) -> list[Any]:
        """JSON-able document."""
        known = {format_id(entry): count for entry, count in self.known.items()}
        places = [format_id(entry) for entry in (self.since, self.baseline, self.cursor)]
        marks = [[format_id(mark.id), mark.at, mark.after] for mark in self.marks]
        return [
            *places,
            known,
            self.visited,
            self.last_pass,
            self.overflow,
            self.dropped,
            self.begun,
            *([marks, self.looked] if self.looked else []),
        ]

    @classmethod
    def load(cls, document: Sequence[Any]) -> Sweep:
        """What `dump` gave; earlier versions did not know when ids were seen."""
        since, baseline, cursor, known, visited, last_pass, overflow, dropped, *more = document
        begun, *seen = more
        marks, looked = seen or ((), 0.0)
        return cls(
            parse_id(since),
            parse_id(baseline),
            {parse_id(entry): count for entry, count in known.items()},
            parse_id(cursor),
            visited,
            last_pass,
            overflow=overflow,
            dropped=dropped,
            begun=begun,
            marks=[IdMark(parse_id(entry), at, after) for entry, at, after in marks],
            looked=looked,
        )


# -- consumers ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """One consumer of XINFO CONSUMERS. `idle`, `inactive` in seconds.

    With `inactive` (Redis 7.2, Valkey) `idle` is since the last attempt to read and `inactive`
    since the last success (negative: never). Without it `idle` is since the last success, and also
    grows while it just waits.
    """

    name: str
    pending: int
    idle: float
    inactive: float | None = None

    @property
    def quiet(self) -> float:
        """Seconds without a sign of life."""
        return (
            self.idle
            if self.inactive is None or self.inactive < 0
            else min(self.idle, self.inactive)
        )

    @property
    def since(self) -> str:
        """What `quiet` counts from."""
        return "last successful read" if self.inactive is None else "last attempt to read"


@dataclass(frozen=True, slots=True)
class ConsumerRoster:
    """The consumers of one group, sorted out: `dead` hold entries, `ghosts` hold none and are long
    gone.
    """

    active: int = 0
    idle: int = 0
    dead: tuple[ConsumerView, ...] = ()
    ghosts: tuple[ConsumerView, ...] = ()
    unknown: tuple[ConsumerView, ...] = ()
    alive: str = ""

    @property
    def dead_entries(self) -> int:
        """Pending entries of dead consumers."""
        return sum(each.pending for each in self.dead)


def sort_consumers(
    views: Iterable[ConsumerView], *, dead_after: float, ghost_after: float, unknown: frozenset[str]
) -> ConsumerRoster:
    """Sort consumers by sign of life. Times in seconds; `unknown` are names that no pattern
    expects.

    Idle time proves neither life nor death: `dead_after` must exceed the longest blocking read plus
    the longest handler, for an acknowledgement resets no clock (measurement.md §1.7.1).
    """
    found = sorted(views, key=lambda view: (view.quiet, view.name))
    quiet = [view for view in found if view.quiet > dead_after]
    dead = sorted((view for view in quiet if view.pending), key=lambda view: -view.pending)
    live = [view for view in found if view.quiet <= dead_after]
    ghosts = [view for view in found if not view.pending and view.quiet > ghost_after]
    strangers = [view for view in found if view.name in unknown]
    trusted = [view.name for view in live if view.name not in unknown and view.name]
    return ConsumerRoster(
        len(live),
        len(quiet) - len(dead),
        tuple(dead),
        tuple(ghosts),
        tuple(strangers),
        trusted[0] if trusted else "",
    )
