"""What `task_assignment` remembers: every task counted once, by queue, over restarts and versions."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.core.tasks.assignment import CohortWindow, Horizon, Inserted
from sentinel.core.tasks.ledger import Counted, Newcomers, Sighting
from sentinel.core.tasks.state import (
    MAX_QUEUES,
    OTHER,
    AssignmentState,
    TaskReach,
    stage_totals,
)
from sentinel.core.tasks.tracker import TaskTally

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HORIZON = Horizon(NOW, NOW)
WINDOW = CohortWindow(NOW - timedelta(seconds=2), NOW - timedelta(seconds=1))
START, END = WINDOW.start.timestamp(), WINDOW.end.timestamp()
CREATED_AT = ColumnClock("t.created_at", Basis.DISAGREED, "UTC", ("Europe/Athens", "Asia/Tokyo"))


def row(queue: str | None, kind: str, n: int, off: float | None = None) -> dict[str, Any]:
    return {"queue": queue, "class": kind, "n": n, "off": off}


def again(state: AssignmentState) -> AssignmentState:
    """After a restart."""
    return AssignmentState(json.loads(json.dumps(state.dump())))


def settled() -> AssignmentState:
    state = AssignmentState()
    rows = [
        row("a", "in_deadline", 5),
        row("a", "late", 2),
        row("b", "unassigned", 1),
        row("b", "negative", 3),
        row(None, "in_deadline", 1),
    ]
    state.settle([(START, END, rows)], WINDOW, HORIZON, final=START)
    return state


def test_each_class_is_counted_in_its_queue() -> None:
    """What is aside is no queue's; the watermark moves with the counts."""
    state = settled()
    assert state.queues["a"].settled == {"in_deadline": 5, "late": 2, "unassigned": 0}
    assert state.queues["none"].settled["in_deadline"] == 1
    assert state.aside["negative"] == 3
    assert state.settled_to == WINDOW.end
    assert state.counted == 12
    assert state.summary() == {
        "total": 9,
        "within_deadline": 6,
        "late": 2,
        "unassigned": 1,
        "negative": 3,
        "offset": 0,
        "missing": 0,
        "censored": 0,
        "deleted": 0,
        "untracked": 0,
        "late_arrivals": 0,
    }


def test_the_last_minute_by_queue() -> None:
    """Of all and of each, over a restart; what is aside is of all only."""
    for state in (settled(), again(settled())):
        now = NOW.timestamp()
        assert state.recent.count(now) == (6, 9, 3)
        by_queue = {name: each.count(now) for name, each in state.recent_by_queue.items()}
        assert by_queue == {"a": (5, 7, 0), "b": (0, 1, 0), "none": (1, 1, 0)}
        assert state.recent_by_queue["a"].count(now + 61) == (0, 0, 0)


def test_a_class_aside_makes_no_queue() -> None:
    """A task without a queue that can't be counted has no series."""
    state = AssignmentState()
    state.take(TaskTally(settled=Counter({(None, "untracked"): 4})), HORIZON, 0.1, 60.0)
    assert (state.queues, state.recent_by_queue, state.aside["untracked"]) == ({}, {}, 4)


def test_a_window_that_is_not_final_is_counted_again() -> None:
    """With everything that was in it, also what is aside; what it has more is counted, and later
    windows wait for rows as late.
    """
    state = again(settled())
    (stretch,) = state.ledger.stretches
    assert (stretch.n, stretch.classes is None) == (12, False)
    rows = [row("a", "in_deadline", 7), row("a", "late", 2), row("b", "unassigned", 1)]
    rows += [row("b", "negative", 3), row(None, "in_deadline", 1)]
    state.recount(stretch, rows, HORIZON, 3.5)
    assert (state.queues["a"].settled["in_deadline"], state.counted) == (7, 14)
    now = NOW.timestamp()
    assert (state.lateness(now), state.lateness(now + 3599), state.lateness(now + 3600)) == (
        3.5,
        3.5,
        0.0,
    )
    assert again(state).lateness(now) == 3.5


def test_what_a_look_finds_is_counted_once() -> None:
    """Late, or off by hours; each reaches the minute that is judged only when its time can't be."""
    state, now = AssignmentState(), NOW.timestamp()
    found = [Newcomers("late", 3), Newcomers("offset", 4, 7200.0), Newcomers("offset", 1)]
    state.note_sighting(Sighting(found, (), 5, now + 7100.0), HORIZON, now)
    assert (state.late_arrivals, state.aside["offset"], state.counted) == (3, 5, 8)
    assert state.recent.count(now) == (0, 0, 5)
    assert (state.ahead, state.odd.most(now)) == ((5, 7100.0), ("created_at", 7200.0))
    assert again(state).ahead == (5, 7100.0)


def test_shifts_are_those_of_the_catalog_and_those_seen() -> None:
    """From the zone in which a time is read to each that it may be in; a declared zone has none."""
    state, now = AssignmentState(), NOW.timestamp()
    state.know_clocks({"created_at": CREATED_AT}, "created_at", "assigned_at")
    assert state.shifts(now) == [-32400.0, -7200.0]
    state.odd.note(now, "created_at", -28800.0, 2)
    state.odd.note(now, "created_at", 37.0, 2)
    assert state.shifts(now) == [-32400.0, -7200.0, 28800.0]
    declared = replace(CREATED_AT, basis=Basis.DECLARED)
    state.know_clocks({"created_at": declared}, "created_at", "assigned_at")
    assert state.shifts(now) == [28800.0]


def test_another_zone_begins_without_the_evidence_of_the_last() -> None:
    """What was off by another reading says nothing of a corrected `zone:`; the same one keeps it."""
    state, now = AssignmentState(), NOW.timestamp()
    state.know_clocks({"created_at": CREATED_AT}, "created_at", "assigned_at")
    state.odd.note(now, "created_at", 7200.0, 2)
    state.recent.add(now, {"offset": 2})
    state.know_clocks({"created_at": CREATED_AT}, "created_at", "assigned_at")
    assert (state.odd.offsets(now, "created_at"), state.recent.count(now)) == ({7200.0}, (0, 0, 2))
    athens = replace(CREATED_AT, zone="Europe/Athens", basis=Basis.DECLARED)
    state.know_clocks({"created_at": athens}, "created_at", "assigned_at")
    assert (state.odd.offsets(now, "created_at"), state.recent.count(now)) == (set(), (0, 0, 0))


def test_everything_survives_a_restart() -> None:
    """The same document again."""
    state = settled()
    state.fit([0.1, 1.0])
    state.queue("a").observe([1, 2], 3, 1.5)
    state.stage(
        [{"stage": "run", "buckets": [1], "n": 1, "seconds": 2, "unfinished": 4, "skewed": 5}],
        WINDOW,
    )
    state.observed_to = NOW
    assert again(state).dump() == state.dump()
    assert again(state).staged_to == WINDOW.end


def test_a_document_of_the_version_before_is_read() -> None:
    """It has no queues for its last minute: the sum goes on, no figure begins anew."""
    document = settled().dump()
    for name in ("recent_by_queue", "ledger", "late_by", "ahead"):
        del document[name]
    document["recounts"] = [(WINDOW.start.isoformat(), WINDOW.end.isoformat(), 12)]
    state = AssignmentState(json.loads(json.dumps(document)))
    assert state.recent.count(NOW.timestamp()) == (6, 9, 3)
    assert state.recent_by_queue == {}
    assert state.counted == 12
    assert state.ledger.stretches == [Counted(START, END, 12)]
    assert state.ledger.looked is None


def test_queues_are_bounded() -> None:
    """The fifty-first shares a label with all that follow; those that are known keep theirs."""
    state = AssignmentState()
    labels = [state.label(f"q{n}") for n in range(MAX_QUEUES + 5)]
    assert labels == [*(f"q{n}" for n in range(MAX_QUEUES)), *[OTHER] * 5]
    assert (state.label("q3"), state.label("")) == ("q3", OTHER)
    assert [AssignmentState().label(name) for name in ("", None)] == ["default", "none"]


def test_histograms_begin_again_with_other_bounds() -> None:
    """Only then."""
    state = AssignmentState()
    state.fit([1.0])
    state.queue("a").observe([1], 2, 3.0)
    state.fit([1.0])
    assert state.queue("a").total == 2
    state.fit([1.0, 2.0])
    assert (state.queue("a").total, state.queue("a").buckets) == (0, [])


def test_what_the_tracker_adds() -> None:
    """Latencies, re-assignments between bounds, and how many of them were certainly in time."""
    state = AssignmentState()
    state.fit([0.1, 1.0])
    tally = TaskTally(
        settled=Counter({("a", "late"): 1}),
        latencies=[("a", 0.5)],
        reassigned=[("a", (0.05, 0.2)), ("a", (0.01, 0.09)), ("a", (2.0, 3.0))],
        missing=[(0.0, 0.05)],
    )
    state.take(tally, HORIZON, 0.1, 60.0)
    assert state.queue("a").histogram(state.bounds).counts == (0, 1)
    assert state.queue("a").reassigned == 3
    assert state.in_time == {"missing": [1, 1], "reassigned": [1, 2]}
    assert state.returns["least"].histogram(state.bounds).counts == (2, 2)
    assert state.returns["most"].histogram(state.bounds).counts == (1, 2)


def test_throughput_adds_up_by_label() -> None:
    """Rows of one label are one figure, and the last reading is the only one."""
    state = AssignmentState()
    rows = [{"queue": name, "assigned": 2, "completed": 1} for name in ("a", "a", "b")]
    state.note_throughput(rows)
    state.note_throughput(rows)
    assert state.throughput == {"a": (4, 2), "b": (2, 1)}


def test_stages_are_there_from_zero_on() -> None:
    """A stage that nothing has passed has a histogram of zeros."""
    totals = stage_totals(AssignmentState(), ["run"])["run"]
    assert (totals.total, sum(totals.buckets), totals.unfinished) == (0, 0, 0)


def test_reach_is_told_where_it_is_short() -> None:
    """Nothing where all is seen; the index where one cures it."""
    assert TaskReach(60.0, 60.0).describe() == {}
    short = TaskReach(60.0, 30.0, shortened=("open",), advice="CREATE INDEX …")
    assert short.describe() == {"reach_seconds": {"open": 60.0}, "index_advice": "CREATE INDEX …"}
    assert "index_advice" not in TaskReach(60.0, shortened=("open",)).describe()


@pytest.mark.parametrize(
    ("settled_to", "counted", "missed"),
    [(180.0, 7, 30), (120.0, 7, 30), (119.0, 7, 0), (180.0, 8, 0)],
)
def test_rows_that_no_time_of_creation_shows(settled_to: float, counted: int, missed: int) -> None:
    """Inserted in the latest minute that is settled, while nothing was counted since the mark
    before it; with less than three marks nobody knows.
    """
    inserted = Inserted()
    for minute in range(4):
        inserted.note(60.0 * minute, 30 * minute, 7)
    assert inserted.count_missed(settled_to, counted) == missed
