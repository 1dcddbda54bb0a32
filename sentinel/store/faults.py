"""Faults and how long they stood: who was wrong, in what way, from which look to which."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sentinel.core.fault import StandingFault
from sentinel.store.document import clean_text, read, write, write_instant
from sentinel.store.table import TABLES, is_sealed
from sentinel.store.table import replace as replace_rows

_READ = """
WHERE (? IS NULL OR check_name = ?)
AND (ended IS NULL OR (? IS NOT NULL AND ended >= ?)) ORDER BY check_name, began, fault, subject LIMIT ?
"""
_TRIM = """
DELETE FROM fault WHERE check_name = ? AND ended < (
    SELECT ended FROM fault WHERE check_name = ? AND ended IS NOT NULL
    ORDER BY ended DESC LIMIT 1 OFFSET ?)
"""
MAX_ENDED = 5000
"""Faults of one check that are over and still remembered: the latest of them. Subjects that come
and go at every look would else fill the disk long before retention.
"""
_STANDING = f"{TABLES['fault'].select} WHERE ended IS NULL"

ReadRows = Callable[..., list[StandingFault]]


def write_faults(db: sqlite3.Connection, faults: Iterable[StandingFault]) -> None:
    """Remember faults as they stand now; one that ended keeps its row until retention, or until
    MAX_ENDED others of its check have ended since.
    """
    written = list(faults)
    if written:
        replace_rows(db, "fault", *map(_row, written))
    for check in {each.check for each in written if each.ended is not None}:
        db.execute(_TRIM, (check, check, MAX_ENDED - 1))


def _row(standing: StandingFault) -> tuple[Any, ...]:
    subject = json.dumps(dict(sorted(standing.fault.subject.items())), ensure_ascii=True)
    ended = write_instant(standing.ended) if standing.ended else None
    began = write_instant(standing.began)
    names = standing.check, standing.fault.key, clean_text(subject)
    return (*names, began, ended, standing.component, write(standing))


def read_faults(
    rows: ReadRows, check: str | None, since: datetime | None, limit: int
) -> list[StandingFault]:
    """Faults that stand, and with `since` those that ended after it."""
    instant = write_instant(since) if since else None
    given = check, check, instant, instant, limit
    return rows("fault", lambda *row: read(StandingFault, row[-1]), _READ, *given)


def move_faults(db: sqlite3.Connection, step: timedelta) -> None:
    """The clock was set: what stands has stood as long as before."""
    standing = _read_standing(db)
    for _, number in standing:
        db.execute("DELETE FROM fault WHERE rowid = ?", (number,))
    write_faults(db, [each.follow_clock(step) for each, _ in standing])


def end_faults(db: sqlite3.Connection, checks: Iterable[str], at: datetime) -> None:
    """A check that the configuration no longer has finds nothing any more: its faults end."""
    kept = set(checks)
    standing = _read_standing(db)
    write_faults(db, [replace(each, ended=at) for each, _ in standing if each.check not in kept])


def _read_standing(db: sqlite3.Connection) -> list[tuple[StandingFault, int]]:
    """Every fault that stands and is as it was written, and the number of its row."""
    rows = [
        (row, number)
        for number, seal, *row in db.execute(_STANDING)
        if is_sealed("fault", seal, row)
    ]
    return [(read(StandingFault, row[-1]), number) for row, number in rows]
