"""What a result changes: rows, transitions, incidents, orders; one transaction for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.component.incident import BAD
from sentinel.core.fault import Acceptance, Fault, FaultKind, Severity, Status, headline
from sentinel.core.model import (
    AuditNote,
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
from sentinel.engine import incidents as incidents_module
from sentinel.engine import views as views_module
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.faults import MAX_NAME, MAX_TEXT
from sentinel.probes import Kind, Options
from sentinel.redaction import Redaction
from sentinel.store import Gap
from tests.exposition import read_sample
from tests.unit.engine.house import NO_WAITING

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
LAG = Measurement("lag", "Lag.", "bus_lag_entries", labels=("queue",))


def kind(measurements=(LAG,)):
    """A kind that is never run here."""

    async def run(_options, _context):
        raise AssertionError

    faults = (
        FaultKind("broken", Severity.PAGE, "mend-it", "it does not work", ("agent",)),
        FaultKind("slow", Severity.TICKET, "wait", "it works slowly", ("agent",)),
        FaultKind("lost", Severity.PAGE, "gone", "entries are gone", lasting="lost unread"),
        FaultKind("leak", Severity.PAGE, "gone", "rows of others are seen", certain=True),
    )
    return Kind("kind", "", Options, run, measurements, faults)


class Guide:
    """A guide whose words the test chooses."""

    def __init__(self):
        self.word = lambda check, _fault: check.runbook
        self.wants = lambda _check, _runbook: False

    def runbook_of(self, check, fault):
        """What the test says."""
        return self.word(check, fault)

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

    def make(self, incidents=(), health=None, policy=AT_ONCE, standing=None):
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
            paces=NO_WAITING,
        )
        self.engine = engine = make_engine(given)
        self.guard, self.recorder, self.picture = engine.guard, engine.recorder, engine.picture
        known = {incident.component: incident for incident in incidents}
        for name, needs in (("bus", ()), ("orchestrator", ("bus",)), ("api", ("orchestrator",))):
            component = Component(name, depends_on=needs, restart=RestartPolicy(close_after=600))
            self.picture.add_component(component, known.get(name))
            check = self.check(name, policy)
            stood = (standing or {}).get(check.name, ())
            self.picture.add_check(check, kind(), (health or {}).get(check.name), stood)

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
        faults=None,
        notes=(),
    ):
        """A result of the component's check, some seconds later."""
        self.clock.now += seconds
        self.guard.beat()
        self.guard._gaps.clear()
        self.guard.take_gaps()
        if faults is None:
            faults = (Fault("broken", {}, status, detail),) if status in BAD else ()
        evidence = {"secret": "canary"}
        finding = Finding(
            status, detail, rows, evidence, guidance="look", faults=faults, notes=notes
        )
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
        """The timeline by kind, without the lines about single faults."""
        kinds = [entry.kind for entry in self.store.timeline(incident.id)]
        return [kind for kind in kinds if not kind.startswith("fault")]

    def notified(self):
        """Keys of notifications, without instants."""
        return [
            "/".join(order.key.split("Z-", 1)[1].split("/")[:2])
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
    entry, *_ = world.store.timeline(incident.id)
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


async def test_what_is_certain_is_down_at_once(world):
    """One look at a leak is proof; a fault beside it, and one that is accepted, is not."""
    world.make(policy=HealthPolicy())
    await world.see("bus", UP)
    await world.see("bus", DOWN)
    assert world.transitions() == [("bus", UNKNOWN, UP)]
    await world.see("bus", DOWN, faults=[Fault("leak", {"table": "t"}, DOWN, "LEAK t")])
    assert world.transitions() == [("bus", UNKNOWN, UP), ("bus", UP, DOWN)]
    await world.see("api", UP)
    await world.see(
        "api", DOWN, faults=[Fault("leak", {}, DEGRADED, "x"), Fault("broken", {}, DOWN, "y")]
    )
    assert ("api", UP, DOWN) not in world.transitions()


async def test_what_a_look_notes_is_in_the_audit_log(world):
    """At once, with secrets hidden, and the log stays whole; it is no deed of a person's."""
    await world.see(
        "bus", UP, notes=[AuditNote("trials", "tried canary"), AuditNote("trials", "again")]
    )
    first, second = world.store.audit_of("trials", EPOCH, world.clock.utcnow(), 10)
    assert (first.subject, first.detail, second.detail) == ("bus-check", "tried ***", "again")
    assert world.store.verify_audit().whole
    assert world.store.audit(without="trials") == []
    assert world.store.audit_of("trials", EPOCH, world.clock.utcnow(), 1) == [second]


async def test_unknown_opens_nothing(world):
    """Blindness is shown, and is no incident."""
    await world.see("bus", UP)
    for _ in range(5):
        await world.see("bus", UNKNOWN, quality=Quality.BLIND)
    assert world.store.incidents() == []
    assert world.transitions() == [("bus", UNKNOWN, UP), ("bus", UP, UNKNOWN)]


async def test_recovery_and_closing(world):
    """Recovered at the first health and closed after ten observed minutes; told both times."""
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
    assert world.notified() == ["bus/opened", "bus/recovered", "bus/closed"]


async def test_who_heard_that_it_is_over_hears_that_it_is_not(world):
    """H9: recovery is told at once, with the end of the watch; a relapse after it, too; what flaps
    is not told each time.
    """
    await world.see("bus", DOWN)
    await world.see("bus", UP, seconds=5)
    incident = world.picture.incidents["bus"]
    assert incident.watched_until == incident.recovered + timedelta(seconds=600)
    told = [o.payload["text"] for o in world.store.take_orders() if "recovered" in o.key]
    assert told == [
        f"bus is healthy after 5.0 s; watched until {incident.watched_until:%H:%M:%S} UTC"
    ]
    await world.see("bus", DOWN, seconds=5)
    assert world.picture.incidents["bus"].watched_until is None
    await world.see("bus", UP, seconds=5)
    kinds = ["opened", "recovered", "relapsed", "recovered"]
    assert world.notified() == [f"bus/{kind}" for kind in kinds]
    (watched,) = world.picture.of("bus")
    watched.health = replace(watched.health, flapping=True, flap_hold=99)
    await world.see("bus", DOWN, seconds=5)
    await world.see("bus", UP, seconds=5)
    await world.see("bus", DOWN, seconds=5)
    assert world.notified() == [f"bus/{kind}" for kind in [*kinds, "relapsed"]]


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
    assert "queue a: lag is 60, the limit is 60 – as seen" in reasons


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
        return world.metrics.exhausted.labels("bus").value

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
    """Hard down while the latest run passes: the incident tells what failed last, not "200 in 4 ms"."""
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
    assert incident.summary == "500 in 3 ms"
    assert incident.began_as == "connection refused"
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
    entry, *_ = world.store.timeline(incident.id)
    assert incident.summary == "unreachable"
    assert "unreachable" in entry.text


async def test_the_runbook_is_for_what_was_bad(world):
    """Hard down while the latest run passes: the runbook of the failure, not that of any finding of
    the kind.
    """
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=2, recovery_time=30.0))
    world.guide.word = lambda _check, fault: f"for {fault}"
    await world.see("bus", UP, "fine")
    await world.see("bus", DOWN, "unreachable")
    await world.see("bus", UP, "fine")
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert (view.status, view.soft, view.runbook) == ("down", "up", "for broken")


async def test_an_incident_keeps_the_runbook_of_what_was_found(world):
    """While it recovers, too: by then the check has nothing bad to say."""
    world.make(policy=HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0))
    world.guide.word = lambda _check, fault: f"for {fault}"
    await world.see("bus", DOWN, "unreachable")
    await world.see("bus", UP, "fine")
    (incident,) = world.store.incidents()
    assert (incident.state, incident.runbook) == (IncidentState.RECOVERING, "for broken")


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
    assert world.notified() == ["bus/opened", "bus/recovered"]


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
    assert world.notified() == ["bus/opened", "bus/recovered"]
    await world.see("orchestrator", UP)
    await world.see("api", DOWN)
    assert world.notified() == ["bus/opened", "bus/recovered", "api/opened"]


async def test_people_are_told_in_the_end(world):
    """A dependency whose check does not come holds nothing back for long."""
    await world.see("api", DOWN)
    await world.see("api", DOWN, seconds=10)
    assert world.notified() == []
    await world.see("api", DOWN, seconds=10)
    assert world.notified() == ["api/opened"]


# -- faults ---------------------------------------------------------------------------------------


def silent(agent, status=DEGRADED, text="", key="broken"):
    """A fault of one agent."""
    said = text or f"agent {agent} is silent"
    return Fault(
        key, {"agent": agent}, status, said, guidance=f"ask {agent}", parameters={"agent": agent}
    )


def lines(world, *kinds):
    """The timeline of the newest incident: text of the entries of these kinds."""
    incident = world.store.incidents()[0]
    return [entry.text for entry in world.store.timeline(incident.id) if entry.kind in kinds]


async def test_a_fault_keeps_its_subject_to_the_incident(world):
    """Headline, subject, parameters and runbook of the incident are those of the worst fault."""
    world.guide.word = lambda _check, fault: f"for {fault}"
    faults = (silent("agent-2", DOWN), silent("agent-7"))
    await world.see("bus", DOWN, "two are silent", faults=faults)
    (incident,) = world.store.incidents()
    assert incident.summary == "agent agent-2 is silent; and 1 more"
    assert (incident.fault, incident.subject) == ("broken", {"agent": "agent-2"})
    assert incident.parameters == {"agent": "agent-2"}
    assert incident.runbook == "for broken"
    assert lines(world, "fault") == [
        "agent agent-2 is silent (down)",
        "agent agent-7 is silent (degraded)",
    ]


async def test_the_incident_follows_the_fault_to_another_subject(world):
    """Its headline names who is bad now, the timeline who was, and the view whom to ask."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    await world.see("bus", DEGRADED, faults=(silent("agent-4"),))
    (incident,) = world.store.incidents()
    assert (incident.summary, incident.subject) == ("agent agent-4 is silent", {"agent": "agent-4"})
    assert incident.began_as == "agent agent-2 is silent"
    assert lines(world, "fault", "fault over") == [
        "agent agent-2 is silent (degraded)",
        "agent agent-4 is silent (degraded)",
        "agent agent-2 is silent (degraded)",
    ]
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert (view.faults, view.guidance) == ({"broken": 1}, "ask agent-4")
    (component,) = [view for view in world.store.components() if view.name == "bus"]
    assert component.detail == "agent agent-4 is silent"


async def test_faults_stand_from_the_look_that_finds_them_to_the_look_that_does_not(world):
    """Each with its own times; the metric counts the subjects."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"), silent("agent-4")))
    await world.see("bus", DEGRADED, faults=(silent("agent-4"),), seconds=5.0)
    (standing,) = world.store.faults("bus-check")
    assert standing.fault.subject == {"agent": "agent-4"}
    labels = {"check": "bus-check", "component": "bus", "fault": "broken"}
    assert read_sample(world.metrics, "sentinel_faults", **labels) == 1.0
    await world.see("bus", UP)
    assert world.store.faults() == []
    lasted = {
        each.fault.subject["agent"]: (each.ended - each.began).total_seconds()
        for each in world.store.faults(since=world.clock.utcnow() - timedelta(hours=1))
    }
    assert lasted == {"agent-2": 5.0, "agent-4": 6.0}
    assert read_sample(world.metrics, "sentinel_faults", **labels) is None


async def test_a_run_that_can_not_see_ends_no_fault(world):
    """Unknown is no health: what was found stands until a look finds that it is over."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    await world.see("bus", UNKNOWN, "no rights")
    assert [each.fault.subject for each in world.store.faults()] == [{"agent": "agent-2"}]


async def test_what_can_not_be_judged_is_listed_beside_what_stands(world):
    """It blames nobody, and names whom nobody can judge."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    await world.see("bus", UNKNOWN, faults=(silent("agent-9", UNKNOWN, key="slow"),))
    standing = {each.fault.subject["agent"]: each.fault.status for each in world.store.faults()}
    assert standing == {"agent-2": DEGRADED, "agent-9": UNKNOWN}


async def test_an_accepted_fault_is_shown_and_makes_nothing_bad(world):
    """Counted apart, with its reason; another subject still counts; it ends by itself."""
    until = world.clock.utcnow() + timedelta(seconds=60)
    known = Acceptance("broken", {"agent": "agent-2"}, "on holiday", until)
    check = replace(world.check("bus", AT_ONCE), accept=(known,))
    world.picture.add_check(check, kind(), None)
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    assert world.picture.statuses["bus"] is UP
    (standing,) = world.store.faults()
    assert standing.accepted == known
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert (view.soft, view.faults, view.accepted) == ("up", {}, {"broken": 1})
    assert "1 accepted" in view.detail
    both = (silent("agent-4", DOWN), silent("agent-2"))
    await world.see("bus", DOWN, headline(both) + "; 2 of 9 silent", faults=both)
    assert world.store.incidents()[0].summary == "agent agent-4 is silent"
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert view.detail == "agent agent-4 is silent; 1 accepted; 2 of 9 silent"
    await world.see("bus", UP)
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),), seconds=120.0)
    assert world.picture.statuses["bus"] is DEGRADED
    assert world.store.faults()[0].accepted is None


async def test_faults_that_stood_before_a_restart_go_on(world):
    """They began when they were first seen, not when sentinel was started again."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    (before,) = world.store.faults()
    world.make(health=world.store.healths(), standing={"bus-check": [before]})
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),), seconds=30.0)
    (after,) = world.store.faults()
    assert after.began == before.began


async def test_a_long_list_of_faults_is_one_line_more(world):
    """The timeline is for people: ten of them, and how many there are besides."""
    await world.see("bus", DEGRADED, faults=tuple(silent(f"agent-{n}") for n in range(50)))
    assert len(lines(world, "fault")) == 10
    assert lines(world, "faults") == ["40 more: `sentinel faults` lists those that stand"]
    assert len(world.store.faults()) == 50


async def test_secrets_do_not_reach_faults(world):
    """Names and texts come from the platform."""
    bad = Fault("broken", {"path": "/x?token=canary"}, DOWN, "canary leaks", cure=("echo canary",))
    await world.see("bus", DOWN, "canary", faults=(bad,))
    (standing,) = world.store.faults()
    assert "canary" not in repr(standing)
    assert "canary" not in repr(world.store.incidents())


async def test_a_name_that_no_database_takes_ends_after_a_restart(world):
    """What is stored is what stands: else nobody would recognise the fault, and it never ended."""
    await world.see("bus", DEGRADED, faults=(silent("a\udc80b\0"),))
    (before,) = world.store.faults()
    assert before == world.picture.check("bus-check").standing[0]
    world.make(health=world.store.healths(), standing={"bus-check": [before]})
    await world.see("bus", DEGRADED, faults=(silent("a\udc80b\0"),), seconds=5.0)
    assert [each.began for each in world.store.faults()] == [before.began]
    await world.see("bus", UP, seconds=10.0)
    assert world.store.faults() == []


async def test_long_names_are_cut_and_stay_apart(world):
    """Bounded texts; a parameter that is not the thing's own name any more is none."""
    long = (silent("x" * 10_000 + "a"), silent("x" * 10_000 + "b"))
    await world.see("bus", DEGRADED, faults=long)
    standing = [each.fault for each in world.store.faults()]
    assert len(standing) == 2
    assert all(len(fault.subject["agent"]) == MAX_NAME for fault in standing)
    assert all(len(fault.text) == len(fault.guidance) == MAX_TEXT for fault in standing)
    await world.see("bus", DEGRADED, faults=(silent("password=hunter2"), silent("nul\0")))
    assert [dict(each.fault.parameters) for each in world.store.faults()] == [{}, {}]


async def test_a_crossed_threshold_is_a_fault_of_its_subject(world):
    """With the limit in its sentence."""
    levels = Threshold("lag", degraded=Level(10, 5))
    world.picture.add_check(world.check("bus", AT_ONCE, (levels,)), kind(), None)
    await world.see("bus", UP, rows=[Row({"queue": "a"}, {"lag": 30.0})])
    (standing,) = world.store.faults()
    assert standing.fault.key == "threshold"
    assert standing.fault.subject == {"queue": "a", "measurement": "lag"}
    assert standing.fault.text == "queue a: lag is 30, the limit is 10"


async def test_of_two_that_are_down_the_heavier_one_is_the_line(world):
    """A limit of the configuration is no heavier than what its kind says must be heard of."""
    levels = Threshold("lag", down=Level(10, 5))
    world.picture.add_check(world.check("bus", AT_ONCE, (levels,)), kind(), None)
    said = "it does not answer; since noon"
    broken = (Fault("broken", {}, DOWN, "it does not answer"),)
    await world.see("bus", DOWN, said, rows=[Row({"queue": "a"}, {"lag": 30.0})], faults=broken)
    (view,) = [each for each in world.store.checks() if each.name == "bus-check"]
    assert view.detail == "it does not answer; and 1 more; since noon"


async def test_more_subjects_than_can_be_kept_are_counted_all_the_same(world):
    """The list is cut, and says so; the figure is not too low, also while nobody can look."""
    many = tuple(silent(f"agent-{n}") for n in range(700))
    labels = {"check": "bus-check", "component": "bus", "fault": "broken"}
    await world.see("bus", DEGRADED, faults=many)
    await world.see("bus", UNKNOWN, "no rights")
    assert len(world.store.faults()) == 500
    assert read_sample(world.metrics, "sentinel_faults", **labels) == 700.0
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert (view.faults, view.cut) == ({"broken": 700}, 200)
    await world.see("bus", DEGRADED, faults=many[:3])
    assert read_sample(world.metrics, "sentinel_faults", **labels) == 3.0


async def test_a_target_that_is_away_ends_no_fault_of_what_it_holds(world):
    """Nobody could look: what was found of an agent stands until a look finds that it is over."""
    await world.see("bus", DEGRADED, faults=(silent("agent-2"),))
    away = Fault("unreachable", {}, DOWN, "bus: refused")
    await world.see("bus", DOWN, faults=(away,))
    standing = {each.fault.key: each.ended for each in world.store.faults()}
    assert standing == {"broken": None, "unreachable": None}
    assert lines(world, "fault over") == []
    assert world.store.incidents()[0].summary == "bus: refused; and 1 more"
    await world.see("bus", UP)
    assert world.store.faults() == []


async def test_what_is_hidden_and_accepted_raises_no_verdict(world):
    """Slow to start is what the look has seen; what it could not look at makes it no worse."""
    until = world.clock.utcnow() + timedelta(days=1)
    known = Acceptance("broken", {"agent": "agent-2"}, "on holiday", until)
    check = replace(world.check("bus", AT_ONCE), accept=(known,))
    world.picture.add_check(check, kind(), None)
    await world.see("bus", DOWN, faults=(silent("agent-2"), silent("agent-4", DOWN)))
    await world.see("bus", DEGRADED, faults=(Fault("starting", {}, DEGRADED, "loads"),))
    (view,) = [view for view in world.store.checks() if view.name == "bus-check"]
    assert view.soft == "degraded"
    assert len(world.store.faults()) == 3


async def test_a_fault_of_the_target_itself_is_over_when_it_is_another(world):
    """The look has found how the target is: slow a moment ago, away now."""
    await world.see("bus", DEGRADED, faults=(Fault("slow", {}, DEGRADED, "slow"),))
    await world.see("bus", DOWN, faults=(Fault("unreachable", {}, DOWN, "bus: refused"),))
    assert [each.fault.key for each in world.store.faults()] == ["unreachable"]


@pytest.mark.parametrize(
    "story",
    [
        test_the_root_cause_blocks_and_only_it_is_told,
        test_the_root_cause_is_found_late_and_goes_away,
        test_nobody_is_told_of_an_effect,
        test_people_are_told_once_the_dependencies_are_known_to_be_healthy,
        test_what_stays_bad_without_its_cause_is_told,
    ],
)
async def test_of_very_many_the_same_is_told(world, monkeypatch, story):
    """Where very many incidents are open, each hears of what it needs at once all the same."""
    monkeypatch.setattr(incidents_module, "MANY", 0)
    monkeypatch.setattr(views_module, "MANY", 0)
    await story(world)


async def test_very_many_incidents_are_not_walked_at_each_turn(world, monkeypatch):
    """A turn that changes nothing looks at others four times a second; one that does, at those that
    need its component.
    """
    monkeypatch.setattr(incidents_module, "MANY", 0)
    await world.see("api", Status.DOWN)
    await world.see("orchestrator", Status.DOWN)
    incidents, now = world.engine.incidents, world.clock.utcnow()
    for each in world.picture.incidents.values():
        world.picture.keep_incident(replace(each, announced=False))
    later = now + timedelta(seconds=0.3)
    assert set(incidents._find_moved("bus", later, changed=False)) == {"api", "orchestrator"}
    soon = later + timedelta(seconds=0.1)
    assert incidents._find_moved("bus", soon, changed=False) == []
    assert set(incidents._find_moved("bus", soon, changed=True)) == {"api", "orchestrator"}
    assert incidents._find_moved("orchestrator", soon, changed=True) == ["api"]
    assert incidents._find_moved("api", soon, changed=True) == []
