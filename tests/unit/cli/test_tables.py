"""The live view fits into the terminal: what is bad is never what is cut off."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from sentinel.cli import tables
from sentinel.cli.columns import show
from sentinel.cli.live import live_page
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import ComponentView

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = [
    "page     http://127.0.0.1:9130/",
    "metrics  http://127.0.0.1:9130/metrics",
    "try",
    "chaos",
    "running  5 s",
]


def _component(name: str, status: Status) -> ComponentView:
    return ComponentView(name, status, NOW, "a long reason " * 20, (), "process", 1, 0, "")


def _draw(width: int, height: int, down: str) -> list[str]:
    components = [
        _component(f"agent-{n}", Status.DOWN if f"agent-{n}" == down else Status.UP)
        for n in range(1, 15)
    ]
    summary = (
        "it does not answer, for a reason that takes a whole line of a terminal and then some more"
    )
    incident = Incident("i", down, NOW, IncidentState.OPEN, Status.DOWN, summary)
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(live_page(components, [], [incident], HEAD, height, NOW))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "height"), [(200, 50), (120, 40), (80, 24), (80, 16)])
def test_what_is_bad_is_in_sight(width: int, height: int) -> None:
    """Whatever the size of the terminal: not a line too many, and the component that is down is
    shown.
    """
    lines = _draw(width, height, "agent-14")
    assert len(lines) <= height
    assert any("agent-14" in line and "down" in line for line in lines)
    assert lines[-1].startswith("╰")


def test_a_large_terminal_shows_everything() -> None:
    """In the order of the configuration, with the incidents below."""
    lines = _draw(120, 40, "agent-14")
    shown = [line.split()[1] for line in lines if line.startswith("│ agent-")]
    assert shown == [f"agent-{n}" for n in range(1, 15)]
    assert any("00:00:00Z  agent-14  open  it does not answer" in line for line in lines)


def test_a_command_is_never_broken(capsys):
    """What is copied from the terminal must run."""
    command = "sentinel faults accept d lost " + " ".join(["--subject stream=x"] * 40)
    show(tables.command_text(command))
    assert capsys.readouterr().out == f"    $ {command}\n"
