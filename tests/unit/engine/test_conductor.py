"""Moving the platform: order, health before the next, what is shown, what is refused. Real
processes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from sentinel.coordination import Participant
from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, HealthPolicy, RestartPolicy, Result
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.conductor import PROGRESS
from sentinel.probes import Kind, Options
from sentinel.remediation.process import ProcessDriver, ProcessDriverOptions
from tests.unit.engine.house import NO_WAITING

CHAIN = ("database", "orchestrator", "agent")
AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)


class Platform:
    """Three components, each needing the one before; a health check for each that the test answers."""

    def __init__(self, folder, store, clock, metrics) -> None:
        self.clock, self.store = clock, store
        self.sick: set[str] = set()
        self.started: list[str] = []
        restraint = Restraint(enabled=True)
        given = Surroundings(store, metrics, clock, folder, restraint, quiet=-1.0, paces=NO_WAITING)
        self.engine = engine = make_engine(given)
        self.recorder, self.picture, self.turn = engine.recorder, engine.picture, engine.turn
        self.remediator, self.conductor = engine.remediator, engine.conductor
        self.drivers = {}
        for needed, name in zip(("", *CHAIN), CHAIN, strict=False):
            policy = RestartPolicy(startup_grace=3.0)
            component = Component(
                name, driver="process", depends_on=(needed,) if needed else (), restart=policy
            )
            self.picture.add_component(component, None)
            self.drivers[name] = self._driver(component, folder)

    def _driver(self, component: Component, folder) -> ProcessDriver:
        driver = ProcessDriver(
            component, ProcessDriverOptions(command=["sleep", "60"]), folder / "log"
        )
        plain = driver.start

        async def start(key: str = ""):
            self.started.append(component.name)
            return await plain(key)

        driver.start = start
        return driver

    async def open(self) -> None:
        """Everything runs and is healthy."""
        await self.engine.coordinator.start(Participant("only", self.clock.utcnow()))
        plain = Kind("plain", "", Options, None, ())
        for name in CHAIN:
            check = Check(f"{name}-health", "plain", name, 2.0, 5.0, None, health=AT_ONCE)
            self.picture.add_check(check, plain, None)
            await self.remediator.manage(self.picture.components[name], self.drivers[name], None)
        self.beat = asyncio.create_task(self._look())
        while len(self.engine.fleet.started) < len(CHAIN):
            await asyncio.sleep(0.01)

    async def _look(self) -> None:
        """The checks and the daemon's loop: time goes on by a tenth of a second each turn."""
        while True:
            await asyncio.sleep(0.01)
            self.clock.now += 0.1
            for name in CHAIN:
                healthy = self.drivers[name].pid is not None and name not in self.sick
                finding = Finding(Status.UP if healthy else Status.DEGRADED, "seen")
                await self.turn.take(
                    Result(f"{name}-health", finding, self.clock.utcnow(), 0.01, "0" * 32)
                )

    async def close(self) -> None:
        """Nothing is left."""
        self.beat.cancel()
        await asyncio.gather(self.beat, return_exceptions=True)
        await self.remediator.stop_all()
        await self.remediator.close()
        self.recorder.close()

    def steps(self) -> list[tuple[str, str]]:
        """What the command line would show."""
        shown = json.loads(self.store.meta(PROGRESS))["steps"]
        return [(step["action"], step["component"]) for step in shown]


@pytest.fixture
async def platform(tmp_path, store, clock, metrics) -> AsyncIterator[Platform]:
    """The chain, running."""
    made = Platform(tmp_path, store, clock, metrics)
    await made.open()
    yield made
    await made.close()


async def test_first_start_is_in_order(platform: Platform) -> None:
    """At the start of sentinel each component waits for the health of the one before."""
    assert platform.started == list(CHAIN)


async def test_restart_of_everything(platform: Platform) -> None:
    """Stopped dependents first, started dependencies first, every step shown."""
    before = {name: driver.pid for name, driver in platform.drivers.items()}
    outcome = await platform.conductor.move("k", "restart", "", "release")
    assert outcome.line == "restart: 3 components done"
    assert platform.steps() == [("stop", n) for n in CHAIN[::-1]] + [("start", n) for n in CHAIN]
    assert all(driver.pid not in {None, before[name]} for name, driver in platform.drivers.items())
    assert platform.store.incidents() == []
    assert platform.store.attempts() == []


async def test_stop_is_not_overtaken_by_a_start_under_way(platform: Platform) -> None:
    """The process is not there yet, and will be: a stop waits for it instead of finding nothing."""
    driver, gate, ended = platform.drivers["agent"], asyncio.Event(), asyncio.Event()
    await platform.conductor.move("a", "stop", "agent", "first")
    plain = driver.start

    async def slowly(key: str = ""):
        gate.set()
        await asyncio.sleep(0.1)
        try:
            return await plain(key)
        finally:
            ended.set()

    driver.start = slowly
    starting = asyncio.create_task(platform.remediator.ask_start("agent"))
    await gate.wait()
    refused = await platform.engine.requests.restart("agent", "at once")
    assert refused.line == "refused: one action at a time: agent is being started"
    await platform.conductor.move("b", "stop", "agent", "second")
    await asyncio.gather(starting, ended.wait())
    assert driver.pid is None
    assert "agent" in platform.remediator.fleet.stopped


async def test_start_waits_for_health_not_for_the_process(platform: Platform) -> None:
    """The database's process runs but is not healthy: what needs it is not started, and that is
    said.
    """
    await platform.conductor.move("k", "stop", "", "maintenance")
    platform.started.clear()
    platform.sick = {"database"}
    outcome = await platform.conductor.move("k", "start", "", "maintenance over")
    assert outcome.line == "failed: 3 of start: 3 components"
    assert platform.started == ["database"]
    last = json.loads(platform.store.meta(PROGRESS))["steps"][-1]
    assert last["outcome"].startswith("failed: waits for orchestrator, which is")
    platform.sick = set()
    while (
        len(platform.started) < 3
    ):  # asked for is asked for: it goes on when the database is healthy
        await asyncio.sleep(0.01)
    assert platform.started == list(CHAIN)


async def test_one_component(platform: Platform) -> None:
    """Only the named one is moved; it stays stopped until it is started."""
    await platform.conductor.move("k", "stop", "agent", "x")
    assert [platform.drivers[name].pid is None for name in CHAIN] == [False, False, True]
    assert "healthy after" in (await _last(platform, "start", "agent"))
    assert all(driver.pid for driver in platform.drivers.values())


async def _last(platform: Platform, action: str, name: str) -> str:
    await platform.conductor.move("k", action, name, "x")
    return json.loads(platform.store.meta(PROGRESS))["steps"][-1]["outcome"]


async def test_refusals(platform: Platform, tmp_path) -> None:
    """Halted, unknown, and two movements at a time."""
    first = asyncio.create_task(platform.conductor.move("k", "restart", "", "x"))
    await asyncio.sleep(0)
    assert "being moved already" in (await platform.conductor.move("l", "stop", "", "x")).line
    await first
    assert "refused" in (await platform.conductor.move("m", "stop", "nothing", "x")).line
    (tmp_path / "HALT").touch()
    assert "refused: halted" in (await platform.conductor.move("n", "stop", "", "x")).line
    assert all(driver.pid for driver in platform.drivers.values())
