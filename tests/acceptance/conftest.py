"""Whole runs of `sentinel demo`, side by side, started as a user starts them; each test reads their
documents.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.servers import free_port
from tests.acceptance.alert_watch import TOOLS, AlertWatch, Notices
from tests.acceptance.onlooker import Onlooker, Sightings

BATCHES: list[dict[str, tuple[str, list[str]]]] = [
    {
        "loss": ("60s", ["lose-messages", "crash-agent"]),
        "crash": ("60s", ["crash-loop", "slow-assigner"]),
        "faults": ("60s", ["evict-stream", "tenant-leak", "stuck-flow"]),
    },
    {
        "bus": ("45s", ["redis-down"]),
        "database": ("45s", ["postgres-down"]),
        "agents": ("45s", ["crash-orchestrator", "wedge-agent"]),
        "calm": ("45s", ["poison-message"]),
    },
]
ALERTED = "faults"
"""The run beside which Prometheus and Alertmanager stand."""
RUNS = {name: run for batch in BATCHES for name, run in batch.items()}


@dataclass(frozen=True)
class DemoRun:
    """A finished run: its document, exit code, stderr, the folder with state and ledgers, and what
    an onlooker saw meanwhile.
    """

    document: dict[str, Any]
    code: int
    stderr: str
    folder: Path
    seen: Sightings = field(default_factory=Sightings)
    notices: Notices = field(default_factory=Notices)
    """What Prometheus and Alertmanager told of it, where they stood beside it."""

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "latest" / "state"

    def incidents(self, component: str) -> list[dict[str, Any]]:
        """Incidents of a component, newest first."""
        return [
            incident
            for incident in self.document["incidents"]
            if incident["component"] == component
        ]

    def restarts(self, component: str) -> list[dict[str, Any]]:
        """Attempts of a component, oldest first."""
        return [
            restart for restart in self.document["restarts"] if restart["component"] == component
        ]


def start_demo(
    seconds: str, chaos: list[str], folder: Path, *, listen: str | None = None
) -> subprocess.Popen[str]:
    """`sentinel demo --for … --chaos … --json` without a terminal."""
    argv = [
        sys.executable,
        "-m",
        "sentinel",
        "demo",
        "--for",
        seconds,
        "--json",
        "--folder",
        str(folder),
    ]
    argv += ["--listen", listen or f"127.0.0.1:{free_port()}"]
    for name in chaos:
        argv += ["--chaos", name]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")
    }
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str], folder: Path) -> DemoRun:
    """Wait for the document."""
    out, err = process.communicate(timeout=170)
    return DemoRun(
        json.loads(out) if process.returncode == 0 else {}, process.returncode, err, folder
    )


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRun]]:
    """All runs, a batch at a time: a batch takes the time of its longest, and leaves the machine
    some air.
    """
    folders = {name: tmp_path_factory.mktemp(f"demo-{name}") for name in RUNS}
    running: dict[str, subprocess.Popen[str]] = {}
    ended: dict[str, DemoRun] = {}
    watch: AlertWatch | None = None
    try:
        for batch in BATCHES:
            onlookers = {}
            for name in batch:
                place = f"127.0.0.1:{free_port()}"
                running[name] = start_demo(*batch[name], folders[name], listen=place)
                onlookers[name] = Onlooker(place, folders[name])
                onlookers[name].start()
                if name == ALERTED and all(map(shutil.which, TOOLS)):
                    watch = AlertWatch(place, tmp_path_factory.mktemp("alerts") / "watch")
            for name in batch:
                run = finish(running[name], folders[name])
                ended[name] = replace(run, seen=onlookers[name].stop())
            if ALERTED in batch and watch is not None:
                ended[ALERTED] = replace(ended[ALERTED], notices=watch.stop())
        yield ended
    finally:
        if watch is not None:
            watch.stop()
        for process in running.values():
            process.kill()
