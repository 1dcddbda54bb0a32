"""What others do to the files of a state beside a running sentinel: seen before anything is written,
or read through a hole, and never a reason to end.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.core.model import Attempt
from sentinel.errors import StateError, StateUnwritable
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
SEED = 20261130


def attempt(n: int) -> Attempt:
    """The n-th of an incident."""
    return Attempt("i", n, "api", "restart", "down", T0)


@pytest.fixture
def store(tmp_path):
    """A daemon's, with some attempts in the log ahead."""
    (tmp_path / "state").mkdir()
    made = SqliteStore(tmp_path / "state", owner=True)
    made.join("m", T0)
    for n in range(1, 4):
        made.claim_attempt(attempt(n))
    yield made
    made.close()


def spent(store: SqliteStore) -> list[int]:
    """Numbers of the attempts."""
    return [each.n for each in store.attempts()]


def cut(path: Path) -> None:
    """`: > FILE`"""
    os.truncate(path, 0)


def halve(path: Path) -> None:
    """A copy that was broken off."""
    os.truncate(path, path.stat().st_size // 2)


def write_over(path: Path) -> None:
    """As long as before, and something else."""
    chance = random.Random(SEED)
    with path.open("r+b") as file:
        file.write(chance.randbytes(path.stat().st_size))


@pytest.mark.parametrize("harm", [cut, halve, write_over])
def test_a_hurt_index_is_made_anew(store, harm):
    """Nothing is lost, nobody ends, and it is told once when it was cut."""
    harm(Path(f"{store.path}-shm"))
    assert spent(store) == [1, 2, 3]
    if harm is not write_over:
        with pytest.raises(StateUnwritable, match="-shm was cut beside the running sentinel, and"):
            store.commit(Changes(meta={"a": "b"}))
    store.claim_attempt(attempt(4))
    with closing(SqliteStore(store.path.parent)) as command:
        assert spent(command) == [1, 2, 3, 4]


def test_an_index_that_can_not_be_made_anew_is_not_touched(store, monkeypatch):
    """On a full disk: reading is refused, too, and both go on when there is room."""
    plain = os.posix_fallocate

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    cut(Path(f"{store.path}-shm"))
    for ask in (store.attempts, lambda: store.commit(Changes(meta={"a": "b"}))):
        with pytest.raises(StateUnwritable, match="can't be made anew: No space left"):
            ask()
    monkeypatch.setattr(os, "posix_fallocate", plain)
    assert spent(store) == [1, 2, 3]


@pytest.mark.parametrize(
    ("harm", "said"), [(cut, "cut"), (halve, "cut"), (write_over, "written over")]
)
def test_a_hurt_log_is_written_no_further(store, harm, said):
    """Nor worked off into the database at the end: the next start goes by what is whole."""
    store.database.journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.claim_attempt(attempt(4))
    harm(Path(f"{store.path}-wal"))
    for _ in range(2):
        with pytest.raises(StateError, match=f"-wal was {said} beside the running sentinel"):
            store.claim_attempt(attempt(5))
    store.close()
    copy = store.path.parent.with_name("copy")
    shutil.copytree(store.path.parent, copy)  # another process would find it so
    again = SqliteStore(copy, owner=True)
    assert spent(again) == [1, 2, 3]
    assert "it lacks 1 journaled step" in again.trouble().doubt
    again.close()


def test_a_log_that_was_worked_off_by_others_is_none_that_was_cut(store):
    """As a backup does, or a person."""
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert Path(f"{store.path}-wal").stat().st_size == 0
    store.claim_attempt(attempt(4))
    assert spent(store) == [1, 2, 3, 4]


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_file_that_was_removed_is_missed(store, suffix):
    """Who comes would make another, and go by other locks."""
    store.commit(Changes(meta={"a": "b"}))
    Path(f"{store.path}{suffix}").unlink()
    with pytest.raises(StateError, match=f"{suffix} was removed beside the running sentinel"):
        store.claim_attempt(attempt(4))


def another(folder: Path) -> None:
    """Of another installation."""
    folder.mkdir()
    with closing(SqliteStore(folder, owner=True)) as store:
        store.join("other", T0)


def nothing(folder: Path) -> None:
    """An empty one, as after a clean-up."""
    folder.mkdir()


@pytest.mark.parametrize("make", [another, nothing])
def test_a_folder_that_was_swapped_is_seen_at_once(store, make):
    """Nothing is written, neither here nor there; with the right one back it goes on."""
    folder = store.path.parent
    folder.rename(folder.with_name("away"))
    with pytest.raises(StateError, match=r"state folder \S+ was removed beside the running"):
        store.claim_attempt(attempt(4))
    make(folder)
    for write in (
        lambda: store.claim_attempt(attempt(4)),
        lambda: store.commit(Changes(meta={"a": "b"})),
    ):
        with pytest.raises(StateError, match=r"state folder \S+ was replaced beside the running"):
            write()
    folder.rename(folder.with_name("wrong"))
    folder.with_name("away").rename(folder)
    store.claim_attempt(attempt(4))
    assert spent(store) == [1, 2, 3, 4]


def test_a_copy_that_is_written_into_the_file_is_seen(store, tmp_path):
    """`cp backup/* state/`: same file, same folder, and the acts of it are not there any more."""
    backup = tmp_path / "backup"
    with closing(sqlite3.connect(store.path)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)
    store.claim_attempt(attempt(4))
    store.database.journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.path.write_bytes(backup.read_bytes())
    write_over(Path(f"{store.path}-shm"))
    with pytest.raises(StateError, match=r"went back to an older copy|malformed|no data"):
        store.commit(Changes(meta={"a": "b"}))
