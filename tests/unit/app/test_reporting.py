"""What a report is told of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.app.reporting import make_request
from sentinel.config import load

SHIPPED = Path(__file__).parents[3] / "runbooks"
PLATFORM = """
platform: acme
state: {folder}/var
resources: {{pg: {{postgres: "postgresql://h/d"}}}}
components:
  db: {{resource: pg}}
  worker: {{driver: process, command: [sleep, "1"]}}
checks:
  - {{name: named, kind: tcp, component: db, address: "h:1", runbook: tenant-leak}}
  - {{name: plain, kind: tcp, component: db, address: "h:1"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A platform with a runbook of its own for `tcp`."""
    (tmp_path / "sentinel.yaml").write_text(PLATFORM.format(folder=tmp_path))
    return tmp_path


def _write_book(folder: Path, front: str) -> None:
    (folder / "runbooks").mkdir()
    shipped = (SHIPPED / "port-unreachable.md").read_text()
    body = shipped[shipped.index("\n---", 4) + 4 :]
    (folder / "runbooks" / "mine.md").write_text(f"---\n{front}\n---{body}")


def test_runbooks_are_those_that_incidents_get(folder: Path) -> None:
    """A check's own one, else that of the platform for the fault, else that of its kind."""
    front = "name: mine\ntitle: x\napplies_to: {faults: [tcp/unreachable]}"
    _write_book(folder, f"{front}\nsteps: [{{name: a, run: {{look: gaps}}}}]")
    find = make_request(load(folder, {}), folder).find_runbook
    assert find("named", "unreachable") == "tenant-leak"
    assert find("plain", "unreachable") == "mine"
    assert find("worker.process", "not_running") == "process-down"
    assert find("plain", "no-such") == find("gone", "unreachable") == ""


def test_a_broken_runbook_keeps_nobody_from_a_report(folder: Path) -> None:
    """Those that are shipped are there all the same."""
    _write_book(folder, "title: x")
    assert (
        make_request(load(folder, {}), folder).find_runbook("plain", "unreachable")
        == "port-unreachable"
    )
