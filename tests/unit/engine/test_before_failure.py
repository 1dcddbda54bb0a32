"""A component that was degraded is killed and restarted: the restart answers for the failure, and
the degradation stays an incident of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Check, Incident, IncidentState
from sentinel.core.remediation.breaker import BreakerPolicy
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import AT_ONCE, POLICY, House, open_house, settle


async def look(house: House, load: Status = Status.DEGRADED, *, seconds: float = 1.0) -> None:
    """One look of every check; the worker lives, its load is as it is."""
    house.clock.now += seconds
    house.guard._last = house.clock.now  # the clock is moved, nobody was paused
    await house.see("bus-server", Status.UP)
    await house.see("worker.process", Status.UP)
    await house.see("worker-load", load)
    await house.consider()


def add_load(house: House, name: str = "worker-load") -> None:
    plain = Kind("plain", "", Options, house.engine.kinds["supervision"].run, ())
    check = Check(name, "plain", "worker", 2.0, 5.0, None, health=AT_ONCE)
    house.picture.add_check(check, plain, None)


@pytest.fixture
async def house(tmp_path: Path, store: SqliteStore, clock: Clock, metrics: Metrics):
    """With a worker whose load is checked, too; two attempts that do not help open the breaker."""
    breaker = BreakerPolicy(last_attempts=2, success_share=1.0)
    async with open_house(House(tmp_path, store, clock, metrics, breaker=breaker)) as made:
        add_load(made)
        yield made


async def be(house: House, load: Status, looks: int = 40) -> None:
    for _ in range(looks):
        await look(house, load)


async def fail(house: House, load: Status = Status.DEGRADED) -> None:
    """Killed, restarted, and what the checks see for a while."""
    await house.kill()
    await house.see("worker-load", Status.DOWN)
    await settle(house)
    house.clock.now += 30
    await house.see("worker.process", Status.DOWN)
    await house.see("bus-server", Status.UP)
    await house.consider()
    await be(house, load, 10)


def verdicts(house: House) -> list[str]:
    return [attempt.verdict for attempt in house.store.attempts()]


def incidents(house: House) -> list[tuple[str, str, str]]:
    """Oldest first: state, worst status, what came before."""
    found: list[Incident] = list(reversed(house.store.incidents()))
    return [
        (each.state.value, (each.worst or each.status).value, each.before.get("worker-load", ""))
        for each in found
    ]


async def test_every_restart_of_a_degraded_component_helped(house: House) -> None:
    """Back to degraded is back to before: no failed attempt, no breaker, nobody is given up."""
    await be(house, Status.DEGRADED)
    assert incidents(house) == [("open", "degraded", "")]
    for _ in range(2):
        await fail(house)
    assert verdicts(house) == ["recovered", "recovered"]
    assert house.automation.breaker.opened is None
    assert incidents(house) == [("open", "degraded", ""), ("recovering", "down", "degraded")]
    assert not any(each.exhausted for each in house.store.incidents())
    failure = house.store.incidents()[0]
    texts = [entry.text for entry in house.store.timeline(failure.id)]
    assert any("as before the failure (degraded then: worker-load)" in text for text in texts)
    assert not any("is healthy" in text for text in texts)


async def test_the_degradation_outlives_the_failure_and_ends_by_itself(house: House) -> None:
    """The failure is closed after its time; then the degradation is the incident, until it ends."""
    await be(house, Status.DEGRADED)
    old = house.picture.incidents["worker"].id
    await fail(house)
    for _ in range(10):
        await look(house, seconds=POLICY.close_after / 8)
    assert incidents(house) == [("open", "degraded", ""), ("closed", "down", "degraded")]
    assert house.picture.incidents["worker"].id == old
    assert house.picture.beneath == {}
    for _ in range(10):
        await look(house, Status.UP, seconds=POLICY.close_after / 8)
    assert [state for state, *_ in incidents(house)] == ["closed", "closed"]
    told = {order.key.split("/")[1] for order in house.store.take_orders()}
    assert told == {"opened", "recovered", "closed"}


async def test_a_component_that_comes_back_worse_was_not_helped(house: House) -> None:
    """It was up; it comes back degraded: that is no success."""
    await be(house, Status.UP)
    await fail(house, Status.DEGRADED)
    house.clock.now += POLICY.startup_grace
    await look(house)
    assert verdicts(house) == ["failed"]


async def test_what_was_degraded_for_a_moment_is_the_beginning_of_the_failure(house: House) -> None:
    """One incident, which is over when the component is up."""
    await be(house, Status.UP)
    await look(house, Status.DEGRADED)
    await fail(house, Status.UP)
    assert incidents(house) == [("recovering", "down", "up")]
    assert verdicts(house) == ["recovered"]


async def test_a_check_that_a_reload_has_added_meanwhile(house: House) -> None:
    """Nobody knows how it was before: degraded does not count against the restart, down does."""
    await be(house, Status.UP)
    await house.kill()
    await settle(house)
    add_load(house, "worker-new")
    await house.see("worker-new", Status.DEGRADED)
    house.clock.now += 30
    await house.see("worker.process", Status.DOWN)
    await house.see("bus-server", Status.UP)
    await house.consider()
    for _ in range(10):
        await house.see("worker-new", Status.DEGRADED)
        await look(house, Status.UP)
    assert verdicts(house) == ["recovered"]


async def test_a_check_that_a_reload_has_added_while_it_was_degraded(house: House) -> None:
    """The incident is open, the newcomer has said little, and then it goes down: whether the failure
    or what was before degraded the newcomer, nobody knows.
    """
    await be(house, Status.DEGRADED)
    add_load(house, "worker-new")
    await house.see("worker-new", Status.DEGRADED)
    await fail(house)
    young = house.picture.incidents["worker"]
    assert young.before == {"worker.process": Status.UP, "worker-load": Status.DEGRADED}
    for _ in range(10):
        await house.see("worker-new", Status.DEGRADED)
        await look(house)
    assert verdicts(house) == ["recovered"]


async def test_what_was_before_outlives_sentinel(
    house: House, tmp_path: Path, store: SqliteStore, clock: Clock, metrics: Metrics
) -> None:
    """The next sentinel knows how each check was, and both incidents."""
    await be(house, Status.DEGRADED)
    await house.kill()
    await house.see("worker-load", Status.DOWN)
    young, old = store.incidents(open_only=True)
    assert young.before == {"worker.process": Status.UP, "worker-load": Status.DEGRADED}
    assert store.healths()["worker-load"].steady is Status.DEGRADED
    other = House(tmp_path, store, clock, metrics)
    other.picture.add_component(other.worker, young, old)
    assert other.picture.incidents["worker"].before == young.before
    assert all(isinstance(status, Status) for status in young.before.values())
    assert other.picture.beneath["worker"].state is IncidentState.OPEN


async def test_a_second_degradation_goes_on_as_the_older_incident(house: House) -> None:
    """It came with the first failure and stayed: the next failure does not answer for it, either,
    and there are never more than two.
    """
    await be(house, Status.DEGRADED)
    old = house.picture.incidents["worker"].id
    await fail(house)
    add_load(house, "worker-memory")
    for status in (Status.UP, Status.DEGRADED):
        for _ in range(8):
            await house.see("worker-memory", status)
            await look(house)
    second = house.picture.incidents["worker"]
    assert (second.state, second.status) == (IncidentState.RECOVERING, Status.DOWN)
    await house.kill()
    await house.see("worker-memory", Status.DOWN)
    assert house.picture.incidents["worker"].id == second.id  # it is the same failure again
    assert house.picture.beneath["worker"].id == old


async def test_a_failure_that_left_a_degradation_is_not_the_next_failure(house: House) -> None:
    """It was up before the first one, and came back degraded: the second is measured by that."""
    await be(house, Status.UP)
    await fail(house, Status.DEGRADED)
    house.clock.now += POLICY.startup_grace
    await be(house, Status.DEGRADED, 10)
    first = house.picture.incidents["worker"]
    assert (first.state, first.status) == (IncidentState.OPEN, Status.DEGRADED)
    await fail(house, Status.DEGRADED)
    assert verdicts(house) == ["failed", "recovered"]
    assert incidents(house) == [("open", "down", "up"), ("recovering", "down", "degraded")]


async def test_a_reset_ends_the_failure_only(house: House) -> None:
    """The budget is full again; the degradation is as it was."""
    await be(house, Status.DEGRADED)
    old = house.picture.incidents["worker"].id
    await fail(house)
    assert (await house.requests.reset("worker", "x")).is_done
    assert house.picture.incidents["worker"].id == old
    await house.engine.incidents.close_all("worker", "gone")
    assert house.picture.incidents == {}


async def test_a_degraded_component_that_a_person_restarts_has_not_failed(house: House) -> None:
    """In its start-up grace only its own death counts; what is down after that is a failure."""
    await be(house, Status.DEGRADED)
    before = house.picture.incidents["worker"]
    assert (await house.requests.restart("worker", "x")).is_done
    house.clock.now += 5
    await house.see("worker-load", Status.DOWN)
    assert house.picture.incidents["worker"] == before
    assert house.picture.beneath == {}
    house.clock.now += POLICY.startup_grace
    await house.see("worker-load", Status.DOWN)
    assert house.picture.incidents["worker"].status is Status.DOWN
    assert house.picture.beneath["worker"].id == before.id
