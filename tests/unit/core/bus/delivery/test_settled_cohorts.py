"""What a due cohort raises as questions, and which answers settle it."""

from __future__ import annotations

from dataclasses import replace

from sentinel.core.bus.delivery import ZERO, Anchor, Answer, GroupView, Question, StreamView
from sentinel.core.bus.delivery.cohort import ACK, DELIVER, Cohort, Due
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.settle import PENDING_PAGE, CohortJudge, is_intact_behind
from sentinel.core.bus.delivery.stream import point
from sentinel.core.quantity import Bounds

START, END = Anchor((5, 0), 5, 1.0), Anchor((9, 0), 9, 2.0)
COHORT = Cohort(START, END, frozenset({("g", ACK), ("g", DELIVER)}))
NONE = Bounds(0, 0)


def due(stage: str) -> Due:
    return Due(COHORT, "g", stage)


def judge(delivered: int = 9, pending: int = 0, max_deleted: int = 0) -> CohortJudge:
    """Entries 1 … 9 are there; the group has got those up to `delivered`."""
    group = GroupAccount.begin(Anchor(ZERO, 0, 0.0))
    group.delivered, group.position, group.fresh = (delivered, 0), point(delivered), False
    group.waiting, group.oldest_waiting = point(9 - delivered), (delivered + 1, 0)
    group.pending = point(pending)
    view = StreamView(
        now=9.0,
        added=9,
        length=9,
        last=(9, 0),
        first=(1, 0),
        max_deleted=(max_deleted, 0),
        groups={"g": GroupView("g", (delivered, 0), pending, 1)},
    )
    return CohortJudge(view, NONE, [Anchor(ZERO, 0, 0.0), START, END], {"g": group})


def pending_question() -> Question:
    return Question("pending", "g", START.id, END.id, PENDING_PAGE)


def listed(*ids: int) -> Answer:
    return Answer(tuple((n, 0) for n in ids), False)


def test_what_is_clean_asks_nothing_and_is_settled():
    """Everything delivered, nothing pending: no question at either stage."""
    clean = judge()
    for stage in (ACK, DELIVER):
        assert clean.ask([due(stage)], 10) == []
        assert clean.is_answered(due(stage), {})
        assert clean.judge(due(stage), {}).good == Bounds(4, 4)


def test_pending_entries_are_asked_about_at_the_deadline_to_acknowledge_alone():
    """Whether they were delivered needs no list of what pends; a cohort is never cut short."""
    held = judge(pending=3)
    assert held.ask([due(DELIVER)], 10) == []
    assert held.is_answered(due(DELIVER), {})
    assert held.ask([due(ACK)], 10) == [pending_question()]
    assert not held.is_answered(due(ACK), {})
    other = replace(pending_question(), upto=(8, 0))
    assert not held.is_answered(due(ACK), {other: listed(6)})
    answers = {pending_question(): listed(6, 8)}
    assert held.is_answered(due(ACK), answers)
    assert held.judge(due(ACK), answers).pending == Bounds(2, 2)


def test_what_waits_follows_from_ranks():
    """Two of the cohort's four are not delivered, and nothing can have made a hole."""
    waits = judge(delivered=7)
    assert waits.is_answered(due(DELIVER), {})
    assert waits.judge(due(DELIVER), {}).waiting == Bounds(2, 2)


def test_holes_ahead_are_asked_about():
    """XDEL behind the position: only a list of live entries tells how many of them wait."""
    holes = judge(delivered=7, max_deleted=8)
    question = Question("live", "g", (7, 0), END.id, 10)
    assert question in holes.ask([due(DELIVER)], 10)
    assert not holes.is_answered(due(DELIVER), {})
    assert not holes.is_answered(due(DELIVER), {replace(question, after=(8, 0)): listed(9)})
    earlier = {replace(question, after=START.id): listed(6, 7, 9)}
    assert holes.is_answered(due(DELIVER), earlier)
    assert holes.judge(due(DELIVER), earlier).waiting == Bounds(1, 1)
    assert judge(delivered=7, max_deleted=7).ask([due(DELIVER)], 10) == []


def test_a_group_that_is_gone_is_not_answered():
    """Neither one that the snapshot does not have."""
    found = judge()
    found.groups["g"].gone = True
    assert not found.is_answered(due(DELIVER), {})
    bare = replace(found, view=replace(found.view, groups={}))
    assert not bare.is_answered(due(DELIVER), {})


def test_nothing_is_missing_behind_what_is_intact():
    """From the head on, and from the newest deletion on."""
    view = judge().view
    assert is_intact_behind(view, (1, 0))
    assert not is_intact_behind(view, (0, 9))
    assert is_intact_behind(replace(view, max_deleted=(4, 0)), (4, 0))
    assert not is_intact_behind(replace(view, max_deleted=(4, 0)), (3, 0))
    assert not is_intact_behind(replace(view, length=0), (5, 0))
