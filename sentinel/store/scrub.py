"""What a start leaves out of a large database: every row against its seal, a few at a time, so that
no start waits for gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sentinel.store.pages import GUARDS
from sentinel.store.table import TABLES

WHOLE = 64 << 20
"""Bytes up to which a start reads all of the file: below half a second."""
ROWS = 200
"""Rows of a step: some milliseconds."""
_END = "SELECT rowid FROM {} WHERE rowid > ? ORDER BY rowid LIMIT 1 OFFSET ?"


@dataclass(slots=True)
class Scrub:
    """Where it has come to, table by table; the start looks at what actions are held back by."""

    tables: list[str] = field(default_factory=lambda: [t for t in TABLES if t not in GUARDS])
    rows: int = 0
    """How many were whole."""
    _after: int = 0

    def step(
        self,
        read: Callable[..., list[Any]],
        query: Callable[..., list[tuple[Any, ...]]],
    ) -> bool:
        """The next rows; whether there are more. Raises StateError for what SQLite can't read."""
        if not self.tables:
            return False  # also after the last of them
        table = self.tables[0]
        end = query(_END.format(table), self._after, ROWS - 1)
        last = int(end[0][0]) if end else (1 << 63) - 1
        # What is not whole is set aside by who reads it.
        found = read(table, lambda *_: None, "WHERE rowid > ? AND rowid <= ?", self._after, last)
        self.rows += len(found)
        self._after = last
        if not end:
            self._after = 0
            del self.tables[0]
        return True
