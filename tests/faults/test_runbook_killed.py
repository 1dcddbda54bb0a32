"""A run of a runbook that is killed: nothing is forgotten, nothing is done twice behind anybody's
back.

The runbook's only change is a program that writes a line, so that the file counts how often it was
done.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from sentinel.app.ordering import command_component, halt, resume
from sentinel.app.presence import is_halted
from sentinel.app.runbooks.hands import OperatorHands
from sentinel.cli import main
from sentinel.config import load
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import ActionRefused, NoDaemon, StateError
from sentinel.runbook.book import Action, Argv, BookStep
from sentinel.store import HALT_FILE, Changes, ComponentView
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check

BOOK = """---
name: repair
title: Repairs it
applies_to: {{faults: [tcp/*]}}
steps:
  - {{name: before, run: [echo, looked], changes: false}}
  - name: change
    run: ["{folder}/change"]
    changes: true
    timeout: 2m
{verify}
  - {{name: after, run: [echo, after], changes: false}}
---
"""
SECTIONS = "".join(
    f"## {name}\n\nx\n\n"
    for name in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify", "Escalation")
)
CHANGE = """#!/bin/sh
echo did >> {folder}/done
{then}
"""
HANG = "while [ ! -e {folder}/free ]; do sleep 0.05; done"


@dataclass
class World:
    """A configuration with one runbook, a state folder with one incident, and the command line."""

    folder: Path

    def write(self, *, verify: str = "", then: str = "") -> None:
        verify = f"    verify: {verify}" if verify else ""
        book = BOOK.format(folder=self.folder, verify=verify) + SECTIONS
        (self.folder / "config" / "runbooks" / "repair.md").write_text(book)
        change = self.folder / "change"
        change.write_text(CHANGE.format(folder=self.folder, then=then.format(folder=self.folder)))
        change.chmod(0o755)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "sentinel", "--config", str(self.folder / "config"), *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def call(self, *words: str) -> tuple[int, Any]:
        """The command line, in this process: exit code, and the document."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--config", str(self.folder / "config"), *words, "--json"])
        return code, json.loads(out.getvalue())

    def done(self) -> int:
        """How often the change was done."""
        path = self.folder / "done"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def timeline(self) -> list[Any]:
        store = SqliteStore(self.state)
        try:
            return [entry for entry in store.timeline("I") if entry.kind == "runbook"]
        finally:
            store.close()

    def audit(self) -> list[tuple[str, str]]:
        store = SqliteStore(self.state)
        try:
            return [(row.action, row.subject) for row in reversed(store.audit())]
        finally:
            store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with an open incident of the check that the runbook is for, and a newer one that it
    is not for.
    """
    made = World(tmp_path)
    (tmp_path / "config" / "runbooks").mkdir(parents=True)
    (tmp_path / "config" / "sentinel.yaml").write_text(
        f"state: {tmp_path}/state\ncomponents: {{bus: {{}}, api: {{}}}}\n"
        "checks:\n- {name: port, kind: tcp, component: bus, address: '127.0.0.1:1', runbook: repair}\n"
    )
    made.state.mkdir(mode=0o700)
    store = SqliteStore(made.state)
    now = datetime.now(UTC)
    incidents = [Incident("I", "bus", now, IncidentState.OPEN, Status.DOWN, "gone", "port")]
    incidents += [
        Incident("J", "api", datetime.now(UTC), IncidentState.OPEN, Status.DOWN, "gone", "other")
    ]
    views = [
        ComponentView(name, "down", now, "gone", [], "", None, 0, "") for name in ("bus", "api")
    ]
    port = check("port", "tcp", "bus", runbook="repair")
    store.commit(Changes(incidents=incidents, components=views, checks=[port]))
    store.close()
    logging = structlog.get_config()
    yield made
    structlog.configure(**logging)


def wait_for(look: Callable[[], Any]) -> Any:
    limit = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


def kill_in_the_change(world: World) -> str:
    """Begin a run, SIGKILL it while its change is under way; the run's id."""
    process = world.start("runbook", "run", "repair", "--execute", "--yes")
    wait_for(world.done)
    (running,) = world.call("runbook", "runs")[1]
    assert running["state"] == "running"
    code, refused = world.call("runbook", "resume", running["run"], "--yes")
    assert code == 75
    assert "still running" in refused["error"]
    process.send_signal(signal.SIGKILL)
    _, told = process.communicate(timeout=30)
    assert told.splitlines() == ["2. change: begun"]  # the evidence before it is on stdout
    (world.folder / "free").touch()
    (killed,) = world.call("runbook", "runs")[1]
    assert (killed["state"], killed["steps"]) == ("interrupted", 2)
    return str(killed["run"])


def test_killed_in_a_change_that_can_be_verified(world: World) -> None:
    """The change was done before the kill: resuming sees that, does not repeat it, and goes on
    after it.
    """
    world.write(verify=f"[test, -e, {world.folder}/done]", then=HANG)
    run = kill_in_the_change(world)
    code, transcript = world.call("runbook", "resume", run, "--yes")
    assert code == 0
    assert [record["outcome"] for record in transcript["records"]] == ["done", "done", "done"]
    assert "outcome unknown; verified" in transcript["records"][1]["detail"]
    assert world.done() == 1
    (entry,) = world.timeline()
    assert entry.text == "runbook repair: done"
    assert [row["state"] for row in world.call("runbook", "runs")[1]] == ["done"]
    assert world.call("runbook", "resume", run, "--yes")[0] == 64


def test_killed_in_a_change_of_unknown_outcome(world: World) -> None:
    """Nobody can tell whether it was done: --yes does not repeat it, --repeat does."""
    world.write(then=HANG)
    run = kill_in_the_change(world)
    code, transcript = world.call("runbook", "resume", run, "--yes")
    assert code == 75
    assert [record["outcome"] for record in transcript["records"]] == [
        "done",
        "declined",
        "not reached",
    ]
    assert world.done() == 1
    code, transcript = world.call("runbook", "resume", run, "--repeat", "--yes")
    assert code == 0
    assert world.done() == 2
    assert [record["outcome"] for record in transcript["records"]] == ["done"] * 3


def test_a_changed_runbook_is_not_resumed(world: World) -> None:
    """Its steps may mean something else now: a new run is the way."""
    world.write()
    assert world.call("runbook", "run", "repair", "--execute")[0] == 75
    ((run, state),) = [(row["run"], row["state"]) for row in world.call("runbook", "runs")[1]]
    assert state == "declined"
    path = world.folder / "config" / "runbooks" / "repair.md"
    path.write_text(path.read_text().replace("echo, after", "echo, another"))
    code, message = world.call("runbook", "resume", run, "--yes", "--repeat")
    assert code == 64
    assert "was changed since" in message["error"]
    assert world.done() == 0


def test_a_run_under_guard_and_audit(world: World) -> None:
    """The audit log has the run and the step before the effect, and the right incident gets the
    transcript.
    """
    world.write()
    assert world.call("runbook", "run", "repair", "--execute", "--yes")[0] == 0
    assert world.audit() == [("runbook", "repair"), ("runbook step", "change")]
    (entry,) = world.timeline()
    assert "1. before: done" in entry.evidence["transcript"]


def test_halted_between_confirmation_and_act(world: World) -> None:
    """A HALT that appears after the plan was confirmed stops the change: nothing was done, and
    nothing is audited.
    """
    world.write()
    (world.state / HALT_FILE).write_text("stop")
    code, transcript = world.call("runbook", "run", "repair", "--execute", "--yes")
    assert code == 2
    assert [record["outcome"] for record in transcript["records"]] == [
        "done",
        "failed",
        "not reached",
    ]
    assert "halted" in transcript["records"][1]["detail"]
    assert world.done() == 0
    assert world.audit() == [("runbook", "repair")]


def test_dry_run_leaves_no_trace(world: World) -> None:
    """Without --execute there is no run, no audit, no effect."""
    world.write()
    code, transcript = world.call("runbook", "run", "repair")
    assert (code, transcript["outcome"]) == (0, "dry run")
    assert world.call("runbook", "runs")[1] == []
    assert (world.done(), world.audit(), world.timeline()) == (0, [], [])


async def test_hands_under_the_kill_switch(world: World) -> None:
    """Only what lifts or sets the kill switch is permitted while halted; an unreadable HALT counts
    as halted.
    """
    world.write()
    store = SqliteStore(world.state)
    hands = OperatorHands(load(world.folder / "config", {}), world.state, store)
    step = BookStep("x", Argv(("touch", "y")), 1.0, changes=True)
    await hands.permit(step)
    (world.state / HALT_FILE).symlink_to(world.state / HALT_FILE)
    with pytest.raises(ActionRefused, match="halted"):
        await hands.permit(step)
    with pytest.raises(ActionRefused, match="halted"):
        await hands.permit(
            BookStep("x", Action("restart", {"component": "bus"}), 1.0, changes=True)
        )
    await hands.permit(BookStep("x", Action("resume"), 1.0, changes=True))
    store.close()


@pytest.mark.parametrize("what", ["folder", "dangling link", "loop"])
def test_the_kill_switch_that_is_no_file(world: World, what: str) -> None:
    """Whatever is called HALT halts, and is shown; what can't be written or removed is said, with a
    remedy.
    """
    world.write()
    path = world.state / HALT_FILE
    if what == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if what == "loop" else "nowhere/at-all")
    store = SqliteStore(world.state)
    assert is_halted(world.state)
    assert halt(world.state, "again").startswith("halted")
    if what == "folder":
        with pytest.raises(StateError, match="can't be removed: Is a directory"):
            resume(world.state, "over")
        path.rmdir()
    else:
        assert resume(world.state, "over") == "resumed"
    assert resume(world.state, "over") == "was not halted"
    store.close()


async def test_a_restart_is_asked_for_as_a_runbook(world: World) -> None:
    """The order says that a runbook asks, so that the daemon counts it into the automatic budget."""
    world.write()
    store = SqliteStore(world.state)
    with pytest.raises(NoDaemon, match="no daemon"):
        await command_component(store, "restart", "bus", "why", by="runbook")
    (order,) = store.take_orders()
    assert (order.kind, order.subject, order.payload["by"]) == ("restart", "bus", "runbook")
    hands = OperatorHands(load(world.folder / "config", {}), world.state, store)
    with pytest.raises(NoDaemon, match="no daemon"):
        await hands.action("restart", {"component": "bus", "reason": "why"})
    assert [each.payload["by"] for each in store.take_orders()] == ["runbook", "runbook"]
    store.close()
