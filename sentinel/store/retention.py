"""Forgetting, a little at a time: each step is one transaction of a few milliseconds, and gives pages
back to the file system.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sentinel.store import FORGOTTEN, PLEDGE, Retention, RetentionStep
from sentinel.store.audit import forget_heads, forget_rows
from sentinel.store.document import write_instant
from sentinel.store.table import TABLES, is_sealed, replace

if TYPE_CHECKING:
    from sentinel.store.database import Database

STEP = 0.004
"""Seconds that a step should take at most."""
LEAST, MOST = 20, 2000
"""Rows of a step."""
SPARE = 64
"""Free pages that the file keeps for what comes next."""
PAGES = 128
"""Pages that a step gives back at most."""
MAX_EVENTS = 2000
"""Lines of the timeline of an open incident that are kept beyond the retention: the latest."""
MAX_DAMAGED = 10_000
"""Damaged rows that are kept."""
MAX_SAMPLES = 1_000_000
"""Readings of totals that are kept, the latest: some 200 MB, whatever moves all the time."""

_TIMED = (
    ("transition", "at"),
    ("sample", "at"),
    ("fault", "ended"),
    ("gap", "ended"),
    ("runbook_run", "began"),
    ("orders", "done"),
    ("clean_plan", "made"),
)
_OLD = """
SELECT id FROM incident WHERE state = 'closed' AND opened < :before AND
CASE WHEN json_valid(document) THEN coalesce(json_extract(document, '$.closed'), opened)
ELSE opened END < :before
"""
_OF_INCIDENTS = (
    f"DELETE FROM event WHERE rowid IN (SELECT rowid FROM event WHERE incident IN ({_OLD}) LIMIT :n)",  # noqa: S608
    # Acts by hand upon a component that had no incident.
    "DELETE FROM event WHERE rowid IN (SELECT rowid FROM event WHERE incident >= 'by-hand-'"
    " AND incident < 'by-hand.' AND at < :before LIMIT :n)",
    f"""DELETE FROM attempt WHERE rowid IN (SELECT a.rowid FROM attempt a
        LEFT JOIN incident i ON i.id = a.incident WHERE a.intended < :journal
        AND (i.id IS NULL OR i.id IN ({_OLD})) ORDER BY a.intended LIMIT :n)""",  # noqa: S608
    f"""DELETE FROM incident WHERE rowid IN (SELECT rowid FROM incident i WHERE i.id IN ({_OLD})
        AND NOT EXISTS (SELECT 1 FROM event e WHERE e.incident = i.id)
        AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.incident = i.id) LIMIT :n)""",  # noqa: S608
)
_CONFIGURED = "SELECT key FROM json_each((SELECT value FROM meta WHERE key = 'positions'))"
_OF_CHECKS = (
    f"""DELETE FROM health WHERE rowid IN (SELECT rowid FROM health WHERE name NOT IN ({_CONFIGURED})
        AND CASE WHEN json_valid(document) THEN coalesce(json_extract(document, '$.last_observed'),
        json_extract(document, '$.since'), '') END < :before LIMIT :n)""",  # noqa: S608 - ours
    f"""DELETE FROM probe_state WHERE rowid IN (SELECT rowid FROM probe_state
        WHERE name NOT IN ({_CONFIGURED}) AND name NOT IN (SELECT name FROM health) LIMIT :n)""",  # noqa: S608
    f"""DELETE FROM meta WHERE rowid IN (SELECT rowid FROM meta
        WHERE key >= '{PLEDGE}' AND key < '{PLEDGE[:-1]}0' AND substr(key, {len(PLEDGE) + 1})
        NOT IN ({_CONFIGURED} UNION SELECT name FROM health) LIMIT :n)""",  # noqa: S608
)
"""What was believed and remembered of checks that the configuration has not had for that long: one
that is back sooner goes on where it was.
"""
_HAS_NAMES = "SELECT count(*) FROM meta WHERE key = 'positions' AND json_valid(value)"
_CROWDED = """
SELECT incident FROM event WHERE incident IN (SELECT id FROM incident WHERE state <> 'closed')
GROUP BY incident HAVING count(*) > ? LIMIT 1
"""
_THIN = """
DELETE FROM event WHERE rowid IN (SELECT rowid FROM event WHERE incident = ? AND at < ? AND id < (
SELECT id FROM event WHERE incident = ? ORDER BY id DESC LIMIT 1 OFFSET ?) LIMIT ?)
"""


def forget_some(database: Database, retention: Retention) -> RetentionStep:
    """One step; its size follows from how long the last ones took."""
    before = time.perf_counter()
    with database.transaction() as db:
        rows = sum(_forget_rows(db, retention, database.stride))
        if rows:
            _say_so(db, write_instant(retention.before))
    pages = database.give_back(SPARE, PAGES)
    rows += _forget_audit(database, retention)
    took = time.perf_counter() - before
    full = rows >= database.stride
    if took > STEP:
        database.stride = max(database.stride // 2, LEAST)
    elif full and took < STEP / 2:
        database.stride = min(database.stride * 2, MOST)
    return RetentionStep(rows, pages, rows > 0 or pages == PAGES)


def _forget_rows(db: sqlite3.Connection, retention: Retention, most: int) -> Iterator[int]:
    """Rows dropped, table by table, until there were enough of them for one step."""
    given: dict[str, Any] = {
        "before": write_instant(retention.before),
        "journal": write_instant(retention.journal),
        "reports": write_instant(retention.reports),
        "objectives": write_instant(retention.objectives),
    }
    statements = [*_OF_INCIDENTS, *(_delete(table, column) for table, column in _TIMED)]
    statements += [_delete("cleaning", "at", "journal"), _delete("report", "at", "reports")]
    statements += [_delete("damaged", "at", "reports")]
    statements += [_delete("objective_slice", "ended", "objectives")]
    for sql in statements:
        dropped = db.execute(sql, {**given, "n": most}).rowcount
        yield dropped
        most -= dropped
        if most <= 0:
            return
    yield _thin_out(db, given["before"], most)
    (is_known,) = db.execute(_HAS_NAMES).fetchone()
    for sql in _OF_CHECKS if is_known else ():
        yield db.execute(sql, {"before": given["before"], "n": max(most, 1)}).rowcount
    for table, kept in (("damaged", MAX_DAMAGED), ("sample", MAX_SAMPLES)):
        cap = (
            f"SELECT rowid FROM {table} WHERE rowid <= (SELECT max(rowid) - ? FROM {table}) LIMIT ?"  # noqa: S608
        )
        sql = f"DELETE FROM {table} WHERE rowid IN ({cap})"  # noqa: S608 - two literals
        yield db.execute(sql, (kept, max(most, 1))).rowcount


def _say_so(db: sqlite3.Connection, before: str) -> None:
    """Reports claim nothing of the time before, whatever the configuration says by then."""
    found = db.execute(f"{TABLES['meta'].select} WHERE key = ?", (FORGOTTEN,)).fetchall()
    said = next((row[-1] for _, seal, *row in found if is_sealed("meta", seal, row)), "")
    if before > said:
        replace(db, "meta", (FORGOTTEN, before))


def _delete(table: str, column: str, limit: str = "before") -> str:
    return (
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {column} < :{limit}"  # noqa: S608
        f" ORDER BY {column} LIMIT :n)"
    )


def _thin_out(db: sqlite3.Connection, before: str, most: int) -> int:
    """An incident may stand open for months."""
    for (incident,) in db.execute(_CROWDED, (MAX_EVENTS,)).fetchall():
        given = incident, before, incident, MAX_EVENTS - 1, most
        return db.execute(_THIN, given).rowcount
    return 0


def _forget_audit(database: Database, retention: Retention) -> int:
    """The log says itself where it was cut, in a row of its own, before it is."""
    limit = write_instant(retention.audit)
    oldest = database.query("SELECT at FROM audit ORDER BY id LIMIT 1")
    if not oldest or not isinstance(oldest[0][0], str) or oldest[0][0] >= limit:
        return 0
    with database.act() as db:
        cut = forget_rows(db, limit)
    if cut.rows:
        forget_heads(database.path.parent, cut.last, cut.head)
    return cut.rows
