"""Cohorts: what was published between two snapshots, the questions a due one raises, and how it
settled.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentinel.core.bus.delivery.group import DELIVERY_OUTCOMES, OUTCOMES
from sentinel.core.bus.delivery.stream import ZERO, Anchor, Id
from sentinel.core.quantity import Bounds

DELIVER = "deliver"
ACK = "ack"
STAGES = (DELIVER, ACK)
Open = frozenset[tuple[str, str]]
_NOBODY: Open = frozenset()
_OUTCOMES = {DELIVER: DELIVERY_OUTCOMES, ACK: OUTCOMES}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after publishing by which an entry must be delivered to, and acknowledged by, each
    group.
    """

    deliver: float
    ack: float

    def of(self, stage: str) -> float:
        """Deadline of a stage in seconds."""
        return self.deliver if stage == DELIVER else self.ack


@dataclass(frozen=True, slots=True)
class Cohort:
    """Everything published in (start, end], until every (group, stage) of `open` is settled.

    `unseen`: at most so many more entries were published in it (Redis 6.2).
    """

    start: Anchor
    end: Anchor
    open: Open
    unseen: int = 0

    @property
    def size(self) -> int:
        """The exact number of entries published."""
        return self.end.rank - self.start.rank

    def dump(self) -> list[Any]:
        """JSON-able document."""
        ends = [self.start.dump(), self.end.dump()]
        return [
            *ends,
            sorted(list(pair) for pair in self.open),
            *([self.unseen] if self.unseen else []),
        ]

    @classmethod
    def load(cls, document: Sequence[Any]) -> Cohort:
        """What `dump` gave."""
        start, end = map(Anchor.load, document[:2])
        return cls(
            start, end, frozenset((group, stage) for group, stage in document[2]), *document[3:]
        )


@dataclass(frozen=True, slots=True)
class Due:
    """One cohort to be settled for one group at one stage."""

    cohort: Cohort
    group: str
    stage: str


@dataclass(frozen=True, slots=True)
class Question:
    """Ids the server must list, at most `cap`: `pending` of a group or `live`, in (after, upto];
    upto None: no end.
    """

    kind: str
    group: str
    after: Id
    upto: Id | None
    cap: int

    @property
    def counts(self) -> bool:
        """Whether the answer is a number of the account, so that it must come with its snapshot."""
        return self.upto is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """The listed ids. Full when the list reached the cap: there may be more."""

    ids: tuple[Id, ...]
    full: bool

    def count(self, limit: int, after: Id = ZERO, upto: Id | None = None) -> Bounds:
        """How many lie in (after, upto]; at most `limit` when the list was cut off."""
        found = sum(1 for entry in self.ids if entry > after and (upto is None or entry <= upto))
        return (
            Bounds(min(found, limit), limit)
            if self.full
            else Bounds(min(found, limit), min(found, limit))
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """A cohort judged once for one group and stage. The truth of each figure lies in its bounds.

    `good` is acked (stage ack) or delivered (stage deliver); `outcomes` sums up to `size` and
    `unseen`: at most so many more entries were published, with any fate. `shared`: so many are
    among more than one of the upper ends.
    """

    group: str
    stage: str
    start: Id
    end: Id
    size: int
    waiting: Bounds
    pending: Bounds
    lost: Bounds
    dropped: int
    unseen: int = 0
    shared: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything is certainly good."""
        return not (
            self.waiting.hi or self.lost.hi or self.pending.hi or self.dropped or self.unseen
        )

    @property
    def good(self) -> Bounds:
        """Acknowledged by the deadline; at stage deliver: delivered."""
        if self.clean:
            return Bounds(self.size, self.size)
        if self.stage == DELIVER:
            return self._left(self.waiting, self.lost, Bounds(0, -self.shared))
        apart = Bounds(0, self.dropped - self.shared)
        return self._left(self.waiting, self.lost, self.pending, apart)

    def _left(self, *bad: Bounds) -> Bounds:
        lo = hi = self.size
        for each in bad:
            lo, hi = lo - each.hi, hi - each.lo
        return Bounds(max(0, lo), max(0, hi) + self.unseen)

    @property
    def outcomes(self) -> dict[str, int]:
        """What is certain per outcome of this stage, the rest is uncertain."""
        names = _OUTCOMES[self.stage]
        counts = dict.fromkeys(names, 0)
        sure = {names[0]: self.good.lo, "waiting": self.waiting.lo, "lost": self.lost.lo}
        if self.stage == ACK:
            sure = {"acked": self.good.lo, "pending": self.pending.lo, **sure}
        left = self.size
        for outcome, count in sure.items():
            counts[outcome] = min(count, left)
            left -= counts[outcome]
        counts["uncertain"] = left + self.unseen
        return counts


def merge_cohorts(cohorts: list[Cohort], cap: int) -> list[Cohort]:
    """At most `cap` cohorts where possible: the two neighbours that are shortest in time become
    one.

    Sound: the merged cohort is judged when its younger half is due; only the blur of the deadline
    grows.
    """
    while len(cohorts) > cap:
        pairs = [n for n in range(len(cohorts) - 1) if _mergeable(cohorts[n], cohorts[n + 1])]
        if not pairs:
            return cohorts
        shortest = min(pairs, key=lambda n: cohorts[n + 1].end.at - cohorts[n].start.at)
        first, second = cohorts[shortest : shortest + 2]
        merged = replace(second, start=first.start, unseen=first.unseen + second.unseen)
        cohorts = [*cohorts[:shortest], merged, *cohorts[shortest + 2 :]]
    return cohorts


def _mergeable(first: Cohort, second: Cohort) -> bool:
    return first.open == second.open and first.end.rank == second.start.rank


def list_open(cohorts: Iterable[Cohort], groups: Container[str]) -> list[Due]:
    """Everything that is not settled yet for these groups."""
    found = []
    for cohort in cohorts:
        mine = (pair for pair in sorted(cohort.open) if pair[0] in groups)
        found += [Due(cohort, name, stage) for name, stage in mine]
    return found


def list_ripe(cohorts: Sequence[Cohort], deadlines: Deadlines, now: float) -> list[Due]:
    """What has passed its deadline, of cohorts in the order of their age; `now` in seconds."""
    # why the first one tells: cohorts are in the order of their age
    if not cohorts or now - cohorts[0].end.at < min(deadlines.deliver, deadlines.ack):
        return []
    return [each for cohort in cohorts for each in _list_ripe_of(cohort, deadlines, now)]


def _list_ripe_of(cohort: Cohort, deadlines: Deadlines, now: float) -> list[Due]:
    """Stages whose deadline has passed for the youngest entry of the cohort."""
    age = now - cohort.end.at
    # why `>=`: at the deadline an entry is late
    ripe = (pair for pair in sorted(cohort.open) if age >= deadlines.of(pair[1]))
    return [Due(cohort, group, stage) for group, stage in ripe]


def forget_settled(cohorts: list[Cohort], done: Sequence[Due]) -> list[Cohort]:
    """What is settled is not open any more; a cohort with nothing open is let go."""
    gone: dict[int, set[tuple[str, str]]] = {}
    for each in done:
        gone.setdefault(id(each.cohort), set()).add((each.group, each.stage))
    if not gone:
        return cohorts
    kept = []
    for cohort in cohorts:
        left = cohort.open - gone.get(id(cohort), _NOBODY)
        if left:
            # the same object where nothing was settled: `settle` knows cohorts by identity
            same = len(left) == len(cohort.open)
            kept.append(cohort if same else replace(cohort, open=left))
    return kept
