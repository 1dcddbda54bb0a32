"""Three kills of a component that had been degraded before, under a real daemon: three attempts that
helped, breaker closed, nobody given up.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from sentinel.app import Daemon
from sentinel.config import load
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, IncidentState

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions:
  enabled: true
  start_grace: 0s
  breaker: {{last_attempts: 3, success_share: 100%}}
checks:
  - {{name: worker-memory, kind: process, component: worker, max_resident: 1B, every: 1s}}
components:
  worker:
    driver: process
    command: [sleep, "600"]
    restart:
      max_attempts: 3
      per_hour: 9
      per_day: 9
      backoff: {{first: 0s, initial: 0s, max: 0s}}
      startup_grace: 4s
      success_after: 2s
"""


async def until(true) -> None:
    """Wait for something real."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.05)


async def test_three_kills_of_a_degraded_component(tmp_path: Path) -> None:
    """Each restart answers for the kill, and not for the memory that was too much before."""
    (tmp_path / "sentinel.yaml").write_text(CONFIGURATION.format(folder=tmp_path))
    daemon = Daemon(load(tmp_path))
    await daemon.start()
    try:
        await _kill_three_times(daemon)
    finally:
        await daemon.stop(stop_components=True)


async def _kill_three_times(daemon: Daemon) -> None:
    picture, store = daemon.engine.picture, daemon.store
    await until(
        lambda: picture.incidents and picture.before("worker")["worker-memory"] is Status.DEGRADED
    )
    memory = picture.incidents["worker"].id

    def attempts() -> list[Attempt]:
        return store.attempts(component="worker")

    for n in (1, 2, 3):
        pid = daemon.pid_of("worker")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda n=n: len(attempts()) == n and attempts()[-1].verdict)
    assert [attempt.verdict for attempt in attempts()] == ["recovered"] * 3
    assert daemon.engine.automation.breaker.opened is None
    failure, degraded = store.incidents(open_only=True)
    assert (degraded.id, degraded.state, degraded.worst) == (
        memory,
        IncidentState.OPEN,
        Status.DEGRADED,
    )
    assert (failure.state, failure.worst) == (IncidentState.RECOVERING, Status.DOWN)
    assert not failure.exhausted
    assert failure.before["worker-memory"] is Status.DEGRADED
