"""One due cohort at one look: what is asked, when it is answered, what the answers prove."""

from __future__ import annotations

import pytest

from sentinel.core.bus.delivery.cohort import ACK, DELIVER, Answer, Cohort, Due, Question
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.settle import (
    PENDING_PAGE,
    CohortJudge,
    is_intact_behind,
    make_settlement,
)
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    ZERO,
    Anchor,
    GroupView,
    Id,
    StreamView,
    point,
)
from sentinel.core.quantity import Bounds

ANCHORS = [Anchor(ZERO, 0, 0.0), Anchor((10, 0), 10, 1.0), Anchor((20, 0), 20, 2.0)]
COHORT = Cohort(ANCHORS[1], ANCHORS[2], frozenset({("g", ACK), ("g", DELIVER)}))


def at(*numbers: int) -> tuple[Id, ...]:
    return tuple((n, 0) for n in numbers)


def judge(
    delivered: int,
    pending: int = 0,
    first: int = 1,
    deleted: int = 0,
    position: Bounds | None = None,
    length: int | None = None,
) -> CohortJudge:
    """A stream of twenty, of which the group `g` got so many."""
    group = GroupAccount.begin(ANCHORS[0])
    group.delivered, group.fresh = (delivered, 0), False
    group.position = position or point(delivered)
    group.pending = point(pending)
    here = 20 - first + 1 - (deleted > 0) if length is None else length
    views = {"g": GroupView("g", (delivered, 0), pending, 1)}
    view = StreamView(9.0, 20, here, (20, 0), (first, 0), (deleted, 0), views)
    return CohortJudge(view, point(first - 1), ANCHORS, {"g": group})


def due(stage: str = ACK) -> Due:
    return Due(COHORT, "g", stage)


PENDING = Question("pending", "g", (10, 0), (20, 0), PENDING_PAGE)
LIVE = Question("live", "g", (14, 0), (20, 0), 100)


# -- questions -------------------------------------------------------------------------------------


def test_what_is_clear_raises_no_question() -> None:
    """All read, nothing pending, nothing waits."""
    assert judge(20).ask([due(ACK), due(DELIVER)], 100) == []


def test_pending_entries_are_asked_for_at_the_second_deadline() -> None:
    """By a page of their own, or a larger cap; at the first deadline nobody asks."""
    assert judge(20, pending=3).ask([due(DELIVER)], 100) == []
    assert judge(20, pending=3).ask([due()], 100) == [PENDING]
    (question,) = judge(20, pending=3).ask([due()], 20_000)
    assert question.cap == 20_000


@pytest.mark.parametrize(
    ("delivered", "deleted", "asked"),
    [(14, 14, 0), (14, 15, 1), (20, 15, 0), (5, 10, 0), (5, 11, 1)],
)
def test_holes_are_asked_for_where_they_may_be(delivered: int, deleted: int, asked: int) -> None:
    """In the part of the cohort that is unread, behind where the group stands."""
    found = judge(delivered, deleted=deleted).ask([due(DELIVER)], 100)
    assert len(found) == asked
    if asked:
        after = (max(delivered, 10), 0)
        assert found == [Question("live", "g", after, (20, 0), 100)]


def test_an_empty_stream_has_no_holes() -> None:
    """Nothing waits in it."""
    assert judge(14, deleted=15, length=0).ask([due(DELIVER)], 100) == []


def test_a_vague_position_is_counted_to_the_next_anchor() -> None:
    """Where nothing is missing behind it; else no count would prove anything."""
    vague = judge(14, position=Bounds(10, 19))
    vague.groups["g"].waiting = Bounds(1, 10)
    vague.groups["g"].oldest_waiting = (15, 0)
    assert vague.ask([], 100)[0] == LIVE
    for missing in (judge(14, deleted=15), judge(14, first=15)):
        missing.groups["g"].waiting = Bounds(1, 10)
        missing.groups["g"].oldest_waiting = (15, 0)
        assert missing.ask([], 100) == []


def test_the_oldest_that_waits_is_asked_for() -> None:
    """One entry, without an end; not twice, and not when nothing waits."""
    waits = judge(14)
    waits.groups["g"].waiting = point(6)
    assert waits.ask([], 100) == [Question("live", "g", (14, 0), None, 1)]
    waits.groups["g"].oldest_waiting = (15, 0)
    assert waits.ask([], 100) == []


def test_pending_entries_of_the_past_are_asked_for() -> None:
    """Up to where the watch began; a group that is gone is asked nothing."""
    vague = judge(20, pending=2)
    vague.groups["g"].base = Anchor((5, 0), 5, 1.0)
    vague.groups["g"].pending = Bounds(0, 2)
    assert vague.ask([], 100) == [Question("pending", "g", ZERO, (5, 0), 100)]
    vague.groups["g"].gone = True
    assert vague.ask([], 100) == []


# -- answered? -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "pending", "asked", "answered"),
    [
        (DELIVER, 3, None, True),
        (ACK, 0, None, True),
        (ACK, 3, None, False),
        (ACK, 3, PENDING, True),
        (ACK, 3, Question("live", "g", (10, 0), (20, 0), 9), False),
        (ACK, 3, Question("pending", "h", (10, 0), (20, 0), 9), False),
        (ACK, 3, Question("pending", "g", (9, 0), (20, 0), 9), False),
        (ACK, 3, Question("pending", "g", (10, 0), (19, 0), 9), False),
    ],
)
def test_a_pending_list_must_be_of_this_cohort(
    stage: str, pending: int, asked: Question | None, answered: bool
) -> None:
    """Of its kind, its group, its span."""
    answers = {} if asked is None else {asked: Answer((), full=False)}
    assert judge(20, pending).is_answered(due(stage), answers) is answered


@pytest.mark.parametrize(
    ("after", "upto", "answered"),
    [(14, 20, True), (10, 20, True), (15, 20, False), (14, 19, False)],
)
def test_a_list_of_what_is_live_must_hold_all_that_is_unread(
    after: int, upto: int, answered: bool
) -> None:
    """It may begin earlier, and ends with the cohort."""
    answers = {Question("live", "g", (after, 0), (upto, 0), 100): Answer((), full=False)}
    assert judge(14, deleted=16).is_answered(due(DELIVER), answers) is answered


def test_a_group_that_is_not_there_cannot_be_judged() -> None:
    """Gone, or not in this look."""
    there = judge(20)
    assert there.is_answered(due(), {})
    there.groups["g"].gone = True
    assert not there.is_answered(due(), {})
    assert not judge(20).is_answered(Due(COHORT, "h", ACK), {})


# -- judgement -------------------------------------------------------------------------------------


def test_a_clean_cohort() -> None:
    """All delivered, nothing pends: all good."""
    found = judge(20).judge(due(), {})
    assert found.clean
    assert (found.size, found.good) == (10, point(10))
    assert (found.start, found.end) == ((10, 0), (20, 0))


def test_what_waits_is_told_by_ranks() -> None:
    """The position is known: six of ten; nobody has read any: all ten."""
    assert judge(14).judge(due(DELIVER), {}).waiting == point(6)
    assert judge(4).judge(due(DELIVER), {}).waiting == point(10)
    assert judge(19).judge(due(DELIVER), {}).waiting == point(1)
    vague = judge(14, position=Bounds(12, 16))
    assert vague.judge(due(DELIVER), {}).waiting == Bounds(4, 8)


@pytest.mark.parametrize(("first", "waiting"), [(11, 10), (12, 9), (16, 5)])
def test_what_was_trimmed_does_not_wait(first: int, waiting: int) -> None:
    """The head lies in the cohort."""
    assert judge(10, first=first).judge(due(DELIVER), {}).waiting == point(waiting)


def test_nothing_waits_in_an_empty_stream() -> None:
    """All of it is gone."""
    assert judge(14, length=0).judge(due(DELIVER), {}).waiting == NOTHING


def test_holes_leave_only_what_is_listed() -> None:
    """Two of six are still there."""
    answers = {LIVE: Answer(at(17, 20), full=False)}
    assert judge(14, deleted=16).judge(due(DELIVER), answers).waiting == point(2)
    assert judge(14, deleted=16).judge(due(DELIVER), {}).waiting == Bounds(0, 6)


def test_what_pends_is_what_is_listed_of_the_cohort() -> None:
    """Behind its start, and delivered: what was claimed by force before it was read still waits."""
    answers = {PENDING: Answer(at(10, 11, 14, 15), full=False)}
    found = judge(14, pending=9).judge(due(), answers)
    assert found.pending == point(2)
    full = {PENDING: Answer(at(11, 12), full=True)}
    assert judge(20, pending=9).judge(due(), full).pending == Bounds(2, 10)
    assert judge(20, pending=9).judge(due(DELIVER), answers).pending == NOTHING


def test_losses_find_room_beside_what_is_certain() -> None:
    """Ten entries: six wait, so that four at most were lost or dropped."""
    both = judge(14)
    both.groups["g"].losses.add_possible(10, 20, 0, 9)
    both.groups["g"].losses.add_drop(10, 20, 9)
    found = both.judge(due(), {})
    assert (found.waiting, found.lost, found.dropped) == (point(6), Bounds(0, 4), 4)
    sure = judge(20)
    sure.groups["g"].losses.add_certain(12, 15)
    sure.groups["g"].losses.add_drop(10, 20, 9)
    found = sure.judge(due(), {})
    assert (found.lost, found.dropped, found.good) == (point(3), 7, Bounds(0, 7))


def test_nobody_can_be_asked_any_more() -> None:
    """What waited or pended may have ended in any way, up to all of the cohort."""
    blind = judge(14, pending=2)
    blind.groups["g"].waiting = point(6)
    found = blind.judge_blind(due())
    assert (found.waiting, found.good) == (Bounds(0, 8), Bounds(2, 10))
    blind.groups["g"].waiting = point(60)
    assert blind.judge_blind(due()).waiting == Bounds(0, 10)


# -- a rank on demand ------------------------------------------------------------------------------


def test_a_rank_is_an_anchor_less_what_is_live_between() -> None:
    """Six are listed up to rank 20: the group stands at 14. A list that was cut bounds it."""
    answer = Answer(at(15, 16, 17, 18, 19, 20), full=False)
    assert judge(14).bound_position(LIVE, answer) == point(14)
    assert judge(14).bound_position(LIVE, Answer(at(15, 16), full=True)) == Bounds(0, 18)


@pytest.mark.parametrize(
    ("asked", "court"),
    [
        (LIVE, judge(14, deleted=15)),
        (LIVE, judge(14, first=15)),
        (LIVE, judge(13)),
        (Question("live", "g", (14, 0), (19, 0), 100), judge(14)),
        (Question("live", "g", (5, 0), (10, 0), 100), judge(14)),
    ],
)
def test_a_rank_that_nothing_proves(asked: Question, court: CohortJudge) -> None:
    """Something may be missing, the list begins too late, or ends at no known rank, or before it."""
    assert court.bound_position(asked, Answer((), full=False)) is None


@pytest.mark.parametrize(
    ("first", "deleted", "length", "intact"),
    [(5, 0, 9, True), (6, 0, 9, False), (1, 5, 9, True), (1, 6, 9, False), (1, 0, 0, False)],
)
def test_intact_behind_an_entry(first: int, deleted: int, length: int, intact: bool) -> None:
    """It may be the head, or deleted itself."""
    view = StreamView(1.0, 20, length, (20, 0), (first, 0), (deleted, 0))
    assert is_intact_behind(view, (5, 0)) is intact


def test_a_settlement_is_of_its_cohort() -> None:
    """With what was not seen of it."""
    cohort = Cohort(ANCHORS[0], ANCHORS[1], COHORT.open, unseen=2)
    found = make_settlement(Due(cohort, "g", ACK), point(1), point(2), point(3), 4)
    assert (found.group, found.stage, found.size, found.unseen) == ("g", ACK, 10, 2)
    assert (found.waiting, found.pending, found.lost, found.dropped) == (
        point(1),
        point(2),
        point(3),
        4,
    )


@pytest.mark.parametrize(("kind", "group"), [("pending", "g"), ("live", "h")])
def test_a_list_of_something_else_tells_nothing_of_what_waits(kind: str, group: str) -> None:
    """Of another kind, or about another group."""
    answers = {Question(kind, group, (14, 0), (20, 0), 100): Answer((), full=False)}
    assert not judge(14, deleted=16).is_answered(due(DELIVER), answers)


def test_who_waits_longest_is_asked_anew_with_every_second_snapshot():
    """The snapshot that brings the answers forgets it: its age would fall to nothing for a look."""
    before = judge(delivered=14, pending=3)
    group = before.groups["g"]
    group.waiting, group.oldest_waiting = point(6), (15, 0)
    assert Question("live", "g", (14, 0), None, 1) in before.ask([due()], 100)
    assert before.ask([], 100) == []
