"""What truly became of every entry for every group: written from operations and from what the
server shows after each of them. Nothing here knows the product.

A fate may have two readings (an entry acknowledged, then put back by SETID, is acknowledged and
waits): each entry has the set of those that can be defended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

Id = tuple[int, int]
Fates = frozenset[str]

WAITING, PENDING, ACKED, LOST, DROPPED = "waiting", "pending", "acked", "lost", "dropped"
_VERSIONS = count(1)
PUBLISHED = "published"
FOREIGN = "foreign"
"""Never owed: it was published before the group, and lies behind its position."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One operation: what it published, acknowledged or read, and for which group."""

    published: tuple[Id, ...] = ()
    group: str = ""
    acked: frozenset[Id] = frozenset()
    read: frozenset[Id] = frozenset()


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stream as the server shows it: live ids; position and pending ids of each group."""

    live: tuple[Id, ...]
    groups: Mapping[str, tuple[Id, Mapping[Id, str]]]


@dataclass(slots=True)
class Entry:
    """`moment` counts operations: when it was published; `at` is the clock's time then."""

    id: Id
    moment: int
    at: float
    live: bool = True


@dataclass(slots=True)
class Unit:
    """One entry for one group. `settled` are fates that nothing takes back."""

    entry: Entry
    foreign: bool = False
    settled: set[str] = field(default_factory=set)
    owner: str | None = None
    waits: bool = False
    adrift: bool = False
    """It waited when its group was destroyed."""

    def tell(self, *, ended: bool = False) -> Fates:
        """The fates that can be defended now; `ended`: nobody will read or acknowledge any more."""
        fates = set(self.settled)
        if self.owner is not None:
            fates |= {DROPPED, LOST} if ended else {PENDING}
        if self.waits or self.adrift:
            fates.add(LOST if ended or self.adrift else WAITING)
        return frozenset(fates or {FOREIGN})


@dataclass(frozen=True, slots=True)
class Item:
    """What is told of one entry for one group at some moment."""

    id: Id
    moment: int
    fates: Fates
    foreign: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A group from its birth to its death (None: it lives)."""

    born: int
    died: int | None
    items: tuple[Item, ...]
    missed: bool = False


@dataclass(slots=True)
class GroupLife:
    """One group of one stream; `past` are its former lives, destroyed and made anew."""

    born: int
    position: Id
    units: dict[Id, Unit] = field(default_factory=dict)
    past: list[Segment] = field(default_factory=list)
    died: int | None = None
    missing: bool = False
    """It is required, and not there: what is published waits for it."""
    missed: bool = False
    """It was there, and went missing: how that ended for what pended is open."""

    @property
    def there(self) -> bool:
        """Whether the server has it."""
        return self.died is None and not self.missing

    def miss(self) -> None:
        """A required group is destroyed: what was pending is dropped, what waited is lost, or goes
        on to wait.
        """
        self.missing = self.missed = True
        for unit in self.units.values():
            if unit.owner is not None:
                unit.settled.add(DROPPED)
                unit.owner = None
            if unit.waits:
                unit.settled.add(LOST)

    def greet(self, entries: Iterable[Entry]) -> None:
        """The group was made, or made anew: what lies ahead of it is owed, the rest never was."""
        for entry in entries:
            ahead = entry.live and entry.id > self.position
            unit = self.units.get(entry.id)
            if unit is None:
                self.units[entry.id] = Unit(entry, foreign=not ahead, waits=ahead)
                continue
            if unit.adrift and not ahead:
                unit.settled.add(LOST)
            unit.adrift, unit.waits = False, ahead

    def destroy(self, moment: int) -> None:
        """The group ends: what was pending is dropped, what waited drifts."""
        self.past.append(Segment(self.born, moment, self.list_items(ended=True)))
        self.died = moment
        for unit in self.units.values():
            if unit.owner is not None:
                unit.settled.add(DROPPED)
                unit.owner = None
            unit.adrift, unit.waits = unit.adrift or unit.waits, False

    def publish(self, entry: Entry) -> None:
        """A new entry; one behind the position is never delivered."""
        ahead = entry.id > self.position
        unit = self.units[entry.id] = Unit(entry, waits=ahead)
        if not ahead:
            unit.settled.add(LOST)

    def take(self, name: str, position: Id, pending: Mapping[Id, str], cause: Cause) -> None:
        """What the operation did to each entry."""
        self.position = position
        mine = name == cause.group
        for entry_id, unit in self.units.items():
            owner = pending.get(entry_id)
            waits = unit.entry.live and entry_id > position
            if unit.owner is not None and owner is None:
                acked = mine and entry_id in cause.acked
                unit.settled.add(ACKED if acked else DROPPED)
            if unit.waits and not waits:
                self._end_waiting(unit, owner, read=mine and entry_id in cause.read)
            unit.owner, unit.waits = owner, waits

    @staticmethod
    def _end_waiting(unit: Unit, owner: str | None, *, read: bool) -> None:
        if owner is None and read:
            unit.settled |= {ACKED, DROPPED}  # NOACK: nobody will ever acknowledge it
        elif owner is None or (unit.owner is not None and not unit.entry.live):
            unit.settled.add(LOST)  # removed unread, or skipped

    def bury(self) -> None:
        """Entries that vanish while the group is away are lost."""
        for unit in self.units.values():
            if unit.adrift and not unit.entry.live:
                unit.adrift = False
                unit.settled.add(LOST)

    def list_items(self, *, ended: bool = False) -> tuple[Item, ...]:
        """All that is told now."""
        return tuple(
            Item(each.entry.id, each.entry.moment, each.tell(ended=ended), each.foreign)
            for each in self.units.values()
        )

    def list_segments(self, *, ended: bool) -> list[Segment]:
        """Former lives, and the one that goes on."""
        if self.died is not None:
            return list(self.past)
        items = self.list_items(ended=ended)
        return [*self.past, Segment(self.born, None, items, self.missed)]


@dataclass(slots=True, eq=False)
class Life:
    """One stream from its first entry or group to its end, under whatever key."""

    entries: dict[Id, Entry] = field(default_factory=dict)
    groups: dict[str, GroupLife] = field(default_factory=dict)
    last: Id = (0, 0)
    required: tuple[str, ...] = ()
    version: int = field(default_factory=_VERSIONS.__next__)
    """Another one with each change; a copy has that of its original."""

    @property
    def live(self) -> list[Id]:
        """Ids of the entries that are there."""
        return [entry.id for entry in self.entries.values() if entry.live]

    def take(self, seen: Sighting, cause: Cause, moment: int, at: float) -> None:
        """Bring the ledger up to what the server shows after an operation."""
        self.version = next(_VERSIONS)
        for entry_id in cause.published:
            entry = self.entries[entry_id] = Entry(entry_id, moment, at)
            self.last = max(self.last, entry_id)
            for group in self.groups.values():
                if group.died is None:
                    group.publish(entry)
        live = set(seen.live)
        assert live <= self.entries.keys(), ("entries from nowhere", live - self.entries.keys())
        for entry in self.entries.values():
            entry.live = entry.id in live
        self._take_groups(seen, cause, moment)

    def _take_groups(self, seen: Sighting, cause: Cause, moment: int) -> None:
        for name in self.required:
            self._take_required(name, seen, cause, moment)
        for name, (position, pending) in seen.groups.items():
            group = self.groups.get(name)
            if group is None:
                group = self.groups[name] = GroupLife(moment, position)
                group.greet(self.entries.values())
            elif group.died is not None:
                group.born, group.died, group.position = moment, None, position
                group.greet(self.entries.values())
            group.take(name, position, pending, cause)
        for name, group in self.groups.items():
            if name not in seen.groups and not group.missing:
                if group.died is None:
                    group.destroy(moment)
                group.bury()

    def _take_required(self, name: str, seen: Sighting, cause: Cause, moment: int) -> None:
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = GroupLife(moment, (0, 0))
            group.greet(self.entries.values())
        if name in seen.groups:
            group.missing = False
        else:
            if not group.missing:
                group.miss()
            group.take(name, group.position, {}, cause)

    def copy(self) -> Life:
        """Another stream with the same past (COPY, DUMP and RESTORE, a snapshot on disk)."""
        entries = {i: Entry(e.id, e.moment, e.at, e.live) for i, e in self.entries.items()}
        groups = {}
        for name, group in self.groups.items():
            units = {
                i: Unit(entries[i], u.foreign, set(u.settled), u.owner, u.waits, u.adrift)
                for i, u in group.units.items()
            }
            groups[name] = replace(group, units=units, past=list(group.past))
        return replace(self, entries=entries, groups=groups)

    def list_segments(self, *, ended: bool) -> dict[str, list[Segment]]:
        """Of each group; under no name what was published at all."""
        every = frozenset({PUBLISHED})
        items = (Item(entry.id, entry.moment, every, False) for entry in self.entries.values())
        found = {n: group.list_segments(ended=ended) for n, group in self.groups.items()}
        return {**found, "": [Segment(0, None, tuple(items))]}


@dataclass(slots=True, eq=False)
class Epoch:
    """A life under a key, from one moment to another.

    `free`: what happened at its end leaves every fate open (XSETID, an older snapshot on disk).
    """

    life: Life
    attached: int
    brought: bool
    """The life had a past when it came here."""
    uncounted: bool = False
    """Its counters were set by hand: what came before the next look can't be counted."""
    detached: int | None = None
    free: bool = False
    versions: tuple[int, int] = (0, 0)
    """Of the life, when it came and when it left."""
    frozen: dict[str, list[Segment]] = field(default_factory=dict)

    def end(self, moment: int, *, free: bool = False) -> None:
        """The life leaves the key."""
        self.detached, self.free = moment, free
        self.versions = self.versions[0], self.life.version
        self.frozen = self.life.list_segments(ended=True)


@dataclass(slots=True)
class Standing:
    """Gauges of a group at a snapshot."""

    waiting: int
    pending: int
    oldest_waiting: Id | None
    since: tuple[Entry | None, Entry | None]
    """The oldest that waits, and the oldest that pends."""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """A key at a snapshot: all epochs, with segments by group; gauges of groups that live."""

    epochs: tuple[tuple[Epoch, int | None, dict[str, list[Segment]]], ...]
    standings: dict[str, Standing]
    present: bool


@dataclass(slots=True)
class Book:
    """Everything that ever was under one key. `snaps` are the moments at which it was looked at."""

    epochs: list[Epoch] = field(default_factory=list)
    snaps: list[int] = field(default_factory=list)
    looks: dict[int, int] = field(default_factory=dict)
    """How many looks had been completed before each of them."""
    given_up: list[tuple[int, int]] = field(default_factory=list)
    """First and last snapshot of looks that could not follow what had happened."""
    truth: Truth | None = None

    @property
    def life(self) -> Life | None:
        """What is there now."""
        return self.epochs[-1].life if self.epochs and self.epochs[-1].detached is None else None

    def attach(self, life: Life, moment: int, *, brought: bool) -> None:
        """A life begins, or comes from elsewhere."""
        assert self.life is None
        self.epochs.append(Epoch(life, moment, brought, versions=(life.version, 0)))

    def detach(self, moment: int, *, free: bool = False) -> Life:
        """The key is gone, or holds something else."""
        life = self.life
        assert life is not None
        self.epochs[-1].end(moment, free=free)
        return life

    def break_off(self, moment: int) -> None:
        """Counters were set by hand: nothing is certain across it."""
        self.attach(self.detach(moment, free=True), moment, brought=True)
        self.epochs[-1].uncounted = True

    def give_up(self) -> None:
        """At the latest look somebody could not follow what happened, and began anew."""
        looks = self.looks[self.snaps[-1]]
        first = next(moment for moment in self.snaps if self.looks[moment] == looks)
        self.given_up.append((first, self.snaps[-1]))

    def forget_look(self, looks: int) -> None:
        """A look failed before anybody took in what it saw here."""
        self.snaps = [moment for moment in self.snaps if self.looks[moment] < looks]

    def write(self) -> Book:
        """What is known of the looks so far; what happened goes on being written down here."""
        known = list(self.snaps), dict(self.looks), list(self.given_up)
        return Book(self.epochs, *known, self.truth)

    def go_on_with(self, written: Book) -> None:
        """The looks since then are forgotten: nobody has taken in what they saw."""
        known = written.write()
        self.snaps, self.looks, self.given_up = known.snaps, known.looks, known.given_up
        self.truth = known.truth

    def snap(self, moment: int, looks: int) -> None:
        """The key was looked at: keep what was true then."""
        self.snaps.append(moment)
        self.looks.setdefault(moment, looks)
        epochs = tuple(
            (
                e,
                e.detached,
                e.frozen if e.detached is not None else e.life.list_segments(ended=False),
            )
            for e in self.epochs
        )
        standings = {}
        if self.life is not None:
            for name, group in self.life.groups.items():
                if group.died is None:
                    standings[name] = _stand(group)
        self.truth = Truth(epochs, standings, self.life is not None)


def _stand(group: GroupLife) -> Standing:
    waiting = [unit.entry for unit in group.units.values() if unit.waits]
    pending = [unit.entry for unit in group.units.values() if unit.owner is not None]
    oldest = min((entry.id for entry in waiting), default=None)
    since = [min(each, key=lambda entry: entry.at, default=None) for each in (waiting, pending)]
    return Standing(len(waiting), len(pending), oldest, (since[0], since[1]), group.missing)
