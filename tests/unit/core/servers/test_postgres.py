"""Judging PostgreSQL by its catalogs: each level fires at its figure and not below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.servers.postgres import COUNTERS, Limits, Lineage, Totals, judge

GOOD = {
    "wraparound": {"db": "app", "xid_age": 1_200_000_000, "mxid_age": 0},
    "databases": {"id": "5", "checksum_failures": 0},
    "collations": {"mismatched": 0, "names": None},
    "connections": {"used": 85, "usable": 100},
    "locks": {"waiters": 1, "longest": 30.0, "pid": 9, "blockers": [8]},
    "activity": {"transaction_age": 3600.0, "idle_age": 300.0, "oldest_pid": 1, "idle_pid": 2},
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
BAD = [
    ("wraparound", {"xid_age": 1_200_000_001}, "xid age"),
    ("wraparound", {"mxid_age": 1_200_000_001}, "mxid age"),
    ("databases", {"checksum_failures": 1}, "checksum"),
    ("collations", {"mismatched": 1, "names": ["app"]}, "app"),
    ("connections", {"used": 86}, "86 of 100"),
    ("locks", {"longest": 30.1}, "blocked by 8"),
    ("activity", {"transaction_age": 3600.1}, "pid 1"),
    ("activity", {"idle_age": 300.1}, "pid 2"),
    ("horizon", {"slot": 5e7 + 1}, "a slot holds"),
    ("replication", {"lag": 60.1}, "s1"),
    ("identity", {"replay_delay": 60.1}, "replays"),
    ("slots", {"retained_bytes": 2e10 + 1}, "retains"),
    ("slots", {"wal_status": "lost"}, "lost"),
    ("slots", {"invalidation_reason": "idle_timeout"}, "idle_timeout"),
    ("archiver", {"since_success": 900.1}, "archiving fails"),
    ("indexes", {"invalid": 2, "names": ["i", "j"]}, "2 invalid indexes: i, j"),
]


def test_figures_at_the_level_are_no_complaint():
    """Every level is exclusive, and the shipped levels are those of the specification."""
    assert judge({name: [record] for name, record in GOOD.items()}, Limits()) == []


@pytest.mark.parametrize(("name", "change", "words"), BAD)
def test_each_figure_over_its_level_is_one_complaint(name, change, words):
    """One figure over its level gives exactly one complaint, with a remedy."""
    facts = {key: [record] for key, record in GOOD.items()} | {name: [GOOD[name] | change]}
    (complaint,) = judge(facts, Limits())
    assert words in complaint.text
    assert complaint.remedy


def test_archiver_that_works_again_is_no_complaint():
    """failing false ends it, however long ago the last success was."""
    assert judge({"archiver": [{"failing": False, "since_success": 1e6}]}, Limits()) == []


def test_unanswered_questions_are_left_out():
    """No facts, no complaint: the probe says that it does not know."""
    assert judge({}, Limits()) == []


def counters(**given: int) -> dict[str, int]:
    return dict.fromkeys(COUNTERS, 0) | {"id": "1"} | given


def test_totals_start_at_the_baseline_and_add_differences():
    """What was counted before the first look is not ours."""
    totals = Totals()
    totals.add([counters(commits=1000)])
    totals.add([counters(commits=1010)])
    assert totals.totals["commits"] == 10


def test_totals_survive_a_reset():
    """After a reset the counter's own value is what was counted since."""
    totals = Totals()
    for commits in (1000, 1010, 4, 5):
        totals.add([counters(commits=commits)])
    assert totals.totals["commits"] == 15


def test_totals_keep_the_share_of_a_dropped_database():
    """Dropping a database takes nothing away, and its successor is a new baseline."""
    totals = Totals()
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
    assert lineage.complaint(now, 60) is None
    assert not lineage.see("a", 2, now)
    assert "timeline 1 → 2" in lineage.complaint(now, 60).text
    assert lineage.see("b", 2, now)
    assert "another cluster" in lineage.complaint(now, 60).text
    assert lineage.complaint(now + timedelta(seconds=60), 60) is None
