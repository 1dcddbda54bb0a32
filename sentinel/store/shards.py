"""Members, shards and the fence of attempts in SQL; the text is nearly that of a PostgreSQL ledger
(scale.md §4.1).
"""

from __future__ import annotations

import sqlite3

from sentinel.core.model import Attempt
from sentinel.core.remediation.restart import UNCOUNTED
from sentinel.core.schedule import SHARDS
from sentinel.store import Fence
from sentinel.store.table import change, insert, replace

NEWEST = "SELECT coalesce(max(epoch), 0) FROM member"


def take_shards(db: sqlite3.Connection, member: str, at: str) -> int:
    """Give every shard to a new member under the next epoch."""
    (epoch,) = db.execute(
        "SELECT max((SELECT coalesce(max(epoch), 0) FROM member),"
        " (SELECT coalesce(max(epoch), 0) FROM shard)) + 1"
    ).fetchone()
    marks = dict(db.execute("SELECT n, watermark FROM shard").fetchall())
    db.execute("DELETE FROM member")
    insert(db, "member", (member, at, at, epoch))
    replace(db, "shard", *((n, member, epoch, marks.get(n)) for n in range(SHARDS)))
    return int(epoch)


def beat(db: sqlite3.Connection, member: str, at: str) -> int:
    """Note that a member lives, and tell whose epoch is the newest."""
    change(db, "member", "id = ?", (member,), beat=at)
    (epoch,) = db.execute(NEWEST).fetchone()
    return int(epoch)


def find_refusal(db: sqlite3.Connection, attempt: Attempt, fence: Fence) -> str:
    """Why an attempt must not be claimed, or ""."""
    if fence.member:
        row = db.execute("SELECT owner, epoch FROM shard WHERE n = ?", (fence.shard,)).fetchone()
        if row != (fence.member, fence.epoch):
            return (
                f"fenced: another sentinel has taken over (epoch {row[1] if row else '?'}, ours"
                f" {fence.epoch})"
            )
    if fence.max_attempts and attempt.by not in UNCOUNTED:
        (spent,) = db.execute(_SPENT, (attempt.incident, *UNCOUNTED)).fetchone()
        if spent >= fence.max_attempts:
            return f"all {spent} attempts of this incident are spent"
    if fence.concurrent:
        (running,) = db.execute(_RUNNING, (fence.epoch,)).fetchone()
        if running >= fence.concurrent:
            return f"{running} actions are running"
    return ""


_SPENT = """
SELECT count(*) FROM attempt
WHERE incident = ? AND coalesce(json_extract(document, '$.by'), 'sentinel') NOT IN (?, ?)
"""
_RUNNING = """
SELECT count(*) FROM attempt
WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.outcome') = '' END
AND coalesce(json_extract(document, '$.epoch'), 0) = ?
"""
# Of an older epoch nothing runs any more: its row may be of a component that the configuration no
# longer has.
