"""How soon a turn is written: at once, soon, or in its own time; and what a kill then costs."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.fault import Fault, FaultKind, Severity, Status
from sentinel.core.model import Check, Component, Finding, HealthPolicy, Measurement, Result, Row
from sentinel.core.quantity import Bounds
from sentinel.engine import recorder as recorder_module
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.present import PresentReader
from sentinel.engine.recorder import MANY, Paces, Recorder
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store import Changes, CheckView
from sentinel.store.document import as_written
from sentinel.store.sqlite import SqliteStore
from tests.exposition import read_sample

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
NEVER = Paces(soon=3600.0, hold=3600.0)
"""Nothing is written but what must be."""
FAULTS = (
    FaultKind("broken", Severity.PAGE, "mend", "it does not work"),
    FaultKind("lost", Severity.PAGE, "gone", "entries are gone", lasting="lost unread"),
)
TOTAL = Measurement("seen_total", "Seen.", "bench_seen_total", "counter", labels=("queue",))


async def _run(_options: Any, _context: Any) -> Finding:
    raise AssertionError


PATIENT = Kind("patient", "", Options, _run, (TOTAL,), FAULTS, patient=True)


class Bench:
    """A check that counts, an engine, and every turn that was committed."""

    def __init__(self, store: SqliteStore, clock: Any, folder: Path, kind: Kind, paces: Paces):
        self.store, self.clock, self.commits = store, clock, list[Changes]()
        plain = store.commit

        def commit(changes: Changes) -> None:
            plain(changes)
            self.commits.append(changes)

        store.commit = commit  # type: ignore[method-assign]
        self.metrics = Metrics()
        restraint = Restraint(enabled=False)
        given = Surroundings(store, self.metrics, clock, folder, restraint, paces=paces)
        self.engine = make_engine(given)
        self.recorder, self.picture = self.engine.recorder, self.engine.picture
        self.picture.add_component(Component("bus"), None)
        check = Check("queue", kind.name, "bus", 10.0, 5.0, Options(), health=AT_ONCE)
        self.picture.add_check(check, kind, None)
        self.seen, self.lost = 0, 0

    async def see(self, status: Status = UP, lost: int = 0, words: str = "all is well") -> None:
        """A look that sees one more."""
        self.clock.now += 1
        self.seen, self.lost = self.seen + 1, self.lost + lost
        faults = [Fault("broken", {}, status, words)] if status is not UP else []
        if lost:
            gone = f"{lost} lost"
            faults.append(Fault("lost", {}, DEGRADED, gone, count=Bounds(lost, lost)))
        rows = [Row({"queue": "q"}, {"seen_total": float(self.seen)})]
        worst = status if status is not UP else DEGRADED if lost else UP
        text = f"{words}, seen {self.seen}"
        finding = Finding(worst, faults[0].text if faults else text, rows, faults=faults)
        state = {"seen": self.seen, "lost": self.lost}
        now = self.clock.utcnow()
        await self.engine.pipeline.take(
            Result("queue", finding, now, 0.1, f"{self.seen:032x}", state=state)
        )

    async def rest(self, looks: int) -> None:
        """It was seen to be well, everybody knows it, and it goes on."""
        for _ in range(3):
            await self.see()
        await self.recorder.settle()
        self.commits.clear()
        for _ in range(looks):
            await self.see()

    def remembered(self) -> dict[str, int]:
        """What a start of sentinel would be given."""
        found: dict[str, int] = self.store.probe_states()["queue"]
        return found


@pytest.fixture
async def bench(store: SqliteStore, clock: Any, tmp_path: Path) -> AsyncIterator[Bench]:
    """Nothing is written before it must be."""
    made = Bench(store, clock, tmp_path, PATIENT, NEVER)
    yield made
    made.recorder.close()


async def until(true: Any) -> None:
    """Wait for something real."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_result_that_says_what_is_known_writes_nothing(bench: Bench) -> None:
    """Other figures are held, the latest of them; who looks in the daemon sees them all the same."""
    await bench.rest(looks=50)
    assert bench.commits == []
    (known,) = bench.store.checks()
    (shown,) = PresentReader.over(bench.store, bench.recorder).checks()
    assert (known.runs, shown.runs, shown.detail) == (3, 53, "all is well, seen 53")
    await bench.recorder.settle()
    (written,) = bench.commits
    assert [view.runs for view in written.checks] == [53]
    assert bench.remembered() == {"seen": 53, "lost": 0}


async def test_what_is_held_goes_in_its_own_time(
    store: SqliteStore, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it, and a check that says the same for ever is written again and again."""
    monkeypatch.setattr(recorder_module, "LOOK", 0.01)
    bench = Bench(store, clock, tmp_path, PATIENT, Paces(0.001, 0.02))
    await bench.rest(looks=5)
    await until(lambda: bench.remembered()["seen"] == 8)
    await bench.see()
    await until(lambda: bench.remembered()["seen"] == 9)
    bench.recorder.close()


async def test_what_happened_is_written_before_anybody_acts(bench: Bench) -> None:
    """And with it, in one transaction, everything that it rests on."""
    await bench.rest(looks=5)
    await bench.see(DOWN)
    (written,) = bench.commits
    assert [each.fault.key for each in written.faults] == ["broken"]
    assert {each.scope for each in written.transitions} == {"check", "component"}
    assert written.incidents
    assert [view.runs for view in written.checks] == [9]
    assert written.health["queue"].window == (DOWN,)
    assert bench.remembered() == {"seen": 9, "lost": 0}


async def test_other_words_come_soon(bench: Bench) -> None:
    """Figures are no words."""
    await bench.rest(looks=1)
    assert not bench.recorder.waiting()
    await bench.see(words="nothing waits")
    (turn,) = bench.recorder.waiting()
    assert [view.detail for view in turn.checks] == ["nothing waits, seen 5"]
    assert bench.commits == []


async def test_a_loss_and_the_count_of_it_are_one(bench: Bench) -> None:
    """Else a kill between both would have it lost twice, or never."""
    await bench.rest(looks=3)
    await bench.see(lost=2)
    await bench.rest(looks=3)
    await bench.see(lost=5)
    (fault,) = bench.store.faults()
    assert fault.fault.count == Bounds(7, 7)
    assert bench.remembered()["lost"] == 7


@pytest.mark.parametrize("pledges", [False, True])
async def test_who_is_not_patient_is_written_before_the_next_run(
    store: SqliteStore, clock: Any, tmp_path: Path, pledges: bool
) -> None:
    """Of a patient kind that is its pledge, a small row."""

    def pledge(_options: Any, dump: dict[str, int]) -> dict[str, int]:
        return {"tens": dump["seen"] // 10}

    kind = replace(PATIENT, patient=pledges, pledge=pledge)
    bench = Bench(store, clock, tmp_path, kind, NEVER)
    await bench.rest(looks=9)
    assert bench.remembered()["seen"] == (3 if pledges else 12)
    assert store.meta("pledge/queue") == ('{"tens":1}' if pledges else None)
    assert len(bench.commits) == (1 if pledges else 9)
    assert not any(turn.checks for turn in bench.commits), "its view waits all the same"
    bench.recorder.close()


async def test_an_incident_with_other_figures_is_written_a_little_later(bench: Bench) -> None:
    """Everybody here knows it at once; a state has it every ten seconds, and at once what is new."""
    await bench.see(DOWN, words="1 of 9 overdue")
    await bench.see(DOWN, words="1 of 9 overdue")
    bench.commits.clear()
    for n in range(2, 6):
        await bench.see(DOWN, words=f"{n} of 9 overdue")
    assert not any(turn.incidents for turn in bench.commits)
    assert bench.picture.incidents["bus"].summary == "5 of 9 overdue"
    bench.clock.now += 10
    await bench.see(DOWN, words="6 of 9 overdue")
    written = [each.summary for turn in bench.commits for each in turn.incidents]
    assert written == ["6 of 9 overdue"]
    await bench.see(DOWN, words="nobody answers")
    assert bench.commits[-1].incidents[-1].summary == "nobody answers"


# -- groups ---------------------------------------------------------------------------------------


async def test_neighbours_are_one_transaction(
    store: SqliteStore, metrics: Metrics, clock: Any
) -> None:
    """And one wake-up of the loop, however many they are."""
    recorder, commits = Recorder(store, metrics, clock.utcnow, paces=Paces(0.01)), list[Changes]()
    plain = store.commit
    store.commit = lambda turn: (commits.append(turn), plain(turn))[1]  # type: ignore[method-assign]
    for n in range(MANY):
        await recorder.later(Changes(meta={f"k{n}": "x"}))
    await until(lambda: store.meta(f"k{MANY - 1}"))
    assert (len(commits), recorder.asked) == (1, 1)
    await recorder.later(Changes(meta={"before": "x"}))
    await recorder.record(Changes(meta={"at once": "x"}))
    assert list(commits[-1].meta) == ["before", "at once"]
    recorder.close()


async def test_what_is_held_goes_along(bench: Bench) -> None:
    """With what writes the same pages anyhow: one transaction, and nothing is held any more."""
    await bench.rest(looks=2)
    before = len(bench.commits)
    assert bench.recorder.held()
    await bench.recorder.later(Changes(meta={"tally": "1"}), along=True)
    await bench.recorder.settle()
    (turn,) = bench.commits[before:]
    assert [view.runs for view in turn.checks] == [5]
    assert (turn.meta, bench.recorder.held()) == ({"tally": "1"}, [])


async def test_a_loop_under_load_is_woken_once_for_many(
    store: SqliteStore, metrics: Metrics, clock: Any
) -> None:
    """A byte for each result would fill the pipe by which signals come."""
    recorder, blocked = Recorder(store, metrics, clock.utcnow), threading.Event()
    running = asyncio.create_task(recorder.call(lambda: blocked.wait(20)))
    await asyncio.sleep(0)
    turns = [recorder.record(Changes(meta={f"k{n}": "x"})) for n in range(500)]
    everything = asyncio.gather(*turns)
    await until(lambda: len(recorder.waiting()) > MANY)
    assert recorder.asked == 2
    blocked.set()
    await everything
    await running
    assert all(store.meta(f"k{n}") for n in range(500))
    recorder.close()


async def test_one_that_no_store_takes_costs_its_neighbours_nothing(
    store: SqliteStore, metrics: Metrics, clock: Any
) -> None:
    """It is counted; they are written."""
    recorder = Recorder(store, metrics, clock.utcnow, paces=NEVER)
    for n in range(9):
        await recorder.later(Changes(meta={f"k{n}": object() if n == 4 else "x"}))  # type: ignore[dict-item]
    await recorder.record(Changes(meta={"last": "x"}))
    assert [store.meta(f"k{n}") for n in range(9)] == ["x"] * 4 + [None] + ["x"] * 4
    assert (store.meta("last"), recorder.writable) == ("x", True)
    assert metrics.swallowed.labels("recorder").value == 1
    recorder.close()


async def test_a_full_disk_loses_nothing_at_any_pace(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits and what is held is written when there is room, and in its order."""
    await bench.rest(looks=2)
    plain = bench.store.commit

    def refuse(_turn: Changes) -> None:
        raise StateError("the disk is full", "make room")

    monkeypatch.setattr(bench.store, "commit", refuse)
    await bench.see(DOWN)
    assert not bench.recorder.writable
    await bench.see(words="nothing waits")
    await bench.see(words="nothing waits")
    await bench.recorder.settle()
    monkeypatch.setattr(bench.store, "commit", plain)
    await bench.recorder.record(Changes(meta={"room": "x"}))
    assert bench.recorder.writable
    assert bench.remembered()["seen"] == 8
    assert [view.runs for view in bench.store.checks()] == [8]
    assert [
        each.after
        for each in bench.store.transitions(since=bench.clock.utcnow() - timedelta(days=1))
        if each.scope == "check"
    ] == [UP, DOWN, UP]


async def test_the_clock_moves_what_is_held_before_it_moves(bench: Bench) -> None:
    """What is from before the step is written before it."""
    await bench.rest(looks=2)
    await bench.recorder.record(Changes(clock_step=timedelta(seconds=60)))
    assert not bench.recorder.held()
    assert bench.remembered()["seen"] == 5


async def test_an_end_in_order_costs_nothing(
    store: SqliteStore, clock: Any, tmp_path: Path
) -> None:
    """What is held is written, too."""
    bench = Bench(store, clock, tmp_path, PATIENT, NEVER)
    await bench.rest(looks=7)
    bench.recorder.close()
    assert bench.remembered()["seen"] == 10
    assert [view.runs for view in store.checks()] == [10]


async def test_a_view_that_is_newer_is_not_overtaken(bench: Bench) -> None:
    """What is held of a check is dropped when something newer of it is on its way."""
    await bench.rest(looks=2)
    await bench.recorder.hold((CheckView, "other"), Changes)
    await bench.see(words="nothing waits")
    assert len(bench.recorder.held()) == 1
    await bench.recorder.settle()
    assert [view.detail for view in bench.store.checks()] == ["nothing waits, seen 6"]


async def test_a_state_is_as_it_was_at_the_look(bench: Bench) -> None:
    """A kind goes on with what it has dumped: that changes nothing that is held."""
    await bench.rest(looks=0)
    state = {"seen": 4, "lost": 0}
    finding = Finding(UP, "all is well, seen 4", [])
    result = Result("queue", finding, bench.clock.utcnow(), 0.1, "0" * 32, state=state)
    await bench.engine.pipeline.take(result)
    state["seen"] = 99
    await bench.recorder.settle()
    assert bench.remembered() == {"seen": 4, "lost": 0}


# -- kills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_a_kill_at_any_time_makes_no_figure_false(
    store: SqliteStore, clock: Any, tmp_path: Path, seed: int
) -> None:
    """Whatever lies on the disk at any instant: what was lost is counted once, a verdict is that of
    the window, and no total that somebody was shown goes back.
    """
    chance, shown = random.Random(seed), 0.0
    bench = Bench(store, clock, tmp_path, PATIENT, Paces(0.0005, 0.004))
    for n in range(60):
        lost = chance.choice([0, 0, 0, 0, 3])
        await bench.see(
            chance.choice([UP, UP, UP, UP, DOWN]), lost, chance.choice(["well", "fine"])
        )
        if chance.random() < 0.2:  # a scrape: rendered, written, answered
            total = read_sample(bench.metrics, "bench_seen_total", check="queue", queue="q")
            await bench.recorder.settle(counted=True)
            assert total is not None
            shown = total
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
        if n % 5 == 4:
            _judge_killed(store, tmp_path / f"killed-{n}", shown, bench)
    bench.recorder.close()
    assert bench.remembered() == {"seen": bench.seen, "lost": bench.lost}


def _judge_killed(store: SqliteStore, folder: Path, shown: float, bench: Bench) -> None:
    """What the next sentinel finds when this one is killed now: the files as they are."""
    folder.mkdir()
    with store.database._writing:  # a copy is no instant, a kill is
        for file in store.path.parent.glob("sentinel.db*"):
            shutil.copy(file, folder)
        shutil.copy(store.path.parent / "identity", folder)
    found = SqliteStore(folder, owner=True)
    state: dict[str, int] = found.probe_states().get("queue", {"seen": 0, "lost": 0})
    losses = [each.fault for each in found.faults() if each.fault.key == "lost"]
    assert sum(each.count.lo for each in losses if each.count) == state["lost"] == bench.lost
    assert shown <= state["seen"] <= bench.seen
    since = bench.clock.utcnow() - timedelta(days=1)
    last = [each for each in found.transitions(since=since) if each.scope == "check"]
    (view,) = found.checks()
    assert view.runs <= bench.seen
    assert last[-1].after == view.status
    assert {each.fault.key for each in found.faults()} >= set(view.faults)
    found.close()


async def test_what_is_written_already_is_taken_as_it_is(store: SqliteStore) -> None:
    """A dump is made into text once, at its look."""
    store.commit(Changes(probe_state={"a": as_written('{"n":[1,"x"]}')}))
    assert store.probe_states() == {"a": {"n": [1, "x"]}}
