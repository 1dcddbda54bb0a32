"""Gaps of our own event loop are measured, summed and written down."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from sentinel.engine.pause import PauseGuard


@pytest.fixture
def guard(clock, metrics):
    """A guard on the test's clock."""
    return PauseGuard(clock.monotonic, clock.utcnow, metrics)


def beat_after(guard, clock, *seconds):
    """Heartbeats that come after these times."""
    for each in seconds:
        clock.now += each
        guard.beat()


def unobserved(metrics):
    """Seconds on the counter."""
    return metrics.unobserved.value


def test_regular_beats_are_no_gap(guard, clock, metrics):
    """No pause, nothing is written."""
    beat_after(guard, clock, *[0.1] * 50, 0.34)
    assert guard.paused(0.0) == 0.0
    assert guard.take_gaps() == []
    assert unobserved(metrics) == 0


def test_a_gap_counts_from_the_instant_that_is_asked_for(guard, clock):
    """Only the part after it."""
    beat_after(guard, clock, 0.1, 5.0, 0.1)
    end = clock.now - 0.1
    assert guard.paused(0.0) == pytest.approx(5.0)
    assert guard.paused(end - 2.0) == pytest.approx(2.0)
    assert guard.paused(end) == 0.0


def test_the_present_gap_counts_before_it_has_ended(guard, clock):
    """A check that wakes up first sees the standstill, too."""
    beat_after(guard, clock, 0.1)
    clock.now += 3.0
    assert guard.paused(clock.now - 2.0) == pytest.approx(2.0)


def test_gaps_add_up(guard, clock, metrics):
    """Several standstills of one run."""
    beat_after(guard, clock, 1.6, 0.1, 2.6)
    assert guard.paused(0.0) == pytest.approx(4.2)
    assert unobserved(metrics) == pytest.approx(4.0)


def test_long_gaps_are_written_once(guard, clock):
    """From when to when, once each; short ones are not worth a row."""
    beat_after(guard, clock, 0.6, 10.1)
    (gap,) = guard.take_gaps()
    assert gap.ended == clock.utcnow()
    assert gap.ended - gap.began == pytest.approx(
        timedelta(seconds=10), abs=timedelta(milliseconds=1)
    )
    assert guard.take_gaps() == []


async def test_a_real_blocking_call(metrics, clock):
    """The heartbeat task itself notices."""
    guard = PauseGuard(time.monotonic, clock.utcnow, metrics)
    task = asyncio.create_task(guard.run())
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    time.sleep(0.6)
    assert guard.paused(begun) > 0.25
    await asyncio.sleep(0.15)
    assert guard.paused(begun) > 0.25
    task.cancel()
