"""The pure accountant, on snapshots made by hand and on a model of a stream."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.bus.delivery import (
    MAX_ANCHORS,
    MAX_COHORTS,
    NO_CALLS,
    Anchor,
    Answer,
    Bounds,
    Calls,
    Capability,
    Deadlines,
    GroupView,
    StreamView,
    begin_account,
    dump_account,
    load_account,
    write_account,
)
from sentinel.core.bus.delivery.account import MAX_INTERVALS
from sentinel.core.bus.delivery.balance import Account
from sentinel.core.bus.delivery.board import REFRESH_AFTER, Board
from sentinel.core.bus.delivery.cohort import Cohort, Settlement, merge_cohorts
from sentinel.core.bus.delivery.fleet import Totals
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.lineage import find_sign, judge_break
from sentinel.core.bus.delivery.loss import Losses
from sentinel.core.bus.delivery.stream import bound_head_gap, bound_rank, bound_waiting
from sentinel.core.bus.naming import MAX_GROUP_LABELS, OVERFLOW, Naming, age_of


def at(n: int) -> tuple[int, int]:
    return (n, 0)


class Model:
    """A stream of ids 1, 2, 3 … with one group, as a server keeps it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.added = 0
        self.live: list[int] = []
        self.max_deleted = 0
        self.delivered = 0
        self.pending: set[int] = set()
        self.acked: set[int] = set()
        self.lost: set[int] = set()

    def view(self) -> StreamView:
        oldest = at(min(self.pending)) if self.pending else None
        group = GroupView("g", at(self.delivered), len(self.pending), 1, oldest_pending=oldest)
        return StreamView(
            self.now, self.added, len(self.live), at(self.added), at(self.live[0]) if self.live else at(0),
            at(self.max_deleted), {"g": group},
        )  # fmt: skip

    def publish(self, n: int) -> None:
        self.live += range(self.added + 1, self.added + n + 1)
        self.added += n

    def read(self, n: int) -> None:
        got = [e for e in self.live if e > self.delivered][:n]
        self.pending |= set(got)
        self.delivered = max([self.delivered, *got])

    def ack(self, n: int) -> None:
        done = set(sorted(self.pending)[:n])
        self.pending -= done
        self.acked |= done

    def trim(self, keep: int) -> None:
        self._remove(self.live[: max(0, len(self.live) - keep)])

    def delete(self, index: int) -> None:
        if self.live:
            entry = self.live[index % len(self.live)]
            self.max_deleted = max(self.max_deleted, entry)
            self._remove([entry])

    def _remove(self, gone: list[int]) -> None:
        self.lost |= {e for e in gone if e > self.delivered}
        self.live = [e for e in self.live if e not in set(gone)]

    def answer(self, question) -> Answer:
        source = self.pending if question.kind == "pending" else self.live
        upto = question.upto or at(10**9)
        ids = [at(e) for e in sorted(source) if question.after < at(e) <= upto][: question.cap]
        return Answer(tuple(ids), len(ids) >= question.cap)


def poll(model: Model, account, cap: int = 1000) -> list[Settlement]:
    model.now += 1
    account.feed(model.view(), watched_from_birth=True)
    due = account.list_due()
    answers = {question: model.answer(question) for question in account.ask(due, cap)}
    return account.settle(due, answers)


def verify(model: Model, settlement: Settlement) -> None:
    entries = set(range(settlement.start[0] + 1, settlement.end[0] + 1))
    waiting = {e for e in entries if e in set(model.live) and e > model.delivered}
    good = entries & (model.acked if settlement.stage == "ack" else model.acked | model.pending)
    assert settlement.waiting.lo <= len(waiting) <= settlement.waiting.hi
    assert settlement.lost.lo <= len(entries & model.lost) <= settlement.lost.hi
    assert settlement.good.lo <= len(good) <= settlement.good.hi
    assert sum(settlement.outcomes.values()) == settlement.size == len(entries)
    if settlement.stage == "ack":
        assert settlement.pending.lo <= len(entries & model.pending) <= settlement.pending.hi


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 9)),
        st.tuples(st.just("read"), st.integers(1, 12)),
        st.tuples(st.just("ack"), st.integers(1, 12)),
        st.tuples(st.just("trim"), st.integers(0, 20)),
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.tuples(st.just("poll"), st.integers(1, 3)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(actions=ACTIONS, cap=st.sampled_from([1, 3, 1000]), delay=st.sampled_from([0.0, 2.0]))
def test_truth_lies_in_every_interval(actions, cap, delay):
    """Any life of a stream, any cap on answers: settlements and the account contain the truth."""
    model, deadlines = Model(), Deadlines(0.0, delay)
    account = begin_account(deadlines)
    poll(model, account, cap)
    for action, n in [*actions, ("poll", 2)]:
        if action == "poll":
            for _ in range(n):
                for settlement in poll(model, account, cap):
                    verify(model, settlement)
        elif action == "restart":
            written = json.loads(write_account(account))
            assert written == json.loads(json.dumps(dump_account(account)))
            account = load_account(written, deadlines, Capability())
        else:
            getattr(model, action)(n)
    found = account.account_of("g")
    assert found.published == model.added == account.published
    assert account.removed == model.added - len(model.live)
    assert found.lost.lo <= len(model.lost) <= found.lost.hi
    assert found.acknowledged.lo <= len(model.acked) <= found.acknowledged.hi


@settings(max_examples=100, deadline=None)
@given(actions=ACTIONS)
def test_counters_never_go_back(actions):
    """Lost, uncertain and settled totals only rise, whatever is learned later."""
    model, account = Model(), begin_account(Deadlines(1.0, 1.0))
    poll(model, account)
    before = (0, 0, 0, *[0] * 6)
    for action, n in actions:
        if action not in {"poll", "restart"}:
            getattr(model, action)(n)
        poll(model, account)
        group = account.groups["g"]
        now = (*group.counted, *group.settled.values())
        assert all(new >= old for new, old in zip(now, before, strict=True))
        before = now


def test_memory_stays_bounded_when_nothing_settles():
    """1000 polls with a deadline of a day: anchors, cohorts and intervals keep their caps, the size
    stays exact.
    """
    model, account = Model(), begin_account(Deadlines(86400.0, 86400.0))
    for _ in range(1000):
        model.publish(2)
        model.read(1)
        model.trim(5)
        poll(model, account)
    assert len(account.anchors) <= MAX_ANCHORS + 1
    assert len(account.cohorts) <= MAX_COHORTS
    losses = account.groups["g"].losses
    assert max(len(losses.certain), len(losses.possible), len(losses.drops)) <= MAX_INTERVALS
    assert account.account_of("g").lost.lo <= len(model.lost) <= account.account_of("g").lost.hi
    assert sum(cohort.size for cohort in account.cohorts) == 2000 == account.published


def test_merged_cohorts_are_settled_with_their_younger_half():
    """Merging keeps the sum and the younger end, never across different open groups."""
    anchors = [Anchor(at(n), n, float(n)) for n in range(6)]
    both, one = frozenset({("g", "ack"), ("h", "ack")}), frozenset({("g", "ack")})
    cohorts = [Cohort(a, b, one if n < 2 else both) for n, (a, b) in enumerate(pairwise(anchors))]
    merged = merge_cohorts(cohorts, 2)
    assert [(c.start.rank, c.end.rank) for c in merged] == [(0, 2), (2, 5)]
    assert merge_cohorts(merged, 1) == merged


def test_waiting_follows_the_rule():
    """The four cases with a certain answer, and the lag only where it is trusted."""
    view = StreamView(0.0, 100, 40, at(100), at(61))
    group = GroupView("g", at(80), 0, lag=99)
    trusted = Capability(lag_exact=True)
    assert bound_waiting(replace(view, length=0), group, Bounds(0, 99)) == Bounds(0, 0)
    assert bound_waiting(view, replace(group, last_delivered=at(100)), Bounds(0, 99)) == Bounds(
        0, 0
    )
    assert bound_waiting(
        view, replace(group, last_delivered=at(10)), Bounds(0, 99), trusted
    ) == Bounds(40, 40)
    assert bound_waiting(view, replace(group, lag=20), Bounds(61, 99), trusted) == Bounds(20, 20)
    assert bound_waiting(view, group, Bounds(61, 99)) == Bounds(1, 39)


def test_ranks_are_bounded_by_anchors_and_by_the_head():
    """Between two anchors, at the first live entry, at the tail, before everything."""
    view = StreamView(0.0, 100, 40, at(100), at(61))
    anchors = [Anchor(at(0), 0, 0.0), Anchor(at(50), 50, 1.0), Anchor(at(100), 100, 2.0)]
    gap = bound_head_gap(view, anchors)
    assert gap == Bounds(60, 60)
    assert bound_rank(at(20), view, anchors, gap) == Bounds(0, 49)
    assert bound_rank(at(61), view, anchors, gap) == Bounds(61, 61)
    assert bound_rank(at(100), view, anchors, gap) == Bounds(100, 100)
    assert bound_rank(at(0), view, anchors, gap) == Bounds(0, 0)
    holes = replace(view, max_deleted=at(70), length=38)
    assert bound_head_gap(holes, anchors) == Bounds(50, 62)


def test_losses_fold_into_the_past_without_changing_the_total():
    """Pruning keeps the sums; a certain loss inside a possible one is counted once."""
    losses = Losses()
    losses.add_possible(0, 10, 2, 5)
    losses.add_certain(20, 30)
    losses.add_drop(0, 40, 7)
    assert losses.total() == Bounds(12, 15)
    assert losses.lost_in(0, 5) == Bounds(0, 5)
    assert losses.lost_in(0, 9) == Bounds(1, 5)
    assert losses.lost_in(25, 30) == Bounds(5, 5)
    for floor in (5, 25, 40):
        losses.prune(floor)
        assert losses.total() == Bounds(12, 15)
        assert losses.dropped() == 7
    losses.add_possible(40, 50, 4, 10)
    losses.add_certain(40, 48)
    assert losses.total() == Bounds(20, 25)


def test_compact_losses_keep_their_total():
    """Ten intervals as two: the same sum, bounds of a part only wider."""
    losses = Losses()
    for n in range(0, 100, 10):
        losses.add_certain(n, n + 3)
        losses.add_drop(n, n + 9, 2)
    exact = losses.lost_in(0, 50)
    losses.compact(2)
    assert losses.total() == Bounds(30, 30)
    assert losses.dropped() == 20
    assert len(losses.certain) == len(losses.possible) == len(losses.drops) == 2
    wide = losses.lost_in(0, 50)
    assert wide.lo <= exact.lo <= exact.hi <= wide.hi


BEFORE = StreamView(10.0, 100, 50, at(100), at(51))
ANCHORS = [Anchor(at(60), 60, 8.0), Anchor(at(90), 90, 9.0), Anchor(at(100), 100, 10.0)]


@pytest.mark.parametrize(
    ("view", "survivors", "reason", "rank"),
    [
        (replace(BEFORE, added=90, last=at(90), length=40), {at(60), at(90)}, "rollback", 90),
        (StreamView(11.0, 3, 3, at(203), at(201)), set(), "recreated", 0),
        (StreamView(11.0, 300, 300, at(500), at(201)), set(), "recreated", 0),
        (replace(BEFORE, last=at(150)), {at(100)}, "xsetid", 100),
        (replace(BEFORE, added=120), {at(100)}, "xsetid", 120),
        (replace(BEFORE, added=80), {at(100)}, "xsetid", 80),
        (StreamView(11.0, 95, 10, at(95), at(86)), set(), "rollback", 95),
        (replace(BEFORE, added=105, length=55, last=at(205)), {at(60), at(90)}, "rollback", 90),
    ],
)
def test_breaks_of_a_life_are_told_apart(view, survivors, reason, rank):
    """Rolled back, recreated, renumbered; the last case grew past the old numbers within one poll."""
    broken = judge_break(BEFORE, view, ANCHORS, survivors)
    assert broken is not None
    assert (broken.reason, broken.anchor.rank) == (reason, rank)


def test_what_only_rises_went_back():
    """An older first entry, or an older newest deletion, is the sign of another life though all
    numbers grew.
    """
    grown = replace(BEFORE, added=130, length=80, last=at(130))
    assert find_sign(BEFORE, replace(grown, first=at(40))) == "the first entry is older than before"
    deleted = replace(BEFORE, max_deleted=at(70))
    assert (
        find_sign(deleted, replace(grown, max_deleted=at(60))) == "max-deleted-entry-id went back"
    )
    assert find_sign(deleted, replace(grown, max_deleted=at(70))) == ""


def test_ordinary_life_is_no_break():
    """Growth, trimming and emptying are one life."""
    for view in (
        replace(BEFORE, added=130, length=80, last=at(130)),
        replace(BEFORE, added=130, length=0, last=at(130), first=at(0)),
        replace(BEFORE, length=10, first=at(91)),
        BEFORE,
    ):
        assert judge_break(BEFORE, view, ANCHORS, None) is None


def test_reset_settles_what_was_open_as_uncertain():
    """A recreated stream: nothing is invented, the sums go on, the new life counts from 1."""
    model, account = Model(), begin_account(Deadlines(60.0, 60.0))
    poll(model, account)
    model.publish(10)
    model.read(6)
    model.ack(4)
    poll(model, account)
    view = StreamView(
        model.now + 1, 3, 3, at(1003), at(1001), groups={"g": GroupView("g", at(0), 0)}
    )
    broken, settled = account.feed(view, survivors=frozenset())
    assert broken is not None
    assert broken.reason == "recreated"
    (acked,) = [s for s in settled if s.stage == "ack"]
    assert acked.outcomes == {
        "acked": 4,
        "pending": 0,
        "waiting": 0,
        "lost": 0,
        "dropped": 0,
        "uncertain": 6,
    }
    found = account.account_of("g")
    assert found.published == account.published == 13
    assert found.lost == Bounds(0, 4)
    assert found.dropped == 6  # what waited may have been read and dropped
    assert found.acknowledged == Bounds(4, 10)


def test_labels_are_bounded():
    """Patterns become labels; beyond the first few plain names the rest is one label."""
    naming, seen = Naming(["a:*", "b"], ["group_*", "*"]), set()
    assert (naming.stream("a:1"), naming.stream("b"), naming.stream("c")) == ("a:*", "b", OVERFLOW)
    assert naming.group("group_7", seen) == "group_*"
    labels = {naming.group(f"x{n}", seen) for n in range(50)}
    assert len(labels) == MAX_GROUP_LABELS + 1
    assert OVERFLOW in labels


def test_totals_survive_a_dump():
    """Labels created at zero come back as they were."""
    totals = Totals()
    totals.touch(["a:*"], ["g"])
    again = Totals.load(json.loads(json.dumps(totals.dump())))
    assert again.rows() == totals.rows()
    assert sum("settled_total" in row.values for row in again.rows()) == 6


def put(board: Board, name: str, account) -> None:
    board.put(name, account, "s:*", lambda group: ("s:*", group), {})


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["publish", "read", "ack", "trim"]),
            st.integers(1, 9),
        )
    )
)
@settings(max_examples=40, deadline=None)
def test_sums_kept_up_to_date_are_those_made_afresh(steps):
    """Whatever moves in whatever order, the board says what one says that is filled at the end; off
    again is zero.
    """
    models = [Model() for _ in range(3)]
    accounts = [begin_account(Deadlines(1.0, 2.0)) for _ in models]
    board = Board()
    for index, act, count in steps:
        getattr(models[index], act)(count)
        poll(models[index], accounts[index])
        put(board, f"s:{index}", accounts[index])
    afresh = Board()
    for index, account in enumerate(accounts):
        if account.view is not None:
            put(afresh, f"s:{index}", account)
    assert (board.totals, board.sums, board.measured) == (
        afresh.totals,
        afresh.sums,
        afresh.measured,
    )
    assert board.restless == afresh.restless
    assert sorted(map(str, board.group_rows())) == sorted(map(str, afresh.group_rows()))
    assert board.stream_values("s:*") == afresh.stream_values("s:*")
    for name in list(board.cards):
        board.remove(name)
    assert (set(board.sums), board.measured, board.group_rows()) == ({0}, 0, [])


def test_time_to_loss_of_a_stream_at_rest_is_told_anew():
    """Its publish rate sinks: the board names it as stale after a while, and no longer when nothing
    lapses.
    """
    model, account, board = Model(), begin_account(Deadlines(1.0, 2.0)), Board()
    poll(model, account)
    model.publish(5)
    model.read(5)
    model.ack(5)
    poll(model, account)
    put(board, "s:0", account)
    assert board.list_stale(account.now) == set()
    assert board.list_stale(account.now + REFRESH_AFTER) == {"s:0"}
    assert account.touch(account.now + 1000, account.calls)
    put(board, "s:0", account)
    assert board.list_stale(account.now + 1000) == set()


def test_equal_numbers_are_fed_when_something_may_have_dropped():
    """A deletion while something is pending can't be passed over; while nothing pends it can."""
    model, account = Model(), begin_account(Deadlines(1.0, 2.0))
    model.publish(4)
    model.read(4)
    poll(model, account)
    assert account.touch(model.now + 1, NO_CALLS)
    assert not account.touch(model.now + 2, Calls(1))
    model.ack(4)
    poll(model, account)
    assert account.touch(model.now + 3, Calls(1))
    account.mark_gone()
    assert not account.touch(model.now + 4, Calls(1))


def test_a_consumer_that_is_gone_may_have_dropped_what_it_held():
    """Where INFO is not permitted, DELCONSUMER shows only by the number of consumers."""
    model, account = Model(), begin_account(Deadlines(1.0, 2.0))
    poll(model, account)
    model.publish(4)
    model.read(4)
    poll(model, account)
    view = model.view()
    view = replace(
        view, now=view.now + 1, groups={"g": replace(view.groups["g"], pending=0, consumers=0)}
    )
    account.feed(view)
    assert account.account_of("g").acknowledged == Bounds(0, 4)


def test_exported_losses_never_go_back():
    """What was possible and is settled later stays counted: a counter has no other way."""
    group = GroupAccount.begin(Anchor(at(1), 1, 1.0))
    nothing = Bounds(0, 0)
    group.count_up(Account(9, nothing, nothing, Bounds(1, 6), 4))
    group.count_up(Account(9, nothing, nothing, Bounds(0, 0), 0))
    assert group.counted == (1, 5, 4)
    group.count_up(Account(9, nothing, nothing, Bounds(3, 3), 5))
    assert group.counted == (3, 5, 5)


def test_an_id_that_is_no_time_has_no_age():
    """Producers may number their entries as they like: 1-0 was not published in 1970."""
    assert age_of((1, 0), 1.9e9) is None
    assert age_of((1_899_999_990_000, 0), 1.9e9) == 10.0
