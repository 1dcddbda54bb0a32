"""A new configuration in a running daemon: only what differs is touched, and what runs goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from sentinel.app import Daemon, Signals, serve
from sentinel.app.membership import Membership
from sentinel.app.roster import CheckRoster
from sentinel.config import load
from sentinel.coordination import Participant, Placement, View
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Check
from sentinel.core.schedule import SHARDS, shard_of
from sentinel.engine.upkeep import Upkeep
from sentinel.errors import StateError
from sentinel.log import configure_logging
from sentinel.probes import Kind, Options
from sentinel.redaction import Redaction
from sentinel.reports.paper.templates import TemplateBroken
from sentinel.store import Changes
from sentinel.store.folder import FILE
from sentinel.store.schema import SCHEMA_VERSION
from tests.exposition import read_sample

HEAD = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: true, start_grace: 0s}}
checks:
  - {{name: elsewhere-port, kind: tcp, component: elsewhere, address: "127.0.0.1:9", every: 1h}}
components:
  elsewhere: {{}}
"""
WORKER = """
  worker:
    driver: process
    command: {command}
    restart: {{backoff: {{first: 0s}}}}
"""


class Bench:
    """A daemon whose configuration is written anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "checks").mkdir()
        self.write('["sleep", "1000"]')
        self.daemon = Daemon(load(folder / "checks"))

    def write(self, command: str | None, more: str = "") -> None:
        """The configuration, with the worker's command or without a worker."""
        worker = WORKER.format(command=command) if command else ""
        (self.folder / "checks" / "sentinel.yaml").write_text(
            HEAD.format(folder=self.folder) + worker + more
        )

    def pid(self) -> int | None:
        """The worker's process."""
        driver = self.daemon.engine.fleet.drivers.get("worker")
        return driver.pid if driver else None


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Running, with its worker."""
    made = Bench(tmp_path)
    await made.daemon.start()
    await wait_until(lambda: made.pid() is not None)
    yield made
    await made.daemon.stop(stop_components=True)


def argv_of(pid: int | None) -> str:
    """What a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


async def test_another_command_is_for_the_next_start(bench: Bench) -> None:
    """The process goes on under its new driver; when it dies, the new command is started."""
    before = bench.pid()
    bench.write('["sleep", "2000"]')
    assert await bench.daemon.reload()
    assert bench.pid() == before
    assert argv_of(before) == "sleep 1000"
    os.kill(before, signal.SIGKILL)
    await wait_until(lambda: bench.pid() not in {None, before})
    await wait_until(lambda: argv_of(bench.pid()) == "sleep 2000")


async def test_nothing_changed_touches_nothing(bench: Bench) -> None:
    """The same configuration again: the same driver, the same process."""
    driver = bench.daemon.engine.fleet.drivers["worker"]
    assert await bench.daemon.reload()
    assert bench.daemon.engine.fleet.drivers["worker"] is driver


async def test_a_component_that_is_taken_out_is_let_go(bench: Bench) -> None:
    """Its process goes on, nobody watches it, and its check is gone."""
    pid = bench.pid()
    bench.write(None)
    assert await bench.daemon.reload()
    try:
        assert argv_of(pid) == "sleep 1000"
        assert bench.daemon.engine.fleet.drivers == {}
        assert [check.name for check, *_ in bench.daemon.results()] == ["elsewhere-port"]
        assert "worker" not in [view.name for view in bench.daemon.store.components()]
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_the_incident_of_what_is_taken_out_is_closed(bench: Bench) -> None:
    """Nobody would ever see it healthy again: it ends with the reason."""
    automation = bench.daemon.engine.automation
    automation.configure(replace(automation.restraint, enabled=False))
    os.kill(bench.pid(), signal.SIGKILL)
    await wait_until(lambda: "worker" in bench.daemon.engine.picture.incidents)
    metrics = bench.daemon.metrics
    assert 'sentinel_incidents_open{component="worker"} 1.0' in metrics.render().decode()
    bench.write(None)
    assert await bench.daemon.reload()
    assert '"worker"' not in metrics.render().decode()
    (incident,) = bench.daemon.store.incidents()
    assert incident.state == "closed"
    assert "no longer in the configuration" in bench.daemon.store.timeline(incident.id)[-1].text


SICK = """
listen: 127.0.0.1:0
state: {folder}/state
components: {{one: {{}}, other: {{}}}}
checks:
  - {{name: calm, kind: tcp, component: other, address: "127.0.0.1:9", every: 1h}}
{check}"""
PORT = """  - {{name: port, kind: tcp, component: {component}, address: "127.0.0.1:9", every: 1s,
      failures: 1, of: 1}}
"""


def write_sick(folder: Path, component: str) -> None:
    """A check of a closed port of one component, or no check at all."""
    check = PORT.format(component=component) if component else ""
    (folder / "checks").mkdir(exist_ok=True)
    text = SICK.format(folder=folder, check=check)
    (folder / "checks" / "sentinel.yaml").write_text(text)


async def test_a_check_that_moves_leaves_nothing_behind(tmp_path: Path) -> None:
    """The component that it was of is not down for ever; its series and its incident go."""
    write_sick(tmp_path, "one")
    daemon = Daemon(load(tmp_path / "checks"))
    await daemon.start()
    try:
        incidents = daemon.engine.picture.incidents
        await wait_until(lambda: "one" in incidents)
        write_sick(tmp_path, "other")
        assert await daemon.reload()
        await wait_until(lambda: "other" in incidents)
        page = daemon.metrics.render().decode()
        assert 'check="port",component="one"' not in page
        assert 'sentinel_faults{check="port",component="other",fault="unreachable"} 1.0' in page
        assert 'sentinel_component_status{component="one",status="unknown"} 1.0' in page
        assert list(incidents) == ["other"]
        # The picture is ahead of the store by one commit.
        await wait_until(lambda: [each.component for each in daemon.store.faults()] == ["other"])
    finally:
        await daemon.stop(stop_components=True)


async def test_an_incident_that_nobody_looks_at_ends(tmp_path: Path) -> None:
    """Its last check was taken out, by a reload or while no daemon was running."""
    for while_it_runs in (True, False):
        folder = tmp_path / str(while_it_runs)
        folder.mkdir()
        write_sick(folder, "one")
        daemon = Daemon(load(folder / "checks"))
        await daemon.start()
        await wait_until(lambda running=daemon: "one" in running.engine.picture.incidents)
        write_sick(folder, "")
        if while_it_runs:
            assert await daemon.reload()
        else:
            await daemon.stop(stop_components=True)
            daemon = Daemon(load(folder / "checks"))
            await daemon.start()
        (incident,) = daemon.store.incidents()
        assert incident.state == "closed"
        assert "no check looks" in daemon.store.timeline(incident.id)[-1].text
        assert daemon.store.faults() == []
        assert daemon.engine.picture.statuses["one"] == "unknown"
        await daemon.stop(stop_components=True)


async def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something real."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


async def test_a_component_that_comes_is_started(bench: Bench) -> None:
    """And the order of dependencies is that of the new configuration."""
    bench.write(
        '["sleep", "1000"]',
        "    depends_on: [newcomer]\n  newcomer:\n    driver: process\n    command: [sleep, '3000']\n",
    )
    assert await bench.daemon.reload()
    await wait_until(lambda: bench.daemon.pid_of("newcomer") is not None)
    names = list(bench.daemon.engine.picture.components)
    assert names.index("newcomer") < names.index("worker")


async def test_a_broken_configuration_changes_nothing(bench: Bench) -> None:
    """E5: the old one stays in force."""
    before = bench.pid()
    bench.write('["sleep", "2000"]', "    nonsense: 1\n")
    assert not await bench.daemon.reload()
    assert bench.pid() == before
    assert "worker" in bench.daemon.engine.fleet.drivers


async def test_a_state_that_is_locked_does_not_end_the_daemon(bench: Bench) -> None:
    """It says so and runs on; the next reload makes up for what could not be written."""
    bench.write('["sleep", "1000"]', "  newcomer: {}\n")
    with closing(sqlite3.connect(bench.daemon.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await bench.daemon.reload()
    assert await bench.daemon.reload()
    assert "newcomer" in json.loads(bench.daemon.store.meta("positions") or "{}")
    assert bench.daemon.engine.automation.conditions() == []


async def test_secrets_that_come_with_a_reload_are_hidden(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    """In findings and in the log; those of before stay hidden, too."""
    request.addfinalizer(structlog.reset_defaults)
    configure_logging(secrets=bench.daemon.configuration.secrets)
    for key in ("canary-one", "canary-two"):
        resource = (
            f'resources: {{api: {{http: "http://127.0.0.1:9", headers: {{X-Key: {key}}}}}}}\n'
        )
        bench.write('["sleep", "1000"]', resource)
        assert await bench.daemon.reload()
    text = "canary-one and canary-two"
    assert bench.daemon.redaction.scrub(text) == "*** and ***"
    (redaction,) = [
        each for each in structlog.get_config()["processors"] if isinstance(each, Redaction)
    ]
    assert redaction.scrub(text) == "*** and ***"


async def test_what_a_reload_can_not_change_is_told(bench: Bench) -> None:
    """Address and state stay as they are until the next start."""
    file = bench.folder / "checks" / "sentinel.yaml"
    file.write_text(
        file.read_text().replace("127.0.0.1:0", "127.0.0.1:9").replace("/state", "/other")
    )
    with capture_logs() as lines:
        assert await bench.daemon.reload()
    assert [line["key"] for line in lines if line["event"] == "reload_keeps"] == ["listen", "state"]


def _accept(file: Path, until: str) -> None:
    """Somebody accepts that the port of `elsewhere` does not answer."""
    entry = f"{{fault: unreachable, reason: it moves, until: {until}}}"
    text = file.read_text().replace("every: 1h", f"every: 1h, accept: [{entry}]")
    file.write_text(text)


def _lapsed(lines: list[MutableMapping[str, Any]]) -> list[tuple[str, str, str]]:
    found = [line for line in lines if line["event"] == "lapsed"]
    return [(line["log_level"], line["where"].rpartition(":")[2], line["key"]) for line in found]


LAPSED = [("warning", "6", "checks[0].accept[0].until")]


async def test_an_acceptance_that_is_over_does_not_stop_a_reload(bench: Bench) -> None:
    """It is told with its place, what else changed is in force, and the fault counts again."""
    bench.write('["sleep", "1000"]', "  newcomer: {}\n")
    _accept(bench.folder / "checks" / "sentinel.yaml", "2020-01-31")
    with capture_logs() as lines:
        assert await bench.daemon.reload()
    assert _lapsed(lines) == LAPSED
    (check,) = [each for each in bench.daemon.configuration.checks if each.accept == ()]
    assert check.name == "elsewhere-port"
    assert "newcomer" in {each.name for each in bench.daemon.configuration.components}
    bench.daemon.engine.scheduler.trigger("elsewhere-port")
    await wait_until(lambda: bool(bench.daemon.store.faults("elsewhere-port")))
    (standing,) = bench.daemon.store.faults("elsewhere-port")
    assert (standing.fault.key, standing.accepted) == ("unreachable", None)


@pytest.mark.parametrize(("until", "told"), [("2020-01-31", LAPSED), ("2999-12-31", [])])
async def test_an_acceptance_that_is_over_does_not_stop_a_start(
    tmp_path: Path, until: str, told: list[tuple[str, str, str]]
) -> None:
    """`sentinel run` at night: it watches, and says what has ended."""
    file = tmp_path / "checks.yaml"
    file.write_text(HEAD.format(folder=tmp_path))
    _accept(file, until)
    signals = Signals()
    with capture_logs() as lines:
        await serve(file, signals, lambda _daemon: signals.stop.set())
    assert _lapsed(lines) == told


async def test_a_start_that_fails_half_way_says_why(tmp_path: Path) -> None:
    """A state of a newer version: that is the error, and not what is missing because of it."""
    (tmp_path / "checks.yaml").write_text(HEAD.format(folder=tmp_path))
    (tmp_path / "state").mkdir(mode=0o700)
    with closing(sqlite3.connect(tmp_path / "state" / FILE)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    daemon = Daemon(load(tmp_path / "checks.yaml"))
    with pytest.raises(StateError, match="written by a newer sentinel"):
        await daemon.start()
    await daemon.stop()


async def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    """The daemon starts afresh, and says where the old file is."""
    (tmp_path / "checks.yaml").write_text(HEAD.format(folder=tmp_path))
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / FILE).write_bytes(b"no database at all, but long enough" * 100)
    daemon = Daemon(load(tmp_path / "checks.yaml"))
    with capture_logs() as lines:
        await daemon.start()
    await daemon.stop()
    (line,) = [line for line in lines if line["event"] == "state_was_damaged"]
    assert Path(line["moved_to"][0]).read_bytes().startswith(b"no database")


class SharedCoordinator:
    """Gives only some shards, and others later; fails when it is told to."""

    def __init__(self, owned: set[int]) -> None:
        self.owned, self.fails = owned, False

    async def start(self, me: Participant) -> None:
        """Join."""

    async def tick(self, want: Placement) -> View:
        """What is owned now."""
        if self.fails:
            raise StateError("the coordinator does not answer")
        return View(owned=dict.fromkeys(self.owned, 1))


class Plan:
    """A scheduler that only remembers what is on it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def add(self, check: Check) -> None:
        """Schedule."""
        assert check.name not in self.names
        self.names.add(check.name)

    async def remove(self, name: str) -> None:
        """Take off."""
        self.names.discard(name)


async def test_only_the_checks_of_our_shards_run(bench: Bench) -> None:
    """Shards come and go, and so do their checks; without an answer the last assignment stays in
    force.
    """
    daemon, plan = bench.daemon, Plan()
    names = ["check-a", "check-b", "check-c"]
    coordinator = SharedCoordinator({shard_of("check-a")})
    membership = Membership(coordinator, daemon.engine.automation, daemon.engine.journal)
    kind = Kind("plain", "", Options, None, ())
    engine, upkeep = daemon.engine, Upkeep(daemon.metrics)
    roster = CheckRoster(
        {"plain": kind}, daemon.store, engine.runner, engine.picture, plan, membership, upkeep
    )
    await membership.start(Participant("me", datetime.now(UTC)))
    await roster.recall()
    for name in names:
        roster.add(Check(name, "plain", "elsewhere", 60.0, 5.0, None))
    assert plan.names == {"check-a"}
    coordinator.owned = {shard_of("check-b"), shard_of("check-c")}
    assert await membership.tick()
    roster.place()
    await wait_until(lambda: plan.names == {"check-b", "check-c"})
    coordinator.owned, coordinator.fails = set(), True
    assert not await membership.tick()
    assert plan.names == {"check-b", "check-c"}
    for name in names:
        await roster.remove(name)
    assert plan.names == set()


async def test_what_came_and_went_before_a_restart_is_still_told(bench: Bench) -> None:
    """A fault that began a minute ago and is over: the daemon that starts now says when it began."""
    daemon, now = bench.daemon, datetime.now(UTC)
    fault = Fault("lost", {"stream": "s"}, Status.DOWN, "lost")
    began = now - timedelta(seconds=60)
    over = StandingFault("check-a", "elsewhere", fault, began, Status.DOWN, began)
    daemon.store.commit(Changes(faults=[over]))
    kind, engine = Kind("plain", "", Options, None, ()), daemon.engine
    membership = Membership(SharedCoordinator(set()), engine.automation, engine.journal)
    roster = CheckRoster(
        {"plain": kind}, daemon.store, engine.runner, engine.picture, Plan(), membership,
        Upkeep(daemon.metrics),
    )  # fmt: skip
    await roster.recall()
    roster.add(Check("check-a", "plain", "elsewhere", 60.0, 5.0, None))
    name = "sentinel_fault_last_begun_timestamp_seconds"
    labels = {"check": "check-a", "component": "elsewhere", "fault": "lost"}
    told = read_sample(daemon.metrics, name, **labels)
    assert told == pytest.approx(began.timestamp(), abs=0.001)
    assert read_sample(daemon.metrics, "sentinel_faults", **labels) is None


def test_every_shard_is_ours_on_one_machine(tmp_path: Path) -> None:
    """Names spread over the shards, and always fall into the same one."""
    shards = {shard_of(f"check-{n}") for n in range(2000)}
    assert len(shards) > 1400
    assert all(0 <= shard < SHARDS for shard in shards)
    assert shard_of("bus-delivery") == shard_of("bus-delivery")


async def test_a_report_that_takes_long_holds_up_no_restart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that never ends is worked on beside the journal: meanwhile the worker dies and is
    back.
    """
    monkeypatch.setattr("sentinel.reports.paper.render.MAX_SECONDS", 5.0)
    templates = bench.folder / "templates"
    templates.mkdir()
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (templates / "progress.md.j2").write_text(loop)
    bench.write('["sleep", "1000"]', f"report_templates: {templates}\n")
    assert await bench.daemon.reload()
    report = asyncio.create_task(bench.daemon.write_report("progress"))
    await asyncio.sleep(0.2)
    first = bench.pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: bench.pid() not in {None, first})
    assert not report.done()
    with pytest.raises(TemplateBroken, match="does not end"):
        await report
