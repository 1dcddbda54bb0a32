"""Configuration → running daemon: start, reload, stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from sentinel.app.wiring import make_client, utcnow
from sentinel.config import Configuration, load
from sentinel.core.model import Check, Component, Order, Quality, Result, Status
from sentinel.engine.coverage import Coverage
from sentinel.engine.dispatcher import Dispatcher
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.runner import Runner
from sentinel.engine.scheduler import Scheduler
from sentinel.engine.stall import StallGuard
from sentinel.engine.supervision import make_check, make_kind
from sentinel.errors import ConfigurationError, PortInUse, StateError
from sentinel.log import Redaction
from sentinel.metrics import Metrics
from sentinel.notify.log import LogChannel
from sentinel.probes import Kind, load_kinds
from sentinel.remediation.process import ProcessDriver
from sentinel.reports.write import write_report
from sentinel.store import Changes, Gap
from sentinel.store.sqlite import SqliteStore, lock_state, prepare_folder
from sentinel.web.app import make_app
from sentinel.web.guard import listen_hosts

log = structlog.get_logger()

HALT_FILE = "HALT"
REPORTS = "reports"
CONSIDER_EVERY = 0.25
ROLLUP_EVERY = 60
BEAT_EVERY = 2.0
MIN_GAP = 5.0
CHECK_PATIENCE = 15.0
BASELINE_AFTER = 3.0
"""Seconds until the first roll-up: what reports compare with when something breaks in the first minute."""


class Daemon:
    """One sentinel on one state folder."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.metrics = Metrics()
        self.guard = StallGuard(time.monotonic, utcnow, self.metrics)
        self.drivers: dict[str, ProcessDriver] = {}
        self.clients: dict[str, Any] = {}
        self._kinds = load_kinds()
        self._started: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._kinds["supervision"] = make_kind(self.drivers, self._started, self._stopped)
        self._tasks: list[asyncio.Task[Any]] = []
        self._site: web.AppRunner | None = None
        self._lock = -1

    # -- start ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the state folder, remember, listen, supervise, schedule. Raises SentinelError."""
        configuration = self.configuration
        prepare_folder(configuration.state)
        self._lock = lock_state(configuration.state)
        self.store = SqliteStore(configuration.state, owner=True)
        self.recorder = Recorder(self.store, self.metrics, utcnow)
        self.clients.update({name: make_client(item) for name, item in configuration.resources.items()})
        self._wire()
        await self._remember_start()
        await self._listen()
        self._spawn(self.guard.run())
        await self._add_components(configuration.components)
        self._add_checks(configuration.checks)
        self._spawn(self.scheduler.loop())
        self._spawn(self.dispatcher.run())
        self._spawn(self._consider_loop())
        self._spawn(self._beat_loop())
        self._start_calendar()
        self._spawn(self._take_baseline())
        self._note_reload(good=True)
        gc.freeze()
        log.info("started", platform=configuration.platform, checks=len(configuration.checks), url=self.url)

    def _wire(self) -> None:
        configuration = self.configuration
        self.runner = Runner(self.clients, self.guard, self.metrics, utcnow, time.monotonic, self._pid_of)
        self.coverage = Coverage(time.monotonic)
        self.scheduler = Scheduler(self._run_check, time.monotonic, self.metrics, self._note_skipped)
        self.pipeline = Pipeline(
            self.recorder, self.metrics, self.guard, utcnow, Redaction(configuration.secrets).scrub
        )
        lost = self.store.meta("journal_lost")
        self.remediator = Remediator(
            pipeline=self.pipeline,
            recorder=self.recorder,
            store=self.store,
            metrics=self.metrics,
            utcnow=utcnow,
            monotonic=time.monotonic,
            trigger=self.scheduler.trigger,
            halt_file=configuration.state / HALT_FILE,
            actions_enabled=configuration.actions_enabled,
            quiet_until=utcnow() + timedelta(seconds=configuration.start_grace),
            journal_lost=datetime.fromisoformat(lost) if lost else None,
            drivers=self.drivers,
            started=self._started,
            stopped=self._stopped,
        )
        self.pipeline.on_turn = self.remediator.consider
        self.pipeline.describe_action = self.remediator.describe
        self.metrics.actions_enabled.set(configuration.actions_enabled)
        actions = {"reset": self._do_reset, "restart": self._do_restart, "check": self._do_check}
        self.dispatcher = Dispatcher(self.store, self.recorder, self.metrics, [LogChannel()], actions, utcnow)

    async def _remember_start(self) -> None:
        """The time since the last beat of the sentinel before this one was not observed."""
        now = utcnow()
        beat = self.store.meta("beat")
        gaps = []
        if beat and (now - datetime.fromisoformat(beat)).total_seconds() > MIN_GAP:
            gaps.append(Gap(datetime.fromisoformat(beat), now, "sentinel was not running"))
        meta = {
            "started": now.isoformat(),
            "platform": self.configuration.platform,
            "beat": now.isoformat(),
            "stopped": "",
        }
        first = self.store.meta("watching_since") or now.isoformat()
        await self.recorder.record(Changes(gaps=gaps, meta={**meta, "watching_since": first}))
        self.pipeline.away = self.store.gaps(since=now - timedelta(days=1))

    async def _listen(self) -> None:
        host, port = self.configuration.listen
        application = make_app(
            self.store,
            metrics=self.metrics.render,
            ready=self._ready,
            reports=self.configuration.state / REPORTS,
            allowed_hosts=listen_hosts(host, port),
        )
        self._site = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._site.setup()
        try:
            await web.TCPSite(self._site, host, port, reuse_address=True).start()
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
                raise
            raise PortInUse(
                f"{self.configuration.listen_place}: listen: can't listen on {host}:{port}: {error.strerror}",
                "stop what listens there, or choose another port with `listen:` or SENTINEL_LISTEN",
            ) from error

    @property
    def url(self) -> str:
        """Address of the status page."""
        host, port = self.configuration.listen
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _ready(self) -> tuple[bool, str]:
        if not self.recorder.writable:
            return False, "the state can't be written"
        waiting = [check.name for check, result, *_ in self.pipeline.results() if result is None]
        return not waiting, f"{len(waiting)} checks have no result yet" if waiting else "ready"

    async def _add_components(self, components: Sequence[Component]) -> None:
        open_incidents = {incident.component: incident for incident in self.store.incidents(open_only=True)}
        rows = {row.component: row for row in self.store.processes()}
        for component in components:
            self.pipeline.add_component(component, open_incidents.get(component.name))
        for component in components:
            if component.driver == "process":
                driver = ProcessDriver(component, self.configuration.state / "log")
                self._add_check(make_check(component))
                await self.remediator.manage(component, driver, rows.get(component.name))

    def _add_checks(self, checks: Sequence[Check]) -> None:
        for check in checks:
            self._add_check(check)
        names = [check.name for check, *_ in self.pipeline.results()]
        self.store.replace_configuration(names, [component.name for component in self.configuration.components])

    def _add_check(self, check: Check) -> None:
        kind = self._kinds[check.kind]
        self._restore(check, kind)
        self.pipeline.add_check(check, kind, self._stored_health().get(check.name))
        self.scheduler.add(check)

    def _stored_health(self) -> Mapping[str, Any]:
        if not hasattr(self, "_healths"):
            self._healths = self.store.healths()
            self._states = self.store.probe_states()
        return self._healths

    def _restore(self, check: Check, kind: Kind) -> None:
        """Give a kind with a memory what it dumped before; a dump that it can't read is set aside, and said."""
        if kind.load_state is None or check.name in self.runner.states:
            return
        self._stored_health()
        document = self._states.get(check.name)
        try:
            self.runner.states[check.name] = kind.load_state(document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("probe_state_unreadable", check=check.name, error=repr(error))
            self.runner.states[check.name] = kind.load_state(None)

    # -- run --------------------------------------------------------------------------------------

    async def _run_check(self, check: Check) -> bool:
        result = await self.runner.run(check, self._kinds[check.kind])
        seen = result.quality is Quality.OBSERVED and result.finding.status is not Status.UNKNOWN
        self.coverage.note(due=1, seen=seen)
        return await self.pipeline.take(result)

    def _note_skipped(self, count: int) -> None:
        self.coverage.note(due=count, seen=0)

    def _pid_of(self, component: str) -> int | None:
        driver = self.drivers.get(component)
        return driver.pid if driver else None

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _consider_loop(self) -> None:
        """Time alone may make an attempt due: backoff over, dependency back, grace over."""
        while True:
            await asyncio.sleep(CONSIDER_EVERY)
            self.remediator.consider()

    async def _beat_loop(self) -> None:
        """Sign of life for the next start, and figures about ourselves."""
        while True:
            await asyncio.sleep(BEAT_EVERY)
            self.metrics.overdue.set(len(self.scheduler.overdue()))
            self.metrics.coverage.set(self.coverage.ratio())
            await self.recorder.record(Changes(meta={"beat": utcnow().isoformat()}, gaps=self.guard.take_gaps()))

    def _start_calendar(self) -> None:
        """Calendar work on APScheduler; its defaults would drop runs silently in a stall."""
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._calendar = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
        self._calendar.add_job(self._roll_up, "interval", seconds=ROLLUP_EVERY, id="roll-up")
        self._calendar.add_job(self._forget, "interval", hours=1, id="retention")
        for i, report in enumerate(self.configuration.reports):
            trigger = CronTrigger.from_crontab(report.cron, timezone=ZoneInfo(report.timezone))
            self._calendar.add_job(self.write_report, trigger, args=[report.kind], id=f"report-{i}-{report.kind}")
        self._calendar.start()

    async def _take_baseline(self) -> None:
        await asyncio.sleep(BASELINE_AFTER)
        await self._roll_up()

    async def _roll_up(self) -> None:
        await self.recorder.record(Changes(samples=self.pipeline.samples()))

    async def _forget(self) -> None:
        before = utcnow() - timedelta(seconds=self.configuration.retention)
        try:
            await self.recorder.call(lambda: self.store.forget(before))
        except StateError as error:
            log.error("retention_failed", error=error.message)

    async def write_report(self, kind: str, incident_id: str | None = None) -> list[Path]:
        """Write a report of what is known now; the paths."""
        configuration = self.configuration
        await self._roll_up()
        return await self.recorder.call(
            lambda: write_report(
                self.store,
                kind,
                utcnow(),
                configuration.state / REPORTS,
                templates=configuration.report_templates,
                incident_id=incident_id,
                target_per_hour=configuration.tasks_per_hour_target,
                next_update=self._next_report(kind),
            )
        )

    def _next_report(self, kind: str) -> datetime | None:
        """When the calendar makes this report next."""
        if not hasattr(self, "_calendar"):
            return None
        jobs = (job for job in self._calendar.get_jobs() if job.id.startswith("report-") and job.id.endswith(kind))
        return min((job.next_run_time for job in jobs), default=None)

    async def _do_reset(self, order: Order) -> str:
        return await self.remediator.reset(order.subject, str(order.payload.get("reason", "")))

    async def _do_restart(self, order: Order) -> str:
        return await self.remediator.restart_on_request(order.subject, str(order.payload.get("reason", "")))

    async def _do_check(self, order: Order) -> str:
        """Run a check now, in the daemon, with its memory; its view in the store then has the result."""
        before = self.pipeline.last_result(order.subject)
        if order.subject not in [check.name for check, *_ in self.pipeline.results()]:
            return f"unknown check {order.subject}"
        self.scheduler.trigger(order.subject)
        async with asyncio.timeout(CHECK_PATIENCE):
            while self.pipeline.last_result(order.subject) is before:  # noqa: ASYNC110 - results come by the pipeline
                await asyncio.sleep(0.02)
        return "done"

    # -- reload and stop --------------------------------------------------------------------------

    async def reload(self, environment: Mapping[str, str] | None = None) -> bool:
        """Read the configuration anew. A broken one changes nothing: the old one stays in force."""
        try:
            fresh = await asyncio.to_thread(load, self.configuration.folder, environment)
        except ConfigurationError as error:
            self._note_reload(good=False)
            log.error("reload_refused", problems=[str(problem) for problem in error.problems])
            return False
        await self._replace(fresh)
        self._note_reload(good=True)
        log.info("reloaded", checks=len(fresh.checks))
        return True

    async def _replace(self, fresh: Configuration) -> None:
        old = self.configuration
        await self._replace_clients(old, fresh)
        before = {check.name: check for check in old.checks}
        after = {check.name: check for check in fresh.checks}
        for name in before.keys() - after.keys():
            await self.scheduler.remove(name)
            self.pipeline.remove_check(name)
            await self._close_state(name)
        known = {component.name for component in old.components}
        await self._add_components([component for component in fresh.components if component.name not in known])
        for component in fresh.components:
            self.pipeline.components[component.name] = component
        for name in known - {component.name for component in fresh.components} - self.drivers.keys():
            self.pipeline.remove_component(name)
        self.configuration = replace(fresh, listen=old.listen, state=old.state)
        self.remediator.actions_enabled = fresh.actions_enabled
        self.metrics.actions_enabled.set(fresh.actions_enabled)
        changed = [check for name, check in after.items() if before.get(name) != check]
        for check in changed:
            await self.scheduler.remove(check.name)
            if check.name in before and before[check.name].kind != check.kind:
                self.pipeline.remove_check(check.name)
                await self._close_state(check.name)
        self._add_checks(changed)

    async def _replace_clients(self, old: Configuration, fresh: Configuration) -> None:
        for name, resource in fresh.resources.items():
            if old.resources.get(name) != resource:
                former, self.clients[name] = self.clients.get(name), make_client(resource)
                if former is not None:
                    await former.close()

    async def _close_state(self, name: str) -> None:
        state = self.runner.states.pop(name, None)
        if state is not None:
            await state.close()

    def _note_reload(self, *, good: bool) -> None:
        self.metrics.reload_ok.set(good)
        if good:
            self.metrics.reload_time.set_to_current_time()

    async def stop(self, *, stop_components: bool = False) -> None:
        """End in order: no new work, actions, components if asked, states, clients, store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "_calendar"):
            self._calendar.shutdown(wait=False)
        if self._site is not None:
            await self._site.cleanup()
        if hasattr(self, "scheduler"):
            await self.scheduler.stop()
            if stop_components:
                await self.remediator.stop_all()
            await self.remediator.close()
            for name in list(self.runner.states):
                await self._close_state(name)
        for client in self.clients.values():
            await client.close()
        if hasattr(self, "recorder"):
            now = utcnow().isoformat()
            await self.recorder.record(Changes(meta={"beat": now, "stopped": now}))
            self.recorder.close()
            self.store.close()
        if self._lock >= 0:
            os.close(self._lock)

    # -- what others read -------------------------------------------------------------------------

    def results(self) -> list[tuple[Check, Result | None, Any, Any, int]]:
        """Every check with its latest result, finding, health and number of runs."""
        return self.pipeline.results()

    async def stop_component(self, name: str) -> None:
        """Stop a supervised component on request."""
        await self.remediator.stop(name)


async def serve(
    path: Path,
    stop: asyncio.Event,
    reload: asyncio.Event,
    ready: Callable[[Daemon], None],
    state: Path | None = None,
) -> None:
    """Run a daemon on a configuration folder until `stop` is set; `reload` asks for a new reading."""
    configuration = load(path)
    daemon = Daemon(replace(configuration, state=state) if state else configuration)
    try:
        await daemon.start()
        ready(daemon)
        while not stop.is_set():
            await _either(stop, reload)
            if reload.is_set():
                reload.clear()
                await daemon.reload()
    finally:
        await daemon.stop()


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
