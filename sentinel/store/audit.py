"""The audit log: each row's hash covers the row before it, and every head is remembered in a file
beside the database.

Editing, deleting, inserting or reordering rows breaks the chain. Rows cut off at the end leave a
whole chain behind: that is seen by the file of heads alone. Rows that retention drops at the
beginning are announced by a row of the log itself, with the hash that the rest continues: a
beginning that was cut off without it breaks the chain. What neither sees: somebody who may
write both and computes everything anew, because no secret is involved, and rows written and cut off
while the file could not be written. Against both, note the head that `audit verify` prints on
another machine, and give it back with --head.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sentinel.clock import utcnow
from sentinel.store.document import write_instant
from sentinel.strict.file import open_at_once

HEADS = "audit.heads"
_HEAD = re.compile(r"(\d+):([0-9a-f]{64})")
CUT = "audit cut"
CUT_BY = "sentinel"
CUT_ROWS = 500
"""Rows that are dropped in one step."""
StoredRow = tuple[int, str, str, str, str, str, str]
"""id, at, actor, action, subject, detail, hash, as the database has them."""


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the log is whole: `broken` is the id of the first row that is not, `text` says what
    is wrong.

    `head` is `id:hash` of the last row, `remembered` how many heads the file holds, `forgotten` the
    last row that retention has dropped.
    """

    rows: int
    head: str
    broken: int | None = None
    text: str = ""
    remembered: int = 0
    forgotten: int = 0

    @property
    def whole(self) -> bool:
        """Nothing wrong was found."""
        return not self.text


def chain(previous: str, fields: Sequence[str]) -> str:
    """Hash of a row: SHA-256 over the hash before it and its fields."""
    return hashlib.sha256("\x1f".join((previous, *fields)).encode()).hexdigest()


def append_row(db: sqlite3.Connection, fields: Sequence[str]) -> str:
    """Append to the log; the new head."""
    last = db.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    digest = chain(last[0] if last else "", fields)
    cursor = db.execute("INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?)", (*fields, digest))
    return f"{cursor.lastrowid}:{digest}"


@dataclass(frozen=True, slots=True)
class AuditCut:
    """Rows that were dropped at the beginning, the last of them and its hash."""

    rows: int = 0
    last: int = 0
    head: str = ""


def forget_rows(db: sqlite3.Connection, before: str) -> AuditCut:
    """Drop the oldest rows from before an instant, and say so in a row of the log; the newest stays."""
    sql = "SELECT id, at, hash FROM audit ORDER BY id LIMIT ?"
    old = []
    for number, at, digest in db.execute(sql, (CUT_ROWS + 1,)).fetchall():
        if not isinstance(at, str) or at >= before:
            break
        old.append((number, digest))
    (newest,) = db.execute("SELECT max(id) FROM audit").fetchone()
    old = [each for each in old[:CUT_ROWS] if each[0] != newest]
    if not old:
        return AuditCut()
    last, head = old[-1]
    now = write_instant(utcnow())
    append_row(db, (now, CUT_BY, CUT, "audit", f"{last}:{head}"))
    db.execute("DELETE FROM audit WHERE id <= ?", (last,))
    return AuditCut(len(old), last, head)


def remember_head(folder: Path, head: str) -> None:
    """Append a head to the file. A disk that refuses is no reason to lose the row: later heads
    cover it.
    """
    with suppress(OSError):
        _append(folder / HEADS, head)


def _append(path: Path, head: str) -> None:
    """To the file that is in place: it may be rewritten just now."""
    for _ in range(10):
        handle = open_at_once(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                os.write(handle, f"{head}\n".encode())
                return
        finally:
            os.close(handle)


def forget_heads(folder: Path, last: int, digest: str) -> None:
    """Leave out the heads of rows that were dropped, but for the last of them."""
    path = folder / HEADS
    with suppress(OSError), open(path, "rb", opener=open_at_once) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = [f"{last}:{digest}"]
        for line in file.read().decode("ascii", "replace").splitlines():
            match = _HEAD.fullmatch(line.strip())
            if match and int(match[1]) > last:
                kept.append(line.strip())
        draft = path.with_name(f"{HEADS}.draft")
        draft.write_text("\n".join(kept) + "\n", "ascii")
        draft.chmod(0o600)
        draft.rename(path)


def read_heads(folder: Path) -> dict[int, set[str]]:
    """Every remembered head by row id; lines cut short by a crash are left out."""
    heads: dict[int, set[str]] = {}
    with suppress(FileNotFoundError):
        with open(folder / HEADS, "rb", opener=open_at_once) as file:
            text = file.read().decode("ascii", "replace")
        for line in text.splitlines():
            if match := _HEAD.fullmatch(line.strip()):
                heads.setdefault(int(match[1]), set()).add(match[2])
    return heads


def move_heads_aside(folder: Path, stamp: str) -> None:
    """The heads of a database that was damaged go where the database went; the log begins anew."""
    with suppress(FileNotFoundError):
        (folder / HEADS).rename(folder / f"{HEADS}.corrupt-{stamp}")


def parse_head(text: str) -> tuple[int, str] | None:
    """`id:hash` as `audit verify` prints it."""
    match = _HEAD.fullmatch(text.strip())
    return (int(match[1]), match[2]) if match else None


def verify(rows: Iterable[StoredRow], heads: Mapping[int, set[str]]) -> AuditVerdict:
    """Walk the chain from the first row; stops at the first that is broken."""
    found, remembered = list(rows), sum(map(len, heads.values()))
    cut, previous = _find_cut(found)
    wanted = {number: known for number, known in heads.items() if number > cut}
    if cut and heads.get(cut, {previous}) != {previous}:
        text = f"the rows up to {cut} were replaced before they were dropped"
        return AuditVerdict(0, "", cut, text, remembered, cut)
    count, last = 0, cut
    for row in found:
        number, digest = row[0], row[6]
        text = _judge(previous, row, wanted.pop(number, None))
        if text:
            head = f"{last}:{previous}" if count else ""
            return AuditVerdict(count, head, number, text, remembered, cut)
        previous, count, last = digest, count + 1, number
    head = f"{last}:{previous}" if count else ""
    if wanted:
        first = min(wanted)
        text = (
            f"row {first} and what followed it is missing: it was written, and is cut off"
            f" ({len(wanted)} heads)"
        )
        return AuditVerdict(count, head, first, text, remembered, cut)
    return AuditVerdict(count, head, None, "", remembered, cut)


def _find_cut(rows: Sequence[StoredRow]) -> tuple[int, str]:
    """The last row that was dropped and its hash, as a row of the log says that stands where the
    rest begins.
    """
    if not rows or rows[0][0] == 1:
        return 0, ""
    for row in reversed(rows):
        match = _HEAD.fullmatch(row[5]) if row[2:4] == (CUT_BY, CUT) else None
        if match:
            number = int(match[1])
            return (number, match[2]) if rows[0][0] == number + 1 else (0, "")
    return 0, ""


def _judge(previous: str, row: StoredRow, known: set[str] | None) -> str:
    number, digest = row[0], row[6]
    if chain(previous, row[1:6]) != digest:
        return (
            f"row {number} does not fit the row before it: it, or one before it, was edited,"
            " deleted or moved"
        )
    if known is not None and known != {digest}:
        return f"row {number} is not the one that was written: everything from it on was replaced"
    return ""
