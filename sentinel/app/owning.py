"""Where a daemon takes its state: what it can't be given in time it begins without."""

from __future__ import annotations

import asyncio
import threading

import structlog

from sentinel.app.opening import OwnStore
from sentinel.app.reading import beside
from sentinel.errors import StateUnwritable
from sentinel.store import Store
from sentinel.store.folder import FolderLock

log = structlog.get_logger()

PATIENCE = 30.0
"""Seconds in which a state has to be opened; looking through a large one is part of it."""


async def own_store(lock: FolderLock) -> Store:
    """The store of a daemon, which takes its folder for itself; a damaged database is moved aside
    by it alone. Where nothing can be written it knows what could be read, and takes nothing yet;
    where the disk does not even answer, it knows nothing.
    """
    late = threading.Event()

    def take_in_time() -> None:
        lock.take()
        if late.is_set():  # another store has its place by now, and the database is that one's
            raise TimeoutError(f"{lock.folder} was taken too late")

    def open_it() -> OwnStore:
        store = OwnStore(lock.folder, owner=True, prepare=take_in_time)
        if late.is_set():
            store.close()
        return store

    try:
        # In a thread of its own: to look through a large state takes seconds.
        async with asyncio.timeout(PATIENCE):
            store = await beside(open_it)
    except TimeoutError:
        late.set()
        text = f"the disk of {lock.folder} does not answer within {PATIENCE:g} s"
        blocked = StateUnwritable(text, "look at the disk of the state folder")
        store = OwnStore(lock.folder, owner=True, prepare=lock.take, blocked=blocked)
    _tell_trouble(store)
    return store


def _tell_trouble(store: OwnStore) -> None:
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
