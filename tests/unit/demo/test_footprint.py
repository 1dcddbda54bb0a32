"""A leak is told from jumps, and what is measured is there."""

from __future__ import annotations

import asyncio
import random

import pytest

from sentinel.demo.footprint import FIGURES, Footprint, find_rise, measure


def line(slope: float, jumps: float = 0.0) -> list[dict[str, float]]:
    """A figure around 100 over 600 s that rises by so much a second; a fifth of all samples jump."""
    dice = random.Random(7)
    return [
        {"at": at, "x": 100 + slope * at + (jumps if dice.random() < 0.2 else 0) + dice.random()}
        for at in range(0, 600, 5)
    ]


@pytest.mark.parametrize(
    ("slope", "jumps", "low", "high"),
    [
        (0.0, 0.0, -0.01, 0.01),
        (0.0, 80.0, -0.03, 0.03),
        (0.1, 0.0, 0.4, 0.6),
        (0.1, 80.0, 0.3, 0.7),
    ],
)
def test_a_leak_is_told_from_jumps(slope: float, jumps: float, low: float, high: float) -> None:
    """60 more over ten minutes is seen behind jumps of 80, and jumps alone are none."""
    rise = find_rise(line(slope, jumps), "x")
    assert rise is not None
    assert low <= rise <= high


def test_few_samples_tell_nothing() -> None:
    """None is no nought."""
    assert find_rise(line(0.1)[:9], "x") is None


async def test_what_is_measured() -> None:
    """A descriptor and a task more are seen; a run's samples carry each figure."""
    before = measure()
    with open("/dev/null"):  # noqa: PTH123 - a descriptor
        task = asyncio.create_task(asyncio.sleep(10))
        after = measure()
        task.cancel()
    assert after["descriptors"] - before["descriptors"] == 1
    assert after["tasks"] - before["tasks"] == 1
    assert min(before.values()) > 0
    footprint = Footprint()
    following = asyncio.create_task(footprint.follow())
    await asyncio.sleep(0)
    following.cancel()
    described = footprint.describe()
    assert set(described["samples"][0]) == {"at", *FIGURES}
    assert described["rise"] == dict.fromkeys(FIGURES)
