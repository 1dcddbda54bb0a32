"""Guards of the engine that nothing else proves: for each, what would be done without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Check
from sentinel.core.remediation.restart import Reason
from sentinel.errors import ActionRefused
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.remediation import Outcome
from sentinel.store import Fence
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.house import AT_ONCE, PLENTY, POLICY, House, open_house, settle


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock, metrics: Metrics
) -> AsyncIterator[House]:
    """The house, with its worker running."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        yield made


@pytest.mark.parametrize(
    ("member", "epoch", "granted"), [("me", 1, True), ("me", 0, False), ("another", 1, False)]
)
def test_the_fence_is_member_and_epoch(
    store: SqliteStore, clock, member: str, epoch: int, granted: bool
) -> None:
    """An older start of ours is fenced, and so is somebody else with our number."""
    assert store.join("me", clock.utcnow()) == 1
    attempt = Attempt("i-1", 1, "worker", "restart", "x", clock.utcnow(), epoch=epoch)
    fence = Fence(member, epoch, 7, 3, 1)
    if granted:
        store.claim_attempt(attempt, fence)
    else:
        with pytest.raises(ActionRefused, match="fenced: another sentinel has taken over"):
            store.claim_attempt(attempt, fence)
    assert len(store.attempts()) == granted


async def test_what_needs_something_that_is_stopped_is_no_incident(house: House) -> None:
    """The bus is stopped on request and the worker fails for it: nobody is told."""
    house.fleet.stopped.add("bus")
    await house.kill()
    assert house.picture.incidents == {}
    house.fleet.stopped.discard("bus")
    await house.see("worker.process", Status.DOWN)
    assert "worker" in house.picture.incidents


async def test_nothing_waits_for_what_is_stopped(house: House) -> None:
    """The bus was seen up just now, but it is stopped on request: the worker waits for it."""
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    house.fleet.stopped.add("bus")
    await settle(house)
    await house.consider()
    assert house.circumstances.describe("worker")[0] == "waits for bus, which is stopped"
    assert house.driver.pid is None
    house.fleet.stopped.discard("bus")
    await house.consider()
    assert house.driver.pid is not None


async def test_halted_starts_nothing(house: House) -> None:
    """What waits to be started goes on waiting while halted, and says so."""
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    await settle(house)
    (house.folder / "HALT").touch()
    await house.consider()
    assert house.driver.pid is None
    assert "halted" in house.circumstances.describe("worker")[0]
    (house.folder / "HALT").unlink()
    await house.consider()
    assert house.driver.pid is not None


async def test_one_component_is_acted_upon_once_at_a_time(house: House) -> None:
    """Although two actions may run at once: not two upon the same component."""
    house.restrain(limits=replace(PLENTY, concurrent=2))
    house.remediator.journal.concurrent = 2
    house.fleet.busy["worker"] = None
    assert "one action at a time" in (await house.requests.restart("worker", "x")).line
    del house.fleet.busy["worker"]
    assert "started" in (await house.requests.restart("worker", "x")).line


async def test_in_its_start_up_grace_only_its_own_death_counts(house: House) -> None:
    """Started just now and not answering yet is no incident; when it has died it is."""
    plain = Kind("plain", "", Options, None, ())
    answers = Check("worker-answers", "plain", "worker", 2.0, 5.0, None, health=AT_ONCE)
    house.picture.add_check(answers, plain, None)
    await house.requests.restart("worker", "release")
    await house.see("worker-answers", Status.DOWN)
    assert house.picture.incidents == {}
    await house.kill()
    assert "worker" in house.picture.incidents


async def test_stopped_in_the_middle_of_an_incident(house: House) -> None:
    """An incident is open, and the component is stopped on request: it is left alone."""
    await house.kill()
    await house.requests.stop("worker", "repair")
    house.clock.now += 60
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert house.store.attempts() == []
    assert house.driver.pid is None


async def test_only_the_present_incident_is_given_up(house: House) -> None:
    """A decision about an incident that was reset meanwhile escalates nothing."""
    await house.kill()
    old = house.picture.incidents["worker"]
    await house.requests.reset("worker", "x")
    house.clock.now += 1
    await house.see("worker.process", Status.DOWN)
    await house.remediator._exhaust(old, "too late")
    assert not house.picture.incidents["worker"].exhausted


async def test_the_grace_ends_with_the_first_health(house: House) -> None:
    """Started just now: held until all its checks have seen it healthy, and not one moment longer."""
    plain = Kind("plain", "", Options, None, ())
    answers = Check("worker-answers", "plain", "worker", 2.0, 5.0, None, health=AT_ONCE)
    house.picture.add_check(answers, plain, None)
    await house.requests.restart("worker", "release")
    house.clock.now += 2
    for check in ("worker-answers", "worker.process"):
        await house.see(check, Status.UP)
    await house.see("worker-answers", Status.DOWN)
    assert house.picture.incidents == {}
    await house.see("worker-answers", Status.UP)
    assert not house.circumstances.is_held("worker")


async def test_given_up_once(house: House) -> None:
    """Two looks at the same spent budget are one exhausted component for the breaker."""
    await house.kill()
    incident = house.picture.incidents["worker"]
    for _ in range(2):
        await house.remediator._exhaust(incident, "spent")
    assert len(house.automation._exhaustions) == 1


async def test_what_runs_is_not_judged(house: House) -> None:
    """The process is away because it is being restarted: the attempt has not failed."""
    plain, looked = house.driver.restart, []

    async def slow(key: str = "") -> Outcome:
        house.clock.now += POLICY.startup_grace + 1
        house.remediator.consider()
        looked.append([attempt.verdict for attempt in house.remediator.journal.all("worker")])
        return await plain(key)

    house.driver.restart = slow
    await house.kill()
    await settle(house)
    await house.consider()
    assert looked == [[""]]


async def test_judged_once(house: House) -> None:
    """A failed attempt is one line of the timeline, however often it is looked at."""
    await house.kill()
    await settle(house)
    await house.consider()
    await house.kill()
    for _ in range(4):
        await house.consider()
    (attempt,) = house.store.attempts()
    lines = [
        entry for entry in house.store.timeline(attempt.incident) if entry.kind == "attempt failed"
    ]
    assert len(lines) == 1


async def test_a_request_is_an_action_too(tmp_path, store, clock, metrics) -> None:
    """While an operator restarts one worker, automation and others wait with the other one."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=2)) as house:
        plain = house.drivers["worker-0"].restart

        async def slow(key: str = "") -> Outcome:
            assert house.circumstances.of("worker-1").busy == "worker-0"
            return await plain(key)

        house.drivers["worker-0"].restart = slow
        assert "started" in (await house.requests.restart("worker-0", "x")).line
        assert house.circumstances.of("worker-1").busy == ""


async def test_a_lost_journal_waits_for_a_reset(house: House) -> None:
    """The budgets of before are not known: nothing is done until somebody has reset the component."""
    house.circumstances.journal_lost = house.clock.moment()
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.reason is Reason.JOURNAL_LOST
    house.clock.now += 1
    await house.requests.reset("worker", "looked at it")
    house.clock.now += 1
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_fenced_between_intent_and_act(house: House) -> None:
    """Somebody took over, or actions were switched off, while the intent was written: nothing is
    done.
    """
    house.automation.fence("epoch 2, ours 1")
    assert (
        house.automation.may_act(automatic=False)
        == "fenced between intent and act: epoch 2, ours 1"
    )
    house.automation.fence("")
    house.restrain(enabled=False)
    assert "switched off" in house.automation.may_act(automatic=True)
    assert house.automation.may_act(automatic=False) == ""
    house.automation.halted_by_signal = True
    assert "halted" in house.automation.may_act(automatic=False)


async def test_settled_attempts_stay_as_they_are(house: House) -> None:
    """A start of sentinel touches no attempt that has its outcome; without a start id, nothing is
    known.
    """
    await house.requests.restart("worker", "x")
    before = house.store.attempts()
    await house.remediator.journal.settle_interrupted("worker", house.driver.start_id)
    assert house.store.attempts() == before
    journal = house.remediator.journal
    await journal.claim(journal.intend(house.worker, "i-1", 1, "x"), house.worker)
    await journal.settle_interrupted("worker", "")
    assert (
        house.store.attempts(incident="i-1")[0].detail
        == "sentinel ended during this attempt: spent, outcome unknown"
    )


async def test_the_breaker_judges_sentinels_own_attempts(house: House) -> None:
    """Restarts by hand that did not help are no reason to switch automation off."""
    journal = house.remediator.journal
    for n, by in enumerate(("operator", "watch", "sentinel"), 1):
        claimed = await journal.claim(
            replace(journal.intend(house.worker, "i-1", n, "x"), by=by), house.worker
        )
        await journal.finish(replace(claimed, outcome="done", verdict="failed"))
    assert journal.verdicts(None) == ["failed"]


async def test_who_is_stopped_is_not_counted_by_the_brake(tmp_path, store, clock, metrics) -> None:
    """Three of four failed; one of them is stopped on request meanwhile: two are no common cause."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=4)) as house:
        for name in ("worker-0", "worker-1", "worker-2"):
            await house.kill(name)
        house.remediator._look_at_all()
        assert house.automation.brakes
        house.fleet.stopped.add("worker-2")
        house.remediator._look_at_all()
        assert not house.automation.brakes


async def test_what_waited_is_started_by_its_new_driver(house: House) -> None:
    """Another driver takes over a component that waits to be started: it was not stopped on
    request.
    """
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    house.remediator.release("worker")
    assert "worker" not in house.fleet.stopped
    house.fleet.drivers["worker"] = house.driver


async def test_a_start_waits_for_the_restart_under_way(house: House) -> None:
    """Ready to be started, but an action upon it is running: one at a time."""
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    await settle(house)
    house.fleet.busy["worker"] = None
    await house.consider()
    assert house.driver.pid is None
    del house.fleet.busy["worker"]
    await house.consider()
    assert house.driver.pid is not None


async def test_nothing_waits_for_what_the_configuration_no_longer_has(house: House) -> None:
    """What it waited for was removed: it is started."""
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    house.picture.remove_component("bus")
    await house.consider()
    assert house.driver.pid is not None
