"""Whether a database file is one of ours and whole: header, tables, pages, indexes of what budgets
are counted by.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sentinel.store.document import decode

GUARDS = (
    "meta",
    "attempt",
    "incident",
    "orders",
    "cleaning",
    "clean_plan",
    "cleaning_memory",
    "process",
    "health",
    "probe_state",
    "member",
    "shard",
)
"""What actions are held back by: an index that lacks a row of these would give a budget back."""
_HEADER = 100


class DamagedPages(sqlite3.DatabaseError):
    """The file is no database of ours, or damaged in a way that no statement has met yet."""


def check_header(path: Path) -> None:
    """The first 100 bytes, as the file format has them (https://sqlite.org/fileformat2.html). SQLite
    takes some damage in them for a file that may only be read. Raises DamagedPages.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except FileNotFoundError:
        return
    if not head:
        return
    right = (
        len(head) == _HEADER
        and head[:16] == b"SQLite format 3\0"
        and {head[18], head[19]} <= {1, 2}
        and head[20:24] == bytes((0, 64, 32, 32))
        and int.from_bytes(head[44:48]) in range(5)
        and int.from_bytes(head[56:60]) in (0, 1)
    )
    if not right:
        raise DamagedPages("file is not a database, or its header is damaged")


@dataclass(frozen=True, slots=True)
class SchemaModel:
    """A database as its migrations make it: statements that make one at once, and its parts."""

    script: str
    parts: frozenset[tuple[object, ...]]


def make_model(script: str) -> SchemaModel:
    """What the migrations lead to."""
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(script)
        made = model.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        return SchemaModel(";".join(sql for (sql,) in made), frozenset(_describe(model)))


def check_schema(db: sqlite3.Connection, model: SchemaModel, *, exactly: bool = False) -> None:
    """Every table and index of the model is there with its columns, and `exactly` no other. Raises
    DamagedPages.
    """
    db.text_factory = decode  # a name that is no text any more is not the right one
    try:
        wanted, found = model.parts, frozenset(_describe(db))
    finally:
        db.text_factory = str
    odd = wanted ^ found if exactly else wanted - found
    if odd:
        raise DamagedPages(f"malformed schema: {min(str(each[0]) for each in odd)}")


def _describe(db: sqlite3.Connection) -> set[tuple[object, ...]]:
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    columns = f"""SELECT t.name, c.name, c.type, c."notnull", c.pk
                  FROM ({tables}) t, pragma_table_info(t.name) c"""  # noqa: S608 - literals
    indexes = f"""SELECT t.name, i.name, i."unique", i.partial, x.seqno, x.name
                  FROM ({tables}) t, pragma_index_list(t.name) i, pragma_index_info(i.name) x"""  # noqa: S608
    return {*db.execute(columns), *db.execute(indexes)}


def check_pages(db: sqlite3.Connection, *, all_of_it: bool = True) -> None:
    """Every page, and every index of what holds actions back; or only the latter. Raises
    DamagedPages.
    """
    whole = ("quick_check(1)",) if all_of_it else ()
    for pragma in (*whole, *(f"integrity_check('{name}')" for name in GUARDS)):
        verdict = db.execute(f"PRAGMA {pragma}").fetchone()[0]
        if verdict != "ok":
            raise DamagedPages(f"malformed: {verdict}")
