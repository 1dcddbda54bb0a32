"""Random damage of the files of a state: no exit, no traceback, no budget given back."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.moment import Moment
from sentinel.core.order import Order
from sentinel.errors import StateError
from sentinel.store import Changes, Gap, ProcessRow, Sample
from sentinel.store.folder import FILE
from sentinel.store.identity import BESIDE
from sentinel.store.salvage import CLEANING_LOST, JOURNAL_LOST
from sentinel.store.sqlite import SqliteStore

SEED = 20261130
T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
NAMES = ("api", "worker", "agent-1", "agent-2")
FILES = (FILE, f"{FILE}-wal", BESIDE)
SPENT = 3
CAP = 50


def make_state(folder: Path) -> None:
    """As a daemon leaves it that was killed: some of it in the file, some in the log ahead."""
    (folder / "made").mkdir()
    store = SqliteStore(folder / "made", owner=True)
    store.join("m", T0)
    incidents = [
        Incident(f"20261130T100000.000Z-{n}", n, T0, IncidentState.OPEN, Status.DOWN, "x")
        for n in NAMES
    ]
    for half in (0, 1):
        for incident in incidents:
            for n in range(1 + 2 * half, SPENT + half):
                attempt = Attempt(incident.id, n, incident.component, "restart", "down", T0)
                store.claim_attempt(attempt)
                store.commit(Changes(attempts=[replace(attempt, outcome="done")]))
        store.cleaning.reserve("trim", CAP // 2, CAP, Moment(T0, "b", 100.0))
        store.commit(make_changes(incidents, half))
        store.add_order(Order("notify", f"k{half}", "x"), T0)
        if not half:
            store.database.journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in (folder / "made").iterdir():
        shutil.copy(path, folder / path.name)
    store.close()
    shutil.rmtree(folder / "made")
    (folder / f"{FILE}-shm").unlink(missing_ok=True)


def make_changes(incidents: list[Incident], half: int) -> Changes:
    """Something in every table."""
    fault = Fault("f", {"a": "b"}, Status.DOWN, "x")
    return Changes(
        incidents=incidents,
        events=[(each.id, T0, Event("x", f"line {half}"), {"a": half}) for each in incidents],
        health={f"{n}-{half}": Health(Status.DOWN, T0) for n in NAMES},
        probe_state={f"{n}-{half}": {"seen": list(range(60))} for n in NAMES},
        processes=[ProcessRow(n, 5, "boot/5/6", T0, True) for n in NAMES],
        transitions=[Transition(n, "check", Status.UP, Status.DOWN, T0, "x") for n in NAMES],
        gaps=[Gap(T0, T0, "x")],
        samples=[Sample(T0, n, "lag", {"stream": str(i)}, i) for n in NAMES for i in range(40)],
        faults=[StandingFault(f"c{half}", "api", fault, T0, Status.DOWN)],
        meta={"platform": "demo", "beat": "", "breaker": "", f"x{half}": "y"},
    )


def hurt(folder: Path, chance: random.Random) -> str:
    """One to three flips or a truncation; what was done."""
    present = [folder / name for name in FILES if (folder / name).exists()]
    path = chance.choices(present, [4, 3, 1][: len(present)])[0]
    content = bytearray(path.read_bytes())
    if chance.random() < 0.2:
        cut = chance.randrange(len(content))
        path.write_bytes(content[:cut])
        return f"{path.name} cut to {cut}"
    # Most of a file is unused: the flips go where something is.
    used = [place for place, byte in enumerate(content) if byte]
    places = chance.sample(used, min(len(used), chance.randint(1, 3)))
    for place in places:
        content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return f"{path.name} flipped at {places}"


def read_all(store: SqliteStore) -> set[str]:
    """All that can be read of what happened."""
    groups: list[object] = [
        store.attempts(), store.incidents(), store.transitions(since=T0), store.gaps(since=T0),
        store.samples(since=T0), store.processes(), store.take_orders(), store.faults(),
        list(store.healths().items()), list(store.probe_states().items()),
        *(store.timeline(f"20261130T100000.000Z-{name}") for name in NAMES),
    ]  # fmt: skip
    return {repr(each) for group in groups for each in group}


def judge(folder: Path, truth: set[str]) -> None:
    """What a daemon asks at its start and a page at any time is answered, nothing is false, and no
    budget is fuller than it was.
    """
    store = SqliteStore(folder, owner=True)
    store.join("next", T0)
    if not store.trouble().doubt:
        assert read_all(store) - truth == set()
    for ask in (
        store.healths, store.probe_states, store.processes, store.take_orders, store.faults,
        store.checks, store.components, store.incidents, store.reports, store.audit, store.runs,
        store.verify_audit, store.damaged,
    ):  # fmt: skip
        ask()
    trouble = store.trouble()
    lost = bool(trouble.doubt or store.meta(JOURNAL_LOST))
    incidents = {each.component: each for each in store.incidents(open_only=True)}
    for name in NAMES:
        if lost or store.lost(name):
            continue
        assert name in incidents, f"the incident of {name} is gone without a word"
        spent = {each.n for each in store.attempts(component=name)}
        assert spent == set(range(1, SPENT + 1)), f"{name} has {spent} of its attempts"
        assert spent == {each.n for each in store.attempts(incident=incidents[name].id)}
    if not (lost or store.meta(CLEANING_LOST)):
        assert store.cleaning.left("trim", CAP, Moment(T0, "b", 200.0)) == 0
    store.commit(Changes(meta={"after": "x"}))
    store.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One state, damaged again and again."""
    folder = tmp_path_factory.mktemp("state")
    make_state(folder)
    shutil.copytree(folder, folder.with_name("read"))
    store = SqliteStore(folder.with_name("read"), owner=True)
    truth = read_all(store)
    store.close()
    return folder, truth


def run(made: tuple[Path, set[str]], tmp_path: Path, numbers: range) -> None:
    """Each number is a world of its own; a failure names it."""
    print(f"seed {SEED}")  # noqa: T201 - shown when it fails
    failures = []
    for number in numbers:
        chance = random.Random(SEED + number)
        folder = tmp_path / str(number)
        shutil.copytree(made[0], folder)
        what = hurt(folder, chance)
        try:
            judge(folder, made[1])
        except Exception as error:  # noqa: BLE001 - all of them are to be seen
            failures.append(f"seed {SEED + number}: {what}: {error!r}")
        shutil.rmtree(folder)
    assert failures == []


def test_the_state_is_judged_whole_before_it_is_hurt(made, tmp_path):
    """And nothing is said of it: the judge finds every attempt."""
    shutil.copytree(made[0], tmp_path / "whole")
    judge(tmp_path / "whole", made[1])
    store = SqliteStore(tmp_path / "whole")
    assert store.trouble().lines == []
    assert store.meta(JOURNAL_LOST) is None
    store.close()


def test_thirty_states_with_flipped_bits_and_cut_files(made, tmp_path):
    """A sample of the long run."""
    run(made, tmp_path, range(30))


@pytest.mark.nightly
def test_five_hundred_states_with_flipped_bits_and_cut_files(made, tmp_path):
    """No exit, no traceback, no budget given back."""
    run(made, tmp_path, range(500))


@pytest.mark.parametrize("text", [b"clean_plan", b"TEXT NOT NULL", b"sqlite_autoindex_fault_1"])
def test_a_schema_that_is_no_text(made, tmp_path, text):
    """SQLite quotes it in its message, which is no text then, either."""
    folder = tmp_path / "state"
    shutil.copytree(made[0], folder)
    content = (folder / FILE).read_bytes()
    assert text in content
    (folder / FILE).write_bytes(content.replace(text, b"\xec" + text[1:]))
    with suppress(StateError):  # a command says so, or need not read it
        SqliteStore(folder, writable=False).healths()
    judge(folder, made[1])
