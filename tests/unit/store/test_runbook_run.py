"""Runs of runbooks in the store, and which runbook an incident leads to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, Retention
from sentinel.store.runbook import CONDITIONS_KEY, RUNNING, RunbookRun, runbook_of
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = RunbookRun(
    "r1",
    "book",
    T0,
    RUNNING,
    "me",
    "digest",
    7,
    "boot/7",
    "I",
    None,
    {"a": "b"},
    {"0": {"outcome": "done"}},
)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    """Also in another process: every step that was noted, with parameters and instants."""
    store = SqliteStore(tmp_path)
    store.save_run(RUN)
    newer = replace(
        RUN,
        state="done",
        ended=T0 + timedelta(minutes=1),
        steps={**RUN.steps, "1": {"outcome": "failed"}},
    )
    store.save_run(newer)
    store.close()
    again = SqliteStore(tmp_path, writable=False)
    assert again.runs() == [newer]
    assert again.runs("r1") == [newer]
    assert again.runs("r2") == []
    again.close()


def test_newest_first_and_forgotten_after_retention(tmp_path: Path) -> None:
    """Runs are listed newest first, and go with the retention like everything else."""
    store = SqliteStore(tmp_path)
    for day in range(3):
        store.save_run(replace(RUN, id=f"r{day}", began=T0 + timedelta(days=day)))
    assert [run.id for run in store.runs()] == ["r2", "r1", "r0"]
    assert [run.id for run in store.runs(limit=1)] == ["r2"]
    store.forget(Retention(*[T0 + timedelta(days=1, hours=1)] * 5))
    assert [run.id for run in store.runs()] == ["r2"]
    store.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "of-check"),
        ({"exhausted": True}, "of-exhausted"),
        ({"blocked_by": "bus"}, "of-blocked"),
        ({"check": "x"}, ""),
    ],
)
def test_the_runbook_of_an_incident(
    tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    """That of its state when it is exhausted or blocked, else that of the check that found it."""
    store = SqliteStore(tmp_path)
    conditions = '{"exhausted": "of-exhausted", "blocked": "of-blocked"}'
    store.commit(
        Changes(
            meta={CONDITIONS_KEY: conditions}, checks=[check("c", "tcp", "bus", runbook="of-check")]
        )
    )
    incident = Incident("I", "bus", T0, IncidentState.OPEN, Status.DOWN, "gone", "c")
    assert runbook_of(store, replace(incident, **changes)) == expected  # type: ignore[arg-type]
    store.close()
