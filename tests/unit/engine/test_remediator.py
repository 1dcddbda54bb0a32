"""Decisions become acts only through the journal; every attempt is verified; giving up is said once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sentinel.core.model import Attempt, Backoff, Component, Finding, RestartPolicy, Result, Status
from sentinel.core.restart import Reason
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.stall import StallGuard
from sentinel.engine.supervision import make_check, make_kind, name_of_check
from sentinel.errors import StateError
from sentinel.log import Redaction
from sentinel.remediation import Outcome
from sentinel.store import Changes, ProcessRow

POLICY = RestartPolicy(backoff=Backoff(0.0, 0.0, 1, 0, 0.0), startup_grace=5.0, success_after=10.0, close_after=60.0)
WORKER = Component("worker", driver="process", command=("worker",), restart=POLICY)


class FakeDriver:
    """A component whose life the test decides; `acts` has what was done to it."""

    def __init__(self, *, running=False, adoptable=False, starts=True):
        self.acts = []
        self.pid = 7 if running else None
        self.adoptable, self.starts = adoptable, starts
        self.start_id, self.how_ended = "", ""

    def watch(self, on_end):
        self.on_end = on_end

    def adopt(self, start_id):
        self.acts.append("adopt")
        self.pid = 7 if self.adoptable else None
        return self.adoptable

    async def start(self):
        self.acts.append("start")
        self.pid = 7 if self.starts else None
        self.how_ended = "" if self.starts else "exited with status 1"
        return Outcome(self.starts, "started (pid 7)" if self.starts else "can't be started", "boot/7/1")

    async def stop(self):
        self.acts.append("stop")
        return Outcome(True, "was not running")

    def close(self):
        pass

    def die(self, how="exited with status 1"):
        self.pid, self.how_ended = None, how


class World:
    """A remediator with one supervised component on the test's clock."""

    def __init__(self, store, metrics, clock, folder):
        self.clock, self.store, self.metrics, self.folder = clock, store, metrics, folder
        self.recorder = Recorder(store, metrics, clock.utcnow)
        self.triggered = []
        self.start()

    def start(self):
        """What a start of sentinel makes."""
        guard = StallGuard(self.clock.monotonic, self.clock.utcnow, self.metrics)
        self.pipeline = Pipeline(self.recorder, self.metrics, guard, self.clock.utcnow, Redaction().scrub)
        known = {incident.component: incident for incident in self.store.incidents(open_only=True)}
        self.pipeline.add_component(WORKER, known.get("worker"))
        self.pipeline.add_check(make_check(WORKER), make_kind({}, {}, ()), self.store.healths().get("worker.process"))
        self.remediator = Remediator(
            pipeline=self.pipeline, recorder=self.recorder, store=self.store, metrics=self.metrics,
            utcnow=self.clock.utcnow, monotonic=self.clock.monotonic, trigger=self.triggered.append,
            halt_file=self.folder / "HALT", actions_enabled=True, quiet_until=self.clock.utcnow(),
        )  # fmt: skip

    async def manage(self, driver):
        """Take the driver under supervision, with what the store knows of it."""
        rows = {row.component: row for row in self.store.processes()}
        await self.remediator.manage(WORKER, driver, rows.get("worker"))
        return driver

    async def see(self, status, seconds=0.1):
        """A verdict of the supervision check, and all that follows."""
        self.clock.now += seconds
        finding = Finding(status, f"process is {status}")
        now = self.clock.utcnow()
        await self.pipeline.take(Result(name_of_check("worker"), finding, now, 0.0, "t"))
        await self.consider()

    async def consider(self):
        """Decide, and let what was decided end."""
        self.remediator.consider()
        while self.remediator._tasks:
            await asyncio.gather(*self.remediator._tasks)

    @property
    def reason(self):
        """Why nothing is done, or that something is."""
        return self.remediator._decisions["worker"].reason

    def timeline(self):
        """The last incident's timeline by kind."""
        return [entry.kind for entry in self.store.timeline(self.store.incidents()[0].id)]


@pytest.fixture
def world(store, metrics, clock, tmp_path):
    """A world."""
    made = World(store, metrics, clock, tmp_path)
    yield made
    made.recorder.close()


async def test_the_first_start_is_no_attempt(world):
    """A component that was never started is started, and noted before."""
    driver = await world.manage(FakeDriver())
    assert "start" in driver.acts
    assert world.store.attempts() == []
    assert world.store.processes()[0].wanted


async def test_what_runs_is_never_started_again(world, store):
    """Even when nothing is known of it any more (the journal was lost): found by its mark, adopted."""
    driver = await world.manage(FakeDriver(adoptable=True))
    assert driver.acts == ["adopt"]
    assert store.processes()[0].pid == 7


async def test_what_died_meanwhile_is_left_to_the_budget(world, store, clock):
    """Wanted, but gone: no start beside the journal."""
    await world.recorder.record(Changes(processes=[ProcessRow("worker", 7, "boot/7/1", clock.utcnow(), True)]))
    driver = await world.manage(FakeDriver())
    assert driver.acts == ["adopt"]
    assert driver.how_ended == "ended while sentinel was away"


async def test_a_death_is_answered_and_verified(world, store):
    """Journal, stop, start, outcome; healthy for success_after: recovered; told in the timeline."""
    driver = await world.manage(FakeDriver())
    driver.die()
    await world.see(Status.DOWN)
    assert driver.acts[-2:] == ["stop", "start"]
    (attempt,) = store.attempts()
    assert (attempt.n, attempt.outcome, attempt.verdict, attempt.start_id) == (1, "done", "", "boot/7/1")
    await world.see(Status.UP, 2.0)
    await world.see(Status.UP, 9.9)
    assert store.attempts()[0].verdict == ""
    await world.see(Status.UP, 0.2)
    (attempt,) = store.attempts()
    assert attempt.verdict == "recovered"
    assert attempt.recovered_in == pytest.approx(2.0)
    kinds = world.timeline()
    assert kinds[:3] == ["opened", "attempt", "restarted"]
    assert {"recovered", "healthy", "attempt recovered"} <= set(kinds)


async def test_the_row_is_there_before_the_act(world, store):
    """When the driver is called, the journal has the attempt already, without an outcome."""
    driver = await world.manage(FakeDriver())
    seen = []
    plain = driver.start

    async def start():
        seen.extend(store.attempts())
        return await plain()

    driver.start = start
    driver.die()
    await world.see(Status.DOWN)
    assert [(attempt.n, attempt.outcome) for attempt in seen] == [(1, "")]


async def test_three_attempts_then_exhausted_once(world, store):
    """A component that dies at once: three starts, one escalation with the next step, nothing after."""
    driver = await world.manage(FakeDriver())
    driver.starts = False
    driver.die()
    for _ in range(20):
        await world.see(Status.DOWN)
    assert driver.acts.count("start") == 1 + 3
    assert [attempt.verdict for attempt in store.attempts()] == ["failed"] * 3
    assert world.timeline().count("exhausted") == 1
    keys = [order.key.rpartition("/")[2] for order in store.take_orders()]
    assert keys.count("exhausted") == 1
    assert store.incidents()[0].exhausted
    assert world.reason is Reason.EXHAUSTED
    assert "sentinel reset worker" in store.timeline(store.incidents()[0].id)[-1].text


async def test_exhausted_survives_a_restart(world, store):
    """A new sentinel on the same state does not begin anew, nor escalate again."""
    await test_three_attempts_then_exhausted_once(world, store)
    world.start()
    driver = await world.manage(FakeDriver(starts=False))
    for _ in range(5):
        await world.see(Status.DOWN)
    assert driver.acts == ["adopt"]
    assert world.timeline().count("exhausted") == 1


async def test_reset_gives_a_full_budget(world, store):
    """The incident ends by the operator's word; the next failure is a new one with three attempts."""
    await test_three_attempts_then_exhausted_once(world, store)
    driver = world.remediator.drivers["worker"]
    assert await world.remediator.reset("worker", "repaired") == "reset"
    assert world.triggered[-1] == "worker.process"
    for _ in range(20):
        await world.see(Status.DOWN)
    assert len(store.incidents()) == 2
    assert driver.acts.count("start") == 1 + 3 + 3
    assert await world.remediator.reset("nobody", "x") == "unknown component nobody"


async def test_an_interrupted_attempt_is_spent(world, store, clock):
    """A row without outcome: spent, outcome unknown; the next one has the next number."""
    await world.manage(FakeDriver())
    world.remediator.actions_enabled = False
    world.remediator.drivers["worker"].die()
    await world.see(Status.DOWN)
    incident = store.incidents()[0]
    store.claim_attempt(Attempt(incident.id, 1, "worker", "restart", "x", clock.utcnow()))
    world.start()
    await world.manage(FakeDriver())
    assert store.attempts()[0].outcome == "unknown"
    for _ in range(3):
        await world.see(Status.DOWN)
    assert [attempt.n for attempt in store.attempts()][:2] == [1, 2]


async def test_attempts_of_a_long_incident_still_count(world, store, clock):
    """An incident that is open for days does not forget what was spent in it."""
    await test_three_attempts_then_exhausted_once(world, store)
    incident = world.pipeline.incidents["worker"]
    await world.pipeline.change_incident(replace(incident, exhausted=False))
    clock.now += timedelta(days=3).total_seconds()
    world.start()
    driver = await world.manage(FakeDriver(starts=False))
    for _ in range(5):
        await world.see(Status.DOWN)
    assert "start" not in driver.acts


async def test_a_journal_that_can_not_be_written_stops_the_act(world, store, monkeypatch):
    """The row is the fence: without it nothing is done."""
    driver = await world.manage(FakeDriver())
    driver.die()

    def failing(_attempt):
        raise StateError("disk full")

    monkeypatch.setattr(store, "claim_attempt", failing)
    before = list(driver.acts)
    for _ in range(5):
        await world.see(Status.DOWN)
    assert driver.acts == before


async def test_a_claim_of_somebody_else_stops_the_act(world, store, monkeypatch):
    """The number is taken: it is counted as spent and not done twice."""
    driver = await world.manage(FakeDriver())
    driver.die()
    monkeypatch.setattr(store, "claim_attempt", lambda _attempt: False)
    before = list(driver.acts)
    await world.see(Status.DOWN)
    assert driver.acts == before


async def test_a_state_that_can_not_be_written_means_observing(world):
    """While changes wait for the disk, nothing is done."""
    driver = await world.manage(FakeDriver())
    driver.die()
    world.recorder.writable = False
    world.recorder._flush = lambda: None
    before = list(driver.acts)
    await world.see(Status.DOWN)
    assert (driver.acts, world.reason) == (before, Reason.JOURNAL_LOST)


async def test_the_kill_switch(world, tmp_path):
    """A HALT file stops everything at once; taking it away lets go."""
    driver = await world.manage(FakeDriver())
    driver.die()
    (tmp_path / "HALT").write_text("")
    before = list(driver.acts)
    await world.see(Status.DOWN)
    assert (driver.acts, world.reason) == (before, Reason.HALTED)
    (tmp_path / "HALT").unlink()
    await world.see(Status.DOWN)
    assert driver.acts[-1] == "start"


async def test_the_kill_switch_between_intent_and_act(world, store, tmp_path):
    """Halted after the claim: spent, failed, not done."""
    driver = await world.manage(FakeDriver())
    driver.die()
    plain = store.claim_attempt

    def claim(attempt):
        (tmp_path / "HALT").write_text("")
        return plain(attempt)

    store.claim_attempt = claim
    before = list(driver.acts)
    await world.see(Status.DOWN)
    assert driver.acts == before
    (attempt,) = store.attempts()
    assert (attempt.outcome, attempt.detail) == ("failed", "halted between intent and act")


async def test_an_unreadable_kill_switch_counts_as_halted(world, tmp_path):
    """Only a certain "no such file" means go."""
    (tmp_path / "file").write_text("")
    world.remediator.halt_file = tmp_path / "file" / "HALT"
    assert world.remediator.is_halted()
    world.remediator.halt_file = tmp_path / "HALT"
    assert not world.remediator.is_halted()


async def test_observe_mode(world):
    """Would restart, and says so."""
    world.remediator.actions_enabled = False
    driver = await world.manage(FakeDriver())
    driver.die()
    before = list(driver.acts)
    await world.see(Status.DOWN)
    assert (driver.acts, world.reason) == (before, Reason.OBSERVE)


async def test_a_lost_journal_counts_as_a_spent_budget(world, clock):
    """No attempt until an operator resets."""
    world.remediator.journal_lost = clock.utcnow()
    driver = await world.manage(FakeDriver(adoptable=True))
    driver.die()
    for _ in range(3):
        await world.see(Status.DOWN)
    assert (driver.acts, world.reason) == (["adopt"], Reason.JOURNAL_LOST)
    clock.now += 1
    await world.remediator.reset("worker", "looked at it")
    for _ in range(2):
        await world.see(Status.DOWN)
    assert driver.acts[-1] == "start"
