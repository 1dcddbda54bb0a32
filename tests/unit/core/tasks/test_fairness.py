"""Fairness between tenants: indices, and who is starved."""

from __future__ import annotations

import pytest

from sentinel.core.tasks.fairness import Spread, TenantWait


def spread(*waits):
    """Tenants by (p90, mean, tasks)."""
    found = [TenantWait(f"t{i}", p90, mean, n, 0) for i, (p90, mean, n) in enumerate(waits)]
    return Spread(
        len(found),
        sum(w.tasks for w in found),
        min((w.p90 for w in found), default=0.0),
        sum(w.mean * w.tasks for w in found),
        sum(w.mean for w in found),
        sum(w.mean**2 for w in found),
        sorted(found, key=lambda w: -w.p90),
    )


def test_equal_waits_are_fair():
    """Ratio and index are 1, nobody is named."""
    equal = spread((0.1, 0.1, 30), (0.1, 0.1, 500), (0.1, 0.1, 20))
    assert (equal.ratio, equal.jain) == (1.0, pytest.approx(1.0))
    assert equal.starved(10.0) == []


def test_one_starved_tenant_is_named_with_its_figures():
    """Ten times longer in the tail and on average: named."""
    unfair = spread((0.1, 0.1, 300), (0.1, 0.1, 300), (9.0, 3.0, 20))
    assert unfair.ratio == pytest.approx(90)
    assert unfair.jain == pytest.approx(3.2**2 / (3 * (9 + 0.02)))
    assert [wait.tenant for wait in unfair.starved(10.0)] == ["t2"]
    assert unfair.starved(31.0) == []
    assert unfair.describe(10.0)["starved"] == ["t2"]


def test_a_short_outage_that_meets_all_is_no_unfairness():
    """11 % of one tenant's tasks and 9 % of the other's waited for seconds: their p90 differ, they
    don't.
    """
    outage = spread((4.0, 0.64, 100), (0.1, 0.54, 100))
    assert outage.ratio == 40
    assert outage.starved(10.0) == []


def test_a_mean_that_one_task_made_is_no_unfairness():
    """One task of a hundred waited for an hour: the mean says so, the tail of the tenant does not."""
    assert spread((0.1, 36.0, 100), (0.1, 0.1, 100)).starved(10.0) == []


@pytest.mark.parametrize("found", [spread(), spread((60.0, 60.0, 30))])
def test_nobody_to_compare_with_is_insufficient_data(found):
    """Less than two tenants: no verdict, neither good nor bad."""
    assert found.starved(10.0) == []
    assert found.describe(10.0) == {"verdict": "insufficient data", "tenants": found.tenants}


def test_without_any_wait_the_ratio_is_one():
    """Nobody to divide by: no tenant, or one that waits for nothing at all."""
    assert Spread().ratio == 1.0
    assert spread((0.0, 0.0, 30), (0.0, 0.0, 30)).ratio == 1.0
    assert (Spread().jain, spread((0.0, 0.0, 30)).jain) == (1.0, 1.0)


def test_exactly_at_the_limit_is_starved():
    """Ten times the least p90, and ten times the mean of all others."""
    limit = spread((1.0, 1.0, 30), (10.0, 10.0, 30))
    assert [wait.tenant for wait in limit.starved(10.0)] == ["t1"]
    assert spread((1.0, 1.0, 30), (9.9, 10.0, 30)).starved(10.0) == []
    assert spread((1.0, 1.0, 30), (10.0, 9.9, 30)).starved(10.0) == []
