"""What cleaning remembers: caps taken before the effect, plans that are applied once, whatever
process asks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.bus.housekeeping import BusLife, CleanPlan, Refusal, ServerSign, Target
from sentinel.core.moment import Moment
from sentinel.store import Retention
from sentinel.store.plans import ChoreRun
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NOW = Moment(T0, "boot", 1000.0)
TARGETS = (Target("k", 2, "c", ("s",), "g", ("1", "2")),)
PLAN = CleanPlan(
    "id", "chore", "kind", NOW, "me", {"a": [1, "x"]}, TARGETS, (Refusal("r", "p", "t"),)
)


@pytest.fixture
def stores(tmp_path):
    """Two on one folder, as a daemon and a command."""
    made = [SqliteStore(tmp_path, owner=True), SqliteStore(tmp_path)]
    yield made
    for store in made:
        store.close()


def later(seconds: float) -> Moment:
    """A moment after NOW."""
    return Moment(T0 + timedelta(seconds=seconds), "boot", 1000.0 + seconds)


def test_two_processes_together_never_get_more_than_the_cap(stores):
    """40 requests of 7 from two stores at once: 100 granted in all, the rest nothing."""
    with ThreadPoolExecutor(4) as pool:
        grants = list(
            pool.map(lambda i: stores[i % 2].cleaning.reserve("a", 7, 100, NOW), range(40))
        )
    assert sum(grant.count for grant in grants) == 100
    assert stores[0].cleaning.left("a", 100, NOW) == 0
    assert stores[0].cleaning.left("b", 100, NOW) == 100


def test_what_is_not_settled_counts_in_full(stores):
    """A process that died between taking and settling has spent it; a settled one only what it did."""
    first, second = stores
    first.cleaning.settle(first.cleaning.reserve("a", 10, 100, NOW), 4)
    second.cleaning.reserve("a", 20, 100, NOW)
    assert first.cleaning.left("a", 100, NOW) == 76
    assert first.cleaning.left("a", 100, later(3601)) == 100


def test_a_plan_is_read_as_it_was_written_and_claimed_once(stores):
    """By both processes at once: one gets it, the other is told that it was applied."""
    first, second = stores
    first.cleaning.add_plan(PLAN)
    assert second.cleaning.plan("id") == PLAN
    assert second.cleaning.plan("other") is None
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(
            pool.map(lambda i: stores[i % 2].cleaning.claim_plan("id", later(5)).reason, range(20))
        )
    assert sorted(verdicts) == ["", *["applied"] * 19]
    first.cleaning.close_plan("id", "applied", "done: 2")
    found = second.cleaning.plan("id")
    assert found is not None
    assert (found.state, found.outcome) == ("applied", "done: 2")
    assert first.cleaning.claim_plan("other", NOW).reason == "unknown"


def test_memory_of_servers_and_runs_survives(stores):
    """Lives with their streams and moments, and how a run ended."""
    first, second = stores
    life = BusLife(ServerSign("r", "p", 3, 1.5), {"s": (4, "5-6")}, NOW, "why", {"s": later(3)})
    first.cleaning.keep_life("bus", life)
    assert second.cleaning.life("bus") == life
    assert second.cleaning.life("other") == BusLife()
    run = ChoreRun("a", NOW, "done", 3, 2, 1, "detail")
    first.cleaning.keep_run(run)
    assert second.cleaning.last_run("a") == run
    assert second.cleaning.last_run("b") is None


def test_the_retention_forgets_old_plans_and_reservations(stores):
    """And keeps what is younger."""
    store = stores[0]
    store.cleaning.add_plan(PLAN)
    store.cleaning.reserve("a", 5, 10, NOW)
    store.forget(Retention(*[T0 - timedelta(seconds=1)] * 5))
    assert store.cleaning.plan("id") == PLAN
    store.forget(Retention(*[T0 + timedelta(seconds=1)] * 5))
    assert store.cleaning.plan("id") is None
    assert store.cleaning.left("a", 10, NOW) == 10
