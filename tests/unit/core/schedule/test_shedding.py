"""Who is left out when sentinel can't keep up: fairly, criticals last, and not for one standstill."""

from __future__ import annotations

import pytest

from sentinel.core.schedule.shedding import AFTER, LATE, Load


def after(load: Load, looks: list[float], step: float = 0.1) -> Load:
    """The load after looks at a fixed pace, each with its lateness."""
    for late in looks:
        load = load.see(load.at + step, late)
    return load


def test_in_time_everybody_runs():
    """And a little late is in time."""
    load = after(Load(), [0.0, LATE, 0.05] * 20)
    assert load.admits("a", 0.0, critical=False)


@pytest.mark.parametrize("stood_still", [0.5, 2.5, 60.0])
def test_one_standstill_leaves_nobody_out(stood_still):
    """A pause of our own is caught up with: only what lasts is more than we can do."""
    load = Load(at=100.0).see(100.0 + stood_still, stood_still)
    load = load.see(load.at + 1.5, 1.5)
    assert after(load, [0.0] * 5).age == 0.0


def test_what_lasts_is_answered_and_taken_back():
    """The age grows while it is late, and goes by and by."""
    pressed = after(Load(), [2.0] * round(AFTER / 0.1 + 90))
    assert pressed.age > 1.0
    relieved = after(pressed, [0.0] * 30)
    assert 0.0 < relieved.age < pressed.age
    assert after(relieved, [0.0] * 900).age == 0.0
    assert after(pressed, [9.0] * 9000).age <= 3600.0


def share(load: Load, every: float, *, critical: bool = False) -> float:
    """Which share of their slots a hundred checks of one interval are run, over five minutes."""
    slots = runs = 0
    for n in range(100):
        seen = 0.0
        for slot in range(1, round(300 / every) + 1):
            now, slots = slot * every, slots + 1
            if Load(load.age, now).admits(f"check-{n}", now - seen, critical=critical):
                seen, runs = now, runs + 1
    return runs / slots


def test_who_runs_most_often_is_left_out_first():
    """Until all are as old; what others rest on is left out when nothing else helps."""
    load = Load(age=4.0)
    assert share(load, 1.0) < 0.35
    assert share(load, 10.0) == 1.0
    assert share(load, 1.0, critical=True) == 1.0
    assert share(Load(age=400.0), 1.0, critical=True) < 0.1


def test_the_share_follows_the_age_by_and_by():
    """Checks of one interval are neither all left out at once nor none."""
    shares = [share(Load(age=age), 10.0) for age in (5.0, 8.0, 11.0, 14.0, 20.0, 40.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert len({round(each, 2) for each in shares}) == 6
