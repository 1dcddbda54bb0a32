"""A new kind is one file and its runbook: dropped into a copy of the package, it appears everywhere."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.servers import free_port

ROOT = Path(__file__).parents[2]
KIND = '''"""Kind `spool`: do files pile up in a folder?"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sentinel.core.fault import Fault, FaultKind, Severity, Status, headline, judge
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Term
from sentinel.core.quantity import Bounds
from sentinel.probes import Context, Kind, Options


class SpoolOptions(Options):
    """Options of `spool`."""

    folder: str = Field(description="folder with one folder for each queue")
    most: int = Field(2, description="degraded when a queue has more files")


class SpoolState:
    """Files seen since the watch began."""

    def __init__(self, document: object = None) -> None:
        self.seen = document if isinstance(document, dict) else {}

    def dump(self) -> object:
        """Counts by queue."""
        return self.seen

    async def close(self) -> None:
        """Nothing is held."""


def find_faults(counts: dict[str, int], most: int) -> list[Fault]:
    """One for each queue with too many files."""
    return [
        Fault(
            "piled_up",
            {"queue": name},
            Status.DEGRADED,
            f"queue {name}: {count} files, the limit is {most}",
            count=Bounds(count, count),
            cure=(f"ls {name}",),
            guidance="start its consumer",
            parameters={"queue": name},
        )
        for name, count in counts.items()
        if count > most
    ]


async def run(options: SpoolOptions, context: Context) -> Finding:
    """Count once."""
    folders = sorted(each for each in Path(options.folder).iterdir() if each.is_dir())
    counts = {each.name: len(list(each.iterdir())) for each in folders}
    for name, count in counts.items():
        context.state.seen[name] = max(context.state.seen.get(name, 0), count)
    faults = find_faults(counts, options.most)
    rows = [
        Row({"queue": name}, {"spooled": count, "spooled_total": context.state.seen[name]})
        for name, count in counts.items()
    ]
    detail = headline(faults) or f"{sum(counts.values())} files"
    return Finding(judge(faults), detail, rows, key=("files", str(sum(counts.values()))), faults=faults)


KIND = Kind(
    "spool",
    "do files pile up?",
    SpoolOptions,
    run,
    (
        Measurement("spooled", "Files in a queue", "sentinel_spool_files", labels=("queue",)),
        Measurement(
            "spooled_total", "Files seen", "sentinel_spool_seen_total", "counter", labels=("queue",)
        ),
    ),
    faults=(
        FaultKind("piled_up", Severity.PAGE, "spool-full", "more files than the limit", ("queue",)),
    ),
    impact=(Impact("files that piled up", Section.INCIDENT, (Term("spooled_total"),)),),
    load_state=SpoolState,
    default_every=1.0,
)
'''
BOOK = """---
name: spool-full
title: A spool piles up
parameters:
  - {name: queue, type: str, from: [fault.queue], description: "the queue that piles up"}
steps:
  - name: Which queue is it?
    run: [echo, "queue is {queue}"]
    timeout: 5s
    changes: false
---
# A spool piles up

## Meaning

Files come faster than they are worked on.

## Impact

The disk fills up.

## Diagnosis

The step names the queue.

## Mitigation

Start its consumer.

## Verify

The check is up.

## Escalation

Whoever owns the queue.
"""
SETTINGS = """
platform: spooling
listen: 127.0.0.1:{port}
state: {state}
runbooks: {{diagnose: true}}
components: {{disk: {{}}}}
checks:
  - {{name: spool, kind: spool, component: disk, every: 1s, failures: 1, of: 1, folder: "{folder}"}}
"""


@dataclass(frozen=True)
class Site:
    """A daemon of a copy of the package that has one more kind."""

    package: Path
    config: Path
    folder: Path
    port: int

    def ask(self, path: str) -> Any:
        """A document of its API, or the text of another page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            text = answer.read().decode()
        return json.loads(text) if path.startswith("/api") else text

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of the copy."""
        argv = [sys.executable, "-m", "sentinel", "--config", str(self.config), *words]
        return subprocess.run(
            argv, cwd=self.package, env=environment(self.package), capture_output=True, text=True, check=False
        )  # fmt: skip

    def wait_for(self, path: str, holds: Any, seconds: float = 30.0) -> Any:
        """What a page says as soon as something holds of it."""
        limit = time.monotonic() + seconds
        while True:
            try:
                found = self.ask(path)
            except OSError:
                found = None
            if found is not None and holds(found):
                return found
            assert time.monotonic() < limit, f"{path}: {found}"
            time.sleep(0.1)


def environment(package: Path) -> dict[str, str]:
    """The copy comes before the package of this checkout."""
    return {**os.environ, "PYTHONPATH": str(package), "PYTHONSAFEPATH": ""}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A copy of the package with one more file on two shelves, and its daemon."""
    package, work = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("work")
    # with its byte code, which is as good for the copy: to compile takes each process seconds
    shutil.copytree(ROOT / "sentinel", package / "sentinel")
    compileall.compile_dir(package / "sentinel", quiet=1)
    (package / "sentinel" / "probes" / "spool.py").write_text(KIND)
    (package / "sentinel" / "shipped" / "runbooks" / "spool-full.md").write_text(BOOK)
    spool = work / "spool"
    for queue, files in (("mail", 5), ("fax", 1)):
        (spool / queue).mkdir(parents=True)
        for n in range(files):
            (spool / queue / str(n)).touch()
    config, port = work / "config", free_port()
    config.mkdir()
    text = SETTINGS.format(port=port, state=work / "state", folder=spool)
    (config / "sentinel.yaml").write_text(text)
    made = Site(package, config, spool, port)
    argv = [sys.executable, "-m", "sentinel", "--config", str(config), "run"]
    with (work / "log").open("w") as log:
        daemon = subprocess.Popen(
            argv, cwd=package, env=environment(package), stdout=log, stderr=log
        )
    try:
        made.wait_for("/api/v1/faults", lambda found: found["open"] == 1)
        yield made
    finally:
        daemon.terminate()
        daemon.wait(20)


def test_the_command_line_knows_it(site: Site) -> None:
    """Its options, measurements and faults; its check is valid."""
    shown = site.command("kinds", "spool").stdout
    for word in ("folder", "sentinel_spool_files", "piled_up", "spool-full"):
        assert word in shown
    assert site.command("validate").returncode == 0


def test_its_faults_have_subjects_everywhere(site: Site) -> None:
    """API, command line, page: the queue that piles up, not the other one."""
    (fault,) = site.ask("/api/v1/faults")["faults"]
    assert fault["subject"] == {"queue": "mail"}
    assert (fault["count"], fault["cure"]) == ([5, 5], ["ls mail"])
    done = site.command("faults", "spool")
    assert done.returncode == 1
    assert "queue mail: 5 files, the limit is 2" in done.stdout
    assert "fax" not in done.stdout
    assert "queue mail" in site.ask("/faults")


def test_its_figures_and_faults_are_exported(site: Site) -> None:
    """With the check's name; the fault is counted by key."""
    page = site.ask("/metrics")
    assert 'sentinel_spool_files{check="spool",queue="mail"} 5.0' in page
    assert 'sentinel_faults{check="spool",component="disk",fault="piled_up"} 1.0' in page
    assert 'fault="threshold"' not in page
    labels = 'check="spool",component="disk",kind="spool",resource="",status="degraded"'
    assert f"sentinel_check_status{{{labels}}} 1.0" in page


def test_its_incident_names_the_subject_and_is_diagnosed(site: Site) -> None:
    """Headline, runbook, and the runbook's step with the queue that the fault tells."""
    (incident,) = site.ask("/api/v1/incidents?open=1")
    assert incident["summary"] == "queue mail: 5 files, the limit is 2"
    shown = site.wait_for(
        f"/api/v1/incidents/{incident['id']}",
        lambda found: any(entry["kind"] == "diagnosis" for entry in found["timeline"]),
    )
    assert shown["runbook"] == "spool-full"
    diagnosis = next(entry for entry in shown["timeline"] if entry["kind"] == "diagnosis")
    assert "queue is mail" in diagnosis["evidence"]["transcript"]


def test_reports_show_its_figures_and_subjects(site: Site, tmp_path: Path) -> None:
    """The recovery report tells what it cost, and whom it concerned."""
    done = site.command("report", "recovery", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    text = next(tmp_path.glob("*.md")).read_text()
    assert "files that piled up" in text
    assert "queue mail" in text
