"""What is remembered of synthetic tasks, and the small rules by which one is watched."""

from __future__ import annotations

import json

import pytest

from sentinel.core.tasks.synthetic import (
    BOUNDS,
    HOPS,
    RECENT,
    RESULT,
    Canary,
    End,
    HopPlan,
    Lasting,
    RowSight,
    TaskOutcome,
    Watch,
    WorkflowRecord,
    is_backwards,
    measure,
    next_hop,
    observe,
    step,
)

PLAN = HopPlan(dict.fromkeys(HOPS, 1.0))
SENT = 100.0


def canary(ours: bool = True, **reached: float) -> Canary:
    """Sent at 100; it has passed these hops at these instants."""
    spans = {hop: (at, at) for hop, at in reached.items()}
    return Canary("t", SENT, SENT, "7", ours=ours, reached=spans)


def test_a_growing_histogram() -> None:
    """Cumulative; beyond the last bound only the total has it; it survives its document."""
    lasting = Lasting()
    for seconds in (0.005, 0.006, 300.0, 301.0):
        lasting.add(seconds)
    found = lasting.histogram()
    counts = dict(zip(found.bounds, found.counts, strict=True))
    assert found.bounds == BOUNDS
    assert (counts[0.005], counts[0.01], counts[300.0]) == (1, 2, 3)
    assert (found.total, found.sum) == (4, pytest.approx(601.011))
    assert Lasting(json.loads(json.dumps(lasting.dump()))).histogram() == found
    assert Lasting().histogram().total == 0


def test_a_record_counts_each_end_once() -> None:
    """By outcome and hop; an orphan is none of the recent ones and has no latency."""
    record = WorkflowRecord()
    done = {hop: SENT + n + 1 for n, hop in enumerate(HOPS)}
    record.ended(End(TaskOutcome.OK, "", canary(**done)), PLAN)
    record.ended(End(TaskOutcome.LATE, "started", canary(**done)), PLAN)
    record.ended(End(TaskOutcome.ORPHAN, "", canary(ours=False, **done), blind=True), PLAN)
    assert record.ends == {("ok", ""): 1, ("late", "started"): 1, ("orphan", ""): 1}
    assert list(record.recent) == [("ok", ""), ("late", "started")]
    assert record.lasted["created"].histogram().total == 2
    assert record.lasted["total"].histogram().sum == 10.0
    assert (record.blind, record.skewed) == (1, 0)
    assert [record.total(outcome) for outcome in (TaskOutcome.OK, TaskOutcome.LOST)] == [1, 0]


def test_the_recent_ends_are_bounded() -> None:
    """Also those of a document."""
    record = WorkflowRecord({"recent": [["ok", ""]] * 500})
    assert len(record.recent) == RECENT


def test_the_hop_that_is_waited_for() -> None:
    """The first that was not passed and can be seen; the last one when there is none."""
    on_its_way = canary(created=100.1, assigned=100.2)
    assert next_hop(on_its_way, PLAN) == "published"
    assert next_hop(on_its_way, PLAN, frozenset({"published"})) == "started"
    assert next_hop(canary(**dict.fromkeys(HOPS, 101.0)), PLAN) == "completed"


def test_hops_are_measured_from_the_one_before() -> None:
    """And all of a completed task."""
    done = canary(created=101.0, assigned=103.0, published=103.0, started=110.0, completed=150.0)
    assert {hop: span[1] for hop, span in measure(done, PLAN).items()} == {
        "created": 1.0,
        "assigned": 2.0,
        "published": 0.0,
        "started": 7.0,
        "completed": 40.0,
        "total": 50.0,
    }
    assert "total" not in measure(canary(created=101.0), PLAN)
    assert not is_backwards(done, PLAN)


def test_times_that_go_backwards_measure_nothing() -> None:
    """Two clocks disagree: that hop is left out, the others are kept."""
    mixed = canary(created=102.0, assigned=101.0)
    assert measure(mixed, PLAN).keys() == {"created"}
    assert is_backwards(mixed, PLAN)


def test_what_was_noted_is_kept() -> None:
    """A row that is set back shows less than it did: the hops stay passed, at their instants."""
    first = observe(canary(), RowSight(101.0, {"created": (100.5, 100.5)}), PLAN)
    again = observe(first, RowSight(105.0, {"created": (104.0, 104.0)}), PLAN)
    assert again.reached["created"] == (100.5, 100.5)
    assert (again.seen, again.confirmed, again.missing) == (True, True, 0)


def test_every_ending_is_known_in_advance() -> None:
    """So that each has its series from the start; no two are the same."""
    endings = list(PLAN.endings)
    assert len(endings) == len(set(endings)) == 4 + 4 * len(HOPS)
    assert (TaskOutcome.FAILED, RESULT) in endings
    shorter = HopPlan({"created": 1.0, "completed": 1.0})
    assert shorter.hops == ("created", "completed")
    assert not any(hop == "assigned" for _, hop in shorter.endings)


@pytest.mark.parametrize(("seconds", "is_over"), [(8.0, False), (8.1, True)])
def test_a_task_is_given_up_after_its_patience(seconds: float, is_over: bool) -> None:
    """Four deadlines of each hop that was not passed up to the one that can be seen."""
    looked = RowSight(
        SENT + seconds,
        {"created": (SENT, SENT), "assigned": (SENT, SENT)},
        hidden=frozenset({"published"}),
    )
    found = step(canary(), looked, PLAN, SENT + seconds, Watch(1000.0))
    assert isinstance(found, End) is is_over
    if isinstance(found, End):
        assert (found.outcome, found.hop) == (TaskOutcome.STUCK, "started")
