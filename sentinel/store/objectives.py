"""What was counted for objectives: slices of time, where counters stood, and how each one stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sentinel.core.objective import Counts, Marks, ObjectiveStanding, Slice
from sentinel.store import Changes
from sentinel.store.document import read, read_instant, read_plain, write, write_instant
from sentinel.store.table import replace


def write_objectives(db: sqlite3.Connection, changes: Changes) -> None:
    """Everything of one turn: a slice that goes on takes the place of what it was before."""
    slices = [
        (each.source, write_instant(each.began), write_instant(each.ended), *_figures(each.counts))
        for each in changes.slices
    ]
    marks = [
        (source, write([[name, labels, value] for (name, labels), value in found.items()]))
        for source, found in changes.marks.items()
    ]
    standings = [(name, write(each)) for name, each in changes.standings.items()]
    for table, rows in (
        ("objective_slice", slices),
        ("objective_marks", marks),
        ("objective_view", standings),
    ):
        if rows:
            replace(db, table, *rows)


def _figures(counts: Counts) -> tuple[float, float, float]:
    return float(counts.good), float(counts.total), float(counts.seen)


def read_slices(read_rows: Callable[..., list[Any]], source: str, since: datetime) -> list[Slice]:
    """What was counted for a source since an instant, oldest first."""
    return read_rows(
        "objective_slice",
        lambda name, began, ended, *figures: Slice(
            name, read_instant(began), read_instant(ended), Counts(*figures)
        ),
        "WHERE source = ? AND ended >= ? ORDER BY began",
        source,
        write_instant(since),
    )


def read_marks(text: str) -> Marks:
    """Where the counters of a source stood."""
    return {
        (name, tuple((label, word) for label, word in labels)): float(value)
        for name, labels, value in read_plain(text)
    }


def read_standing(text: str) -> ObjectiveStanding:
    """How an objective stood."""
    return read(ObjectiveStanding, text)


def keep_objectives(
    db: sqlite3.Connection, names: Collection[str], sources: Collection[str]
) -> None:
    """Drop what is of no objective any more; its slices go when they are old enough."""
    for table, key, kept in (
        ("objective_view", "name", names),
        ("objective_marks", "source", sources),
    ):
        found = db.execute(f"SELECT {key} FROM {table}").fetchall()  # noqa: S608 - literals
        gone = [row for row in found if row[0] not in kept]
        db.executemany(f"DELETE FROM {table} WHERE {key} = ?", gone)  # noqa: S608 - literals
