"""Every shipped runbook, for every fault that leads to it, on a platform with names of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.places import Told, known_faults, open_shelf, plan_here
from sentinel.config import Configuration, load
from sentinel.core.fault import FaultKind, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.runbook.book import Action
from sentinel.runbook.plan import BookPlan

SHELF = open_shelf(Path("nowhere"))
PLATFORM = """
state: {folder}/var
resources:
  valkey: {{redis: "redis://h:1"}}
  pg: {{postgres: "postgresql://h/d"}}
  site: {{http: "http://127.0.0.1:1"}}
components:
  messaging: {{resource: valkey}}
  planner: {{driver: process, command: [sleep, "1"]}}
  gateway: {{driver: process, command: [sleep, "1"]}}
checks:
  - {{name: late, kind: bus_delivery, component: messaging, streams: {{include: ["*"]}}}}
  - {{name: held, kind: bus_pending, component: messaging}}
  - {{name: who, kind: registry, component: messaging, agents: {{table: workers, last_heartbeat: beat}}}}
  - {{name: work, kind: task_assignment, component: messaging, table: jobs}}
  - {{name: web, kind: http, component: gateway}}
"""
TOLD = {
    "stream": "in box",
    "group": "readers",
    "queue": "later",
    "table": "workers",
    "resource": "valkey",
    "process": "17",
    "pid": "17",
}
"""Values that faults of such a platform could tell; any other parameter is told as its own name."""


def _lead() -> Iterator[tuple[str, str, FaultKind]]:
    for kind, faults in known_faults().items():
        for fault in faults.values():
            yield fault.runbook, kind, fault


LEADING = list(_lead())


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """Two supervised components and one that sentinel only watches."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "sentinel.yaml").write_text(PLATFORM.format(folder=folder))
    return load(folder, {})


def tell(fault: FaultKind, who: str) -> dict[str, str]:
    """What a fault of this kind tells, when it is about an agent of this name."""
    told = {name: TOLD.get(name, name) for name in fault.parameters}
    named = {"agent": who, "consumer": who, "component": "messaging"}
    return {name: named.get(name, value) for name, value in told.items()}


def plan_of(platform: Configuration, name: str, kind: str, told: Mapping[str, str]) -> BookPlan:
    """The plan for an incident of the component that is only watched."""
    check = next((each.name for each in platform.checks if each.kind == kind), "some")
    opened = datetime(2026, 3, 1, tzinfo=UTC)
    incident = Incident(
        "I", "messaging", opened, IncidentState.OPEN, Status.DOWN, "x", check, exhausted=True
    )
    return plan_here(SHELF.books[name], platform, incident, {}, Told(told), partial=True)


def acted_on(plan: BookPlan) -> set[str]:
    """The components on which the steps act that would be run."""
    acts = [step.run for step in plan.steps if step.changes and not step.skip]
    return {act.args["component"] for act in acts if isinstance(act, Action) and has_target(act)}


def has_target(act: Action) -> bool:
    """Whether it acts on one component; halting and resuming sentinel itself does not."""
    return act.name in {"restart", "reset"}


@pytest.mark.parametrize(
    ("name", "kind", "fault"), LEADING, ids=[f"{kind}/{each.key}" for _, kind, each in LEADING]
)
@pytest.mark.parametrize("who", ["planner", "messaging", "agent-1"])
def test_nobody_else_is_touched(
    platform: Configuration, name: str, kind: str, fault: FaultKind, who: str
) -> None:
    """An incident of an unsupervised component: a step acts on nothing, or on the agent that the
    fault itself names where a supervised component has that very name.
    """
    told = tell(fault, who)
    allowed = {"planner"} & {told.get("agent"), told.get("consumer")}
    assert acted_on(plan_of(platform, name, kind, told)) <= allowed


@pytest.mark.parametrize("name", sorted(SHELF.books))
def test_nothing_told_touches_nobody(platform: Configuration, name: str) -> None:
    """Without a fault, nobody is guessed; and every step that is skipped says why."""
    plan = plan_of(platform, name, "", {})
    assert acted_on(plan) == set()
    for step in plan.steps:
        if isinstance(step.run, Action) and has_target(step.run):
            assert step.skip.startswith(("nobody told ", "messaging has no driver: "))


@pytest.mark.parametrize(
    ("name", "kind", "fault"), LEADING, ids=[f"{kind}/{each.key}" for _, kind, each in LEADING]
)
def test_a_subject_that_is_told_is_looked_at(
    platform: Configuration, name: str, kind: str, fault: FaultKind
) -> None:
    """Whatever stream, group, consumer, agent, flow or task a fault tells its runbook, some step
    that is run asks for it; where the mapping of this platform has no such column, one says so.
    """
    subjects = {"stream", "group", "consumer", "agent", "flow", "task", "queue", "tenant"}
    subjects |= {"dead_letters"}
    told = {key: value for key, value in tell(fault, "agent-7").items() if key in subjects}
    plan = plan_of(platform, name, kind, tell(fault, "agent-7"))
    for key, value in told.items():
        named = [each.name for each in plan.book.parameters if f"fault.{key}" in each.sources]
        assert value in {plan.parameters[each] for each in named}, key
        steps = [step for step in plan.steps if value in str(step.run)]
        assert steps, key


def test_tables_without_a_schema(platform: Configuration) -> None:
    """The SQL of a runbook reads the table that the check reads: `workers` is `public.workers`."""
    plan = plan_of(platform, "registry-mismatch", "registry", {})
    (sql,) = [str(step.run) for step in plan.steps if step.name.startswith("The registry,")]
    assert 'FROM "public"."workers"' in sql
    assert '"beat"' in sql


def test_text_of_a_runbook_is_told_whole(platform: Configuration) -> None:
    """What the page shows: title, every section, how to run it; nothing for a name that is not there."""
    bookcase = Bookcase(lambda: platform)
    for name, book in SHELF.books.items():
        text = bookcase.text_of(name) or ""
        assert text.startswith(f"# {book.title}\n")
        assert all(f"## {heading}\n\n{body}" in text for heading, body in book.sections.items())
        assert f"sentinel runbook run {name}" in text
    assert bookcase.text_of("../SECURITY") is None
