"""One stream from look to look: what is due when, what a look may be spared, lives that break."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sentinel.core.bus.delivery import (
    ACK,
    DELIVER,
    GONE,
    NO_CALLS,
    RECREATED,
    ROLLBACK,
    XSETID,
    Anchor,
    Answer,
    Calls,
    Capability,
    Deadlines,
    GroupView,
    Question,
    StreamAccount,
    StreamView,
    begin_account,
    load_account,
    write_account,
)
from sentinel.core.bus.delivery.account import MAX_ANCHORS
from sentinel.core.bus.delivery.doubt import needs_survivors
from sentinel.core.bus.delivery.fleet import bound_headroom, find_publish_rate
from sentinel.core.bus.delivery.jump import begins_at_end
from sentinel.core.bus.delivery.step import SnapshotStep
from sentinel.core.bus.delivery.stream import NOTHING, ZERO, point, thin_anchors
from sentinel.core.quantity import Bounds

DEADLINES = Deadlines(deliver=5.0, ack=10.0)


def look(now: float, added: int, first: int = 1, **facts: object) -> StreamView:
    """Entries 1 to `added`, trimmed before `first`; groups read up to their number."""
    groups = {
        name: at if isinstance(at, GroupView) else GroupView(name, (at, 0), 0, 1)  # type: ignore[arg-type]
        for name, at in list(facts.items())
        if name in {"g", "h"}
    }
    others = {name: value for name, value in facts.items() if name not in groups}
    length = max(0, added - first + 1)
    head = (first, 0) if length else ZERO
    return StreamView(now, added, length, (added, 0), head, groups=groups, **others)  # type: ignore[arg-type]


def watch(*looks: StreamView) -> StreamAccount:
    account = begin_account(DEADLINES)
    for each in looks:
        account.feed(each)
    return account


def holding(at: int, pending: int) -> GroupView:
    return GroupView("g", (at, 0), pending, 1, oldest_pending=(at - pending + 1, 0))


# -- first sight -----------------------------------------------------------------------------------


def test_what_was_there_at_first_sight_is_history() -> None:
    """Neither published nor owed; what comes next is."""
    account = watch(look(1.0, 7, g=3))
    assert (account.published, account.removed) == (0, 0)
    assert account.account_of("g").published == 0
    account.feed(look(2.0, 9, g=9))
    assert account.published == account.account_of("g").published == 2


def test_a_stream_watched_from_birth_counts_from_its_first_entry() -> None:
    """Also what was trimmed before anybody looked."""
    account = begin_account(DEADLINES)
    account.feed(look(1.0, 7, 3, g=GroupView("g", (7, 0), 0, 1, 7)), watched_from_birth=True)
    assert (account.published, account.removed) == (7, 2)
    found = account.account_of("g")
    assert (found.published, found.unaccounted) == (7, 7)
    assert (found.acknowledged, found.lost) == (Bounds(0, 7), Bounds(0, 7))


def test_what_was_removed_is_counted_once() -> None:
    """From first sight on, and never back."""
    account = watch(look(1.0, 10, 4, g=10), look(2.0, 12, 6, g=12), look(3.0, 12, 6, g=12))
    assert account.removed == 2


# -- deadlines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "stages"), [(4.9, []), (5.0, [DELIVER]), (9.9, [DELIVER]), (10.0, [ACK, DELIVER])]
)
def test_due_at_its_deadline(age: float, stages: list[str]) -> None:
    """By the age of the youngest entry; at the deadline it is late."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8), look(1.0 + age, 8, g=8))
    assert [each.stage for each in account.list_due()] == stages


def test_each_stage_is_settled_once() -> None:
    """Three entries, delivered and acknowledged; then the cohort is let go."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8), look(6.0, 8, g=8))
    (settled,) = account.settle(account.list_due(), {})
    assert (settled.stage, settled.size, settled.good) == (DELIVER, 3, point(3))
    assert account.list_due() == []
    assert len(account.cohorts) == 1
    account.feed(look(11.0, 8, g=8))
    (settled,) = account.settle(account.list_due(), {})
    assert (settled.stage, settled.good) == (ACK, point(3))
    assert account.cohorts == []
    assert account.list_due() == []
    group = account.groups["g"]
    assert (group.reached["delivered"], group.settled["acked"]) == (3, 3)


def test_what_waits_and_what_pends_at_its_deadline() -> None:
    """Counted by its outcome, at each stage."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9, g=5), look(6.0, 9, g=5))
    account.settle(account.list_due(), {})
    assert account.groups["g"].reached["waiting"] == 4
    account.feed(look(11.0, 9, g=holding(9, 4)))
    due = account.list_due()
    assert account.settle(due, {}) == []
    (question,) = account.ask(due, 100)
    answer = Answer(((6, 0), (7, 0), (8, 0), (9, 0)), full=False)
    account.settle(due, {question: answer})
    assert account.groups["g"].settled["pending"] == 4


def test_every_group_that_was_there_is_owed() -> None:
    """One that was made later, and that nobody has read in, is not."""
    made = GroupView("h", (8, 0), 0, 0)
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8, h=made), look(12.0, 9, g=9, h=9))
    assert {each.group for each in account.list_due()} == {"g"}
    assert [pair[0] for pair in sorted(account.cohorts[1].open)] == ["g", "g", "h", "h"]


def test_a_stream_without_a_group_owes_nobody() -> None:
    """No cohort is kept."""
    account = watch(look(0.0, 5), look(1.0, 8))
    assert account.cohorts == []
    assert account.published == 3


def test_a_due_of_another_time_is_not_settled() -> None:
    """Its cohort was settled meanwhile."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8), look(12.0, 8, g=8))
    due = account.list_due()
    assert len(account.settle(due, {})) == 2
    assert account.settle(due, {}) == []
    assert account.groups["g"].settled["acked"] == 3


def test_nothing_is_due_of_a_stream_that_is_gone() -> None:
    """Nor of one that nobody has seen."""
    assert begin_account(DEADLINES).list_due() == []
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8), look(12.0, 8, g=8))
    account.mark_gone()
    assert account.list_due() == []


# -- answers ---------------------------------------------------------------------------------------


def test_the_oldest_that_waits_is_learned() -> None:
    """The first that was listed behind the group; none when it has read meanwhile."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9, g=5))
    (question,) = account.ask([], 100)
    assert question == Question("live", "g", (5, 0), None, 1)
    assert not account.still
    account.settle([], {question: Answer(((6, 0), (7, 0)), full=True)})
    assert account.groups["g"].oldest_waiting == (6, 0)
    assert account.still
    account.settle([], {question: Answer(((5, 0),), full=True)})
    assert account.groups["g"].oldest_waiting is None


def test_a_position_is_learned() -> None:
    """Two are live behind it."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9, g=7))
    assert not account.groups["g"].waiting.exact
    asked = next(each for each in account.ask([], 100) if each.upto is not None)
    account.settle([], {asked: Answer(((8, 0), (9, 0)), full=False)})
    assert account.account_of("g").waiting == point(2)


def test_answers_about_a_group_that_is_gone_are_left() -> None:
    """Or that nobody knows."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9))
    assert account.groups["g"].gone
    for name in ("g", "x"):
        question = Question("live", name, (5, 0), None, 1)
        account.settle([], {question: Answer(((6, 0),), full=True)})
    assert account.groups["g"].oldest_waiting is None


@pytest.mark.parametrize(("full", "pending"), [(False, point(2)), (True, Bounds(0, 3))])
def test_pending_entries_of_the_past_are_learned(full: bool, pending: Bounds) -> None:
    """A list that was cut tells nothing."""
    held = GroupView("g", (9, 0), 3, 1, oldest_pending=(4, 0))
    account = watch(look(0.0, 5, g=5), look(1.0, 9, g=held))
    account.groups["g"].pending = Bounds(0, 3)
    question = Question("pending", "g", ZERO, (5, 0), 100)
    account.settle([], {question: Answer(((4, 0),), full=full)})
    assert account.account_of("g").pending == pending


# -- looks that are spared -------------------------------------------------------------------------


def test_equal_numbers_need_no_look() -> None:
    """Only time moves, and what is due with it."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    assert account.touch(6.0, NO_CALLS)
    assert [each.stage for each in account.list_due()] == [DELIVER]
    account.feed(look(7.0, 9, g=9))
    assert account.cohorts[-1].end.at == 7.0


@pytest.mark.parametrize(
    ("group", "calls", "spared"),
    [
        (holding(8, 2), Calls(renumbers=1, reads=1), True),
        (holding(8, 2), Calls(deletions=1), False),
        (holding(8, 2), Calls(claims=1), False),
        (holding(8, 2), Calls(moves=1), False),
        (holding(8, 2), Calls(creations=1), False),
        (holding(8, 2), Calls(forces=1), False),
        (GroupView("g", (8, 0), 0, 1), Calls(1, 1, 1, 1, 1, 1, 1), True),
    ],
)
def test_a_call_may_have_dropped_what_pends(group: GroupView, calls: Calls, spared: bool) -> None:
    """Where something pends it must be looked at."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=group))
    assert account.touch(2.0, calls) is spared


def test_what_is_vague_must_be_asked_again() -> None:
    """Also when the numbers are equal."""
    assert not watch(look(0.0, 5, g=5), look(1.0, 9, g=7)).touch(2.0, NO_CALLS)
    assert not begin_account(DEADLINES).touch(2.0, NO_CALLS)


def test_the_calls_of_a_spared_look_are_taken_over() -> None:
    """What was deleted before something pended has dropped nothing of it."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    assert account.touch(2.0, Calls(deletions=3))
    account.feed(look(3.0, 9, g=holding(9, 1), deletions=3))
    account.feed(look(4.0, 9, g=9, deletions=3))
    assert account.account_of("g").dropped == 0
    assert account.account_of("g").acknowledged == point(4)


@pytest.mark.parametrize(("deletions", "dropped"), [(0, 0), (1, 2)])
def test_what_pended_is_dropped_by_a_deletion(deletions: int, dropped: int) -> None:
    """At most; without a call it was acknowledged."""
    account = watch(look(0.0, 8, g=holding(8, 2)), look(1.0, 10, g=holding(10, 2)))
    account.feed(look(2.0, 10, g=10, deletions=deletions))
    assert account.account_of("g").dropped == dropped


# -- lives -----------------------------------------------------------------------------------------


def test_a_stream_that_is_gone_settles_what_was_open() -> None:
    """Once; its sums stay."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9, g=7))
    settled = account.mark_gone()
    assert {(each.stage, each.size) for each in settled} == {(ACK, 4), (DELIVER, 4)}
    assert account.resets[GONE] == 1
    assert account.mark_gone() == []
    assert account.resets[GONE] == 1
    found = account.account_of("g")
    assert (found.published, found.waiting, found.lost.lo) == (4, point(0), 0)
    assert begin_account(DEADLINES).mark_gone() == []


def test_survivors_are_looked_for_when_something_is_odd() -> None:
    """Not at first sight, not in an ordinary life, and not for a stream that comes back: that is
    another one.
    """
    account = begin_account(DEADLINES)
    assert not needs_survivors(account, look(0.0, 5, g=5))
    account.feed(look(0.0, 5, g=5))
    assert not needs_survivors(account, look(1.0, 8, g=8))
    assert needs_survivors(account, look(1.0, 4, g=4))
    assert needs_survivors(account, look(1.0, 8, g=8, kept=False))
    account.mark_gone()
    assert not needs_survivors(account, look(1.0, 4, g=4))


def test_a_rollback_takes_entries_back() -> None:
    """Published stays; what was taken back may be lost to its group."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8), look(2.0, 12, g=12))
    broken, _ = account.feed(look(3.0, 8, g=8), survivors={(5, 0), (8, 0)})
    assert broken is not None
    assert broken.reason == ROLLBACK
    assert (account.resets[ROLLBACK], account.rolled_back, account.published) == (1, 4, 7)
    assert account.account_of("g").lost == Bounds(0, 4)
    assert [anchor.rank for anchor in account.anchors] == [5, 8]
    account.feed(look(4.0, 10, g=10))
    assert account.published == 9


def test_what_was_removed_before_a_rollback_is_not_removed_again() -> None:
    """Two were trimmed before anybody looked, and one more since."""
    account = watch(look(0.0, 5, 3, g=5), look(1.0, 8, 4, g=8), look(2.0, 12, 4, g=12))
    account.feed(look(3.0, 8, 4, g=8), survivors={(5, 0), (8, 0)})
    assert account.removed == 1


def test_a_stream_made_anew_counts_from_one() -> None:
    """Nothing is rolled back; removals of its new life count from its beginning."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    view = replace(look(2.0, 3, g=0), last=(103, 0), first=(102, 0), length=2, ends=1)
    broken, _ = account.feed(view, survivors=frozenset())
    assert broken is not None
    assert broken.reason == RECREATED
    assert (account.published, account.rolled_back, account.removed) == (6, 0, 1)
    assert account.account_of("g").published == 6


def test_numbers_that_were_set_are_no_entries() -> None:
    """XSETID moved them: nothing was published."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    broken, _ = account.feed(replace(look(2.0, 8, g=8), added=100), survivors={(8, 0)})
    assert broken is not None
    assert (broken.reason, account.resets[XSETID], account.published) == (XSETID, 1, 3)


def test_the_return_of_a_stream_that_was_gone_is_one_reset() -> None:
    """It was counted when it went."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    account.mark_gone()
    view = replace(look(2.0, 2, g=0), last=(102, 0), first=(101, 0))
    account.feed(view, survivors=frozenset())
    assert account.resets == {RECREATED: 0, ROLLBACK: 0, XSETID: 0, GONE: 1}
    assert account.present
    assert account.published == 5


def test_a_group_that_is_gone_and_made_again() -> None:
    """Its sums go on; between its lives nothing is owed to it."""
    account = watch(look(0.0, 5, g=5), look(1.0, 8, g=8))
    account.feed(look(2.0, 20))
    account.feed(look(3.0, 20, g=GroupView("g", (20, 0), 0, 0)))
    account.feed(look(4.0, 21, g=21))
    assert account.account_of("g").published == 4


@pytest.mark.parametrize(
    ("group", "facts", "ends"),
    [
        (GroupView("n", (8, 0), 0, 0), {}, True),
        (GroupView("n", (9, 0), 0, 0), {}, True),
        (GroupView("n", (7, 0), 0, 0), {}, False),
        (GroupView("n", (8, 0), 0, 1), {}, True),
        (GroupView("n", (8, 0), 0, 1, entries_read=8), {}, False),
        (GroupView("n", (8, 0), 0, 1), {"max_deleted": (3, 0)}, False),
        (GroupView("n", (8, 0), 0, 1), {"legacy": True}, False),
        (GroupView("n", (8, 0), 1, 0), {}, False),
        (GroupView("n", (8, 0), 0, 0), {"moves": 1}, False),
        (GroupView("n", (8, 0), 0, 0, entries_read=8), {"deletions": 1}, False),
        (GroupView("n", (8, 0), 0, 0, entries_read=8), {"creations": 1, "claims": 1}, True),
    ],
)
def test_a_group_made_at_the_end(group: GroupView, facts: dict[str, object], ends: bool) -> None:
    """There, or moved beyond, and nobody has read in it: who reads is a consumer, and is counted."""
    before, now = look(0.0, 5), look(1.0, 8, **facts)
    step = SnapshotStep(before, now, [], NOTHING, NOTHING, Capability())
    assert begins_at_end(step, group) is ends


# -- rates and bounds ------------------------------------------------------------------------------


def test_entries_a_second() -> None:
    """Over the last minute; none where no time has passed, or nothing is known."""
    assert find_publish_rate(begin_account(DEADLINES)) == 0.0
    assert find_publish_rate(watch(look(5.0, 5))) == 0.0
    assert find_publish_rate(watch(look(0.0, 0), look(0.5, 4), look(1.0, 4))) == 4.0
    account = watch(look(0.0, 0), look(40.0, 400), look(80.0, 440), look(90.0, 440))
    assert find_publish_rate(account) == pytest.approx(40 / 50)
    assert find_publish_rate(account, window=10.0) == 0.0
    assert find_publish_rate(account, window=90.0) == pytest.approx(440 / 90)


def test_room_before_the_next_loss() -> None:
    """What was read and is still kept."""
    account = watch(look(0.0, 5, g=5), look(1.0, 9, 3, g=5))
    assert bound_headroom(account, "g") == point(3)
    vague = watch(look(0.0, 5, g=5), look(1.0, 9, g=7))
    assert bound_headroom(vague, "g") == Bounds(5, 8)


def test_anchors_are_thinned_where_they_are_dense() -> None:
    """Ends and the latest eight stay; it never keeps too many."""
    anchors = [Anchor((n, 0), n, float(n)) for n in range(20)]
    anchors[5] = replace(anchors[5], at=4.01)
    thin = thin_anchors(anchors)
    assert len(thin) == 19
    assert anchors[4] not in thin
    assert thin[0] == anchors[0]
    assert thin[-8:] == anchors[-8:]
    account = begin_account(DEADLINES)
    for n in range(3 * MAX_ANCHORS):
        account.feed(look(float(n), n + 1))
    assert len(account.anchors) <= MAX_ANCHORS + 1
    assert account.anchors[-1].rank == 3 * MAX_ANCHORS


# -- ages ------------------------------------------------------------------------------------------


def test_a_look_knows_when_nobody_had_seen_it_yet() -> None:
    """Each new anchor was published after the look before, also after a written state is read."""
    account = watch(look(100.0, 7, g=7), look(102.0, 7, g=7))
    account.feed(look(104.0, 9, g=7))
    again = load_account(json.loads(write_account(account)), DEADLINES, Capability())
    for each in (account, again):
        assert [(anchor.at, anchor.after) for anchor in each.anchors] == [(100, 0), (104, 102)]
    document = json.loads(write_account(account))
    document["anchors"] = [anchor[:3] for anchor in document["anchors"]]
    old = load_account(document, DEADLINES, Capability())
    assert [(anchor.at, anchor.after) for anchor in old.anchors] == [(100, 0), (104, 0)]


def test_a_stream_is_as_young_as_its_absence_is_recent() -> None:
    """Proven absent at 95: its first entries were published after that."""
    account = begin_account(DEADLINES)
    account.feed(look(100.0, 7), watched_from_birth=True, absent_at=95.0)
    assert (account.anchors[-1].at, account.anchors[-1].after) == (100.0, 95.0)


def test_a_clock_that_is_set_back_stops_no_deadline() -> None:
    """Seen at 1,000 by a clock that was fast, which now says 100: due 5 s later, not at 1,005."""
    for touched in (False, True):
        account = watch(look(998.0, 7, g=7), look(1000.0, 9, g=7))
        if touched:
            assert account.still is False
            account.still = True
            assert account.touch(100.0, NO_CALLS)
        else:
            account.feed(look(100.0, 9, g=7))
        assert [(anchor.at, anchor.after) for anchor in account.anchors] == [(100, 0), (100, 100)]
        account.feed(look(105.0, 9, g=7))
        assert [due.stage for due in account.list_due()] == [DELIVER]


def test_what_a_thinned_anchor_saw_first_was_not_there_at_the_look_before_it() -> None:
    """The next one answers for both, so that a replayed entry is still found out."""
    anchors = [Anchor((n, 0), n, float(n), n - 0.5) for n in range(1, MAX_ANCHORS + 2)]
    kept = thin_anchors(anchors)
    gone = next(n for n, each in enumerate(anchors) if each not in kept)
    assert kept[gone].after == anchors[gone].after < anchors[gone + 1].after


def test_a_stream_that_may_be_another_or_go_on_is_counted_between_both():
    """All that was known is trimmed, and the calls of RENAME and the like are not as they were: 8
    more were published, or another stream of 18.
    """
    account = watch(look(1.0, 0, g=0), look(2.0, 10, g=0))
    broken, _ = account.feed(look(3.0, 18, first=12, g=0, swaps=1), survivors=frozenset())
    assert broken is not None
    assert broken.open
    assert (account.published, account.unseen) == (10, 18)
    told = account.account_of("g")
    assert told.published + told.unseen >= 10 + 18
    assert told.waiting.hi <= 7


def test_a_group_that_comes_later_into_a_life_has_lost_nothing_for_certain() -> None:
    """It was there in the life before; the first look at this one did not see it, and what was
    trimmed since may have gone before it was made.
    """
    account = watch(look(1.0, 5, g=5))
    account.mark_gone()
    account.feed(look(2.0, 2))
    account.feed(look(3.0, 9, first=4, g=GroupView("g", ZERO, 0)))
    found = account.account_of("g")
    assert found.lost.lo == 0
    assert found.waiting == Bounds(6, 6)


def test_what_went_before_a_group_was_seen_is_no_certain_loss_of_it() -> None:
    """Of ten, five were deleted when the group is seen first, anywhere; one more is since."""
    account = watch(look(1.0, 1))
    for now, length, first in ((2.0, 5, 2), (3.0, 4, 3)):
        groups = {"g": GroupView("g", ZERO, 0)}
        head, deleted = (first, 0), (2, 0)
        account.feed(StreamView(now, 10, length, (10, 0), head, max_deleted=deleted, groups=groups))
    assert account.account_of("g").lost.lo <= 1
