"""When each check ran last: one small row beside the views."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.engine.present import PresentReader
from sentinel.engine.recorder import Recorder
from sentinel.metrics import Metrics
from sentinel.store import BEAT, Changes, CheckView
from sentinel.store.looks import LOOKS, write_looks
from sentinel.store.sqlite import SqliteStore
from sentinel.web.document import status_document

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A state."""
    made = SqliteStore(tmp_path)
    yield made
    made.close()


def view(**changed: Any) -> CheckView:
    """A check of every two seconds, as it was half a minute ago."""
    return CheckView(**{
        "name": "api", "kind": "http", "component": "api", "status": "up", "soft": "up", "since": NOW,
        "detail": "200 in 3 ms", "key": None, "guidance": "", "evidence": {}, "rows": [], "runs": 7,
        "every": 2.0, "last_run": NOW - timedelta(seconds=30), "duration": 0.1, "outcome": "ok",
        "quality": "observed", "trace_id": "t", "runbook": "", "flapping": False, **changed,
    })  # fmt: skip


def tell(store: SqliteStore, ago: float, runs: int) -> None:
    """A living daemon notes when the check ran."""
    looks = write_looks(NOW, {"api": (NOW - timedelta(seconds=ago), runs)})
    store.commit(Changes(meta={LOOKS: looks, BEAT: f"{NOW.isoformat()} b 5.0"}))


def test_a_check_that_ran_is_not_stale(store: SqliteStore) -> None:
    """Though its view is old; its figures are told to be of then."""
    store.commit(Changes(checks=[view()]))
    tell(store, ago=1.5, runs=22)
    (check,) = status_document(store, NOW + timedelta(seconds=9))["checks"]
    assert (check["status"], check["runs"], check["age_text"]) == ("up", 22, "1.5 s ago")
    assert check["measured"] < check["last_run"]


def test_a_check_that_stands_still_is(store: SqliteStore) -> None:
    """The row tells of it, too."""
    store.commit(Changes(checks=[view()]))
    tell(store, ago=28.0, runs=8)
    (check,) = status_document(store, NOW)["checks"]
    assert check["status"] == "stale"


def test_of_a_daemon_that_is_silent_everything_grows_old(store: SqliteStore) -> None:
    """Nobody notes any more when a check ran."""
    store.commit(Changes(checks=[view()]))
    tell(store, ago=1.5, runs=22)
    (check,) = status_document(store, NOW + timedelta(seconds=60))["checks"]
    assert (check["status"], check["age"]) == ("stale", 61.5)


def test_a_view_that_is_newer_tells_by_itself(store: SqliteStore) -> None:
    """The row is of before it, or of an earlier start."""
    store.commit(Changes(checks=[view(runs=9, last_run=NOW)]))
    tell(store, ago=3.0, runs=8)
    (known,) = store.checks()
    assert (known.latest, known.runs, known.noted) == (NOW, 9, None)
    tell(store, ago=3.0, runs=5000)
    (known,) = store.checks()
    assert (known.latest, known.runs, known.noted) == (NOW, 9, None)


def test_in_the_daemon_nobody_goes_by_the_note(store: SqliteStore) -> None:
    """What ran since then is known there: the age of the rest is that of now."""
    store.commit(Changes(checks=[view()]))
    tell(store, ago=1.5, runs=22)
    recorder = Recorder(store, Metrics(), lambda: NOW)
    reader = PresentReader.over(store, recorder)
    (check,) = status_document(reader, NOW + timedelta(seconds=3))["checks"]
    assert check["age"] == 4.5
    recorder.close()
