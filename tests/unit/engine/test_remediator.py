"""From a dead process to a journaled, done and verified restart: real processes, a real store, a clock by hand."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.model import Backoff, Check, Component, Finding, HealthPolicy, RestartPolicy, Result, Status
from sentinel.core.restart import Reason
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.stall import StallGuard
from sentinel.engine.supervision import make_check, make_kind
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.remediation.process import ProcessDriver
from sentinel.store.sqlite import SqliteStore

AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
POLICY = RestartPolicy(
    max_attempts=2,
    per_hour=10,
    per_day=10,
    backoff=Backoff(first=0.0, initial=10.0, jitter=0.0),
    startup_grace=30.0,
    success_after=5.0,
    close_after=60.0,
    stop_timeout=5.0,
)


class House:
    """A bus that is only watched, and a worker that is supervised and needs it."""

    def __init__(self, folder: Path, store: SqliteStore, clock, metrics: Metrics) -> None:
        self.clock, self.store, self.folder = clock, store, folder
        self.triggered: list[str] = []
        self.recorder = Recorder(store, metrics, clock.utcnow)
        guard = StallGuard(clock.monotonic, clock.utcnow, metrics)
        self.pipeline = Pipeline(self.recorder, metrics, guard, clock.utcnow, lambda value: value)
        self.remediator = Remediator(
            pipeline=self.pipeline,
            recorder=self.recorder,
            store=store,
            metrics=metrics,
            utcnow=clock.utcnow,
            monotonic=clock.monotonic,
            trigger=self.triggered.append,
            halt_file=folder / "HALT",
            actions_enabled=True,
            quiet_until=clock.utcnow() - timedelta(seconds=1),
        )
        self.worker = Component(
            "worker", driver="process", command=("sleep", "60"), depends_on=("bus",), restart=POLICY
        )
        self.driver = ProcessDriver(self.worker, folder / "log")

    async def open(self) -> None:
        """Start the worker; everything is healthy."""
        drivers = self.remediator.drivers
        kind = make_kind(drivers, self.remediator.started, self.remediator.stopped)
        for component in (Component("bus"), self.worker):
            self.pipeline.add_component(component, None)
        plain = Kind("plain", "", Options, kind.run, ())
        self.pipeline.add_check(Check("bus-server", "plain", "bus", 2.0, 5.0, None, health=AT_ONCE), plain, None)
        self.pipeline.add_check(make_check(self.worker), kind, None)
        await self.remediator.manage(self.worker, self.driver, None)
        await self.see("bus-server", Status.UP)
        await self.see("worker.process", Status.UP)

    async def see(self, check: str, status: Status) -> None:
        """A check has just seen this."""
        now: datetime = self.clock.utcnow()
        await self.pipeline.take(Result(check, Finding(status, str(status)), now, 0.01, "0" * 32))

    async def kill(self) -> None:
        """The worker dies, and that is seen."""
        assert self.driver.pid is not None
        os.kill(self.driver.pid, signal.SIGKILL)
        await self.until(lambda: self.driver.pid is None and self.driver.how_ended != "")
        self.clock.now += 0.01
        await self.see("worker.process", Status.DOWN)

    async def consider(self) -> None:
        """One look of the remediator, and the end of what it began."""
        self.remediator.consider()
        for _ in range(200):
            if not self.remediator._tasks:
                return
            await asyncio.sleep(0.01)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something real."""
        for _ in range(500):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("never came true")

    @property
    def reason(self) -> Reason:
        """Why nothing is being done (or why something was)."""
        return self.remediator._decisions["worker"].reason


@pytest.fixture
async def house(tmp_path: Path, store: SqliteStore, clock, metrics: Metrics) -> AsyncIterator[House]:
    """The house, with its worker running."""
    made = House(tmp_path, store, clock, metrics)
    await made.open()
    yield made
    await made.remediator.stop_all()
    await made.remediator.close()
    made.recorder.close()


async def _settle(house: House) -> None:
    """The bus was seen up after the death of the worker."""
    house.clock.now += 0.01
    await house.see("bus-server", Status.UP)


async def test_death_is_restarted_and_verified(house: House) -> None:
    """One attempt, journaled and done; healthy for success_after it counts as recovered, with its time."""
    first = house.driver.pid
    await house.kill()
    await _settle(house)
    await house.consider()
    assert house.driver.pid not in {None, first}
    house.clock.now += 2
    await house.see("worker.process", Status.UP)
    await house.consider()
    house.clock.now += POLICY.success_after
    await house.consider()
    (attempt,) = house.store.attempts(component="worker")
    assert (attempt.n, attempt.outcome, attempt.verdict) == (1, "done", "recovered")
    assert attempt.recovered_in == pytest.approx(2.01, abs=0.02)
    assert attempt.start_id == house.driver.start_id


async def test_old_health_of_a_dependency_proves_nothing(house: House) -> None:
    """The bus was up before the death: its checks are asked again first, and only a fresh "up" lets act."""
    await house.kill()
    house.triggered.clear()
    await house.consider()
    assert house.reason is Reason.BLOCKED
    assert "bus-server" in house.triggered
    assert house.store.attempts() == []
    await _settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_soft_failure_of_a_dependency_blocks(house: House) -> None:
    """A dependency whose latest verdict is bad blocks, although its hard status may still be up."""
    await house.kill()
    house.clock.now += 0.01
    await house.see("bus-server", Status.DEGRADED)
    await house.consider()
    assert house.reason is Reason.BLOCKED
    assert house.store.attempts() == []


async def test_grace_after_a_dependency_recovered(house: House) -> None:
    """When the bus comes back, the worker has its start-up grace to recover by itself before anything is done."""
    await house.see("bus-server", Status.DOWN)
    await house.kill()
    await _settle(house)
    await house.consider()
    assert house.reason is Reason.SETTLING
    house.clock.now += POLICY.startup_grace
    await house.see("worker.process", Status.DOWN)
    await _settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_budget_ends_in_exhausted_once(house: House) -> None:
    """After max_attempts failed restarts: exhausted, escalated once, and nothing more is done."""
    for _ in range(POLICY.max_attempts):
        await house.kill()
        await _settle(house)
        await house.consider()
        house.clock.now += 15
        await house.see("worker.process", Status.DOWN)
        await _settle(house)
        await house.consider()
        await house.until(lambda: house.driver.pid is not None)
    await house.kill()
    for _ in range(5):
        house.clock.now += 60
        await house.see("worker.process", Status.DOWN)
        await _settle(house)
        await house.consider()
    assert [attempt.n for attempt in house.store.attempts()] == [1, 2]
    assert house.pipeline.incidents["worker"].exhausted
    escalations = [order for order in house.store.take_orders() if order.key.endswith("/exhausted")]
    assert len(escalations) == 1


async def test_reset_gives_a_full_budget(house: House) -> None:
    """After a reset the old incident is closed and a new one begins with attempt 1."""
    await test_budget_ends_in_exhausted_once(house)
    assert await house.remediator.reset("worker", "disk replaced") == "reset"
    house.clock.now += 1
    await house.see("worker.process", Status.DOWN)
    await _settle(house)
    await house.consider()
    newest = house.store.incidents(limit=1)[0]
    assert [attempt.n for attempt in house.store.attempts(incident=newest.id)] == [1]


@pytest.mark.parametrize("how", ["file", "unreadable"])
async def test_kill_switch(house: House, how: str) -> None:
    """HALT stops everything; what can't be read counts as halted."""
    if how == "file":
        (house.folder / "HALT").touch()
    else:
        (house.folder / "loop").symlink_to("loop")
        house.remediator.halt_file = house.folder / "loop" / "HALT"
    await house.kill()
    await _settle(house)
    await house.consider()
    assert house.reason is Reason.HALTED
    assert house.store.attempts() == []


async def test_stop_on_request_is_no_failure(house: House) -> None:
    """A component that was stopped on request is neither down nor restarted."""
    outcome = await house.remediator.stop("worker")
    assert outcome.done
    await house.consider()
    assert house.store.incidents() == []
    assert house.driver.pid is None


async def test_operator_restarts_outside_the_budget(house: House) -> None:
    """A restart at an operator's word works on a healthy component, and is refused while halted."""
    first = house.driver.pid
    assert "started" in await house.remediator.restart_on_request("worker", "new release")
    assert house.driver.pid not in {None, first}
    assert house.store.attempts() == []
    (house.folder / "HALT").touch()
    assert "refused" in await house.remediator.restart_on_request("worker", "again")
    assert "refused" in await house.remediator.restart_on_request("bus", "not ours")
