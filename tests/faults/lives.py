"""Forks real `sentinel run` processes into states that are hard to reach from outside: importing it
all for each would take a second of CPU.

Reads a JSON document a line, `{folder, state}`; answers the process id. Patches happen in the child
only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentinel import cli
from sentinel.adapters.own_process.bell import Bell
from sentinel.app import calendar, daemon, owning
from sentinel.app.runbooks import bookcase
from sentinel.cli import running
from sentinel.probes import load_kinds
from sentinel.remediation import load_drivers
from sentinel.store.sqlite import SqliteStore

FOR_EVER = 60


def sleep_for_ever(*_arguments: object, **_named: object) -> Any:
    """What hangs."""
    time.sleep(FOR_EVER)


def block_the_loop(folder: Path) -> None:
    """A plugin that waits for something, in the loop of events."""
    kinds = dict(load_kinds())
    real = kinds["tcp"].run

    async def wait_for_a_plugin(options: Any, context: Any) -> Any:
        if (folder / "block").exists():
            (folder / "reached").touch()
            sleep_for_ever()
        return await real(options, context)

    kinds["tcp"] = replace(kinds["tcp"], run=wait_for_a_plugin)
    daemon.load_kinds = lambda: kinds  # type: ignore[assignment]


def hang_name_servers(folder: Path) -> None:
    """Every resolver thread, and all of the executor."""

    def lookup(*_arguments: object, **_named: object) -> Any:
        (folder / "reached").touch()
        sleep_for_ever()

    socket.getaddrinfo = lookup

    async def resolve_by_executor(self: daemon.Daemon) -> None:
        loop = daemon.asyncio.get_running_loop()
        for _ in range(64):
            loop.run_in_executor(None, lookup)
        self._consider = nothing  # type: ignore[method-assign]

    async def nothing() -> None:
        """Once is enough."""

    daemon.Daemon._consider = resolve_by_executor  # type: ignore[method-assign]


def block_the_disk(folder: Path) -> None:
    """From the second commit on."""
    real = SqliteStore.commit

    def commit(self: SqliteStore, changes: Any) -> None:
        if (folder / "started").exists():
            (folder / "reached").touch()
            sleep_for_ever()
        real(self, changes)

    SqliteStore.commit = commit  # type: ignore[method-assign]


def hang_the_report(folder: Path) -> None:
    """A template without an end."""

    def render(*_arguments: object) -> Any:
        (folder / "reached").touch()
        sleep_for_ever()

    async def report(self: calendar.Calendar) -> None:
        await self.write_report("progress")

    calendar.render = render
    calendar.Calendar.take_baseline = report  # type: ignore[method-assign]


def hang_the_start(folder: Path) -> None:
    """A large state is looked through, in a thread."""

    def look(*_arguments: object, **_named: object) -> Any:
        (folder / "reached").touch()
        sleep_for_ever()

    owning.OwnStore = look  # type: ignore[assignment, misc]


def block_the_start(folder: Path) -> None:
    """The same in the loop of events."""

    def make_engine(_given: object) -> Any:
        (folder / "reached").touch()
        sleep_for_ever()

    daemon.make_engine = make_engine


def wait_before_the_bell(folder: Path) -> None:
    """Signals that come while it imports and reads."""
    real = Bell.listen

    def listen(self: Bell, on_late: Callable[[], None] = lambda: None) -> None:
        (folder / "reached").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        real(self, on_late)

    Bell.listen = listen  # type: ignore[method-assign]


PATCHES: dict[str, Callable[[Path], None]] = {
    "blocking plugin": block_the_loop,
    "name servers": hang_name_servers,
    "blocked disk": block_the_disk,
    "report": hang_the_report,
    "start in a thread": hang_the_start,
    "start in the loop": block_the_start,
    "early": wait_before_the_bell,
}


def live(folder: Path, state: str) -> None:
    """One daemon, to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    pipe = folder / "stderr"  # a FIFO, when nobody is to read
    kind = os.O_RDWR if pipe.exists() else os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(pipe if pipe.exists() else folder / "log", kind), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if (folder / "notify").exists():
        address = (folder / "notify").read_text()
        os.environ.update(NOTIFY_SOCKET=address, WATCHDOG_USEC="3000000")
    announce = running._announce

    def announced(watcher: daemon.Daemon) -> None:
        announce(watcher)
        (folder / "started").touch()

    running._announce = announced
    PATCHES.get(state, lambda _folder: None)(folder)
    os._exit(cli.main(["--config", str(folder / "checks"), "run"]))


def read_all() -> None:
    """What each would read by itself, all at once, for seconds: kinds, drivers, runbooks."""
    dict(load_kinds())
    dict(load_drivers())
    shelf = bookcase.open_shelf()
    bookcase.open_shelf = lambda _folder=None: shelf


def main() -> None:
    """Fork on demand."""
    read_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            live(Path(asked["folder"]), asked["state"])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
