"""The account of one consumer group on one stream (measurement.md §1.4–1.6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel.core.bus.delivery.balance import NO_BALANCE, Account, list_account
from sentinel.core.bus.delivery.jump import Skip, find_idle, judge_jump, judge_overshoot
from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.reads import ReadCount
from sentinel.core.bus.delivery.step import SnapshotStep
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    ZERO,
    Anchor,
    Capability,
    GroupView,
    Id,
    StreamView,
    bound_waiting,
    point,
)
from sentinel.core.quantity import Bounds

OUTCOMES: tuple[str, ...] = ("acked", "pending", "waiting", "lost", "dropped", "uncertain")
DELIVERY_OUTCOMES: tuple[str, ...] = ("delivered", "waiting", "lost", "uncertain")


@dataclass(slots=True)
class GroupAccount:
    """Cumulative account of one group. `base` is where its watch begins: older entries are history,
    not ours.

    `position` bounds the rank of the last delivered entry, `high` is the furthest the group ever
    got.
    `closed` carries the sums of earlier lives; `counted` are the exported loss totals, which never
    go back.
    `settled` counts by outcome at the deadline to acknowledge, `reached` at the one to deliver.
    """

    base: Anchor
    position: Bounds
    delivered: Id = ZERO
    high: Id = ZERO
    high_rank: Bounds = NOTHING
    waiting: Bounds = NOTHING
    pending: Bounds = NOTHING
    reads: ReadCount = field(default_factory=ReadCount)
    losses: Losses = field(default_factory=Losses)
    closed: Account = NO_BALANCE
    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    reached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DELIVERY_OUTCOMES, 0))
    counted: tuple[int, int, int] = (0, 0, 0)
    fresh: bool = True
    gone: bool = False
    oldest_waiting: Id | None = None
    ended: float = 0.0
    asked_history: bool = False
    replayed: bool = False
    """Some of the pending entries may wait as well: SETID put the group back over them, or XCLAIM
    with FORCE delivered them before their turn.
    """
    unseen: int = 0
    doubt: int = 0
    """Up to this rank entries may have been read unseen, before the group was put back or made
    anew.
    """
    returned: bool = False
    """It was known in an earlier life of the stream: all of this life is owed to it."""
    overlap: Bounds | None = None
    """So many entries are known to pend and to wait."""
    stood: Id = ZERO
    """Where it stood when it was there last, while it is missing."""

    @classmethod
    def begin(cls, base: Anchor) -> GroupAccount:
        """A group whose watch begins at `base`."""
        return cls(base, point(base.rank), high_rank=point(base.rank))

    # -- one snapshot -----------------------------------------------------------------------------

    def observe(self, step: SnapshotStep, now: GroupView, before: GroupView | None) -> Skip | None:
        """Take a snapshot in: losses since the last one, then where the group stands. Gives what it
        was moved over unread.
        """
        self.unseen += step.view.unseen
        if not self.reads.keeps_on(step, now, before):
            self.reads.begin_anew(self.losses)
        position = self._find_position(step, now)
        high_before, read_before = self.high_rank.clip(self.base.rank, step.view.added), self.high
        moved_from = self.position
        if now.last_delivered >= self.high:
            self.high, self.high_rank = now.last_delivered, position
        if before is not None:
            self._note_put_back(step, now, before)
        skip = self._note_jump(step, now, before, moved_from, position)
        found = self._find_losses(step, now, high_before, read_before, before)
        if found == NOTHING and skip is None:
            position = self.reads.find_position(step, now, position, self.losses)
        moved = position if skip is None or not skip.covers(position) else high_before
        upto = max(high_before.hi, moved.hi)
        if before is not None and step.deleted and self._was_put_back(step, now, before):
            upto = step.view.added  # a group that was destroyed takes with it what it read unseen
        self._note_drops(step, now, before, high_before, upto)
        self._place(step, now, position)
        self.reads.take(step.view, now, step.capability, self)
        self.losses.bury(step.gap.lo)
        if self.fresh:
            # what may have gone before the group was there is no certain loss of its, ever
            self.doubt = max(self.doubt, step.gap.hi)
        self.fresh = False
        return self._tell_move(skip, now, before)

    def _tell_move(
        self, skip: Skip | None, now: GroupView, before: GroupView | None
    ) -> Skip | None:
        """What people are told: that the group was moved over unread entries, or put back."""
        moved_from = self.losses.moved_from
        if skip is not None and skip.told:
            self.losses.moved_from = min(skip.start, moved_from or skip.start)
            return skip
        if before is None or moved_from is None or now.last_delivered > moved_from:
            return None
        self.losses.moved_from = None
        return Skip(0, 0, now.last_delivered, before.last_delivered, told=True, returned=True)

    def follow(self, step: SnapshotStep, now: GroupView, before: GroupView) -> bool:
        """Take a plain snapshot in: nothing can have been lost or dropped, so that those figures
        are as before. False when it is none.
        """
        if not self._is_plain(step, now, before):
            return False
        self.unseen += step.view.unseen
        if not self.reads.keeps_on(step, now, before):
            self.reads.begin_anew(self.losses)
        self._follow(step, now)
        return True

    def _is_plain(self, step: SnapshotStep, now: GroupView, before: GroupView) -> bool:
        """Whether the group has read everything, or rests where its rank is known, and nothing
        unread or pending can have vanished: the rules of `observe` then come down to `_follow`.
        """
        view, high = step.view, self.high
        if (
            not step.quiet
            or now.consumers < before.consumers
            or self.fresh
            or self.delivered != high
            or high > step.before.last
        ):
            return False
        if (
            not view.length
            or view.first > high
            or view.max_deleted > high
            or now.last_delivered < high
        ):
            return False
        return now.last_delivered >= view.end or (
            now.last_delivered == high and self.position.exact
        )

    def _follow(self, step: SnapshotStep, now: GroupView) -> None:
        """Take a plain snapshot in."""
        view, delivered = step.view, now.last_delivered
        if delivered >= view.end:
            self.position, self.waiting = point(view.added), NOTHING
        else:
            self.waiting = bound_waiting(view, now, self.position, step.capability)
        self._find_oldest(step, now)
        self.delivered = self.high = delivered
        self.high_rank = self.position
        self.replayed = self.replayed and bool(self.waiting.hi and now.pending)
        self.overlap = None
        self.pending = self._bound_pending(view, now) if now.pending else NOTHING
        self.asked_history = not self.pending.exact
        self.reads.take(view, now, step.capability, self)

    def _find_position(self, step: SnapshotStep, now: GroupView) -> Bounds:
        found = step.rank(now.last_delivered)
        resting = not self.fresh and now.last_delivered == self.delivered
        # why `<=`: beyond the last entry the rank grows with what comes up to there
        if resting and self.delivered <= step.before.last:
            found = found.meet(self.position)
        view = step.view
        ahead_intact = (
            view.length > 0
            and view.first <= now.last_delivered
            and (view.max_deleted <= now.last_delivered)
        )
        if step.capability.lag_exact and now.lag is not None and ahead_intact:
            found = found.meet(point(view.added - now.lag))
        return found

    def _note_put_back(self, step: SnapshotStep, now: GroupView, before: GroupView) -> None:
        """What may be read anew, or read at last (measurement.md §11.4)."""
        if self._was_put_back(step, now, before):
            self.doubt = step.view.added
        elif not step.in_doubt or find_idle(step, now, before):
            return
        self.losses.put_back(0, step.gap_before.lo)

    @staticmethod
    def _was_put_back(step: SnapshotStep, now: GroupView, before: GroupView) -> bool:
        """Whether the group reads anew what it may have read since the last snapshot: SETID, or
        another group.

        Redis 6.2 does not tell that the stream is another one, with another group, when nothing old
        is left in it.
        """
        if now.last_delivered < before.last_delivered:
            return True
        replaced = not step.view.length or step.view.first > step.before.last
        return step.view.legacy and replaced and step.in_doubt

    def _note_jump(
        self,
        step: SnapshotStep,
        now: GroupView,
        before: GroupView | None,
        moved_from: Bounds,
        position: Bounds,
    ) -> Skip | None:
        """What the group went over, and reads need not explain (measurement.md §11.2, §11.3)."""
        if before is None:
            self.losses.add_blur(self.base.rank, max(self.base.rank, position.hi))
            return None
        skip = judge_overshoot(step, before)
        if skip is None and now.last_delivered > before.last_delivered:
            counted = self.reads.surplus is not None
            skip = judge_jump(step, now, before, moved_from, position, counted)
        if skip is None:
            return None
        # what was before the head at the last look was told lost then, if it was
        floor = max(self.base.rank, step.gap_before.lo)
        after, upto = max(skip.after, floor), max(skip.upto, floor)
        if skip.certain:
            self.reads.note_certain(self.losses.add_skip(after, upto))
        elif skip.counted:
            self.losses.add_possible(
                after, upto, skip.lo, upto - after, counted=self.reads.surplus is not None
            )
        else:
            self.losses.add_blur(after, upto)
        return skip

    def _find_losses(
        self,
        step: SnapshotStep,
        now: GroupView,
        high_before: Bounds,
        read_before: Id,
        before: GroupView | None,
    ) -> Bounds:
        """Losses of this step (measurement.md §1.5)."""
        sure_after = max(self.high_rank.hi, self.base.rank, step.gap_before.lo, self.doubt)
        certain = least = 0
        pending = self._count_early(step, now, before)
        if pending:
            self.reads.begin_anew(self.losses)
        if self._is_sure(step, now, before):
            if pending:
                least = max(0, step.gap.lo - sure_after - pending)
            else:
                certain = self.losses.add_certain(sure_after, step.gap.lo)
        self.reads.note_certain(certain)
        removed = step.view.removed - step.before.removed
        if step.gap_before.exact and not step.before.has_holes:
            removed -= certain
        after, upto = self.find_suspects(step, high_before, read_before)
        after = self.losses.skip_blur(after)
        counted = self.reads.surplus is not None
        maybe = self.losses.add_possible(after, upto, least, removed, counted=counted)
        return point(certain) + maybe

    def _count_early(self, step: SnapshotStep, now: GroupView, before: GroupView | None) -> int:
        """At most so many of what waits was delivered before its turn: removed, it is not lost."""
        if before is None or not (before.pending or now.pending):
            return 0
        if step.forced:
            return step.view.added
        return before.pending if self.replayed else 0

    def _is_sure(self, step: SnapshotStep, now: GroupView, before: GroupView | None) -> bool:
        """Whether what is removed behind the position was not read before by a group of that name:
        one that was missed, or is of an earlier life, was made once in this one.
        """
        if before is None:
            return self.returned and not step.moved and now.last_delivered <= self.base.id
        return not (step.moved if before.missing else step.in_doubt)

    def find_suspects(
        self, step: SnapshotStep, high_before: Bounds, read_before: Id
    ) -> tuple[int, int]:
        """Ranks (after, upto] that were undelivered at the last snapshot and may be gone at this
        one.
        """
        view = step.view
        after = max(high_before.lo, self.base.rank, step.gap_before.lo)
        upto = 0
        if not view.length or view.first > read_before:
            upto = step.gap.hi
        if view.max_deleted > read_before:
            upto = max(upto, step.rank(view.max_deleted).hi)
        return after, upto

    def _note_drops(
        self,
        step: SnapshotStep,
        now: GroupView,
        before: GroupView | None,
        high_before: Bounds,
        upto: int,
    ) -> None:
        """Deliveries that a DELCONSUMER or a claim of removed entries may have dropped
        (measurement.md §1.6), up to rank `upto`.
        """
        if before is None:
            return
        after = self._find_oldest_open(step, before, high_before)
        count = before.pending + max(0, upto - high_before.lo)
        if step.deleted or step.in_doubt or now.consumers < before.consumers:
            self.losses.add_drop(after, upto, count)
        elif step.view.claims != step.before.claims:
            reach = max(step.gap.hi, step.rank(step.view.max_deleted).hi)
            self.losses.add_drop(after, min(upto, reach), count)

    def _find_oldest_open(self, step: SnapshotStep, before: GroupView, high_before: Bounds) -> int:
        """No entry up to this rank was in the pending list between the two snapshots."""
        if not before.pending:
            return max(self.base.rank, high_before.lo)
        if before.oldest_pending is None:
            return self.base.rank
        return max(self.base.rank, min(high_before.lo, step.rank(before.oldest_pending).lo - 1))

    def _find_oldest(self, step: SnapshotStep, now: GroupView) -> None:
        """Which entry waits longest, before the position of this snapshot is taken in."""
        known, stood, waiting = self.oldest_waiting, self.delivered, self.waiting
        if not waiting.hi:
            self.oldest_waiting = None
        elif waiting.lo == waiting.hi == 1 and step.view.last_lives:
            self.oldest_waiting = step.view.end  # it is there, and behind every position
        else:
            self.oldest_waiting = step.find_oldest(now.last_delivered, known, stood)

    def _place(self, step: SnapshotStep, now: GroupView, position: Bounds) -> None:
        self.waiting = bound_waiting(step.view, now, position, step.capability)
        self._find_oldest(step, now)
        self.delivered, self.position = now.last_delivered, position
        if now.last_delivered == self.high:
            self.high_rank = position
        touched = step.deleted or step.in_doubt or step.forced
        moved = now.last_delivered < self.high or touched
        self.replayed = (self.replayed or moved) and bool(self.waiting.hi and now.pending)
        self.overlap = None
        self.pending = self._bound_pending(step.view, now)
        self.asked_history = not self.pending.exact

    def _bound_pending(self, view: StreamView, now: GroupView) -> Bounds:
        """Pending entries of ours: those from before the watch began don't count, nor those that
        wait once more.
        """
        ours = now.oldest_pending is not None and now.oldest_pending > self.base.id
        if not now.pending or not self.base.rank or ours:
            return self._without_replayed(now.pending)
        return Bounds(0, min(now.pending, max(0, view.added - self.base.rank)))

    def _without_replayed(self, pending: int) -> Bounds:
        if not self.replayed:
            return point(pending)
        twice = Bounds(0, self.waiting.hi) if self.overlap is None else self.overlap
        return Bounds(max(0, pending - twice.hi), max(0, pending - twice.lo))

    # -- answers that were asked for --------------------------------------------------------------

    def learn_position(
        self, position: Bounds, view: StreamView, now: GroupView, capability: Capability
    ) -> None:
        """Take in a rank that was counted on demand."""
        self.position = self.position.meet(position)
        if self.delivered == self.high:
            self.high_rank = self.position
        self.waiting = bound_waiting(view, now, self.position, capability)
        self.reads.take(view, now, capability, self)

    def learn_history(self, count: int, pending: int) -> None:
        """Take in how many of the pending entries are older than the watch."""
        self.pending = self.pending.meet(self._without_replayed(max(0, pending - count)))

    def learn_overlap(self, twice: Bounds, view: StreamView, now: GroupView) -> None:
        """Take in how many of the pending entries wait as well."""
        self.overlap = twice
        self.replayed = twice.hi > 0
        self.pending = self.pending.meet(self._bound_pending(view, now))

    # -- the account ------------------------------------------------------------------------------

    def settle_account(self, view: StreamView, gap: Bounds) -> Account:
        """The account at this snapshot, with the sums of earlier lives."""
        closed = self.closed
        if self.gone:
            return closed
        return Account(
            closed.published + view.added - self.base.rank,
            self._bound_waiting_ours(view, gap),
            self.pending,
            closed.lost + self.losses.total(),
            closed.dropped + self.losses.dropped(),
            self.unseen,
            closed.unaccounted,
        ).blur(self.losses.blurred())

    def _bound_waiting_ours(self, view: StreamView, gap: Bounds) -> Bounds:
        if self.delivered >= self.base.id or not self.base.rank:
            return self.waiting
        if not view.has_holes:
            return point(view.added - max(self.base.rank, min(gap.hi, view.added)))
        lo = self.waiting.lo - (self.base.rank - self.position.lo)
        return Bounds(max(0, lo), max(0, min(self.waiting.hi, view.added - self.base.rank)))

    def close(
        self, view: StreamView, gap: Bounds, *, missing: bool = False, unread: bool = False
    ) -> None:
        """End this life: what waits or pends may be lost, dropped or still acknowledged unseen.

        The group was there until now, unless it was `missing`; `unread`: nobody can have read what
        waited for it, that is lost.
        """
        account = self.settle_account(view, gap)
        sure = account.waiting.lo if unread else 0
        lost = Bounds(account.lost.lo + sure, account.lost.hi + account.waiting.hi)
        # why: whoever was there may have read what waited, and went with it
        read = 0 if missing else account.waiting.hi
        dropped = account.dropped + account.pending.hi + read
        unaccounted = account.unaccounted + read
        self.closed = Account(
            account.published, NOTHING, NOTHING, lost, dropped, self.unseen, unaccounted
        )
        self.losses = Losses()
        self.waiting = self.pending = NOTHING
        self.reads = ReadCount()
        self.gone, self.ended = True, self.ended if missing else view.now

    def reopen(self, base: Anchor) -> None:
        """Begin another life at `base`; the sums go on."""
        self.base, self.position, self.high_rank = base, point(base.rank), point(base.rank)
        self.delivered = self.high = ZERO
        self.fresh, self.gone, self.replayed, self.doubt = True, False, False, 0
        self.returned, self.overlap, self.stood = False, None, ZERO

    def list_figures(self, view: StreamView, gap: Bounds) -> tuple[int, ...]:
        """The account as numbers: published, dropped, both ends of waiting, pending and lost,
        unseen, unaccounted.
        """
        if self.gone or not self.losses.spotless:
            return list_account(self.settle_account(view, gap))
        closed, waiting, pending = self.closed, self.waiting, self.pending
        if self.delivered < self.base.id:
            waiting = self._bound_waiting_ours(view, gap)
        return (
            closed.published + view.added - self.base.rank,
            closed.dropped,
            waiting.lo,
            waiting.hi,
            pending.lo,
            pending.hi,
            closed.lost.lo,
            closed.lost.hi,
            self.unseen,
            closed.unaccounted,
        )

    def count_up(self, account: Account) -> None:
        """Raise the exported totals (lost, lost uncertain, dropped): they never go back."""
        now = (account.lost.lo, account.lost.hi - account.lost.lo + account.unseen, account.dropped)
        self.counted = (
            max(self.counted[0], now[0]),
            max(self.counted[1], now[1]),
            max(self.counted[2], now[2]),
        )
