"""Stays in a status: limits by split conformal prediction, the sketch, blocked passages."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from sentinel.core.flows.dwell import (
    DAY,
    LEAST_ALARMS,
    LONGEST,
    MOST_RISK,
    NOTHING,
    WEEK,
    Lesson,
    ObservedStays,
    Passage,
    Sketch,
    Stays,
    find_bucket,
)

# --- the limit ------------------------------------------------------------------------------------


def stays_of(values: Sequence[float], first: float = 0.0, longest: bool = True) -> Stays:
    counts = Counter(find_bucket(value) for value in values)
    return Stays.of(counts, first, values if longest else ())


def lognormal_tail(mean: float, deviation: float, seconds: float) -> float:
    return 0.5 * math.erfc((math.log(seconds) - mean) / (deviation * math.sqrt(2)))


def normal_tail(mean: float, deviation: float, seconds: float) -> float:
    return 0.5 * math.erfc((seconds - mean) / (deviation * math.sqrt(2)))


Draw = Callable[[random.Random], float]
Tail = Callable[[float], float]
SHAPES: dict[str, tuple[Draw, Tail]] = {
    "lognormal 1": (lambda r: r.lognormvariate(4, 1), lambda s: lognormal_tail(4, 1, s)),
    "lognormal 0.3": (lambda r: r.lognormvariate(4, 0.3), lambda s: lognormal_tail(4, 0.3, s)),
    "pareto 1.5": (lambda r: 60 * r.paretovariate(1.5), lambda s: min(1.0, (60 / s) ** 1.5)),
    "bimodal": (
        lambda r: r.gauss(3600, 300) if r.random() < 0.01 else r.gauss(60, 6),
        lambda s: 0.99 * normal_tail(60, 6, s) + 0.01 * normal_tail(3600, 300, s),
    ),
    "uniform": (lambda r: r.uniform(60, 120), lambda s: min(1.0, max(0.0, (120 - s) / 60))),
}


def find_quantile(tail: Tail, risk: float) -> float:
    """The stay that is exceeded with that probability, by bisection."""
    low, high = 1.0, 1e7
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > risk else (low, middle)
    return high


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "runs"), [(1000, 120), (5000, 15)])
def test_false_alarms_keep_the_budget_and_limits_are_near(shape: str, n: int, runs: int) -> None:
    """Whatever the distribution: at most 1.5 false alarms in 1000 on average, at most 1.5 times the
    true quantile, at a budget of 1 in 1000.
    """
    draw, tail = SHAPES[shape]
    chance = random.Random(f"{shape} {n}")
    limits = []
    for _ in range(runs):
        lesson = stays_of([draw(chance) for _ in range(n)]).learn(0.001)
        assert lesson.seconds is not None
        limits.append(lesson.seconds)
    assert statistics.mean(tail(limit) for limit in limits) <= 0.0015
    assert statistics.median(limits) <= 1.5 * find_quantile(tail, 0.001)


@pytest.mark.parametrize("shape", SHAPES)
def test_too_few_stays_teach_nothing(shape: str) -> None:
    """Fewer than 1/α − 1: there is no limit, and it is told how many are known and needed."""
    draw, _ = SHAPES[shape]
    chance = random.Random(shape)
    values = [draw(chance) for _ in range(999)]
    assert stays_of(values[:998]).learn(0.001) == Lesson(998, 999, 0.001)
    assert stays_of(values).learn(0.001).seconds == max(values)


@pytest.mark.parametrize(("n", "risk"), [(99, 0.01), (199, 0.01), (200, 0.01), (1998, 0.001)])
def test_the_rank_is_the_one_of_the_formula(n: int, risk: float) -> None:
    """sorted(stays)[ceil((n + 1)(1 − α)) − 1], exactly while the longest are known."""
    values = [float(value) for value in range(1, n + 1)]
    rank = math.ceil(round((n + 1) * (1 - risk), 9))
    assert stays_of(values).learn(risk).seconds == values[rank - 1]
    rounded = stays_of(values, longest=False).learn(risk).seconds
    assert rounded is not None
    assert values[rank - 1] <= rounded <= 1.1 * values[rank - 1]


def test_a_rank_beyond_the_longest_is_known_to_ten_percent_upwards() -> None:
    """A budget of many alarms: never lower than the stay itself."""
    values = [float(value) for value in range(1, 5001)]
    assert LONGEST < 50
    limit = stays_of(values).learn(0.01).seconds
    assert limit is not None
    assert 4950 <= limit <= 4950 * 1.1


def test_the_risk_is_a_budget_of_alarms_a_week() -> None:
    """False alarms a week ÷ stays a week, at most one stay in a hundred, whatever the time."""
    stays = stays_of([60.0] * 7000, first=0.0)
    assert stays.risk(1.0, WEEK) == pytest.approx(1 / 7000)
    assert stays.risk(2.0, 2 * WEEK) == pytest.approx(2 / 3500)
    assert stays.risk(100.0, WEEK) == MOST_RISK
    assert stays_of([60.0] * 5).risk(1.0, WEEK) == MOST_RISK
    assert Lesson(0, 99, MOST_RISK) == NOTHING


def test_a_budget_is_learned_in_the_time_that_it_stands_for() -> None:
    """One alarm a week takes a week, however many stays there are; the rarest one the window."""
    for n in (1000, 100_000):
        stays = Stays.of({10: n}, 0.0)
        assert stays.learn(stays.risk(1.0, 0.99 * WEEK)).seconds is None
        assert stays.learn(stays.risk(1.0, 1.01 * WEEK)).seconds is not None
        assert stays.learn(stays.risk(LEAST_ALARMS, 30.1 * DAY)).seconds is not None
        early = stays.learn(stays.risk(1.0, 60.0))
        assert early.seconds is None
        assert early.needed > n


@pytest.mark.parametrize(("alarms", "shape"), [(2.0, "lognormal 1"), (4.0, "pareto 1.5")])
def test_alarms_over_half_a_year_are_those_of_the_budget(alarms: float, shape: str) -> None:
    """A hundred stays a day, each judged by the limit of that day: as many alarms a week as the
    budget has.
    """
    draw, _ = SHAPES[shape]
    sketch, chance, false, judged = Sketch(), random.Random(shape), 0, 0.0
    for day in range(26 * 7):
        now = day * DAY
        stays = sketch.summarise(now)
        limit = None if stays is None else stays.learn(stays.risk(alarms, now)).seconds
        judged += limit is not None
        for hour in range(100):
            stay = draw(chance)
            false += limit is not None and stay > limit
            sketch.add(stay, now + hour * 800.0)
    assert judged > 170
    assert 0.7 * alarms <= false / (judged / 7) <= 1.3 * alarms


def test_a_stuck_flow_does_not_raise_its_limit() -> None:
    """Only completed stays are learned from: what is open is in no sketch."""
    sketch = Sketch()
    for n in range(2000):
        sketch.add(60.0, n * 600.0)
    stays = sketch.summarise(2000 * 600.0)
    assert stays is not None
    assert stays.learn(stays.risk(1.0, 2000 * 600.0)).seconds == 60.0


# --- the sketch -----------------------------------------------------------------------------------


def test_the_sketch_is_the_stays_of_thirty_days() -> None:
    """Newer stays alone: day 0 is gone on day 30, also when nothing new has come; then the window
    is the time over which stays are counted.
    """
    sketch = Sketch()
    for seconds in (0.0, 1e-9, 5.0):
        sketch.add(seconds, 100.0)
    sketch.add(7.0, 29 * DAY)
    sketch = Sketch.load(json.loads(json.dumps(sketch.dump())), sketch.first)
    before = sketch.summarise(29 * DAY)
    assert before == Stays.of(before.counts and dict(before.counts), 100.0, [0.0, 0.001, 5.0, 7.0])
    after = sketch.summarise(30 * DAY)
    assert (after.n, after.first, after.longest) == (1, DAY, (7.0,))
    assert sketch.summarise(59 * DAY) is None
    sketch.add(9.0, 59 * DAY)
    assert sketch.summarise(59 * DAY).first == 30 * DAY, "it was watched, and nothing ended"
    assert Sketch().summarise(0.0) is None


def test_the_sketch_is_bounded() -> None:
    """However many stays: some hundred buckets and ten of the longest a day."""
    sketch, chance = Sketch(), random.Random(3)
    for n in range(20_000):
        sketch.add(chance.lognormvariate(4, 3), n * 100.0)
    assert max(map(len, sketch.days.values())) < 400
    assert {len(known) for known in sketch.longest.values()} == {LONGEST}


def test_the_median_is_known_to_ten_percent_upwards() -> None:
    """Against the exact value of 2000 lognormal stays."""
    chance = random.Random(7)
    values = [chance.lognormvariate(math.log(120), 0.7) for _ in range(2000)]
    assert 0.99 <= stays_of(values).median / statistics.median(values) <= 1.11


def test_a_sketch_of_an_older_version_is_read() -> None:
    """It knows no longest stays and no beginning: buckets are the limit, and stays seem to have
    come in a shorter time, so that false alarms are rarer.
    """
    old = Sketch.load([[20, [[48, 60], [50, 2]]], [21, "48 940"]])
    stays = old.summarise(30 * DAY)
    assert (stays.n, stays.first, stays.longest) == (1002, 21 * DAY, ())
    old.add(1e6, 30 * DAY)
    assert old.summarise(30 * DAY).longest == (), "the longest of day 20 are not known"
    learned = old.summarise(50.5 * DAY)
    assert learned.n == 941
    assert learned.learn(0.002).seconds == pytest.approx(math.exp(find_bucket(1e6) * math.log(1.1)))


# --- statuses that nobody leaves ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "stays", "longest", "blocked_at"),
    [
        (2, stays_of([10.0] * 10), 3600, 900),
        (2, Stays.of({60: 10}, 0.0), 3600, 10 * 1.1**60),
        (2, stays_of([10.0] * 9), 3600, 3600),
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
