"""Faults D5, E1, E2, F1–F4, F8, F14, F15 of the catalogue, and for each guard a proof that it is
what holds.

The clock is moved by hand; processes, store and journal are real.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Check, HealthPolicy
from sentinel.core.order import Answer, Order
from sentinel.core.remediation import restart as core
from sentinel.core.remediation.brake import ActionLimits
from sentinel.core.remediation.restart import Reason
from sentinel.engine.aside import Aside
from sentinel.engine.clock import SteadyClock
from sentinel.engine.incidents import Incidents
from sentinel.errors import ActionRefused, StateError
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.remediation import Outcome
from sentinel.store import Changes
from sentinel.store.folder import lock_state, prepare_folder
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import POLICY, House, open_house, settle
from tests.unit.engine.notices import make_dispatcher


@pytest.fixture
def clock() -> Clock:
    """A clock in the hands of the test."""
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    """Fresh metrics."""
    return Metrics()


@pytest.fixture
def store(tmp_path: Path):
    """An empty store."""
    made = SqliteStore(tmp_path, owner=True)
    yield made
    made.close()


@pytest.fixture
async def house(tmp_path, store, clock, metrics) -> AsyncIterator[House]:
    """The house, with its worker running."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        yield made


async def die_again(house: House) -> None:
    """The worker dies; its dependency is fine; a quarter of a minute passes."""
    if house.driver.pid is not None:
        await house.kill()
    house.clock.now += 15
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()


async def test_f1_dies_at_once_each_time(house: House) -> None:
    """As many attempts as the cap allows, exhausted, one escalation, however long it goes on."""
    for _ in range(12):
        await die_again(house)
    assert [a.verdict for a in house.store.attempts()] == ["failed"] * POLICY.max_attempts
    assert [key for key in house.store.order_keys("notify") if key.endswith("/exhausted")] != []
    assert sum(key.endswith("/exhausted") for key in house.store.order_keys("notify")) == 1


async def test_f2_fine_for_a_minute_then_dies_for_ever(house: House, monkeypatch) -> None:
    """Each life looks like a recovery and ends the incident: the hourly budget stops it all the
    same.
    """
    # The clock jumps, and that is no pause of our own here.
    monkeypatch.setattr(Incidents, "_blind_seconds", lambda *_args: 0.0)
    hourly = house.picture.components["worker"].restart.per_hour
    lives = 0
    began = house.clock.now
    while house.clock.now - began < 3500:
        await die_again(house)
        lives += 1
        for _ in range(5):
            if house.driver.pid is not None:
                house.clock.now += POLICY.close_after / 4
                await house.see("worker.process", Status.UP)
                await house.consider()
    assert lives > hourly
    assert len(house.store.attempts()) == hourly
    assert house.picture.incidents["worker"].exhausted


@pytest.mark.parametrize("status", [Status.DOWN, Status.DEGRADED, Status.UNKNOWN])
async def test_f3_f4_a_dependency_that_is_not_healthy(house: House, status: Status) -> None:
    """Down or unknown for hours: no attempt, nothing given up; when it is back there is the full
    budget.
    """
    await house.kill()
    for _ in range(50):
        house.clock.now += 300
        await house.see("bus-server", status)
        await house.see("worker.process", Status.DOWN)
        await house.consider()
    assert house.reason is Reason.BLOCKED
    assert house.store.attempts() == []
    assert not house.picture.incidents["worker"].exhausted
    house.clock.now += 1
    await house.see("bus-server", Status.UP)
    house.clock.now += POLICY.startup_grace
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_f8_the_command_says_yes_and_it_is_still_down(house: House) -> None:
    """An action that ends well is no recovery: the check decides, and the attempt has failed."""
    at_once = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
    plain = Kind("plain", "", Options, None, ())
    house.picture.add_check(
        Check("worker-answers", "plain", "worker", 2.0, 5.0, None, health=at_once), plain, None
    )
    house.clock.now += POLICY.startup_grace
    await house.see("worker.process", Status.UP)
    await house.see("worker-answers", Status.DOWN)
    await settle(house)
    await house.consider()
    assert [a.outcome for a in house.store.attempts()] == ["done"]
    house.clock.now += POLICY.startup_grace
    await house.see("worker.process", Status.UP)
    await house.see("worker-answers", Status.DOWN)
    await house.consider()
    first = house.store.attempts()[0]
    assert (first.outcome, first.verdict) == ("done", "failed")
    assert "not healthy within 30 s" in " ".join(
        entry.text for entry in house.store.timeline(first.incident)
    )


async def test_f14_operator_and_automation_together(house: House) -> None:
    """While one of them acts the other is refused; no two copies, no lost row."""
    plain, running, at_once = house.driver.restart, [0], []

    async def slow(key: str = "") -> Outcome:
        running[0] += 1
        at_once.append(running[0])
        await asyncio.sleep(0.05)
        outcome = await plain(key)
        running[0] -= 1
        return outcome

    house.driver.restart = slow
    await house.kill()
    await settle(house)
    house.remediator.consider()
    await asyncio.sleep(0)
    answer = await house.requests.restart("worker", "by hand")
    assert answer.line.startswith("refused: one action at a time")
    await house.until(lambda: not house.remediator._tasks)
    by_hand = asyncio.create_task(house.requests.restart("worker", "by hand"))
    await asyncio.sleep(0)
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    house.remediator.consider()
    assert (await by_hand).is_done
    await house.until(lambda: not house.remediator._tasks)
    assert max(at_once) == 1
    assert [a.by for a in house.store.attempts()] == ["sentinel", "operator"]


async def test_f15_the_same_request_twice(house: House, metrics: Metrics) -> None:
    """One key is one restart: put twice, taken twice, done once."""
    aside = Aside()

    async def restart(order: Order) -> Answer:
        return await house.requests.restart(order.subject, "x")

    actions = {"restart": aside.wrap(restart)}
    dispatcher = make_dispatcher(
        house.store, house.recorder, metrics, house.clock, actions, house.picture
    )
    order = Order("restart", "restart/worker/1", "worker", {})
    assert house.store.add_order(order, datetime.now(UTC))
    assert not house.store.add_order(order, datetime.now(UTC))
    while house.store.order_outcome(order.key) is None:
        await asyncio.gather(dispatcher.drain(), dispatcher.drain())
        await asyncio.sleep(0.01)
    assert not house.store.add_order(order, datetime.now(UTC))
    await dispatcher.drain()
    assert len(house.store.attempts()) == 1


async def test_d5_the_end_of_sentinel_in_the_middle_of_an_action(
    tmp_path, store, clock, metrics
) -> None:
    """The row is spent, its outcome unknown; the next sentinel goes on with the next number and
    keeps the cap.
    """
    house = House(tmp_path, store, clock, metrics)
    await house.open("first")
    await house.kill()
    await settle(house)

    async def never_ends(_key: str = "") -> Outcome:
        await asyncio.sleep(3600)
        raise AssertionError

    house.driver.restart = never_ends
    house.remediator.consider()
    await house.until(lambda: len(store.attempts()) == 1)
    await house.remediator.close()
    house.recorder.close()
    assert store.attempts()[0].outcome == ""

    other = House(tmp_path, store, clock, metrics)
    for incident in store.incidents(open_only=True):
        other.picture.incidents[incident.component] = incident
    async with open_house(other):
        assert [a.outcome for a in store.attempts()] == ["unknown"]
        for _ in range(8):
            await die_again(other)
    per_incident = [len(store.attempts(incident=incident.id)) for incident in store.incidents()]
    assert max(per_incident) <= POLICY.max_attempts
    assert sorted({a.n for a in store.attempts()}) == [1, 2]


async def test_e1_the_disk_of_the_state_is_full(house: House) -> None:
    """What can't be journaled is not done; when there is room again, it is."""
    for connection in house.store.database.connections:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    text = "x" * 100_000
    await house.recorder.record(Changes(meta={"filler": text}))
    assert not house.recorder.writable
    await house.kill()
    await settle(house)
    for _ in range(3):
        await house.consider()
    assert house.reason is Reason.JOURNAL_UNWRITABLE
    assert house.driver.pid is None
    for connection in house.store.database.connections:
        connection.execute("PRAGMA max_page_count = 1000000")
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert house.store.meta("filler") == text  # nothing that was to be remembered is lost
    assert [a.outcome for a in house.store.attempts()] == ["done"]


async def test_e1_the_journal_alone_refuses(house: House, monkeypatch) -> None:
    """The claim fails although results can still be written: not done, and said."""
    plain = house.store.claim_attempt

    def refuse(*_args: object) -> None:
        raise StateError("disk I/O error")

    monkeypatch.setattr(house.store, "claim_attempt", refuse)
    await house.kill()
    await settle(house)
    await house.consider()
    await house.consider()
    assert house.driver.pid is None
    assert house.reason is Reason.JOURNAL_UNWRITABLE
    monkeypatch.setattr(house.store, "claim_attempt", plain)
    house.remediator.journal.writable = True  # the daemon's tick could write again
    await house.consider()
    assert len(house.store.attempts()) == 1


def test_e2_a_state_folder_that_others_may_write(tmp_path: Path) -> None:
    """0777 is refused, and so is what can't be written at all."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(StateError, match="world-writable"):
        prepare_folder(open_to_all)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StateError, match="can't be written"):
        prepare_folder(file / "state")


def test_d7_the_clock_of_the_daemon(clock: Clock) -> None:
    """A step is taken over when the caller settles, and not before; moments never go back."""
    base = datetime(2026, 1, 5, 12, tzinfo=UTC)
    shift, uptime = [0.0], [100.0]
    steady = SteadyClock(
        lambda: base + timedelta(seconds=uptime[0] + shift[0]), lambda: uptime[0], "boot"
    )
    before = steady.moment()
    for jump in (86400.0, -3600.0):
        shift[0], uptime[0] = shift[0] + jump, uptime[0] + 10
        assert steady.moment().seconds_since(before) == pytest.approx(10)
        assert (steady.utcnow() - before.at).total_seconds() == pytest.approx(10)
        assert steady.step() == pytest.approx(jump)
        steady.settle()
        assert steady.step() == pytest.approx(0)
        before = steady.moment()


async def _f5(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    """Ten of ten down: how many were acted upon."""
    async with open_house(House(folder, store, clock, metrics, workers=10)) as house:
        for name in house.drivers:
            await house.kill(name)
        await settle(house)
        for _ in range(3):
            await house.consider()
        return len(store.attempts())


async def _dependency_down(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    async with open_house(House(folder, store, clock, metrics)) as house:
        await house.kill()
        house.clock.now += 0.01
        await house.see("bus-server", Status.DOWN)
        await house.consider()
        return len(store.attempts())


async def _halted(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    async with open_house(House(folder, store, clock, metrics)) as house:
        (folder / "HALT").touch()
        await house.kill()
        await settle(house)
        await house.consider()
        return len(store.attempts())


async def _budget(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    async with open_house(House(folder, store, clock, metrics)) as house:
        for _ in range(8):
            await die_again(house)
        return max(len(store.attempts()) - POLICY.max_attempts, 0)


async def _limited(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    limits = ActionLimits(per_window=1, group_share=1.0)
    async with open_house(House(folder, store, clock, metrics, workers=4, limits=limits)) as house:
        for name in ("worker-0", "worker-1"):
            await house.kill(name)
        await settle(house)
        for _ in range(3):
            await house.consider()
        return len(store.attempts()) - 1


async def _backoff(folder: Path, store: SqliteStore, clock: Clock, metrics: Metrics) -> int:
    async with open_house(House(folder, store, clock, metrics)) as house:
        for _ in range(2):
            await house.kill()
            await settle(house)
            await house.consider()
            await house.until(lambda: not house.remediator._tasks)
            if house.driver.pid is None:
                break
        return len(store.attempts()) - 1


def _without_mass_brake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.engine.automation.find_brakes", lambda *_: [])


def _without(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(core, name, lambda *_args: None)


def _without_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core and the ledger both keep the cap: only without both it is exceeded."""
    monkeypatch.setattr(core, "_budget", lambda *_args: None)
    monkeypatch.setattr("sentinel.store.sqlite.find_refusal", lambda *_args: "")


def _without_halt(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = "sentinel.engine.automation.Automation.is_halted"
    monkeypatch.setattr(switch, lambda _self, **_how: False)


def _without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.engine.automation.find_limit", lambda *_args: None)


GUARDS = {
    "mass-failure brake": (_f5, _without_mass_brake),
    "dependencies": (_dependency_down, _without("_blocked")),
    "kill switch": (_halted, _without_halt),
    "budget": (_budget, _without_budget),
    "limit": (_limited, _without_limit),
    "backoff": (_backoff, _without("_backoff")),
}


@pytest.mark.parametrize(("fault", "_remove"), GUARDS.values(), ids=GUARDS)
async def test_with_its_guard_nothing_is_done(
    tmp_path, store, clock, metrics, fault, _remove
) -> None:
    """The fault alone: no action more than allowed."""
    assert await fault(tmp_path, store, clock, metrics) == 0


@pytest.mark.parametrize(("fault", "remove"), GUARDS.values(), ids=GUARDS)
async def test_without_its_guard_something_is_done(
    tmp_path, store, clock, metrics, monkeypatch, fault, remove
) -> None:
    """The mutation: the same fault with the guard taken out. So it is this guard that holds."""
    remove(monkeypatch)
    assert await fault(tmp_path, store, clock, metrics) > 0


def test_two_daemons_on_one_state_folder(tmp_path: Path) -> None:
    """D12: the second one is refused by the lock of the folder, and says who is there."""
    descriptor = lock_state(tmp_path)
    with pytest.raises(ActionRefused, match="another sentinel runs"):
        lock_state(tmp_path)
    os.close(descriptor)
    os.close(lock_state(tmp_path))
