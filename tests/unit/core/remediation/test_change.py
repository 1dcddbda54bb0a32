"""The budget of hot reloads: a person is served at once, a component that writes there itself is
not served for ever.
"""

from __future__ import annotations

import pytest

from sentinel.core.remediation.change import (
    ChangeDecision,
    ChangePolicy,
    count_streak,
    decide_change,
)

POLICY = ChangePolicy()


def simulate(every: float, seconds: float) -> list[float]:
    """The instants of restarts of a component that changes a file `every` seconds after each
    start.
    """
    instants: list[float] = []
    now, streak = 0.0, 0
    while now < seconds:
        ages = [now - each for each in instants]
        streak = count_streak(POLICY, streak, ages[-1] if ages else None)
        now += decide_change(POLICY, streak, ages).wait
        instants.append(now)
        now += every
    return instants


def test_who_writes_there_at_each_start_is_held_back() -> None:
    """D3: one restart a second becomes three at once, and then one in five minutes."""
    instants = simulate(1.0, 3600.0)
    assert sum(each < 4 for each in instants) == 3
    assert sum(each <= 45 for each in instants) == 6
    assert len(instants) == 20
    assert instants[-1] - instants[-2] == pytest.approx(300.0)


def test_who_writes_now_and_then_meets_the_cap() -> None:
    """A change a minute after each start looks like a person's, and stays within the hour's cap."""
    instants = simulate(60.0, 2 * 3600.0)
    for each in instants:
        assert sum(0 <= each - other < 3600 for other in instants) <= POLICY.per_hour


def test_a_person_is_served_at_once() -> None:
    """Saves that leave it in peace in between; a break forgives a streak."""
    assert decide_change(POLICY, 0, [40.0]).wait == 0
    assert count_streak(POLICY, 9, POLICY.soon) == 0
    assert decide_change(POLICY, POLICY.free - 1, [0.0]) == ChangeDecision(0.0)
    assert count_streak(POLICY, 9, None) == 0


def test_it_says_why() -> None:
    """In figures, as a question: who wrote can't be known."""
    held = decide_change(POLICY, 4, [2.0, 5.0, 7.0])
    assert held.wait == 8.0
    assert held.why == (
        "its files changed within 30 s of each of its last 4 starts: does it write there by itself?"
        " the next change waits 10 s"
    )
    full = decide_change(POLICY, 0, [60.0 * n for n in range(30)])
    assert full.wait == 3600 - 60 * 29
    assert full.why.startswith("30 changes of its files within an hour")


def test_a_streak_without_end_is_no_overflow() -> None:
    """However long it goes on."""
    assert decide_change(POLICY, 10**9, []).wait == 0.0
    assert decide_change(POLICY, 10**9, [0.0]).wait == 300.0
