"""Random histories against an own computation of every figure from the definitions in docs.

A disagreement says its seed: `pytest tests/integration/test_report_oracle.py -k 'history and 17'`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sentinel.cli import main, reporting
from sentinel.core.moment import Moment
from sentinel.store.sqlite import SqliteStore
from tests.integration.oracle_figures import complain_of
from tests.integration.oracle_history import LENGTH, NOW, Author, History, instant, keep
from tests.integration.oracle_objectives import complain_of_objectives, live, write_tale
from tests.integration.oracle_plan import (
    LOOKS,
    complain_of_gate,
    complain_of_plan,
    write_files,
    write_plan,
)

CONFIGURATION = """
platform: oracle
retention: {retention}s
components: {{bus: {{}}}}
checks:
  - {{name: canary, kind: tcp, component: bus, every: 5s, address: "localhost:1"}}
"""
REPORTS = ("recovery", "daily")


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands believe that it is NOW."""
    monkeypatch.setattr(reporting, "read_moment_now", lambda: Moment(NOW, "", None))


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What a command answers as JSON."""
    where = ["--config", str(folder / "sentinel.yaml"), "--state", str(folder)]
    main([*where, *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def check_history(seed: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Write one history, make its reports, and complain of every figure that is another one."""
    history = Author(seed).write()
    retention = 30 * 86_400 if history.forgotten is None else LENGTH - history.forgotten
    (folder / "sentinel.yaml").write_text(CONFIGURATION.format(retention=retention))
    store = SqliteStore(folder)
    keep(history, store)
    store.close()
    return [
        f"seed {seed}, {report}: {complaint}"
        for report in REPORTS
        for complaint in complain_of(history, ask(folder, capsys, *_words(report, history)))
    ]


def _words(report: str, history: History) -> Iterator[str]:
    yield from ("report", report)
    if report == "recovery":
        began, ended = map(instant, history.period)
        yield from ("--from", began.isoformat(), "--to", ended.isoformat())


@pytest.mark.parametrize("seed", range(12))
def test_history(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure is the one that follows from what happened."""
    assert check_history(seed, tmp_path, capsys) == []


def check_objectives(seed: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Count for some objectives, and complain of every figure that is another one."""
    tale, store = write_tale(seed), SqliteStore(folder)
    live(tale, store)
    store.close()
    main(["--state", str(folder), "objectives", "--json"])
    told = json.loads(capsys.readouterr().out)["objectives"]
    return [f"seed {seed}: {complaint}" for complaint in complain_of_objectives(tale, told)]


@pytest.mark.parametrize("seed", range(12))
def test_objectives(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """State, ratio, budget, burn rates, forecast and alarm are those of exact fractions."""
    assert check_objectives(seed, tmp_path, capsys) == []


def check_plan(seed: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Look some times at the checklists of a plan, and complain of every figure that is another."""
    tasks = write_plan(seed)
    SqliteStore(folder).close()
    for look, second in enumerate(LOOKS):
        write_files(tasks, folder, look)
        at = NOW + timedelta(seconds=second)
        with patch.object(reporting, "read_moment_now", return_value=Moment(at, "", None)):
            progress = ask(folder, capsys, "report", "progress")
    found = complain_of_plan(tasks, progress)
    gate = complain_of_gate(tasks, ask(folder, capsys, "report", "readiness"))
    return [f"seed {seed}: {complaint}" for complaint in (*found, *gate)]


@pytest.mark.parametrize("seed", range(3))
def test_plan(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares, the time that is left, the critical path and the gate follow from what was seen."""
    assert check_plan(seed, tmp_path, capsys) == []


@pytest.mark.nightly
@pytest.mark.parametrize("check", [check_history, check_objectives, check_plan])
def test_many(
    check: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, for five hundred seeds."""
    found: list[str] = []
    for seed in range(1000, 1500):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found += check(seed, folder, capsys)
    assert found == []
