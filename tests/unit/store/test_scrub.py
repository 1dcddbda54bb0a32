"""A large state is looked through after the start: bit by bit, and with the same outcome."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from sentinel.errors import StateError
from sentinel.store import Changes, Sample, scrub
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Larger than a start reads."""
    with closing(SqliteStore(tmp_path, owner=True)) as store:
        samples = [Sample(T0, "a", "lag", {"stream": str(n)}, n) for n in range(900)]
        store.commit(Changes(samples=samples, meta={"a": "b"}))
    monkeypatch.setattr(scrub, "WHOLE", 0)
    return tmp_path


def look(store: SqliteStore) -> tuple[int, int]:
    """Rows and steps until nothing is left."""
    rows = steps = 0
    while (found := store.look_through()) is not None:
        rows, steps = found, steps + 1
    return rows, steps


def test_each_row_is_looked_at_once(folder):
    """In steps; the rows that hold actions back were looked at when it started."""
    with closing(SqliteStore(folder, owner=True)) as store:
        rows, steps = look(store)
        assert (rows, steps > 900 / scrub.ROWS) == (900, True)
        assert look(store) == (0, 0)


def test_a_damaged_row_is_found_and_set_aside(folder):
    """After the start, and told as at any time."""
    with closing(sqlite3.connect(folder / "sentinel.db")) as db, db:
        db.execute("UPDATE sample SET value = 7.5 WHERE value IN (1, 450, 899)")
    with closing(SqliteStore(folder, owner=True)) as store:
        assert store.trouble().lines == []
        assert look(store)[0] == 897
        assert store.trouble().damaged == {"sample": 3}


def test_a_page_that_can_not_be_read_is_told(folder):
    """It is no row to set aside: the next start has to look at it."""
    path = folder / "sentinel.db"
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sample'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with closing(SqliteStore(folder, owner=True)) as store, pytest.raises(StateError):
        look(store)


def test_a_small_one_is_looked_through_at_the_start(folder, monkeypatch):
    """Then nothing is left."""
    monkeypatch.setattr(scrub, "WHOLE", 64 << 20)
    with closing(SqliteStore(folder, owner=True)) as store:
        assert look(store) == (0, 0)
