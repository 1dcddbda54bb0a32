"""What was lost for good, from a look to people: it stands, and keeps nobody from being repaired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentinel.core.fault import Acceptance, Fault, Status
from sentinel.core.model import Finding, HealthPolicy, Incident, IncidentState, Quality, Result
from sentinel.core.quantity import Bounds
from sentinel.core.remediation.restart import Reason
from sentinel.engine.runner import _blind
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.house import House, open_house, settle
from tests.unit.engine.test_pipeline import World, kind

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
STREAM = {"stream": "orders"}


@pytest.fixture
def world(store, metrics, clock):
    """Three components with a check each; each check may find something lost."""
    made = World(store, metrics, clock)
    yield made
    made.recorder.close()


def lost(count: int = 25, status: Status = DEGRADED) -> Fault:
    return Fault("lost", STREAM, status, f"{count} lost", count=Bounds(count, count))


async def lose(world: World, name: str = "bus", status: Status = DEGRADED, **facts) -> None:
    """A look that finds 25 entries lost."""
    await world.see(name, status, "25 lost; in all: 99 %", faults=(lost(status=status),), **facts)


async def accept(world: World, expects: str = "25 of 1 subject") -> str:
    """Somebody accepts what the bus lost."""
    word = Acceptance("lost", {}, "a test", world.clock.utcnow(), "ops")
    answer = await world.engine.pipeline.accept("bus-check", word, expects)
    return answer.line


def status_of(world: World, name: str = "bus") -> tuple[str, str]:
    """What people read of the check and of the component."""
    checks = {view.component: view.status for view in world.store.checks()}
    components = {view.name: view.status for view in world.store.components()}
    return checks[name], components[name]


def incident_of(world: World, name: str = "bus") -> Incident:
    """The open one."""
    (found,) = [each for each in world.store.incidents(open_only=True) if each.component == name]
    return found


# -- it stands -------------------------------------------------------------------------------------


async def test_one_look_is_enough_and_time_mends_nothing(world):
    """Also where three bad looks of five are needed for anything else."""
    world.make(policy=HealthPolicy())
    await world.see("bus", UP)
    await lose(world, status=DOWN)
    for _ in range(20):
        await world.see("bus", UP, "in all: 99 %", seconds=600)
    assert status_of(world) == ("down", "down")
    (view,) = world.store.checks()
    assert view.soft == "down"
    assert view.detail.startswith("stream orders: 25 lost unread, found at ")
    assert view.detail.endswith("; in all: 99 %")
    assert view.faults == {"lost": 1}


async def test_health_and_uptime_are_of_now(world):
    """The looks that find nothing pass: what is past takes no uptime and flaps nothing."""
    await world.see("bus", UP)
    await lose(world)
    await world.see("bus", UP)
    watched = world.picture.check("bus-check")
    assert watched.health.passes == 3
    assert world.transitions() == [("bus", UNKNOWN, UP)]
    assert world.transitions("check")[-1] == ("bus-check", UP, DEGRADED)
    view = next(each for each in world.store.components() if each.name == "bus")
    assert (view.status, view.present) == ("degraded", "up")


async def test_it_survives_a_restart_of_sentinel(world):
    """What is stored is enough to go on."""
    await lose(world)
    standing = {"bus-check": tuple(world.store.faults("bus-check"))}
    incidents = world.store.incidents(open_only=True)
    world.make(incidents=incidents, standing=standing)
    await world.see("bus", UP)
    assert status_of(world) == ("degraded", "degraded")
    await lose(world)
    (fault,) = world.store.faults("bus-check")
    assert fault.fault.count == Bounds(50, 50)


async def test_a_blind_look_neither_ends_nor_forgets(world):
    """What a stalled run counted is counted all the same; nothing else of it is believed."""
    seen = Finding(DEGRADED, "x", faults=(lost(), Fault("broken", {}, DEGRADED, "x")))
    blind = _blind(kind(), seen, 5.0)
    assert [fault.key for fault in blind.faults] == ["lost"]
    await world.see("bus", UP)
    await world.see("bus", UNKNOWN, faults=blind.faults, quality=Quality.BLIND)
    assert world.picture.check("bus-check").verdict is UNKNOWN
    await world.see("bus", UP)
    assert status_of(world) == ("degraded", "degraded")


async def test_another_fault_is_not_hidden(world):
    """What is now comes first in every line; when it is over the loss is what is left."""
    await lose(world, status=DOWN)
    now = Fault("broken", {}, DEGRADED, "it does not work", guidance="mend it")
    await world.see("bus", DEGRADED, "it does not work", faults=(now,))
    view = world.store.checks()[0]
    assert (view.status, view.guidance) == ("down", "mend it")
    assert view.detail == "it does not work; and 1 more"
    assert incident_of(world).fault == "broken"
    await world.see("bus", UP)
    assert incident_of(world).fault == "lost"


# -- the incident ----------------------------------------------------------------------------------


async def test_its_incident_is_open_and_says_that_it_works(world):
    """Nothing recovers from a loss: it is not "recovering", and it is not closed by time."""
    await world.see("bus", UP)
    await lose(world)
    for _ in range(3):
        await world.see("bus", UP, seconds=700)
    incident = incident_of(world)
    assert (incident.state, incident.recovered) == (IncidentState.OPEN, None)
    assert incident.settled == incident.opened
    assert world.notified() == ["bus/opened"]
    view = next(each for each in world.store.components() if each.name == "bus")
    assert view.action.startswith("nothing to restart; accept what was lost")


async def test_a_failure_that_lost_something_settles(world):
    """Down, then healthy again: the timeline says that it works, and what still stands."""
    await world.see("bus", DOWN)
    await lose(world, status=DOWN)
    assert incident_of(world).settled is not None
    assert world.kinds(incident_of(world)) == ["opened", "settled"]
    assert world.notified() == ["bus/opened", "bus/settled"]
    await world.see("bus", DOWN)
    assert incident_of(world).settled is None


async def test_a_later_failure_is_an_incident_of_its_own(world):
    """After `close_after` of health: else the attempts of a week ago would be its budget."""
    await world.see("bus", UP)
    await lose(world)
    first = incident_of(world)
    await world.see("bus", DOWN, seconds=598)
    assert incident_of(world).id == first.id
    await world.see("bus", UP)
    for _ in range(7):
        await world.see("bus", UP, seconds=100)
    await world.see("bus", DOWN)
    assert incident_of(world).id != first.id
    assert world.kinds(first)[-1] == "closed"
    assert incident_of(world).fault == "broken"


async def test_what_needs_it_is_not_blocked(world):
    """A dependency that lost something works: it explains nothing that fails now."""
    await lose(world, status=DOWN)
    await world.see("orchestrator", DOWN)
    assert incident_of(world, "orchestrator").blocked_by == ""


async def test_blindness_is_no_relief(world):
    """A component that was down, and that nobody sees now, has not become better by what it lost."""
    world.make(policy=HealthPolicy(failures=1, of=1))
    await lose(world)
    await world.see("bus", DOWN)
    for _ in range(4):
        await world.see("bus", UNKNOWN)
    assert incident_of(world).status is DOWN
    assert world.kinds(incident_of(world)) == ["opened", "changed"]


# -- somebody accepts it ---------------------------------------------------------------------------


async def test_accepted_it_makes_nothing_bad(world):
    """The check is up, the incident heals, the timeline names who, and the list says why."""
    await world.see("bus", UP)
    await lose(world)
    for _ in range(7):
        await world.see("bus", UP, seconds=100)
    incident = incident_of(world)
    assert await accept(world) == "accepted: 25 of 1 subject"
    assert status_of(world) == ("up", "up")
    told = [entry.text for entry in world.store.timeline(incident.id)]
    assert any(" by ops: a test" in text for text in told)
    await world.see("bus", UP)
    assert world.store.incidents(open_only=True) == []
    view = world.store.checks()[0]
    assert (view.faults, view.accepted) == ({}, {"lost": 1})
    assert view.detail == "nothing but what is accepted; 1 accepted; as seen"
    await lose(world)
    assert world.store.checks()[0].faults == {"lost": 1}
    assert incident_of(world).id != incident.id


async def test_nothing_is_accepted_that_nobody_saw(world):
    """More was lost meanwhile, it is accepted already, or there is no such check: nothing is done."""
    await lose(world)
    await lose(world)
    assert "meanwhile it is 50 of 1 subject, it was 25 of 1 subject" in await accept(world)
    assert await accept(world, "50 of 1 subject") == "accepted: 50 of 1 subject"
    assert "nothing of bus-check is lost" in await accept(world, "50 of 1 subject")
    word = Acceptance("lost", {}, "a test", world.clock.utcnow(), "ops")
    answer = await world.engine.pipeline.accept("nowhere", word, "")
    assert answer.line == "unknown check nowhere"


# -- nobody restarts for it ------------------------------------------------------------------------


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock, metrics: Metrics
) -> AsyncIterator[House]:
    """A supervised worker whose second check may find something lost."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        check = World.check("worker", HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0))
        made.picture.add_check(check, kind(), None)
        yield made


async def look(house: House, *faults: Fault) -> None:
    """The worker's second check has seen this."""
    finding = Finding(max((f.status for f in faults), default=UP, key=lambda s: s.rank), "x")
    finding = Finding(finding.status, "x", faults=faults)
    await house.pipeline.take(Result("worker-check", finding, house.clock.utcnow(), 0.01, "0" * 32))


async def test_a_loss_spends_no_budget(house: House) -> None:
    """Down for what was lost alone: no restart would bring it back."""
    pid = house.driver.pid
    await look(house, lost(status=DOWN))
    for _ in range(5):
        house.clock.now += 20
        await house.see("bus-server", UP)
        await house.consider()
    assert house.picture.statuses["worker"] is DOWN
    assert house.reason is Reason.NOT_DOWN
    assert (house.driver.pid, house.store.attempts()) == (pid, [])


async def test_a_restart_that_helped_counts_as_one(house: House) -> None:
    """What was lost meanwhile does not make it a failure."""
    await house.kill()
    await look(house, lost(status=DOWN))
    await settle(house)
    await house.consider()
    for _ in range(4):
        house.clock.now += 2
        await house.see("worker.process", UP)
        await look(house)
        await house.consider()
    (attempt,) = house.store.attempts(component="worker")
    assert attempt.verdict == "recovered"
    assert house.picture.statuses["worker"] is DOWN
