"""Commands beside a daemon that is gone: what it wrote last is old, and nobody carries out an
order.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.store import Changes, ComponentView
from sentinel.store.sqlite import SqliteStore


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What a daemon left behind that was killed a minute ago, with everything well."""
    store = SqliteStore(tmp_path, owner=True)
    view = ComponentView("api", "up", None, "", (), "process", None, 0, "")
    beat = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    store.commit(Changes(components=[view], meta={"beat": beat, "stopped": ""}))
    store.replace_configuration([], ["api"])
    store.close()
    return tmp_path


def test_the_status_of_a_dead_daemon_is_unknown(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for programs alike: exit 3, whatever was believed last."""
    assert main(["--state", str(state), "status"]) == 3
    capsys.readouterr()
    assert main(["--state", str(state), "status", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["running"], document["platform"]) == (
        "unknown",
        False,
        "platform",
    )


@pytest.mark.parametrize(
    "order", [["restart", "api"], ["stop", "api"], ["breaker", "close", "--reason", "x"]]
)
def test_an_order_without_a_daemon_ends_with_69(
    state: Path, order: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is needed does not run: neither the configuration nor the state is at fault."""
    assert main(["--state", str(state), *order]) == 69
    assert "no daemon runs that could carry it out" in capsys.readouterr().err
