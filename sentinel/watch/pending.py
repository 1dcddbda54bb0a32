"""Watches the pending entries of all groups of a check: discovery, pages, cursors; what must
survive a restart.

Cost of a run, whatever is pending and however long the streams: one XINFO GROUPS for each of so
many streams (those with pending entries first, the others in turn; what was found at the rest stays
as it was); for a group with pending entries one page of the oldest 200, one page of 500 behind a
cursor when there are more, and at most four pages of 1000 when the overdue or the payload-less are
beyond the first page. Consumers of small groups are listed when they hold something, all others in
turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.adapters.bus.pending_reader import (
    HEAD,
    GroupReading,
    GroupSummary,
    PendingReader,
    Plan,
)
from sentinel.adapters.bus.stream import parse_entry_id
from sentinel.adapters.bus.stream_reader import StreamScan
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, is_missing
from sentinel.core.bus.age import find_age, find_published_by, following, is_sharp
from sentinel.core.bus.delivery import ZERO, Id
from sentinel.core.bus.finding import find_unjudged, find_unwatched
from sentinel.core.bus.naming import Naming, matches
from sentinel.core.bus.pending import (
    ConsumerRoster,
    ConsumerView,
    Page,
    Sweep,
    at_least,
    sort_consumers,
)
from sentinel.core.bus.pending_fault import (
    MAX_SAMPLES,
    PendingLimits,
    PendingStanding,
    find_absent_groups,
    find_crowded,
)
from sentinel.core.fault import Fault
from sentinel.errors import NotMeasurable, SubjectError, TargetError
from sentinel.watch.pending_look import (
    GroupKey,
    Habits,
    PendingLook,
    PendingPlace,
    SeenGroup,
    StreamStand,
)
from sentinel.watch.scope import Scope, describe_error

SCAN_STEPS = 20
FEW_CONSUMERS = 50
MAX_CONSUMERS = 20_000
LEAST_LISTED, MOST_LISTED = 200, 2000
"""Groups plus consumers that are listed in turn per run."""
MAX_OWNERS = 10


@dataclass(slots=True)
class PendingWatch:
    """Everything remembered between runs. Raises TargetError of the whole server."""

    sweeps: dict[GroupKey, Sweep] = field(default_factory=dict)
    redeliveries: dict[GroupKey, int] = field(default_factory=dict)
    group_labels: dict[str, set[str]] = field(default_factory=dict)
    scan: StreamScan = field(default_factory=StreamScan)
    keys: set[bytes] = field(default_factory=set)
    patterns: list[list[str]] = field(default_factory=list)
    rosters: dict[GroupKey, tuple[int, ConsumerRoster]] = field(default_factory=dict)
    labels: dict[GroupKey, GroupKey] = field(default_factory=dict)
    judged: dict[str, bool] = field(default_factory=dict)
    turn: int = 0
    atomic: bool = True
    _groups: dict[bytes, tuple[bytes, list[GroupSummary]]] = field(default_factory=dict)
    _stands: dict[bytes, StreamStand] = field(default_factory=dict)
    _wanted: dict[bytes, bool] = field(default_factory=dict)
    _next: int = 0

    async def look(
        self,
        client: RedisClient,
        scope: Scope,
        naming: Naming,
        limits: PendingLimits,
        habits: Habits,
    ) -> PendingLook:
        """One run."""
        self.turn += 1
        look = PendingLook()
        reader = PendingReader(client, self.atomic, self._groups)
        everything = await self._discover(client, scope, look)
        keys = self._take_turn(everything, scope.streams_per_run)
        look.now, found = await reader.read_groups(keys)
        stands = {
            key: StreamStand(look.now, not isinstance(found[key], TargetError)) for key in keys
        }
        places = self._sort(found, scope, look, stands)
        readings = await self._read(reader, places, stands)
        await self._list_consumers(reader, places, limits, habits, stands)
        owned = await self._read_owned(reader, places)
        seen = await self._count(reader, readings, limits)
        for place in places:
            label, mine = self.label(naming, place.id), owned.get(place.id, {})
            standing = self._stand(place, seen.get(place.id), label, limits, mine, look.now)
            stands[place.key].standings.append(standing)
        self._stands.update(stands)
        self._sum_up(look, everything, scope)
        self.atomic = reader.atomic
        return look

    def _take_turn(self, keys: Sequence[bytes], limit: int) -> list[bytes]:
        """The streams of this run: half of the room for those with entries pending, the others in
        turn.
        """
        if len(keys) <= limit:
            return list(keys)
        present = set(keys)
        busy = [key for key, stand in self._stands.items() if key in present and stand.busy]
        first = sorted(busy, key=lambda key: self._stands[key].at)[: limit // 2]
        chosen, room, begin = set(first), limit - len(first), self._next % len(keys)
        others = [key for key in [*keys[begin:], *keys[:begin]] if key not in chosen][:room]
        self._next = keys.index(others[-1]) + 1
        return first + others

    def _sum_up(self, look: PendingLook, keys: Sequence[bytes], scope: Scope) -> None:
        """Everything that is known of all streams, those of this run and those that had their turn
        before.
        """
        present = set(keys)
        for gone in self._stands.keys() - present:
            del self._stands[gone]
            self._groups.pop(gone, None)
        stands = [self._stands[key] for key in keys if key in self._stands]
        look.standings = [each for stand in stands for each in stand.standings]
        look.streams = sum(stand.readable for stand in stands)
        look.known, look.width = (
            len(keys),
            look.now - min((stand.at for stand in stands), default=look.now),
        )
        for stand in stands:
            look.unjudged += stand.unjudged
            look.crowded += stand.crowded
        if look.streams and len(stands) == len(keys):
            look.unjudged += find_absent_groups(scope.literal_groups, look.standings)
        self._forget({(each.stream, each.group) for each in look.standings})

    def label(self, naming: Naming, place: GroupKey) -> GroupKey:
        """Metric labels of a group on a stream."""
        found = self.labels.get(place)
        if found is None:
            stream = naming.stream(place[0])
            found = stream, naming.group(place[1], self.group_labels.setdefault(stream, set()))
            self.labels[place] = found
        return found

    def _judges(self, scope: Scope, group: str) -> bool:
        """Whether a group is watched; remembered, for thousands of streams share few names."""
        found = self.judged.get(group)
        if found is None:
            found = self.judged[group] = scope.has_group(group)
        return found

    # -- discovery --------------------------------------------------------------------------------

    async def _discover(self, client: RedisClient, scope: Scope, look: PendingLook) -> list[bytes]:
        patterns = [
            list(each) for each in (scope.include, scope.exclude, scope.groups, scope.not_groups)
        ]
        if patterns != self.patterns:
            self.patterns, self.keys, self.scan, self.labels, self.judged = (
                patterns,
                set(),
                StreamScan(),
                {},
                {},
            )
            self._wanted = {}
        literals = [name.encode() for name in scope.literals]
        if len(literals) < len(scope.include):
            found = await self.scan.advance(client, SCAN_STEPS)
            seen = self.keys | self.scan.found if found is None else found
            for key in seen - self._wanted.keys():
                self._wanted[key] = scope.has_stream(display(key))
            self.keys = {key for key in seen if self._wanted[key]}
            if len(self._wanted) > 2 * len(seen) + 1000:
                self._wanted = {key: self._wanted[key] for key in seen}
        keys = literals + sorted(self.keys - set(literals))
        beyond = len(keys) - scope.max_streams
        if beyond > 0:
            look.unjudged.append(find_unwatched(beyond, scope.max_streams))
        return keys[: scope.max_streams]

    def _sort(
        self,
        found: Mapping[bytes, list[GroupSummary] | TargetError],
        scope: Scope,
        look: PendingLook,
        stands: Mapping[bytes, StreamStand],
    ) -> list[PendingPlace]:
        """The groups that are judged; what can't be read concerns that stream alone."""
        places, literals = [], {name.encode() for name in scope.literals}
        for key, groups in found.items():
            name = display(key)
            if isinstance(groups, TargetError):
                if key in literals or not is_missing(groups):
                    stands[key].unjudged.append(_explain(name, groups))
                continue
            places += [
                PendingPlace(key, name, each, (name, each.name))
                for each in groups
                if self._judges(scope, each.name)
            ]
        errors = [error for error in found.values() if isinstance(error, TargetError)]
        if (
            errors
            and len(errors) == len(found)
            and not all(isinstance(error, SubjectError) for error in errors)
        ):
            raise next(error for error in errors if not isinstance(error, SubjectError))
        look.read = len(found)
        return places

    # -- pending ----------------------------------------------------------------------------------

    async def _read(
        self,
        reader: PendingReader,
        places: Sequence[PendingPlace],
        stands: Mapping[bytes, StreamStand],
    ) -> dict[GroupKey, tuple[Plan, GroupReading]]:
        for place in places:
            if place.id not in self.sweeps:
                self.sweeps[place.id] = Sweep(since=parse_entry_id(place.summary.delivered))
        busy = [place for place in places if place.summary.pending]
        plans = [self._plan(place) for place in busy]
        readings: dict[GroupKey, tuple[Plan, GroupReading]] = {}
        for place, plan, reading in zip(busy, plans, await reader.read_pending(plans), strict=True):
            if isinstance(reading, GroupReading):
                readings[place.id] = (plan, reading)
            elif not is_missing(reading) and reading.code != "NOGROUP":
                if isinstance(reading, NotMeasurable):
                    raise reading
                stands[place.key].unjudged.append(_explain(place.stream, reading, place.id[1]))
        return readings

    def _plan(self, place: PendingPlace) -> Plan:
        sweep = self.sweeps[place.id]
        many = place.summary.pending >= HEAD
        rechecks = tuple(sweep.list_rechecks()) if many else ()
        return Plan(place.key, place.summary.raw, sweep.cursor if many else ZERO, many, rechecks)

    async def _count(
        self,
        reader: PendingReader,
        readings: Mapping[GroupKey, tuple[Plan, GroupReading]],
        limits: PendingLimits,
    ) -> dict[GroupKey, SeenGroup]:
        """How many are overdue, and how many have no payload."""
        pairs = list(readings.values())
        bounds = [
            self._bound_overdue(place, reading, limits.deadline)
            for place, (_, reading) in readings.items()
        ]
        late = await reader.count(
            [(*pair, bound) for pair, bound in zip(pairs, bounds, strict=True)]
        )
        gone = await reader.count([(*pair, pair[1].first) for pair in pairs])
        seen = map(SeenGroup, (reading for _, reading in pairs), bounds, late, gone)
        return dict(zip(readings, seen, strict=True))

    def _bound_overdue(self, place: GroupKey, reading: GroupReading, deadline: float) -> Id:
        """The first id that is not overdue for certain, after this look was noted."""
        sweep, oldest = self.sweeps[place], reading.head.rows
        sweep.look(reading.last, reading.now, oldest[0].id if oldest else reading.last)
        return following(find_published_by(reading.now - deadline, sweep.marks))

    def _stand(
        self,
        place: PendingPlace,
        seen: SeenGroup | None,
        label: GroupKey,
        limits: PendingLimits,
        owned: Mapping[str, Sequence[Id]],
        now: float,
    ) -> PendingStanding:
        """Take in what was read of one group; where it stands."""
        sweep = self.sweeps[place.id]
        roster = self.rosters.get(place.id, (0, None))[1]
        standing = PendingStanding(
            *place.id, consumers=place.summary.consumers, roster=roster, owned=owned
        )
        if seen is None and place.summary.drained:
            delivered = parse_entry_id(place.summary.delivered)
            sweep.look(delivered, now, delivered)
        if seen is None and sweep.begun and not sweep.known:
            self.redeliveries.setdefault(label, 0)
            sweep.held = False
            return standing
        pages = seen.reading.pages if seen else [Page()]
        grown = sweep.take(pages, seen.reading.rechecked if seen else {})
        sweep.advance(pages[0], pages[1] if len(pages) > 1 else None)
        self.redeliveries[label] = self.redeliveries.get(label, 0) + grown
        return standing if seen is None else _measure(standing, seen, sweep, limits)

    # -- consumers --------------------------------------------------------------------------------

    async def _list_consumers(
        self,
        reader: PendingReader,
        places: Sequence[PendingPlace],
        limits: PendingLimits,
        habits: Habits,
        stands: Mapping[bytes, StreamStand],
    ) -> None:
        chosen = self._choose(places, habits.every, stands)
        listings = await reader.read_consumers([(place.key, place.summary.raw) for place in chosen])
        for place, views in zip(chosen, listings, strict=True):
            if isinstance(views, TargetError):
                self.rosters.pop(place.id, None)
                if not is_missing(views) and views.code != "NOGROUP":
                    problem = f"its consumers can't be listed: {views.message}"
                    fault = find_unjudged(place.stream, problem, views.guidance, place.id[1])
                    stands[place.key].unjudged.append(fault)
            else:
                self.rosters[place.id] = (self.turn, _sort_roster(views, limits, habits))

    def _choose(
        self, places: Sequence[PendingPlace], every: int, stands: Mapping[bytes, StreamStand]
    ) -> list[PendingPlace]:
        """Small groups that hold something in every run; others in turn, oldest listing first,
        within a budget.
        """
        chosen, others = [], []
        for place in places:
            group = place.summary
            if group.consumers > MAX_CONSUMERS:
                crowded = find_crowded(place.stream, group.name, group.consumers, MAX_CONSUMERS)
                stands[place.key].crowded.append(crowded)
            elif group.pending and group.consumers <= FEW_CONSUMERS:
                chosen.append(place)
            elif self.turn - self._listed(place) >= every:
                others.append(place)
        known = sum(
            1 + each.consumers for stand in self._stands.values() for each in stand.standings
        )
        budget = _find_budget(
            max(known, sum(1 + place.summary.consumers for place in places)), every
        )
        for place in sorted(others, key=self._listed):
            if budget <= 0:
                break
            chosen.append(place)
            budget -= 1 + place.summary.consumers
        return chosen

    def _listed(self, place: PendingPlace) -> int:
        return self.rosters.get(place.id, (-1_000_000, None))[0]

    async def _read_owned(
        self, reader: PendingReader, places: Sequence[PendingPlace]
    ) -> dict[GroupKey, dict[str, list[Id]]]:
        """Sample ids of dead consumers, for the few that hold most."""
        holders = [
            (place, each)
            for place in places
            if (listed := self.rosters.get(place.id)) and listed[0] == self.turn
            for each in listed[1].dead
        ]
        worst = sorted(holders, key=lambda holder: -holder[1].pending)[:MAX_OWNERS]
        wanted = [(place.key, place.summary.raw, each.name) for place, each in worst]
        owned: dict[GroupKey, dict[str, list[Id]]] = {}
        for (place, each), ids in zip(
            worst, await reader.read_owned(wanted, MAX_SAMPLES), strict=True
        ):
            owned.setdefault(place.id, {})[each.name] = ids
        return owned

    # -- persistence ------------------------------------------------------------------------------

    def _forget(self, present: set[GroupKey]) -> None:
        for gone in self.sweeps.keys() - present:
            del self.sweeps[gone]
            self.labels.pop(gone, None)
        for gone in self.rosters.keys() - present:
            del self.rosters[gone]

    def dump(self) -> dict[str, Any]:
        """JSON-able document of everything that must survive a restart."""
        return {
            "sweeps": [
                [*place, sweep.dump()] for place, sweep in self.sweeps.items() if not sweep.idle
            ],
            "redeliveries": [[*label, count] for label, count in self.redeliveries.items()],
            "group_labels": {label: sorted(seen) for label, seen in self.group_labels.items()},
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> PendingWatch:
        """What `dump` gave."""
        return cls(
            {(stream, group): Sweep.load(sweep) for stream, group, sweep in document["sweeps"]},
            {(stream, group): count for stream, group, count in document["redeliveries"]},
            {label: set(seen) for label, seen in document["group_labels"].items()},
        )


def _measure(
    standing: PendingStanding, seen: SeenGroup, sweep: Sweep, limits: PendingLimits
) -> PendingStanding:
    """The standing with what the pages proved."""
    reading = seen.reading
    oldest = reading.head.rows[0].id if reading.head.rows else None
    age = find_age(oldest, reading.now, sweep.marks)
    sharp = is_sharp(reading.now - limits.deadline, sweep.marks)
    rows = reading.rows
    return replace(
        standing,
        pending=reading.pending,
        overdue=seen.late if sharp else at_least(seen.late.lo),
        oldest=None if age is None else age.seconds,
        timed=age is None or age.timed,
        missing=at_least(seen.gone.lo) if reading.holes else seen.gone,
        poison=sweep.count_poison(limits.poison_after),
        redelivered=sweep.count_redelivered(),
        poison_ids=sweep.find_poison(limits.poison_after),
        rows=[rows[entry] for entry in sorted(rows)],
        bound=seen.bound,
        gone=reading.first,
        scanned=len(rows),
        coverage=sweep.find_coverage(reading.pending),
    )


def _find_budget(total: int, every: int) -> int:
    """Groups plus consumers to list in a run, so that all have their turn in `every` runs; a small
    fleet at once.
    """
    return max(LEAST_LISTED, min(MOST_LISTED, -(-total // every)))


def _sort_roster(
    views: Sequence[ConsumerView], limits: PendingLimits, habits: Habits
) -> ConsumerRoster:
    unknown = frozenset(view.name for view in views if not matches(view.name, habits.known))
    return sort_consumers(
        views, dead_after=limits.dead_after, ghost_after=limits.ghost_after, unknown=unknown
    )


def _explain(stream: str, error: TargetError, group: str | None = None) -> Fault:
    return find_unjudged(stream, *describe_error(error), group)
