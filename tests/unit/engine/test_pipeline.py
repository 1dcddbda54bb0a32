"""What a result changes: rows, transitions, incidents, orders; one transaction for each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import (
    Check,
    Component,
    Finding,
    HealthPolicy,
    IncidentState,
    Level,
    Measurement,
    Quality,
    RestartPolicy,
    Result,
    Row,
    Threshold,
)
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.log import Redaction
from sentinel.probes import Kind, Options
from sentinel.store import Gap

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
LAG = Measurement("lag", "Lag.", "bus_lag_entries", labels=("queue",))


def kind(measurements=(LAG,)):
    """A kind that is never run here."""

    async def run(_options, _context):
        raise AssertionError

    return Kind("kind", "", Options, run, measurements)


class Guide:
    """A guide whose words the test chooses."""

    def __init__(self):
        self.word = lambda check, _detail: check.runbook
        self.wants = lambda _check, _runbook: False

    def runbook_of(self, check, detail):
        """What the test says."""
        return self.word(check, detail)

    def is_wanted(self, check, runbook):
        """What the test says."""
        return self.wants(check, runbook)


class World:
    """An engine with three components (api needs orchestrator needs bus) and one check for each."""

    def __init__(self, store, metrics, clock, folder=Path("/nowhere")):
        self.clock, self.store, self.metrics, self.folder = clock, store, metrics, folder
        self.guide = Guide()
        self.recorder = None
        self.make()

    def make(self, incidents=(), health=None, policy=AT_ONCE):
        """An engine as a start of sentinel makes it."""
        if self.recorder is not None:
            self.recorder.close()
        given = Surroundings(
            self.store,
            self.metrics,
            self.clock,
            self.folder,
            Restraint(enabled=False),
            runbooks=self.guide,
            scrub=Redaction(["canary"]).scrub,
        )
        self.engine = engine = make_engine(given)
        self.guard, self.recorder, self.picture = engine.guard, engine.recorder, engine.picture
        known = {incident.component: incident for incident in incidents}
        for name, needs in (("bus", ()), ("orchestrator", ("bus",)), ("api", ("orchestrator",))):
            component = Component(name, depends_on=needs, restart=RestartPolicy(close_after=600))
            self.picture.add_component(component, known.get(name))
            check = self.check(name, policy)
            self.picture.add_check(check, kind(), (health or {}).get(check.name))

    @staticmethod
    def check(name, policy, thresholds=()):
        """The check of a component."""
        return Check(
            f"{name}-check",
            "kind",
            name,
            10.0,
            5.0,
            Options(),
            thresholds=thresholds,
            health=policy,
        )

    async def see(
        self,
        name,
        status,
        detail="as seen",
        *,
        rows=(),
        seconds=1.0,
        quality=Quality.OBSERVED,
        state=None,
    ):
        """A result of the component's check, some seconds later."""
        self.clock.now += seconds
        self.guard.beat()
        self.guard._gaps.clear()
        self.guard.take_gaps()
        finding = Finding(status, detail, rows, guidance="look", evidence={"secret": "canary"})
        now = self.clock.utcnow()
        return await self.engine.turn.take(
            Result(f"{name}-check", finding, now, 0.1, "trace", quality, state=state)
        )

    def transitions(self, scope="component"):
        """(subject, before, after) of every stored transition of a scope."""
        since = self.clock.utcnow() - timedelta(days=2)
        return [
            (t.subject, t.before, t.after)
            for t in self.store.transitions(since=since)
            if t.scope == scope
        ]

    def kinds(self, incident):
        """The timeline by kind."""
        return [entry.kind for entry in self.store.timeline(incident.id)]

    def notified(self):
        """Keys of notifications, without the incident's instant."""
        return [
            order.key.split("Z-", 1)[1]
            for order in self.store.take_orders()
            if order.kind == "notify"
        ]


@pytest.fixture
def world(store, metrics, clock):
    """A world."""
    made = World(store, metrics, clock)
    yield made
    made.recorder.close()


async def test_a_failure_from_end_to_end(world):
    """Transition rows of check and component, an incident with evidence, a notification, views,
    metrics, a turn.
    """
    await world.see("bus", UP)
    await world.see("bus", DOWN, "refused (password canary)")
    assert world.transitions("check") == [("bus-check", UNKNOWN, UP), ("bus-check", UP, DOWN)]
    assert world.transitions() == [("bus", UNKNOWN, UP), ("bus", UP, DOWN)]
    (incident,) = world.store.incidents(open_only=True)
    assert (incident.component, incident.check, incident.status) == ("bus", "bus-check", DOWN)
    (entry,) = world.store.timeline(incident.id)
    assert entry.kind == "opened"
    assert (entry.evidence["check"], entry.evidence["trace_id"]) == ("bus-check", "trace")
    assert world.notified() == ["bus/opened"]
    (view,) = world.store.checks()
    assert (view.name, view.status, view.soft, view.runs) == ("bus-check", "down", "down", 2)
    assert {view.name: view.status for view in world.store.components()}["bus"] == "down"
    assert "canary" not in repr((world.store.checks(), world.store.timeline(incident.id), incident))


async def test_soft_failures_ask_for_a_fast_recheck(world):
    """Soft: true; hard, healthy or unknown: false."""
    world.make(policy=HealthPolicy())
    asked = [await world.see("bus", status) for status in (UP, DOWN, DOWN, UNKNOWN, DOWN, DOWN)]
    assert asked == [False, True, True, False, False, False]


async def test_unknown_opens_nothing(world):
    """Blindness is shown, and is no incident."""
    await world.see("bus", UP)
    for _ in range(5):
        await world.see("bus", UNKNOWN, quality=Quality.BLIND)
    assert world.store.incidents() == []
    assert world.transitions() == [("bus", UNKNOWN, UP), ("bus", UP, UNKNOWN)]


async def test_recovery_and_closing(world):
    """Recovered at the first health, closed after ten observed minutes, told at the end."""
    await world.see("bus", DOWN)
    incident = world.picture.incidents["bus"]
    await world.see("bus", UP, seconds=5)
    assert world.picture.incidents["bus"].state is IncidentState.RECOVERING
    for _ in range(59):
        await world.see("bus", UP, seconds=10)
    assert "bus" in world.picture.incidents
    await world.see("bus", UP, seconds=10)
    assert world.picture.incidents == {}
    assert world.kinds(incident) == ["opened", "recovered", "closed"]
    assert world.notified() == ["bus/opened", "bus/closed"]


async def test_time_without_sentinel_is_no_observed_health(world):
    """Ten minutes in which no sentinel ran close nothing."""
    await world.see("bus", DOWN)
    await world.see("bus", UP)
    before = world.clock.utcnow()
    world.clock.now += 3600
    world.make(incidents=[world.picture.incidents["bus"]], health=world.store.healths())
    gap = Gap(before, world.clock.utcnow(), "sentinel was not running")
    world.engine.incidents.note_away(gap)
    await world.see("bus", UP)
    await world.see("bus", UP, seconds=300)
    assert world.picture.incidents["bus"].state is IncidentState.RECOVERING
    await world.see("bus", UP, seconds=300)
    assert world.picture.incidents == {}


async def test_the_root_cause_blocks_and_only_it_is_told(world):
    """Bus, orchestrator and api go down: three incidents, one page; both dependents name the bus."""
    for name in ("bus", "orchestrator", "api"):
        await world.see(name, DOWN)
    blocked = {incident.component: incident.blocked_by for incident in world.store.incidents()}
    assert blocked == {"bus": "", "orchestrator": "bus", "api": "bus"}
    assert world.notified() == ["bus/opened"]


async def test_the_root_cause_is_found_late_and_goes_away(world):
    """When the dependency is noticed after the dependent, the incident says so then, and when it is
    gone.
    """
    await world.see("api", DOWN)
    incident = world.picture.incidents["api"]
    await world.see("bus", DOWN)
    assert world.picture.incidents["api"].blocked_by == "bus"
    await world.see("bus", UP)
    assert world.picture.incidents["api"].blocked_by == ""
    assert world.kinds(incident) == ["opened", "blocked", "unblocked"]


async def test_thresholds_judge_measurements(world):
    """A raised value makes an up finding down, says which and whose, and holds until it is cleared."""
    levels = Threshold("lag", degraded=Level(10, 5), down=Level(60, 20))
    world.picture.add_check(world.check("bus", AT_ONCE, (levels,)), kind(), None)
    seen = []
    for value in (3.0, 10.0, 6.0, 60.0, 30.0, 19.0, 5.0):
        await world.see("bus", UP, rows=[Row({"queue": "a"}, {"lag": value})])
        seen.append(world.picture.statuses["bus"].value)
    assert seen == ["up", "degraded", "degraded", "down", "down", "degraded", "up"]
    reasons = [
        t.reason for t in world.store.transitions(since=world.clock.utcnow() - timedelta(days=1))
    ]
    assert "lag is 60 (a) – as seen" in reasons


async def test_a_restart_of_sentinel_changes_no_status(world):
    """Restored health: the first failure after the start opens nothing, the second does."""
    await world.see("bus", UP)
    world.make(health=world.store.healths())
    await world.see("bus", DOWN)
    assert world.store.incidents() == []
    await world.see("bus", DOWN)
    assert [incident.component for incident in world.store.incidents()] == ["bus"]


async def test_an_open_incident_goes_on_after_a_restart(world):
    """The same incident, not another one; nothing is told twice."""
    await world.see("bus", DOWN)
    world.make(incidents=world.store.incidents(open_only=True), health=world.store.healths())
    await world.see("bus", DOWN)
    await world.see("bus", DOWN)
    assert len(world.store.incidents()) == 1
    assert world.notified() == ["bus/opened"]


async def test_probe_state_is_kept_with_the_result(world):
    """What a kind dumped is in the same transaction as what it found."""
    await world.see("bus", UP, state={"cursor": 5})
    assert world.store.probe_states() == {"bus-check": {"cursor": 5}}


async def test_a_stale_verdict_is_no_fresh_one(world):
    """After two intervals and the timeout, a "down" is no reason to act any more."""
    await world.see("bus", DOWN)
    world.clock.now += 24.9
    assert world.picture.is_observed_down("bus")
    world.clock.now += 0.2
    assert not world.picture.is_observed_down("bus")
    assert not world.picture.is_observed_down("nobody")


async def test_a_check_that_passes_again_is_no_reason_to_act(world):
    """Hard down, but the latest verdict is up: wait for the recovery."""
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=5))
    await world.see("bus", DOWN)
    assert world.picture.is_observed_down("bus")
    await world.see("bus", UP)
    assert world.picture.statuses["bus"] is DOWN
    assert not world.picture.is_observed_down("bus")


async def test_an_old_verdict_says_nothing_about_now(world):
    """Only what was seen after an instant counts, soft failures among it; nothing seen is unknown."""
    world.make(policy=HealthPolicy())
    await world.see("bus", UP)
    instant = world.clock.utcnow() + timedelta(seconds=0.5)
    assert world.picture.status_after("bus", instant) is UNKNOWN
    await world.see("bus", UP)
    assert world.picture.status_after("bus", instant) is UP
    await world.see("bus", DOWN)
    assert world.picture.statuses["bus"] is UP
    assert world.picture.status_after("bus", instant) is DOWN
    assert world.picture.status_after("nobody", instant) is UNKNOWN


async def test_a_removed_check_is_not_taken(world):
    """A result that comes after its check was removed changes nothing."""
    world.picture.remove_check("bus-check")
    assert await world.see("bus", DOWN) is False
    assert world.store.incidents() == []


async def test_an_exhausted_incident_shows_after_a_restart(world):
    """The gauge of exhausted components is set from what is stored, and cleared when the incident
    closes.
    """

    def gauge():
        return world.metrics.exhausted.labels("bus")._value.get()

    await world.see("bus", DOWN)
    incident = world.picture.incidents["bus"]
    assert gauge() == 0
    object.__setattr__(incident, "exhausted", True)
    world.make(incidents=[incident], health=world.store.healths())
    assert gauge() == 1
    await world.see("bus", UP)
    await world.see("bus", UP)
    assert gauge() == 1
    for _ in range(61):
        await world.see("bus", UP, seconds=10)
    assert gauge() == 0


async def test_the_cause_is_what_was_bad_and_not_the_latest_word(world):
    """Hard down while the latest run passes: the incident tells what failed, not "200 in 4 ms"."""
    slow = HealthPolicy(failures=2, of=5, recoveries=2, recovery_time=30.0)
    world.make(policy=slow)
    await world.see("bus", UP, "200 in 4 ms")
    await world.see("api", UP, "200 in 4 ms")
    await world.see("orchestrator", UP)
    await world.see("api", DOWN, "connection refused")
    await world.see("api", DOWN, "connection refused")
    await world.see("api", UP, "200 in 4 ms")
    await world.see("api", DEGRADED, "500 in 3 ms")
    await world.see("api", UP, "200 in 4 ms")
    (incident,) = world.store.incidents()
    assert incident.summary == "connection refused"
    (view,) = [view for view in world.store.components() if view.name == "api"]
    assert (view.status, view.detail) == ("degraded", "500 in 3 ms")


async def test_evidence_is_of_what_was_bad(world):
    """Opened while the latest run passes, because it was held until then: the evidence is not
    "fine".
    """
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=2, recovery_time=30.0))
    world.engine.fleet.stopped.add("bus")
    await world.see("bus", UP, "fine")
    await world.see("bus", DOWN, "unreachable")
    world.engine.fleet.stopped.discard("bus")
    await world.see("bus", UP, "fine")
    (incident,) = world.store.incidents()
    (entry,) = world.store.timeline(incident.id)
    assert entry.evidence["detail"] == incident.summary == "unreachable"


async def test_the_runbook_is_for_what_was_bad(world):
    """Hard down while the latest run passes: the runbook of the failure, not that of any finding of
    the kind.
    """
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=2, recovery_time=30.0))
    world.guide.word = lambda _check, detail: f"for {detail}"
    await world.see("bus", UP, "fine")
    await world.see("bus", DOWN, "unreachable")
    await world.see("bus", UP, "fine")
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert (view.status, view.soft, view.runbook) == ("down", "up", "for unreachable")


async def test_an_incident_keeps_the_runbook_of_what_was_found(world):
    """While it recovers, too: by then the check has nothing bad to say."""
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0))
    world.guide.word = lambda _check, detail: f"for {detail}"
    await world.see("bus", DOWN, "unreachable")
    await world.see("bus", UP, "fine")
    (incident,) = world.store.incidents()
    assert (incident.state, incident.runbook) == (IncidentState.RECOVERING, "for unreachable")


async def test_nobody_is_told_of_an_effect(world):
    """Its check came first: that of the cause says so a moment later, and is healthy again a moment
    earlier.
    """
    await world.see("bus", UP)
    await world.see("orchestrator", UP)
    await world.see("api", DOWN)
    await world.see("orchestrator", UP)
    assert world.notified() == []
    await world.see("bus", DOWN)
    assert world.notified() == ["bus/opened"]
    await world.see("api", DOWN)
    await world.see("bus", UP)
    await world.see("api", UP)
    assert world.notified() == ["bus/opened"]


async def test_people_are_told_once_the_dependencies_are_known_to_be_healthy(world):
    """By the turn of the last of them, however seldom the component's own check runs."""
    await world.see("api", DOWN)
    await world.see("bus", UP)
    assert world.notified() == []
    await world.see("orchestrator", UP)
    assert world.notified() == ["api/opened"]


async def test_what_stays_bad_without_its_cause_is_told(world):
    """The bus is back, and the component's own check says afterwards that this was not all."""
    await world.see("bus", DOWN)
    await world.see("orchestrator", UP)
    await world.see("api", DOWN)
    await world.see("bus", UP)
    assert world.notified() == ["bus/opened"]
    await world.see("orchestrator", UP)
    await world.see("api", DOWN)
    assert world.notified() == ["bus/opened", "api/opened"]


async def test_people_are_told_in_the_end(world):
    """A dependency whose check does not come holds nothing back for long."""
    await world.see("api", DOWN)
    await world.see("api", DOWN, seconds=10)
    assert world.notified() == []
    await world.see("api", DOWN, seconds=10)
    assert world.notified() == ["api/opened"]
