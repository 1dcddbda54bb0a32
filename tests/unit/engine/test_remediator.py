"""From a dead process to a journaled, done and verified restart: real processes, a real store, a
clock by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sentinel.coordination import Participant, Placement, Refused
from sentinel.coordination.local import LocalCoordinator
from sentinel.core.fault import Status
from sentinel.core.model import Attempt
from sentinel.core.remediation.breaker import Breaker
from sentinel.core.remediation.restart import Reason
from sentinel.engine.remediator import LONGEST_REST
from sentinel.engine.requests import describe_budget
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.remediation import Outcome
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.house import PLENTY, POLICY, House, open_house, settle


@pytest.fixture
async def house(
    tmp_path: Path, store: SqliteStore, clock, metrics: Metrics
) -> AsyncIterator[House]:
    """The house, with its worker running."""
    async with open_house(House(tmp_path, store, clock, metrics)) as made:
        yield made


async def test_death_is_restarted_and_verified(house: House) -> None:
    """One attempt, journaled and done; healthy for success_after it counts as recovered, with its
    time.
    """
    first = house.driver.pid
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.driver.pid not in {None, first}
    house.clock.now += 2
    await house.see("worker.process", Status.UP)
    await house.consider()
    house.clock.now += POLICY.success_after
    await house.consider()
    assert house.store.attempts()[0].verdict == ""  # long enough, but one check only has seen it
    for _ in range(2):
        await house.see("worker.process", Status.UP)
    await house.consider()
    (attempt,) = house.store.attempts(component="worker")
    assert (attempt.n, attempt.outcome, attempt.verdict) == (1, "done", "recovered")
    assert attempt.recovered_in == pytest.approx(2.01, abs=0.02)
    assert attempt.start_id == house.driver.start_id


async def test_old_health_of_a_dependency_proves_nothing(house: House) -> None:
    """The bus was up before the death: its checks are asked again first, and only a fresh "up" lets
    act.
    """
    await house.kill()
    house.asked()
    await house.consider()
    assert house.reason is Reason.BLOCKED
    assert "bus-server" in house.asked()
    assert house.store.attempts() == []
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_soft_failure_of_a_dependency_blocks(house: House) -> None:
    """A dependency whose latest verdict is bad blocks, although its hard status may still be up."""
    await house.kill()
    house.clock.now += 0.01
    await house.see("bus-server", Status.DEGRADED)
    await house.consider()
    assert house.reason is Reason.BLOCKED
    assert house.store.attempts() == []


async def test_grace_after_a_dependency_recovered(house: House) -> None:
    """When the bus comes back, the worker has its start-up grace to recover by itself before
    anything is done.
    """
    await house.see("bus-server", Status.DOWN)
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.reason is Reason.SETTLING
    house.clock.now += POLICY.startup_grace
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_budget_ends_in_exhausted_once(house: House) -> None:
    """After max_attempts failed restarts: exhausted, escalated once, and nothing more is done."""
    for _ in range(POLICY.max_attempts):
        await house.kill()
        await settle(house)
        await house.consider()
        house.clock.now += 15
        await house.see("worker.process", Status.DOWN)
        await settle(house)
        await house.consider()
        await house.until(lambda: house.driver.pid is not None)
    await house.kill()
    for _ in range(5):
        house.clock.now += 60
        await house.see("worker.process", Status.DOWN)
        await settle(house)
        await house.consider()
    assert [attempt.n for attempt in house.store.attempts()] == [1, 2]
    assert house.picture.incidents["worker"].exhausted
    escalations = [order for order in house.store.take_orders() if order.key.endswith("/exhausted")]
    assert len(escalations) == 1


async def test_one_that_does_not_stop_is_escalated_at_once(house: House) -> None:
    """TERM → wait → escalate: it would ignore a second TERM, too, and only a person may kill it."""

    async def ignore(_key: str = "") -> Outcome:
        return Outcome(
            False, "did not end within 5 s of SIGTERM and is not marked kill_safe", futile=True
        )

    house.driver.restart = ignore
    await house.see("worker.process", Status.DOWN)
    for _ in range(5):
        await settle(house)
        await house.consider()
        house.clock.now += 60
        await house.see("worker.process", Status.DOWN)
    assert [attempt.outcome for attempt in house.store.attempts()] == ["failed"]
    assert house.picture.incidents["worker"].exhausted
    (escalation,) = [
        order for order in house.store.take_orders() if order.key.endswith("/exhausted")
    ]
    assert "not marked kill_safe" in escalation.payload["text"]


async def test_reset_gives_a_full_budget(house: House) -> None:
    """After a reset the old incident is closed and a new one begins with attempt 1."""
    await test_budget_ends_in_exhausted_once(house)
    assert (await house.requests.reset("worker", "disk replaced")).line == "reset"
    house.clock.now += 1
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    newest = house.store.incidents(limit=1)[0]
    assert [attempt.n for attempt in house.store.attempts(incident=newest.id)] == [1]


async def test_a_reset_is_of_what_was_seen(house: House) -> None:
    """Two steps: what was planned for one attempt is void after a second one; seen again, it is
    done.
    """
    await house.kill()
    await settle(house)
    await house.consider()
    incident = house.picture.incidents["worker"]
    planned = describe_budget(incident.id, 1)
    await house.kill()
    house.clock.now += 15
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    await house.consider()
    answer = await house.requests.reset("worker", "repaired", planned)
    assert answer.line.startswith("refused: meanwhile it is incident")
    assert house.picture.incidents["worker"].id == incident.id
    attempts = len(house.store.attempts(incident=incident.id))
    assert attempts == 2
    assert (
        await house.requests.reset("worker", "repaired", describe_budget(incident.id, attempts))
    ).is_done
    assert (await house.requests.reset("worker", "again", planned)).line.startswith("refused")
    assert (await house.requests.reset("worker", "again", describe_budget("", 0))).is_done


@pytest.mark.parametrize(
    ("seen", "how"), [(True, "does not run"), (False, "ended while sentinel was away")]
)
async def test_what_was_dead_before_did_not_end_while_away(
    house: House, seen: bool, how: str
) -> None:
    """The next sentinel says "while away" only of what the one before it had not seen dead."""
    await house.kill()
    if not seen:
        house.picture.incidents.clear()
    (row,) = [row for row in house.store.processes() if row.component == "worker"]
    await house.remediator.manage(house.workers[0], house.driver, row)
    assert house.driver.how_ended == how


async def test_an_adoption_that_raises_is_the_trouble_of_one(house: House, monkeypatch) -> None:
    """The daemon goes on to the next component; of this one nothing is claimed or started."""
    (row,) = [row for row in house.store.processes() if row.component == "worker"]

    def fail(_start_id: str) -> bool:
        raise UnicodeDecodeError("utf-8", b"\xc4", 0, 1, "invalid continuation byte")

    monkeypatch.setattr(house.driver, "adopt", fail)
    house.driver.how_ended = ""
    await house.remediator.manage(house.workers[0], house.driver, row)
    await house.remediator.manage(house.workers[0], house.driver, None)
    assert (house.driver.how_ended, house.remediator.fleet.waiting) == ("", {})


@pytest.mark.parametrize("how", ["file", "folder", "dangling link", "unreadable"])
async def test_kill_switch(house: House, how: str) -> None:
    """HALT stops everything, whatever it is; what can't be read counts as halted."""
    if how == "file":
        (house.folder / "HALT").touch()
    elif how == "folder":
        (house.folder / "HALT").mkdir()
    elif how == "dangling link":
        (house.folder / "HALT").symlink_to("nowhere/at-all")
    else:
        (house.folder / "loop").symlink_to("loop")
        house.automation.halt_file = house.folder / "loop" / "HALT"
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.reason is Reason.HALTED
    assert house.store.attempts() == []


async def test_stop_on_request_is_no_failure(house: House) -> None:
    """A component that was stopped on request is neither down nor restarted."""
    outcome = await house.remediator.stop("worker")
    assert outcome.done
    await house.consider()
    assert house.store.incidents() == []
    assert house.driver.pid is None


async def test_operator_restarts_outside_the_budget(house: House) -> None:
    """A restart at an operator's word is journaled and works on a healthy component; it is refused
    while halted.
    """
    first = house.driver.pid
    assert "started" in (await house.requests.restart("worker", "new release")).line
    assert house.driver.pid not in {None, first}
    (attempt,) = house.store.attempts()
    assert (attempt.incident, attempt.n, attempt.by, attempt.outcome) == (
        "by-hand-worker",
        1,
        "operator",
        "done",
    )
    (house.folder / "HALT").touch()
    assert "refused" in (await house.requests.restart("worker", "again")).line
    assert "refused" in (await house.requests.restart("bus", "not ours")).line
    assert len(house.store.attempts()) == 1


async def test_a_restart_on_request_is_no_failure(house: House) -> None:
    """While the component is away on request, its check does not call it down."""
    seen = []

    async def slow_stop(_key: str = "") -> Outcome:
        seen.append("worker" in house.fleet.stopped)
        return Outcome(True, "restarted")

    house.driver.restart = slow_stop
    await house.requests.restart("worker", "new release")
    assert seen == [True]
    assert "worker" not in house.fleet.stopped


async def test_runbook_acts_under_the_budget(house: House) -> None:
    """Two attempts are spent: a runbook's restart is refused, an operator's is made."""
    await test_budget_ends_in_exhausted_once(house)
    before = len(house.store.attempts())
    assert (
        "refused: all 2 attempts"
        in (await house.requests.restart("worker", "cure", by="runbook")).line
    )
    assert len(house.store.attempts()) == before
    assert "started" in (await house.requests.restart("worker", "by hand")).line
    assert [attempt.by for attempt in house.store.attempts()][before:] == ["operator"]


async def test_halt_between_intent_and_act(house: House) -> None:
    """F9: the attempt is spent, and nothing was done."""
    plain = house.coordinator.claim_attempt

    async def claim_and_halt(*args):
        claimed = await plain(*args)
        (house.folder / "HALT").touch()
        return claimed

    house.coordinator.claim_attempt = claim_and_halt
    await house.kill()
    await settle(house)
    await house.consider()
    (attempt,) = house.store.attempts()
    assert (attempt.outcome, attempt.detail) == ("failed", "halted between intent and act")
    assert house.driver.pid is None


@pytest.mark.parametrize("total", [4, 10])
async def test_common_cause_is_one_page_and_no_attempt(
    tmp_path, store, clock, metrics, total: int
) -> None:
    """F5: all of a group down: nothing is restarted, and people get one page instead of ten."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=total)) as house:
        for name in house.drivers:
            await house.kill(name)
        for _ in range(5):
            house.clock.now += 5
            await settle(house)
            for name in house.drivers:
                await house.see(f"{name}.process", Status.DOWN)
            await house.consider()
        assert house.store.attempts() == []
        pages = [order for order in house.store.take_orders() if order.kind == "notify"]
        assert [page.payload["event"] for page in pages] == ["braked"]
        assert (
            f"{total} of {total} workers down" in house.circumstances.describe("worker-0")[0]
            or "components" in (house.circumstances.describe("worker-0")[0])
        )


async def test_brake_lets_go(tmp_path, store, clock, metrics) -> None:
    """When enough of the group are back by themselves, the last one is helped."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=4)) as house:
        for name in list(house.drivers)[:3]:
            await house.kill(name)
        await settle(house)
        await house.consider()
        assert house.store.attempts() == []
        for name in ("worker-0", "worker-1"):
            await house.drivers[name].start()
            await house.see(f"{name}.process", Status.UP)
        await house.see("worker-2.process", Status.DOWN)
        await settle(house)
        await house.consider()
        assert [attempt.component for attempt in house.store.attempts()] == ["worker-2"]


async def test_one_action_at_a_time(tmp_path, store, clock, metrics) -> None:
    """Two of four are down: the second waits until the first action has ended."""
    async with open_house(House(tmp_path, store, clock, metrics, workers=4)) as house:
        await house.kill("worker-0")
        await house.kill("worker-1")
        await settle(house)
        house.remediator.consider()
        assert len(house.remediator._tasks) == 1
        assert house.fleet.decisions["worker-1"].reason is Reason.BUSY
        await house.until(lambda: not house.remediator._tasks)
        await house.consider()
        assert {attempt.component for attempt in house.store.attempts()} == {"worker-0", "worker-1"}


async def test_group_limit(tmp_path, store, clock, metrics) -> None:
    """At most 20 % of a group in ten minutes: the second of four waits its time, and says so."""
    limits = replace(PLENTY, group_share=0.2)
    async with open_house(
        House(tmp_path, store, clock, metrics, workers=4, limits=limits)
    ) as house:
        await house.kill("worker-0")
        await settle(house)
        await house.consider()
        await house.see("worker-0.process", Status.UP)
        await house.kill("worker-1")
        await settle(house)
        await house.consider()
        assert house.fleet.decisions["worker-1"].reason is Reason.LIMITED
        assert "1 of 4 workers were acted upon" in house.circumstances.describe("worker-1")[0]
        house.clock.now += 600
        await house.see("worker-1.process", Status.DOWN)
        await settle(house)
        await house.consider()
        assert [attempt.component for attempt in house.store.attempts()] == ["worker-0", "worker-1"]


async def test_breaker_is_closed_by_an_operator_only(house: House) -> None:
    """F16: two components given up: automation stops, pages once, survives a restart of sentinel."""
    for _ in range(2):
        await house.recorder.record(house.automation.note_exhausted())
    await house.kill()
    await settle(house)
    for _ in range(3):
        await house.consider()
    assert house.reason is Reason.BREAKER_OPEN
    pages = [
        order
        for order in house.store.take_orders()
        if order.payload.get("event") == "breaker_opened"
    ]
    assert len(pages) == 1
    house.automation.breaker = Breaker()
    house.automation.load(crashed=False)
    assert house.automation.breaker.opened is not None
    assert (await house.requests.close_breaker("looked at it")).line == "closed"
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert len(house.store.attempts()) == 1


async def test_own_crashes_open_the_breaker(house: House) -> None:
    """The third unclean start within ten minutes; ends in order do not count."""
    for crashed in (True, False, True, False):
        await house.recorder.record(house.automation.load(crashed=crashed))
    await house.consider()
    assert house.automation.breaker.opened is None
    await house.recorder.record(house.automation.load(crashed=True))
    await house.consider()
    assert "crashed 3 times" in house.automation.breaker.reason


async def test_own_stall_opens_the_breaker(house: House) -> None:
    """A standstill of more than 5 s within the last two minutes; an older one does not count."""
    house.guard.beat()
    house.clock.now += 6
    house.guard.beat()
    await house.consider()
    assert "stood still" in house.automation.breaker.reason
    await house.requests.close_breaker("the machine was suspended")
    await house.consider()
    assert house.automation.breaker.opened is None


async def test_a_second_sentinel_fences_the_first(house: House) -> None:
    """D12: somebody joins after us: our claim is refused by the ledger, and the next tick tells
    why.
    """
    other = LocalCoordinator(house.store, house.recorder, house.clock.utcnow)
    await other.start(Participant("second", house.clock.utcnow()))
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.store.attempts() == []
    view = await house.coordinator.tick(Placement())
    assert "another sentinel has taken over" in view.reason
    assert (await other.tick(Placement())).reason == ""
    house.automation.fence(view.reason)
    await house.consider()
    assert house.reason is Reason.FENCED


async def test_a_tick_writes_when_it_is_time_or_when_nobody_knows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether somebody has taken over costs no write; after an error the ledger is tried at once."""
    signs: list[bool] = []
    plain = house.store.newest_epoch

    def note(member: str, at: datetime | None = None) -> int:
        signs.append(at is not None)
        return plain(member, at)

    monkeypatch.setattr(house.store, "newest_epoch", note)
    for _ in range(4):
        await house.coordinator.tick(Placement())
        house.clock.now += 10
    assert signs == [True, False, False, True]

    def refuse(*_given: object) -> None:
        raise StateError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(house.store, "claim_attempt", refuse)
        intent = house.engine.journal.intend(house.worker, "i", 1, "x")
        assert isinstance(await house.engine.journal.claim(intent, house.worker), Refused)
    await house.coordinator.tick(Placement())
    await house.coordinator.tick(Placement())
    assert signs[4:] == [True, False]


async def test_the_ledger_keeps_the_cap_by_itself(house: House) -> None:
    """A sentinel whose memory lost the attempts is refused by the journal: the cap holds without
    the core.
    """
    await test_budget_ends_in_exhausted_once(house)
    incident = house.picture.incidents["worker"]
    for n in (3, 4):
        claimed = await house.remediator.journal.claim(
            house.remediator.journal.intend(house.worker, incident.id, n, "again"), house.worker
        )
        assert isinstance(claimed, Refused)
        assert "all 2 attempts" in claimed.reason


async def test_no_two_actions_by_the_ledger(house: House) -> None:
    """While an attempt has no outcome, the ledger lets no other begin."""
    journal = house.remediator.journal
    first = await journal.claim(journal.intend(house.worker, "i-1", 1, "x"), house.worker)
    assert isinstance(first, Attempt)
    second = await journal.claim(journal.intend(house.worker, "i-2", 1, "x"), house.worker)
    assert isinstance(second, Refused)
    await journal.finish(replace(first, outcome="done"))
    assert isinstance(
        await journal.claim(journal.intend(house.worker, "i-2", 1, "x"), house.worker), Attempt
    )


@pytest.mark.parametrize(
    ("happened", "text"), [(True, "it was restarted"), (False, "nothing was done")]
)
async def test_start_id_tells_what_an_interrupted_attempt_did(
    house: House, happened: bool, text: str
) -> None:
    """D4: sentinel ended between the intent and its end; the row is spent, and the target tells
    what was done.
    """
    journal = house.remediator.journal
    intent = replace(journal.intend(house.worker, "i-1", 1, "x"), target=house.driver.start_id)
    await journal.claim(intent, house.worker)
    if happened:
        await house.driver.restart()
    await journal.settle_interrupted("worker", house.driver.start_id)
    (attempt,) = house.store.attempts()
    assert attempt.outcome == "unknown"
    assert text in attempt.detail


async def test_a_wall_clock_that_is_set_stops_no_backoff_and_refills_no_budget(
    house: House,
) -> None:
    """D7: an hour back or a day forward between two attempts changes nothing."""
    for jump in (-3600.0, 86400.0):
        await house.kill()
        await settle(house)
        await house.consider()
        house.clock.set_back -= jump
        house.clock.now += 15
        await house.see("worker.process", Status.DOWN)
        await settle(house)
        await house.consider()
        await house.until(lambda: house.driver.pid is not None)
    await house.kill()
    house.clock.now += 60
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert [attempt.n for attempt in house.store.attempts()] == [1, 2]
    assert house.picture.incidents["worker"].exhausted


async def test_nothing_is_started_before_what_it_needs_is_healthy(
    tmp_path, store, clock, metrics
) -> None:
    """The bus runs but is not healthy: the worker waits, is not judged, and says for what; then it
    is started.
    """
    house = House(tmp_path, store, clock, metrics)
    house.see = _see_nothing
    async with open_house(house):
        del house.see
        assert house.driver.pid is None
        assert house.circumstances.describe("worker")[0] == "waits for bus, which is unknown"
        for status in (Status.DOWN, Status.DEGRADED):
            await house.see("bus-server", status)
            await house.consider()
            assert house.driver.pid is None
        assert "waits for bus" in house.circumstances.describe("worker")[0]
        assert "worker" not in house.picture.incidents
        await house.see("bus-server", Status.UP)
        await house.consider()
        assert house.driver.pid is not None


async def _see_nothing(_check: str, _status: Status) -> None:
    """No check has run."""


async def test_stopped_on_request_stays_stopped(tmp_path, store, clock, metrics) -> None:
    """Over a restart of sentinel too; a component that was stopped with the platform starts with
    it.
    """
    async with open_house(House(tmp_path, store, clock, metrics, workers=2)) as house:
        assert "stopped" in (await house.requests.stop("worker-0", "maintenance")).line
    async with open_house(House(tmp_path, store, clock, metrics, workers=2)) as house:
        assert house.drivers["worker-0"].pid is None
        assert house.drivers["worker-1"].pid is not None
        assert "`sentinel start worker-0`" in house.circumstances.describe("worker-0")[0]
        await house.consider()
        assert house.store.attempts() == []
        assert "started" in (await house.requests.start("worker-0", "maintenance is over")).line
        assert house.drivers["worker-0"].pid is not None


async def test_results_are_considered_where_something_may_follow(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is bad: a result is no reason to look. One that is bad: at once, and then after a rest
    that is nine times as long as the look was, or a quarter of a second, however many results come.
    """
    remediator, looks, took = house.remediator, list[float](), 0.01

    def look(_self: object) -> None:  # `took` is what the test says by then
        looks.append(house.clock.now)
        house.clock.now += took

    monkeypatch.setattr(type(remediator), "consider", look)
    remediator.heed("bus-server")
    assert looks == []
    await house.kill()
    remediator.heed("worker.process")
    for _ in range(5):
        remediator.heed("worker.process")
        remediator.heed("bus-server")  # somebody with a driver is bad, and may rest on it
    assert len(looks) == 1
    assert remediator._rest is not None
    assert remediator._rests_until == pytest.approx(house.clock.now + 9 * took)
    remediator._rest.cancel()
    remediator._rest, took = None, 1.0
    house.clock.now += 0.1
    remediator.heed("bus-server")
    assert len(looks) == 2
    assert remediator._rests_until == pytest.approx(house.clock.now + LONGEST_REST)
