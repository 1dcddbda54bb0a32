"""A state that vanished, shrank, was replaced or came back older is never taken for a new one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from sentinel.core.model import Attempt
from sentinel.errors import StateError
from sentinel.store import Changes
from sentinel.store.audit import HEADS, read_heads
from sentinel.store.folder import FILE
from sentinel.store.identity import BESIDE, DOUBT
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
ATTEMPT = Attempt("i", 1, "api", "restart", "down", T0)
REST = ("-wal", "-shm")


def start(folder):
    """What a daemon does at its start."""
    store = SqliteStore(folder, owner=True)
    store.join("m", T0)
    return store


@pytest.fixture
def folder(tmp_path):
    """A state in which one attempt was journaled."""
    store = start(tmp_path)
    store.claim_attempt(ATTEMPT)
    store.close()
    return tmp_path


def test_a_new_folder_is_new(tmp_path):
    """Nothing to doubt; neither when the first start was killed at once, nor after a command."""
    SqliteStore(tmp_path).close()
    store = start(tmp_path)
    assert store.trouble().lines == []
    store.close()
    for path in tmp_path.iterdir():
        if path.name != BESIDE:
            path.unlink()
    (tmp_path / BESIDE).write_text(f"{'a' * 16} {0:>15} schema 4\n")
    (tmp_path / FILE).touch()
    store = start(tmp_path)
    assert store.trouble().lines == []
    store.close()


def vanish(folder):
    """Somebody cleans up."""
    (folder / FILE).unlink()


def empty(folder):
    """`: > sentinel.db`"""
    (folder / FILE).write_bytes(b"")


def empty_and_forget(folder):
    """With the note, too."""
    empty(folder)
    (folder / BESIDE).unlink()


def lose_all_but_heads(folder):
    """A folder in which something was audited once."""
    empty_and_forget(folder)
    (folder / FILE).unlink()
    (folder / HEADS).write_text("")


def other(folder):
    """The database of another sentinel."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    start(elsewhere).close()
    (elsewhere / FILE).replace(folder / FILE)


def older(folder):
    """A copy from before the attempt: the daemon goes on for as many steps as it lacks."""
    store = start(folder)
    backup = folder / "backup"
    with closing(sqlite3.connect(folder / FILE)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)
    store.claim_attempt(Attempt("i", 2, "api", "restart", "down", T0))
    store.close()
    backup.replace(folder / FILE)


def lose_note(folder):
    """A database that was copied alone."""
    (folder / BESIDE).unlink()


def break_note(folder):
    """One bit."""
    (folder / BESIDE).write_bytes(b"\xff" + (folder / BESIDE).read_bytes()[1:])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (vanish, "is not there"),
        (empty, "is empty"),
        (empty_and_forget, "is empty"),
        (lose_all_but_heads, "is not there"),
        (other, "not the one that was here"),
        (older, "it lacks 1 journaled step"),
        (lose_note, "`identity`, which tells which state this is, is not there"),
        (break_note, "`identity`, which tells which state this is, can't be read"),
    ],
)
def test_nothing_of_the_kind_is_new(folder, harm, said):
    """It is doubted at every start, however much is journaled meanwhile, until it is accepted."""
    harm(folder)
    for _ in range(3):
        store = start(folder)
        doubt = store.trouble().doubt
        assert said in doubt
        assert "`sentinel state accept --reason" in store.trouble().lines[0]
        store.close()
    command = SqliteStore(folder)
    command.accept(T0, "ops", "looked")
    assert command.trouble().lines == []
    assert command.audit()[0].action == "state accept"
    command.close()
    store = start(folder)
    assert store.trouble().lines == []
    store.close()
    assert start(folder).trouble().lines == []


def test_the_right_file_may_come_back(folder):
    """Then nothing needs to be accepted."""
    shutil.copytree(folder, folder / "kept")
    vanish(folder)
    store = start(folder)
    assert store.trouble().doubt
    store.close()
    (folder / "kept" / FILE).replace(folder / FILE)
    store = start(folder)
    assert store.trouble().lines == []
    assert len(store.attempts()) == 1
    store.close()


def test_a_command_makes_no_new_database(folder):
    """Where there was one."""
    vanish(folder)
    for writable in (True, False):
        with pytest.raises(StateError, match="although one was written here"):
            SqliteStore(folder, writable=writable)
    assert not (folder / FILE).exists()


@pytest.mark.parametrize(
    ("harm", "said"), [(vanish, "removed"), (empty, "emptied"), (other, "replaced")]
)
def test_nothing_is_journaled_in_a_file_that_is_gone(folder, harm, said):
    """What is not journaled is not done; back in its place, it goes on."""
    store = start(folder)
    kept = folder / "kept"
    kept.hardlink_to(folder / FILE)
    content = kept.read_bytes()
    harm(folder)
    for write in (
        lambda: store.commit(Changes(meta={"a": "b"})),
        lambda: store.claim_attempt(Attempt("i", 3, "api", "restart", "down", T0)),
    ):
        with pytest.raises(StateError, match=f"was {said} beside the running sentinel") as caught:
            write()
        assert "put the file back" in caught.value.guidance
    kept.write_bytes(content)
    kept.replace(folder / FILE)
    store.claim_attempt(Attempt("i", 3, "api", "restart", "down", T0))
    store.close()


def test_a_full_disk_refuses_the_act_that_can_not_be_counted(folder):
    """The row is written and spent, the note beside it is not: nothing is done."""
    store = start(folder)
    (folder / BESIDE).unlink()
    (folder / BESIDE).mkdir()
    with pytest.raises(StateError, match="identity can't be written"):
        store.claim_attempt(Attempt("i", 4, "api", "restart", "down", T0))
    assert len(store.attempts()) == 2
    store.close()


def test_a_damaged_file_that_was_moved_aside_needs_no_word_but_a_reset(folder):
    """Its loss is written down in the new one; killed before that, the new one is doubted."""
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(b"no database at all" * 100)
    store = start(folder)
    assert store.moved_aside
    assert (store.trouble().lines, bool(store.meta("journal_lost"))) == ([], True)
    assert store.meta(DOUBT) == ""
    store.close()
    assert content


def test_a_write_ahead_log_that_was_cut_is_seen(folder):
    """SQLite drops what follows a broken frame without a word: acts would come back unspent."""
    store = start(folder)
    kept = folder / "kept"
    kept.mkdir()
    for n in range(5, 15):
        store.claim_attempt(Attempt("i", n, "api", "restart", "down", T0))
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, kept / path.name)
    store.close()
    wal = kept / f"{FILE}-wal"
    wal.write_bytes(wal.read_bytes()[: wal.stat().st_size // 2])
    (kept / f"{FILE}-shm").unlink()
    store = start(kept)
    assert "older than the one that was here" in store.trouble().doubt
    store.close()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_journaled_in_a_log_that_is_gone(folder, is_replaced):
    """What is in an unlinked write-ahead log ends with the process; a new start takes it over."""
    store = start(folder)
    store.claim_attempt(Attempt("i", 3, "api", "restart", "down", T0))
    log = folder / f"{FILE}-wal"
    log.unlink()
    if is_replaced:
        log.touch()
    with pytest.raises(
        StateError, match=r"-wal was (removed|replaced) beside the running sentinel"
    ):
        store.claim_attempt(Attempt("i", 4, "api", "restart", "down", T0))
    store.close()
    store = start(folder)
    assert len(store.attempts()) == 2
    assert store.trouble().lines == []
    store.claim_attempt(Attempt("i", 4, "api", "restart", "down", T0))
    store.close()


def test_a_pipe_in_the_place_of_a_file_blocks_nobody(folder):
    """Neither the note nor the heads of the audit log: what can't be read is doubted."""
    for name in (BESIDE, HEADS):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    reader = SqliteStore(folder, writable=False)
    assert reader.trouble().lines
    assert read_heads(folder) == {}
    reader.close()
