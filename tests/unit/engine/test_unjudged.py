"""What sentinel itself does not let run is not down, and is no failure to recover from."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.model import Check, Finding, HealthPolicy, Row
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import House, open_house

GONE = Fault("gone", {}, Status.DOWN, "nobody answers")


@pytest.fixture
async def house(tmp_path: Path, store: SqliteStore, clock: Clock, metrics: Metrics):
    """With a worker that a check asks, which is never answered."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:

        async def run(_options: object, _context: object) -> Finding:
            return Finding(Status.DOWN, "nobody answers", [Row({}, {"n": 1.0})], faults=[GONE])

        declared = FaultKind("gone", Severity.PAGE, "gone", "")
        kind = made.engine.kinds["asked"] = Kind("asked", "", Options, run, (), (declared,))
        made.picture.add_check(CHECK, kind, None)
        yield made


CHECK = Check("worker-asked", "asked", "worker", 2.0, 5.0, None, health=HealthPolicy())


async def ask(house: House, times: int = 1) -> Finding:
    for _ in range(times):
        house.clock.now += 2
        await house.engine.turn.run(CHECK)
    watched = house.picture.check("worker-asked")
    assert watched is not None
    assert watched.finding is not None
    return watched.finding


async def test_who_runs_is_judged(house: House) -> None:
    """It should answer, and does not."""
    assert (await ask(house)).status is Status.DOWN


async def test_who_was_stopped_or_waits_is_not(house: House) -> None:
    """Unknown, with the reason; what was measured is kept, and no fault is told of it."""
    await house.requests.stop("worker", "x")
    finding = await ask(house, 4)
    assert (finding.status, finding.detail) == (Status.UNKNOWN, "not judged: stopped on request")
    assert [dict(row.values) for row in finding.rows] == [{"n": 1.0}]
    assert finding.faults == ()
    house.remediator.start_when_ready("worker")
    finding = await ask(house)
    assert finding.detail == "not judged: waits for bus, which is unknown"
    assert house.picture.check("worker-asked").health.status is Status.UNKNOWN


async def test_after_a_start_the_first_look_counts(house: House) -> None:
    """It was down for long, and was then stopped and started: nothing of that is to recover from."""
    await ask(house, 5)
    watched = house.picture.check("worker-asked")
    assert watched is not None
    assert watched.health.status is Status.DOWN
    await house.requests.stop("worker", "x")
    await house.requests.start("worker", "x")
    assert watched.health.status is Status.UNKNOWN
    house.clock.now += 2
    await house.see("worker-asked", Status.UP)
    assert watched.health.status is Status.UP


async def test_a_start_that_failed_changes_no_belief(house: House) -> None:
    """Nothing new lives of which the past would say nothing."""
    await ask(house, 5)
    await house.requests.stop("worker", "x")
    house.driver._options = house.driver._options.model_copy(update={"command": ["/no/such"]})
    await house.requests.start("worker", "x")
    watched = house.picture.check("worker-asked")
    assert watched is not None
    assert watched.health.status is Status.DOWN
