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

WITHIN = 4.0
"""Seconds for a whole end by signal: a service manager, and a person, wait for five."""
KEPT = 0.5
"""Seconds that are kept for each step, however long those before it took."""

Step = tuple[str, Callable[[], Awaitable[Any]]]


async def end_in_order(steps: Sequence[Step], metrics: Metrics, within: float | None) -> None:
    """One step after the other. `within` seconds for all together, None for as long as it takes."""
    began = time.monotonic()
    for n, (name, step) in enumerate(steps):
        left = None
        if within is not None:
            kept = KEPT * (len(steps) - n - 1)
            left = max(within - kept - (time.monotonic() - began), min(KEPT, within / len(steps)))
        try:
            async with asyncio.timeout(left):
                await step()
        except BaseException as error:
            if is_told_to_end(error):
                raise
            metrics.swallowed.labels("end").inc()
            log.error("end_not_in_order", step=name, error=repr(error), seconds=left)
