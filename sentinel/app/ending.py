"""The end in order, within its time: what hangs or fails takes nothing away from what follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from sentinel.engine.upkeep import is_told_to_end
from sentinel.metrics import Metrics

log = structlog.get_logger()

WITHIN = 3.6
"""Seconds for a whole end by signal: a service manager, and a person, wait for five."""
KEPT = 0.5
"""Share of the time that is kept for the steps to come, however long one takes."""

Step = tuple[str, Callable[[], Awaitable[Any]]]


async def end_in_order(steps: Sequence[Step], metrics: Metrics, within: float | None) -> None:
    """One step after the other. `within` seconds for all together, None for as long as it takes."""
    began = time.monotonic()
    for n, (name, step) in enumerate(steps):
        left = None
        if within is not None:
            kept = KEPT * within / len(steps)
            used = time.monotonic() - began
            left = max(within - kept * (len(steps) - n - 1) - used, kept)
        try:
            async with asyncio.timeout(left):
                await step()
        except BaseException as error:
            if is_told_to_end(error):
                raise
            metrics.swallowed.labels("end").inc()
            log.error("end_not_in_order", step=name, error=repr(error), seconds=left)
