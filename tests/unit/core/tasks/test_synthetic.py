"""One synthetic task at a time: which hop, how it ended, how long each hop took at least and at
most.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from sentinel.core.tasks.synthetic import (
    Canary,
    End,
    HopPlan,
    RowSight,
    TaskOutcome,
    Watch,
    WorkflowRecord,
    is_backwards,
    measure,
    overdue,
    step,
)
from sentinel.core.tasks.synthetic_fleet import TaskFleet

HOPS = ("created", "assigned", "published", "started", "completed")
STATUSES = {"assigned": {"assigned"}, "started": {"running"}, "completed": {"done"}}
PLAN = HopPlan(
    dict.fromkeys(HOPS, 1.0),
    {hop: frozenset(words) for hop, words in STATUSES.items()},
    frozenset({"failed"}),
    4.0,
)
BY_STATUS = replace(PLAN, deadlines={hop: 1.0 for hop in HOPS if hop != "published"})
LONG = Watch(1000.0)


def canary(**facts):
    return Canary(**{"token": "t", "sent": 100.0, "looked": 100.0, "id": "7", **facts})


def sight(now, status="", **spans):
    points = {hop: at if isinstance(at, tuple) else (at, at) for hop, at in spans.items()}
    return RowSight(now, points, status)


def through(*latencies):
    """A completed task whose hops took so long, by its columns."""
    at, spans = 100.0, {}
    for hop, latency in zip(HOPS, latencies, strict=True):
        at += latency
        spans[hop] = at
    return step(canary(), sight(at + 0.1, "done", **spans), PLAN, at + 0.1, LONG)


def test_each_late_hop_is_the_one_that_is_named():
    """A hop is measured from the one before it: only the slow one is late, the first one if there
    are two.
    """
    assert through(0.1, 0.1, 0.1, 0.1, 0.1).outcome is TaskOutcome.OK
    for place, hop in enumerate(HOPS):
        latencies = [0.5] * 5
        latencies[place] = 1.01
        end = through(*latencies)
        assert (end.outcome, end.hop) == (TaskOutcome.LATE, hop)
    assert through(0.1, 1.5, 0.1, 1.5, 0.1).hop == "assigned"
    assert measure(through(0.1, 0.2, 0.3, 0.4, 0.5).canary, PLAN)["total"] == pytest.approx(
        (1.5, 1.5)
    )


def test_a_hop_without_a_time_is_late_only_when_it_certainly_was():
    """Seen between two looks: its instant is the time between them, and late is what the earliest
    one is.
    """
    for gap, outcome in ((0.9, TaskOutcome.OK), (1.1, TaskOutcome.LATE)):
        first = step(canary(), sight(100.1, "new", created=100.1), BY_STATUS, 100.1, LONG)
        second = step(first, sight(100.1 + gap, "new"), BY_STATUS, 100.1 + gap, LONG)
        third = step(second, sight(100.2 + gap, "assigned"), BY_STATUS, 100.2 + gap, LONG)
        end = step(third, sight(100.3 + gap, "done"), BY_STATUS, 100.3 + gap, LONG)
        assert end.outcome is outcome
        low, high = measure(end.canary, BY_STATUS)["assigned"]
        assert low == pytest.approx(gap)
        assert high == pytest.approx(gap + 0.1)


def test_one_long_gap_between_looks_proves_nothing():
    """Not seen, then done: anything may have taken long, so nothing is late."""
    first = step(canary(), sight(100.1, "new", created=100.1), BY_STATUS, 100.1, LONG)
    end = step(first, sight(103.9, "done"), BY_STATUS, 103.9, LONG)
    assert end.outcome is TaskOutcome.OK
    assert measure(end.canary, BY_STATUS)["completed"][0] == 0.0


@pytest.mark.parametrize(
    ("seen", "hop"),
    [((), "assigned"), (("assigned",), "published"), (("assigned", "published"), "started")],
)
def test_a_task_without_progress_is_given_up_at_its_hop(seen, hop):
    """After four deadlines at the same hop; not before, and not by the time that we were not
    watching.
    """
    spans = {"created": 100.1} | dict.fromkeys(seen, 100.2)
    last = max(spans.values())
    look = lambda now, watch=LONG: step(canary(), sight(now, "", **spans), PLAN, now, watch)  # noqa: E731
    assert isinstance(look(last + 3.9), Canary)
    end = look(last + 4.1)
    assert (end.outcome, end.hop) == (TaskOutcome.STUCK, hop)
    assert isinstance(look(last + 50, Watch(3.9)), Canary)


def test_what_is_hidden_is_not_blamed():
    """The bus can't be read: a task that nobody started is stuck at started, with the deadlines of
    both hops.
    """
    spans = {"created": (100.1, 100.1), "assigned": (100.2, 100.2)}
    hidden = frozenset({"published"})
    look = lambda now: step(canary(), RowSight(now, spans, "", None, hidden), PLAN, now, LONG)  # noqa: E731
    assert isinstance(look(108.1), Canary)
    assert (look(108.3).outcome, look(108.3).hop) == (TaskOutcome.STUCK, "started")


def test_a_time_of_completion_is_none_while_the_status_says_otherwise():
    """With statuses, only they complete a task; without any, the time does."""
    both = sight(101.0, "running", created=100.1, completed=100.4)
    assert isinstance(step(canary(), both, PLAN, 101.0, LONG), Canary)
    assert step(canary(), both, replace(PLAN, statuses={}), 101.0, LONG).outcome is TaskOutcome.OK


def test_a_hop_of_unknown_time_was_passed_before_the_next_one():
    """Assigned without a time, published at 100.3: in between, and a late commit is no disagreement
    of clocks.
    """
    row = sight(104.0, "done", created=100.1, published=100.3, started=100.5, completed=100.6)
    lasted = measure(step(canary(), row, PLAN, 104.0, LONG).canary, PLAN)
    assert lasted["assigned"] == pytest.approx((0.0, 0.2))
    assert lasted["published"] == pytest.approx((0.0, 0.2))
    looked = step(canary(), sight(100.4, "new", created=100.1), PLAN, 100.4, LONG)
    late_commit = step(looked, row, PLAN, 104.0, LONG)
    assert not is_backwards(late_commit.canary, PLAN)


def test_a_row_must_be_missed_twice():
    """A row that was there and is not: lost at the next hop, at the second look; back in between,
    nothing.
    """
    there = step(
        canary(), sight(100.2, "assigned", created=100.1, assigned=100.2), PLAN, 100.2, LONG
    )
    once = step(there, None, PLAN, 100.3, LONG)
    assert isinstance(once, Canary)
    assert isinstance(
        step(step(once, sight(100.4, "assigned"), PLAN, 100.4, LONG), None, PLAN, 100.5, LONG),
        Canary,
    )
    end = step(once, None, PLAN, 100.4, LONG)
    assert (end.outcome, end.hop) == (TaskOutcome.LOST, "published")


@pytest.mark.parametrize(
    ("confirmed", "outcome"), [(True, TaskOutcome.LOST), (False, TaskOutcome.ENQUEUE_ERROR)]
)
def test_a_row_that_never_comes(confirmed, outcome):
    """Accepted and never there is lost; in doubt and never there was not taken. Both after the
    patience, at created.
    """
    assert isinstance(step(canary(confirmed=confirmed), None, PLAN, 103.9, LONG), Canary)
    assert isinstance(step(canary(confirmed=confirmed), None, PLAN, 150.0, Watch(3.9)), Canary)
    end = step(canary(confirmed=confirmed), None, PLAN, 104.1, LONG)
    assert (end.outcome, end.hop) == (outcome, "created")


def test_failed_and_wrong():
    """The platform's own word for a failure names the hop that did not happen; garbage is a failure
    of the result.
    """
    end = step(canary(), sight(101.0, "failed", created=100.1, assigned=100.2), PLAN, 101.0, LONG)
    assert (end.outcome, end.hop) == (TaskOutcome.FAILED, "published")
    failed = step(
        canary(), sight(101.0, "failed", started=100.3, completed=100.4), PLAN, 101.0, LONG
    )
    assert (failed.outcome, failed.hop) == (TaskOutcome.FAILED, "completed")
    wrong = step(canary(), replace(sight(101.0, "done"), right=False), PLAN, 101.0, LONG)
    assert (wrong.outcome, wrong.hop) == (TaskOutcome.FAILED, "result")


def test_lateness_is_not_judged_for_orphans_and_in_our_own_stall():
    """Sent by another life, or while we stood still: it came through, and that is all that is said."""
    spans = {"created": 100.1, "assigned": 105.0}
    late = step(canary(), sight(106.0, "done", **spans), PLAN, 106.0, Watch(1000.0, 0.2))
    blind = step(canary(), sight(106.0, "done", **spans), PLAN, 106.0, Watch(1000.0, 0.3))
    orphan = step(canary(ours=False), sight(106.0, "done", **spans), PLAN, 106.0, LONG)
    assert [end.outcome for end in (late, blind, orphan)] == [
        TaskOutcome.LATE,
        TaskOutcome.ORPHAN,
        TaskOutcome.ORPHAN,
    ]
    assert (blind.blind, orphan.blind) == (True, False)


def test_times_of_other_clocks():
    """An instant outside of the task's life, or before the hop before it, is counted and measures
    nothing.
    """
    zone = step(
        canary(), sight(101.0, "done", created=100.1, assigned=100.2 + 7200), PLAN, 101.0, LONG
    )
    early = step(canary(), sight(101.0, "done", created=100.5, assigned=100.3), PLAN, 101.0, LONG)
    for end in (zone, early):
        assert end.outcome is TaskOutcome.OK
        assert is_backwards(end.canary, PLAN)
    assert not is_backwards(through(0.1, 0.1, 0.1, 0.1, 0.1).canary, PLAN)
    assert "assigned" not in measure(early.canary, PLAN)


def test_overdue_names_the_hop_that_is_waited_for():
    """As soon as one deadline is over; never for an orphan, never by a time in which we did not
    watch.
    """
    on_its_way = step(canary(), sight(100.2, "", created=100.1), PLAN, 100.2, LONG)
    assert overdue(on_its_way, PLAN, 101.0, LONG) == ""
    assert overdue(on_its_way, PLAN, 101.2, LONG) == "assigned"
    assert overdue(on_its_way, PLAN, 101.2, Watch(0.5)) == ""
    assert overdue(replace(on_its_way, ours=False), PLAN, 101.2, LONG) == ""


def test_any_story_conserves_every_task():
    """Random lives with kills: after each step sent = ends + open, also with a stored document."""
    dice = random.Random(7)
    for _ in range(30):
        fleet, stored, now, names = TaskFleet(None, "0" * 12), None, 100.0, []
        for _ in range(60):
            now += dice.random()
            act = dice.choice(["promise", "send", "end", "refuse", "kill"])
            if act == "promise":
                fleet.promise("p")
            elif act == "send" and fleet.is_due(now, 0.0):
                names.append(fleet.depart(now, now).token)
            elif act == "end" and fleet.open:
                chosen = dice.choice(list(fleet.open.values()))
                outcome, hop = dice.choice(list(PLAN.endings))
                fleet.end(End(outcome, hop, chosen), PLAN, now, clean=dice.random() < 0.5)
            elif act == "refuse" and fleet.open:
                chosen = dice.choice(list(fleet.open))
                fleet.refused(
                    chosen, PLAN, now, perhaps_there=True
                ) if dice.random() < 0.5 else fleet.take_back(chosen)
            elif act == "kill" and stored:
                fleet = TaskFleet(json.loads(stored), "1" * 12)
                lost = [name for name in names if fleet.is_unstored(name) or name in fleet.suspects]
                for name in lost:
                    fleet.adopt(name, "", now, now)
            fleet.looked = now
            stored = json.dumps(fleet.dump())
            assert fleet.record.sent == sum(fleet.record.ends.values()) + len(fleet.open)
        assert all(name.startswith("sentinel-canary:p:000000000000:") for name in names)


def test_the_record_survives_as_it_is():
    """Totals, the last ends and the histograms come back from their document."""
    record = WorkflowRecord()
    record.sent = 2
    record.ended(through(0.1, 0.1, 0.1, 0.1, 0.1), PLAN)
    record.ended(through(0.1, 2.0, 0.1, 0.1, 0.1), PLAN)
    again = WorkflowRecord(json.loads(json.dumps(record.dump())))
    assert again.dump() == record.dump()
    assert again.total(TaskOutcome.LATE) == again.total(TaskOutcome.OK) == 1
    assert again.lasted["assigned"].histogram().total == 2


@pytest.mark.parametrize(
    ("at", "skewed"),
    [(99.0, False), (98.9, True), (102.0, False), (102.1, True)],
)
def test_how_far_a_column_may_be_off(at, skewed):
    """A second before it was sent, a second after it was read: beyond, it is another clock."""
    seen = step(canary(), sight(101.0, "", created=at), PLAN, 101.0, LONG)
    assert seen.skewed is skewed
