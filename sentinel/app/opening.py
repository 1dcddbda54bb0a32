"""Where the store is opened: the one place that knows which one it is."""

from __future__ import annotations

from pathlib import Path

from sentinel.store import Store
from sentinel.store.folder import FILE
from sentinel.store.sqlite import SqliteStore


def open_store(folder: Path, *, writable: bool = True, owner: bool = False) -> Store:
    """The store of a state folder. Raises StateError when it can't be used.

    `owner` is the daemon that holds the lock of the folder; a damaged database is moved aside by it
    alone.
    """
    store = SqliteStore(folder, writable=writable, owner=owner)
    if owner:  # who only reads is not to wait for what writes logs
        _tell_trouble(store)
    return store


def _tell_trouble(store: SqliteStore) -> None:
    import structlog  # noqa: PLC0415 - see above

    log = structlog.get_logger()
    if store.moved_aside:
        log.error(
            "state_was_damaged",
            moved_to=[str(file) for file in store.moved_aside],
            guidance="what was recorded is in there: `sqlite3 … .recover`",
        )
    trouble = store.trouble()
    if trouble.damaged:
        log.error("state_has_damaged_rows", rows=dict(trouble.damaged), guidance=trouble.damage)


def find_store(folder: Path) -> Store | None:
    """The store of a folder in which sentinel has run before, else None."""
    return open_store(folder) if (folder / FILE).exists() else None
