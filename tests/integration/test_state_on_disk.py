"""What a disk and people do to the state of a real daemon: it starts, goes on, says so, and does
nothing that it can't answer for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp

from sentinel.app import Daemon
from sentinel.cli import main
from sentinel.config import load
from sentinel.store.folder import FILE

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: true, start_grace: 0s}}
components:
  worker:
    driver: process
    command: [sleep, "600"]
    restart:
      startup_grace: 1s
      backoff: {{first: 0s, initial: 0s, max: 0s}}
"""


async def until(true: Callable[[], object]) -> None:
    """Wait for something real."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Daemon]:
    """A daemon whose worker has been seen."""
    daemon = Daemon(load(folder))
    await daemon.start()
    try:
        await until(lambda: all(result for _, result, *_ in daemon.results()))
        yield daemon
    finally:
        await daemon.stop()


async def held(daemon: Daemon) -> str:
    """What the page says of what holds actions back."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{daemon.url}/api/v1/status") as answer,
    ):
        return " ".join(item["text"] for item in (await answer.json())["held"])


async def stays_down(daemon: Daemon) -> None:
    """Its worker is killed; that is seen, and nothing is done."""
    os.kill(daemon.pid_of("worker") or 0, signal.SIGKILL)
    await until(lambda: "worker" in daemon.engine.picture.incidents)
    runs = daemon.results()[0][-1]
    await until(lambda: daemon.results()[0][-1] > runs + 1)
    assert daemon.pid_of("worker") is None


async def test_the_state_of_a_daemon_can_not_be_broken(tmp_path: Path, capsys) -> None:
    """Removed beside it, put back, damaged, emptied, accepted: one worker, one state."""
    (tmp_path / "sentinel.yaml").write_text(CONFIGURATION.format(folder=tmp_path))
    file = tmp_path / "state" / FILE
    async with running(tmp_path) as daemon:
        await until(lambda: daemon.pid_of("worker"))
        file.rename(file.with_name("away"))
        await stays_down(daemon)
        assert "was removed beside the running sentinel" in await held(daemon)
        file.with_name("away").rename(file)
        await until(lambda: daemon.pid_of("worker"))
        assert [each.component for each in daemon.store.attempts()] == ["worker"]
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE health SET document = substr(document, 1, 20)")
    async with running(tmp_path) as daemon:
        assert "damaged rows of the state were set aside (1 of health)" in await held(daemon)
        assert daemon.pid_of("worker")
        assert len(daemon.store.attempts()) == 1
    file.write_bytes(b"")
    async with running(tmp_path) as daemon:
        await until(lambda: daemon.pid_of("worker"))
        await stays_down(daemon)
        assert "the database is empty, although one was written here" in await held(daemon)
        assert daemon.store.attempts() == []
        words = ["--state", str(tmp_path / "state"), "state"]
        assert await asyncio.to_thread(main, [*words, "show"]) == 2
        assert "state accept" in capsys.readouterr().out
        accept = [*words, "accept", "--reason", "looked", "--yes"]
        assert await asyncio.to_thread(main, accept) == 0
        await until(lambda: daemon.pid_of("worker"))
        assert await asyncio.to_thread(main, [*words, "show"]) == 0
        await daemon.stop_component("worker")
