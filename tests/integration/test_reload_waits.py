"""A reload that can't be done, or waits: the old configuration stays in force, signals are served."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sentinel.app import Daemon, Signals, reading, serve
from sentinel.config import Configuration, load
from tests.malformed import furnish, make_malformed

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: true, start_grace: 0s}}
checks:
  - {{name: elsewhere-port, kind: tcp, component: elsewhere, address: "127.0.0.1:9", every: 1h}}
  - {{name: slow-port, kind: tcp, component: slow, address: "127.0.0.1:9", every: 1h}}
components:
  elsewhere: {{}}
  slow:
    driver: command
    commands: {{restart: [/bin/sleep, "{seconds}"]}}
    deadline: 60s
"""


def write(folder: Path, seconds: int = 45) -> Path:
    """A component whose restart takes so long."""
    (folder / "checks").mkdir(exist_ok=True)
    file = folder / "checks" / "sentinel.yaml"
    file.write_text(CONFIGURATION.format(folder=folder, seconds=seconds))
    return file


async def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something real."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Daemon, Signals, asyncio.Task[None]]]:
    """A daemon that obeys signals."""
    signals, daemons = Signals(), list[Daemon]()
    serving = asyncio.create_task(serve(folder / "checks", signals, daemons.append))
    try:
        await wait_until(lambda: bool(daemons) or serving.done())
        yield daemons[0], signals, serving
    finally:
        signals.stop.set()
        await asyncio.wait({serving}, timeout=60)


async def halts_and_ends(daemon: Daemon, signals: Signals, serving: asyncio.Task[None]) -> None:
    """The kill switch at once, the end within 5 s."""
    signals.halt.set()
    await wait_until(daemon.engine.automation.is_halted, 2)
    signals.stop.set()
    before = time.monotonic()
    await asyncio.wait({serving}, timeout=30)
    assert serving.done()
    assert time.monotonic() - before < 5


async def test_signals_while_a_reload_waits_for_a_restart(tmp_path: Path) -> None:
    """E2: the program of the restart takes 45 s, and its component is driven otherwise now."""
    write(tmp_path)
    async with served(tmp_path) as (daemon, signals, serving):
        remediator = daemon.engine.remediator
        asked = asyncio.create_task(daemon.engine.requests.restart("slow", "test", by="test"))
        await wait_until(lambda: remediator.acts_on("slow"))
        write(tmp_path, seconds=44)
        old = daemon.configuration
        signals.reload.set()
        await wait_until(lambda: daemon.configuration is not old)  # it waits in `_release` now
        assert remediator.acts_on("slow")
        await halts_and_ends(daemon, signals, serving)
        asked.cancel()


async def test_signals_while_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2: a network file system that is away. The loop goes on, and the end does not wait."""
    write(tmp_path)
    away, reads = threading.Event(), threading.Event()

    def hang(path: Path, _environment: object = None) -> Configuration:
        reads.set()
        away.wait(60)
        return load(path)

    async with served(tmp_path) as (daemon, signals, serving):
        monkeypatch.setattr(reading, "load", hang)
        signals.reload.set()
        await wait_until(reads.is_set)
        await halts_and_ends(daemon, signals, serving)
    away.set()


async def test_a_folder_that_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up with a problem of its own."""
    away = threading.Event()
    monkeypatch.setattr(reading, "load", lambda _path, _environment: away.wait(60))
    with pytest.raises(reading.ConfigurationError, match=r"could not be read within 0\.1 s"):
        await reading.load_beside(tmp_path, patience=0.1)
    away.set()


async def test_asked_again_while_it_reloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written after the first SIGHUP is in force after the second."""
    write(tmp_path)
    go, reads = threading.Event(), list[int]()

    def read_slowly(path: Path, _environment: object = None) -> Configuration:
        fresh = load(path)
        reads.append(1)
        go.wait(60)
        return fresh

    async with served(tmp_path) as (daemon, signals, _serving):
        monkeypatch.setattr(reading, "load", read_slowly)
        signals.reload.set()
        await wait_until(lambda: len(reads) == 1)
        write(tmp_path, seconds=7)
        signals.reload.set()
        go.set()
        await wait_until(lambda: len(reads) == 2)
        slow = {each.name: each for each in daemon.configuration.components}
        await wait_until(lambda: "'7'" in repr(_options_of(daemon)))
        assert slow


def _options_of(daemon: Daemon) -> object:
    return next(c.options for c in daemon.configuration.components if c.name == "slow")


ENDED_A_DAEMON = [
    b"checks: [{name: a, kind: tcp, component: [c], address: '127.0.0.1:9'}]",
    *(
        b"components: {c: {driver: process, command: [sleep, '1'], watch: [%s]}}" % path
        for path in (b"loop", b"x" * 5000, b'"a\\0b"')
    ),
    *(
        b"resources: {bus: {redis: 'redis://bus', password_file: %s}}" % path
        for path in (b"pipe", b"/dev/zero", b"loop", b".", b"x" * 5000)
    ),
    b"report_templates: " + b"x" * 5000,
]


async def test_malformed_files_leave_the_old_one_in_force(tmp_path: Path) -> None:
    """E1, E9: what ended a daemon or filled its memory, and forty random ones; each is one clear
    error. The seed is printed.
    """
    seed = int(os.environ.get("MALFORMED_SEED", random.randrange(1 << 32)))
    sys.stdout.write(f"seed {seed}\n")
    file = write(tmp_path)
    furnish(tmp_path / "checks")
    os.mkfifo(tmp_path / "checks" / "pipe")
    async with served(tmp_path) as (daemon, _signals, serving):
        old = daemon.configuration
        for n, data in enumerate([*ENDED_A_DAEMON, *make_malformed(seed, 40)]):
            file.write_bytes(data + b"\nnonsense: 1\n")
            with capture_logs() as lines:
                assert not await daemon.reload(), (seed, n)
            (told,) = [line for line in lines if line["event"] == "reload_refused"]
            assert told["problems"]
            assert daemon.configuration is old
        assert not serving.done()
        file.write_text(CONFIGURATION.format(folder=tmp_path, seconds=9))
        assert await daemon.reload()


@pytest.mark.parametrize("error", [RuntimeError("canary"), RecursionError(), OSError(5, "canary")])
async def test_what_can_not_be_put_in_force_is_taken_out_again(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw, after the new components have come: they go again."""
    file = write(tmp_path)
    async with served(tmp_path) as (daemon, _signals, serving):
        real = daemon.bookcase.reload
        answers = iter([error, None, None])

        def reload() -> None:
            raised = next(answers)
            if raised is not None:
                raise raised
            real()

        monkeypatch.setattr(daemon.bookcase, "reload", reload)
        before = file.read_text()
        file.write_text(before + "  newcomer: {}\n")
        with capture_logs() as lines:
            assert not await daemon.reload()
        (told,) = [line for line in lines if line["event"] == "reload_failed"]
        assert type(error).__name__ in told["error"]
        assert "canary" not in repr(lines)
        assert list(daemon.engine.picture.components) == ["elsewhere", "slow"]
        assert {c.name for c in daemon.configuration.components} == {"elsewhere", "slow"}
        assert not serving.done()
        assert await daemon.reload()
        assert "newcomer" in daemon.engine.picture.components
