"""One run of `sentinel demo`: platform up, daemon on it, chaos, a live view, an end in order, one
document.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sentinel.config import Configuration, load
from sentinel.core.model import Attempt, Finding, Incident
from sentinel.demo.chaos import Chaos, Scenario, find_scenario
from sentinel.demo.component import write_control
from sentinel.demo.footprint import Footprint
from sentinel.demo.ledger import read_ledgers
from sentinel.demo.nemesis import draw_faults
from sentinel.demo.platform import Platform
from sentinel.demo.servers import free_port
from sentinel.demo.truth import read_truth
from sentinel.demo.verdict import Evidence, find_violations
from sentinel.errors import StateError, UsageError
from sentinel.store import Store

DEADLINE = 5.0
BLUR = 3.0
"""Cohort width plus poll interval of the demo's delivery check, with room for a busy machine."""
SETTLE = DEADLINE + BLUR + 1.0
"""Seconds at the end of a timed run without load, in which the last cohorts are settled."""
STARTED_WITHIN = 30.0
MIN_SECONDS = 20.0
MOST_RATE = 1000.0
KEPT_RUNS = 5
PORT = 9130


class Watcher(Protocol):
    """What the session needs of the daemon; the composition root gives it."""

    configuration: Configuration
    store: Store

    @property
    def url(self) -> str:
        """Address of the page."""
        ...

    async def start(self) -> None:
        """Begin to watch."""
        ...

    async def stop(self, *, stop_components: bool = False) -> None:
        """End."""
        ...

    async def write_report(self, kind: str, incident_id: str | None = None) -> list[Path]:
        """Write a report."""
        ...

    async def stop_component(self, name: str) -> None:
        """Stop a supervised component on request."""
        ...

    def pid_of(self, component: str) -> int | None:
        """The process of a component, as its driver knows it."""
        ...

    def all_run(self) -> bool:
        """Whether every component with a driver has a process."""
        ...

    def results(self) -> list[tuple[Any, Any, Any, Any, int]]:
        """Every check with its latest result."""
        ...


WEBHOOK_KEY = '"${DEMO_WEBHOOK_KEY:-demo-webhook-key}"'
"""Signs what the demo sends to DEMO_WEBHOOK."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line gives. `seconds` None means: until Ctrl-C. `nemesis`: the seed of
    random faults.
    """

    seconds: float | None = None
    chaos: Sequence[str] = ()
    nemesis: int | None = None
    rate: float = 20.0
    listen: str | None = None
    folder: Path = Path("var/demo")
    pack: Path = Path("checks/packs/demo")


View = Callable[[Watcher, Sequence[str]], None]


@dataclass(slots=True)
class Session:
    """Runs once. `say` gets progress lines before the live view, `view` is called twice a second."""

    options: DemoOptions
    make_watcher: Callable[[Configuration], Watcher]
    say: Callable[[str], None]
    view: View
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> dict[str, Any]:
        """The whole run; the document of `--json`. Everything that was started is stopped, whatever
        happens.
        """
        scenarios = [find_scenario(name) for name in self.options.chaos]
        seconds = self.options.seconds
        if self.options.nemesis is not None:
            if seconds is None:
                raise UsageError("a nemesis needs an end: it is judged afterwards", "add --for 10m")
            scenarios += draw_faults(self.options.nemesis, seconds)
        if seconds is not None and seconds < MIN_SECONDS:
            raise UsageError(
                f"--for {seconds:g}s is too short",
                f"the last messages need time: {MIN_SECONDS:g}s or more",
            )
        if not 0 < self.options.rate <= MOST_RATE:
            raise UsageError(
                f"--rate {self.options.rate:g} is not possible",
                f"tasks a second: up to {MOST_RATE:g}",
            )
        folder = _new_folder(self.options.folder)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, self._end)
        self.say("starting Valkey and PostgreSQL …")
        with Platform(rate=self.options.rate) as platform:
            self.say(f"platform is up; state, logs and reports: {folder}")
            return asyncio.run(self._watch(platform, folder, scenarios))

    def _end(self, _signum: int, _frame: object) -> None:
        """On a signal: end in order. Nothing interrupts a start, nor an end: what was begun would
        be left behind.
        """
        if self._loop is None or self._loop.is_closed():
            self._stop.set()
        else:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _watch(
        self, platform: Platform, folder: Path, scenarios: Sequence[Scenario]
    ) -> dict[str, Any]:
        self._loop = asyncio.get_running_loop()
        listen = self.options.listen or f"127.0.0.1:{self._find_port()}"
        values = {
            **platform.environment(),
            "DEMO_LISTEN": listen,
            "DEMO_STATE": str(folder / "state"),
        }
        config = _fill_in(self.options.pack, values, folder / "config")
        _add_webhook(config, os.environ)
        watcher = self.make_watcher(load(config))
        began, footprint = time.monotonic(), Footprint()
        following = asyncio.create_task(footprint.follow())
        try:
            await watcher.start()
            self.say(f"watching: {watcher.url}/ and {watcher.url}/metrics")
            await self._live(platform, watcher, began, scenarios)
            document = await self._conclude(platform, watcher, began)
            if self.options.nemesis is not None:
                document["nemesis"] = _judge(
                    self.options.nemesis, scenarios, watcher, platform, document
                )
                document["nemesis"]["footprint"] = footprint.describe()
            return document
        finally:
            following.cancel()
            await watcher.stop(stop_components=True)
            _keep_ledgers(platform, folder)

    def _find_port(self) -> int:
        """The usual port when it is free, so that prometheus.yml fits; else any, and it is said."""
        if _is_free(PORT):
            return PORT
        self.say(
            f"127.0.0.1:{PORT} is taken: the page is on another port, which prometheus.yml does not"
            " know (--listen chooses one)"
        )
        return free_port()

    async def _live(
        self, platform: Platform, watcher: Watcher, began: float, scenarios: Sequence[Scenario]
    ) -> None:
        """Chaos and the live view, until the time is over or Ctrl-C; then a timed run settles
        without load.
        """
        seconds = self.options.seconds
        head = [
            f"page     {watcher.url}/",
            f"metrics  {watcher.url}/metrics",
            (
                f"try      {os.path.relpath(sys.argv[0])} --config"
                f" {self.options.folder}/latest/config status"
            ),
            f"chaos    {_name_chaos(self.options, scenarios)}",
        ]
        chaos = Chaos(platform, watcher.pid_of)
        until = None if seconds is None else max(seconds - SETTLE, 1.0)
        misery = asyncio.create_task(_break_things(chaos, watcher, scenarios, began, until))
        try:
            await self._show_until(watcher, head, began, until)
        finally:
            misery.cancel()
            with suppress(asyncio.CancelledError):
                await misery
        if seconds is not None and not self._stop.is_set():
            write_control(platform.folder, "no-canaries", {})  # synthetic tasks are load, too
            await watcher.stop_component("load")
            await self._show_until(watcher, head, began, seconds)

    async def _show_until(
        self, watcher: Watcher, head: Sequence[str], began: float, until: float | None
    ) -> None:
        while not self._stop.is_set():
            left = None if until is None else began + until - time.monotonic()
            if left is not None and left <= 0:
                return
            passed = f"running  {time.monotonic() - began:.0f} s" + (
                "" if left is None else f", {left:.0f} s left"
            )
            self.view(watcher, [*head, passed + "; Ctrl-C ends"])
            with suppress(TimeoutError):
                async with asyncio.timeout(min(0.5, left) if left is not None else 0.5):
                    await self._stop.wait()

    async def _conclude(self, platform: Platform, watcher: Watcher, began: float) -> dict[str, Any]:
        """Reports and the document, while the servers still run."""
        paths = [*await watcher.write_report("progress"), *await watcher.write_report("recovery")]
        truth = await asyncio.to_thread(
            read_truth,
            platform.folder,
            deadline_seconds=DEADLINE,
            blur_seconds=BLUR,
            redis_url=platform.valkey.url,
            database_url=platform.admin_dsn,
        )
        return {
            "duration_seconds": round(time.monotonic() - began, 1),
            **describe_checks(watcher.results()),
            "restarts": [_restart(attempt) for attempt in watcher.store.attempts()],
            "incidents": [_incident(incident) for incident in watcher.store.incidents()],
            "reports": [str(path) for path in paths],
            "truth": truth,
        }


async def _break_things(
    chaos: Chaos, watcher: Watcher, scenarios: Sequence[Scenario], began: float, until: float | None
) -> None:
    """Scenarios begin when everything has been started: a platform that is not there yet can't be
    broken.
    """
    limit = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < limit and not watcher.all_run():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.1)
    await chaos.run(
        scenarios, None if until is None else max(began + until - time.monotonic(), 0.1)
    )


def _name_chaos(options: DemoOptions, scenarios: Sequence[Scenario]) -> str:
    drawn = (
        [] if options.nemesis is None else [f"{len(scenarios) - len(options.chaos)} random faults"]
    )
    return ", ".join([*options.chaos, *drawn]) or "none (--chaos NAME, --list-chaos)"


def _judge(
    seed: int,
    scenarios: Sequence[Scenario],
    watcher: Watcher,
    platform: Platform,
    document: Mapping[str, Any],
) -> dict[str, Any]:
    """What was broken, and which promises sentinel did not keep meanwhile: [] is what it should be."""
    store = watcher.store
    evidence = Evidence(
        {component.name: component for component in watcher.configuration.components},
        store.attempts(),
        store.incidents(limit=10_000),
        store.transitions(since=datetime.fromtimestamp(0, UTC)),
        store.order_keys("notify"),
        read_ledgers(platform.folder),
        document,
    )
    faults = [
        {"at": round(s.start, 1), "action": s.action, "lasts": round(s.duration, 1), **s.params}
        for s in scenarios
    ]
    return {"seed": seed, "faults": faults, "violations": find_violations(evidence)}


def describe_checks(results: Sequence[tuple[Any, Any, Any, Any, int]]) -> dict[str, Any]:
    """The sections `checks`, `delivery`, `canary` and `assignment` of the document."""
    rows = [
        {
            "name": check.name,
            "kind": check.kind,
            "component": check.component,
            "status": str(shown),
            "runs": runs,
            "detail": finding.detail if finding else "no result yet",
        }
        for check, _, finding, shown, runs in results
    ]
    found = {check.kind: finding for check, _, finding, _, _ in results if finding is not None}
    return {
        "checks": rows,
        "delivery": _delivery(found.get("bus_delivery")),
        "canary": _add_up(
            [_pick(finding, "canary", _CANARY) for finding in _findings(results, "bus_canary")]
        ),
        "assignment": _assignment(found.get("task_assignment")),
    }


_DELIVERY = ("published", "acknowledged", "pending", "lost", "ratio", "deadline_seconds")
_CANARY = ("sent", "ok", "late", "lost", "duplicate", "corrupt")
_ASSIGNMENT = ("total", "within_deadline", "unassigned", "p99_seconds")


def _delivery(finding: Finding | None) -> Mapping[str, Any] | None:
    """Acknowledged for certain, as a number like the ledgers'; so many more may be: 0 when it is
    exact.
    """
    facts = _pick(finding, "account", _DELIVERY)
    if facts is None:
        return None
    low, high = facts["acknowledged"]
    return {**facts, "acknowledged": low, "in_doubt": high - low}


def _assignment(finding: Finding | None) -> Mapping[str, Any] | None:
    """The deadline of the demo's check is 100 ms, and the document says so in the name; unassigned
    means: now.
    """
    facts = _pick(finding, "assignment", _ASSIGNMENT)
    if finding is None or facts is None:
        return None
    open_tasks = (row.values.get("unassigned", 0.0) for row in finding.rows)
    waiting = sum(int(count) for count in open_tasks if isinstance(count, int | float))
    named = {key.replace("deadline", "100ms"): value for key, value in facts.items()}
    return {**named, "unassigned": waiting}


def _findings(results: Sequence[tuple[Any, Any, Any, Any, int]], kind: str) -> list[Finding]:
    """The findings of all checks of a kind."""
    return [
        finding for check, _, finding, _, _ in results if check.kind == kind and finding is not None
    ]


def _add_up(facts: Sequence[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The counts of several checks together; None of none."""
    known = [each for each in facts if each is not None]
    return {key: sum(each[key] for each in known) for key in known[0]} if known else None


def _pick(finding: Finding | None, section: str, keys: Sequence[str]) -> Mapping[str, Any] | None:
    facts = finding.evidence.get(section) if finding else None
    return None if facts is None else {key: facts.get(key) for key in keys}


def _restart(attempt: Attempt) -> dict[str, Any]:
    return {
        "component": attempt.component,
        "attempt": attempt.n,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "verdict": attempt.verdict,
        "recovered_in_seconds": attempt.recovered_in,
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "component": incident.component,
        "state": str(incident.state),
        "summary": incident.summary,
        "blocked_by": incident.blocked_by,
        "exhausted": incident.exhausted,
        "opened": incident.opened.isoformat(),
        "recovered": incident.recovered.isoformat() if incident.recovered else None,
    }


def _new_folder(base: Path) -> Path:
    """A folder for this run; the link `latest` points at it; the oldest runs go."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    folder = base.resolve() / name
    latest = base / "latest"
    try:
        folder.mkdir(parents=True)
        latest.unlink(missing_ok=True)
        latest.symlink_to(name)
    except OSError as error:
        raise StateError(
            f"the folder {base} can't be written: {error.strerror}",
            "name another one: --folder DIR",
        ) from error
    runs = sorted(path for path in base.iterdir() if path.is_dir() and not path.is_symlink())
    for old in runs[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _fill_in(pack: Path, values: Mapping[str, str], folder: Path) -> Path:
    """The check pack with this run's addresses: a configuration that every command can be given."""
    folder.mkdir(mode=0o700)
    for file in pack.glob("*.yaml"):
        text = re.sub(r"\$\{(DEMO_\w+)\}", lambda match: values[match[1]], file.read_text())
        (folder / file.name).write_text(text)
    return folder


def _add_webhook(folder: Path, environment: Mapping[str, str]) -> None:
    """Where DEMO_WEBHOOK names a receiver, it hears of everything; signed by DEMO_WEBHOOK_KEY."""
    address = environment.get("DEMO_WEBHOOK", "")
    if address:
        channel = f"{{kind: webhook, address: {json.dumps(address)}, secret: {WEBHOOK_KEY}}}"
        (folder / "webhook.yaml").write_text(f"channels:\n  webhook: {channel}\n")


def _keep_ledgers(platform: Platform, folder: Path) -> None:
    """The ledgers outlive the platform: they are what the figures can be checked against."""
    ledgers = platform.folder / "ledgers"
    if ledgers.exists():
        shutil.copytree(ledgers, folder / "ledgers", dirs_exist_ok=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def print_document(document: Mapping[str, Any], write: Callable[[str], Any]) -> None:
    """One JSON document and a line feed."""
    write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
