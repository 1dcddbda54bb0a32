"""Every runbook on the running demo: cured or diagnosed where there is a scenario for it, read
elsewhere.

One demo, its daemon in this process; the scenarios come one group after the other, and the runbooks
are run by the command line's own code in threads beside it. The tests read what was kept of these
runs.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from sentinel.app import Daemon
from sentinel.cli import main
from sentinel.config import load, shipped_folder
from sentinel.core.model import Incident
from sentinel.demo.chaos import Chaos, Scenario, find_scenario
from sentinel.demo.platform import Platform
from sentinel.demo.session import _fill_in
from sentinel.runbook.read import read_runbooks
from sentinel.store.runbook import RunbookRun
from sentinel.store.sqlite import SqliteStore

BOOKS = read_runbooks(Path(__file__).parents[2] / "runbooks")
PATIENCE = 120.0
LASTING = 900.0
"""Seconds of a fault: until the runbooks are through."""
AT_A_TIME = 2
"""Runs beside each other: the daemon runs one check at a time on request, and its database role has
few connections.
"""


@dataclass(frozen=True)
class Play:
    """One run of a runbook under a scenario, and what its transcript must say for the runbook to
    have helped.
    """

    book: str
    scenarios: tuple[str, ...]
    says: tuple[str, ...]
    words: tuple[str, ...] = ()
    sign: tuple[str, str] = ("", "")
    """Check and key of a fault, or words of its finding: when that is there, the runbook is run."""


POISON = Play(
    "poison-messages",
    ("poison-message",),
    ("agent_messages:agent-", "XREVRANGE dead_letter_queue + -"),
    sign=("bus-ledger", "arrivals"),
)
FIRST = (
    Play(
        "process-down",
        ("wedge-agent",),
        ("is stopped (SIGSTOP)", "verified"),
        ("component=agent-2", "--yes"),
        ("agent-2-process", "stopped"),
    ),
    Play(
        "assigner-hung",
        ("slow-assigner",),
        ("unassigned", "orchestrator.process"),
        ("assigner=orchestrator",),
        ("task-assignment", "unassigned"),
    ),
    Play("flows-stuck", ("stuck-flow",), ("7 overdue", "initialized"), (), ("flows", "7 overdue")),
    Play(
        "bus-messages-lost",
        ("lose-messages", "evict-stream"),
        ("lost", "XINFO STREAM agent_messages:agent-"),
        (),
        ("bus-delivery", "lost"),
    ),
    Play(
        "bus-delivery-late",
        ("wedge-agent",),
        ("XINFO CONSUMERS agent_messages:agent-", "group_agent-"),
        (),
        ("bus-delivery", "waiting"),
    ),
    Play(
        "tenant-leak",
        ("tenant-leak",),
        ("LEAK", "policy", "leak"),
        (),
        ("tenant-isolation", "leak"),
    ),
)
SECOND = (
    Play(
        "bus-unreachable",
        ("redis-down",),
        ("bus-port", "unreachable"),
        (),
        ("bus-server", "unreachable"),
    ),
    Play(
        "database-unreachable",
        ("postgres-down",),
        ("unreachable",),
        (),
        ("database-health", "unreachable"),
    ),
    Play(
        "component-blocked",
        ("redis-down", "postgres-down"),
        ("unreachable",),
        (),
        ("bus-server", "unreachable"),
    ),
)
CURED = Play(
    "component-exhausted", ("crash-loop",), ("verified", "attempt"), ("component=agent-3", "--yes")
)
PLAYS = (POISON, *FIRST, *SECOND, CURED)


@dataclass
class Demo:
    """What was seen: runs by (phase, runbook), incidents at the end, diagnoses in their timelines."""

    runs: dict[tuple[str, str], RunbookRun] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    timelines: dict[str, list[Any]] = field(default_factory=dict)
    reports: str = ""


class Director:
    """Runs a daemon on a platform, brings scenarios on, runs runbooks."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        values = {
            **platform.environment(),
            "DEMO_LISTEN": "127.0.0.1:0",
            "DEMO_STATE": str(folder / "state"),
        }
        self.config = _fill_in(
            shipped_folder("checks") / "packs" / "demo", values, folder / "config"
        )
        self.state = folder / "state"
        self.platform = platform
        self.daemon = Daemon(load(self.config))
        self.seen = Demo()
        self._gate = asyncio.Semaphore(AT_A_TIME)

    async def wait(self, look: Callable[[], Any]) -> None:
        """Until it is so, or PATIENCE is over: then the tests say what was missing."""
        limit = time.monotonic() + PATIENCE
        while not look() and time.monotonic() < limit:
            await asyncio.sleep(0.1)

    def status(self, component: str) -> str:
        return str(self.daemon.engine.picture.present.get(component))

    def is_healthy(self) -> bool:
        return {
            self.status(component.name) for component in self.daemon.configuration.components
        } == {"up"}

    def is_opened(self, check: str) -> bool:
        """Whether the check's component has an incident, where a check is bad at all."""
        found = next(
            ((c, f) for c, _, f, *_ in self.daemon.results() if c.name == check and f is not None),
            None,
        )
        return (
            found is None
            or found[1].status == "up"
            or found[0].component in self.daemon.engine.picture.incidents
        )

    def shows(self, check: str, word: str) -> bool:
        """Whether the check has this fault, or says these words; "" of no check is always there."""
        faults = self.daemon.store.faults(check) if check else ()
        has_fault = word in {each.fault.key for each in faults}
        return has_fault or not word or (" " in word and word in self.detail(check))

    def detail(self, check: str) -> str:
        results = self.daemon.results()
        return next((f.detail for c, _, f, *_ in results if c.name == check and f is not None), "")

    async def run(self, phase: str, *plays: Play) -> None:
        """Run these runbooks, a few at a time; what the store has of a run is what is judged."""
        await asyncio.gather(*(self._run(phase, play) for play in plays))

    async def _run(self, phase: str, play: Play) -> None:
        argv = ["--config", str(self.config), "runbook", "run", play.book, *play.words, "--execute"]
        check, word = play.sign
        await self.wait(lambda: self.shows(check, word) and self.is_opened(check))
        async with self._gate:
            code = await asyncio.to_thread(main, argv)
        assert code in {0, 2, 75}, f"{play.book}: exit code {code}"
        store = SqliteStore(self.state)
        newest = next((run for run in store.runs() if run.book == play.book), None)
        store.close()
        if newest is not None:
            self.seen.runs[phase, play.book] = newest

    def bring_on(self, names: Sequence[str]) -> asyncio.Task[None]:
        """Scenarios that begin now and last until the task is cancelled, which undoes them."""
        pids = self.daemon.engine.fleet.drivers
        chaos = Chaos(self.platform, lambda name: getattr(pids.get(name), "pid", None))
        return asyncio.create_task(chaos.run([_at_once(find_scenario(name)) for name in names]))

    async def end(self, scenarios: asyncio.Task[None]) -> None:
        scenarios.cancel()
        with suppress(asyncio.CancelledError):
            await scenarios


def _at_once(scenario: Scenario) -> Scenario:
    return replace(scenario, start=0.0, duration=LASTING if scenario.duration else 0.0)


async def _play(folder: Path) -> Demo:
    with Platform(rate=10) as platform:
        director = Director(platform, folder)
        try:
            await director.daemon.start()
            await _direct(director)
            return director.seen
        finally:
            await director.daemon.stop(stop_components=True)


async def _direct(director: Director) -> None:
    await director.wait(director.is_healthy)
    with_scenario = {play.book for play in PLAYS}
    extra = {"process-down": ("component=agent-1",)}
    calm = [Play(name, (), (), extra.get(name, ())) for name in BOOKS if name not in with_scenario]
    poison = director.bring_on(POISON.scenarios)
    await director.run("chaos", POISON)
    await director.end(poison)
    await director.run("calm", *calm)

    crash = director.bring_on(["crash-loop"])
    first = director.bring_on(sorted({name for play in FIRST for name in play.scenarios}))
    await director.run("chaos", *FIRST)
    await director.end(first)
    await director.wait(
        lambda: getattr(director.daemon.engine.picture.incidents.get("agent-3"), "exhausted", False)
    )
    await director.end(crash)
    await director.run("chaos", CURED)

    second = director.bring_on(["redis-down", "postgres-down"])
    await director.run("chaos", *SECOND)
    await director.end(second)

    store = director.daemon.store
    director.seen.incidents = store.incidents()
    director.seen.timelines = {each.id: store.timeline(each.id) for each in director.seen.incidents}
    tenants = next(each for each in director.seen.incidents if each.component == "tenants")
    paths = await director.daemon.write_report("recovery", tenants.id)
    director.seen.reports = "".join(path.read_text() for path in paths)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole play, once."""
    logging = structlog.get_config()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        seen = asyncio.run(_play(tmp_path_factory.mktemp("demo")))
    yield seen
    structlog.configure(**logging)


def told(run: RunbookRun) -> str:
    """Everything that the steps of a run said."""
    return "\n".join(
        f"{step['act']}: {step['outcome']} {step['detail']}\n{step['output']}"
        for step in run.steps.values()
    )


@pytest.mark.parametrize("name", sorted(set(BOOKS) - {play.book for play in PLAYS}))
def test_reading_steps_work_on_the_healthy_demo(demo: Demo, name: str) -> None:
    """Without a fault every reading step answers, says something, and nothing is changed."""
    run = demo.runs["calm", name]
    reading = [step for step in run.steps.values() if not step["changes"]]
    assert len(reading) >= 3
    assert [step["name"] for step in reading if step["outcome"] == "failed"] == []
    missing = [
        step["name"]
        for step in reading
        if step["outcome"] == "skipped" and "no program" not in step["detail"]
    ]
    assert [name for name in missing if "nobody told" not in _detail(run, name)] == []
    assert [step["outcome"] for step in run.steps.values() if step["changes"]] in (
        [],
        ["stopped"],
        ["declined"],
        ["skipped"],
    )


def _detail(run: RunbookRun, name: str) -> str:
    return next(str(step["detail"]) for step in run.steps.values() if step["name"] == name)


@pytest.mark.parametrize("play", PLAYS, ids=[play.book for play in PLAYS])
def test_a_fault_is_cured_or_diagnosed(demo: Demo, play: Play) -> None:
    """Under its scenario a runbook names the fault; where it may act, the component is well
    afterwards.
    """
    run = demo.runs["chaos", play.book]
    text = told(run)
    assert [word for word in play.says if word not in text] == [], text
    if "--yes" in play.words:
        assert run.state == "done"


@pytest.mark.parametrize(
    ("book", "component"),
    [("component-exhausted", "agent-3"), ("process-down", "agent-2"), ("assigner-hung", "assignment"),
     ("flows-stuck", "flows"), ("tenant-leak", "tenants"), ("bus-unreachable", "bus"),
     ("database-unreachable", "database")],
)  # fmt: skip
def test_the_transcript_is_in_the_right_incident(demo: Demo, book: str, component: str) -> None:
    """What was done by hand stands in the timeline of the incident that it was about."""
    incident = demo.runs["chaos", book].incident
    assert incident.endswith(f"Z-{component}")
    said = [entry.text for entry in demo.timelines[incident] if entry.kind == "runbook"]
    assert any(text.startswith(f"runbook {book}:") for text in said)


@pytest.mark.parametrize(
    ("component", "book"),
    [
        ("assignment", "assigner-hung"),
        ("flows", "flows-stuck"),
        ("tenants", "tenant-leak"),
        ("agent-3", "process-down"),
    ],
)
def test_incidents_were_diagnosed_by_themselves(demo: Demo, component: str, book: str) -> None:
    """Each announced incident has one diagnosis, by the runbook for it, with steps that answered."""
    incident = next(each for each in reversed(demo.incidents) if each.component == component)
    found = [entry for entry in demo.timelines[incident.id] if entry.kind == "diagnosis"]
    assert len(found) == 1
    assert found[0].text.startswith(f"runbook {book}: ")
    assert "done" in {step["outcome"] for step in found[0].evidence["steps"]}


def test_the_report_has_the_diagnosis(demo: Demo) -> None:
    """What the steps said is in the recovery report, in each of its forms, with the runbook to
    open.
    """
    assert "## Diagnosis" in demo.reports
    assert "<h2>Diagnosis</h2>" in demo.reports
    assert demo.reports.count("tenant-leak") >= 3
