"""Diagnoses: ordered once for each incident, bounded, beside everything else, and they change
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.diagnosis import Diagnosis, find_latest, summarize
from sentinel.app.runbooks.hands import ReadingHands
from sentinel.config import Configuration, load
from sentinel.core.fault import FaultKind, Severity, Status
from sentinel.core.model import Check, Finding, Incident, IncidentState, Result
from sentinel.core.moment import Moment
from sentinel.core.order import Order
from sentinel.engine.recorder import Recorder
from sentinel.errors import ActionRefused, UsageError
from sentinel.metrics import Metrics
from sentinel.redaction import Redaction
from sentinel.runbook.book import Action, BookStep
from sentinel.runbook.transcript import StepRecord, Transcript
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOOK = """---
name: NAME
title: A book
EXTRA
steps:
  - {name: look, run: {check: c}}
  - {name: wait, run: {look: gaps}}
  - {name: act, run: {action: halt}}
---
## Meaning
a
## Impact
a
## Diagnosis
a
## Mitigation
a
## Verify
a
## Escalation
a
"""


class Hands:
    """Hands that wait until they are let go, and write down what they are asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = asyncio.Event()
        self.free.set()

    async def run_check(self, name: str) -> Finding:
        self.asked.append(f"check {name}")
        await self.free.wait()
        return Finding(Status.DOWN, "gone, password=hunter2", guidance="start it")

    async def look(self, view: str, subject: str) -> str:
        self.asked.append(f"look {view}")
        return "canary-secret is here"

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        raise AssertionError

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        raise AssertionError

    async def permit(self, step: BookStep) -> None:
        raise AssertionError

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        raise AssertionError

    def now(self) -> datetime:
        return T0


class World:
    """A diagnosis on a store with one incident, a folder with two runbooks, and a clock that is
    moved by hand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "runbooks").mkdir()
        self.write("mine")
        self.write("loud", "diagnose: true")
        (folder / "sentinel.yaml").write_text(
            f"state: {folder}/var\nactions: {{}}\nrunbooks: {{diagnose: false, per_hour: 3, concurrent: 1}}\n"
            "components: {bus: {}}\nchecks:\n- {name: c, kind: tcp, component: bus, address: '127.0.0.1:1'}\n"
        )
        self.configuration: Configuration = load(folder, {})
        self.store = SqliteStore(folder, owner=True)
        self.recorder = Recorder(self.store, Metrics(), lambda: self.now)
        self.hands = Hands()
        self.now = T0
        self.made = 0
        self.bookcase = Bookcase(lambda: self.configuration)
        self.diagnosis = Diagnosis(
            lambda: self.configuration,
            self.bookcase,
            self.store,
            self.recorder,
            lambda: self.hands,
            Redaction(["canary-secret"]).scrub,
            lambda: Moment(self.now),
        )
        self.store.commit(Changes(incidents=[self.incident("I")]))

    def write(self, name: str, extra: str = "diagnose: false", check: str = "c") -> None:
        text = BOOK.replace("NAME", name).replace("EXTRA", extra)
        text = text.replace("check: c", f'check: "{check}"')
        (self.folder / "runbooks" / f"{name}.md").write_text(text)

    @staticmethod
    def incident(name: str, state: IncidentState = IncidentState.OPEN) -> Incident:
        return Incident(name, "bus", T0, state, Status.DOWN, "gone", "c")

    def order(self, incident: str = "I", runbook: str = "mine", key: str = "") -> Order:
        self.made += 1
        payload = {"incident": incident, "runbook": runbook, "at": T0.isoformat()}
        return Order("diagnose", key or f"{incident}/{self.made}", "bus", payload)

    async def finish(self, order: Order) -> str:
        """As the dispatcher asks: again and again until there is an outcome."""
        async with asyncio.timeout(20):
            while (outcome := await self.diagnosis.carry_out(order)) is None:
                await asyncio.sleep(0.01)
        return outcome.text

    def notes(self) -> list[Any]:
        return [entry for entry in self.store.timeline("I") if entry.kind == "diagnosis"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world of its own."""
    made = World(tmp_path)
    yield made
    made.hands.free.set()
    await made.diagnosis.close()
    made.recorder.close()
    made.store.close()


async def test_reading_steps_go_into_the_timeline(world: World) -> None:
    """The reading steps run, the changing one does not, and what they said is in the incident,
    scrubbed.
    """
    assert await world.finish(world.order()) == "done"
    assert world.hands.asked == ["check c", "look gaps"]
    (entry,) = world.notes()
    assert entry.text.startswith("runbook mine: 2 of 2 reading steps answered; c is down: gone")
    assert "start it" in entry.evidence["transcript"]
    assert [step["outcome"] for step in entry.evidence["steps"]] == ["done", "done"]
    assert "hunter2" not in str(entry)
    assert "canary-secret" not in str(entry)


async def test_the_runbook_for_a_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind's word for this fault, but for what the check itself names."""
    slow = FaultKind("slow", Severity.TICKET, "port-unreachable", "x")
    gone = FaultKind("gone", Severity.PAGE, "api-failing", "x")
    monkeypatch.setattr(world.bookcase, "_faults", {"tcp": {"slow": slow, "gone": gone}})
    (check,) = world.configuration.checks
    assert world.bookcase.runbook_of(check, "gone") == "api-failing"
    assert world.bookcase.runbook_of(check, "slow") == "port-unreachable"
    assert world.bookcase.runbook_of(check, "unheard of") == ""
    assert world.bookcase.runbook_of(replace(check, kind="other"), "gone") == ""
    assert world.bookcase.runbook_of(replace(check, runbook="mine"), "gone") == "mine"


async def test_it_does_not_block_other_orders(world: World) -> None:
    """While it runs the dispatcher gets its turn back at once, and asks again."""
    world.hands.free.clear()
    order = world.order()
    assert await world.diagnosis.carry_out(order) is None
    assert await world.diagnosis.carry_out(order) is None
    while not world.hands.asked:
        await asyncio.sleep(0.01)
    assert world.hands.asked == ["check c"]
    world.hands.free.set()
    assert await world.finish(order) == "done"
    assert len(world.notes()) == 1


async def test_one_after_the_other(world: World) -> None:
    """`concurrent: 1`: the second waits for its turn, and gets it."""
    world.hands.free.clear()
    first, second = world.order(), world.order(runbook="loud")
    await world.diagnosis.carry_out(first)
    while not world.hands.asked:
        await asyncio.sleep(0.01)
    for _ in range(5):
        assert await world.diagnosis.carry_out(second) is None
        await asyncio.sleep(0.01)
    assert world.hands.asked == ["check c"]
    world.hands.free.set()
    assert await world.finish(first) == "done"
    assert await world.finish(second) == "done"


async def test_deadline(world: World) -> None:
    """At its deadline it ends, and what was read so far is in the timeline."""
    world.configuration = replace(
        world.configuration, runbooks=replace(world.configuration.runbooks, deadline=0.05)
    )
    world.hands.free.clear()
    assert await world.finish(world.order()) == "ended at its deadline of 50 ms"
    (entry,) = world.notes()
    assert [step["outcome"] for step in entry.evidence["steps"]] == ["begun", "not reached"]


async def test_so_many_an_hour(world: World) -> None:
    """`per_hour: 3`: the fourth is refused with its reason, and an hour later there is room again."""
    assert [await world.finish(world.order()) for _ in range(3)] == ["done"] * 3
    assert await world.finish(world.order()) == "not diagnosed: 3 diagnoses within an hour"
    world.now = T0 + timedelta(hours=1, seconds=1)
    late = replace(world.order(), payload={**world.order().payload, "at": world.now.isoformat()})
    assert await world.finish(late) == "done"


async def test_not_too_late_and_not_for_nothing(world: World) -> None:
    """An order that is ten minutes old, or of a closed incident, is not worth a look any more."""
    world.store.commit(Changes(incidents=[world.incident("C", IncidentState.CLOSED)]))
    assert await world.finish(world.order("C")) == "not diagnosed: the incident is closed"
    world.now = T0 + timedelta(minutes=10, seconds=1)
    assert await world.finish(world.order()) == "not diagnosed: too late"
    assert world.hands.asked == []


async def test_what_nobody_told_skips_its_steps(world: World) -> None:
    """The others say what they know: an incident is better diagnosed in part than not at all."""
    world.write("needy", "parameters: [{name: who, type: str}]", check="{who}")
    world.bookcase.reload()
    assert await world.finish(world.order(runbook="needy")) == "done"
    assert world.hands.asked == ["look gaps"]
    first, second = world.notes()[0].evidence["steps"]
    assert (first["outcome"], second["outcome"]) == ("skipped", "done")
    assert first["detail"] == "nobody told who: give who=…"


async def test_a_runbook_that_can_not_be_run_says_so(world: World) -> None:
    """It is a line in the timeline and an outcome, not a crash."""
    parameter = "{name: n, type: int, pattern: '-?[0-9]+', default: -1}"
    world.write("broken", f"parameters: [{parameter}]", check="c")
    path = world.folder / "runbooks" / "broken.md"
    program = "run: [ps, '{n}'], changes: false"
    path.write_text(path.read_text().replace("run: {look: gaps}", program))
    world.bookcase.reload()
    ended = await world.finish(world.order(runbook="broken"))
    assert ended == "broken: '-1' would be taken for an option of ps"
    assert "can't be run" in world.notes()[0].text


def check(**changes: Any) -> Check:
    return Check("c", "tcp", "bus", 1.0, 1.0, None, **changes)


async def test_who_wants_it(world: World) -> None:
    """The check's word counts first, then the runbook's, then the platform's; without a runbook
    nobody's.
    """
    wanted = world.bookcase.is_wanted
    assert not wanted(check(), "mine")
    assert wanted(check(), "loud")
    assert wanted(check(diagnose=True), "mine")
    assert not wanted(check(diagnose=False), "loud")
    assert not wanted(check(diagnose=True), "no-such")
    assert not wanted(check(), "bus-unreachable")
    world.configuration = replace(
        world.configuration, runbooks=replace(world.configuration.runbooks, diagnose=True)
    )
    assert wanted(check(), "bus-unreachable")
    assert not wanted(check(), "mine")


async def test_a_broken_runbook_changes_nothing_at_a_reload(world: World) -> None:
    """The shelf of before stays; a good one is taken over."""
    assert world.bookcase.shelf
    (world.folder / "runbooks" / "mine.md").write_text("broken")
    world.bookcase.reload()
    assert world.bookcase.shelf.books["mine"].title == "A book"
    world.write("mine")
    world.write("third")
    world.bookcase.reload()
    assert "third" in world.bookcase.shelf.books


async def test_a_broken_runbook_does_not_stop_the_watch(world: World) -> None:
    """At a start as well: the shipped runbooks are there, and sentinel watches."""
    (world.folder / "runbooks" / "mine.md").write_text("broken")
    another = Bookcase(lambda: world.configuration)
    assert "bus-unreachable" in another.shelf.books
    assert "mine" not in another.shelf.books


async def test_closing_leaves_the_order(world: World) -> None:
    """A diagnosis that is under way when sentinel ends has no outcome: the next start carries it
    out.
    """
    world.hands.free.clear()
    order = world.order()
    await world.diagnosis.carry_out(order)
    await world.diagnosis.close()
    assert world.notes() == []


async def test_reading_hands_change_nothing(tmp_path: Path, world: World) -> None:
    """The hands of a diagnosis have no act, whatever a plan says."""

    async def ask(_name: str) -> Finding:
        raise AssertionError

    hands = ReadingHands(world.configuration, tmp_path, world.store, ask)
    with pytest.raises(ActionRefused):
        await hands.permit(BookStep("x", Action("halt"), 1.0, changes=True))
    with pytest.raises(ActionRefused):
        await hands.action("halt", {})


async def test_views(tmp_path: Path, world: World) -> None:
    """Each view of what sentinel remembers is a table; a log is the end of the component's own."""

    async def ask(_name: str) -> Finding:
        raise AssertionError

    hands = ReadingHands(world.configuration, tmp_path, world.store, ask)
    assert "gone" in await hands.look("incidents", "")
    assert "gone" in await hands.look("incidents", "bus")
    for name in ("components", "checks", "timeline", "attempts", "gaps", "audit"):
        assert isinstance(await hands.look(name, ""), str)
    with pytest.raises(UsageError, match="no log of bus"):
        await hands.look("log", "bus")
    with pytest.raises(UsageError, match="no component"):
        await hands.look("log", "../sentinel")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "bus.log").write_text("".join(f"line {n}\n" for n in range(10_000)))
    lines = (await hands.look("log", "bus")).splitlines()
    assert (lines[-1], len(lines)) == ("line 9999", 40)


async def test_the_latest_finding_is_not_asked_for_twice() -> None:
    """A verdict of this interval is taken as it is; an older one is asked for anew; an unknown
    check is said.
    """
    asked: list[str] = []

    async def rerun(order: Order) -> str:
        asked.append(order.subject)
        return "done"

    finding = Finding(Status.UP, "fine")
    results = [(check(), Result("c", finding, T0, 0.1, "t"), finding, None, 1)]
    assert await find_latest(results, "c", T0 + timedelta(seconds=2), rerun) is finding
    assert asked == []
    assert await find_latest(results, "c", T0 + timedelta(seconds=3), rerun) is None
    assert asked == ["c"]
    with pytest.raises(UsageError):
        await find_latest(results, "d", T0, rerun)


async def test_a_runbook_that_a_reload_has_taken_away(world: World) -> None:
    """It was ordered, and is not on the shelf any more: the incident says so."""
    order = world.order(runbook="mine")
    (world.folder / "runbooks" / "mine.md").unlink()
    world.bookcase.reload()
    with capture_logs() as lines:
        assert await world.finish(order) == "it is not on the shelf any more"
    assert lines == []
    (entry,) = world.notes()
    assert entry.text == "runbook mine can't be run: it is not on the shelf any more"


def test_the_line_of_a_diagnosis_says_where_it_was_cut() -> None:
    """A figure that ends in the middle reads like another one: 32 of 320."""
    detail = "degraded: " + "a long sentence with 320 tasks " * 8
    record = StepRecord("look", "check pages", False, "done", detail)
    line = summarize(Transcript("book", "A book", {}, False, T0, T0, "done", (record,)))
    assert line.startswith("runbook book: 1 of 1 reading steps answered; pages is degraded: a long")
    assert line.endswith("…")
