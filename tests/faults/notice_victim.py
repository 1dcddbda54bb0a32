"""A dispatcher that is killed at random points between decision and delivery, and begun anew.

`python notice_victim.py FOLDER URL ROUNDS SEED`: each round announces three incidents, forks a
dispatcher that tells a webhook of them, kills it after a random time, and lets another one end the
work. The parent has no threads, so that it may fork.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sentinel.core.component.incident import incident_id
from sentinel.core.fault import Status
from sentinel.core.model import Component, Incident, IncidentState
from sentinel.core.order import Order
from sentinel.engine.recorder import Recorder
from sentinel.metrics import Metrics
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.notices import Desk, Real

LATEST = 0.12
"""Seconds after which a victim is killed at the latest: by then it has often ended."""


class Now:
    """The clock of the machine."""

    now = 0.0

    def utcnow(self) -> datetime:
        """Now."""
        return datetime.now(UTC)


def announce(folder: Path, number: int) -> None:
    """Three incidents, in the store as the engine leaves them there."""
    store, now = SqliteStore(folder), datetime.now(UTC)
    changes = Changes()
    for n in range(3):
        name = f"part-{number}-{n}"
        made = Incident(
            incident_id(name, now), name, now, IncidentState.OPEN, Status.DOWN, "refused",
            announced=True, last_unhealthy=now,
        )  # fmt: skip
        payload = {"event": "opened", "text": f"{name} is down", "incident": made.id}
        changes.incidents.append(made)
        changes.orders.append(Order("notify", f"{made.id}/opened", name, payload))
    store.commit(changes)
    store.close()


async def deliver(folder: Path, url: str) -> None:
    """Until nothing waits any more."""
    store, metrics, clock = SqliteStore(folder, owner=True), Metrics(), Now()
    recorder = Recorder(store, metrics, clock.utcnow)
    hook = Real("webhook", address=url, secret="s3cret")
    desk = Desk(store, recorder, metrics, clock, hook=hook)
    for incident in store.incidents(open_only=True, limit=10_000):
        desk.picture.add_component(Component(incident.component), incident)
    await desk.open()
    while True:
        await desk.dispatcher.drain()
        if not store.take_orders():
            break
        await asyncio.sleep(0.01)
    await desk.close()
    recorder.close()
    store.close()


def fork(work: Callable[[], object]) -> int:
    """A child that does it, and is gone."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def main() -> None:
    """All rounds; exits 1 when a dispatcher that nobody killed did not end its work."""
    folder, url = Path(sys.argv[1]), sys.argv[2]
    rounds, dice = int(sys.argv[3]), random.Random(int(sys.argv[4]))
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    SqliteStore(folder, owner=True).close()
    killed = 0
    for number in range(rounds):
        announce(folder, number)
        pid = fork(lambda: asyncio.run(deliver(folder, url)))
        time.sleep(dice.uniform(0, LATEST))
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        pid = fork(lambda: asyncio.run(deliver(folder, url)))
        if os.waitpid(pid, 0)[1]:
            sys.exit(1)
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main()
