"""What people ask for: refused in words before anything is done, noted afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.order import AnswerWord
from sentinel.core.remediation.breaker import Breaker
from sentinel.engine.requests import describe_budget, is_put_off
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import House, open_house


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock: Clock, metrics: Metrics
) -> AsyncIterator[House]:
    """The house, with its worker running."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        yield made


async def test_nobody_knows_it(house: House) -> None:
    """A reset of what is not there changes nothing; without a driver nothing can be done."""
    answer = await house.requests.reset("nobody", "x")
    assert (answer.word, answer.text) == (AnswerWord.UNKNOWN, "unknown component nobody")
    assert house.store.meta("reset/nobody") is None
    for ask in (house.requests.start, house.requests.stop, house.requests.restart):
        answer = await ask("bus", "x")
        assert answer.line == "refused: bus has no driver: sentinel only watches it"


async def test_an_action_that_is_not_configured(house: House) -> None:
    """The worker has no reload."""
    answer = await house.requests.reload("worker", "x")
    assert answer.line == (
        "refused: reload is not configured for worker: `sentinel kinds` has the keys of its driver"
    )


async def test_no_action_while_halted_or_fenced(house: House) -> None:
    """Not by a person either; nothing is noted as done."""
    house.automation.fence("another one leads")
    for ask in (house.requests.start, house.requests.stop):
        assert (await ask("worker", "x")).word is AnswerWord.REFUSED
    house.automation.fence("")
    house.automation.halted_by_signal = True
    assert (await house.requests.stop("worker", "x")).word is AnswerWord.REFUSED
    assert (await house.requests.restart("worker", "x")).word is AnswerWord.REFUSED
    assert house.driver.pid is not None
    assert (await house.requests.resume()).line == "resumed"
    assert (await house.requests.stop("worker", "x")).is_done


async def test_observe_mode_does_not_hold_a_person_back(house: House) -> None:
    """It says so of automation only."""
    house.restrain(enabled=False)
    assert (await house.requests.stop("worker", "x")).is_done


async def test_one_action_at_a_time(house: House) -> None:
    """Put off: the same may be asked again, which is not so of what is refused for good."""
    house.fleet.busy["worker"] = None
    answer = await house.requests.stop("worker", "x")
    assert answer.line == "refused: one action at a time: worker is being restarted"
    assert is_put_off(answer)
    assert not is_put_off(await house.requests.stop("bus", "x"))
    del house.fleet.busy["worker"]


async def test_a_reset_outside_an_incident(house: House) -> None:
    """Its instant is kept, and the process is looked at at once."""
    house.asked()
    assert (await house.requests.reset("worker", "x")).line == "reset"
    assert house.store.meta("reset/worker")
    assert "worker.process" in house.asked()


async def test_a_reset_expects_what_was_seen(house: House) -> None:
    """Without an expectation, or with the right one."""
    answer = await house.requests.reset("worker", "x", describe_budget("i1", 2))
    assert answer.line == (
        "refused: meanwhile it is without an incident, it was incident i1 with 2 attempts:"
        " look again"
    )
    assert (await house.requests.reset("worker", "x", describe_budget("", 0))).is_done


async def test_what_a_person_did_is_noted_in_the_incident(house: House) -> None:
    """With the reason, and what came of it; under its number."""
    await house.kill()
    house.clock.now += 1
    answer = await house.requests.restart("worker", "new disk")
    assert answer.is_done
    incident = house.picture.incidents["worker"]
    told = [event for event in house.store.timeline(incident.id) if event.kind == "operator"]
    assert told[0].text.startswith("restarted by an operator: new disk (")
    assert [each.n for each in house.store.attempts(incident=incident.id)] == [1]


async def test_the_breaker_is_closed_once(house: House) -> None:
    """It says whether it was open."""
    assert (await house.requests.close_breaker("x")).line == "was not open"
    house.automation.breaker = Breaker(house.clock.moment(), "ill")
    assert (await house.requests.close_breaker("x")).line == "closed"
    assert house.automation.breaker.opened is None


async def test_a_stop_and_a_start(house: House) -> None:
    """What is stopped on request is no incident."""
    assert (await house.requests.stop("worker", "x")).is_done
    await house.see("worker.process", Status.DOWN)
    assert "worker" not in house.picture.incidents
    assert (await house.requests.start("worker", "over")).is_done
    assert house.driver.pid is not None
