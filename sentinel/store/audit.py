"""The audit log: each row's hash covers the row before it, and every head is remembered in a file
beside the database.

Editing, deleting, inserting or reordering rows breaks the chain. Rows cut off at the end leave a
whole chain behind: that is seen by the file of heads alone. What neither sees: somebody who may
write both and computes everything anew, because no secret is involved, and rows written and cut off
while the file could not be written. Against both, note the head that `audit verify` prints on
another machine, and give it back with --head.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HEADS = "audit.heads"
_HEAD = re.compile(r"(\d+):([0-9a-f]{64})")
StoredRow = tuple[int, str, str, str, str, str, str]
"""id, at, actor, action, subject, detail, hash, as the database has them."""


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the log is whole: `broken` is the id of the first row that is not, `text` says what
    is wrong.

    `head` is `id:hash` of the last row, `remembered` how many heads the file holds.
    """

    rows: int
    head: str
    broken: int | None = None
    text: str = ""
    remembered: int = 0

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


def remember_head(folder: Path, head: str) -> None:
    """Append a head to the file. A disk that refuses is no reason to lose the row: later heads
    cover it.
    """
    with suppress(OSError):
        descriptor = os.open(
            folder / HEADS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, f"{head}\n".encode())
        finally:
            os.close(descriptor)


def read_heads(folder: Path) -> dict[int, set[str]]:
    """Every remembered head by row id; lines cut short by a crash are left out."""
    heads: dict[int, set[str]] = {}
    with suppress(FileNotFoundError):
        for line in (folder / HEADS).read_text("ascii", "replace").splitlines():
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
    remembered = sum(map(len, heads.values()))
    previous, count, last = "", 0, 0
    wanted = dict(heads)
    for row in rows:
        number, digest = row[0], row[6]
        text = _judge(previous, row, wanted.pop(number, None))
        if text:
            return AuditVerdict(
                count, f"{last}:{previous}" if count else "", number, text, remembered
            )
        previous, count, last = digest, count + 1, number
    head = f"{last}:{previous}" if count else ""
    if wanted:
        first = min(wanted)
        text = (
            f"row {first} and what followed it is missing: it was written, and is cut off"
            f" ({len(wanted)} heads)"
        )
        return AuditVerdict(count, head, first, text, remembered)
    return AuditVerdict(count, head, None, "", remembered)


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
