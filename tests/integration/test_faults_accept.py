"""`sentinel faults accept`: every command that a text tells a person to use, with and without a
daemon.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from sentinel.app import Daemon
from sentinel.cli import main
from sentinel.config import load
from sentinel.core.fault import Fault, Loss, StandingFault, Status
from sentinel.core.quantity import Bounds
from sentinel.demo.servers import ValkeyServer
from sentinel.probes import load_kinds
from sentinel.reports.figures import Period
from sentinel.reports.figures.faults import list_faults
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from sentinel.web.faults import faults_document

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
resources:
  bus: {{redis: "redis://127.0.0.1:{port}"}}
  database: {{postgres: "postgresql://127.0.0.1:9/none"}}
components: {{messaging: {{resource: bus}}}}
checks:
  - {{name: bus_delivery, kind: bus_delivery, component: messaging, every: 1s, deadline: 1s}}
"""
OTHERS = """
  - {name: bus_canary, kind: bus_canary, component: messaging, every: 1s}
  - {name: redis_server, kind: redis_server, component: messaging, every: 1s}
  - name: bus_crosscheck
    kind: bus_crosscheck
    every: 1s
    component: messaging
    tasks: {table: tasks}
    stream: "work:{agent_id}"
"""
NAMES = {"STREAM*": "orders*", "STREAM": "orders", "GROUP": "workers", "PATH": "0", "TASK": "t-7"}
SUBJECTS = {
    "bus_delivery": {"stream": "orders", "group": "workers"},
    "bus_canary": {"path": "0"},
    "bus_crosscheck": {"flow": "tasks", "task": "t-7", "stream": "orders"},
    "redis_server": {},
}


async def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something real."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


def write_configuration(folder: Path, port: int, more: str = "") -> Path:
    """A platform with this bus."""
    (folder / "checks").mkdir(exist_ok=True)
    text = CONFIGURATION.format(folder=folder, port=port) + more
    (folder / "checks" / "sentinel.yaml").write_text(text)
    return folder / "checks"


@asynccontextmanager
async def running(checks: Path) -> AsyncIterator[Daemon]:
    """A daemon on a configuration."""
    daemon = Daemon(load(checks))
    await daemon.start()
    yield daemon
    await daemon.stop(stop_components=True)


async def run(checks: Path, *words: str) -> int:
    """A command, as another process would give it."""
    return await asyncio.to_thread(main, ["--config", str(checks), *words])


def list_commands() -> Iterator[tuple[str, str]]:
    """(fault, command) that the runbooks tell people to type."""
    for book in sorted(RUNBOOKS.glob("*.md")):
        for command in re.findall(
            r"^ *(sentinel faults accept .*)$", book.read_text(), re.MULTILINE
        ):
            yield command.split()[4], command


def fill_in(command: str, check: str) -> str:
    """With the names of this platform."""
    for word, name in NAMES.items():
        command = command.replace(f"={word}", f"={name}")
    return command.replace("CHECK", check)


def list_lasting() -> set[str]:
    """Every fault that stands until it is accepted."""
    kinds = load_kinds().values()
    return {fault.key for kind in kinds for fault in kind.faults if fault.lasting}


def lost_before(check: str, fault: str) -> StandingFault:
    """A loss that a sentinel before this one has found."""
    now = datetime.now(UTC)
    loss = Loss(now, now, now + timedelta(days=7))
    subject = SUBJECTS[check]
    if fault == "rolled_back":
        subject = {"stream": "orders"}
    found = Fault(fault, subject, Status.DEGRADED, f"{fault} before", count=Bounds(3, 3), loss=loss)
    return StandingFault(check, "messaging", found, now, Status.DEGRADED)


def test_the_runbooks_tell_how_each_loss_is_accepted() -> None:
    """None is missing."""
    assert {fault for fault, _ in list_commands()} == list_lasting()


async def test_what_the_runbooks_say_is_done(tmp_path: Path) -> None:
    """Each command, with the names put in, on what was lost before this daemon began: it is audited
    and over; what the bus that is away holds now does not matter.
    """
    checks = write_configuration(tmp_path, 9, OTHERS)
    check_of = {
        fault.key: kind.name
        for kind in load_kinds().values()
        for fault in kind.faults
        if fault.lasting
    }
    (tmp_path / "state").mkdir()
    store = SqliteStore(tmp_path / "state", owner=True)
    store.commit(Changes(faults=[lost_before(check, key) for key, check in check_of.items()]))
    store.close()
    async with running(checks) as daemon:
        await wait_until(lambda: len(daemon.store.checks()) == len(SUBJECTS))
        for fault, command in list_commands():
            words = shlex.split(fill_in(command, check_of[fault]))[1:]
            assert await run(checks, *words, "--yes") == 0, command
        standing = daemon.store.faults()
        assert not [each for each in standing if each.fault.loss and each.accepted is None]
        audited = [row for row in daemon.store.audit() if row.action == "accept"]
        assert len(audited) == len(list(list_commands()))


async def test_a_loss_from_the_bus_to_the_audit_log(
    tmp_path: Path, valkey: ValkeyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """25 entries are trimmed unread: open with this very number, over a restart of sentinel, until
    somebody types the command that stands beside it; 3 more open it again with 3.
    """
    bus = redis.Redis(port=valkey.port)
    bus.xgroup_create("orders", "workers", "0", mkstream=True)
    checks = write_configuration(tmp_path, valkey.port)

    def lose(count: int) -> None:
        for n in range(count):
            bus.xadd("orders", {"n": n})
        bus.xtrim("orders", maxlen=0)

    def count_of(daemon: Daemon) -> list[tuple[int, bool]]:
        found = [f for f in daemon.store.faults("bus_delivery") if f.fault.key == "lost"]
        return [(each.fault.count.lo, each.accepted is not None) for each in found]  # type: ignore[union-attr]

    async with running(checks) as daemon:
        await wait_until(lambda: bool(daemon.store.checks()))
        await asyncio.to_thread(lose, 25)
        await wait_until(lambda: count_of(daemon) == [(25, False)])
    assert main(["--config", str(checks), "faults", "accept", "bus_delivery", "lost"]) == 64
    async with running(checks) as daemon:
        seen = daemon.engine.picture.check("bus_delivery")
        await wait_until(lambda: seen is not None and seen.runs > 2)
        assert count_of(daemon) == [(25, False)]
        (fault,) = [f.fault for f in daemon.store.faults("bus_delivery") if f.fault.key == "lost"]
        words = shlex.split(fault.cure[-1])[1:]
        capsys.readouterr()
        assert await run(checks, *words, "--yes", "--by", "ann", "--json") == 0
        assert json.loads(capsys.readouterr().out)["outcome"] == "accepted: 25 of 1 subject"
        assert await run(checks, *words, "--yes") == 64  # there is nothing open any more
        assert count_of(daemon) == [(25, True)]
        row = next(row for row in daemon.store.audit() if row.action == "accept")
        assert (row.actor, row.subject) == (
            "ann",
            "bus_delivery lost stream=orders group=workers",
        )
        now = datetime.now(UTC)
        _, (told,), _ = list_faults(daemon.store, Period(now, now), now)
        assert told.reason == "known (ann)"
        listed = faults_document(daemon.store, now)["faults"]
        (shown,) = [each for each in listed if each["fault"] == "lost"]
        assert (shown["accepted"]["by"], shown["count"]) == ("ann", [25, 25])
        assert shown["prompts"] == ["redis>"] * (len(shown["cure"]) - 1) + ["$"]
        assert shown["status"] == "down"  # all of the window was lost: as bad it stays
        await asyncio.to_thread(lose, 3)
        await wait_until(lambda: count_of(daemon) == [(3, False)])
    assert (
        await run(checks, *words, "--yes") == 69
    )  # nobody runs: the order is kept, and carried out at the next start
    async with running(checks) as daemon:
        await wait_until(lambda: count_of(daemon) == [(3, True)])
