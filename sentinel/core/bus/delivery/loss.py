"""What a group may have lost: ranks that certainly went unread, ranks that possibly did, dropped
deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.bus.delivery.stream import NOTHING, Id
from sentinel.core.quantity import Bounds

Segment = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Of the ranks (after, upto], outside the certain losses, at least `lo` and at most `hi` were
    lost. `open`: counted reads may still tell how many.
    """

    after: int
    upto: int
    lo: int
    hi: int
    open: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """At most `count` of the ranks (after, upto] left the pending list without an acknowledgement;
    or, as a blur, met any fate.
    """

    after: int
    upto: int
    count: int


def cover(segments: Sequence[Segment], after: int, upto: int) -> int:
    """How many ranks of (after, upto] lie in these disjoint segments."""
    return sum(max(0, min(end, upto) - max(start, after)) for start, end in segments)


@dataclass(slots=True)
class Losses:
    """The ledger of one group in one life of a stream. Segments are half open: (after, upto].

    `certain` were removed unread; `skips` are ranks that a group was moved over, which count as
    lost until it is put back. `blurs` are ranks of which nobody knows what became of them: read,
    lost, dropped, or never owed.
    Ranks older than every open cohort are folded into the `past` numbers, which bounds the memory.
    """

    certain: list[Segment] = field(default_factory=list)
    possible: list[Suspicion] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    past: Bounds = NOTHING
    past_dropped: int = 0
    skips: list[Segment] = field(default_factory=list)
    blurs: list[Drop] = field(default_factory=list)
    past_blurred: int = 0
    moved_from: Id | None = None
    """Where the group stood before it was moved over unread entries, until it is put back there."""

    def __bool__(self) -> bool:
        """Whether anything is noted that is not yet past."""
        return bool(self.certain or self.possible or self.drops or self.skips or self.blurs)

    @property
    def spotless(self) -> bool:
        """Whether nothing was ever noted."""
        past = self.past.hi or self.past_dropped or self.past_blurred
        return not (self or past or self.moved_from)

    def add_certain(self, after: int, upto: int) -> int:
        """Note ranks that were removed unread; gives their number. Callers pass each rank once."""
        if upto <= after:
            return 0
        count = upto - after
        self.possible = [self._discount(each, after, upto) for each in self.possible]
        if self.certain and self.certain[-1][1] == after:
            after = self.certain.pop()[0]
        self.certain.append((after, upto))
        return count

    @staticmethod
    def _discount(each: Suspicion, after: int, upto: int) -> Suspicion:
        shared = max(0, min(each.upto, upto) - max(each.after, after))
        return replace(each, lo=max(0, each.lo - shared)) if shared and each.lo else each

    def add_possible(
        self, after: int, upto: int, lo: int, hi: int, *, counted: bool = False
    ) -> Bounds:
        """Note ranks of which some may have been removed unread, at most `hi`; gives what was
        added. `counted`: reads are counted, and may tell how many.
        """
        free = self._free(after, upto)
        lo, hi = min(lo, free), min(hi, free)
        if hi <= 0:
            return Bounds(0, 0)
        self.possible.append(Suspicion(after, upto, lo, hi, counted))
        return Bounds(lo, hi)

    def add_skip(self, after: int, upto: int) -> int:
        """Note ranks that the group was moved over unread; gives how many of them are new."""
        count = self._free(after, upto)
        if count:
            self.skips += _subtract((after, upto), [*self.certain, *self.skips])
        return count

    def add_blur(self, after: int, upto: int) -> int:
        """Note ranks of which nobody knows what became of them; gives how many."""
        count = self._free(after, upto)
        if count > 0:
            self.blurs.append(Drop(after, upto, count))
        return max(0, count)

    def skip_blur(self, after: int) -> int:
        """The rank from which on something is known, if nothing is of those right behind `after`:
        what met any fate is not possibly lost as well.
        """
        if not self.blurs:
            return after
        latest = self.blurs[-1]
        whole = latest.count == latest.upto - latest.after
        return latest.upto if whole and latest.after <= after < latest.upto else after

    def put_back(self, after: int, head: int) -> None:
        """The group stands at rank `after` once more: what it was moved over and is still there
        (behind rank `head`) may be read yet.
        """
        kept, floor = [], max(after, head)
        for start, end in self.skips:
            if start < min(end, floor):
                kept.append((start, min(end, floor)))
            if end > max(start, floor):
                begin = max(start, floor)
                self.possible.insert(0, Suspicion(begin, end, 0, end - begin))
        self.skips = kept

    @property
    def is_open(self) -> bool:
        """Whether counted reads may still tell how many of the possible losses were some."""
        return any(each.open for each in self.possible)

    def close_open(self) -> None:
        """Counted reads went on to mean something else: what is possible stays so."""
        if self.is_open:
            self.possible = [replace(each, open=False) for each in self.possible]

    def resolve(self, count: int) -> None:
        """Exactly so many of the open possible losses were some; a number that can't be changes
        nothing.
        """
        found = [each for each in self.possible if each.open]
        lo = sum(each.lo for each in found)
        hi = sum(min(each.hi, self._free(each.after, each.upto)) for each in found)
        if not found or not lo <= count <= hi:
            self.close_open()
            return
        self.possible = [each for each in self.possible if not each.open]
        if count:
            ends = min(each.after for each in found), max(each.upto for each in found)
            self.possible.append(Suspicion(*ends, count, count))

    def add_drop(self, after: int, upto: int, count: int) -> None:
        """Note deliveries that may have been dropped from the pending list."""
        count = min(count, upto - after)
        if count > 0:
            self.drops.append(Drop(after, upto, count))

    def total(self) -> Bounds:
        """Everything lost in this life of the stream."""
        if not (self.certain or self.possible or self.skips):
            return self.past
        sure = sum(upto - after for after, upto in [*self.certain, *self.skips])
        lo = sure + sum(each.lo for each in self.possible)
        hi = sure + sum(min(each.hi, self._free(each.after, each.upto)) for each in self.possible)
        return self.past + Bounds(lo, max(lo, hi))

    def dropped(self) -> int:
        """At most so many deliveries were dropped in this life of the stream."""
        return self.past_dropped + sum(drop.count for drop in self.drops)

    def blurred(self) -> int:
        """At most so many ranks met any fate in this life of the stream."""
        return self.past_blurred + sum(blur.count for blur in self.blurs)

    def lost_in(self, after: int, upto: int) -> Bounds:
        """Lost of the ranks (after, upto]."""
        if not (self.certain or self.possible or self.skips):
            return NOTHING
        sure = cover(self.certain, after, upto) + cover(self.skips, after, upto)
        lo = hi = sure
        for each in self.possible:
            inside = self._free(max(each.after, after), min(each.upto, upto))
            lo += max(0, each.lo - (self._free(each.after, each.upto) - inside))
            hi += min(each.hi, inside)
        return Bounds(lo, hi).clip(0, upto - after)

    def dropped_in(self, after: int, upto: int) -> int:
        """At most so many of the ranks (after, upto] were dropped."""
        return _count_in(self.drops, after, upto)

    def blurred_in(self, after: int, upto: int) -> int:
        """At most so many of the ranks (after, upto] met any fate."""
        return _count_in(self.blurs, after, upto)

    def prune(self, floor: int) -> None:
        """Fold everything up to rank `floor` into the totals: no open cohort reaches so far back."""
        if not self:
            return
        # why not open ones: counted reads may still tell how many they are
        done = [each for each in self.possible if each.upto <= floor and not each.open]
        for each in done:
            self.past += Bounds(
                each.lo, max(each.lo, min(each.hi, self._free(each.after, each.upto)))
            )
        if done:
            self.possible = [each for each in self.possible if each.upto > floor or each.open]
        # why not below open ones: what is certainly lost is not possibly lost as well
        floor = min([floor, *(each.after for each in self.possible if each.open)])
        count = sum(upto - after for after, upto in self.certain if upto <= floor)
        self.past += Bounds(count, count)
        self.certain = [(after, upto) for after, upto in self.certain if upto > floor]
        self.past_dropped += sum(drop.count for drop in self.drops if drop.upto <= floor)
        self.drops = [drop for drop in self.drops if drop.upto > floor]
        self.past_blurred += sum(blur.count for blur in self.blurs if blur.upto <= floor)
        self.blurs = [blur for blur in self.blurs if blur.upto > floor]

    def bury(self, head: int) -> None:
        """What was skipped and lies before rank `head` is removed: nobody can put a group back over
        it.
        """
        if any(upto <= head for _, upto in self.skips):
            self.certain += [each for each in self.skips if each[1] <= head]
            self.certain.sort()
            self.skips = [each for each in self.skips if each[1] > head]

    def compact(self, cap: int) -> None:
        """Keep at most `cap` intervals of each sort: the oldest two become one, wider and still
        sound.
        """
        while len(self.certain) > cap:
            (after, middle), (start, upto), *rest = self.certain
            self.certain = rest
            count = middle - after + upto - start
            self.possible.insert(0, Suspicion(after, upto, count, count))
        while len(self.possible) > cap:
            # why not across: an open one is still to be told apart from those before it
            first = int(self.possible[0].open != self.possible[1].open)
            one, two = self.possible[first : first + 2]
            ends = min(one.after, two.after), max(one.upto, two.upto)
            both = Suspicion(*ends, one.lo + two.lo, one.hi + two.hi, one.open)
            self.possible[first : first + 2] = [both]
        while len(self.skips) > cap:
            (start, end), *later = self.skips
            self.skips = later
            self.possible.insert(0, Suspicion(start, end, 0, end - start))
        self.drops = _compact(self.drops, cap)
        self.blurs = _compact(self.blurs, cap)

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return {
            "certain": [list(segment) for segment in self.certain],
            "possible": [[each.after, each.upto, each.lo, each.hi] for each in self.possible],
            "drops": [[drop.after, drop.upto, drop.count] for drop in self.drops],
            "past": [self.past.lo, self.past.hi, self.past_dropped, self.past_blurred],
            "open": [each.open for each in self.possible],
            "skips": [list(segment) for segment in self.skips],
            "blurs": [[blur.after, blur.upto, blur.count] for blur in self.blurs],
            "moved_from": list(self.moved_from) if self.moved_from else None,
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> Losses:
        """What `dump` gave; earlier versions knew neither skips nor blurs."""
        lo, hi, dropped, *blurred = document["past"]
        possible = document["possible"]
        marks = document.get("open", [False] * len(possible))
        moved_from = document.get("moved_from")
        return cls(
            [(after, upto) for after, upto in document["certain"]],
            [
                Suspicion(after, upto, least, most, mark)
                for (after, upto, least, most), mark in zip(possible, marks, strict=True)
            ],
            [Drop(*each) for each in document["drops"]],
            Bounds(lo, hi),
            dropped,
            [(after, upto) for after, upto in document.get("skips", ())],
            [Drop(*each) for each in document.get("blurs", ())],
            past_blurred=blurred[0] if blurred else 0,
            moved_from=(moved_from[0], moved_from[1]) if moved_from else None,
        )

    def _free(self, after: int, upto: int) -> int:
        """Ranks of (after, upto] that are not certainly lost."""
        sure = cover(self.certain, after, upto) + cover(self.skips, after, upto)
        return max(0, upto - after - sure)


def _count_in(drops: Sequence[Drop], after: int, upto: int) -> int:
    """At most so many of these lie in (after, upto]."""
    counts = (
        min(drop.count, max(0, min(drop.upto, upto) - max(drop.after, after))) for drop in drops
    )
    return min(upto - after, sum(counts))


def _compact(drops: list[Drop], cap: int) -> list[Drop]:
    while len(drops) > cap:
        first, second, *later = drops
        span = min(first.after, second.after), max(first.upto, second.upto)
        drops = [Drop(*span, first.count + second.count), *later]
    return drops


def _subtract(whole: Segment, parts: Sequence[Segment]) -> list[Segment]:
    """What is left of a segment without these."""
    left, start = [], whole[0]
    for after, upto in sorted(parts):
        if after > start:
            left.append((start, min(after, whole[1])))
        start = max(start, upto)
        if start >= whole[1]:
            break
    else:
        left.append((start, whole[1]))
    return [(after, upto) for after, upto in left if upto > after]
