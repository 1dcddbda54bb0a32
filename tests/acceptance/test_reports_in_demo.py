"""Recovery reports of a demo that was broken: their numbers are those of the chaos ledger, for every
scenario.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest

from sentinel.cli import main
from sentinel.demo.chaos import Scenario, load_scenarios
from sentinel.demo.ledger import Record, read_ledgers
from sentinel.demo.truth import gather_tasks
from sentinel.store.sqlite import SqliteStore
from tests.acceptance.conftest import RUNS, DemoRun

SCENARIOS = load_scenarios()
Facts = Mapping[str, Any]
LOST, DROPPED = "messages lost before they were read", "deliveries dropped without acknowledgement"
LATE = ("tasks assigned late", "tasks unassigned at their deadline")
SETTLES = 3.0
"""Seconds after which a task is settled at the latest."""
PERMILLE = 0.001
"""Instants of a report are whole milliseconds, those of a ledger are not."""


@dataclass(frozen=True)
class Case:
    """A scenario in its run: what the ledgers say of it, and what the reports."""

    scenario: Scenario
    run: DemoRun

    @cached_property
    def ledgers(self) -> list[Record]:
        """Every line of the run."""
        return read_ledgers(self.run.folder / "latest")

    def tell(self, phase: str) -> Record:
        """The line of the scenario with that phase."""
        lines = (each for each in self.ledgers if each.get("scenario") == self.scenario.name)
        return next(each for each in lines if each.get("phase") == phase)

    @cached_property
    def began(self) -> float:
        """When it began."""
        return float(self.tell("begin")["t"])

    def after(self, event: str, **facts: Any) -> list[Record]:
        """Lines of an event since it began that say this."""
        since = (each for each in self.ledgers if each["t"] >= self.began)
        return [each for each in since if each["event"] == event and facts.items() <= each.items()]

    def gone(self, event: str) -> int:
        """How many entries this scenario, which breaks the bus alone in its run, made end so."""
        return sum(len(each["entries"]) for each in self.after(event))

    def report(self, component: str) -> Report:
        """The recovery report of the component's first incident since then."""
        store = SqliteStore(self.run.state, writable=False)
        since = datetime.fromtimestamp(self.began, UTC)
        found = [each for each in store.incidents(limit=1000) if each.component == component]
        incident = min((e for e in found if e.opened >= since), key=lambda each: each.opened)
        store.close()
        shown = io.StringIO()
        with redirect_stdout(shown):
            words = ["report", "recovery", "--incident", incident.id, "--json"]
            assert main(["--state", str(self.run.state), *words]) == 0
        return Report(component, json.loads(shown.getvalue()))


@dataclass(frozen=True)
class Report:
    """The facts of a recovery report about a component's incident."""

    component: str
    facts: Facts

    def figure(self, name: str, part: str = "impact") -> tuple[float, float]:
        """[at least, at most] of the only figure of that name."""
        (figure,) = (each for each in self.facts[part] if each["name"] == name)
        return figure["low"], figure["high"]

    def read_until(self, name: str) -> float:
        """The latest reading of that figure."""
        (figure,) = (each for each in self.facts["impact"] if each["name"] == name)
        day, clock = re.findall(r" to (\S+) (\S+) UTC", figure["basis"])[0]
        return epoch(f"{day}T{clock}+00:00")

    def faults(self, key: str) -> list[Facts]:
        """Those with that key, of the component itself."""
        own = (each for each in self.facts["faults"] if each["component"] == self.component)
        return [each for each in own if each["key"] == key]

    def acts(self) -> list[Facts]:
        """What was done to the component."""
        return [each for each in self.facts["actions"] if each["component"] == self.component]


def epoch(text: str) -> float:
    """An instant of a report."""
    return datetime.fromisoformat(text).timestamp()


def stood_while(case: Case, fault: Facts, began: float, ended: float) -> None:
    """It was found in the time that the scenario allows, and stood until what was done was undone."""
    within = max(each.within for each in case.scenario.expect)
    assert began - PERMILLE <= epoch(fault["began"]) <= began + within
    assert fault["times"] == 1
    assert epoch(fault["ended"]) >= ended - PERMILLE
    stood = epoch(fault["ended"]) - epoch(fault["began"])
    assert fault["seconds"] == pytest.approx(stood, abs=2 * PERMILLE)


def count_late(case: Case, report: Report) -> None:
    """Every task that waited for more than 100 ms since it began, and no other. Of a process that
    died with a statement in hand nobody but the database knows; the very last ones nobody counted.
    """
    tasks = gather_tasks(case.ledgers)
    waited = {task: at - tasks.created[task] for task, at in tasks.assigned.items()}
    late = [task for task, taken in waited.items() if taken > 100_000]
    looked = report.read_until(LATE[0]) - SETTLES
    since = [t for t in late if case.began - 1 <= tasks.created[t] / 1e6 <= looked]
    low, high = (sum(ends) for ends in zip(*map(report.figure, LATE), strict=True))
    assert low == high
    assert len(since) <= low <= len(late) + len(tasks.doubtful)


def restarts_equal(case: Case, report: Report) -> None:
    """Killed as often as the ledger says, and restarted with success as often as it came up."""
    starts = case.after("started", component=report.component)
    recovered = [act for act in report.acts() if act["verdict"] == "recovered"]
    assert len(starts) == len(recovered)
    assert {act["action"] for act in report.acts()} == {"restart"}
    by_kill = [act for act in report.acts() if "SIGKILL" in act["reason"]]
    assert len(by_kill) == len(case.after("chaos", phase="kill", scenario=case.scenario.name)) == 1


# -- scenarios -------------------------------------------------------------------------------------


def _lost(case: Case) -> None:
    """Exactly so many messages, in impact and in data loss."""
    report, count = case.report("messaging"), case.tell("trimmed")["lost"]
    assert count == case.gone("lost") == 25
    for part in ("impact", "losses"):
        assert report.figure(LOST, part) == (count, count)
    assert [(each["low"], each["high"]) for each in report.facts["lost"]] == [(count, count)]
    assert any(f"{LOST} {count}" in line for line in report.facts["summary"])


def _evicted(case: Case) -> None:
    """Nobody can know how many: the interval has the true number, and the stream has its name."""
    report = case.report("messaging")
    for name, event in ((LOST, "lost"), (DROPPED, "dropped")):
        low, high = report.figure(name, "losses")
        assert low <= case.gone(event) <= high
    (fault,) = report.faults("recreated")
    assert fault["subject"] == f"stream {case.tell('evicted')['stream']}"


def _poisoned(case: Case) -> None:
    """Each message that ended as a dead letter, of the one agent, and nothing lost."""
    report = case.report("messaging")
    count = len(case.after("processed", outcome="dead_letter"))
    assert count == case.scenario.params["count"]
    name = "entries added to dead-letter and retry places, at least"
    assert report.figure(name) == (count, count)
    (fault,) = report.faults("arrivals")
    assert (fault["low"], fault["high"]) == (count, count)
    assert case.scenario.params["agent"] in fault["subject"]
    assert report.figure(LOST, "losses") == (0, 0)


def _stuck(case: Case) -> None:
    """Every flow that was made to stand still, by its name, and no other."""
    faults = case.report("flows").faults("overdue")
    assert {each["subject"] for each in faults} == {
        f"flow {flow}" for flow in case.tell("stuck")["flows"]
    }
    for fault in faults:
        stood_while(case, fault, case.tell("stuck")["t"], case.tell("end")["t"])


def _leaked(case: Case) -> None:
    """Every table whose policy was widened and the interface that believes the header, and no other."""
    faults = case.report("tenants").faults("leak")
    tables = {f"table {table}" for table in case.tell("leaking")["tables"]}
    # Each is told for every role that sees it, and every way by which it was got at.
    leaking = {each["subject"].partition(", ")[0] for each in faults}
    assert leaking == {*tables, "path /api/tasks"}
    for fault in faults:
        within = case.scenario.expect[0].within
        assert case.began <= epoch(fault["began"]) <= case.tell("leaking")["t"] + within
        assert fault["times"] == 1


def _crashed(case: Case) -> None:
    """Killed once, restarted once, by the report as by the ledger; down for as long as it took."""
    report = case.report(case.scenario.params["component"])
    restarts_equal(case, report)
    (act,) = report.acts()
    incident = report.facts["incident"]
    down = incident["spent"]["down"]
    assert down == pytest.approx(incident["recovery"]["low"], abs=0.01)
    (started,) = case.after("started", component=report.component)
    assert started["t"] - case.tell("kill")["t"] <= down + 0.05
    assert act["recovered_in"] == pytest.approx(down, abs=0.05)


def _crashed_orchestrator(case: Case) -> None:
    """And every task that waited for it."""
    _crashed(case)
    report = case.report("orchestrator")
    assert report.figure(LATE[0])[0] >= 0
    count_late(case, report)


def _looped(case: Case) -> None:
    """Three restarts, none of which lasted, and no fourth: a person is asked for."""
    report = case.report("agent-3")
    restarts_equal(case, report)
    assert [act["verdict"] for act in report.acts()] == ["failed"] * 3
    assert report.facts["incident"]["exhausted"]
    assert report.facts["incident"]["recovered"] is None
    assert any("used up its restarts" in issue for issue in report.facts["open_issues"])


def _wedged(case: Case) -> None:
    """Frozen for as long as the ledger says, not restarted, and nothing lost."""
    report = case.report("agent-2")
    (fault,) = report.faults("stopped")
    stood_while(case, fault, case.began, case.tell("end")["t"])
    assert not report.acts()
    assert not case.after("started", component="agent-2")
    assert report.figure(LOST, "losses") == (0, 0)


def _slow(case: Case) -> None:
    """Every task that waited while nobody assigned, to the task."""
    report = case.report("assignment")
    assert report.figure(LATE[1])[0] > 50
    count_late(case, report)


def _bus_down(case: Case) -> None:
    """Away for as long as the ledger says, back without a loss, and every task that waited for it."""
    report = case.report("bus")
    fault = max(report.faults("unreachable"), key=lambda each: each["seconds"])
    stood_while(case, fault, case.began, case.tell("down")["t"] + case.scenario.duration)
    assert len(report.faults("restarted")) == 1
    for name, event in ((LOST, "lost"), (DROPPED, "dropped")):
        low, high = report.figure(name, "losses")
        assert low <= case.gone(event) <= high
    assert case.gone("lost") == 0
    count_late(case, report)


def _database_down(case: Case) -> None:
    """Away for as long as the ledger says; nothing that was committed was taken back."""
    report = case.report("database")
    (fault,) = report.faults("unreachable")
    stood_while(case, fault, case.began, case.tell("down")["t"] + case.scenario.duration)
    assert {each["name"]: each["went_back"] for each in report.facts["positions"]} == {
        "timeline": False, "write-ahead log": False, "transactions committed": False,
    }  # fmt: skip
    assert report.figure(LOST, "losses") == (0, 0)


REPORTED: Mapping[str, Callable[[Case], None]] = {
    "lose-messages": _lost,
    "evict-stream": _evicted,
    "poison-message": _poisoned,
    "stuck-flow": _stuck,
    "tenant-leak": _leaked,
    "crash-agent": _crashed,
    "crash-orchestrator": _crashed_orchestrator,
    "crash-loop": _looped,
    "wedge-agent": _wedged,
    "slow-assigner": _slow,
    "redis-down": _bus_down,
    "postgres-down": _database_down,
}


def find_runs(scenario: str) -> Iterable[str]:
    """The shared runs in which a scenario is played."""
    return (name for name, (_, chaos) in RUNS.items() if scenario in chaos)


def test_no_scenario_is_left_out() -> None:
    """Each is compared, and played in a run."""
    assert REPORTED.keys() == SCENARIOS.keys()
    assert all(any(find_runs(scenario)) for scenario in SCENARIOS)


@pytest.mark.parametrize("scenario", REPORTED)
def test_numbers_are_those_of_the_ledger(demo_runs: dict[str, DemoRun], scenario: str) -> None:
    """What was done to the platform and what the report says of it are one."""
    run = demo_runs[next(iter(find_runs(scenario)))]
    REPORTED[scenario](Case(SCENARIOS[scenario], run))
