"""A position that moves forward without reads: what it goes over is not delivered (measurement.md
§11.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.core.bus.delivery.step import SnapshotStep
from sentinel.core.bus.delivery.stream import ZERO, GroupView, Id
from sentinel.core.quantity import Bounds


@dataclass(frozen=True, slots=True)
class Skip:
    """A group went over the ranks (after, upto], at least `lo` of them unread.

    `certain`: over all of them; `counted`: entries-read will tell how many; `told`: there is a sign
    beside the doubt. `start` and `end` are the positions.
    """

    after: int
    upto: int
    start: Id
    end: Id
    lo: int = 0
    certain: bool = False
    counted: bool = False
    told: bool = False
    returned: bool = False
    """It is none: the group was put back over all that it had been moved over."""

    def covers(self, position: Bounds) -> bool:
        """Whether nothing up to there is known to have been delivered."""
        return not self.counted and self.upto >= position.hi

    @property
    def count(self) -> Bounds:
        """How many were not read."""
        span = self.upto - self.after
        return Bounds(span if self.certain else self.lo, span)


def judge_overshoot(step: SnapshotStep, before: GroupView) -> Skip | None:
    """Entries that came up to a position beyond the last one: nobody can read them in turn."""
    position, view = before.last_delivered, step.view
    start = step.before.added
    if position <= step.before.last or view.added <= start:
        return None
    rank = step.rank(position)
    doubtful = step.in_doubt or step.forced
    return Skip(
        start,
        rank.hi,
        step.before.last,
        min(position, view.last),
        lo=0 if doubtful else max(0, rank.lo - start),
        certain=rank.exact and not doubtful,
        counted=not doubtful,
        told=rank.hi > start,
    )


def judge_jump(
    step: SnapshotStep,
    now: GroupView,
    before: GroupView,
    start: Bounds,
    end: Bounds,
    counted: bool,
) -> Skip | None:
    """A move forward that need not be one of reads, from rank `start` to `end`; None where it can't
    be anything else. `counted`: entries-read counts deliveries all along.
    """
    if not (step.in_doubt or step.forced or before.missing) or end.hi <= start.lo:
        return None
    idle = find_idle(step, now, before)
    certain = idle and not step.forced and start.exact and end.exact
    return Skip(
        start.lo,
        end.hi,
        before.last_delivered,
        now.last_delivered,
        certain=certain,
        counted=counted and not (step.in_doubt or before.missing),
        told=idle or _is_unread(step, now, before),
    )


def find_idle(step: SnapshotStep, now: GroupView, before: GroupView) -> bool:
    """Whether nobody can have read: who reads is a consumer from then on."""
    return not (before.consumers or now.consumers or step.deleted)


def _is_unread(step: SnapshotStep, now: GroupView, before: GroupView) -> bool:
    """Whether the last move was none of a read: entries-read is nil where a read would have set it,
    or nobody read anything on this server.
    """
    if step.view.reads == step.before.reads and now.pending <= before.pending:
        return True
    silent = step.view.legacy or step.view.max_deleted != ZERO or step.anew
    if silent or now.entries_read is not None:
        return False
    return before.entries_read is not None or now.last_delivered == step.view.last


def begins_at_end(step: SnapshotStep, now: GroupView) -> bool:
    """Whether a group that is seen for the first time owes nothing yet: made at `$`, and nobody has
    read in it.

    Who reads is a consumer, and gets entries-read where the server has such a number.
    """
    view = step.view
    # why `>=`: SETID may have moved it beyond the last entry
    if now.last_delivered < view.end or now.pending or step.moved:
        return False
    unread = not view.legacy and now.entries_read is None and view.max_deleted == ZERO
    return unread or not (now.consumers or step.deleted)
