"""Runbooks on a platform: values from its configuration, the incident that a run belongs to, names
that exist.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.app.runbooks.places import (
    check_runbooks,
    find_incident,
    find_runbook,
    find_told,
    find_values,
    known_names,
    open_shelf,
)
from sentinel.config import Configuration, load
from sentinel.core.fault import Acceptance, Fault, FaultKind, Severity, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import ConfigurationError
from sentinel.runbook.book import AppliesTo, Parameter, Runbook
from sentinel.runbook.plan import make_plan
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
    """An incident of the bus does not make the bus the agent to restart."""
    values = find_values(SHELF.books["bus-pending"], platform, incident("queue"), {})
    assert "agent" not in values


def test_given_values_win(platform: Configuration) -> None:
    """What a person gives is taken, and a name that does not exist is refused; a default may be
    missing here.
    """
    book = SHELF.books["bus-unreachable"]
    plan = make_plan(
        book, {"check": "queue-up"}, known_names(platform), find_values(book, platform, None, {})
    )
    assert plan.parameters["check"] == "queue-up"
    assert plan.parameters["canary"] == "bus-canary"
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
        ("bus-pending", {"agent": "worker-a"}, "I-worker-a"),
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
LATE = FaultKind("late", Severity.TICKET, "bus-delivery-late", "x", ("stream",))


def _stand(store: SqliteStore, key: str, status: Status, stream: str) -> None:
    fault = Fault(key, {"stream": stream}, status, "x", parameters={"stream": stream})
    standing = StandingFault("delivery", "queue", fault, T0, status)
    store.commit(Changes(faults=[standing]))


def test_the_worst_fault_that_leads_there_tells(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each runbook hears of its own faults: the one for losses of the stream that lost."""
    kinds = {"bus_delivery": {"lost": LOST, "late": LATE}}
    monkeypatch.setattr("sentinel.app.runbooks.places.known_faults", lambda: kinds)
    store.commit(Changes(checks=[view("delivery", "bus_delivery", "queue")]))
    _stand(store, "late", Status.DOWN, "slow")
    _stand(store, "lost", Status.DEGRADED, "a")
    _stand(store, "lost", Status.DOWN, "b")
    of_queue = incident("queue", "delivery", runbook="database-degraded")
    assert find_told(SHELF.books["bus-messages-lost"], of_queue, store) == {"stream": "b"}
    assert find_told(SHELF.books["bus-delivery-late"], of_queue, store) == {"stream": "slow"}
    assert find_told(SHELF.books["database-degraded"], of_queue, store) == {"stream": "slow"}
    assert find_told(SHELF.books["tenant-leak"], of_queue, store) == {}
    assert find_told(SHELF.books["bus-messages-lost"], incident("queue", "a"), store) == {}
    assert find_told(SHELF.books["bus-messages-lost"], None, store) == {}


def test_the_fault_that_the_incident_is_named_after_tells(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equals not the one that sorts first; one that is accepted tells nothing, however bad."""
    kinds = {"bus_delivery": {"lost": LOST}}
    monkeypatch.setattr("sentinel.app.runbooks.places.known_faults", lambda: kinds)
    store.commit(Changes(checks=[view("delivery", "bus_delivery", "queue")]))
    book, about = SHELF.books["bus-messages-lost"], incident("queue", "delivery")
    known = Acceptance("lost", {"stream": "a"}, "known", T0 + timedelta(days=1))
    bad = Fault("lost", {"stream": "a"}, Status.DOWN, "x", parameters={"stream": "a"})
    borne = StandingFault("delivery", "queue", bad, T0, Status.DOWN, accepted=known)
    store.commit(Changes(faults=[borne]))
    assert find_told(book, about, store) == {}
    _stand(store, "lost", Status.DEGRADED, "b")
    _stand(store, "lost", Status.DEGRADED, "c")
    assert find_told(book, about, store) == {"stream": "b"}
    named = replace(about, fault="lost", subject={"stream": "c"})
    assert find_told(book, named, store) == {"stream": "c"}


def test_what_is_told_comes_first(platform: Configuration) -> None:
    """A source is asked in its order, and what does not fit the pattern is no value."""
    sources = ("fault.stream", "option.task_assignment.table")
    parameter = Parameter("p", "str", "[a-z.]+", required=False, default="", sources=sources)
    book = Runbook("x", "x", AppliesTo(), (parameter,), (), {}, "")
    assert find_values(book, platform, None, {}, {"stream": "orders"}) == {"p": "orders"}
    assert find_values(book, platform, None, {}, {"stream": "or; ders"}) == {"p": "app.work"}
    assert find_values(book, platform, None, {}, {"other": "x"}) == {"p": "app.work"}


def test_the_word_of_a_check_comes_first(platform: Configuration) -> None:
    """Then the shelf's, for the fault."""
    check = platform.checks[0]
    named = replace(check, runbook="tenant-leak")
    assert find_runbook(SHELF, named, "lost", "bus-messages-lost") == "tenant-leak"
    assert find_runbook(SHELF, check, "lost", "bus-messages-lost") == "bus-messages-lost"
    assert find_runbook(SHELF, check, "lost", "") == ""
