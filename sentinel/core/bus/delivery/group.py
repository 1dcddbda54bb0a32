"""The account of one consumer group on one stream (measurement.md §1.4–1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    ZERO,
    Anchor,
    Capability,
    GroupView,
    Id,
    StreamView,
    bound_rank,
    bound_waiting,
    format_id,
    parse_id,
    point,
)
from sentinel.core.quantity import Bounds

OUTCOMES = ("acked", "pending", "waiting", "lost", "dropped", "uncertain")
DELIVERY_OUTCOMES = ("delivered", "waiting", "lost", "uncertain")


@dataclass(frozen=True, slots=True)
class SnapshotStep:
    """One move from a snapshot to the next, in one life of a stream. The gaps bound the ranks
    before the head.
    """

    before: StreamView
    view: StreamView
    anchors: Sequence[Anchor]
    gap_before: Bounds
    gap: Bounds
    capability: Capability
    quiet: bool = False
    """No deletion of a consumer and no claim can have happened in between."""

    def rank(self, entry: Id) -> Bounds:
        """Publish rank of an id, as the new snapshot bounds it."""
        return bound_rank(entry, self.view, self.anchors, self.gap)


@dataclass(frozen=True, slots=True)
class Account:
    """Where every entry stands that was published to a group since its watch began, at the last
    snapshot.

    `acknowledged` = published − waiting − pending − lost − dropped, a point when nothing unread was
    removed.
    `dropped` is an upper bound, its lower bound is always 0. `unseen`: at most so many more were
    published and removed, with any fate (Redis 6.2).
    """

    published: int
    waiting: Bounds
    pending: Bounds
    lost: Bounds
    dropped: int
    unseen: int = 0

    @property
    def acknowledged(self) -> Bounds:
        """Bounds of what left the pending list by an acknowledgement."""
        lo = self.published - self.waiting.hi - self.pending.hi - self.lost.hi - self.dropped
        hi = self.published - self.waiting.lo - self.pending.lo - self.lost.lo
        return Bounds(max(0, lo), max(0, hi) + self.unseen)


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
    unaccounted: int | None = None
    losses: Losses = field(default_factory=Losses)
    closed: Account = Account(0, NOTHING, NOTHING, NOTHING, 0)
    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    reached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DELIVERY_OUTCOMES, 0))
    counted: tuple[int, int, int] = (0, 0, 0)
    fresh: bool = True
    gone: bool = False
    oldest_waiting: Id | None = None
    ended: float = 0.0
    asked_history: bool = False
    replayed: bool = False
    """Some of the pending entries may wait as well: SETID put the group back over them."""
    unseen: int = 0
    doubt: int = 0
    """Up to this rank entries may have been read unseen, before the group was put back or made
    anew.
    """

    @classmethod
    def begin(cls, base: Anchor) -> GroupAccount:
        """A group whose watch begins at `base`."""
        return cls(base, point(base.rank), high_rank=point(base.rank))

    # -- one snapshot -----------------------------------------------------------------------------

    def observe(self, step: SnapshotStep, now: GroupView, before: GroupView | None) -> bool:
        """Take a snapshot in: losses since the last one, then where the group stands.

        True when nothing can have been lost or dropped, so that those figures are as before.
        """
        self.unseen += step.view.unseen
        if before is not None and self._is_plain(step, now, before):
            self._follow(step, now)
            return True
        position = self._find_position(step, now)
        high_before, read_before = self.high_rank.clip(self.base.rank, step.view.added), self.high
        if now.last_delivered >= self.high:
            self.high, self.high_rank = now.last_delivered, position
        if before is not None and self._was_put_back(step, now, before):
            self.doubt = step.view.added
        found, comparable = self._find_losses(step, high_before, read_before, before)
        if found == NOTHING:
            position = self._refine_by_reads(step, now, position)
        self._note_drops(step, now, before, high_before)
        self._place(step, now, position)
        self._reconcile(step, now, found if comparable else None)
        self.fresh = False
        return False

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
        ):
            return False
        if (
            not view.length
            or view.first > high
            or view.max_deleted > high
            or now.last_delivered < high
        ):
            return False
        return now.last_delivered >= view.last or (
            now.last_delivered == high and self.position.exact
        )

    def _follow(self, step: SnapshotStep, now: GroupView) -> None:
        """Take a plain snapshot in."""
        view, delivered = step.view, now.last_delivered
        if delivered >= view.last:
            self.position, self.waiting = point(view.added), NOTHING
        else:
            self.waiting = bound_waiting(view, now, self.position, step.capability)
        self.delivered = self.high = delivered
        self.high_rank = self.position
        self.replayed = self.replayed and bool(self.waiting.hi and now.pending)
        self.pending = self._bound_pending(view, now) if now.pending else NOTHING
        self.asked_history = not self.pending.exact
        self.oldest_waiting = self.unaccounted = None
        if self._reads_hold(step, now) and now.entries_read is not None and self.waiting.exact:
            self.unaccounted = view.added - now.entries_read - self.waiting.lo

    def _find_position(self, step: SnapshotStep, now: GroupView) -> Bounds:
        found = step.rank(now.last_delivered)
        if not self.fresh and now.last_delivered == self.delivered:
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
        return step.view.legacy and replaced and step.view.deletions != step.before.deletions

    def _find_losses(
        self, step: SnapshotStep, high_before: Bounds, read_before: Id, before: GroupView | None
    ) -> tuple[Bounds, bool]:
        """Losses of this step (measurement.md §1.5), and whether entries-read may tell their exact
        number.
        """
        sure_after = max(self.high_rank.hi, self.base.rank, step.gap_before.lo, self.doubt)
        certain = 0 if before is None else self.losses.add_certain(sure_after, step.gap.lo)
        removed = step.view.removed - step.before.removed
        clean_start = step.gap_before.exact and not step.before.has_holes
        if clean_start:
            removed -= certain
        after, upto = self._find_suspects(step, high_before, read_before)
        maybe = self.losses.add_possible(after, upto, 0, removed)
        return point(certain) + maybe, clean_start

    def _find_suspects(
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

    def _refine_by_reads(self, step: SnapshotStep, now: GroupView, position: Bounds) -> Bounds:
        """Nothing was lost: entries-read moved exactly with the rank (families that count
        deliveries).
        """
        if self.unaccounted is None or not self._reads_hold(step, now) or now.entries_read is None:
            return position
        if not step.view.length or now.last_delivered < step.view.first:
            return position
        return position.meet(point(now.entries_read + self.unaccounted))

    @staticmethod
    def _reads_hold(step: SnapshotStep, now: GroupView) -> bool:
        return (
            step.capability.reads_counted
            and now.entries_read is not None
            and step.view.max_deleted == ZERO
        )

    def _note_drops(
        self, step: SnapshotStep, now: GroupView, before: GroupView | None, high_before: Bounds
    ) -> None:
        """Deliveries that a DELCONSUMER or a claim of removed entries may have dropped
        (measurement.md §1.6).
        """
        if before is None:
            return
        after = self._find_oldest_open(step, before, high_before)
        upto = self.high_rank.hi
        count = before.pending + max(0, upto - high_before.lo)
        if (
            step.view.doubtful
            or step.view.deletions != step.before.deletions
            or now.consumers < before.consumers
        ):
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

    def _place(self, step: SnapshotStep, now: GroupView, position: Bounds) -> None:
        self.delivered, self.position = now.last_delivered, position
        if now.last_delivered == self.high:
            self.high_rank = position
        self.waiting = bound_waiting(step.view, now, position, step.capability)
        moved = now.last_delivered < self.high or step.view.deletions != step.before.deletions
        self.replayed = (self.replayed or moved) and bool(self.waiting.hi and now.pending)
        self.pending = self._bound_pending(step.view, now)
        self.asked_history = not self.pending.exact
        unread_head = self.waiting.hi > 0 and step.view.first > now.last_delivered
        self.oldest_waiting = step.view.first if unread_head else None

    def _reconcile(self, step: SnapshotStep, now: GroupView, found: Bounds | None) -> None:
        """Families that count deliveries: added − read − waiting grows by exactly the number lost."""
        known, self.unaccounted = self.unaccounted, None
        if not self._reads_hold(step, now) or now.entries_read is None or not self.waiting.exact:
            return
        self.unaccounted = step.view.added - now.entries_read - self.waiting.lo
        if known is None or found is None or found.exact or not self.losses.possible:
            return
        lost = self.unaccounted - known - found.lo
        latest = self.losses.possible[-1]
        if 0 <= lost <= latest.hi:
            self.losses.possible.pop()
            self.losses.add_possible(latest.after, latest.upto, lost, lost)

    def _bound_pending(self, view: StreamView, now: GroupView) -> Bounds:
        """Pending entries of ours: those from before the watch began don't count, nor those that
        wait once more.
        """
        ours = now.oldest_pending is not None and now.oldest_pending > self.base.id
        if not now.pending or not self.base.rank or ours:
            return self._without_replayed(now.pending)
        return Bounds(0, min(now.pending, max(0, view.added - self.base.rank)))

    def _without_replayed(self, pending: int) -> Bounds:
        return (
            Bounds(max(0, pending - self.waiting.hi), pending) if self.replayed else point(pending)
        )

    # -- answers that were asked for --------------------------------------------------------------

    def learn_position(
        self, position: Bounds, view: StreamView, now: GroupView, capability: Capability
    ) -> None:
        """Take in a rank that was counted on demand."""
        self.position = self.position.meet(position)
        if self.delivered == self.high:
            self.high_rank = self.position
        self.waiting = bound_waiting(view, now, self.position, capability)
        counted = capability.reads_counted and view.max_deleted == ZERO and self.waiting.exact
        if counted and now.entries_read is not None:
            self.unaccounted = view.added - now.entries_read - self.waiting.lo

    def learn_history(self, count: int, pending: int) -> None:
        """Take in how many of the pending entries are older than the watch."""
        self.pending = self.pending.meet(self._without_replayed(max(0, pending - count)))

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
        )

    def _bound_waiting_ours(self, view: StreamView, gap: Bounds) -> Bounds:
        if self.delivered >= self.base.id or not self.base.rank:
            return self.waiting
        if not view.has_holes:
            return point(view.added - max(self.base.rank, min(gap.hi, view.added)))
        lo = self.waiting.lo - (self.base.rank - self.position.lo)
        return Bounds(max(0, lo), max(0, min(self.waiting.hi, view.added - self.base.rank)))

    def close(self, view: StreamView, gap: Bounds) -> None:
        """End this life: what waits or pends may be lost, dropped or still acknowledged unseen."""
        account = self.settle_account(view, gap)
        lost = Bounds(account.lost.lo, account.lost.hi + account.waiting.hi)
        dropped = account.dropped + account.pending.hi
        self.closed = Account(account.published, NOTHING, NOTHING, lost, dropped, self.unseen)
        self.losses = Losses()
        self.waiting = self.pending = NOTHING
        self.unaccounted = None
        self.gone, self.ended = True, view.now

    def reopen(self, base: Anchor) -> None:
        """Begin another life at `base`; the sums go on."""
        self.base, self.position, self.high_rank = base, point(base.rank), point(base.rank)
        self.delivered = self.high = ZERO
        self.fresh, self.gone, self.replayed, self.doubt = True, False, False, 0

    def list_figures(self, view: StreamView, gap: Bounds) -> tuple[int, ...]:
        """The account as numbers: published, dropped, both ends of waiting, pending and lost, then
        unseen.
        """
        closed = self.closed
        lost = closed.lost
        if self.gone:
            return closed.published, closed.dropped, 0, 0, 0, 0, lost.lo, lost.hi, self.unseen
        losses, dropped = self.losses, closed.dropped
        if losses:
            lost, dropped = lost + losses.total(), dropped + losses.dropped()
        elif losses.past is not NOTHING or losses.past_dropped:
            lost, dropped = lost + losses.past, dropped + losses.past_dropped
        waiting = self.waiting
        if self.delivered < self.base.id:
            waiting = self._bound_waiting_ours(view, gap)
        pending, published = self.pending, closed.published + view.added - self.base.rank
        return (
            published,
            dropped,
            waiting.lo,
            waiting.hi,
            pending.lo,
            pending.hi,
            lost.lo,
            lost.hi,
            self.unseen,
        )

    def count_up(self, account: Account) -> None:
        """Raise the exported totals (lost, lost uncertain, dropped): they never go back."""
        now = (account.lost.lo, account.lost.hi - account.lost.lo + account.unseen, account.dropped)
        self.counted = (
            max(self.counted[0], now[0]),
            max(self.counted[1], now[1]),
            max(self.counted[2], now[2]),
        )

    # -- persistence ------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        closed = self.closed
        return {
            "base": self.base.dump(),
            "delivered": format_id(self.delivered),
            "high": format_id(self.high),
            "bounds": [
                [b.lo, b.hi]
                for b in (self.position, self.high_rank, self.waiting, self.pending, closed.lost)
            ],
            "unaccounted": self.unaccounted,
            "losses": self.losses.dump(),
            "closed": [closed.published, closed.dropped],
            "settled": dict(self.settled),
            "reached": dict(self.reached),
            "counted": list(self.counted),
            "flags": [self.fresh, self.gone, self.replayed, self.doubt, self.unseen],
            "ended": self.ended,
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> GroupAccount:
        """What `dump` gave."""
        position, high_rank, waiting, pending, lost = (Bounds(*pair) for pair in document["bounds"])
        published, dropped = document["closed"]
        fresh, gone, *later = document["flags"]
        replayed, doubt, unseen = later or (False, 0, 0)
        return cls(
            Anchor.load(document["base"]),
            position,
            parse_id(document["delivered"]),
            parse_id(document["high"]),
            high_rank,
            waiting,
            pending,
            document["unaccounted"],
            Losses.load(document["losses"]),
            Account(published, NOTHING, NOTHING, lost, dropped, unseen),
            dict(document["settled"]),
            dict(document["reached"]),
            tuple(document["counted"]),
            fresh,
            gone,
            ended=document["ended"],
            replayed=replayed,
            unseen=unseen,
            doubt=doubt,
        )
