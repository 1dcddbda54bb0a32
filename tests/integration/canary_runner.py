"""Runs the canary probe until it is killed: python canary_runner.py URL PERIOD LOSS_AFTER.

CANARY_OPTIONS in the environment may hold other options, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime

from sentinel.adapters.redis import RedisClient
from sentinel.probes import Context
from sentinel.probes.bus_canary import KIND, CanaryOptions


async def main(url: str, period: float, loss_after: float) -> None:
    """One run every `period` seconds; says when it has begun."""
    given = os.environ.get("CANARY_OPTIONS")
    plain = CanaryOptions(path="t", deadline="1s", loss_after=f"{loss_after}s")
    options = CanaryOptions(**json.loads(given)) if given else plain
    context = Context(
        check="canary",
        component="bus",
        trace_id="0" * 32,
        interval=1.0,
        timeout=0.02,  # don't wait for the stolen ones
        clients={"resource": RedisClient("bus", url)},
        state=KIND.load_state(None),
        utcnow=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        stalled=lambda _since: 0.0,
    )
    while True:
        await KIND.run(options, context)
        await asyncio.sleep(period)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
