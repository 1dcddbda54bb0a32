"""Hot reload in a real daemon on a real process: files change, the component takes them over, none
is a crash.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sentinel.app import Daemon
from sentinel.config import load
from sentinel.core.model import Attempt
from sentinel.errors import ConfigurationError

CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: {enabled}, start_grace: 0s}}
checks:
  - {{name: elsewhere-port, kind: tcp, component: elsewhere, address: "127.0.0.1:9", every: 1h}}
components:
  elsewhere: {{}}
  worker:
    driver: process
    command: [{python}, {folder}/worker.py]
    watch: [source]
    {reload}
"""
PROGRAM = """
import signal, sys, time
log = open({log!r}, "a", buffering=1)
def reload(*_):
    log.write("reloaded\\n")
signal.signal(signal.SIGHUP, reload)
log.write("started\\n")
while True:
    time.sleep(1)
"""


class Bench:
    """A daemon with one worker whose sources are watched."""

    def __init__(self, folder: Path, *, enabled: str = "true", reload: str = "") -> None:
        self.folder, self.log = folder, folder / "worker.log"
        self.source = folder / "checks" / "source"
        self.source.mkdir(parents=True)
        (folder / "worker.py").write_text(
            PROGRAM.format(log=str(self.log), source=str(self.source))
        )
        text = CONFIGURATION.format(
            folder=folder, python=sys.executable, enabled=enabled, reload=reload
        )
        (folder / "checks" / "sentinel.yaml").write_text(text)
        self.daemon = Daemon(load(folder / "checks"))

    def lines(self) -> list[str]:
        """What the worker has written down."""
        return self.log.read_text().split() if self.log.exists() else []

    def attempts(self) -> list[Attempt]:
        """What sentinel has written down."""
        return self.daemon.store.attempts()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something real."""
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.02)

    async def change(self, name: str = "module.py") -> None:
        """Write a file until it was noticed: a watcher needs a moment to begin."""
        before = len(self.lines()), len(self.attempts())
        for n in range(100):
            (self.source / name).write_text(f"VERSION = {n}\n")
            for _ in range(100):
                await asyncio.sleep(0.02)
                if (len(self.lines()), len(self.attempts())) != before:
                    return


@pytest.fixture
async def benches(tmp_path: Path) -> AsyncIterator[Callable[..., Bench]]:
    """Makes started benches and stops them."""
    made: list[Bench] = []

    async def make(**settings: str) -> Bench:
        bench = Bench(tmp_path, **settings)
        made.append(bench)
        await bench.daemon.start()
        await bench.until(lambda: bench.lines() == ["started"])
        return bench

    yield make
    for bench in made:
        await bench.daemon.stop(stop_components=True)


async def test_a_change_restarts(benches) -> None:
    """Without a reload signal it is restarted: journaled as `watch`, no incident, no budget spent."""
    bench = await benches()
    await bench.change()
    await bench.until(lambda: bench.lines() == ["started", "started"])
    await bench.until(lambda: [a.outcome for a in bench.attempts()] == ["done"])
    (attempt,) = bench.attempts()
    assert (attempt.by, attempt.reason) == ("watch", "module.py changed")
    assert bench.daemon.store.incidents() == []


async def test_a_change_reloads(benches) -> None:
    """With a reload signal the process goes on."""
    bench = await benches(reload="reload_signal: HUP")
    await bench.change()
    await bench.until(lambda: "reloaded" in bench.lines())
    assert bench.lines().count("started") == 1
    assert bench.attempts() == []


WRITES_ITS_LOG_THERE = """
import sys, time
log = open({log!r}, "a", buffering=1)
log.write("started\\n")
mine = open({source!r} + "/own.log", "a", buffering=1)
while True:
    mine.write("line\\n")
    time.sleep(0.1)
"""
WRITES_AT_ITS_START = """
import pathlib, sys, time
log = open({log!r}, "a", buffering=1)
log.write("started\\n")
time.sleep(0.3)
pathlib.Path({source!r}, "cache.json").write_text(str(time.time()))
while True:
    time.sleep(1)
"""


async def test_what_it_holds_open_is_its_own(benches, monkeypatch) -> None:
    """D3: a log in the folder that is watched restarts nobody; the change of another file does."""
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", WRITES_ITS_LOG_THERE)
    bench = await benches()
    notes = bench.daemon.engine.fleet.notes
    await bench.until(lambda: "own.log, which is watched, is written by itself" in str(notes))
    assert bench.attempts() == []
    await bench.change()
    await bench.until(lambda: bench.lines() == ["started", "started"])


async def test_what_writes_at_each_start_is_held_back(benches, monkeypatch) -> None:
    """D3: once a second for ever becomes three at once, then waits that grow; its finding says it."""
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", WRITES_AT_ITS_START)
    bench = await benches()
    await bench.change()
    await bench.until(lambda: "worker" in bench.daemon.engine.fleet.notes)
    assert len([each for each in bench.attempts() if each.outcome == "done"]) == 3
    bench.daemon.engine.scheduler.trigger("worker.process")
    await bench.until(lambda: "does it write there by itself?" in str(bench.daemon.results()))
    await asyncio.sleep(3.0)
    assert len(bench.attempts()) == 3
    assert bench.daemon.store.incidents() == []


async def test_observe_mode_only_says_so(benches, capsys) -> None:
    """Where sentinel may not act, a change is noticed and nothing is done."""
    bench = await benches(enabled="false")
    seen = ""
    async with asyncio.timeout(30):
        for n in range(1000):
            (bench.source / "module.py").write_text(f"VERSION = {n}\n")
            await asyncio.sleep(0.5)
            seen += capsys.readouterr().err
            if "observe mode: would reload or restart" in seen:
                break
    assert bench.lines() == ["started"]


async def test_the_kill_switch_by_signal(benches) -> None:
    """SIGUSR1: what dies is not restarted, until an operator resumes."""
    bench = await benches()
    bench.daemon.halt()
    assert (bench.folder / "state" / "HALT").exists()
    os.kill(bench.daemon.engine.fleet.drivers["worker"].pid, signal.SIGKILL)
    await bench.until(lambda: "worker" in bench.daemon.engine.picture.incidents)
    await bench.until(lambda: "halted" in bench.daemon.engine.circumstances.describe("worker")[0])
    assert bench.attempts() == []


async def test_the_kill_switch_without_a_disk(benches, monkeypatch) -> None:
    """The HALT file can't be written: halted all the same, until `resume` is ordered."""
    bench = await benches()
    bench.daemon.engine.automation.halt_file = bench.folder / "missing" / "HALT"
    bench.daemon.halt()
    assert bench.daemon.engine.automation.is_halted()
    assert (await bench.daemon.engine.requests.resume()).text == "resumed"
    assert not bench.daemon.engine.automation.is_halted()


def test_a_path_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """Named with file, line, key and remedy, as every problem of the configuration."""
    bench_folder = tmp_path / "checks"
    bench_folder.mkdir()
    text = CONFIGURATION.format(folder=tmp_path, python=sys.executable, enabled="true", reload="")
    (bench_folder / "sentinel.yaml").write_text(text + "  other: {watch: [source]}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(bench_folder)
    problems = [str(problem) for problem in caught.value.problems]
    assert any(
        "components.worker.watch[0]: there is no file or folder" in text for text in problems
    ), problems
    assert any("components.other.watch: a watch needs a driver" in text for text in problems), (
        problems
    )
