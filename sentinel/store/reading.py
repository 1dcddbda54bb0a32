"""Rows that are as they were written: what is damaged is left out, noted, and set aside by the
daemon.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sentinel.errors import StateError
from sentinel.store.salvage import UNREADABLE, set_aside
from sentinel.store.table import TABLES, is_sealed

if TYPE_CHECKING:
    from sentinel.store.database import Database

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads one table at a time, each row against its seal."""

    database: Database

    def read(self, table: str, build: Callable[..., T], tail: str = "", *given: Any) -> list[T]:
        """What `build` makes of every whole row; it gets the columns that are sealed. `tail` is
        what follows the table in the statement.
        """
        return self.read_numbered(table, lambda _, *row: build(*row), tail, *given)

    def read_numbered(
        self, table: str, build: Callable[..., T], tail: str = "", *given: Any
    ) -> list[T]:
        """The same, and before the columns `build` gets the number of the row."""
        found, broken = [], []
        for number, seal, *row in self.database.query(f"{TABLES[table].select} {tail}", *given):
            try:
                if not is_sealed(table, seal, row):
                    broken.append(number)
                else:
                    found.append(build(number, *row))
            except (StateError, *UNREADABLE):
                broken.append(number)
        if broken and self.database.owner:
            self._set_aside(table, broken)
        return found

    def _set_aside(self, table: str, numbers: list[int]) -> None:
        """At the next start, if it can't be done now."""
        with suppress(StateError, sqlite3.Error), self.database.transaction() as db:
            for number in numbers:
                set_aside(db, table, number, "met while it was read")
