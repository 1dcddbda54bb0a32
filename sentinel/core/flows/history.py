"""What sentinel remembers of flows over its own restarts: each open flow, transitions, completed
stays.

Bounded: open flows only, 50 pairs of type and status, 200 transitions; what is beyond is summed up
as `_other_`. Instants in Unix seconds of the server's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from sentinel.core.flows.clock import (
    TimeColumns,
    TimeScreen,
    dump_tally,
    load_tally,
    make_screen,
    note_skew,
)
from sentinel.core.flows.dwell import (
    ObservedStays,
    Passage,
    Sketch,
    Stays,
    dump_map,
    load_map,
)
from sentinel.core.flows.memory import Packer, load_flows
from sentinel.core.flows.stuck import (
    PLAIN,
    Change,
    FlowMemory,
    FlowSight,
    WorkOrder,
    compare,
    first_look,
)
from sentinel.core.moment.skew import SkewTally

OTHER = "_other_"
NEW = "_new_"
DELETED = "_deleted_"
REGRESSIONS = ("progress", "status", "phase")
IN_TIME, LATE = "in_time", "late"
STAYS = (IN_TIME, LATE)
"""How a stay is settled, once and for good: it ended and was never found too long, or it was."""
_PAIRS = 50
_TRANSITIONS = 200
_TYPES = 50
UNTOLD = TimeColumns()

Pair = tuple[str, str]


@dataclass(slots=True)
class Flow:
    """One open flow as judged. In its status since at least `since`; `moved`: last change of a
    value.

    `is_exempt`: waits for people, is over by its own status and not by its second one, or has a
    status that nobody mapped. `is_skewed`: its times can't be what they say; `unsure`: the one by
    which nobody can tell whether it is overdue; `latest` of its times. `reasons`: reason → what
    blocks it.
    """

    sight: FlowSight
    since: float
    moved: float
    pair: Pair
    waits: bool = False
    is_mapped: bool = True
    is_over: bool = False
    is_skewed: bool = False
    unsure: str = ""
    latest: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def is_exempt(self) -> bool:
        """Nothing is judged of it."""
        return self.waits or self.is_over or not self.is_mapped

    def age(self, now: float) -> float:
        """Seconds in its status, at least."""
        return max(0.0, now - self.since)


@dataclass(slots=True)
class FlowPast:
    """One table: its open flows, the last look (None: never), whether that saw all, whether
    updated_at is kept; `skew`: the times of rows that were seen to come; `late`: flows whose present
    stay was found too long.

    Only in memory: the rows as last read, and the flows about which there was nothing to say.
    """

    flows: dict[str, FlowMemory] = field(default_factory=dict)
    looked: float | None = None
    saw_all: bool = True
    changed_is_kept: bool = True
    skew: SkewTally = field(default_factory=SkewTally)
    late: set[str] = field(default_factory=set)
    judges: Callable[[str], bool] | None = None
    screen: TimeScreen = PLAIN
    sights: dict[str, FlowSight] = field(default_factory=dict)
    quiet: dict[str, Flow] = field(default_factory=dict)
    packer: Packer = field(default_factory=Packer)


@dataclass(frozen=True, slots=True)
class FlowLook:
    """What one run read of a table at `now`: open flows, formerly open ones that left, whether that
    is all.
    """

    now: float
    sights: Sequence[FlowSight]
    gone: Sequence[FlowSight] = ()
    saw_all: bool = True


class History:
    """Everything that a check of flows remembers, as one JSON document."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        known = document or {}
        self.tables = {name: _load_past(past) for name, past in known.get("tables", {}).items()}
        self.pairs: dict[Pair, None] = {(pair[0], pair[1]): None for pair in known.get("pairs", ())}
        self.transitions: dict[tuple[str, ...], int] = load_map(known.get("transitions", ()))
        self.regressions: dict[tuple[str, ...], int] = load_map(known.get("regressions", ()))
        self.settled: dict[tuple[str, ...], int] = load_map(known.get("settled", ()))
        firsts = load_map(known.get("firsts", ()))
        self.sketches = {
            key: Sketch.load(value, firsts.get(key))
            for key, value in load_map(known.get("sketches", ())).items()
        }
        self.observed = {
            key: ObservedStays(**value)
            for key, value in load_map(known.get("observed", ())).items()
        }
        self.passages = {
            key: Passage(*value) for key, value in load_map(known.get("passages", ())).items()
        }
        self.suspects: dict[tuple[str, ...], float] = load_map(known.get("suspects", ()))
        self.types = {key[0] for key in self.regressions}
        self.settled = {(t, word): 0 for t in self.types for word in STAYS} | self.settled
        self.told: dict[Pair, Stays] = {}
        self.stays: dict[Pair, Stays] = {}

    def dump(self) -> Any:
        """JSON-able document of all that must survive a restart."""
        return {
            "tables": {name: _dump_past(past) for name, past in self.tables.items()},
            "pairs": [list(pair) for pair in self.pairs],
            "transitions": dump_map(self.transitions),
            "regressions": dump_map(self.regressions),
            "settled": dump_map(self.settled),
            "sketches": dump_map({key: sketch.dump() for key, sketch in self.sketches.items()}),
            "firsts": dump_map({key: sketch.first for key, sketch in self.sketches.items()}),
            "observed": dump_map({key: asdict(value) for key, value in self.observed.items()}),
            "passages": dump_map(
                {key: list(astuple(value)) for key, value in self.passages.items()}
            ),
            "suspects": dump_map(self.suspects),
        }

    async def close(self) -> None:
        """Nothing is held."""

    def pair(self, type_: str, status: str) -> Pair:
        """The labels of a flow; the fifty-first pair and later ones share one."""
        pair = (type_, status)
        if pair not in self.pairs:
            if len(self.pairs) >= _PAIRS:
                return (OTHER, OTHER)
            self.pairs[pair] = None
        return pair

    def look(
        self,
        table: str,
        look: FlowLook,
        order: WorkOrder,
        columns: TimeColumns = UNTOLD,
        judges: Callable[[str], bool] | None = None,
    ) -> dict[str, FlowMemory]:
        """Take in what was read of a table; gives the memory of each open flow, this look included.
        `columns`: by which clocks its times are written. `judges`: whether a stay in a status can
        be too long; None where stays of this table are not settled.
        """
        past = self.tables.setdefault(table, FlowPast())
        past.judges = judges
        _rescreen(past, columns)
        before, sights, past.flows = past.flows, past.sights, {}
        for sight in look.sights:
            known = before.get(sight.id)
            if known is not None and sights.get(sight.id) is sight:
                past.flows[sight.id] = known
            else:
                past.flows[sight.id] = self._advance(past, known, sight, order, look.now)
        for sight in look.gone:
            if sight.id in before:
                self._advance(past, before[sight.id], sight, order, look.now)
        found = past.flows.keys() | {sight.id for sight in look.gone}
        for key in before.keys() - found if look.saw_all else ():
            deleted = FlowSight(key, before[key].type, DELETED)
            self._note(
                deleted, compare(before[key], deleted, order, look.now, look.now)[1], look.now
            )
            self._end_stay(past, deleted, before[key].status)
        if look.saw_all:
            past.late &= past.flows.keys()
        past.looked, past.saw_all = look.now, look.saw_all
        past.sights = {sight.id: sight for sight in look.sights}
        _rescreen(past, columns)
        return past.flows

    def forget_readings(self) -> None:
        """What was read is to be compared and judged anew: the configuration has changed."""
        for past in self.tables.values():
            past.sights, past.quiet = {}, {}

    def _advance(
        self,
        past: FlowPast,
        before: FlowMemory | None,
        sight: FlowSight,
        order: WorkOrder,
        now: float,
    ) -> FlowMemory:
        self._type(sight.type)
        previous = past.looked if past.saw_all else None
        if before is None:
            if previous is not None:
                self._count_transition(sight, NEW, sight.status)
                self._passage(self.pair(sight.type, sight.status), now).entries += 1
                _screen_time(past, "created", sight.created, previous, now)
            return first_look(sight, order, previous, now, past.screen)
        last = past.looked or now
        memory, change = compare(before, sight, order, last, now, past.screen)
        if change.before != change.after:
            _screen_time(past, "entered", sight.entered, last, now)
        if change.is_touched is not None and change.is_touched != past.changed_is_kept:
            past.changed_is_kept, past.quiet = change.is_touched, {}
        self._note(sight, change, now)
        if change.before != change.after:
            self._end_stay(past, sight, change.before)
        return memory

    def _end_stay(self, past: FlowPast, sight: FlowSight, status: str) -> None:
        """It left its status: in time, unless it was found too long in it."""
        if sight.id in past.late:
            past.late.discard(sight.id)
        elif past.judges is not None and past.judges(status):
            self.settled[self._type(sight.type), IN_TIME] += 1

    def note_late(self, past: FlowPast, sight: FlowSight) -> None:
        """It is found too long in its status: an event at once, for it may never leave."""
        if past.judges is not None and sight.id not in past.late:
            past.late.add(sight.id)
            self.settled[self._type(sight.type), LATE] += 1

    def _note(self, sight: FlowSight, change: Change, now: float) -> None:
        for kind in change.regressions:
            self.regressions[self._type(sight.type), kind] += 1
        if change.before == change.after:
            return
        self._count_transition(sight, change.before, change.after)
        left = self.pair(sight.type, change.before)
        self.passages.pop(left, None)
        if change.after != DELETED:
            self._passage(self.pair(sight.type, change.after), now).entries += 1
        if change.stay is not None and left[0] != OTHER:
            self.sketches.setdefault(left, Sketch()).add(change.stay, now)
            self.observed.setdefault(left, ObservedStays()).add(change.stay)

    def _count_transition(self, sight: FlowSight, before: str, after: str) -> None:
        key: tuple[str, ...] = (sight.type, before, after)
        if key not in self.transitions and len(self.transitions) >= _TRANSITIONS:
            key = (OTHER, OTHER, OTHER)
        self.transitions[key] = self.transitions.get(key, 0) + 1

    def _passage(self, pair: Pair, now: float) -> Passage:
        return self.passages.setdefault(pair, Passage(now))

    def _type(self, type_: str) -> str:
        """The label of a type, with its counters at zero; the fifty-first type and later ones share
        one.
        """
        label = type_ if type_ in self.types or len(self.types) < _TYPES else OTHER
        if label not in self.types:
            self.types.add(label)
            self.regressions |= {(label, kind): 0 for kind in REGRESSIONS}
            self.settled |= {(label, word): 0 for word in STAYS}
        return label

    def settle(self, occupied: Iterable[Pair], now: float) -> None:
        """After all tables: forget passages of empty statuses, begin those of others, sum up the
        stays.
        """
        here = set(occupied)
        self.passages = {key: value for key, value in self.passages.items() if key in here}
        for pair in here:
            self._passage(pair, now)
            self._sum_up(pair, now)

    def _sum_up(self, pair: Pair, now: float) -> None:
        """From what a table of transitions told or from what we saw, whichever knows more stays."""
        if pair[0] == OTHER:
            return
        sketch, told = self.sketches.get(pair), self.told.get(pair)
        seen = sketch.summarise(now) if sketch is not None else None
        stays = seen if told is None or (seen is not None and seen.n > told.n) else told
        self.stays.pop(pair, None)
        if stays is not None:
            self.stays[pair] = stays

    def confirm(
        self, suspects: Mapping[tuple[str, ...], float], after: float, now: float
    ) -> set[tuple[str, ...]]:
        """Those that have lasted for `after` seconds: seen by us, or proven by the given seconds."""
        self.suspects = {key: self.suspects.get(key, now) for key in suspects}
        return {
            key
            for key, proven in suspects.items()
            if max(proven, now - self.suspects[key]) >= after
        }


def _screen_time(past: FlowPast, role: str, at: float | None, previous: float, now: float) -> None:
    """Note whether the time of what happened between two looks can be what it says."""
    if at is not None:
        note_skew(past.skew, past.screen.find_skew(role, at, previous, now))


def _rescreen(past: FlowPast, columns: TimeColumns) -> None:
    """When other times are believed than before, every row is judged anew."""
    screen = make_screen(columns, past.skew)
    if screen != past.screen:
        past.screen, past.quiet = screen, {}


def _load_past(document: Mapping[str, Any]) -> FlowPast:
    flows = load_flows(document["flows"])
    skew = load_tally(document.get("skew"))
    looked, saw_all, kept = (document[key] for key in ("looked", "saw_all", "changed_is_kept"))
    return FlowPast(flows, looked, saw_all, kept, skew, set(document.get("late", ())))


def _dump_past(past: FlowPast) -> dict[str, Any]:
    return {
        "flows": past.packer.dump(past.flows, past.looked or 0.0),
        "looked": past.looked,
        "saw_all": past.saw_all,
        "changed_is_kept": past.changed_is_kept,
        "skew": dump_tally(past.skew),
        "late": sorted(past.late),
    }
