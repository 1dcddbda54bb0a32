"""Damaged rows are set aside one by one, and what they counted is spent."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState
from sentinel.core.order import Order
from sentinel.store import Changes, ProcessRow
from sentinel.store.folder import FILE
from sentinel.store.salvage import CLEANING_LOST, JOURNAL_LOST
from sentinel.store.sqlite import SqliteStore
from sentinel.store.table import TABLES

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
NAME = "20261130T100000.000Z-api"
INCIDENT = Incident(NAME, "api", T0, IncidentState.OPEN, Status.DOWN, "does not answer")
ATTEMPT = Attempt(NAME, 1, "api", "restart", "down", T0, outcome="done")
OTHER = replace(ATTEMPT, incident="20261130T100000.000Z-worker", component="worker")


@pytest.fixture
def folder(tmp_path):
    """A state with something in every table that holds an act back."""
    store = SqliteStore(tmp_path, owner=True)
    for attempt in (ATTEMPT, replace(ATTEMPT, n=2), OTHER):
        store.claim_attempt(attempt)
    fault = Fault("f", {"a": "b"}, Status.DOWN, "x")
    standing = StandingFault("c", "api", fault, T0, Status.DOWN)
    changes = Changes(
        incidents=[INCIDENT],
        events=[(NAME, T0, Event("opened", "x"), {})],
        health={"c": Health(Status.DOWN, T0)},
        probe_state={"c": {"seen": 5, "by": "somebody"}},
        processes=[ProcessRow("api", 5, "boot/5/6", T0, True)],
        faults=[standing],
        meta={"breaker": "", "platform": "demo"},
    )
    store.commit(changes)
    store.add_order(Order("restart", "k", "api", {"reason": "x"}), T0)
    store.close()
    return tmp_path


def hurt(folder, *statements):
    """What a disk did."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


CUT = "UPDATE {0} SET document = substr(document, 1, 20)"
"""(what happened, table, whose budget is lost)"""
DAMAGES = [
    (CUT.format("health"), "health", ""),
    (CUT.format("probe_state"), "probe_state", ""),
    (CUT.format("incident"), "incident", "lost/api"),
    (CUT.format("attempt") + " WHERE component = 'api'", "attempt", "lost/api"),
    (CUT.format("process"), "process", "lost/api"),
    (CUT.format("fault"), "fault", ""),
    ("UPDATE attempt SET n = 9 WHERE n = 2", "attempt", "lost/api"),
    ("UPDATE attempt SET document = CAST(x'ff00' AS TEXT) WHERE n = 2", "attempt", "lost/api"),
    ("UPDATE attempt SET component = 'apj' WHERE n = 2", "attempt", JOURNAL_LOST),
    ("UPDATE attempt SET document = replace(document, 'T10', 'T12')", "attempt", "lost/api"),
    ("UPDATE attempt SET seal = NULL WHERE n = 2", "attempt", "lost/api"),
    ("UPDATE attempt SET incident = CAST(x'fe' AS TEXT) WHERE n = 2", "attempt", "lost/api"),
    ("UPDATE incident SET state = 'closed'", "incident", "lost/api"),
    ("UPDATE meta SET value = 'x' WHERE key = 'breaker'", "meta", JOURNAL_LOST),
    ("UPDATE meta SET key = 'x' WHERE key = 'breaker'", "meta", JOURNAL_LOST),
    ("UPDATE meta SET value = 'y' WHERE key = 'platform'", "meta", ""),
    ("UPDATE orders SET subject = 'worker'", "orders", ""),
    ("UPDATE orders SET payload = 5", "orders", ""),
    ("INSERT INTO cleaning VALUES (NULL, 'trim', 'x', 'b', 1, 5, 5, 0)", "cleaning", CLEANING_LOST),
    ("UPDATE shard SET epoch = 'x' WHERE n = 3", "shard", ""),
]


@pytest.mark.parametrize(("sql", "table", "lost"), DAMAGES)
def test_a_damaged_row_is_set_aside(folder, sql, table, lost):
    """The daemon starts, the others are there, the row is kept, and its budget counts as spent."""
    if table == "shard":
        first = SqliteStore(folder, owner=True)
        first.join("m", T0)
        first.close()
    hurt(folder, sql)
    store = SqliteStore(folder, owner=True)
    assert store.moved_aside == []
    count = store.trouble().damaged[table]
    assert count >= 1
    assert len(store.damaged()) == count
    assert all(row.source == table and row.content for row in store.damaged())
    words = [JOURNAL_LOST, CLEANING_LOST, "lost/api"]
    assert [word for word in words if store.meta(word)] == ([lost] if lost else [])
    for ask in (store.healths, store.probe_states, store.faults, store.incidents, store.processes):
        ask()
    store.take_orders()
    assert store.attempts(component="worker") or "T12" in sql
    assert store.join("next", T0) > 0
    store.close()
    again = SqliteStore(folder, owner=True)
    assert again.trouble().damaged == {table: count}
    again.close()


def test_damage_that_is_met_while_running(folder):
    """What is read later is set aside later; the readers never see it, and never fail."""
    store, reader = SqliteStore(folder, owner=True), SqliteStore(folder, writable=False)
    hurt(folder, "UPDATE event SET text = 'y'", CUT.format("health"))
    assert reader.timeline(NAME) == []
    assert reader.healths() == {}
    assert store.trouble().damaged == {}
    assert store.timeline(NAME) == []
    assert store.healths() == {}
    assert reader.trouble().damaged == {"event": 1, "health": 1}
    store.accept(T0, "ops", "seen")
    assert reader.trouble().damaged == {}
    assert reader.damaged()[0].seen
    reader.close()
    store.close()


def test_a_change_does_not_seal_what_is_damaged(folder):
    """Else an attempt of another component would look whole after its outcome is written."""
    store = SqliteStore(folder)
    hurt(folder, "UPDATE attempt SET component = 'worker' WHERE component = 'api'")
    store.commit(Changes(attempts=[replace(ATTEMPT, outcome="failed")]))
    assert len(store.attempts()) == 1
    store.close()


def test_an_index_that_lacks_a_row_gives_no_budget_back(folder):
    """It is made anew from the rows."""
    path = folder / FILE
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = db.execute("PRAGMA page_size").fetchone()
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'attempt_component'"
        (page,) = db.execute(sql).fetchone()
    content = bytearray(path.read_bytes())
    start = (page - 1) * size
    place = content.index(b"api2026", start, start + size)
    content[place] ^= 1
    path.write_bytes(content)
    store = SqliteStore(folder, owner=True)
    assert store.moved_aside == []
    assert len(store.attempts(component="api")) == 2
    store.close()


def test_every_table_has_a_seal(tmp_path):
    """But the audit log, which is chained, and what was set aside."""
    SqliteStore(tmp_path, owner=True).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        names = {
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        for table in TABLES.values():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table.name})")]
            assert columns == [*["id"] * table.has_id, *table.columns, "seal"]
    assert names - TABLES.keys() == {"audit", "damaged"}
