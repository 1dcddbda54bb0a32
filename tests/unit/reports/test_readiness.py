"""The readiness report and its exit code: 0 is go, 2 is no-go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.reports.paper.collect import collect
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check

CONFIG = """
components: {api: {}}
checks:
  - {name: port, kind: tcp, component: api, address: "127.0.0.1:1"}
  - {name: door, kind: tcp, component: api, address: "127.0.0.1:2"}
readiness:
  - {name: port open, check: port}
  - {name: door open, check: door%s}
  - {name: boxes, checklist: {file: plan.md}}
"""
WAIVED = ", waive: {reason: painted, by: ada, until: %s-01-31}"


@pytest.fixture
def place(store: SqliteStore, tmp_path: Path) -> list[str]:
    """Arguments for a platform whose port is open and whose door is shut."""
    views = [check("port", "tcp", "api"), check("door", "tcp", "api", status="down")]
    store.commit(Changes(checks=views))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plan.md").write_text("- [x] all\n")
    return ["--config", str(tmp_path / "config"), "--state", str(tmp_path)]


def run(place: list[str], config: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    (Path(place[1]) / "all.yaml").write_text(config)
    code = main([*place, "report", "readiness", "--json"])
    return code, json.loads(capsys.readouterr().out)


def states(facts: Mapping) -> list[str]:
    return [each["state"] for each in facts["requirements"]]


@pytest.mark.parametrize(
    ("waiver", "code", "headline", "door"),
    [
        ("", 2, "No-go: 2 of 3, 66.7 %.", "failed"),
        (WAIVED % 2999, 0, "Go: 2 of 3, 66.7 %, 1 waived.", "waived"),
        (WAIVED % 2020, 2, "No-go: 2 of 3, 66.7 %.", "failed"),
    ],
    ids=["none", "holds", "ended"],
)
def test_go_or_no_go(
    place: list[str],
    capsys: pytest.CaptureFixture[str],
    waiver: str,
    code: int,
    headline: str,
    door: str,
) -> None:
    """A waiver that holds lets through and is shown; one that ended does neither."""
    found, facts = run(place, CONFIG % waiver, capsys)
    assert (found, facts["headline"]) == (code, headline)
    assert states(facts) == ["passed", door, "passed"]


def test_what_is_not_measured_is_no_pass(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No boxes, no go."""
    (Path(place[1]) / "plan.md").unlink()
    code, facts = run(place, CONFIG % (WAIVED % 2999), capsys)
    assert (code, states(facts)[2]) == (2, "insufficient data")


def test_the_paper_says_what_the_code_says(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Markdown on the terminal, files beside it, and the same verdict."""
    (Path(place[1]) / "all.yaml").write_text(CONFIG % "")
    assert main([*place, "report", "readiness"]) == 2
    shown = capsys.readouterr()
    assert "| door open | failed | check door | check door is down | – |" in shown.out
    assert "Verdict: no-go" in shown.out
    assert "readiness-" in shown.err


def test_nothing_required_is_no_go(store: SqliteStore) -> None:
    """Nobody knows anything."""
    facts = collect(store, "readiness", check("x", "tcp", "y").since)
    assert (facts["go"], facts["share"]) == (False, None)
