"""What was counted for objectives: slices of time, where counters stood, and how each one stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sentinel.core.objective import Counts, ObjectiveStanding, Slice, Tally
from sentinel.core.objective.count import SeriesKey
from sentinel.store import Changes
from sentinel.store.document import read, read_instant, read_plain, write, write_instant
from sentinel.store.table import replace


def write_objectives(db: sqlite3.Connection, changes: Changes) -> None:
    """Everything of one turn: a slice that goes on takes the place of what it was before."""
    slices = [
        (each.source, write_instant(each.began), write_instant(each.ended), *_figures(each.counts))
        for each in changes.slices
    ]
    tallies = [(source, _write_tally(each)) for source, each in changes.tallies.items()]
    standings = [(name, write(each)) for name, each in changes.standings.items()]
    for table, rows in (
        ("objective_slice", slices),
        ("objective_tally", tallies),
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


def _write_tally(tally: Tally) -> str:
    marks = tally.marks
    series = None if marks is None else [[*key, value] for key, value in marks.items()]
    counts, at = tally.counts, tally.at
    document = {"marks": series, "good": counts.good, "total": counts.total}
    return write(document if at is None else document | {"at": write_instant(at)})


def read_tally(text: str) -> Tally:
    """Where the counters of a source stood, and what was counted of it."""
    document = read_plain(text)
    series = document["marks"]
    marks = None if series is None else {_read_key(*key): float(value) for *key, value in series}
    at = read_instant(document["at"]) if "at" in document else None  # one of before has none
    return Tally(marks, Counts(float(document["good"]), float(document["total"])), at)


def _read_key(name: str, labels: list[list[str]]) -> SeriesKey:
    return name, tuple((label, word) for label, word in labels)


def read_standing(text: str) -> ObjectiveStanding:
    """How an objective stood."""
    return read(ObjectiveStanding, text)


def keep_objectives(
    db: sqlite3.Connection, names: Collection[str], sources: Collection[str]
) -> None:
    """Drop what is of no objective any more; its slices go when they are old enough."""
    for table, key, kept in (
        ("objective_view", "name", names),
        ("objective_tally", "source", sources),
    ):
        found = db.execute(f"SELECT {key} FROM {table}").fetchall()  # noqa: S608 - literals
        gone = [row for row in found if row[0] not in kept]
        db.executemany(f"DELETE FROM {table} WHERE {key} = ?", gone)  # noqa: S608 - literals
