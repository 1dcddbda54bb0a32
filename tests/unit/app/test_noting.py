"""A person's note: in the timeline, in the audit log, in the report; bounded and inert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.app.noting import MAX_NOTE, note_incident
from sentinel.cli import main
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import UsageError
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path)
    incident = Incident("I1", "bus", NOW, IncidentState.CLOSED, Status.DOWN, "gone", closed=NOW)
    made.commit(Changes(incidents=[incident]))
    yield made
    made.close()


def test_a_note_is_in_timeline_and_audit(store: SqliteStore) -> None:
    """With who wrote it; a closed incident takes notes, too."""
    assert note_incident(store, "I1", "moved the\n disk \x1b[31m", NOW, "ada") == "ada"
    (entry,) = store.timeline("I1")
    assert (entry.kind, entry.text, entry.evidence) == (
        "note",
        "ada: moved the disk \\u001b[31m",
        {"by": "ada"},
    )
    (row,) = store.audit()
    assert (row.actor, row.action, row.subject) == ("ada", "note", "I1")


@pytest.mark.parametrize(
    ("incident", "text", "said"),
    [
        ("I2", "x", "no incident 'I2'"),
        ("I1", " \n", "says nothing"),
        ("I1", "x" * (MAX_NOTE + 1), f"more than {MAX_NOTE}"),
    ],
    ids=["unknown", "empty", "long"],
)
def test_what_is_no_note(store: SqliteStore, incident: str, text: str, said: str) -> None:
    """One error, and nothing is written."""
    with pytest.raises(UsageError, match=said):
        note_incident(store, incident, text, NOW)
    assert not store.audit()
    assert not store.timeline("I1")


def test_the_command(
    store: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words need no quotes, and the report shows what was done."""
    state = ["--state", str(tmp_path)]
    assert main([*state, "incident", "note", "I1", "cable", "replaced", "--by", "ada"]) == 0
    assert "noted in incident I1 by ada" in capsys.readouterr().out
    assert main([*state, "report", "recovery", "--incident", "I1"]) == 0
    people = capsys.readouterr().out.split("## What people did")[1].split("## ")[0]
    assert "| ada | note | I1 | cable replaced |" in people
