"""Whole runs of `sentinel demo`, side by side, started as a user starts them; each test reads their
documents.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.servers import free_port
from tests.acceptance.alert_watch import TOOLS, AlertWatch, Notices
from tests.acceptance.onlooker import Onlooker, Sightings
from tests.acceptance.page_watch import PageWatch
from tests.acceptance.receivers import Receivers, Told
from tools.screenshots.said import Said

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
SEEN = "bus"
"""The run whose page somebody left open."""
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
    told: Told = field(default_factory=Told)
    """What sentinel told a webhook."""
    shown: list[Said] = field(default_factory=list)
    """What its page said, where somebody left it open."""

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


ROOT = Path(__file__).resolve().parents[2]
OF_ANOTHER_PACK = """
import pathlib, sys
import sentinel.cli.demo as demo
from sentinel.cli import main
folder = pathlib.Path(sys.argv.pop(1))
demo.shipped_folder = lambda name: folder
sys.exit(main())
"""


def copy_pack(folder: Path, more: str) -> Sequence[str]:
    """The demo's checks with more of a configuration, and a program for `start_demo` that has them."""
    pack = folder / "packs" / "demo"
    shutil.copytree(ROOT / "checks" / "packs" / "demo", pack)
    (pack / "more.yaml").write_text(more)
    return "-c", OF_ANOTHER_PACK, str(folder)


def start_demo(
    seconds: str,
    chaos: list[str],
    folder: Path,
    *,
    listen: str | None = None,
    hook: str = "",
    program: Sequence[str] = ("-m", "sentinel"),
) -> subprocess.Popen[str]:
    """`sentinel demo --for … --chaos … --json` without a terminal; `hook` is told of everything."""
    argv = [
        sys.executable,
        *program,
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
    if hook:
        environment["DEMO_WEBHOOK"] = hook
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


def _open_page(name: str, place: str, folders: pytest.TempPathFactory) -> dict[str, PageWatch]:
    """The page of a run, where somebody is to leave it open."""
    if name != SEEN:
        return {}
    page = PageWatch(place, folders.mktemp("page") / "profile")
    page.start()
    return {name: page}


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRun]]:
    """All runs, a batch at a time: a batch takes the time of its longest, and leaves the machine
    some air.
    """
    folders = {name: tmp_path_factory.mktemp(f"demo-{name}") for name in RUNS}
    running: dict[str, subprocess.Popen[str]] = {}
    receivers = {name: Receivers() for name in RUNS}
    ended: dict[str, DemoRun] = {}
    watch: AlertWatch | None = None
    pages: dict[str, PageWatch] = {}
    try:
        for batch in BATCHES:
            onlookers = {}
            for name in batch:
                place = f"127.0.0.1:{free_port()}"
                receivers[name].start()
                hook = receivers[name].hook
                running[name] = start_demo(*batch[name], folders[name], listen=place, hook=hook)
                onlookers[name] = Onlooker(place, folders[name])
                onlookers[name].start()
                if name == ALERTED and all(map(shutil.which, TOOLS)):
                    watch = AlertWatch(place, tmp_path_factory.mktemp("alerts") / "watch")
                pages |= _open_page(name, place, tmp_path_factory)
            for name in batch:
                run = finish(running[name], folders[name])
                told = receivers[name].stop()
                ended[name] = replace(run, seen=onlookers[name].stop(), told=told)
            for name in pages.keys() & batch:
                ended[name] = replace(ended[name], shown=pages[name].stop())
            if ALERTED in batch and watch is not None:
                ended[ALERTED] = replace(ended[ALERTED], notices=watch.stop())
        yield ended
    finally:
        if watch is not None:
            watch.stop()
        for page in pages.values():
            page.stop()
        for process in running.values():
            process.kill()
