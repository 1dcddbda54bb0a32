"""Real processes, a real store, a clock by hand: everything of the engine that restarts components."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sentinel.coordination import Participant
from sentinel.core.fault import Status
from sentinel.core.model import (
    Backoff,
    Check,
    Component,
    Finding,
    HealthPolicy,
    RestartPolicy,
    Result,
)
from sentinel.core.remediation.brake import ActionLimits
from sentinel.core.remediation.restart import Reason
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.recorder import Paces
from sentinel.engine.supervision import make_check
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.remediation.process import ProcessDriver, ProcessDriverOptions
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
NO_WAITING = Paces(0.0, 0.0)
"""Everything is written at once, so that a test may look for it."""
PLENTY = ActionLimits(per_window=100, group_share=1.0)
"""Limits that are not in the way of a test about something else."""


class House:
    """A bus that is only watched, and workers that are supervised and need it."""

    def __init__(
        self,
        folder: Path,
        store: SqliteStore,
        clock,
        metrics: Metrics,
        workers: int = 1,
        quiet=-1.0,
        **policy,
    ) -> None:
        self.clock, self.store, self.folder = clock, store, folder
        restraint = Restraint(enabled=True, **{"limits": PLENTY, **policy})
        given = Surroundings(
            store, metrics, clock, folder, restraint, quiet=quiet, paces=NO_WAITING
        )
        engine = make_engine(given)
        self.engine, self.recorder, self.guard = engine, engine.recorder, engine.guard
        self.picture, self.pipeline, self.fleet = engine.picture, engine.pipeline, engine.fleet
        self.automation, self.coordinator = engine.automation, engine.coordinator
        self.remediator, self.circumstances = engine.remediator, engine.circumstances
        self.requests = engine.requests
        names = ["worker"] if workers == 1 else [f"worker-{n}" for n in range(workers)]
        group = "" if workers == 1 else "workers"
        self.workers = [
            Component(name, driver="process", depends_on=("bus",), restart=POLICY, group=group)
            for name in names
        ]
        options = ProcessDriverOptions(command=["sleep", "60"])
        self.drivers = {
            each.name: ProcessDriver(each, options, folder / "log") for each in self.workers
        }
        self.worker, self.driver = self.workers[0], self.drivers[names[0]]

    async def open(self, member: str = "first") -> None:
        """Start the workers; everything is healthy."""
        await self.coordinator.start(Participant(member, self.clock.utcnow()))
        self.automation.load(crashed=False)
        kind = self.engine.kinds["supervision"]
        for component in (Component("bus"), *self.workers):
            self.picture.add_component(component, None)
        plain = Kind("plain", "", Options, kind.run, ())
        self.picture.add_check(
            Check("bus-server", "plain", "bus", 2.0, 5.0, None, health=AT_ONCE), plain, None
        )
        rows = {row.component: row for row in self.store.processes()}
        for component in self.workers:
            self.picture.add_check(make_check(component), kind, None)
            driver = self.drivers[component.name]
            await self.remediator.manage(component, driver, rows.get(component.name))
        await self.see("bus-server", Status.UP)
        await self.consider()
        for component in self.workers:
            await self.see(f"{component.name}.process", Status.UP)

    def restrain(self, **changes) -> None:
        """A new configuration says something else about acting."""
        self.automation.configure(replace(self.automation.restraint, **changes))

    def asked(self) -> list[str]:
        """Checks that somebody wants to run at once, since the last question."""
        return self.engine.wanted.take()

    async def see(self, check: str, status: Status) -> None:
        """A check has just seen this."""
        now: datetime = self.clock.utcnow()
        await self.pipeline.take(Result(check, Finding(status, str(status)), now, 0.01, "0" * 32))

    async def kill(self, name: str = "worker") -> None:
        """A worker dies, and that is seen."""
        driver = self.drivers[name]
        assert driver.pid is not None
        os.kill(driver.pid, signal.SIGKILL)
        await self.until(lambda: driver.pid is None and driver.how_ended != "")
        self.clock.now += 0.01
        await self.see(f"{name}.process", Status.DOWN)

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
        return self.fleet.decisions["worker"].reason


@asynccontextmanager
async def open_house(made: House) -> AsyncIterator[House]:
    """The house with its workers running; nothing is left behind."""
    await made.open()
    yield made
    await made.remediator.stop_all()
    await made.remediator.close()
    made.recorder.close()


async def settle(house: House) -> None:
    """The bus was seen up after the death of the worker."""
    house.clock.now += 0.01
    await house.see("bus-server", Status.UP)
