"""Rows that are not as they were written: set aside with what they held, and what budgets were
counted by them is counted as spent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel.clock import read_moment_now, utcnow
from sentinel.core.component.health import Health
from sentinel.core.fault import StandingFault
from sentinel.core.model import Attempt, Incident
from sentinel.core.moment import read_moment, write_moment
from sentinel.errors import StateError
from sentinel.store import ProcessRow
from sentinel.store.document import decode, read, read_plain, write_instant
from sentinel.store.objectives import read_standing, read_tally
from sentinel.store.pages import GUARDS
from sentinel.store.table import TABLES, is_sealed, replace

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What a build of a damaged value raises."""
JOURNAL_LOST = "journal_lost"
"""Under this word stands since when every budget counts as spent: a moment."""
CLEANING_LOST = "cleaning_lost"
"""Since when it is not known what was cleaned: a moment."""
LOST = "lost/"
"""Before the name of a component: since when its own budget counts as spent."""
EVERYBODY, CLEANING = "*", "cleaning"
_HARMLESS = frozenset(
    {
        "beat", "doubt", "generation", "held", "identity", "own", "platform", "positions",
        "progress", "progress_baseline", "runbooks", "started", "stopped", "watching_since",
    }
)  # fmt: skip
"""Words of `meta` by which nothing is held back."""
_OF_COMPONENT = {"attempt": "component", "incident": "component", "process": "component"}
_STANDING = {"fault": "WHERE ended IS NULL", "orders": "WHERE done IS NULL"}
"""Of these only what still counts is looked at when the daemon starts."""


def _read_meta(key: str, value: str) -> None:
    if not value:
        return
    if key in {"beat", JOURNAL_LOST, CLEANING_LOST} or key.startswith(("reset/", LOST)):
        read_moment(value)
    elif key in {"breaker", "crashes", "exhaustions", "brakes", "positions", "held"}:
        json.loads(value)


_BUILDS: Mapping[str, Callable[..., object]] = {
    "meta": _read_meta,
    "health": lambda _, document: read(Health, document),
    "probe_state": lambda _, document: read_plain(document),
    "process": lambda _, document: read(ProcessRow, document),
    "incident": lambda *row: read(Incident, row[-1]),
    "attempt": lambda *row: read(Attempt, row[-1]),
    "clean_plan": lambda *row: _read_plan(row[-1]),
    "fault": lambda *row: read(StandingFault, row[-1]),
    "orders": lambda *row: read_plain(row[4]),
    "objective_tally": lambda _, document: read_tally(document),
    "objective_view": lambda _, document: read_standing(document),
}


def inspect(db: sqlite3.Connection, *, everything: bool = False) -> int:
    """Set aside every row that is not as it was written, of what counts at a start or of all
    tables; how many.
    """
    db.text_factory, broken = decode, []
    try:
        for table in TABLES if everything else (*GUARDS, "fault"):
            tail = "" if everything else _STANDING.get(table, "")
            build = _BUILDS.get(table, lambda *_: None)
            for number, seal, *row in db.execute(f"{TABLES[table].select} {tail}"):
                if not (is_sealed(table, seal, row) and _is_readable(build, row)):
                    broken.append((table, number))
    finally:
        db.text_factory = str
    for table, number in broken:
        set_aside(db, table, number, "found at the start")
    return len(broken)


def _is_readable(build: Callable[..., object], row: Sequence[Any]) -> bool:
    try:
        build(*row)
    except (StateError, *UNREADABLE):
        return False
    return True


def set_aside(db: sqlite3.Connection, table: str, number: int, why: str) -> None:
    """Move one row into `damaged`, and write down what was lost with it."""
    described = TABLES[table]
    quoted = " || ', ' || ".join(f"quote({column})" for column in described.columns)
    sql = f"SELECT CAST('(' || {quoted} || ')' AS BLOB) FROM {table} WHERE rowid = ?"  # noqa: S608 - ours
    content = db.execute(sql, (number,)).fetchone()
    if content is None:
        return  # another reader was faster
    lost = _find_loss(db, table, number)
    now = write_instant(utcnow())
    db.execute(
        "INSERT INTO damaged (at, source, why, content, lost) VALUES (?, ?, ?, ?, ?)",
        (now, table, why, content[0], lost),
    )
    try:
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))  # noqa: S608 - a table of ours
    except sqlite3.DatabaseError:  # an index still has the row as it was
        db.execute(f"REINDEX {table}")
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))  # noqa: S608
    word = {"": "", EVERYBODY: JOURNAL_LOST, CLEANING: CLEANING_LOST}.get(lost, LOST + lost)
    if word:
        replace(db, "meta", (word, write_moment(read_moment_now())))


def _find_loss(db: sqlite3.Connection, table: str, number: int) -> str:
    """Whose budget counts as spent: a component's, EVERYBODY's, that of CLEANING, or nobody's."""
    described = TABLES[table]
    before, db.text_factory = db.text_factory, decode
    try:
        _, _, *row = db.execute(f"{described.select} WHERE rowid = ?", (number,)).fetchone()
    finally:
        db.text_factory = before
    values = dict(zip(described.columns, row, strict=True))
    if table == "meta":
        return "" if values["key"] in _HARMLESS else EVERYBODY
    if table in {"cleaning", "cleaning_memory", "clean_plan"}:
        return CLEANING
    if table not in _OF_COMPONENT:
        return ""
    name = values["component"]
    return name if _is_certain(name, values) else EVERYBODY


def _is_certain(name: Any, values: Mapping[str, Any]) -> bool:
    """Whether two places of a damaged row name the same component: one alone may be the damage."""
    if not isinstance(name, str) or not name:
        return False
    document = values["document"]
    text = document.decode(errors="replace") if isinstance(document, bytes) else str(document)
    incident = values.get("incident", values.get("id"))
    told = f'"component":{json.dumps(name, ensure_ascii=False)}' in text
    return told or (
        isinstance(incident, str) and name in {incident.partition("Z-")[2], incident[8:]}
    )


def _read_plan(document: Any) -> object:
    """Seldom asked for: it knows all of the bus, and most commands none of it."""
    from sentinel.core.bus.housekeeping import CleanPlan  # noqa: PLC0415

    return read(CleanPlan, document)
