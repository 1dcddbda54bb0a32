"""What counts prove: the numbers of measurement.md §1.11, bounds that hold for clustered failures,
coverage.
"""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.canary.proof import Windows, chance_of, design_effect, judge, wilson_lower

NEEDED = [(0.995, 0, 539), (0.995, 1, 894), (0.995, 2, 1206), (0.995, 3, 1499)]
NEEDED += [(0.999, 0, 2703), (0.999, 1, 4480), (0.999, 3, 7504)]


DAY = 144


def spread(n, failures, blocks=DAY):
    """n canaries evenly over the blocks of a day, each failure in a block of its own."""
    return [(n // blocks + (i < n % blocks), int(i < failures)) for i in range(blocks)]


@pytest.mark.parametrize(("target", "failures", "n"), NEEDED)
def test_the_smallest_sample_that_proves_a_target(target, failures, n):
    """The numbers of measurement.md §1.11 (Wilson, one-sided 95 %), to the unit, while failures are
    scattered.
    """
    assert judge(spread(n, failures), target).verdict == "met"
    assert judge(spread(n - 1, failures), target).verdict == "insufficient data"


def test_verdicts():
    """Ten of ten proves nothing; a really bad path is missed; nothing is insufficient."""
    assert judge([(10, 0)], 0.995).verdict == "insufficient data"
    assert judge([], 0.995).verdict == "insufficient data"
    assert judge([(100, 4)] * 6, 0.995).verdict == "missed"
    assert judge([(40, 40)], 0.995).verdict == "missed"
    assert judge([], 0.995).lower == 0.0


@pytest.mark.parametrize(
    ("n", "failures", "verdict"),
    [(36, 1, "insufficient data"), (10, 1, "missed"), (60, 3, "missed")],
)
def test_one_failure_of_a_few_is_no_miss(n, failures, verdict):
    """One of 36 has a chance of 17 % while 99.5 % are met; one of ten has 5 %, three of sixty 0.3
    %.
    """
    assert judge(spread(n, failures, 12), 0.995).verdict == verdict


@pytest.mark.parametrize(
    ("failures", "n", "target", "chance"),
    [
        (1, 36, 0.995, 1 - 0.995**36),
        (2, 3, 0.5, 0.5),
        (3, 3, 0.5, 0.125),
        (0, 9, 0.9, 1.0),
        (10, 10, 0.9, 0.0),
    ],
)
def test_chances_are_exact(failures, n, target, chance):
    """Binomial tails, by hand."""
    assert chance_of(failures, n, target) == pytest.approx(chance, abs=2e-9)


def test_nothing_is_met_in_a_time_that_was_not_seen():
    """600 of 600 prove 99.5 %, but not of an hour of which a fifth was blind; a miss stays a miss."""
    assert judge([(100, 0)] * 6, 0.995, coverage=0.91).verdict == "met"
    assert judge([(100, 0)] * 6, 0.995, coverage=0.8).verdict == "insufficient data"
    assert judge([(100, 4)] * 6, 0.995, coverage=0.1).verdict == "missed"


def test_one_outage_is_one_event():
    """Sixty failures in a row tell much less than sixty scattered ones: the bound is wider, and
    nothing is claimed.
    """
    clustered, scattered = [(600, 60)] + [(600, 0)] * 143, spread(86400, 60)
    assert judge(scattered, 0.998).verdict == "met"
    assert judge(clustered, 0.998).verdict == "insufficient data"
    assert judge(clustered, 0.998).effective < 86400 / 50
    assert judge(scattered, 0.998).effective == 86400
    assert judge(clustered, 0.998).lower < judge(scattered, 0.998).lower


def test_with_few_blocks_all_failures_are_one_event():
    """Twenty minutes have no spread to learn from: fifty failures in them prove no miss of 50 %."""
    assert design_effect([(60, 25), (60, 25)]) == 50
    assert judge([(60, 35), (60, 35)], 0.5).verdict == "insufficient data"
    assert design_effect([(60, 0), (60, 0)]) == 1
    assert design_effect([(60, 60)]) == 1


def outages(random_, share):
    """A day of one canary a second in blocks; outages of a minute (exponential) make `share` of it
    fail.
    """
    bad = set()
    start = random_.expovariate(share / 60)
    while start < 86400:
        bad.update(range(int(start), min(86400, int(start + random_.expovariate(1 / 60)))))
        start += random_.expovariate(share / 60)
    blocks = [[600, 0] for _ in range(DAY)]
    for second in bad:
        blocks[second // 600][1] += 1
    return [tuple(block) for block in blocks]


def test_the_bound_holds_for_outages_and_the_plain_one_does_not():
    """200 days with outages: at least 88 % of the 95 % bounds are below the truth (0.995), of the
    plain ones far fewer; the design effect is the one of measurement.md §1.11 (126)."""
    random_ = random.Random(7)
    days = [outages(random_, 0.005) for _ in range(200)]
    truth = 1 - sum(f for day in days for _, f in day) / (86400 * 200)
    right = sum(judge(day, 0.995).lower <= truth for day in days)
    plain = sum(wilson_lower(86400, sum(f for _, f in day)) <= truth for day in days)
    effects = [design_effect(day) for day in days]
    assert right >= 0.88 * 200
    assert plain <= 0.7 * 200
    assert 80 < sum(effects) / 200 < 150


@given(st.integers(0, 5000), st.data())
def test_bounds_surround_the_ratio(n, data):
    """0 ≤ lower ≤ observed."""
    failures = data.draw(st.integers(0, n))
    ratio = (n - failures) / n if n else 0.5
    assert 0 <= wilson_lower(n, failures) <= ratio + 1e-12


def test_windows_count_by_minute_and_forget_after_a_day():
    """An hour has its minutes only; memory is bounded to a day; the document restores everything."""
    windows = Windows()
    for minute in range(3000):
        windows.add(minute, failed=minute % 10 == 0)
    assert windows.count(2999, 60) == (60, 6)
    assert windows.count(2999, 1440) == (1440, 144)
    assert len(windows.dump()) <= Windows.SPAN + 1
    assert Windows(json.loads(json.dumps(windows.dump()))).count(2999, 60) == (60, 6)


def test_blocks_are_ten_minutes():
    """Canaries of one block of time stand together; blocks without any are left out."""
    windows = Windows()
    for minute in (100, 101, 109, 110, 135):
        windows.add(minute, failed=minute == 109)
    assert windows.blocks(139, 60) == [(3, 1), (1, 0), (1, 0)]
    assert windows.blocks(139, 30) == [(1, 0), (1, 0)]


def test_coverage_is_what_was_seen_of_the_time():
    """An hour watched, a quarter of it blind: 75 %; time before sentinel watched does not count; a
    restart knows.
    """
    windows = Windows()
    assert windows.coverage(0.0, 60) == 0.0
    windows.begin(3600.0)
    for minute in range(1, 61):
        if not 20 < minute <= 35:
            windows.cover(3600.0 + 60 * minute, 60.0)
    assert windows.coverage(7200.0, 60) == pytest.approx(0.75, abs=0.01)
    assert windows.coverage(7200.0, 1440) == pytest.approx(0.75)
    again = Windows(json.loads(json.dumps(windows.dump())), windows.since)
    assert again.coverage(7200.0 + 2700, 1440) == pytest.approx(2700 / 6300)


def test_sight_is_booked_in_the_minutes_it_was_in():
    """Ninety seconds up to 12:01:10 are 10 in that minute, 60 in the one before, 20 before that."""
    windows = Windows()
    windows.cover(70.0 + 600, 90.0)
    assert windows.dump() == [[9, 0, 0, 20.0], [10, 0, 0, 60.0], [11, 0, 0, 10.0]]
