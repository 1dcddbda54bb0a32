"""A state that is doubted, damaged, full or blocked holds actions back, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from sentinel.app import ordering
from sentinel.app.housekeeping import find_amnesia
from sentinel.core.fault import Status
from sentinel.core.remediation.restart import Reason
from sentinel.engine import recorder as recorder_module
from sentinel.engine.present import PresentReader
from sentinel.engine.recorder import MANY
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.store import HELD_KEY, Changes
from sentinel.store.folder import FILE
from sentinel.store.identity import BESIDE
from sentinel.store.runbook import held_back
from sentinel.store.sqlite import SqliteStore
from tests.unit.engine.house import House, open_house, settle


def make_house(folder, clock):
    """A daemon's state and a worker."""
    return House(folder, SqliteStore(folder, owner=True), clock, Metrics())


@pytest.fixture
async def house(tmp_path, clock):
    """Everything runs."""
    made = make_house(tmp_path, clock)
    async with open_house(made):
        yield made
    made.store.close()


async def test_nothing_is_done_while_the_state_is_doubted(house):
    """By nobody, until somebody accepts it: then the worker is restarted."""
    (house.folder / BESIDE).write_text(f"{'0' * 16} {99:>15} schema 4\n")
    house.automation.follow_state()
    await house.kill()
    await settle(house)
    await house.consider()
    assert (house.reason, house.driver.pid) == (Reason.STATE_DOUBTED, None)
    for answer in (
        await house.requests.start("worker", "x"),
        await house.requests.restart("worker", "x"),
    ):
        assert "not the one that was here" in answer.text
        assert "sentinel state accept" in answer.text
    (reason, text), *_ = house.automation.conditions()
    assert reason is Reason.STATE_DOUBTED
    assert "`sentinel state accept --reason" in text
    assert house.store.attempts() == []
    with closing(SqliteStore(house.folder)) as command:
        command.accept(house.clock.utcnow(), "ops", "looked")
    house.automation.follow_state()
    await house.consider()
    assert [each.outcome for each in house.store.attempts()] == ["done"]


async def test_the_budget_of_a_damaged_row_is_spent_until_a_reset(tmp_path, clock):
    """Its component is neither restarted nor started as if it were new; the others are."""
    async with open_house(made := make_house(tmp_path, clock)):
        await made.kill()
        await settle(made)
        await made.consider()
        assert len(made.store.attempts()) == 1
    made.store.close()
    with closing(SqliteStore(tmp_path)) as other, other.database.transaction() as db:
        db.execute("UPDATE process SET document = substr(document, 1, 50)")
    again = make_house(tmp_path, clock)
    async with open_house(again):
        assert again.store.trouble().damaged == {"process": 1}
        assert again.driver.pid is None
        await again.see("worker.process", Status.DOWN)
        await settle(again)
        await again.consider()
        assert again.reason is Reason.JOURNAL_LOST
        assert "state_damaged" in {item["reason"] for item in held_back(again.store)}
        clock.now += 1
        assert (await again.requests.reset("worker", "looked")).is_done
        await again.see("worker.process", Status.DOWN)
        await settle(again)
        await again.consider()
        assert again.driver.pid is not None
    again.store.close()


async def test_a_blocked_disk_holds_nobody_up(house, monkeypatch):
    """Checks go on and pages show them; what is asked to be journaled is refused; all of it is
    written when the disk answers.
    """
    monkeypatch.setattr(recorder_module, "PATIENCE", 0.05)
    monkeypatch.setattr("sentinel.coordination.local.PATIENCE", 0.05)
    plain, blocked = house.store.commit, threading.Event()

    def block(changes):
        blocked.wait(20)
        plain(changes)

    monkeypatch.setattr(house.store, "commit", block)
    present = PresentReader.over(house.store, house.recorder)
    async with asyncio.timeout(5):
        await house.kill()
        await settle(house)
        for _ in range(2):
            await house.consider()
        assert not house.recorder.writable
        assert (house.reason, house.driver.pid) == (Reason.JOURNAL_UNWRITABLE, None)
        assert {each.component: each.status for each in present.incidents(open_only=True)}
        assert house.store.incidents() == []
        ((_, text), *_rest) = [(i["reason"], i["text"]) for i in held_back(present)]
        assert "does not answer within 0.05 s" in text
        views = {view.name: view.soft for view in present.checks()}
        assert views["worker.process"] == "down"
    blocked.set()
    await house.recorder.call(lambda: None)
    monkeypatch.setattr(house.store, "commit", plain)
    await house.recorder.record(Changes(meta={"after": "x"}))
    assert house.recorder.writable
    assert house.store.incidents()[0].component == "worker"
    house.engine.journal.note_writable()  # as the tick of the daemon does
    await house.see("worker.process", Status.DOWN)
    await settle(house)
    await house.consider()
    assert house.driver.pid is not None


async def test_a_claim_that_comes_too_late_is_spent(house, monkeypatch):
    """The row may be written after all: the act is not done, and its number is not used again."""
    monkeypatch.setattr("sentinel.coordination.local.PATIENCE", 0.05)
    plain, blocked = house.store.claim_attempt, threading.Event()

    def block(*args):
        blocked.wait(20)
        plain(*args)

    monkeypatch.setattr(house.store, "claim_attempt", block)
    await house.kill()
    await settle(house)
    await house.consider()
    assert house.driver.pid is None
    blocked.set()
    await house.recorder.call(lambda: None)
    assert [each.outcome for each in house.store.attempts()] == [""]
    assert [each.outcome for each in house.engine.journal.all("worker")] == ["unknown"]
    assert house.engine.journal.next_number(house.store.incidents()[0].id, "worker") == 2


async def test_a_full_disk_is_said_on_the_page(house):
    """With what is to be done, although nothing can be written."""
    for connection in house.store.database.connections:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    await house.recorder.record(Changes(meta={"filler": "x" * 200_000, HELD_KEY: "[]"}))
    present = PresentReader.over(house.store, house.recorder)
    (held,) = held_back(present)
    assert held["reason"] == Reason.JOURNAL_UNWRITABLE
    assert "full" in held["text"]
    assert "make room on the disk" in held["text"]
    assert present.meta("filler") == "x" * 200_000
    assert house.store.meta("filler") is None


def test_what_was_cleaned_is_not_known_after_a_damaged_row(store, clock):
    """No chore cleans within the hour for which the cap counts."""
    assert find_amnesia(store, clock.moment()) == ""
    with store.database.transaction() as db:
        db.execute("INSERT INTO cleaning VALUES (NULL, 'trim', 'x', 'b', 1, 5, 5, 0)")
    again = SqliteStore(store.path.parent, owner=True)
    assert again.meta("cleaning_lost")
    now = ordering.read_moment_now()
    assert "what was cleaned in it is not known" in find_amnesia(again, now)
    again.close()


def test_halt_is_in_force_on_a_full_disk(tmp_path, monkeypatch):
    """The file is there, although its reason and the row of the audit log are not."""
    SqliteStore(tmp_path).close()

    def refuse(*_args, **_facts):
        raise StateError("database or disk is full")

    monkeypatch.setattr(SqliteStore, "add_audit", refuse)
    said = ordering.halt(tmp_path, "x")
    assert said.startswith("halted: no automatic action while")
    assert "not in the audit log: database or disk is full" in said
    monkeypatch.setattr(ordering, "prepare_folder", refuse)
    assert ordering.halt(tmp_path, "x").startswith("halted")
    (tmp_path / "HALT").unlink()
    with pytest.raises(StateError, match="full"):
        ordering.halt(tmp_path, "x")
    (tmp_path / FILE).unlink()


async def test_what_waits_for_a_disk_is_put_together(house, monkeypatch):
    """A full disk for a week: the memory does not fill, and every word gets written."""
    plain = house.store.commit

    def refuse(_changes):
        raise StateError("the disk is full", "make room")

    monkeypatch.setattr(house.store, "commit", refuse)
    for n in range(3 * MANY):
        await house.recorder.record(Changes(probe_state={"a": {"look": n}}, meta={f"m{n}": "x"}))
    waiting = house.recorder.waiting()
    assert MANY < len(waiting) < 2 * MANY
    assert waiting[-1].probe_state == {"a": {"look": 3 * MANY - 1}}
    monkeypatch.setattr(house.store, "commit", plain)
    await house.recorder.record(Changes(meta={"last": "x"}))
    assert not house.recorder.waiting()
    assert all(house.store.meta(key) for key in ("m0", f"m{3 * MANY - 1}", "last"))
