"""One run of one check, beside the daemon or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from sentinel.app.wiring import Clients
from sentinel.clock import utcnow
from sentinel.config import Configuration
from sentinel.core.fault import Status
from sentinel.core.model import Finding, Result
from sentinel.core.moment.skew import ColumnClock, tell_cure
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
        finding = put_worst_first(result.finding, kind.fault_kinds)
        state = runner.states.get(name)
        return replace(result, finding=_doubt(finding, kind.clocks(state) if state else ()))
    finally:
        beat.cancel()
        if name in runner.states:
            await runner.states[name].close()
        await clients.close()


def _doubt(finding: Finding, clocks: Iterable[ColumnClock]) -> Finding:
    """A first look sees nothing arrive: that all is well rests on the zone of the times, and where
    nothing tells that zone, on nothing.
    """
    unproven = next((each for each in clocks if each.is_naive and not each.is_certain), None)
    if finding.status is not Status.UP or unproven is None:
        return finding
    text = f"{finding.detail}; {unproven.describe()}: one look can't tell whether it is"
    return replace(finding, status=Status.UNKNOWN, detail=text, guidance=tell_cure(unproven))
