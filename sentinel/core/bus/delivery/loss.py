"""What a group may have lost: ranks that certainly went unread, ranks that possibly did, dropped
deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.bus.delivery.stream import NOTHING
from sentinel.core.quantity import Bounds

Segment = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Of the ranks (after, upto], outside the certain losses, at least `lo` and at most `hi` were
    lost.
    """

    after: int
    upto: int
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Drop:
    """At most `count` of the delivered ranks (after, upto] left the pending list without an
    acknowledgement.
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

    Ranks older than every open cohort are folded into `past` and `past_dropped`, which bounds the
    memory.
    """

    certain: list[Segment] = field(default_factory=list)
    possible: list[Suspicion] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    past: Bounds = NOTHING
    past_dropped: int = 0

    def __bool__(self) -> bool:
        """Whether anything is noted that is not yet past."""
        return bool(self.certain or self.possible or self.drops)

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

    def add_possible(self, after: int, upto: int, lo: int, hi: int) -> Bounds:
        """Note ranks of which some may have been removed unread, at most `hi`; gives what was
        added.
        """
        free = self._free(after, upto)
        lo, hi = min(lo, free), min(hi, free)
        if hi <= 0:
            return Bounds(0, 0)
        self.possible.append(Suspicion(after, upto, lo, hi))
        return Bounds(lo, hi)

    def add_drop(self, after: int, upto: int, count: int) -> None:
        """Note deliveries that may have been dropped from the pending list."""
        count = min(count, upto - after)
        if count > 0:
            self.drops.append(Drop(after, upto, count))

    def total(self) -> Bounds:
        """Everything lost in this life of the stream."""
        if not (self.certain or self.possible):
            return self.past
        sure = sum(upto - after for after, upto in self.certain)
        lo = sure + sum(each.lo for each in self.possible)
        hi = sure + sum(min(each.hi, self._free(each.after, each.upto)) for each in self.possible)
        return self.past + Bounds(lo, max(lo, hi))

    def dropped(self) -> int:
        """At most so many deliveries were dropped in this life of the stream."""
        return self.past_dropped + sum(drop.count for drop in self.drops)

    def lost_in(self, after: int, upto: int) -> Bounds:
        """Lost of the ranks (after, upto]."""
        if not (self.certain or self.possible):
            return NOTHING
        sure = cover(self.certain, after, upto)
        lo = hi = sure
        for each in self.possible:
            inside = self._free(max(each.after, after), min(each.upto, upto))
            lo += max(0, each.lo - (self._free(each.after, each.upto) - inside))
            hi += min(each.hi, inside)
        return Bounds(lo, hi).clip(0, upto - after)

    def dropped_in(self, after: int, upto: int) -> int:
        """At most so many of the ranks (after, upto] were dropped."""
        counts = (
            min(drop.count, max(0, min(drop.upto, upto) - max(drop.after, after)))
            for drop in self.drops
        )
        return min(upto - after, sum(counts))

    def prune(self, floor: int) -> None:
        """Fold everything up to rank `floor` into the totals: no open cohort reaches so far back."""
        if not self:
            return
        for each in self.possible:
            if each.upto <= floor:
                self.past += Bounds(
                    each.lo, max(each.lo, min(each.hi, self._free(each.after, each.upto)))
                )
        self.possible = [each for each in self.possible if each.upto > floor]
        done = sum(upto - after for after, upto in self.certain if upto <= floor)
        self.past += Bounds(done, done)
        self.certain = [(after, upto) for after, upto in self.certain if upto > floor]
        self.past_dropped += sum(drop.count for drop in self.drops if drop.upto <= floor)
        self.drops = [drop for drop in self.drops if drop.upto > floor]

    def compact(self, cap: int) -> None:
        """Keep at most `cap` intervals of each sort: the oldest two become one, wider and still
        sound.
        """
        while len(self.certain) > cap:
            (after, middle), (start, upto), *rest = self.certain
            self.certain = rest
            self.possible.insert(0, Suspicion(after, upto, *[middle - after + upto - start] * 2))
        while len(self.possible) > cap:
            one, two, *others = self.possible
            ends = min(one.after, two.after), max(one.upto, two.upto)
            self.possible = [Suspicion(*ends, one.lo + two.lo, one.hi + two.hi), *others]
        while len(self.drops) > cap:
            first, second, *later = self.drops
            span = min(first.after, second.after), max(first.upto, second.upto)
            self.drops = [Drop(*span, first.count + second.count), *later]

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return {
            "certain": [list(segment) for segment in self.certain],
            "possible": [[each.after, each.upto, each.lo, each.hi] for each in self.possible],
            "drops": [[drop.after, drop.upto, drop.count] for drop in self.drops],
            "past": [self.past.lo, self.past.hi, self.past_dropped],
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> Losses:
        """What `dump` gave."""
        lo, hi, dropped = document["past"]
        return cls(
            [(after, upto) for after, upto in document["certain"]],
            [Suspicion(*each) for each in document["possible"]],
            [Drop(*each) for each in document["drops"]],
            Bounds(lo, hi),
            dropped,
        )

    def _free(self, after: int, upto: int) -> int:
        """Ranks of (after, upto] that are not certainly lost."""
        return max(0, upto - after - cover(self.certain, after, upto))
