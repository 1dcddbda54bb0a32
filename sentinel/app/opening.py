"""Where the store is opened: the one place that knows which one it is."""

from __future__ import annotations

from pathlib import Path

from sentinel.store import Store
from sentinel.store.folder import FILE, FolderLock
from sentinel.store.sqlite import SqliteStore


def open_store(folder: Path, *, writable: bool = True) -> Store:
    """The store of a state folder, for a command. Raises StateError when it can't be used."""
    return SqliteStore(folder, writable=writable)


def own_store(lock: FolderLock) -> Store:
    """The store of a daemon, which takes its folder for itself; a damaged database is moved aside
    by it alone. Where nothing can be written it knows what could be read, and takes nothing yet.
    """
    store = SqliteStore(lock.folder, owner=True, prepare=lock.take)
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
    if store.standby is not None:
        log.error(
            "state_read_only",
            error=store.standby.message,
            guidance=f"checks run, and nothing is done until it is; {store.standby.guidance}",
        )
    trouble = store.trouble()
    if trouble.damaged:
        log.error("state_has_damaged_rows", rows=dict(trouble.damaged), guidance=trouble.damage)


def find_store(folder: Path) -> Store | None:
    """The store of a folder in which sentinel has run before, else None."""
    return open_store(folder) if (folder / FILE).exists() else None
