"""What hangs or fails at the end takes nothing away from what follows."""

from __future__ import annotations

import asyncio
import time

from structlog.testing import capture_logs

from sentinel.app.ending import end_in_order
from sentinel.metrics import Metrics


async def test_each_step_has_its_turn() -> None:
    """All within the time, though two hang and one fails."""
    done: list[str] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise SystemExit(1)

    async def work() -> None:
        done.append("work")

    metrics, began = Metrics(), time.monotonic()
    with capture_logs() as lines:
        steps = [("a", hang), ("b", fail), ("c", work), ("d", hang), ("e", work)]
        await end_in_order(steps, metrics, 0.5)
    assert time.monotonic() - began < 2
    assert done == ["work", "work"]
    assert [line["step"] for line in lines] == ["a", "b", "d"]
    assert metrics.swallowed.labels("end").value == 3


async def test_without_a_limit() -> None:
    """The demo stops its components, which may take half a minute."""
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append("work")

    await end_in_order([("a", work), ("b", work)], Metrics(), None)
    assert done == ["work", "work"]
