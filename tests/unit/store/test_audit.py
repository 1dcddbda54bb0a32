"""The audit log is whole, or the first broken row is named (reliability.md G18)."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.store.audit import HEADS, parse_head
from sentinel.store.folder import FILE
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 10


@pytest.fixture
def folder(tmp_path):
    """A state folder with ten rows in the audit log."""
    store = SqliteStore(tmp_path, owner=True)
    for i in range(ROWS):
        store.add_audit(
            T0 + timedelta(seconds=i), "me", "halt", f"component-{i}", "nul\0 \udcff ☃ 'quoted'"
        )
    store.close()
    return tmp_path


def verify(folder: Path, noted: tuple[int, str] | None = None):
    """What a fresh look finds."""
    store = SqliteStore(folder)
    try:
        return store.verify_audit(noted)
    finally:
        store.close()


def tamper(folder: Path, *statements: str) -> None:
    """Somebody with the file in hands."""
    with sqlite3.connect(folder / FILE) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_an_untouched_log_is_whole(folder):
    """Every row and every head fits, over restarts, and an empty log is whole too."""
    verdict = verify(folder)
    assert (verdict.whole, verdict.rows, verdict.remembered, verdict.broken) == (
        True,
        ROWS,
        ROWS,
        None,
    )
    assert verify(folder, parse_head(verdict.head)).whole
    (folder / "empty").mkdir()
    SqliteStore(folder / "empty", owner=True).close()
    assert verify(folder / "empty").whole


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE audit SET detail = 'nothing' WHERE id = 4"], 4),
        (["UPDATE audit SET actor = 'you' WHERE id = 1"], 1),
        (["UPDATE audit SET at = '2020' WHERE id = 10"], 10),
        (["UPDATE audit SET hash = 'x' WHERE id = 6"], 6),
        (["DELETE FROM audit WHERE id = 5"], 6),
        (["DELETE FROM audit WHERE id = 1"], 2),
        ([f"UPDATE audit SET id = {b} WHERE id = {a}" for a, b in ((3, 99), (4, 3), (99, 4))], 3),
        (["INSERT INTO audit SELECT 99, at, actor, action, subject, detail, hash FROM audit LIMIT 1"], 99),
    ],
    ids=["detail", "actor", "instant of the last", "hash", "deleted", "first deleted", "swapped", "inserted"],
)  # fmt: skip
def test_what_was_done_to_the_rows_is_noticed_at_the_first_broken_one(folder, statements, broken):
    """Edited, deleted, reordered, inserted: named by its number."""
    tamper(folder, *statements)
    verdict = verify(folder)
    assert not verdict.whole
    assert verdict.broken == broken
    assert f"row {broken}" in verdict.text


def test_rows_cut_off_at_the_end_are_noticed_by_the_remembered_heads(folder):
    """The rest is a whole chain; the file beside the database knows better, also when new rows were
    appended.
    """
    tamper(folder, "DELETE FROM audit WHERE id > 7")
    verdict = verify(folder)
    assert (verdict.whole, verdict.broken, verdict.rows) == (False, 8, 7)
    assert "cut off" in verdict.text
    store = SqliteStore(folder)
    for _ in range(5):
        store.add_audit(T0, "me", "innocent", "", "")
    store.close()
    verdict = verify(folder)
    assert (verdict.whole, verdict.broken) == (False, 8)
    assert "not the one that was written" in verdict.text


def test_a_chain_computed_anew_is_noticed_by_the_remembered_heads(folder):
    """Deleted and rewritten with right hashes: only the heads differ."""
    tamper(folder, "DELETE FROM audit")
    store = SqliteStore(folder)
    for i in range(ROWS):
        store.add_audit(T0, "me", "innocent", str(i), "")
    store.close()
    assert verify(folder).broken == 1


def test_without_the_file_a_noted_head_still_notices_the_cut(folder):
    """Who may write both files leaves a whole chain; a head that was noted elsewhere does not fit
    it.
    """
    head = parse_head(verify(folder).head)
    tamper(folder, "DELETE FROM audit WHERE id > 7")
    (folder / HEADS).unlink()
    verdict = verify(folder)
    assert (verdict.whole, verdict.remembered) == (True, 0)
    assert verify(folder, head).broken == ROWS


def test_a_crash_between_row_and_head_and_a_torn_line_are_no_tampering(folder):
    """A row without a head, and a line cut in the middle, are what a crash leaves behind."""
    lines = (folder / HEADS).read_text().splitlines(keepends=True)
    (folder / HEADS).write_text("".join(lines[:-2]) + lines[-2][:20])
    assert verify(folder).whole
    store = SqliteStore(folder)
    store.add_audit(T0, "me", "halt", "", "")
    store.close()
    assert verify(folder).whole


def test_heads_are_private(folder):
    """Nobody else may write them."""
    assert (folder / HEADS).stat().st_mode & 0o077 == 0


def test_a_disk_that_takes_no_head_keeps_the_row(tmp_path):
    """The log goes on; the heads file is a folder here, as a disk that refuses would be."""
    store = SqliteStore(tmp_path, owner=True)
    (tmp_path / HEADS).mkdir()
    store.add_audit(T0, "me", "halt", "", "")
    assert len(store.audit()) == 1
    store.close()
    (tmp_path / HEADS).rmdir()
    assert verify(tmp_path).whole


def test_commands_list_and_verify(folder, capsys):
    """`audit list` shows newest first; `audit verify` exits 0 when whole, 2 when not, and takes a
    noted head.
    """
    base = ["--state", str(folder), "audit"]
    assert main([*base, "list", "--limit", "3"]) == 0
    shown = capsys.readouterr().out
    assert "component-9" in shown
    assert "component-6" not in shown
    assert main([*base, "verify"]) == 0
    head = next(
        line.split()[1].rstrip(":")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("head")
    )
    assert main([*base, "verify", "--head", head]) == 0
    assert main([*base, "verify", "--head", "nonsense"]) == 64
    tamper(folder, "UPDATE audit SET actor = 'you' WHERE id = 4")
    capsys.readouterr()
    assert main([*base, "verify"]) == 2
    assert "BROKEN at row 4" in capsys.readouterr().out
    assert main([*base, "verify", "--json"]) == 2
