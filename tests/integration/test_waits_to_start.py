"""A supervised process that waits for what it needs is not down, and is up as soon as it runs."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from sentinel.app import Daemon
from sentinel.config import load
from sentinel.core.fault import Status
from sentinel.store import CheckView

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: true, start_grace: 0s}}
checks:
  - {{name: worker-process, kind: process, component: worker, every: 5m}}
  - {{name: worker-port, kind: tcp, component: worker, address: "127.0.0.1:{own}", every: 1s}}
  - name: bus-port
    kind: tcp
    component: bus
    address: "127.0.0.1:{port}"
    every: 1s
    failures: 1
    of: 1
    recoveries: 1
    recovery_time: 0s
components:
  bus: {{}}
  worker: {{driver: process, command: [sleep, "600"], depends_on: [bus]}}
"""


async def until(true, seconds: float = 20.0) -> float:
    """How long it took until something real came true."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_it_waits_and_is_up_when_it_runs(tmp_path: Path) -> None:
    """Its checks say what it waits for; after its start the first looks count, at once."""
    bus, own = socket.socket(), socket.socket()
    bus.bind(("127.0.0.1", 0))
    own.bind(("127.0.0.1", 0))
    ports = {"port": bus.getsockname()[1], "own": own.getsockname()[1]}
    (tmp_path / "sentinel.yaml").write_text(CONFIGURATION.format(folder=tmp_path, **ports))
    daemon = Daemon(load(tmp_path))
    await daemon.start()
    try:
        await _watch(daemon, bus, own)
    finally:
        await daemon.stop(stop_components=True)
        bus.close()
        own.close()


async def _watch(daemon: Daemon, bus: socket.socket, own: socket.socket) -> None:
    def view(name: str) -> CheckView | None:
        return next((each for each in daemon.store.checks() if each.name == name), None)

    names = ("worker.process", "worker-process", "worker-port")
    await until(lambda: (port := view("worker-port")) is not None and port.runs > 5)
    await until(lambda: all(view(name) for name in names))
    for name in names:
        found = view(name)
        assert found is not None
        assert (found.status, found.soft) == ("unknown", "unknown"), found
        assert found.detail.startswith("not judged: waits for bus, which is"), found
    assert daemon.store.incidents(open_only=True)[0].component == "bus"
    own.listen()
    bus.listen()
    await until(lambda: daemon.pid_of("worker") is not None)
    seconds = await until(lambda: daemon.engine.picture.present["worker"] is Status.UP)
    assert seconds < 5
    assert [each.component for each in daemon.store.incidents()] == ["bus"]
