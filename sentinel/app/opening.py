"""Where the store is opened: the one place that knows which one it is."""

from __future__ import annotations

from pathlib import Path

from sentinel.store import Store
from sentinel.store.folder import FILE
from sentinel.store.sqlite import SqliteStore

OwnStore = SqliteStore
"""That of a daemon, by its name."""


def open_store(folder: Path, *, writable: bool = True) -> Store:
    """The store of a state folder, for a command. Raises StateError when it can't be used."""
    return SqliteStore(folder, writable=writable)


def find_store(folder: Path) -> Store | None:
    """The store of a folder in which sentinel has run before, else None."""
    return open_store(folder) if (folder / FILE).exists() else None
