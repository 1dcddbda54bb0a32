"""One run of one check, beside the daemon or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from sentinel.app.wiring import Clients
from sentinel.clock import utcnow
from sentinel.config import Configuration
from sentinel.core.model import Result
from sentinel.engine.faults import put_worst_first
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.errors import UsageError
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds


async def run_once(
    configuration: Configuration,
    name: str,
    supervised: Callable[[str], int | None] = lambda _name: None,
) -> Result:
    """Run one configured check once, without daemon and without memory. Raises UsageError for an
    unknown name.
    """
    check = next((check for check in configuration.checks if check.name == name), None)
    if check is None:
        known = ", ".join(check.name for check in configuration.checks)
        raise UsageError(f"there is no check {name!r}", f"known: {known}")
    metrics = Metrics()
    wanted = set(check.resources.values())
    clients = Clients({name: configuration.resources[name] for name in wanted})
    guard = PauseGuard(time.monotonic, utcnow, metrics)
    beat = asyncio.create_task(guard.run())
    runner = Runner(clients, guard, metrics, utcnow, time.monotonic, supervised)
    kind = load_kinds()[check.kind]
    metrics.add_check(check)
    try:
        if kind.load_state is not None:
            runner.states[name] = kind.load_state(None)
        result = await runner.run(check, kind)
        return replace(result, finding=put_worst_first(result.finding, kind.fault_kinds))
    finally:
        beat.cancel()
        if name in runner.states:
            await runner.states[name].close()
        await clients.close()
