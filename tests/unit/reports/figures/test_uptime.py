"""Uptime arithmetic: transitions minus gaps, by table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Transition
from sentinel.reports.figures import Period
from sentinel.reports.figures.uptime import MAX_SPANS, measure_uptime
from sentinel.store import Gap

T0 = datetime(2026, 3, 1, tzinfo=UTC)
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


CASES = {
    # name: (transitions, gaps, status now, since, (up, degraded, down, unobserved), ratio)
    "always up": ([], [], UP, -50, (100, 0, 0, 0), 1.0),
    "up, but known only from 40 on": ([], [], UP, 40, (60, 0, 0, 40), 1.0),
    "never known": ([], [], UNKNOWN, -50, (0, 0, 0, 100), None),
    "no since at all": ([], [], UP, None, (0, 0, 0, 100), None),
    "down in the middle": ([(20, UP, DOWN), (50, DOWN, UP)], [], UP, 50, (70, 0, 30, 0), 0.7),
    "degraded is not down": ([(20, UP, DEGRADED)], [], DEGRADED, 20, (20, 80, 0, 0), 1.0),
    "a gap inside up": ([], [(10, 30)], UP, -50, (80, 0, 0, 20), 1.0),
    "a gap across a transition": ([(20, UP, DOWN)], [(10, 30)], DOWN, 20, (10, 0, 70, 20), 0.125),
    "overlapping gaps count once": (
        [],
        [(10, 30), (20, 40), (25, 26)],
        UP,
        -50,
        (70, 0, 0, 30),
        1.0,
    ),
    "gaps beyond the period are cut": ([], [(-20, 5), (95, 300)], UP, -50, (90, 0, 0, 10), 1.0),
    "a gap over everything": ([], [(-5, 500)], UP, -50, (0, 0, 0, 100), None),
    "unknown is unobserved": (
        [(20, UP, UNKNOWN), (60, UNKNOWN, DOWN)],
        [],
        DOWN,
        60,
        (20, 0, 40, 40),
        1 / 3,
    ),
    "a later transition tells the past": ([(150, DOWN, UP)], [], UP, 150, (0, 0, 100, 0), 0.0),
    "transition at the first moment": ([(0, UNKNOWN, UP)], [], UP, 0, (100, 0, 0, 0), 1.0),
    "empty gap": ([], [(10, 10)], UP, -50, (100, 0, 0, 0), 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_seconds_by_status(name: str) -> None:
    """Every second of the period is counted once: up, degraded, down or unobserved."""
    changes, gaps, now_status, since, expected, ratio = CASES[name]
    uptime = measure_uptime(
        "c",
        Period(T0, at(100)),
        [
            Transition("c", "component", before, after, at(when), "")
            for when, before, after in changes
        ],
        [Gap(at(began), at(ended), "") for began, ended in gaps],
        now_status,
        None if since is None else at(since),
    )
    assert (uptime.up, uptime.degraded, uptime.down, uptime.unobserved) == expected
    observed = uptime.up + uptime.degraded + uptime.down
    assert uptime.working_ratio == (None if ratio is None else pytest.approx(ratio))
    assert uptime.up_ratio == (uptime.up / observed if observed else None)
    assert sum(span.width for span in uptime.spans) == pytest.approx(1)


WORKED_UPON = {
    # name: (transitions, gaps, windows, (up, degraded, down, unobserved, maintenance))
    "down within it is no down": ([(30, UP, DOWN), (40, DOWN, UP)], [], [(20, 50)], (70, 0, 0, 0, 30)),
    "down before and after it is": (
        [(10, UP, DOWN), (60, DOWN, UP)], [], [(20, 50)], (50, 0, 20, 0, 30),
    ),
    "a gap within it is maintenance": ([], [(30, 60)], [(20, 50)], (60, 0, 0, 10, 30)),
    "two of them": ([(15, UP, DEGRADED)], [], [(10, 20), (80, 100)], (10, 60, 0, 0, 30)),
    "the whole of it": ([(30, UP, DOWN)], [], [(0, 100)], (0, 0, 0, 0, 100)),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKED_UPON)
def test_maintenance_is_a_share_of_its_own(name: str) -> None:
    """Whatever was seen in it: neither up nor down, and no second is counted twice or left out."""
    changes, gaps, windows, expected = WORKED_UPON[name]
    uptime = measure_uptime(
        "c",
        Period(T0, at(100)),
        [Transition("c", "component", old, new, at(when), "") for when, old, new in changes],
        [Gap(at(began), at(ended), "") for began, ended in gaps],
        changes[-1][2] if changes else UP,
        at(-50),
        [(at(began), at(ended)) for began, ended in windows],
    )
    shares = (uptime.up, uptime.degraded, uptime.down, uptime.unobserved, uptime.maintenance)
    assert shares == expected
    assert sum(shares) == 100
    observed = uptime.up + uptime.degraded + uptime.down
    assert uptime.up_ratio == (uptime.up / observed if observed else None)
    assert sum(span.width for span in uptime.spans) == pytest.approx(1)


def test_bar_is_bounded() -> None:
    """A component that flaps ten thousand times gives a bar of a bounded number of pieces, and
    exact seconds.
    """
    flips = [
        Transition("c", "component", *((UP, DOWN) if n % 2 == 0 else (DOWN, UP)), at(n + 1), "")
        for n in range(9_998)
    ]
    uptime = measure_uptime("c", Period(T0, at(10_000)), flips, [], UP, None)
    assert len(uptime.spans) == MAX_SPANS
    assert uptime.up + uptime.down == 10_000
    assert uptime.down == 4_999
