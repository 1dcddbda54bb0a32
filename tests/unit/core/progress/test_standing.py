"""How milestones stand: measured before claimed, and every contradiction is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.progress.plan import Claim, Milestone, Plan, Reading
from sentinel.core.progress.standing import WorkStanding, WorkState, judge_plan

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def judge(
    milestone: Milestone, reading: Reading | None = None, best: float | None = None
) -> WorkStanding:
    plan = Plan(milestones={milestone.name: milestone})
    known = {} if reading is None else {milestone.name: reading}
    seen = {} if best is None else {milestone.name: best}
    return judge_plan(plan, known, {}, seen, NOW)[milestone.name]


def read(done: float, total: float = 10, **more: object) -> Reading:
    return Reading("m", NOW, done, total, "counted", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reading", "claim", "state", "ratio", "claimed"),
    [
        (read(10), None, WorkState.DONE, 1.0, False),
        (read(4), None, WorkState.IN_PROGRESS, 0.4, False),
        (read(0), None, WorkState.READY, 0.0, False),
        (read(4), 1.0, WorkState.IN_PROGRESS, 0.4, False),
        (None, 1.0, WorkState.CLAIMED, 1.0, True),
        (None, 0.5, WorkState.IN_PROGRESS, 0.5, True),
        (None, None, WorkState.UNKNOWN, None, False),
        (Reading("m", NOW, why="refused"), None, WorkState.UNKNOWN, None, False),
        (read(3, 0), None, WorkState.UNKNOWN, None, False),
    ],
)
def test_a_measurement_comes_before_a_claim(
    reading: Reading | None,
    claim: float | None,
    state: WorkState,
    ratio: float | None,
    claimed: bool,
) -> None:
    """And without either nothing is known."""
    said = None if claim is None else Claim(claim, NOW)
    found = judge(Milestone("m", "t", claim=said), reading)
    assert (found.state, found.ratio, found.claimed) == (state, ratio, claimed)
    assert found.basis.startswith("claimed" if claimed else ("counted", "not measured"))


@pytest.mark.parametrize(
    ("milestone", "reading", "best", "note"),
    [
        (Milestone("m", "t", claim=Claim(1.0, NOW)), read(4), None,
         "contradiction: claimed 100 %, measured 40 %"),
        (Milestone("m", "t"), read(4), 0.7, "went back: was 70 %, is 40 %"),
        (Milestone("m", "t", claim=Claim(0.5, NOW - 3 * DAY)), None, None,
         "stale: said 3 d ago"),
        (Milestone("m", "t"), read(4, written=NOW - 2 * DAY), None, "stale: said 2 d ago"),
        (Milestone("m", "t"), read(4, overdue=NOW - DAY), None,
         "stale: its source is 1 d behind its own next update"),
        (Milestone("m", "t", due=NOW - DAY), read(4), None, "overdue for 1 d"),
        (Milestone("m", "t", claim=Claim(1.0, NOW + 2 * DAY)), None, None,
         "contradiction: said on 2026-03-12, which is yet to come"),
    ],
    ids=["claim", "back", "old claim", "old source", "late source", "overdue", "claim of tomorrow"],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    milestone: Milestone, reading: Reading | None, best: float | None, note: str
) -> None:
    """In one sentence each."""
    assert [each.replace("0 h", "").strip() for each in judge(milestone, reading, best).notes] == [
        note
    ]


def test_what_fits_has_no_note() -> None:
    """Claim and measurement agree, nothing is late."""
    milestone = Milestone("m", "t", claim=Claim(0.402, NOW), due=NOW + DAY)
    assert judge(milestone, read(4), 0.4).notes == ()


def test_who_waits_for_whom() -> None:
    """A claim resolves a need, as a claim; what began too early is a contradiction."""
    plan = Plan(
        milestones={
            "a": Milestone("a", "t", claim=Claim(1.0, NOW)),
            "b": Milestone("b", "t", needs=("a",)),
            "c": Milestone("c", "t", needs=("a", "b")),
        }
    )
    readings = {"b": Reading("b", NOW, 0, 4, "x"), "c": Reading("c", NOW, 1, 4, "x")}
    found = judge_plan(plan, readings, {"b": 0.25}, {}, NOW)
    assert [each.state for each in found.values()] == [
        WorkState.CLAIMED,
        WorkState.READY,
        WorkState.WAITING,
    ]
    assert found["c"].open_needs == ("b",)
    assert found["c"].notes == ("contradiction: begun before what it needs (b)",)
    assert found["b"].before == 0.25
