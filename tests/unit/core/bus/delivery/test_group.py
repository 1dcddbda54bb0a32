"""One group of one stream, snapshot by snapshot: position, losses, drops, lives."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sentinel.core.bus.delivery.balance import Account
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.jump import Skip
from sentinel.core.bus.delivery.persistence import dump_group, load_group
from sentinel.core.bus.delivery.step import SnapshotStep, find_quiet
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    ZERO,
    Anchor,
    Capability,
    GroupView,
    StreamView,
    bound_head_gap,
    point,
)
from sentinel.core.quantity import Bounds

BASE = Anchor((10, 0), 10, 1.0)
UNKNOWN = Capability()
COUNTED = Capability(reads_counted=True)
LAGGED = Capability(lag_exact=True)


def view(added: int, first: int = 1, **facts: object) -> StreamView:
    """A stream whose entries are numbered; what lies before `first` was trimmed."""
    known = {"length": added - first + 1, "last": (added, 0), "first": (first, 0), **facts}
    return StreamView(float(added), added, **known)  # type: ignore[arg-type]


def reads(at: int, pending: int = 0, **facts: object) -> GroupView:
    return GroupView("g", (at, 0), pending, **{"consumers": 1, **facts})  # type: ignore[arg-type]


class Watch:
    """A group account that is fed step by step."""

    def __init__(self, capability: Capability = UNKNOWN, base: Anchor = BASE) -> None:
        self.group = GroupAccount.begin(base)
        self.capability = capability
        self.anchors = [Anchor(ZERO, 0, 0.0), base] if base.rank else [base]
        self.seen = view(base.rank)
        self.before: GroupView | None = None
        self.gap = NOTHING
        self.skip: Skip | None = None

    def feed(self, now: StreamView, group: GroupView) -> bool:
        """True when nothing can have been lost or dropped."""
        quiet = find_quiet(self.seen, now)
        if now.added > self.anchors[-1].rank:
            self.anchors.append(Anchor(now.last, now.added, now.now))
        gap = bound_head_gap(now, self.anchors, self.gap.lo)
        step = SnapshotStep(self.seen, now, self.anchors, self.gap, gap, self.capability, quiet)
        plain = self.before is not None and self.group.follow(step, group, self.before)
        if not plain:
            self.skip = self.group.observe(step, group, self.before)
        self.seen, self.before, self.gap = now, group, gap
        return plain

    @property
    def account(self) -> Account:
        return self.group.settle_account(self.seen, self.gap)


# -- the sum ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "acknowledged"),
    [
        (Account(10, NOTHING, NOTHING, NOTHING, 0), Bounds(10, 10)),
        (Account(10, point(1), point(2), point(3), 0), Bounds(4, 4)),
        (Account(10, Bounds(0, 1), Bounds(0, 2), Bounds(0, 3), 4), Bounds(0, 10)),
        (Account(10, Bounds(5, 6), point(5), point(1), 0), Bounds(0, 0)),
        (Account(10, NOTHING, NOTHING, NOTHING, 0, unseen=3), Bounds(10, 13)),
    ],
)
def test_what_is_left_was_acknowledged(account: Account, acknowledged: Bounds) -> None:
    """Less all that is known to be elsewhere, never below nothing; what dropped may not have."""
    assert account.acknowledged == acknowledged


def test_a_fresh_group_owes_nothing_of_the_past() -> None:
    """Its watch begins at its base."""
    group = GroupAccount.begin(BASE)
    assert group.settle_account(view(10), NOTHING) == Account(0, NOTHING, NOTHING, NOTHING, 0)
    assert group.position == group.high_rank == point(10)
    assert (group.fresh, group.gone) == (True, False)


# -- where it stands -------------------------------------------------------------------------------


def test_a_group_that_read_all_is_plain_from_the_second_look_on() -> None:
    """The first one is looked at whole."""
    watch = Watch()
    assert not watch.feed(view(10), reads(10))
    assert watch.feed(view(15), reads(15))
    assert watch.account == Account(5, NOTHING, NOTHING, NOTHING, 0)


@pytest.mark.parametrize(
    ("now", "group"),
    [
        (view(15, deletions=1), reads(15)),
        (view(15, claims=1), reads(15)),
        (view(15), reads(15, consumers=0)),
        (view(15), reads(9)),
        (view(15), reads(14)),
        (view(15, first=11), reads(15)),
        (view(15, max_deleted=(11, 0)), reads(15)),
        (StreamView(15.0, 15, 0, (15, 0)), reads(15)),
    ],
)
def test_a_look_that_is_not_plain(now: StreamView, group: GroupView) -> None:
    """A call, a consumer less, a step back or halfway, a trimmed or deleted entry, an empty stream."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    assert not watch.feed(now, group)


@pytest.mark.parametrize(
    "now", [view(15, first=10), view(15, max_deleted=(10, 0)), view(15)], ids=str
)
def test_a_plain_look_at_its_edge(now: StreamView) -> None:
    """Where it stands may be the head, or deleted: nothing behind it is missing."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    assert watch.feed(now, reads(15))


def test_a_group_that_rests_where_its_rank_is_known_is_plain() -> None:
    """What came since waits, to the entry."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    assert watch.feed(view(14), reads(10))
    assert watch.group.waiting == point(4)
    assert watch.account.acknowledged == NOTHING


def test_halfway_only_bounds_are_known() -> None:
    """Between two anchors; with a lag that can be trusted to the entry."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20), reads(14))
    assert watch.group.waiting == Bounds(1, 10)
    exact = Watch(LAGGED)
    exact.feed(view(10), reads(10))
    exact.feed(view(20), reads(14, lag=6))
    assert exact.group.waiting == point(6)
    assert exact.group.position == point(14)


@pytest.mark.parametrize(("first", "exact"), [(14, True), (15, False)])
def test_a_lag_tells_the_rank_only_where_nothing_behind_is_missing(first: int, exact: bool) -> None:
    """The head is where the group stands, or behind it."""
    watch = Watch(LAGGED)
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=first), reads(14, lag=6))
    assert watch.group.position.exact is exact


def test_a_lag_holds_where_the_group_stands_on_a_deleted_entry() -> None:
    """Nothing behind it is missing."""
    watch = Watch(LAGGED)
    watch.feed(view(10), reads(10))
    watch.feed(view(20, length=19, max_deleted=(14, 0)), reads(14, lag=6))
    assert watch.group.position == point(14)


def test_the_oldest_that_waits_is_the_head_when_nothing_before_it_was_read() -> None:
    """Else it must be asked for."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=15), reads(12))
    assert watch.group.oldest_waiting == (15, 0)
    watch.feed(view(20, first=15), reads(16))
    assert watch.group.oldest_waiting is None


# -- what was lost ---------------------------------------------------------------------------------


def test_entries_trimmed_unread_are_lost_to_the_entry() -> None:
    """Read up to 10, the head is 14: 11, 12 and 13 are gone."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=14), reads(10))
    assert watch.account.lost == point(3)
    watch.feed(view(20, first=14), reads(20))
    assert watch.account.lost == point(3)
    assert watch.account.acknowledged == point(7)


@pytest.mark.parametrize(("first", "lost"), [(11, 0), (12, 1)])
def test_the_first_unread_entry_is_the_edge(first: int, lost: int) -> None:
    """A head right behind what was read has cut nothing."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=first), reads(10))
    assert watch.account.lost == point(lost)


def test_a_group_that_read_while_it_was_trimmed_may_have_lost() -> None:
    """Read to 20 in one step, trimmed to 16 meanwhile: up to five may be lost, none for certain."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=16), reads(20))
    assert watch.account.lost == Bounds(0, 5)


def test_a_deletion_ahead_may_be_a_loss() -> None:
    """One entry is missing, it was not read yet."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20), reads(10))
    watch.feed(view(20, length=19, max_deleted=(15, 0)), reads(10))
    assert watch.account.lost.hi == 1
    behind = Watch()
    behind.feed(view(10), reads(10))
    behind.feed(view(20), reads(20))
    behind.feed(view(20, length=19, max_deleted=(15, 0)), reads(20))
    assert behind.account.lost == NOTHING


def test_counted_reads_tell_how_many_were_lost() -> None:
    """entries-read grew by eight of ten: two were lost, where up to five may have been."""
    watch = Watch(COUNTED)
    watch.feed(view(10), reads(10, entries_read=10))
    watch.feed(view(20, first=16), reads(20, entries_read=18))
    assert watch.account.lost == point(2)


@pytest.mark.parametrize(("read", "lost"), [(20, point(0)), (15, point(5)), (14, Bounds(0, 5))])
def test_counted_reads_that_cannot_be_are_left(read: int, lost: Bounds) -> None:
    """More lost than removed is no explanation."""
    watch = Watch(COUNTED)
    watch.feed(view(10), reads(10, entries_read=10))
    watch.feed(view(20, first=16), reads(20, entries_read=read))
    assert watch.account.lost == lost


def test_counted_reads_tell_the_rank() -> None:
    """Nothing was lost, so four reads are four entries."""
    watch = Watch(COUNTED)
    watch.feed(view(10), reads(10, entries_read=10))
    watch.feed(view(20), reads(14, entries_read=14))
    assert watch.group.position == point(14)
    assert watch.group.waiting == point(6)


def test_counted_reads_tell_no_rank_before_the_head() -> None:
    """It stands behind 4, and the first ten are trimmed: six of them were never read."""
    watch = Watch(COUNTED, base=Anchor((4, 0), 4, 1.0))
    for _ in range(2):
        watch.feed(view(20, first=11), reads(5, entries_read=4))
    assert watch.group.reads.surplus == 6
    assert watch.group.position == Bounds(4, 10)
    inside = Watch(COUNTED, base=Anchor(ZERO, 0, 1.0))
    for _ in range(2):
        inside.feed(view(20, first=11), reads(11, entries_read=1))
    assert inside.group.position == point(11)


@pytest.mark.parametrize(
    ("capability", "deleted", "known"), [(UNKNOWN, 0, None), (COUNTED, 5, None), (COUNTED, 0, 0)]
)
def test_reads_are_believed_only_where_they_count_deliveries(
    capability: Capability, deleted: int, known: int | None
) -> None:
    """And where nothing was ever deleted."""
    watch = Watch(capability)
    watch.feed(view(10, max_deleted=(deleted, 0)), reads(10, entries_read=10))
    assert watch.group.reads.surplus == known


def test_what_is_lost_for_certain_is_not_lost_once_more() -> None:
    """Six were removed since the last look: two of them unread for certain, so four at most."""
    watch = Watch()
    watch.feed(view(10, first=10), reads(10))
    watch.feed(view(12, first=10), reads(10))
    watch.feed(view(20, first=14, length=5, max_deleted=(17, 0)), reads(10))
    assert watch.account.lost == Bounds(2, 6)


# -- what was dropped ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "group", "dropped"),
    [
        (view(10), reads(10, 3, oldest_pending=(8, 0)), 0),
        (view(10, deletions=1), reads(10), 3),
        (view(10, doubtful=True), reads(10), 3),
        (view(10), reads(10, consumers=0), 3),
        (view(10, claims=1), reads(10), 0),
        (view(10, first=2, claims=1), reads(10), 0),
        (view(10, first=9, claims=1), reads(10), 3),
    ],
)
def test_pending_entries_that_may_have_been_dropped(
    now: StreamView, group: GroupView, dropped: int
) -> None:
    """By a deletion, in doubt, or with a consumer that is gone; by a claim only what is removed."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(1), reads(0))
    watch.feed(view(10), reads(10, 3, oldest_pending=(8, 0)))
    watch.feed(now, group)
    assert watch.account.dropped == dropped


def test_where_nothing_pended_only_what_came_since_may_be_dropped() -> None:
    """The first ten had been acknowledged at the last look."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10))
    watch.feed(view(20, deletions=1), reads(20))
    losses = watch.group.losses
    assert (losses.dropped_in(0, 10), losses.dropped_in(10, 20)) == (0, 10)


def test_pending_entries_from_before_the_watch_are_not_ours() -> None:
    """Three pend; the oldest is older than the base, so that at most two are of its time."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(12), reads(12, 3, oldest_pending=(10, 0)))
    assert watch.group.pending == Bounds(0, 2)
    assert watch.group.asked_history
    watch.group.learn_history(1, 3)
    assert watch.group.pending == point(2)
    watch.feed(view(14), reads(14, 3, oldest_pending=(11, 0)))
    assert watch.group.pending == point(3)
    assert not watch.group.asked_history


# -- put back --------------------------------------------------------------------------------------


def test_a_group_that_was_put_back_reads_anew() -> None:
    """What pends may wait once more, and what is trimmed now may have been read before."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10, 4, oldest_pending=(7, 0)))
    watch.feed(view(10), reads(5, 4, oldest_pending=(7, 0)))
    assert watch.group.replayed
    assert watch.group.doubt == 10
    assert watch.group.pending.hi == 4
    assert watch.group.pending.lo < 4
    watch.feed(view(10), reads(10, 4, oldest_pending=(7, 0)))
    assert not watch.group.replayed
    assert watch.group.pending == point(4)


def test_who_is_put_back_over_what_was_skipped_says_so() -> None:
    """All the way, also after a restart; half of the way is none."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    for at, moves in ((2, 0), (8, 1), (12, 2)):  # nobody reads in it
        watch.feed(view(12, moves=moves), reads(at, consumers=0))
    assert watch.skip is not None
    assert watch.skip.told
    assert watch.group.losses.moved_from == (2, 0)
    watch.group = load_group(dump_group(watch.group))
    watch.feed(view(12, moves=3), reads(8, consumers=0))
    assert watch.skip is None
    watch.feed(view(12, moves=4), reads(2, consumers=0))
    assert watch.skip == Skip(0, 0, (2, 0), (8, 0), told=True, returned=True)
    assert load_group(dump_group(watch.group)).losses.moved_from is None
    watch.feed(view(12, moves=5), reads(1, consumers=0))
    assert watch.skip is None


def test_a_group_that_went_back_is_looked_at_whole() -> None:
    """Also when it has read everything once more."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10))
    watch.feed(view(10), reads(5))
    assert not watch.feed(view(12), reads(12))
    assert watch.feed(view(14), reads(14))


def test_what_was_read_again_is_not_replayed_any_more() -> None:
    """A deletion made it vague what pends; once nothing waits it is exact, and stays so."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10))
    watch.feed(view(14, deletions=1), reads(10, 2, oldest_pending=(9, 0)))
    assert watch.group.replayed
    watch.feed(view(14, deletions=1), reads(14, 2, oldest_pending=(9, 0)))
    watch.feed(view(16, deletions=1), reads(14, 2, oldest_pending=(9, 0)))
    assert watch.group.pending == point(2)


@pytest.mark.parametrize(
    ("now", "doubt"),
    [
        (view(20, first=11, legacy=True, moves=1), 20),
        (StreamView(20.0, 20, 0, (20, 0), moves=1, legacy=True), 20),
        (view(20, first=10, legacy=True, moves=1), 0),
        (view(20, first=11, legacy=True), 0),
        (view(20, first=11, moves=1), 0),
    ],
)
def test_another_stream_of_that_name_on_an_old_server(now: StreamView, doubt: int) -> None:
    """Nothing old is left in it, and something was deleted: its group may be another one."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10))
    watch.feed(now, reads(20))
    assert watch.group.doubt == doubt


def test_a_loss_up_to_the_doubt_is_never_certain() -> None:
    """The group was put back to 5, then all up to 8 was trimmed: it had read that."""
    watch = Watch(base=Anchor(ZERO, 0, 1.0))
    watch.feed(view(10), reads(10))
    watch.feed(view(10), reads(5))
    watch.feed(view(10, first=9), reads(5))
    assert watch.account.lost.lo == 0


# -- lives -----------------------------------------------------------------------------------------


def test_the_end_of_a_life_keeps_its_sums() -> None:
    """What waited may be lost, or read and dropped, what pended dropped; another life adds to it."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(16), reads(14, 2, oldest_pending=(13, 0)))
    waiting = watch.group.waiting
    watch.group.close(watch.seen, watch.gap)
    closed = watch.group.closed
    assert watch.group.gone
    assert watch.group.ended == 16.0
    dropped = 2 + waiting.hi
    assert (closed.published, closed.lost, closed.dropped) == (6, Bounds(0, waiting.hi), dropped)
    assert watch.account == closed
    assert watch.group.list_figures(watch.seen, watch.gap)[:6] == (6, dropped, 0, 0, 0, 0)
    watch.group.reopen(Anchor((16, 0), 16, 2.0))
    assert (watch.group.fresh, watch.group.gone, watch.group.doubt) == (True, False, 0)
    assert watch.group.settle_account(view(19), NOTHING).published == 9


def test_figures_are_those_of_the_account() -> None:
    """Whatever way is taken: with losses, with past ones, and with a life that is over."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=14), reads(10, 0))
    for prune in (False, True):
        if prune:
            watch.group.losses.prune(20)
            assert not watch.group.losses
        account = watch.account
        assert watch.group.list_figures(watch.seen, watch.gap) == (
            account.published,
            account.dropped,
            *(account.waiting.lo, account.waiting.hi),
            *(account.pending.lo, account.pending.hi),
            *(account.lost.lo, account.lost.hi),
            account.unseen,
            account.unaccounted,
        )
        assert account.lost == point(3)


def test_a_group_before_its_base_waits_only_for_what_is_ours() -> None:
    """It stands at 4, its watch began at 10: six of the sixteen ahead of it are history."""
    watch = Watch()
    watch.feed(view(20), reads(4))
    assert watch.account.waiting == point(10)
    figures = watch.group.list_figures(watch.seen, watch.gap)
    assert figures[2:4] == (10, 10)
    holes = Watch()
    holes.feed(view(20, length=18, max_deleted=(15, 0)), reads(4))
    assert holes.account.waiting.lo <= 8
    assert holes.account.waiting.hi == 10


def test_a_rank_that_was_counted_on_demand() -> None:
    """It narrows the position, and what waits with it."""
    watch = Watch(COUNTED)
    watch.feed(view(10), reads(10))
    group = reads(14, entries_read=99)
    watch.feed(view(20), group)
    assert not watch.group.waiting.exact
    watch.group.learn_position(point(14), watch.seen, group, COUNTED)
    assert watch.group.waiting == point(6)
    assert watch.group.high_rank == point(14)
    assert watch.group.reads.surplus == 20 - 99 - 6


def test_unseen_entries_add_up() -> None:
    """Redis 6.2: so many more may have been published, with any fate."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(12, unseen=2), reads(12))
    watch.feed(view(14, unseen=3), reads(14))
    assert watch.account.unseen == 5
    assert watch.account.acknowledged == Bounds(4, 9)


def test_a_document_is_the_same_group() -> None:
    """All that must survive a restart."""
    watch = Watch()
    watch.feed(view(10), reads(10))
    watch.feed(view(20, first=14), reads(12, 2, oldest_pending=(11, 0)))
    watch.feed(view(20, first=14), reads(11, 2, oldest_pending=(11, 0)))
    group = replace(watch.group, counted=(1, 2, 3), ended=5.5)
    again = load_group(json.loads(json.dumps(dump_group(group))))
    assert dump_group(again) == dump_group(group)
    assert again.losses == group.losses
    assert (again.doubt, again.counted, again.ended) == (20, (1, 2, 3), 5.5)
    assert again.closed.unseen == group.unseen


def test_a_document_of_an_older_sentinel() -> None:
    """It knew neither replays nor doubt nor what was unseen."""
    document = dump_group(GroupAccount.begin(BASE))
    document["flags"] = document["flags"][:2]
    again = load_group(document)
    assert (again.replayed, again.doubt, again.unseen) == (False, 0, 0)
    assert again.fresh
