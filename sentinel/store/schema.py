"""The schema of the database: its versions, one after the other, and what they lead to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sentinel.store.document import decode
from sentinel.store.pages import SchemaModel, make_model
from sentinel.store.table import TABLES, make_seal

SCHEMA_VERSION = 5
SEALED_SINCE = 4
_MIGRATIONS = {
    n: Path(__file__).with_name(name)
    for n, name in (
        (1, "schema.sql"),
        (2, "schema_2.sql"),
        (3, "schema_3.sql"),
        (4, "schema_4.sql"),
        (5, "schema_5.sql"),
    )
}


def migrate(db: sqlite3.Connection) -> None:
    """Bring it up to date. All steps or none: one that can't be is left as it was."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version >= SCHEMA_VERSION:
        return
    steps = range(version + 1, SCHEMA_VERSION + 1)
    try:
        script = ";".join(_MIGRATIONS[number].read_text() for number in steps)
        script = script if version else find_model().script
        db.executescript(f"BEGIN IMMEDIATE;{script}")
        if 0 < version < SEALED_SINCE:
            _seal_all(db)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        roll_back(db)
        raise


def roll_back(db: sqlite3.Connection) -> None:
    """Nothing of a transaction is left."""
    if db.in_transaction:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")


@cache
def find_model() -> SchemaModel:
    """A database as it is made now."""
    return make_model(";".join(path.read_text() for path in _MIGRATIONS.values()))


def _seal_all(db: sqlite3.Connection) -> None:
    """What an older sentinel wrote is taken as it is; a text that is none gets no seal."""
    db.text_factory = decode
    try:
        for table in TABLES.values():
            rows = db.execute(table.select).fetchall()
            seals = [(_seal_or_none(table.name, row), number) for number, _, *row in rows]
            db.executemany(f"UPDATE {table.name} SET seal = ? WHERE rowid = ?", seals)  # noqa: S608 - ours
    finally:
        db.text_factory = str


def _seal_or_none(table: str, row: Sequence[Any]) -> int | None:
    with suppress(TypeError):
        return make_seal(table, row)
    return None
