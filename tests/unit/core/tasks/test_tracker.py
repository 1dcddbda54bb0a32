"""The tracker of open tasks, by hand: what each look adds, and that nothing is counted twice."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.tasks import tracker as open_tasks
from sentinel.core.tasks.tracker import TaskPoll, TaskSight, Tracker, TrackerRules

RULES = TrackerRules(deadline=0.1, settle_after=60.0, follow=300.0)


class Table:
    """Tasks by name as (created, assigned, status), and a tracker that looks at them."""

    def __init__(self, now=1000.0):
        self.tracker, self.tasks, self.now, self.classes = Tracker(), {}, now, {}

    def sight(self, name):
        created, assigned, status = self.tasks[name]
        latency = None if assigned is None else assigned - created
        kind = {"open": "unassigned", "assigned": "missing", "other": "censored"}[status]
        if latency is not None:
            kind = (
                "negative"
                if latency < 0
                else "in_deadline"
                if latency <= RULES.deadline
                else "late"
            )
        return TaskSight(name, "q", kind, status, created, assigned, latency, self.now)

    def look(self, held=0.0, rules=RULES):
        """One poll; `held` seconds for which a transaction holds the horizon."""
        asked, floor = self.tracker.to_look_up(), self.tracker.floor or 0.0
        tally = self.tracker.apply(
            TaskPoll(
                [self.sight(name) for name in self.tasks if self.tasks[name][0] >= floor],
                asked,
                [self.sight(name) for name in asked if name in self.tasks],
                final=self.now - held - 1,
                due=self.now - held,
                floor=max(floor, self.now - held - 6),
            ),
            rules,
        )
        for (_, kind), n in tally.settled.items():
            self.classes[kind] = self.classes.get(kind, 0) + n
        return tally


def test_an_open_task_is_unassigned_at_its_deadline_and_endless_at_the_end_of_the_histogram():
    """Counted once, observed once; the assignment that comes after all changes neither."""
    table = Table()
    table.tasks["a"] = (1000.0, None, "open")
    assert not table.look().settled["q", "unassigned"]
    table.now = 1001.0
    assert table.look().settled["q", "unassigned"] == 1
    table.now = 1060.0
    assert table.look().latencies == [("q", math.inf)]
    table.tasks["a"] = (1000.0, 1059.0, "assigned")
    tally = table.look()
    assert (tally.latencies, table.classes) == ([], {"untracked": 0, "unassigned": 1})
    assert table.tracker.latencies(0) == [59.0]


def test_a_held_horizon_delays_what_age_decides():
    """Behind an old transaction the assignment may have been made in time: not unassigned yet."""
    table = Table()
    table.tasks["a"] = (1000.0, None, "open")
    table.now = 1030.0
    assert not table.look(held=30.0).settled["q", "unassigned"]
    table.tasks["a"] = (1000.0, 1000.05, "assigned")
    assert table.look(held=30.0).settled["q", "in_deadline"] == 1


def test_the_time_from_give_back_to_new_assignment_is_an_interval():
    """Between the last look that saw it assigned and the first that saw it open, to the new time."""
    table = Table()
    table.tasks["a"] = (1000.0, 1000.05, "assigned")
    table.look()
    table.now = 1010.0
    table.look()
    table.tasks["a"], table.now = (1000.0, None, "open"), 1020.0
    table.look()
    table.tasks["a"], table.now = (1000.0, 1025.0, "assigned"), 1030.0
    assert table.look().reassigned == [("q", (5.0, 16.0))]


def test_a_kept_old_time_gives_the_interval_of_the_looks():
    """Status alone says that it was given back and taken again."""
    table = Table()
    table.tasks["a"] = (1000.0, 1000.05, "assigned")
    table.look()
    for status, now in (("open", 1010.0), ("open", 1020.0), ("assigned", 1030.0)):
        table.tasks["a"], table.now = (1000.0, 1000.05, status), now
        tally = table.look()
    assert tally.reassigned == [("q", (9.0, 31.0))]


def test_a_missing_time_lies_between_two_looks():
    """Assigned by its status alone: after the last look that saw it open, before the first that did
    not.
    """
    table, rules = Table(), TrackerRules(deadline=3600.0, settle_after=60.0, follow=300.0)
    table.tasks["a"] = (1000.0, None, "open")
    table.now = 1010.0
    table.look(rules=rules)
    table.tasks["a"], table.now = (1000.0, None, "assigned"), 1020.0
    assert table.look(rules=rules).missing == []
    table.now = 1060.0
    assert table.look(rules=rules).missing == [(9.0, 20.0)]


def test_a_status_that_never_says_assigned_is_no_give_back():
    """A platform that writes the time and leaves the status as it is until an agent starts."""
    table = Table()
    table.tasks["a"] = (1000.0, 1000.05, "open")
    table.look()
    assert table.look().reassigned == []
    assert table.tracker.waiting == {}


def test_a_task_that_ended_while_it_waited_again_is_not_reassigned():
    """Given back and cancelled: neither open nor assigned."""
    table = Table()
    table.tasks["a"] = (1000.0, 1000.05, "assigned")
    table.look()
    table.tasks["a"] = (1000.0, 1000.05, "open")
    table.look()
    assert list(table.tracker.waiting) == ["a"]
    table.tasks["a"] = (1000.0, 1000.05, "other")
    assert table.look().reassigned == []
    assert table.tracker.waiting == {}


def test_assigned_tasks_are_let_go_after_a_while():
    """Memory: followed for `follow` seconds, and then forgotten."""
    table = Table()
    table.tasks["a"] = (1000.0, 1000.05, "assigned")
    table.look()
    assert list(table.tracker.followed) == ["a"]
    table.now = 1300.0
    table.look()
    assert not table.tracker.followed
    assert not table.tracker.seen


def test_assigned_tasks_take_turns(monkeypatch):
    """Each poll looks at some of them; all have their turn; the cap lets the first go."""
    monkeypatch.setattr(open_tasks, "FOLLOW_BATCH", 2)
    monkeypatch.setattr(open_tasks, "MAX_FOLLOWED", 5)
    table = Table()
    table.tasks = {f"t{i}": (1000.0, 1000.05, "assigned") for i in range(7)}
    table.look()
    assert list(table.tracker.followed) == ["t2", "t3", "t4", "t5", "t6"]
    asked = []
    for _ in range(3):
        asked += table.tracker.to_look_up()
        table.look()
    assert asked == ["t2", "t3", "t4", "t5", "t6", "t2"]


STATES = [(None, "open"), (0.05, "assigned"), (3.0, "assigned"), (-1.0, "assigned"), (None, "assigned"),
          (None, "other"), (0.05, "open"), (0.05, "other")]  # fmt: skip
STEP = st.tuples(
    st.integers(0, 5),
    st.sampled_from([*STATES, None]),
    st.sampled_from([0.0, 0.5, 2.0, 70.0, 400.0]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=40), st.integers(1, 10))
def test_whatever_happens_each_task_is_counted_once(steps, restart):
    """Any changes in any order, restarts and deletions between: one class for each task that was
    ever seen.
    """
    table, seen = Table(), set()
    for i, (number, state, passed) in enumerate(steps):
        table.now += passed
        name = f"t{number}"
        if state is None:
            table.tasks.pop(name, None)
        elif name in table.tasks or name not in seen:
            created = table.tasks[name][0] if name in table.tasks else table.now
            table.tasks[name] = (
                created,
                None if state[0] is None else created + state[0],
                state[1],
            )
            seen.add(name)
        table.look(held=1.0)
        if i % restart == 0:
            table.tracker = Tracker(json.loads(json.dumps(table.tracker.dump())))
    table.now += 1000
    table.look()
    assert sum(table.classes.values()) == len(seen)
    assert sum(not task.is_settled for task in table.tracker.open.values()) == len(
        table.tracker.waiting
    )


def test_the_state_survives_its_document():
    """Every field of a task is in the document, intervals included."""
    table = Table()
    table.tasks = {
        "a": (1000.0, None, "open"),
        "b": (1000.0, None, "assigned"),
        "c": (1000.0, 1000.01, "assigned"),
    }
    table.look()
    again = Tracker(json.loads(json.dumps(table.tracker.dump())))
    assert (again.open, again.followed, again.seen) == (
        table.tracker.open,
        table.tracker.followed,
        table.tracker.seen,
    )
    assert again.open["b"].missing == pytest.approx((0.0, 0.0))


def test_the_ids_that_wait_longest_are_named_by_queue():
    """Open ones by creation, given-back ones by the give-back; assigned ones not at all."""
    table = Table()
    for n in range(5):
        table.tasks[f"t{n}"] = (999.0 - n, None, "open")
    table.tasks["taken"] = (990.0, 990.05, "assigned")
    table.look()
    assert table.tracker.name_oldest(3) == {"q": ["t4", "t3", "t2"]}
    assert table.tracker.name_oldest(99) == {"q": ["t4", "t3", "t2", "t1", "t0"]}
    table.now = 1010.0
    table.tasks["taken"] = (990.0, None, "open")
    table.look()
    assert table.tracker.name_oldest(99)["q"][-1] == "taken", (
        "given back at 1010, the youngest wait"
    )


def test_waits_by_queue():
    """Ages of those that were never assigned, and times since others were given back."""
    table = Table()
    table.tasks = {"new": (999.0, None, "open"), "back": (990.0, 990.05, "assigned")}
    table.look()
    assert table.tracker.waits(1000.0) == {"q": ([1.0], [])}
    table.now = 1010.0
    table.tasks["back"] = (990.0, None, "open")
    table.look()
    assert table.tracker.waits(1012.0) == {"q": ([13.0], [2.0])}
    assert table.tracker.waits(900.0) == {"q": ([0.0], [0.0])}, "a clock that was set back"


def test_what_was_open_before_the_floor_is_followed_and_not_counted():
    """It is from before the watch: it waits, and is in no class."""
    table = Table()
    old = TaskSight("old", "q", "unassigned", "open", 10.0, None, None, 1000.0)
    poll = TaskPoll([], [], [], final=999.0, due=1000.0, floor=994.0, backlog=[old, old])
    tally = table.tracker.apply(poll, RULES)
    assert sum(tally.settled.values()) == 0
    assert table.tracker.waits(1000.0) == {"q": ([990.0], [])}


def test_more_open_tasks_than_can_be_followed(monkeypatch):
    """The newest are let go, counted as untracked unless they were counted already."""
    monkeypatch.setattr(open_tasks, "MAX_OPEN", 2)
    table = Table()
    for n in range(4):
        table.tasks[f"t{n}"] = (999.5 + n / 10, None, "open")
    table.look()
    assert sorted(table.tracker.open) == ["t0", "t1"]
    assert table.classes["untracked"] == 2


def test_ids_are_known_as_long_as_the_floor_can_show_them_again():
    """What was created since the floor is remembered, what is older is not."""
    table = Table()
    old = TaskSight("old", "q", "late", "assigned", 900.0, 901.0, 1.0, 1000.0)
    new = TaskSight("new", "q", "late", "assigned", 995.0, 996.0, 1.0, 1000.0)
    poll = TaskPoll([old, new], [], [], final=999.0, due=1000.0, floor=995.0)
    assert table.tracker.apply(poll, RULES).settled["q", "late"] == 2
    assert table.tracker.seen == {"new": 995.0}, "of the floor itself: it may be shown again"
    assert table.tracker.apply(poll, RULES).settled["q", "late"] == 0, "still followed: known"


def test_a_latency_is_that_of_the_columns():
    """Exact, of tasks in time and late; none of a task whose times can't be."""
    table = Table()
    table.tasks = {
        "quick": (999.0, 999.05, "assigned"),
        "late": (990.0, 995.5, "assigned"),
        "skewed": (999.0, 998.0, "assigned"),
    }
    tally = table.look()
    assert sorted(tally.latencies) == [("q", pytest.approx(0.05)), ("q", 5.5)]
    assert sorted(table.tracker.latencies(0)) == [pytest.approx(0.05), 5.5]
    for since in (995.0, 999.0):
        assert table.tracker.latencies(since) == [pytest.approx(0.05)]
    assert table.tracker.latencies(999.5) == []
