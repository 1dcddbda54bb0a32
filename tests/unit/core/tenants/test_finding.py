"""Judging isolation: each hole by its name, and no pass without its control."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds
from sentinel.core.tenants.catalogue import DatabaseRole
from sentinel.core.tenants.finding import (
    COUNTED,
    EMPTY,
    TenantSight,
    judge_left,
    judge_role,
    judge_table,
    judge_without_tenant,
    judge_writes,
    unjudged,
)
from sentinel.core.tenants.trial import Trial, find_faults

SOUND = TenantSight(own=2, foreign=0, guarded=True)
TABLE = {"table": "public.tasks", "role": "app_user"}


def judge(a: TenantSight = SOUND, b: TenantSight = SOUND):
    """What is wrong with the table, seen so."""
    return judge_table("public.tasks", "app_user", a, b)


def test_sound_ones_pass():
    """Own rows, no others, policies active; nothing written."""
    assert judge() is None
    assert judge_without_tenant("public.tasks", "app_user", 0) is None
    assert judge_writes("public.tasks", "app_user", ()) is None


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
        ({}, {"guarded": False}, "unguarded", Status.DOWN, "not active for app_user"),
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
    fault = judge_without_tenant("public.tasks", "app_user", rows)
    assert (fault.key, fault.subject, fault.count) == ("no_tenant", TABLE, count)
    assert "without any tenant set" in fault.text


def test_the_empty_tenant_of_a_pool_is_told_apart():
    """What SET LOCAL leaves behind is another thing than a setting that never was."""
    fault = judge_without_tenant("public.tasks", "app_user", 3, EMPTY)
    assert "SET LOCAL leaves behind" in fault.text


def test_writing_and_what_was_left_behind():
    """Both are down; of a setting the name is told, and no value."""
    fault = judge_writes("public.tasks", "app_user", ["insert"])
    assert (fault.key, fault.status, fault.subject) == ("writes", Status.DOWN, TABLE)
    left = judge_left("app.tenant_id")
    assert (left.key, left.subject) == ("left_behind", {"setting": "app.tenant_id"})


@pytest.mark.parametrize(
    ("role", "takes", "key", "words"),
    [
        (DatabaseRole(1, "app"), True, None, ""),
        (DatabaseRole(1, "app"), False, "unjudged", "may not take this role"),
        (DatabaseRole(0, "app"), False, "unjudged", "no such role"),
        (DatabaseRole(1, "app", bypass=True), True, "unguarded", "no policy holds for app"),
        (DatabaseRole(1, "app", superuser=True), True, "unguarded", "no policy holds for app"),
        (DatabaseRole(1, "app", superuser=True, sessions=2), True, "superuser",
         "not isolated: sessions run as superuser"),
    ],
)  # fmt: skip
def test_each_role_is_tried_or_told(role, takes, key, words):
    """One that can't be tried is unknown, one beyond all policies is down."""
    fault = judge_role(role, takes, "sentinel", 160000)
    assert (fault.key if fault else None) == key
    assert words in (fault.text if fault else "")
    if words.endswith("take this role"):
        assert fault.cure == ('GRANT "app" TO "sentinel" WITH INHERIT FALSE, SET TRUE;',)
        assert judge_role(role, takes, "s", 150000).cure == ('GRANT "app" TO "s";',)


def test_every_place_is_told_the_worst_first():
    """All leaking tables by name; two tries that fail alike are one fault."""
    blind = unjudged({"table": "t0"}, "no such table", "")
    trials = [
        Trial("no_tenant", "t0", blind),
        Trial("other_tenant", "t0", blind),
        Trial("no_tenant", "t1", judge_without_tenant("t1", "app", 4)),
        Trial("other_tenant", "t1"),
        Trial("other_tenant", "t2", judge_table("t2", "app", replace(SOUND, foreign=1), SOUND)),
    ]
    assert [trial.result for trial in trials] == ["error", "error", "leak", "pass", "leak"]
    found = [(fault.key, fault.subject["table"]) for fault in find_faults(trials)]
    assert found == [("no_tenant", "t1"), ("leak", "t2"), ("unjudged", "t0")]
    assert find_faults([Trial("http", "/x")]) == []
