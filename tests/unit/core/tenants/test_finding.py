"""Judging isolation: each hole by its name, and no pass without its control."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds
from sentinel.core.tenants.finding import (
    COUNTED,
    TenantAnswer,
    TenantSight,
    Trial,
    find_faults,
    judge_answer_to_tenant,
    judge_table,
    judge_without_tenant,
    name_paths,
    unjudged,
)

SOUND = TenantSight(own=2, foreign=0, guarded=True)
ANSWER = TenantAnswer(200, truncated=False, own=True, foreign=False)
TABLE = {"table": "public.tasks"}


def judge(a: TenantSight = SOUND, b: TenantSight = SOUND):
    """What is wrong with the table, seen so."""
    return judge_table("public.tasks", "app_user", a, b)


def test_sound_ones_pass():
    """Own rows, no others, policies active; the marker of A alone."""
    assert judge() is None
    assert judge_without_tenant("public.tasks", 0) is None
    assert judge_answer_to_tenant("/tasks", ANSWER) is None


@pytest.mark.parametrize(
    ("a", "b", "key", "status", "words"),
    [
        ({"foreign": 1}, {}, "leak", Status.DOWN, "1 row of other tenants"),
        ({}, {"foreign": 3}, "leak", Status.DOWN, "3 rows of other tenants"),
        ({"foreign": 1}, {"foreign": 9}, "leak", Status.DOWN, "9 rows"),
        ({"foreign": COUNTED}, {}, "leak", Status.DOWN, "1000 or more rows"),
        ({"foreign": 1, "own": 0}, {"own": 0}, "leak", Status.DOWN, "1 row"),
        ({"guarded": False}, {}, "unguarded", Status.DOWN, "not active for app_user"),
        ({"guarded": False, "own": 0}, {}, "unguarded", Status.DOWN, "not active"),
        ({"own": 0}, {}, "unjudged", Status.UNKNOWN, "control failed, tenant A"),
        ({}, {"own": 0}, "unjudged", Status.UNKNOWN, "control failed, tenant B"),
    ],
)
def test_each_hole_of_a_table(a, b, key, status, words):
    """A leak before a missing guard before a failed control: the worst is told."""
    fault = judge(replace(SOUND, **a), replace(SOUND, **b))
    assert (fault.key, fault.subject, fault.status) == (key, TABLE, status)
    assert words in fault.text
    assert "public.tasks: " in fault.text
    assert fault.text.startswith("LEAK ") == (status is Status.DOWN)
    assert fault.parameters == TABLE
    assert fault.guidance


@pytest.mark.parametrize(
    ("rows", "count"),
    [(1, Bounds(1, 1)), (999, Bounds(999, 999)), (1000, Bounds(1000, MANY))],
)
def test_rows_without_a_tenant_are_counted_up_to_the_bound(rows, count):
    """From the bound on it is a lower one."""
    fault = judge_without_tenant("public.tasks", rows)
    assert (fault.key, fault.subject, fault.count) == ("no_tenant", TABLE, count)
    assert "without any tenant set" in fault.text


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"foreign": True}, "leak", "holds the marker of tenant B"),
        ({"foreign": True, "truncated": True, "own": False}, "leak", "marker of tenant B"),
        ({"truncated": True}, "unjudged", "longer than 1 MiB"),
        ({"own": False, "status": 404}, "unjudged", "status 404 without the marker"),
    ],
)
def test_answers_to_tenant_a(changes, key, words):
    """B's marker is a leak whatever else holds; without A's own nothing is proved."""
    fault = judge_answer_to_tenant("/tasks", replace(ANSWER, **changes))
    assert (fault.key, fault.subject) == (key, {"path": "/tasks"})
    assert words in fault.text


def test_every_place_is_told_the_worst_first():
    """All leaking tables by name; two tries that fail alike are one fault."""
    blind = unjudged({"table": "t0"}, "no such table", "")
    trials = [
        Trial("no_tenant", "t0", blind),
        Trial("other_tenant", "t0", blind),
        Trial("no_tenant", "t1", judge_without_tenant("t1", 4)),
        Trial("other_tenant", "t1"),
        Trial("other_tenant", "t2", judge_table("t2", "app", replace(SOUND, foreign=1), SOUND)),
    ]
    assert [trial.result for trial in trials] == ["error", "error", "leak", "pass", "leak"]
    found = [(fault.key, fault.subject["table"]) for fault in find_faults(trials)]
    assert found == [("no_tenant", "t1"), ("leak", "t2"), ("unjudged", "t0")]
    assert find_faults([Trial("http", "/x")]) == []


def test_paths_are_named_without_their_queries():
    """A query may be a token; requests that differ in it alone are told apart."""
    assert name_paths(["/a?t=1", "/b", "/a?t=2", "/a"]) == ["/a", "/b", "/a#2", "/a#3"]
    assert name_paths([]) == []
