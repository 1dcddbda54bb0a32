"""A person waits for every command: none loads what it does not use, and none falls over a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.clock import read_moment_now
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.core.moment import write_moment
from sentinel.store import BEAT, Changes, CheckView, ComponentView
from sentinel.store.sqlite import SqliteStore

HEAVY = {
    "aiohttp", "apscheduler", "asyncio", "hiredis", "jinja2", "prometheus_client", "psycopg",
    "sentinel.core.bus.delivery",
    "pydantic", "redis", "rich", "sentinel.config", "sentinel.engine", "sentinel.probes",
    "structlog", "yaml",
}  # fmt: skip
WATCHED = """
import sys
from sentinel.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
sys.stdout.flush()
print("loaded", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""

STARTED = """
import asyncio, sys
from pathlib import Path
import sentinel.cli.running
from sentinel.app import Signals, serve
async def main():
    signals = Signals()
    def ready(_daemon):
        print("loaded", *sorted(sys.modules))
        signals.stop.set()
    await serve(Path(sys.argv[1]), signals, ready)
asyncio.run(main())
"""


def make_view(name: str, status: str) -> CheckView:
    now = datetime.now(UTC)
    return CheckView(
        name=name, kind="tcp", component="api", status=status, soft=status, since=now,
        detail="connected", key=None, guidance="", evidence={}, rows=[], runs=1, every=5.0,
        last_run=now, duration=0.1, outcome="ok", quality="observed", trace_id="t", runbook="",
        flapping=False,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration, and a daemon that ran on it a moment ago."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "all.yaml").write_text(
        f"state: {tmp_path}/var\ncomponents: {{api: {{}}}}\nchecks:\n"
        "  - {name: port, kind: tcp, component: api, address: '127.0.0.1:1'}\n"
    )
    (tmp_path / "var").mkdir()
    now = datetime.now(UTC)
    store = SqliteStore(tmp_path / "var")
    incident = Incident("i-1", "api", now, IncidentState.OPEN, Status.DEGRADED, "slow", "port")
    api = ComponentView("api", "degraded", now, "slow", (), "", None, 0, "")
    views = [make_view("port", "degraded"), *(make_view(f"c{n}", "up") for n in range(2000))]
    meta = {BEAT: write_moment(read_moment_now()), "platform": "p"}
    store.commit(Changes(checks=views, components=[api], incidents=[incident], meta=meta))
    store.replace_configuration([view.name for view in views], ["api"])
    store.close()
    return tmp_path


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", WATCHED, "--config", str(place / "checks"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (("--help",), set()),
        (("status",), set()),
        (("incident", "list"), set()),
        (("incident", "show"), set()),
        (("faults",), set()),
        (("check", "list"), {"yaml"}),
    ],
    ids=" ".join,
)
def test_a_command_loads_what_it_uses(place: Path, words: tuple[str, ...], needs: set[str]) -> None:
    """Loading everything took 2 s of CPU; this is what may not come back."""
    ended = run(place, *words)
    assert ended.returncode in {0, 1, 3}, ended.stderr
    loaded = set(ended.stderr.split("loaded ")[1].split())
    assert loaded & HEAVY == needs
    if words == ("--help",):
        assert {name for name in loaded if name.startswith("sentinel")} == {
            "sentinel", "sentinel.cli", "sentinel.cli.commands", "sentinel.cli.line",
                "sentinel.cli.parser",
        }  # fmt: skip


def test_a_start_loads_what_it_runs(place: Path) -> None:
    """Of each shelf what is configured: all of them were half of a start."""
    argv = [sys.executable, "-c", STARTED, str(place / "checks")]
    ended = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SENTINEL_LISTEN": "127.0.0.1:0"},
    )
    loaded = set(ended.stdout.split("loaded ")[1].split())
    shelves = ("probes", "remediation", "housekeeping")
    things = {name for name in loaded for each in shelves if name.startswith(f"sentinel.{each}.")}
    assert things == {"sentinel.probes.tcp"}
    assert not loaded & {"aiodocker", "dbus_fast", "jsonpath", "sentinel.reports.recovery"}


def test_who_reads_may_stop_reading(place: Path) -> None:
    """`sentinel status | head -1` ends as the platform is: degraded, without a word about pipes."""
    script = (
        f"'{sys.executable}' -m sentinel --config '{place}/checks' status | head -n 1; "
        "echo ${PIPESTATUS[0]} ${PIPESTATUS[1]}"
    )
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    first, codes = ended.stdout.splitlines()
    assert first.startswith("p: degraded")
    assert codes in {"1 0", "3 0"}  # unknown when this machine took longer than a daemon may
    assert ended.stderr == ""
    closed = [sys.executable, "-m", "sentinel", "--config", f"{place}/checks", "status", "--json"]
    ended = subprocess.run(
        ["bash", "-c", f"{' '.join(closed)} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout in {"1\n", "3\n"}
    assert ended.stderr == ""


def test_no_colour_in_a_pipe(place: Path) -> None:
    """What a program reads has no codes of a terminal, and is not cut to a width."""
    ended = run(place, "status")
    assert "\x1b" not in ended.stdout
    assert json.loads(run(place, "status", "--json").stdout)["components"]
