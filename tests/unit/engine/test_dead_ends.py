"""States that must be left again, races between automation and people, a clock that is set, what is
told once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from watchfiles import Change

from sentinel.core.fault import Status
from sentinel.core.model import Check, Component
from sentinel.core.order import Answer, Order
from sentinel.core.remediation.brake import ActionLimits
from sentinel.core.remediation.restart import Reason
from sentinel.engine.conductor import Conductor
from sentinel.engine.file_watch import FileWatch
from sentinel.engine.requests import is_put_off
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.remediation import Outcome
from sentinel.store import Retention
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.house import AT_ONCE, POLICY, House, open_house, settle
from tests.unit.engine.notices import make_dispatcher


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock, metrics: Metrics
) -> AsyncIterator[House]:
    """The house, with its worker running."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        yield made


def events(store: SqliteStore) -> list[str]:
    """What people were told, oldest first."""
    return [order.payload["event"] for order in store.take_orders() if order.kind == "notify"]


def rewrite(house: House, **changes: object) -> None:
    """A reload gives the worker another policy."""
    worker = house.picture.components["worker"]
    house.picture.components["worker"] = replace(worker, restart=replace(worker.restart, **changes))


# -- the configuration changes --------------------------------------------------------------------


async def test_a_dependency_that_the_configuration_no_longer_has(house: House) -> None:
    """A component whose dependency was removed is looked at all the same: it needs nothing any
    more.
    """
    await house.kill()
    house.picture.remove_component("bus")
    await house.consider()
    assert [attempt.outcome for attempt in house.store.attempts()] == ["done"]


async def test_an_error_about_one_component_leaves_the_others_alone(
    tmp_path, store, clock, metrics
) -> None:
    """One that can't be judged is counted and logged; the next one is restarted."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=4)) as house:
        for name in ("worker-0", "worker-1"):
            await house.kill(name)
        await settle(house)
        plain = house.remediator._verify

        def raising(name, incident) -> None:
            if name == "worker-0":
                raise LookupError(name)
            plain(name, incident)

        house.remediator.__class__._verify, kept = (
            lambda _self, *args: raising(*args),
            house.remediator.__class__._verify,
        )
        try:
            await house.consider()
        finally:
            house.remediator.__class__._verify = kept
        assert [attempt.component for attempt in store.attempts()] == ["worker-1"]
        assert metrics.swallowed.labels("remediator").value >= 1


async def test_an_open_attempt_of_a_component_that_is_gone(tmp_path, store, clock, metrics) -> None:
    """Sentinel ended in an action, and the component left the configuration: the others are not
    held for ever.
    """
    first = House(tmp_path, store, clock, metrics)
    async with open_house(first):
        gone = Component("gone", driver="process")
        await first.remediator.journal.claim(
            first.remediator.journal.intend(gone, "i-1", 1, "x"), gone
        )
        assert store.cleaning.running_attempts() == 1
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        assert store.cleaning.running_attempts() == 0
        await house.kill()
        await settle(house)
        await house.consider()
        assert [attempt.outcome for attempt in store.attempts(component="worker")] == ["done"]


async def test_a_dependency_that_came_last(house: House) -> None:
    """A reload appends a new dependency: it is moved in the order of what needs what, not of the
    configuration.
    """
    late = Component("late", driver="process")
    house.picture.add_component(late, None)
    house.picture.components["worker"] = replace(house.worker, depends_on=("bus", "late"))
    house.fleet.drivers["late"] = house.driver
    assert list(house.fleet.drivers) == ["worker", "late"]
    assert Conductor(house.requests)._choose("", {"start"}) == ["late", "worker"]


# -- actions that do not end as they should -------------------------------------------------------


async def test_a_driver_that_raises(house: House) -> None:
    """Its row gets an end, so that the next action may begin; it is spent, and counted as our
    fault.
    """

    async def raises(_key: str = "") -> Outcome:
        raise LookupError("bug")

    plain, house.driver.restart = house.driver.restart, raises
    await house.kill()
    await settle(house)
    await house.consider()
    (attempt,) = house.store.attempts()
    assert (attempt.outcome, attempt.detail) == ("unknown", "its driver raised LookupError('bug')")
    house.driver.restart = plain
    assert "started" in (await house.requests.restart("worker", "by hand")).line


async def test_a_first_start_that_raises(house: House) -> None:
    """The component is down, not stopped on request: it is left to the budget."""

    async def raises(_key: str = "") -> Outcome:
        raise LookupError("bug")

    await house.requests.stop("worker", "x")
    plain, house.driver.start = house.driver.start, raises
    house.remediator.start_when_ready("worker")
    await settle(house)
    await house.consider()
    assert "worker" not in house.fleet.stopped
    house.driver.start = plain


async def test_a_claim_that_is_refused_is_not_tried_four_times_a_second(house: House) -> None:
    """The ledger refuses: the reason is shown, and it is asked again later."""
    claims, plain = [], house.coordinator.claim_attempt

    async def count(*args):
        claims.append(args[0])
        return await plain(*args)

    house.coordinator.claim_attempt = count
    other = replace(house.remediator.journal.intend(house.worker, "i-1", 1, "x"), component="other")
    blocking = await house.remediator.journal.claim(other, house.worker)
    await house.kill()
    await settle(house)
    for _ in range(5):
        await house.consider()
    assert len(claims) == 2
    assert "1 actions are running" in house.circumstances.describe("worker")[0]
    await house.remediator.journal.finish(replace(blocking, outcome="done"))
    house.clock.now += 11
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert [a.outcome for a in house.store.attempts(component="worker")] == ["done"]


async def test_halted_between_intent_and_act_blames_nobody(house: House) -> None:
    """A component that runs and was not touched is not said to have ended."""
    plain = house.coordinator.claim_attempt

    async def claim_and_halt(*args):
        claimed = await plain(*args)
        (house.folder / "HALT").touch()
        return claimed

    house.coordinator.claim_attempt = claim_and_halt
    assert (await house.requests.restart("worker", "x")).line.startswith("failed: halted")
    assert house.driver.pid is not None
    assert house.driver.how_ended == ""


async def test_what_is_never_restarted_does_not_switch_automation_off(house: House) -> None:
    """max_attempts 0: given up at once and escalated, but that says nothing about sentinel's own
    acting.
    """
    rewrite(house, max_attempts=0)
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.picture.incidents["worker"].exhausted
    assert house.automation._exhaustions == []


async def test_observe_mode_gives_nothing_up(house: House) -> None:
    """Nothing was tried, so nothing is escalated as exhausted; with actions on it is."""
    rewrite(house, max_attempts=0)
    house.restrain(enabled=False)
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.reason is Reason.BUDGET_SPENT
    assert not house.picture.incidents["worker"].exhausted
    house.restrain(enabled=True)
    await house.consider()
    assert house.picture.incidents["worker"].exhausted


async def test_several_at_once_keep_the_limit_per_window(tmp_path, store, clock, metrics) -> None:
    """Two may run at once and one in five minutes: one look decides one."""
    limits = ActionLimits(concurrent=2, per_window=1, group_share=1.0)
    async with open_house(
        House(tmp_path, store, clock, metrics, workers=4, limits=limits)
    ) as house:
        house.remediator.journal.concurrent = 2
        for name in ("worker-0", "worker-1"):
            await house.kill(name)
        await settle(house)
        await house.consider()
        assert len(store.attempts()) == 1


async def test_old_health_of_a_dependency_proves_nothing_after_an_attempt(house: House) -> None:
    """The bus was asked before the first attempt: before the second it is asked again."""
    house.picture.add_check(
        Check("worker-answers", "plain", "worker", 2.0, 5.0, None, health=AT_ONCE),
        Kind("plain", "", Options, None, ()),
        None,
    )
    house.clock.now += POLICY.startup_grace
    await house.see("worker-answers", Status.DOWN)
    await settle(house)
    house.clock.now += 0.01
    await house.consider()
    assert len(house.store.attempts()) == 1
    house.clock.now += POLICY.startup_grace
    await house.see("worker-answers", Status.DOWN)
    await house.consider()
    house.asked()
    house.clock.now += 15
    await house.see("worker-answers", Status.DOWN)
    await house.consider()
    assert house.reason is Reason.BLOCKED
    assert len(house.store.attempts()) == 1
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 2


async def test_a_reload_cuts_no_hot_reload_short(house: House) -> None:
    """The configuration is read anew in the middle of a restart by a change of files: it ends, and
    its row with it.
    """
    plain = house.driver.restart

    async def slow(key: str = "") -> Outcome:
        await asyncio.sleep(0.2)
        return await plain(key)

    house.driver.restart = slow
    watch = FileWatch(house.requests)
    watch._tasks["worker"] = asyncio.create_task(
        watch._react(house.worker, {(Change.modified, "/x/app.conf")})
    )
    await house.until(lambda: len(house.store.attempts()) == 1)
    await watch.follow({"worker": house.worker})
    await house.until(lambda: house.store.attempts()[0].outcome == "done")
    await watch.close()


async def test_attempts_by_hand_are_forgotten_too(house: House) -> None:
    """They belong to no incident: they go with their age."""
    await house.requests.restart("worker", "x")
    house.store.forget(Retention(*[house.clock.utcnow() - timedelta(days=1)] * 5))
    assert len(house.store.attempts()) == 1
    house.store.forget(Retention(*[house.clock.utcnow() + timedelta(days=1)] * 5))
    assert house.store.attempts() == []


# -- people beside automation ---------------------------------------------------------------------


async def test_a_stop_waits_for_the_restart_under_way(house: House) -> None:
    """Stopped is stopped: an automatic restart in progress does not start it again behind the
    operator.
    """
    plain = house.driver.restart

    async def slow(key: str = "") -> Outcome:
        await asyncio.sleep(0.2)
        return await plain(key)

    house.driver.restart = slow
    await house.kill()
    await settle(house)
    house.remediator.consider()
    await house.until(lambda: len(house.store.attempts()) == 1)
    answer = await house.requests.stop("worker", "x")
    assert answer.line == "refused: one action at a time: worker is being restarted"
    assert is_put_off(answer)
    await Conductor(house.requests).move("k", "stop", "worker", "maintenance")
    await house.until(lambda: not house.remediator._tasks)
    assert house.driver.pid is None
    assert "worker" in house.fleet.stopped


async def test_the_end_of_sentinel_ends_a_restart_before_it_stops(house: House) -> None:
    """Stopped with the platform, although an automatic restart was under way."""
    plain = house.driver.restart

    async def slow(key: str = "") -> Outcome:
        await asyncio.sleep(0.2)
        return await plain(key)

    house.driver.restart = slow
    await house.kill()
    await settle(house)
    house.remediator.consider()
    await house.until(lambda: len(house.store.attempts()) == 1)
    await house.remediator.stop_all()
    await asyncio.sleep(0.3)
    assert house.driver.pid is None


async def test_a_restart_on_request_of_what_waits(house: House) -> None:
    """It runs now: it no longer waits for anything, and nobody reads that it does."""
    await house.requests.stop("worker", "x")
    await house.see("bus-server", Status.DOWN)
    house.remediator.start_when_ready("worker")
    assert "waits for bus" in house.circumstances.describe("worker")[0]
    assert "started" in (await house.requests.restart("worker", "now")).line
    assert house.fleet.waiting == {}
    assert house.circumstances.describe("worker")[0] == ""


async def test_a_refused_restart_does_not_take_back_a_stop(tmp_path, store, clock, metrics) -> None:
    """Stopped on request, a restart on request that fails, a restart of sentinel: still stopped on
    request.
    """
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        await house.requests.stop("worker", "maintenance")

        async def fails(_key: str = "") -> Outcome:
            return Outcome(False, "no")

        house.driver.restart = fails
        assert (await house.requests.restart("worker", "x")).line == "failed: no"
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        assert "worker" in house.fleet.stopped
        assert house.driver.pid is None


async def test_a_failed_restart_of_what_waits_leaves_it_waiting(
    tmp_path, store, clock, metrics
) -> None:
    """The next sentinel starts what waited, and not what was stopped on request."""

    async def fails(_key: str = "") -> Outcome:
        return Outcome(False, "no")

    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        house.driver.restart = fails
        for wait, kept in ((False, False), (True, True)):
            await house.requests.stop("worker", "maintenance")
            if wait:
                await house.remediator.ask_start("worker")
            assert (await house.requests.restart("worker", "x")).line == "failed: no"
            rows = {row.component: row for row in store.processes()}
            assert (rows["worker"].wanted, rows["worker"].with_platform) == (False, kept)


async def test_what_waits_when_sentinel_ends_is_started_by_the_next_one(
    tmp_path, store, clock, metrics
) -> None:
    """Nobody asked for it to be stopped: it waited for the bus."""
    house = House(tmp_path, store, clock, metrics)
    house.see = _see_nothing
    async with open_house(house):
        assert "worker" in house.fleet.waiting
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        assert house.driver.pid is not None


async def _see_nothing(_check: str, _status: Status) -> None:
    """No check has run."""


async def test_a_start_that_was_asked_for_survives_sentinel(
    tmp_path, store, clock, metrics
) -> None:
    """`sentinel start` of something that has to wait, and sentinel is killed: the next one starts
    it.
    """
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        await house.requests.stop("worker", "maintenance")
        await house.remediator.ask_start("worker")
        rows = {row.component: row for row in store.processes()}
        assert (rows["worker"].wanted, rows["worker"].with_platform) == (False, True)
    async with open_house(House(tmp_path, store, clock, metrics)) as house:
        assert house.driver.pid is not None


async def test_a_runbook_is_not_locked_out_for_ever(house: House) -> None:
    """Restarts of a healthy component by a runbook: capped per hour, and allowed again when the
    hour is over.
    """
    rewrite(house, per_hour=2, startup_grace=0.0)
    outcomes = [(await house.requests.restart("worker", "x", by="runbook")).line for _ in range(3)]
    assert [outcome.split(":")[0] for outcome in outcomes[2:]] == ["refused"]
    assert "2 attempts within 1 h" in outcomes[2]
    house.clock.now += 3601
    assert "started" in (await house.requests.restart("worker", "x", by="runbook")).line


async def test_one_that_does_not_stop_keeps_nobody_else_away(
    tmp_path, store, clock, metrics
) -> None:
    """`sentinel restart`: the one that ignores TERM is reported; all that were stopped are started
    again.
    """
    async with open_house(House(tmp_path, store, clock, metrics, workers=2)) as house:

        async def stuck(_key: str = "") -> Outcome:
            return Outcome(False, "did not end within 5 s of SIGTERM and is not marked kill_safe")

        plain, house.drivers["worker-0"].stop = house.drivers["worker-0"].stop, stuck

        async def beat() -> None:
            while True:
                await asyncio.sleep(0.01)
                house.clock.now += 0.1
                for check in ("bus-server", "worker-0.process", "worker-1.process"):
                    await house.see(check, Status.UP)
                house.remediator.consider()

        beating = asyncio.create_task(beat())
        outcome = await Conductor(house.requests).move("k", "restart", "", "release")
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        assert outcome == Answer.failed("1 of restart: 2 components")
        assert house.fleet.stopped == set()
        assert house.drivers["worker-1"].pid is not None
        steps = json.loads(store.meta("progress"))["steps"]
        assert [(step["action"], step["component"]) for step in steps][-1] == ("start", "worker-1")
        house.drivers["worker-0"].stop = plain


# -- a clock that is set --------------------------------------------------------------------------


async def test_a_clock_set_back_prolongs_no_quiet_time(tmp_path, store, clock, metrics) -> None:
    """The time service sets the clock back by a day right after the start: a minute of grace stays
    a minute.
    """
    house = House(tmp_path, store, clock, metrics, quiet=60.0)
    async with open_house(house):
        clock.set_back = 86400.0
        await house.kill()
        await settle(house)
        await house.consider()
        assert house.reason is Reason.DAEMON_GRACE
        clock.now += 61
        await house.see("worker.process", Status.DOWN)
        await settle(house)
        await house.consider()
        assert len(store.attempts()) == 1


async def test_a_clock_set_back_keeps_nobody_waiting(house: House) -> None:
    """What waits to be started is started when its dependency is healthy, not when the old time has
    come again.
    """
    await house.requests.stop("worker", "x")
    house.remediator.start_when_ready("worker")
    house.clock.set_back = 3600.0
    await settle(house)
    await house.consider()
    assert house.driver.pid is not None


async def test_a_recovery_in_the_future_settles_nothing(house: House) -> None:
    """The clock was set back since a dependency recovered: its grace is over."""
    await house.see("bus-server", Status.DOWN)
    await house.kill()
    await settle(house)
    incident = house.picture.incidents["bus"]
    later = house.clock.utcnow() + timedelta(hours=1)
    house.picture.incidents["bus"] = replace(incident, recovered=later)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_a_success_is_no_failure_because_the_clock_was_set_back(house: House) -> None:
    """Healthy again after an attempt that by the wall clock lies in the future."""
    await house.kill()
    await settle(house)
    await house.consider()
    house.clock.set_back = 3600.0
    house.clock.now += 2
    await house.see("worker.process", Status.UP)
    for _ in range(20):
        house.clock.now += 2
        await house.see("worker.process", Status.UP)
    await house.consider()
    await house.consider()
    assert [attempt.verdict for attempt in house.store.attempts()] == ["recovered"]


# -- told once ------------------------------------------------------------------------------------


async def test_a_restart_of_sentinel_repeats_no_page_about_a_brake(
    tmp_path, store, clock, metrics
) -> None:
    """The brake is on before and after: one page; not seen yet is not released; off is said
    once.
    """
    async with open_house(House(tmp_path, store, clock, metrics, workers=4)) as house:
        for name in house.drivers:
            await house.kill(name)
        await house.consider()
    told = ["braked"]
    assert events(store) == told
    other = House(tmp_path, store, clock, metrics, workers=4)
    other.automation.load(crashed=True)
    other.automation.look({}, [], early=True)
    crowd = dict.fromkeys(house.drivers, "workers")
    for names in (list(crowd), list(crowd)):
        await other.recorder.record(other.automation.look(crowd, names))
    assert events(store) == told
    for _ in range(2):
        await other.recorder.record(other.automation.look({}, []))
    assert events(store) == [*told, "brake_released"]
    other.recorder.close()


async def test_an_outcome_in_broken_text_ends_no_dispatcher(
    store, recorder, metrics, clock
) -> None:
    """Text from outside with half a character in it: it is written out, not done again, the others
    go on.
    """
    done = []

    async def restart(order: Order) -> Answer:
        done.append(order.key)
        return Answer.done("exited: \udcff" if order.key == "bad" else "done")

    dispatcher = make_dispatcher(store, recorder, metrics, clock, {"restart": restart})
    for key in ("bad", "good"):
        store.add_order(Order("restart", key, "worker", {}), clock.utcnow())
    for _ in range(3):
        await dispatcher.drain()
    assert done == ["bad", "good"]
    assert [store.order_outcome(key).text for key in done] == ["exited: \\udcff", "done"]


async def test_a_failure_without_words_has_some(store, recorder, metrics, clock) -> None:
    """A timeout has no text of its own."""

    async def slow(_order: Order) -> Answer:
        raise TimeoutError

    dispatcher = make_dispatcher(store, recorder, metrics, clock, {"check": slow})
    store.add_order(Order("check", "k", "x", {}), clock.utcnow())
    await dispatcher.drain()
    assert store.order_outcome("k") == Answer.failed("TimeoutError()")
