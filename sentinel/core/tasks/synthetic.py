"""A synthetic task on its way through a platform: which hops it has passed, how it ended, and what
that proves.

Every task that was sent ends in exactly one outcome, so that at any instant sent = outcomes + open.
Instants are Unix seconds by the database's clock, and a hop's instant is a span (earliest, latest):
a point where a column tells it, else the time between the last look before it and the first one
after it. Late is what certainly was.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from sentinel.core.model import Histogram

CREATED, ASSIGNED, PUBLISHED, STARTED, COMPLETED = HOPS = (
    "created",
    "assigned",
    "published",
    "started",
    "completed",
)
RESULT, TOTAL = "result", "total"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SLACK = 1.0
"""A column's instant further than this outside of the task's life comes from another clock or time
zone.
"""
RECENT = 100
Span = tuple[float, float]


class TaskOutcome(StrEnum):
    """How a task ended. `orphan`: came through, its latency is not judged (sent before we were up,
    or we stalled).
    """

    OK = "ok"
    LATE = "late"
    STUCK = "stuck"
    LOST = "lost"
    FAILED = "failed"
    ENQUEUE_ERROR = "enqueue_error"
    ORPHAN = "orphan"


FAILURES = frozenset(TaskOutcome) - {TaskOutcome.OK, TaskOutcome.ORPHAN}
NEVER_DONE = FAILURES - {TaskOutcome.LATE}


@dataclass(frozen=True, slots=True)
class HopPlan:
    """What is watched: the deadline of each watched hop in seconds since the hop before it, in
    order; the statuses that say a hop was passed, lower case; those of a task that failed. After
    `patience` deadlines a hop is given up.
    """

    deadlines: Mapping[str, float]
    statuses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    patience: float = 4.0

    @property
    def hops(self) -> tuple[str, ...]:
        """Watched hops in order."""
        return tuple(hop for hop in HOPS if hop in self.deadlines)

    @property
    def endings(self) -> Iterator[tuple[TaskOutcome, str]]:
        """Every (outcome, hop) in which a task can end."""
        yield from (
            (TaskOutcome.OK, ""),
            (TaskOutcome.ORPHAN, ""),
            (TaskOutcome.ENQUEUE_ERROR, CREATED),
            (TaskOutcome.FAILED, RESULT),
        )
        for outcome in (TaskOutcome.LATE, TaskOutcome.STUCK, TaskOutcome.LOST, TaskOutcome.FAILED):
            yield from ((outcome, hop) for hop in self.hops)


@dataclass(frozen=True, slots=True)
class Canary:
    """One synthetic task. `token` is in its row and names it; `sent` is the instant before it was
    enqueued.

    `ours`: sent by this process; `confirmed`: the platform said that it took it; `looked`: the last
    look.
    """

    token: str
    sent: float
    looked: float
    id: str = ""
    ours: bool = True
    confirmed: bool = False
    seen: bool = False
    missing: int = 0
    skewed: bool = False
    reached: Mapping[str, Span] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        return asdict(self)

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Canary:
        """From what `dump` gave, in another life: its latency is not judged any more."""
        reached = {
            hop: (float(low), float(high)) for hop, (low, high) in document["reached"].items()
        }
        return cls(**{**document, "reached": reached, "ours": False})


@dataclass(frozen=True, slots=True)
class RowSight:
    """The task's row as read at `now`, and what the bus shows of it. `status` is lower case, ""
    without one.

    `right`: whether the result is as expected, None when there is none to expect. `hidden`: hops
    that can't be seen this time, which says nothing against them.
    """

    now: float
    spans: Mapping[str, Span]
    status: str = ""
    right: bool | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class End:
    """How a task ended, and at which hop; `blind`: it was late, and that may be our own fault."""

    outcome: TaskOutcome
    hop: str
    canary: Canary
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """How well it was watched: seconds since it was sent or taken over, without and in our own
    standstill.
    """

    seconds: float
    stalled: float = 0.0


def step(
    canary: Canary, sight: RowSight | None, plan: HopPlan, now: float, watch: Watch
) -> Canary | End:
    """What a look at the row (None: not there) makes of a task: a task still on its way, or its
    end.
    """
    if sight is None:
        return _absent(replace(canary, looked=now), plan, now, watch)
    canary = observe(canary, sight, plan)
    hop = next_hop(canary, plan, sight.hidden)
    if sight.status in plan.failed:
        return End(TaskOutcome.FAILED, hop or COMPLETED, canary)
    if COMPLETED in canary.reached:
        return _finished(canary, sight, plan, watch)
    waited = min(now - _since(canary), watch.seconds)
    if waited > plan.patience * _limit(canary, plan, hop):
        return End(TaskOutcome.STUCK, hop, canary)
    return replace(canary, looked=now)


def _absent(canary: Canary, plan: HopPlan, now: float, watch: Watch) -> Canary | End:
    """Two looks in a row must miss a row that was there; one that never came is waited for."""
    if canary.seen:
        missed = replace(canary, missing=canary.missing + 1)
        return (
            End(TaskOutcome.LOST, next_hop(canary, plan), missed) if missed.missing > 1 else missed
        )
    if min(now - canary.sent, watch.seconds) <= plan.patience * plan.deadlines[CREATED]:
        return canary
    return End(TaskOutcome.LOST if canary.confirmed else TaskOutcome.ENQUEUE_ERROR, CREATED, canary)


def _finished(canary: Canary, sight: RowSight, plan: HopPlan, watch: Watch) -> End:
    if sight.right is False:
        return End(TaskOutcome.FAILED, RESULT, canary)
    if not canary.ours:
        return End(TaskOutcome.ORPHAN, "", canary)
    late = [
        hop for hop, (low, _) in measure(canary, plan).items() if low > plan.deadlines.get(hop, low)
    ]
    if not late:
        return End(TaskOutcome.OK, "", canary)
    if watch.stalled > plan.deadlines[late[0]] / 4:
        return End(TaskOutcome.ORPHAN, "", canary, blind=True)
    return End(TaskOutcome.LATE, late[0], canary)


def observe(canary: Canary, sight: RowSight, plan: HopPlan) -> Canary:
    """Note which hops the row shows as passed, and when. What was noted before is kept."""
    reached, skewed = dict(canary.reached), canary.skewed
    earliest = canary.sent
    for hop in _passed(sight, plan):
        if hop not in reached:
            span = sight.spans.get(hop)
            foreign = span is not None and not _is_plausible(span, canary.sent, sight.now)
            skewed = skewed or foreign
            seen_by_status = bool(plan.statuses.get(hop)) or hop == CREATED
            unseen = (max(earliest, canary.looked) if seen_by_status else earliest, sight.now)
            reached[hop] = unseen if span is None or foreign else span
        earliest = reached[hop][0]
    return replace(
        canary,
        seen=True,
        missing=0,
        confirmed=True,
        reached=_narrowed(reached, plan),
        skewed=skewed,
    )


def _narrowed(reached: Mapping[str, Span], plan: HopPlan) -> dict[str, Span]:
    """A hop whose instant is not known was passed at the latest when the next one was."""
    narrowed, latest = {}, float("inf")
    for hop in reversed([hop for hop in plan.hops if hop in reached]):
        low, high = reached[hop]
        known = high if low == high else min(high, latest)
        narrowed[hop] = (
            min(low, known),
            known,
        )  # a change stamped before our look may be committed after it
        latest = known
    return dict(reversed(narrowed.items()))


def _is_plausible(span: Span, sent: float, now: float) -> bool:
    return sent - SLACK <= span[1] and span[0] <= now + SLACK


def _passed(sight: RowSight, plan: HopPlan) -> list[str]:
    """Watched hops that were passed: the furthest one that the row shows, and all before it.

    Where there are statuses, completion is what they say: a time alone may also be that of a
    failure.
    """
    furthest, trust_time = 0, not plan.statuses.get(COMPLETED)
    for place, hop in enumerate(plan.hops):
        by_status = sight.status in plan.statuses.get(hop, ())
        by_time = hop in sight.spans and (hop != COMPLETED or trust_time)
        if by_status or by_time:
            furthest = place
    return list(plan.hops[: furthest + 1])


def next_hop(canary: Canary, plan: HopPlan, hidden: frozenset[str] = frozenset()) -> str:
    """The hop that a task is waiting for: the first that was not passed and can be seen."""
    return next(
        (hop for hop in plan.hops if hop not in canary.reached and hop not in hidden), COMPLETED
    )


def _since(canary: Canary) -> float:
    """When the last hop was certainly passed; a passed hop of another clock has no instant later
    than it was seen.
    """
    return max((high for _, high in canary.reached.values()), default=canary.sent)


def _limit(canary: Canary, plan: HopPlan, hop: str) -> float:
    """Deadlines of the hops that were not passed, up to and with `hop`, seconds."""
    upto = plan.hops[: plan.hops.index(hop) + 1]
    return sum(plan.deadlines[each] for each in upto if each not in canary.reached)


def overdue(canary: Canary, plan: HopPlan, now: float, watch: Watch) -> str:
    """The hop whose deadline is over for a task on its way, "" when there is none. Only of one that
    we sent.
    """
    hop = next_hop(canary, plan)
    waited = min(now - _since(canary), watch.seconds)
    return hop if canary.ours and waited > _limit(canary, plan, hop) else ""


def measure(canary: Canary, plan: HopPlan) -> dict[str, Span]:
    """Seconds that each passed hop took, as a span, and `total` of a completed task. Times that go
    backwards (hops stamped by two clocks) measure nothing and are left out; `is_backwards`
    tells."""
    lasted, before = {}, (canary.sent, canary.sent)
    for hop in plan.hops:
        if hop in canary.reached:
            low, high = canary.reached[hop]
            lasted[hop] = (low - before[1], high - before[0])
            before = (low, high)
    if COMPLETED in canary.reached:
        low, high = canary.reached[COMPLETED]
        lasted[TOTAL] = (low - canary.sent, high - canary.sent)
    return {hop: (max(0.0, low), high) for hop, (low, high) in lasted.items() if high >= 0}


def is_backwards(canary: Canary, plan: HopPlan) -> bool:
    """Whether a hop was stamped before the hop before it, or by a clock that is none of this task's
    life.
    """
    return canary.skewed or len(measure(canary, plan)) < len(canary.reached) + (
        COMPLETED in canary.reached
    )


# --- what is remembered of all ------------------------------------------------------------------


class Lasting:
    """A growing histogram of seconds."""

    def __init__(self, document: Sequence[float] = ()) -> None:
        self._counts = [int(count) for count in document[:-1]] or [0] * (len(BOUNDS) + 1)
        self._sum = float(document[-1]) if document else 0.0

    def add(self, seconds: float) -> None:
        """Count one observation."""
        place = next((i for i, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self._counts[place] += 1
        self._sum += seconds

    def histogram(self) -> Histogram:
        """The frozen, cumulative value."""
        cumulative = [sum(self._counts[: place + 1]) for place in range(len(self._counts))]
        return Histogram(BOUNDS, tuple(cumulative[:-1]), cumulative[-1], self._sum)

    def dump(self) -> list[float]:
        """The JSON document that the constructor takes."""
        return [*self._counts, self._sum]


class WorkflowRecord:
    """Totals since sentinel began to watch, hop latencies, and the last ends. sent = ends + open,
    always.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        known = document or {}
        self.sent: int = known.get("sent", 0)
        self.blind: int = known.get("blind", 0)
        self.skewed: int = known.get("skewed", 0)
        self.ends: Counter[tuple[str, str]] = Counter(
            {(o, hop): n for o, hop, n in known.get("ends", ())}
        )
        self.recent: deque[tuple[str, str]] = deque(
            ((o, hop) for o, hop in known.get("recent", ())), RECENT
        )
        self.lasted = {hop: Lasting(document) for hop, document in known.get("lasted", {}).items()}

    def ended(self, end: End, plan: HopPlan) -> None:
        """Note an end. An orphan was not judged and is none of the recent ones."""
        self.ends[end.outcome.value, end.hop] += 1
        self.blind += end.blind
        self.skewed += is_backwards(end.canary, plan)
        if end.outcome is not TaskOutcome.ORPHAN:
            self.recent.append((end.outcome.value, end.hop))
            for hop, (_, seconds) in measure(end.canary, plan).items() if end.canary.ours else ():
                self.lasted.setdefault(hop, Lasting()).add(seconds)

    def total(self, outcome: TaskOutcome) -> int:
        """Tasks that ended so, at whatever hop."""
        return sum(count for (name, _), count in self.ends.items() if name == outcome)

    def dump(self) -> dict[str, Any]:
        """The JSON document that the constructor takes."""
        return {
            "sent": self.sent,
            "blind": self.blind,
            "skewed": self.skewed,
            "ends": [[outcome, hop, count] for (outcome, hop), count in self.ends.items()],
            "recent": [list(end) for end in self.recent],
            "lasted": {hop: lasting.dump() for hop, lasting in self.lasted.items()},
        }
