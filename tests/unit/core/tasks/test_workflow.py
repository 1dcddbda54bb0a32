"""The failing hop of a path: k of the last m, so many in a row, one fault for each hop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import Fault, Status, judge
from sentinel.core.moment import from_unix
from sentinel.core.quantity import Bounds
from sentinel.core.tasks.synthetic import FAILURES, HOPS, RESULT
from sentinel.core.tasks.workflow import (
    REMEDIES,
    STALE_AFTER,
    Ending,
    Rule,
    count_ends,
    drop_repeated,
    judge_path,
    judge_pause,
    judge_silence,
)
from sentinel.probes.workflow_canary import KIND

RULE = Rule(failures=2, of=5, down_after=3)
NOW = 1_700_000_000.0


def ends(*texts: str) -> list[Ending]:
    parts = [text.partition(" ") for text in texts]
    return [(outcome, hop) for outcome, _, hop in parts]


@pytest.mark.parametrize(
    ("recent", "waiting", "status", "hop"),
    [
        ([], ["assigned"], Status.UP, ""),
        ([], ["assigned", "assigned"], Status.DEGRADED, "assigned"),
        (["ok"], [], Status.UP, ""),
        (["ok", "late assigned"], [], Status.UP, ""),
        (["late assigned", "ok", "late assigned"], [], Status.DEGRADED, "assigned"),
        (["late assigned", "ok", "stuck started"], [], Status.DEGRADED, "assigned"),
        (["late assigned", "late assigned", "ok", "ok", "ok", "ok"], [], Status.UP, ""),
        (["ok"], ["started", "started"], Status.DEGRADED, "started"),
        (["ok", "stuck started", "stuck started", "failed result"], [], Status.DOWN, "started"),
        (["late started", "late started", "late started"], [], Status.DEGRADED, "started"),
        (["enqueue_error created"] * 3, [], Status.DOWN, "created"),
        (["ok", "orphan", "orphan"], [], Status.UP, ""),
    ],
)
def test_the_verdict_of_the_last_tasks(
    recent: list[str], waiting: list[str], status: Status, hop: str
) -> None:
    """k of the last m are degraded, so many in a row that never came through are down; the hop at
    which most failed is first, of equals the earliest.
    """
    faults = judge_path("0", ends(*recent), waiting, RULE)
    assert judge(faults) is status
    assert (faults[0].subject["hop"] if faults else "") == hop


def test_each_hop_has_its_own_figures() -> None:
    """One fault for each hop at which tasks failed, with how they failed there."""
    recent = ends("ok", "stuck started", "late started", "late assigned")
    first, second = judge_path("main", recent, ["started"], RULE)
    assert first == Fault(
        "hop_failing",
        {"path": "main", "hop": "started"},
        Status.DEGRADED,
        "path main, hop started: 3 of the last 5 synthetic tasks failed at it:"
        " 1 stuck, 1 late, 1 overdue (limit of the path: 2 of 5)",
        count=Bounds(3, 3),
        guidance=REMEDIES["started"],
        parameters={"path": "main", "hop": "started"},
    )
    assert second.subject == {"path": "main", "hop": "assigned"}
    assert "1 of the last 5 synthetic tasks failed at it: 1 late" in second.text


def test_a_path_that_nothing_comes_through() -> None:
    """The last three never did: down, whatever was before."""
    faults = judge_path(
        "0", ends(*["ok"] * 9, "lost created", "failed result", "lost created"), [], RULE
    )
    assert [(each.key, each.subject["hop"]) for each in faults] == [
        ("never_through", "created"),
        ("never_through", "result"),
    ]
    assert faults[0].text == (
        "path 0, hop created: 2 of the last 3 synthetic tasks never came through it: 2 lost"
        " (limit of the path: 3 in a row)"
    )


def test_a_late_task_came_through() -> None:
    """Late is a failure, and no reason to call the path down."""
    recent = ends("stuck started", "late started", "stuck started")
    (fault,) = judge_path("0", recent, [], RULE)
    assert fault.status is Status.DEGRADED


def test_without_an_end_nothing_is_known() -> None:
    """Unknown until the first task has ended."""
    (fault,) = judge_silence("0", [])
    assert (fault.key, fault.status) == ("no_verdict", Status.UNKNOWN)
    assert judge_silence("0", ends("ok")) == []


def test_a_forgotten_pause() -> None:
    """An hour without a task: the verdict is an old one; the file to remove is named."""
    assert judge_pause("0", "/tmp/pause", NOW - STALE_AFTER + 1, NOW) == []
    (fault,) = judge_pause("0", "/tmp/pause", NOW - 7200, NOW)
    assert fault.text == "path 0: sending is paused, the last task was sent 2 h ago (limit 1 h)"
    assert fault.guidance == "remove /tmp/pause to go on"
    assert (fault.status, fault.since) == (Status.UNKNOWN, from_unix(NOW - 7200))
    for before in (float("-inf"), 0.0):
        (never,) = judge_pause("0", "/tmp/pause", before, NOW)
        assert "no task was ever sent" in never.text
        assert never.since is None


def test_ends_are_counted_in_words() -> None:
    """The most frequent first, without underscores."""
    assert count_ends(ends("late a", "enqueue_error b", "late b")) == "2 late, 1 enqueue error"


def test_what_is_met_for_every_task_is_told_once() -> None:
    """The first of the same identity stays, in its place."""
    one = Fault("foreign_row", {"path": "0", "task": "7"}, Status.UNKNOWN, "first")
    other = replace(one, subject={"path": "0", "task": "8"})
    assert drop_repeated([one, other, replace(one, text="second")]) == [one, other]


def test_every_hop_has_a_remedy_and_every_fault_a_runbook() -> None:
    """Whatever fails at whatever hop."""
    assert REMEDIES.keys() == {*HOPS, RESULT}
    for outcome in FAILURES:
        for hop in REMEDIES:
            for fault in judge_path("0", [(outcome.value, hop)] * 3, [], RULE):
                assert fault.parameters.keys() <= set(KIND.fault_kinds[fault.key].parameters)
    assert all(kind.runbook for kind in KIND.fault_kinds.values())
