"""The daemon with a component of each foreign manager: what dies is restarted by its manager,
journaled and proven.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from sentinel.app.daemon import Daemon
from sentinel.config import load
from sentinel.demo.servers import free_port
from tests.podman import Podman
from tests.systemd_double import private_systemd

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions:
  enabled: true
  start_grace: 0s
  limits: {{concurrent: 4, per_window: 100}}
  breaker: {{exhausted: 0, last_attempts: 0}}
  brake: {{minimum: 9}}
resources:
  manager: {{http: "http://127.0.0.1:{port}"}}
components:
  elsewhere: {{}}
  box:
    driver: docker
    container: box
    socket: {folder}/engine.sock
    restart: &quick
      max_attempts: 2
      per_hour: 10
      per_day: 10
      backoff: {{first: 0s, initial: 100ms, max: 100ms, jitter: 0.0}}
      startup_grace: 20s
      success_after: 1s
  unit:
    driver: systemd
    unit: orders.service
    bus: "{bus}"
    restart: *quick
  edge:
    driver: http
    requests:
      restart: {{path: /restart}}
      status: {{path: /status, running: $.running, start_id: $.id}}
    restart: *quick
  liar:
    driver: command
    commands: {{restart: [{folder}/restart], status: [{folder}/status]}}
    restart: {{max_attempts: 2, per_hour: 10, per_day: 10, backoff: {{first: 0s, initial: 100ms}}, startup_grace: 1s}}
checks:
  - {{name: elsewhere-port, kind: tcp, component: elsewhere, address: "127.0.0.1:9", every: 1h}}
"""


class Edge:
    """A manager with an HTTP interface that does what it is asked for and loses its reply."""

    def __init__(self) -> None:
        self.running, self.starts, self.keys = True, 1, []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/status":
            return web.json_response({"running": self.running, "id": self.starts})
        self.keys.append(request.headers["Idempotency-Key"])
        self.running, self.starts = True, self.starts + 1
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def listening(edge: Edge, port: int) -> AsyncIterator[None]:
    """The manager on a port."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", edge.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator:
    """A daemon on the configuration of a folder; yields it."""
    daemon = Daemon(load(folder / "checks"))
    try:
        await daemon.start()
        yield daemon
    finally:
        await daemon.stop()
        gc.unfreeze()


def program(path: Path, script: str) -> None:
    """A shell program."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A short path: names of sockets are limited."""
    made = Path(tempfile.mkdtemp(prefix="sentinel-drivers-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def until(condition) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.05)


async def test_each_manager_is_asked_and_believed_by_the_start_id(folder):
    """A killed container, a failed unit, a lost reply: one proven attempt each. Exit 0 and still
    down: exhausted.
    """
    podman, edge, port = Podman(folder), Edge(), free_port()
    program(folder / "restart", f"echo $SENTINEL_ATTEMPT >> {folder}/asked; exit 0")
    program(folder / "status", f"test -e {folder}/gone && exit 3; exit 0")
    (folder / "checks").mkdir()
    podman.start()
    try:
        async with (
            private_systemd(folder) as (bus, unit),
            listening(edge, port),
            podman.container("box"),
        ):
            text = CONFIGURATION.format(folder=folder, port=port, bus=bus.address)
            (folder / "checks" / "sentinel.yaml").write_text(text)
            async with watched(folder) as daemon:
                await break_everything(daemon, folder, unit, edge)
                await judge(daemon, folder, unit, edge)
    finally:
        podman.stop()


async def break_everything(daemon, folder, unit, edge) -> None:
    """Everything is up, then everything dies."""
    await until(
        lambda: all(
            str(daemon.engine.picture.statuses[name]) == "up"
            for name in ("box", "unit", "edge", "liar")
        )
    )
    os.kill(daemon.engine.fleet.drivers["box"].pid, signal.SIGKILL)
    unit.active, unit.sub, unit.pid, unit.result = "failed", "failed", 0, "exit-code"
    edge.running = False
    (folder / "gone").touch()


async def judge(daemon, folder, unit, edge) -> None:
    """What was journaled, and what the managers were really asked for."""

    def is_proven(name: str) -> bool:
        return any(
            attempt.recovered_in is not None for attempt in daemon.store.attempts(component=name)
        )

    await until(lambda: all(is_proven(name) for name in ("box", "unit", "edge")))
    await until(
        lambda: any(
            each.component == "liar" and each.exhausted for each in daemon.store.incidents()
        )
    )
    attempts = {
        name: daemon.store.attempts(component=name) for name in ("box", "unit", "edge", "liar")
    }
    for name in ("box", "unit", "edge"):
        (attempt,) = attempts[name]
        assert attempt.outcome == "done", attempt
        assert attempt.start_id == daemon.engine.fleet.drivers[name].start_id != attempt.target
    assert unit.asked == [("RestartUnit", "orders.service", "replace")]
    assert edge.keys == [f"{attempts['edge'][0].incident}/1"]
    assert [(attempt.outcome, attempt.verdict) for attempt in attempts["liar"]] == [
        ("done", "failed")
    ] * 2
    incident = attempts["liar"][0].incident
    assert (folder / "asked").read_text().split() == [f"{incident}/1", f"{incident}/2"]
