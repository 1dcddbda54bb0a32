"""Runbooks on a platform: values from its configuration, the incident that a run belongs to, names
that exist.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.app.runbooks.places import (
    Told,
    check_runbooks,
    find_incident,
    find_runbook,
    find_told,
    find_values,
    known_faults,
    known_names,
    open_shelf,
    plan_here,
)
from sentinel.config import Configuration, load
from sentinel.core.fault import Acceptance, Fault, FaultKind, Severity, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import ConfigurationError
from sentinel.runbook.book import AppliesTo, Parameter, Runbook, RunCheck
from sentinel.runbook.plan import BookPlan, make_plan
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check as view

SHIPPED = Path(__file__).parents[4] / "runbooks"
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLATFORM = """
platform: acme
state: {folder}/var
resources:
  valkey: {{redis: "redis://h:1"}}
  other: {{redis: "redis://h:2"}}
  pg: {{postgres: "postgresql://h/d"}}
components:
  queue: {{resource: valkey}}
  worker-a: {{driver: process, command: [sleep, "1"]}}
  worker-b: {{driver: process, command: [sleep, "1"]}}
  brain: {{driver: process, command: [sleep, "1"]}}
checks:
  - {{name: first, kind: redis_server, component: queue, resource: other}}
  - {{name: queue-up, kind: redis_server, component: queue, resource: valkey}}
  - {{name: assign, kind: task_assignment, component: brain, table: app.work, columns: {{created_at: born}}}}
  - {{name: a-proc, kind: process, component: worker-a}}
{more}
"""


@pytest.fixture
def platform(tmp_path: Path) -> Configuration:
    """A platform that has nothing of the demo's names."""
    return write(tmp_path)


def write(folder: Path, more: str = "") -> Configuration:
    (folder / "sentinel.yaml").write_text(PLATFORM.format(folder=folder, more=more))
    return load(folder, {})


def incident(component: str, check: str = "", **changes: object) -> Incident:
    facts = {
        "opened": T0,
        "state": IncidentState.OPEN,
        "status": Status.DOWN,
        "summary": "x",
        **changes,
    }
    return Incident(f"I-{component}", component, check=check, **facts)  # type: ignore[arg-type]


SHELF = open_shelf(Path("nowhere"))


def test_names_come_from_the_configuration(platform: Configuration) -> None:
    """Checks, resources, tables and columns are those of this platform, not those of the demo."""
    values = find_values(SHELF.books["assigner-hung"], platform, None, {})
    assert values["check"] == "assign"
    assert values["database"] == "pg"
    assert (values["tasks"], values["created_at"], values["assigned_at"]) == (
        "app.work",
        "born",
        "assigned_at",
    )
    plan = make_plan(SHELF.books["assigner-hung"], {}, known_names(platform), values)
    sql = next(str(step.run) for step in plan.steps if "FROM" in str(step.run))
    assert sql.startswith("sql on pg:")
    assert 'FROM "app"."work"' in sql
    assert '"born" <' in sql


def test_the_incident_says_which(platform: Configuration) -> None:
    """With an incident its own check and the resource of that come first; without one, the first of
    the kind.
    """
    book = SHELF.books["bus-unreachable"]
    assert find_values(book, platform, None, {}) == {"check": "first", "bus": "valkey"}
    own = find_values(book, platform, incident("queue", "first"), {})
    assert own == {"check": "first", "bus": "other"}
    assert find_values(book, platform, incident("queue", "queue-up"), {})["bus"] == "valkey"


@pytest.mark.parametrize(
    ("component", "check"), [("worker-a", "a-proc"), ("worker-b", "worker-b.process")]
)
def test_the_component_and_its_check_go_together(
    platform: Configuration, component: str, check: str
) -> None:
    """A restart is never guarded by the check of another component: its own, else that of its
    driver.
    """
    book = SHELF.books["process-down"]
    of_incident = find_values(book, platform, incident(component), {})
    assert (of_incident["component"], of_incident["check"]) == (component, check)
    assert find_values(book, platform, None, {"component": component})["check"] == check
    assert not {"component", "check"} & find_values(book, platform, None, {}).keys()


def test_what_has_no_driver_is_not_restarted(platform: Configuration) -> None:
    """An incident of a server leads to no action on it, nor on anything else; the reason is told."""
    book = SHELF.books["process-down"]
    plan = plan_here(book, platform, incident("queue", "queue-up"), {})
    assert plan.parameters["component"] == "queue"
    assert plan.steps[-1].skip.startswith(
        "nobody told check: give check=…, one of first, queue-up,"
    )
    plan = plan_here(book, platform, incident("queue", "queue-up"), {"check": "queue-up"})
    assert plan.steps[-1].skip == "queue has no driver: sentinel only watches it"


def test_a_check_that_is_not_there_by_itself_is_not_asked(platform: Configuration) -> None:
    """`NAME.process` is there for what has a driver: else its steps are skipped, with the reason."""
    names = {book.name: plan_of_all(book, platform, "queue") for book in SHELF.books.values()}
    skipped = {
        name for name, plan in names.items() for step in plan.steps if "queue.process" in step.skip
    }
    assert {"api-failing", "assigner-hung", "component-exhausted"} <= skipped
    known = known_names(platform)["check"]
    for plan in names.values():
        for step in plan.steps:
            acts = (step.run, step.precondition, step.verify)
            asked = {act.check for act in acts if isinstance(act, RunCheck)}
            assert step.skip or asked <= set(known), step.name
    of_worker = plan_of_all(SHELF.books["api-failing"], platform, "worker-b")
    assert not any("there is no check" in step.skip for step in of_worker.steps)


def plan_of_all(book: Runbook, platform: Configuration, name: str) -> BookPlan:
    """With this component for each that it asks for."""
    given = {each.name: name for each in book.parameters if each.type == "component"}
    return plan_here(book, platform, None, given, partial=True)


def test_who_reads_a_stream_is_asked_with_the_names_to_choose_from(platform: Configuration) -> None:
    """Only those that can be restarted; a group that has the name of one is told by the fault."""
    book, of_queue = SHELF.books["bus-delivery-late"], incident("queue")
    given, told = {"check": "first"}, {"stream": "s", "group": "readers"}
    asked = plan_here(book, platform, of_queue, given, Told(told)).steps[-1].skip
    assert asked == "nobody told component: give component=…, one of brain, worker-a, worker-b"
    known = plan_here(book, platform, of_queue, {}, Told({"stream": "s", "group": "worker-a"}))
    assert known.parameters["component"] == "worker-a"


def test_an_agent_is_a_component_only_by_its_very_name(platform: Configuration) -> None:
    """The agent that a fault names is its subject: restarted where sentinel supervises it."""
    book, of_queue = SHELF.books["registry-mismatch"], incident("queue")
    known = plan_here(book, platform, of_queue, {}, Told({"agent": "worker-a"}))
    assert str(known.steps[-1].run).startswith("action restart component=worker-a ")
    assert "component" not in known.steps[-1].skip
    strange = plan_here(book, platform, of_queue, {}, Told({"agent": "worker-7"}))
    assert strange.parameters["agent"] == "worker-7"
    assert strange.parameters["component"] == ""
    assert "nobody told" in strange.steps[-1].skip


def test_a_given_component_is_the_one(platform: Configuration) -> None:
    """Whatever the incident is of: the operator's word counts."""
    plan = plan_here(
        SHELF.books["process-down"], platform, incident("worker-a"), {"component": "worker-b"}
    )
    acting = plan.steps[-1]
    assert (acting.skip, acting.precondition) == (
        "",
        RunCheck("worker-b.process", ("degraded", "down")),
    )
    assert str(acting.run).startswith("action restart component=worker-b ")


def test_the_check_is_that_of_the_fault(platform: Configuration) -> None:
    """What found it is asked, and on the server that it asks, whatever else the incident is of."""
    told = Told({"resource": ""}, "first")
    values = find_values(
        SHELF.books["bus-unreachable"], platform, incident("queue", "queue-up"), {}, told
    )
    assert (values["check"], values["bus"]) == ("first", "other")


def test_a_resource_fits_its_type(platform: Configuration) -> None:
    """The server that a fault names is asked, unless it is one of another kind."""
    book = SHELF.books["bus-unreachable"]
    assert find_values(book, platform, None, {}, Told({"resource": "other"}))["bus"] == "other"
    assert find_values(book, platform, None, {}, Told({"resource": "pg"}))["bus"] == "valkey"
    assert find_values(book, platform, None, {}, Told({"resource": "gone"}))["bus"] == "valkey"


def test_the_columns_are_those_of_the_table(tmp_path: Path) -> None:
    """Of a check with several tables, those of the one that the fault names."""
    more = (
        "  - {name: flows, kind: flows, component: queue, table: app.flows, status: state,"
        " children: [{table: steps, join: [flow], status: phase, created_at: born}]}\n"
    )
    platform, book = write(tmp_path, more), SHELF.books["flows-stuck"]
    master = find_values(book, platform, None, {}, Told({"table": "app.flows"}))
    assert (master["flows"], master["status"], master["created_at"]) == (
        "app.flows",
        "state",
        "created_at",
    )
    child = find_values(book, platform, None, {}, Told({"table": "steps"}))
    assert (child["flows"], child["status"], child["created_at"]) == ("steps", "phase", "born")
    plan = plan_here(book, platform, None, {}, Told({"table": "steps", "flow": "7"}))
    (sql,) = [str(step.run) for step in plan.steps if step.name.startswith("The flow that")]
    assert 'FROM "public"."steps" WHERE "id"::text = \'7\'' in sql


def test_given_values_win(platform: Configuration) -> None:
    """What a person gives is taken, and a name that does not exist is refused; a default may be
    missing here.
    """
    book = SHELF.books["bus-unreachable"]
    plan = make_plan(
        book, {"check": "queue-up"}, known_names(platform), find_values(book, platform, None, {})
    )
    assert plan.parameters["check"] == "queue-up"
    assert plan.parameters["canary"] == ""
    assert make_plan(book, {"check": "worker-a.process"}, known_names(platform)).parameters["check"]


# -- the incident of a run ------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """A store with three open incidents; the newest is not the one that most runs are for."""
    made = SqliteStore(tmp_path)
    made.commit(
        Changes(
            checks=[
                view("queue-up", "redis_server", "queue", runbook="bus-unreachable"),
                view("a", "process", "worker-a"),
            ],
            incidents=[
                incident("queue", "queue-up"),
                incident("worker-a", "a", opened=T0 + timedelta(minutes=1), exhausted=True),
                incident("worker-b", "a", opened=T0 + timedelta(minutes=2)),
            ],
        )
    )
    return made


@pytest.mark.parametrize(
    ("book", "given", "expected"),
    [
        ("bus-unreachable", {}, "I-queue"),
        ("component-exhausted", {}, "I-worker-a"),
        ("process-down", {"component": "worker-b"}, "I-worker-b"),
        ("process-down", {"component": "brain"}, None),
        ("tenant-leak", {}, None),
        ("sentinel-blind", {}, None),
        ("bus-pending", {"component": "worker-a"}, "I-worker-a"),
    ],
)
def test_the_right_incident(
    store: SqliteStore, book: str, given: dict[str, str], expected: str | None
) -> None:
    """A transcript goes into the incident that it is about, and into none rather than into a wrong
    one.
    """
    found = find_incident(SHELF.books[book], given, store)
    assert (found.id if found else None) == expected


# -- names that exist -----------------------------------------------------------------------------


def test_a_missing_runbook_is_a_problem(tmp_path: Path) -> None:
    """A check that names a runbook that does not exist is told, with its line and the way out."""
    wrong = "  - {name: b-proc, kind: process, component: worker-b, runbook: no-such}"
    with pytest.raises(ConfigurationError) as caught:
        check_runbooks(write(tmp_path, wrong))
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("b-proc.runbook", 18)
    assert problem.remedy == "leave it out: each fault of process has its own"


def test_a_missing_runbook_of_an_objective_is_a_problem(tmp_path: Path) -> None:
    """It is refused as that of a check is, with the line of the objective."""
    aim = "{name: up, check: a-proc, sli: up, target: 99%, window: 1d, runbook: no-such}"
    with pytest.raises(ConfigurationError) as caught:
        check_runbooks(write(tmp_path, f"objectives:\n  - {aim}"))
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("up.runbook", 19)
    assert problem.file.endswith("sentinel.yaml")
    assert problem.message == "there is no runbook 'no-such'"
    assert problem.remedy == "leave it out: its alerts have one of their own"
    check_runbooks(
        write(tmp_path, f"objectives:\n  - {aim.replace('no-such', 'objective-burning')}")
    )


def test_a_broken_runbook_of_the_platform_is_a_problem(
    platform: Configuration, tmp_path: Path
) -> None:
    """Runbooks beside the configuration are read as strictly as the shipped ones."""
    check_runbooks(platform)
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "mine.md").write_text("# no front matter")
    with pytest.raises(ConfigurationError, match="no front matter"):
        check_runbooks(platform)


def _write_book(folder: Path, front: str) -> None:
    (folder / "runbooks").mkdir(exist_ok=True)
    shipped = (SHIPPED / "port-unreachable.md").read_text()
    body = shipped[shipped.index("\n---", 4) + 4 :]
    (folder / "runbooks" / "mine.md").write_text(f"---\nname: mine\ntitle: x\n{front}\n---{body}")


STEPS = "steps: [{name: a, run: {look: gaps}}]"


def test_a_runbook_for_what_nobody_has_is_a_problem(
    platform: Configuration, tmp_path: Path
) -> None:
    """Own runbooks name faults of kinds that there are; supervision is one."""
    _write_book(tmp_path, f"applies_to: {{faults: [tcp/*, supervision/*, tcpp/x]}}\n{STEPS}")
    with pytest.raises(ConfigurationError) as caught:
        check_runbooks(platform)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (4, "applies_to.faults[2]")
    assert problem.message == "unknown kind `tcpp`"
    assert problem.remedy.startswith("did you mean `tcp`?")


def test_a_parameter_that_no_fault_gives_is_a_problem(
    platform: Configuration, tmp_path: Path
) -> None:
    """It would be empty for ever, and its steps skipped."""
    asks = 'parameters: [{name: stream, type: str, default: "", from: [fault.strem]}]'
    _write_book(tmp_path, f"{asks}\n{STEPS}")
    with pytest.raises(ConfigurationError) as caught:
        check_runbooks(platform)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (4, "parameters.stream.from")
    assert problem.message.startswith("no fault that leads here gives strem; ")


# -- what the fault tells
# ---------------------------------------------------------------------------------


LOST = FaultKind("lost", Severity.PAGE, "bus-messages-lost", "x", ("stream",))
LATE = FaultKind("waiting", Severity.TICKET, "bus-delivery-late", "x", ("stream",))


def _stand(store: SqliteStore, key: str, status: Status, stream: str) -> None:
    fault = Fault(key, {"stream": stream}, status, "x", parameters={"stream": stream})
    standing = StandingFault("delivery", "queue", fault, T0, status)
    store.commit(Changes(faults=[standing]))


def _stand_all(store: SqliteStore) -> None:
    store.commit(Changes(checks=[view("delivery", "bus_delivery", "queue")]))
    _stand(store, "waiting", Status.DOWN, "slow")
    _stand(store, "lost", Status.DEGRADED, "a")
    _stand(store, "lost", Status.DOWN, "b")


def test_the_worst_fault_that_leads_there_tells(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each runbook hears of its own faults: the one for losses of the stream that lost."""
    kinds = {"bus_delivery": {"lost": LOST, "waiting": LATE}}
    monkeypatch.setattr("sentinel.app.runbooks.places.known_faults", lambda: kinds)
    _stand_all(store)
    of_queue = incident("queue", "delivery", runbook="database-degraded")
    assert find_told(SHELF.books["bus-messages-lost"], of_queue, store).parameters == {
        "stream": "b"
    }
    assert find_told(SHELF.books["bus-delivery-late"], of_queue, store).parameters == {
        "stream": "slow"
    }
    assert find_told(SHELF.books["database-degraded"], of_queue, store).parameters == {
        "stream": "b"
    }
    assert find_told(SHELF.books["tenant-leak"], of_queue, store).parameters == {}
    assert find_told(SHELF.books["bus-messages-lost"], incident("x", "a"), store).parameters == {}
    of_another_check = incident("queue", "queue-up")
    assert find_told(SHELF.books["bus-messages-lost"], of_another_check, store) == Told(
        {"stream": "b"}, "delivery"
    )
    assert find_told(SHELF.books["bus-messages-lost"], None, store).parameters == {}


def test_the_fault_of_the_incident_comes_first(store: SqliteStore) -> None:
    """For its own runbook what the incident is about counts, whatever else stands."""
    _stand_all(store)
    about = {"stream": "a", "group": "g"}
    facts = {"runbook": "bus-messages-lost", "fault": "lost"}
    of_queue = incident("queue", "delivery", **facts, parameters=about)
    assert find_told(SHELF.books["bus-messages-lost"], of_queue, store).parameters == about
    assert find_told(SHELF.books["bus-delivery-late"], of_queue, store).parameters == {
        "stream": "slow"
    }


def test_a_fault_of_nobody_in_particular_picks_nobody(store: SqliteStore) -> None:
    """An incident whose own fault names no subject is not taken for one of some other's."""
    _stand_all(store)
    facts = {"runbook": "bus-messages-lost", "fault": "threshold"}
    of_queue = incident("queue", "delivery", **facts)
    assert find_told(SHELF.books["bus-messages-lost"], of_queue, store) == Told({}, "delivery")


def test_a_given_subject_is_not_mixed_with_another(store: SqliteStore) -> None:
    """Who names the stream hears of its fault, or of none."""
    _stand_all(store)
    book = SHELF.books["bus-messages-lost"]
    told = {"stream": "b"}
    of_queue = incident("queue", "delivery", runbook=book.name, fault="lost", parameters=told)
    assert find_told(book, of_queue, store, {"stream": "a"}).parameters == {"stream": "a"}
    assert find_told(book, of_queue, store, {"stream": "c"}).parameters == {}
    assert find_told(book, of_queue, store, {"check": "x"}).parameters == {"stream": "b"}


def test_what_is_accepted_leads_nowhere(store: SqliteStore) -> None:
    """Nobody is sent after what somebody bears, while the same is wrong with another subject."""
    _stand_all(store)
    known = Acceptance("lost", {"stream": "b"}, "known", T0 + timedelta(days=1))
    lost = [each for each in store.faults() if each.fault.subject == {"stream": "b"}]
    store.commit(Changes(faults=[replace(each, accepted=known) for each in lost]))
    of_queue = incident("queue", "delivery")
    told = find_told(SHELF.books["bus-messages-lost"], of_queue, store)
    assert told == Told({"stream": "a"}, "delivery")


def test_an_incident_is_found_by_its_faults(store: SqliteStore) -> None:
    """A runbook that is not the one of the incident belongs to it when a fault leads there."""
    _stand_all(store)
    store.commit(Changes(incidents=[incident("queue", "delivery", runbook="bus-messages-lost")]))
    for name in ("bus-messages-lost", "bus-delivery-late"):
        found = find_incident(SHELF.books[name], {}, store)
        assert found is not None
        assert found.component == "queue"
    assert find_incident(SHELF.books["bus-codec"], {}, store) is None


def test_faults_are_read_once() -> None:
    """Kinds are code: every look at an incident asks for their faults."""
    assert known_faults() is known_faults()


def test_a_fault_that_somebody_accepted_tells_nothing(store: SqliteStore) -> None:
    """However bad it is: the one that counts does, and the incident's own before both."""
    store.commit(Changes(checks=[view("delivery", "bus_delivery", "queue")]))
    book, about = SHELF.books["bus-messages-lost"], incident("queue", "delivery")
    known = Acceptance("lost", {"stream": "a"}, "known", T0 + timedelta(days=1))
    bad = Fault("lost", {"stream": "a"}, Status.DOWN, "x", parameters={"stream": "a"})
    borne = StandingFault("delivery", "queue", bad, T0, Status.DOWN, accepted=known)
    store.commit(Changes(faults=[borne]))
    assert find_told(book, about, store).parameters == {}
    _stand(store, "lost", Status.DEGRADED, "b")
    assert find_told(book, about, store).parameters == {"stream": "b"}
    named = replace(about, runbook=book.name, fault="lost", parameters={"stream": "c"})
    assert find_told(book, named, store).parameters == {"stream": "c"}


def test_what_is_told_comes_first(platform: Configuration) -> None:
    """A source is asked in its order, and what does not fit the pattern is no value."""
    sources = ("fault.stream", "option.task_assignment.table")
    parameter = Parameter("p", "str", "[a-z.]+", required=False, default="", sources=sources)
    book = Runbook("x", "x", AppliesTo(), (parameter,), (), {}, "")
    assert find_values(book, platform, None, {}, Told({"stream": "orders"})) == {"p": "orders"}
    assert find_values(book, platform, None, {}, Told({"stream": "or; ders"})) == {"p": "app.work"}
    assert find_values(book, platform, None, {}, Told({"other": "x"})) == {"p": "app.work"}


def test_the_word_of_a_check_comes_first(platform: Configuration) -> None:
    """Then the shelf's, for the fault."""
    check = platform.checks[0]
    named = replace(check, runbook="tenant-leak")
    assert find_runbook(SHELF, named, "lost", "bus-messages-lost") == "tenant-leak"
    assert find_runbook(SHELF, check, "lost", "bus-messages-lost") == "bus-messages-lost"
    assert find_runbook(SHELF, check, "lost", "") == ""
