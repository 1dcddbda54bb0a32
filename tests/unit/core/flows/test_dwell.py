"""Stays in a status: the formula of measurement.md §5, the pace of learning, the sketch, blocked
passages.
"""

from __future__ import annotations

import json
import math
import random
import statistics

import pytest

from sentinel.core.flows.dwell import DAY, Limit, ObservedStays, Passage, Sketch, Stays, relearn


def test_limit_is_the_greatest_of_three():
    """60 s, 3 × p99, exp(median ln + 6 × 1.4826 × MAD)."""
    assert Stays(50, math.log(2), 0.1, 3).limit == 60
    assert Stays(50, math.log(100), 0.0, 200).limit == 600
    assert Stays(50, math.log(100), 0.5, 200).limit == pytest.approx(
        100 * math.exp(6 * 1.4826 * 0.5)
    )


def test_no_limit_from_fewer_than_fifty_stays():
    """49 stays teach nothing."""
    assert Stays(49, 0, 0, 1000).limit is None


def test_the_sketch_knows_quantiles_to_ten_percent_upwards():
    """Against the exact values of 2000 lognormal stays: p99 0 to 10 % above, median alike, MAD
    within a bucket.
    """
    chance = random.Random(7)
    stays = [chance.lognormvariate(math.log(120), 0.7) for _ in range(2000)]
    sketch = Sketch()
    for stay in stays:
        sketch.add(stay, 0.0)
    found = sketch.summarise()
    logs = [math.log(stay) for stay in stays]
    median = statistics.median(logs)
    assert found.n == 2000
    assert 1 <= found.p99 / sorted(stays)[1979] <= 1.1
    assert 0.99 <= found.median / math.exp(median) <= 1.11
    assert found.mad == pytest.approx(statistics.median(abs(log - median) for log in logs), abs=0.1)


def test_few_false_alarms_on_lognormal_stays():
    """Of 20 000 stays of sigma 0.7 at most a handful exceeds the limit learned from 2000 others
    (5e-5 expected).
    """
    chance = random.Random(11)
    sketch = Sketch()
    for _ in range(2000):
        sketch.add(chance.lognormvariate(5, 0.7), 0.0)
    limit = sketch.summarise().limit
    assert sum(chance.lognormvariate(5, 0.7) > limit for _ in range(20_000)) <= 5


def test_the_sketch_forgets_after_thirty_days_and_survives_json():
    """Stays of day 0 are gone on day 30; zero and tiny stays are stays."""
    sketch = Sketch()
    for seconds in (0.0, 1e-9, 5.0):
        sketch.add(seconds, 0.0)
    sketch.add(7.0, 29 * DAY)
    sketch = Sketch.load(json.loads(json.dumps(sketch.dump())))
    assert sketch.summarise().n == 4
    sketch.add(7.0, 30 * DAY)
    assert sketch.summarise().n == 2
    assert Sketch().summarise() is None


def test_learning_is_daily_and_at_most_twofold():
    """The first limit at once; then once a day, at most twice or half of the former."""
    stays = Stays(100, math.log(100), 0.0, 1000)
    first = relearn(None, stays, 0.0)
    assert first == Limit(3000, 0.0, 100)
    assert relearn(Limit(100, 0.0, 50), stays, DAY - 1) == Limit(100, 0.0, 50)
    assert relearn(Limit(100, 0.0, 50), stays, DAY).seconds == 200
    assert relearn(Limit(100_000, 0.0, 50), stays, DAY).seconds == 50_000
    assert relearn(first, None, 2 * DAY) is first
    assert relearn(first, Stays(49, 0, 0, 1), 2 * DAY) is first


@pytest.mark.parametrize(
    ("entries", "stays", "longest", "blocked_at"),
    [
        (2, Stays(10, math.log(10), 0, 20), 3600, 900),
        (2, Stays(10, math.log(300), 0, 900), 3600, 3000),
        (2, Stays(9, math.log(10), 0, 20), 3600, 3600),
        (2, None, 1200, 1200),
        (1, None, 1200, None),
    ],
)
def test_blocked_passages(entries, stays, longest, blocked_at):
    """max(15 min, 10 × median); without a median the status's own limit; one flow alone is no
    passage.
    """
    passage = Passage(100.0, entries)
    if blocked_at is None:
        assert not passage.is_blocked(stays, longest, 1e9)
    else:
        assert not passage.is_blocked(stays, longest, 99.0 + blocked_at)
        assert passage.is_blocked(stays, longest, 100.1 + blocked_at)


def test_the_histogram_is_cumulative():
    """Counts per edge, all, and the sum."""
    observed = ObservedStays()
    for seconds in (0.5, 30, 100_000):
        observed.add(seconds)
    histogram = observed.histogram()
    assert histogram.counts == (1, 1, 1, 2, 2, 2, 2, 2, 2)
    assert (histogram.total, histogram.sum) == (3, 100_030.5)


def test_a_stay_at_an_edge_is_below_it():
    """Buckets are at most, as Prometheus counts them."""
    observed = ObservedStays()
    observed.add(60.0)
    counts = dict(zip(observed.histogram().bounds, observed.histogram().counts, strict=True))
    assert (counts[15.0], counts[60.0], counts[300.0]) == (0, 1, 1)
