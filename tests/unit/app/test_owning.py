"""A disk that does not answer when sentinel starts: it begins without, and nothing is written over."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from sentinel.app import owning
from sentinel.app.owning import own_store
from sentinel.errors import StateUnwritable
from sentinel.store import Changes, database
from sentinel.store.folder import FolderLock
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
CHANGES = Changes(meta={"a": "b"})


class SlowLock(FolderLock):
    """Of a folder whose disk answers when it is told to."""

    def __init__(self, folder):
        super().__init__(folder)
        self.answers = threading.Event()

    def take(self):
        """Hangs."""
        self.answers.wait(20)
        super().take()


@pytest.mark.parametrize("has_history", [False, True])
async def test_a_disk_that_does_not_answer(tmp_path, monkeypatch, has_history):
    """Where nothing was all is made; what was there asks for a new beginning."""
    monkeypatch.setattr(owning, "PATIENCE", 0.05)
    monkeypatch.setattr(database, "TRY_AGAIN", 0.0)
    if has_history:
        with closing(SqliteStore(tmp_path, owner=True)) as store:
            store.join("m", T0)
    lock = SlowLock(tmp_path)
    async with asyncio.timeout(10):
        store = await own_store(lock)
    assert store.healths() == {}
    assert "does not answer within 0.05 s" in str(store.standby)  # type: ignore[attr-defined]
    assert not store.is_unseen
    lock.answers.set()
    if has_history:
        with pytest.raises(StateUnwritable, match="could not be read when sentinel started"):
            store.commit(CHANGES)
    else:
        store.commit(CHANGES)
    assert store.is_unseen is has_history
    assert store.meta("a") == (None if has_history else "b")
    store.close()
    lock.release()


def test_two_threads_of_one_daemon_take_its_folder(tmp_path):
    """Neither is another sentinel to the other."""
    lock, errors = FolderLock(tmp_path / "s"), []
    start = threading.Barrier(8)

    def take():
        start.wait(10)
        try:
            lock.take()
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    lock.release()
    assert errors == []
