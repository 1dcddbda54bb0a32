"""Every table with a seal: a checksum of a row, written with it and compared when it is read.

SQLite itself has no checksum of its pages: a flipped bit in a number or in a name is still a row,
and a budget would be counted by it.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table whose rows are sealed. `columns` are those that the seal covers, in their order, the
    first `keys` of them its primary key; a number that the database gives itself (`has_id`) stands
    before them and is not covered.
    """

    name: str
    columns: tuple[str, ...]
    has_id: bool = False
    keys: int = 0
    insert: str = field(init=False)
    replace: str = field(init=False)
    select: str = field(init=False)

    def __post_init__(self) -> None:
        """The statements that are used all the time."""
        marks = ", ".join("?" * (len(self.columns) + 1))
        values = f"VALUES ({'NULL, ' * self.has_id}{marks})"
        insert = f"INSERT INTO {self.name} {values}"
        rest = ", ".join(
            f"{each} = excluded.{each}" for each in (*self.columns[self.keys :], "seal")
        )
        for name, text in (
            ("insert", insert),
            # In its place: REPLACE would move the row, and write the page of its index, too.
            ("replace", f"{insert} ON CONFLICT DO UPDATE SET {rest}"),
            ("select", f"SELECT rowid, seal, {', '.join(self.columns)} FROM {self.name}"),  # noqa: S608 - ours
        ):
            object.__setattr__(self, name, text)

    def sealed(self, row: Sequence[Any]) -> Row:
        """A row as it is written: its values and their seal."""
        return (*row, make_seal(self.name, row))


def make_seal(table: str, row: Sequence[Any]) -> int:
    """CRC-32 of the table's name and the values; TypeError for what no row of ours holds."""
    return zlib.crc32(orjson.dumps((table, *row)))


def is_sealed(table: str, seal: Any, row: Sequence[Any]) -> bool:
    """Whether a row is as it was written."""
    try:
        return bool(seal == make_seal(table, row))
    except TypeError:
        return False


def _describe(*tables: tuple[str, str] | tuple[str, str, bool]) -> Mapping[str, SealedTable]:
    """A star stands behind each column of a primary key."""
    described = [
        SealedTable(name, tuple(columns.replace("*", "").split()), any(has_id), columns.count("*"))
        for name, columns, *has_id in tables
    ]
    return {each.name: each for each in described}


TABLES = _describe(
    ("meta", "key* value"),
    ("check_view", "name* document"),
    ("component_view", "name* document"),
    ("health", "name* document"),
    ("probe_state", "name* document"),
    ("transition", "at subject scope before after reason", True),
    ("incident", "id* component opened state document"),
    ("event", "incident at kind text evidence", True),
    ("attempt", "incident* n* component intended document"),
    ("process", "component* document"),
    ("gap", "began ended reason"),
    ("sample", "at name measurement labels value"),
    ("orders", "key* at kind subject payload outcome done"),
    ("report", "kind at paths facts", True),
    ("member", "id* started beat epoch"),
    ("shard", "n* owner epoch watermark"),
    ("runbook_run", "id* began state document"),
    ("cleaning", "chore at boot uptime reserved done", True),
    ("clean_plan", "id* chore made state document"),
    ("cleaning_memory", "name* document"),
    ("objective_slice", "source* began* ended good total seen"),
    ("objective_tally", "source* document"),
    ("objective_view", "name* document"),
    ("fault", "check_name* fault* subject* began* ended component document"),
)
"""All but the audit log, which is chained by hashes, and what was set aside."""


def insert(db: sqlite3.Connection, table: str, *rows: Sequence[Any]) -> int:
    """New rows; the number of the last."""
    described = TABLES[table]
    if len(rows) == 1:
        return db.execute(described.insert, described.sealed(rows[0])).lastrowid or 0
    db.executemany(described.insert, map(described.sealed, rows))
    return 0


def replace(db: sqlite3.Connection, table: str, *rows: Sequence[Any]) -> None:
    """Rows in place of those with the same key."""
    described = TABLES[table]
    db.executemany(described.replace, map(described.sealed, rows))


def change(
    db: sqlite3.Connection, table: str, where: str, key: Sequence[Any], **values: Any
) -> bool:
    """Change rows that are whole and seal them anew; whether there was any. What is damaged stays
    as it is: a new seal would make it look whole.
    """
    described, found = TABLES[table], False
    for number, seal, *row in db.execute(f"{described.select} WHERE {where}", key).fetchall():
        if not is_sealed(table, seal, row):
            continue
        fresh = [values.get(name, old) for name, old in zip(described.columns, row, strict=True)]
        names = ", ".join(f"{name} = ?" for name in (*described.columns, "seal"))
        sql = f"UPDATE {table} SET {names} WHERE rowid = ?"  # noqa: S608 - names of ours
        db.execute(sql, (*described.sealed(fresh), number))
        found = True
    return found
