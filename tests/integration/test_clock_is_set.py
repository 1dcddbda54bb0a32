"""The wall clock of the machine is set by an hour, forward and back, while an incident is open."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

SHIM = Path(__file__).parents[1] / "set_clock.py"
CONFIGURATION = """
listen: 127.0.0.1:{port}
state: {folder}/state
actions: {{enabled: true, start_grace: 0s}}
checks:
  - {{name: elsewhere-port, kind: tcp, component: elsewhere, address: "127.0.0.1:9", every: 1s}}
components:
  elsewhere: {{}}
  worker: {{driver: process, command: [sleep, "600"]}}
"""
BOOK = """---
name: look
title: A look
applies_to: {faults: [tcp/unreachable]}
steps:
  - {name: Ask, run: {check: elsewhere-port}, timeout: 20s}
  - name: Again
    run: {action: restart, args: {component: worker, reason: a new hour}}
    timeout: 20s
    changes: true
---
# A look
## Meaning
x
## Impact
x
## Diagnosis
x
## Mitigation
x
## Verify
x
## Escalation
x
"""


class Machine:
    """A daemon in a process of its own, and commands beside it, on one wall clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.step = folder, folder / "step"
        self.set_clock(0)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        (folder / "runbooks").mkdir()
        (folder / "runbooks" / "look.md").write_text(BOOK)
        text = CONFIGURATION.format(folder=folder, port=self.port)
        (folder / "sentinel.yaml").write_text(text)
        self.start()

    def start(self) -> None:
        self.log = (self.folder / "log").open("ab")
        words = ["--config", str(self.folder), "run"]
        self.daemon = subprocess.Popen(
            [sys.executable, SHIM, self.step, *words], stdout=self.log, stderr=self.log
        )

    def set_clock(self, seconds: float) -> None:
        written = self.step.with_suffix(".new")
        written.write_text(str(seconds))
        written.rename(self.step)

    def page(self) -> dict:
        address = f"http://127.0.0.1:{self.port}/api/v1/status"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)

    def until(self, true) -> dict:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                page = self.page()
                if true(page):
                    return page
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text()[-3000:])

    def run(self, *commands: str) -> list[tuple[int, str]]:
        lists = [["--config", str(self.folder), *command.split()] for command in commands]
        ended = subprocess.run(
            [sys.executable, SHIM, self.step, json.dumps(lists)],
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
        return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Until its incident is open and its worker runs."""
    made = Machine(tmp_path_factory.mktemp("machine"))
    try:
        made.until(lambda page: page["incidents"] and _status(page, "worker") == "up")
        yield made
    finally:
        made.daemon.terminate()
        made.daemon.wait(20)
        made.log.close()


def _status(page: dict, component: str) -> str:
    return next(each["status"] for each in page["components"] if each["name"] == component)


def test_an_hour_forward_and_back(machine: Machine) -> None:
    """Status, page, faults, breaker, reset, halt, runbook: each sees a daemon that lives, counts
    real ages, and is obeyed at once.
    """
    for step in (3600.0, -3600.0):
        machine.set_clock(step)
        status, faults, breaker, halt, resume, reset, book = machine.run(
            "status --json",
            "faults --json",
            "breaker close --reason set",
            "halt --reason set",
            "resume --reason set",
            "reset elsewhere --reason set --yes",
            "runbook run look --execute --yes",
        )
        document = json.loads(status[1])
        assert (status[0], document["running"]) == (2, True), status
        incident, *_ = document["incidents"]
        assert 0 <= incident["age"] < 300
        assert {each["status"] for each in document["checks"]} == {"up", "down"}
        assert json.loads(faults[1])["running"]
        assert 0 <= json.loads(faults[1])["faults"][0]["age"] < 300
        assert [each[0] for each in (breaker, halt, resume, reset, book)] == [0] * 5, reset
        page = machine.until(lambda page: page["incidents"])
        assert {each["status"] for each in page["checks"]} == {"up", "down"}
        assert all(-1 <= each["age"] < 300 for each in page["checks"])
        assert 0 <= page["incidents"][0]["age"] < 300


def test_the_clock_is_set_while_sentinel_is_away(machine: Machine) -> None:
    """Killed, the date set, started again: the incident goes on, and the gap is that of the uptime."""
    incident = machine.until(lambda page: page["incidents"])["incidents"][0]
    machine.daemon.kill()
    machine.daemon.wait(20)
    machine.set_clock(7200.0)
    time.sleep(6)
    machine.start()
    page = machine.until(lambda page: page["blind"])
    assert page["incidents"][0]["id"] == incident["id"]
    assert incident["age"] + 5 < page["incidents"][0]["age"] < incident["age"] + 60
    assert page["blind"]["reason"] == "sentinel was not running"
    assert 5 < float(page["blind"]["text"].split()[-2]) < 60, page["blind"]
