"""Who needs something that starts slowly is judged by what is seen once that is healthy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.model import Check, Component, Finding, HealthPolicy, Result
from sentinel.core.quantity import Bounds
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import AT_ONCE, POLICY, House, open_house

SLOWLY = HealthPolicy(failures=2, of=3, recoveries=2, recovery_time=10.0)
FAULTS = (
    FaultKind("unreachable", Severity.PAGE, "x", "nobody answers"),
    FaultKind("leak", Severity.PAGE, "x", "rows of others are seen", certain=True),
    FaultKind("lost", Severity.PAGE, "x", "rows are gone", lasting="lost unread"),
)
DEPENDANTS = 200


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock: Clock, metrics: Metrics
) -> AsyncIterator[House]:
    """The worker was started just now and answers later; `tenants` need it."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        add(made, "tenants")
        plain = Kind("plain", "", Options, made.engine.kinds["supervision"].run, ())
        answers = Check("worker-answers", "plain", "worker", 2.0, 5.0, None, health=AT_ONCE)
        made.picture.add_check(answers, plain, None)
        await made.requests.restart("worker", "release")
        await wait(made)
        await made.see("worker.process", Status.UP)
        await made.see("worker-answers", Status.DOWN)
        yield made


def add(house: House, name: str) -> None:
    """A component that needs the worker, with a check that may find a leak."""
    kind = Kind("tenants", "", Options, house.engine.kinds["supervision"].run, (), FAULTS)
    house.picture.add_component(Component(name, depends_on=("worker",), restart=POLICY), None)
    check = Check(f"{name}-rows", "tenants", name, 5.0, 5.0, None, health=SLOWLY)
    house.picture.add_check(check, kind, None)


async def wait(house: House, seconds: float = 1.0) -> None:
    house.clock.now += seconds
    house.guard._last = house.clock.now  # the clock is moved, nobody was paused


async def look(house: House, key: str = "", *, ago: float = 0.0, name: str = "tenants") -> None:
    """One look that began some seconds ago and ends now."""
    finding = Finding(Status.UP, "fine")
    if key:
        fault = Fault(key, {}, Status.DOWN, key, count=Bounds(7, 7) if key == "lost" else None)
        finding = Finding(Status.DOWN, f"api: {key}", faults=[fault])
    at = house.clock.utcnow()
    began = Result(f"{name}-rows", finding, at, ago, "0" * 32)
    if ago:
        house.clock.now -= ago
        began = replace(began, started=house.clock.utcnow())
        house.clock.now += ago
    await house.pipeline.take(began)


async def become_healthy(house: House) -> None:
    await wait(house)
    await house.see("worker-answers", Status.UP)
    assert not house.circumstances._starts("worker")


def opened(house: House) -> list[str]:
    return [incident.component for incident in house.store.incidents()]


async def test_a_look_from_before_is_no_failure(house: House) -> None:
    """It ends 20 ms after the dependency has become healthy, and began before; the next is good."""
    await look(house, "unreachable")
    await become_healthy(house)
    await wait(house, 0.02)
    await look(house, "unreachable", ago=0.5)
    assert house.picture.present["tenants"] is Status.DOWN
    assert opened(house) == []
    for _ in range(3):  # it is believed to be down until it was good for long
        await wait(house, 5)
        await look(house)
        assert opened(house) == []
    assert house.picture.present["tenants"] is Status.UP


async def test_the_first_look_after_it_decides(house: House) -> None:
    """Bad still: at most one interval later than without the wait."""
    for _ in range(2):
        await look(house, "unreachable")
    await become_healthy(house)
    await wait(house, 0.02)
    await look(house, "unreachable")
    assert opened(house) == ["tenants"]


async def test_what_one_look_proves_waits_for_none(house: House) -> None:
    """No slow start makes a leak."""
    await become_healthy(house)
    await wait(house, 0.02)
    await look(house, "leak", ago=0.5)
    assert opened(house) == ["tenants"]


async def test_what_was_lost_waits_for_none(house: House) -> None:
    """Nothing that becomes healthy brings it back, and the look itself says up of now."""
    await become_healthy(house)
    await wait(house, 0.02)
    await look(house, "lost", ago=0.5)
    assert house.picture.present["tenants"] is not Status.DOWN
    assert opened(house) == ["tenants"]


async def test_a_grace_that_ends_without_health_releases_at_once(house: House) -> None:
    """What it needs does not come up: nothing better is to be seen soon."""
    await wait(house, POLICY.startup_grace)
    await house.see("worker-answers", Status.DOWN)
    await look(house, "unreachable", ago=0.5)
    await look(house, "unreachable", ago=0.5)
    assert set(opened(house)) == {"tenants", "worker"}


async def test_each_start_has_its_own_first_health(house: House) -> None:
    """Healthy, not so again, healthy: what was seen between the two says nothing either."""
    await become_healthy(house)
    await wait(house)
    await house.see("worker-answers", Status.DOWN)
    for _ in range(2):
        await look(house, "unreachable")
    await become_healthy(house)
    await wait(house, 0.02)
    await look(house, "unreachable", ago=0.5)
    assert opened(house) == []
    await house.requests.restart("worker", "once more")
    await wait(house)
    for _ in range(2):
        await look(house, "unreachable")
    await house.see("worker.process", Status.UP)
    await house.see("worker-answers", Status.UP)
    await wait(house, 0.02)
    await look(house, "unreachable", ago=0.5)
    assert opened(house) == []


async def test_a_recovery_releases_no_storm(house: House) -> None:
    """Two hundred that saw the slow start: none of them is an incident, and no page is written."""
    names = [f"tenants-{n}" for n in range(DEPENDANTS)]
    for name in names:
        add(house, name)
        await look(house, "unreachable", name=name)
        await look(house, "unreachable", name=name)
    await become_healthy(house)
    await wait(house, 0.02)
    for name in names:
        await look(house, "unreachable", ago=0.5, name=name)
    await wait(house, 5)
    for name in names:
        await look(house, name=name)
    assert opened(house) == []
