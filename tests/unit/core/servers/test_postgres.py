"""Judging PostgreSQL by its catalogs: each level fires at its figure and not below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.servers.postgres import (
    COUNTERS,
    CounterTotals,
    Lineage,
    PostgresLimits,
    judge_postgres,
    quote,
)

GOOD = {
    "wraparound": {"db": "app", "xid_age": 1_200_000_000, "mxid_age": 0},
    "databases": {"id": "5", "db": "app", "checksum_failures": 0},
    "collations": {"mismatched": 0, "names": None},
    "connections": {"used": 85, "usable": 100},
    "locks": {"waiters": 1, "longest": 30.0, "pid": 9, "blockers": [8]},
    "activity": {
        "open_pids": [1],
        "open_ages": [3600.0],
        "idle_pids": [2],
        "idle_ages": [300.0],
    },
    "horizon": {"backend": 5e7, "slot": 0, "prepared": 0, "standby": 0},
    "replication": {"standby": "s1", "lag": 60.0},
    "identity": {"replay_delay": 60.0},
    "slots": {
        "slot": "a",
        "wal_status": "reserved",
        "invalidation_reason": None,
        "retained_bytes": 2e10,
    },
    "archiver": {"failing": True, "since_success": 900.0},
    "indexes": {"invalid": 0, "names": None},
}
APP = {"database": "app"}
BAD = [
    ("wraparound", {"xid_age": 1_200_000_001}, "xid_age", APP, "xid age"),
    ("wraparound", {"mxid_age": 1_200_000_001}, "mxid_age", APP, "mxid age"),
    ("databases", {"checksum_failures": 1}, "checksum_failures", APP, "1 checksum failure"),
    ("collations", {"mismatched": 1, "names": ["app"]}, "collation_changed", APP, "app"),
    ("connections", {"used": 86}, "connections_short", {}, "86 of 100 connections used, more than"),
    ("locks", {"longest": 30.1}, "lock_wait", {"process": "9"}, "blocked by 8"),
    ("locks", {"longest": 31, "blockers": []}, "lock_wait", {"process": "9"}, "none that still"),
    ("activity", {"open_ages": [3600.1]}, "long_transaction", {"process": "1"}, "process 1"),
    ("activity", {"idle_ages": [300.1]}, "idle_in_transaction", {"process": "2"}, "process 2"),
    ("horizon", {"slot": 5e7 + 1}, "vacuum_held_back", {"holder": "slot"}, "slot: holds"),
    ("horizon", {"standby": 6e7}, "vacuum_held_back", {"holder": "standby"}, "standby: holds"),
    ("replication", {"lag": 60.1}, "replication_lag", {"standby": "s1"}, "s1"),
    ("identity", {"replay_delay": 60.1}, "replay_late", {}, "replays"),
    ("slots", {"retained_bytes": 2e10 + 1}, "slot_retains", {"slot": "a"}, "retains"),
    ("slots", {"wal_status": "lost"}, "slot_lost", {"slot": "a"}, "its WAL was removed"),
    ("slots", {"invalidation_reason": "idle"}, "slot_lost", {"slot": "a"}, "(idle)"),
    ("archiver", {"since_success": 900.1}, "archiver_failing", {}, "archiving fails"),
    ("indexes", {"invalid": 1, "names": ["s.i"]}, "invalid_index", {"index": "s.i"}, "s.i"),
]


def test_figures_at_the_level_are_no_complaint():
    """Every level is exclusive, and the shipped levels are those of the specification."""
    assert judge_postgres({name: [record] for name, record in GOOD.items()}, PostgresLimits()) == []


@pytest.mark.parametrize(("name", "change", "key", "subject", "words"), BAD)
def test_each_figure_over_its_level_is_one_fault_of_its_subject(name, change, key, subject, words):
    """One figure over its level gives exactly one fault, which names whom and what to do."""
    facts = {each: [record] for each, record in GOOD.items()} | {name: [GOOD[name] | change]}
    (fault,) = judge_postgres(facts, PostgresLimits())
    assert (fault.key, fault.subject, fault.status) == (key, subject, Status.DEGRADED)
    assert words in fault.text
    assert all(value in fault.text for value in subject.values())
    assert fault.parameters == subject
    assert fault.guidance


def test_every_subject_is_a_fault_of_its_own():
    """Two databases and three indexes are five faults, the most urgent first."""
    facts = {
        "indexes": [{"invalid": 3, "names": ["a", "b", "c"]}],
        "wraparound": [{"db": db, "xid_age": 2e9, "mxid_age": 0} for db in ("app", "log")],
    }
    faults = judge_postgres(facts, PostgresLimits())
    assert [value for fault in faults for value in fault.subject.values()] == [
        "app",
        "log",
        "a",
        "b",
        "c",
    ]


def test_every_session_over_its_limit_is_named():
    """Not the oldest alone: each is to be ended by itself. Nobody there is no fault."""
    many = {"idle_pids": [7, 8, 9], "idle_ages": [900.0, 301.0, 5.0], "open_pids": None}
    facts = {"activity": [GOOD["activity"] | many | {"open_ages": None}]}
    faults = judge_postgres(facts, PostgresLimits())
    assert [fault.subject["process"] for fault in faults] == ["7", "8"]
    assert [fault.cure for fault in faults] == [
        ("SELECT pg_terminate_backend(7);",),
        ("SELECT pg_terminate_backend(8);",),
    ]


def test_blockers_are_ended_by_command_prepared_ones_are_not():
    """Each blocker has its command; pid 0, a prepared transaction, can't be ended so."""
    facts = {"locks": [GOOD["locks"] | {"longest": 99.0, "blockers": [8, 0, 7], "waiters": 3}]}
    (fault,) = judge_postgres(facts, PostgresLimits())
    assert fault.cure == ("SELECT pg_terminate_backend(8);", "SELECT pg_terminate_backend(7);")
    assert (fault.count.lo, fault.count.hi) == (3, 3)


def test_names_in_commands_are_quoted():
    """A database's name may hold anything."""
    facts = {"collations": [{"mismatched": 1, "names": ['a "b"; drop']}]}
    (fault,) = judge_postgres(facts, PostgresLimits())
    assert fault.cure == (
        'REINDEX DATABASE CONCURRENTLY "a ""b""; drop";',
        'ALTER DATABASE "a ""b""; drop" REFRESH COLLATION VERSION;',
    )
    assert quote("a") == '"a"'


def test_archiver_that_works_again_is_no_complaint():
    """failing false ends it, however long ago the last success was."""
    assert (
        judge_postgres({"archiver": [{"failing": False, "since_success": 1e6}]}, PostgresLimits())
        == []
    )


def test_unanswered_questions_are_left_out():
    """No facts, no complaint: the probe says that it does not know."""
    assert judge_postgres({}, PostgresLimits()) == []


def counters(**given: int) -> dict[str, int]:
    return dict.fromkeys(COUNTERS, 0) | {"id": "1"} | given


def test_totals_start_at_the_baseline_and_add_differences():
    """What was counted before the first look is not ours."""
    totals = CounterTotals()
    totals.add([counters(commits=1000)])
    totals.add([counters(commits=1010)])
    assert totals.totals["commits"] == 10


def test_totals_survive_a_reset():
    """After a reset the counter's own value is what was counted since."""
    totals = CounterTotals()
    for commits in (1000, 1010, 4, 5):
        totals.add([counters(commits=commits)])
    assert totals.totals["commits"] == 15


def test_totals_keep_the_share_of_a_dropped_database():
    """Dropping a database takes nothing away, and its successor is a new baseline."""
    totals = CounterTotals()
    totals.add([counters(commits=10)])
    totals.add([counters(commits=15)])
    totals.add([])
    totals.add([counters(commits=900)])
    assert totals.totals["commits"] == 5


def test_lineage_tells_cluster_and_timeline_apart():
    """First look: nothing; new timeline: failover; new system: another cluster. Shown as long as
    asked.
    """
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lineage = Lineage()
    assert not lineage.see("a", 1, now)
    assert lineage.find_fault(now, 60) is None
    assert not lineage.see("a", 2, now)
    failover = lineage.find_fault(now, 60)
    assert (failover.key, failover.since) == ("failover", now)
    assert "timeline 1 → 2" in failover.text
    assert lineage.see("b", 2, now)
    other = lineage.find_fault(now, 60)
    assert (other.key, other.subject) == ("other_cluster", {})
    assert "another cluster" in other.text
    assert lineage.find_fault(now + timedelta(seconds=60), 60) is None
