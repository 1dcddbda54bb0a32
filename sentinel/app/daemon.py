"""Configuration → running daemon: start, reload, stop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from sentinel.app.calendar import Calendar
from sentinel.app.housekeeping import BUSY, find_amnesia
from sentinel.app.listening import listen, url_of
from sentinel.app.membership import Membership, make_member
from sentinel.app.orders import make_orders
from sentinel.app.reloading import compare
from sentinel.app.roster import Roster
from sentinel.app.runbooks.diagnosis import Diagnosis, find_latest
from sentinel.app.runbooks.hands import ReadingHands
from sentinel.app.runbooks.places import describe_conditions
from sentinel.app.wiring import make_client
from sentinel.config import Configuration, load
from sentinel.coordination.local import LocalCoordinator
from sentinel.core.fault import Status
from sentinel.core.incident import Event
from sentinel.core.model import Check, Component, Finding, IncidentState, Quality, Result
from sentinel.core.order import Order
from sentinel.engine.aside import Aside
from sentinel.engine.automation import HALT_FILE, Automation
from sentinel.engine.clock import SteadyClock
from sentinel.engine.conductor import Conductor
from sentinel.engine.coverage import Coverage
from sentinel.engine.dispatcher import Dispatcher
from sentinel.engine.file_watch import FileWatch
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.journal import Journal
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.requests import Requests
from sentinel.engine.runner import Runner
from sentinel.engine.scheduler import Scheduler
from sentinel.engine.stall import StallGuard
from sentinel.engine.supervision import make_check, make_kind, name_of_check
from sentinel.errors import ConfigurationError, StateError
from sentinel.log import Redaction, learn_secrets
from sentinel.metrics import Metrics
from sentinel.notify import load_channels
from sentinel.probes import load_kinds
from sentinel.remediation import Driver, DriverContext, load_drivers
from sentinel.store import HELD_KEY, Changes, Gap
from sentinel.store.sqlite import SqliteStore, lock_state, prepare_folder

log = structlog.get_logger()

CONSIDER_EVERY = 0.25
BEAT_EVERY = 2.0
MIN_GAP = 5.0
CHECK_PATIENCE = 15.0


class Daemon:
    """One sentinel on one state folder."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.redaction = Redaction(configuration.secrets)
        self.metrics = Metrics()
        self.clock = SteadyClock()
        self.guard = StallGuard(time.monotonic, self.clock.utcnow, self.metrics)
        self.drivers: dict[str, Driver] = {}
        self.clients: dict[str, Any] = {}
        self._kinds = load_kinds()
        self._driver_kinds = load_drivers()
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
        if self.store.moved_aside:
            files = [str(file) for file in self.store.moved_aside]
            log.error(
                "state_was_damaged",
                moved_to=files,
                guidance="what was recorded is in there: `sqlite3 … .recover`",
            )
        self.recorder = Recorder(self.store, self.metrics, self.clock.utcnow)
        self.clients.update(
            {name: make_client(item) for name, item in configuration.resources.items()}
        )
        self._wire()
        await self.membership.start(make_member(self.clock.utcnow()))
        await self._remember_start()
        self._site = await listen(configuration, self.store, self.metrics.render, self._ready)
        self._spawn(self.guard.run())
        await self._add_components(configuration.components)
        await self._add_checks(configuration.checks)
        self._spawn(self.scheduler.loop())
        self._spawn(self.dispatcher.run())
        self._spawn(self._keep_doing(CONSIDER_EVERY, self._consider))
        self._spawn(self._keep_doing(BEAT_EVERY, self._beat))
        self.calendar.start()
        self._spawn(self.calendar.take_baseline())
        await self.file_watch.follow(self.pipeline.components)
        self._note_reload(good=True)
        gc.freeze()
        log.info(
            "started",
            platform=configuration.platform,
            checks=len(configuration.checks),
            url=self.url,
        )

    def _wire(self) -> None:
        configuration, utcnow = self.configuration, self.clock.utcnow
        self.runner = Runner(
            self.clients, self.guard, self.metrics, utcnow, time.monotonic, self._pid_of
        )
        self.coverage = Coverage(time.monotonic)
        self.scheduler = Scheduler(
            self._run_check, time.monotonic, self.metrics, self._note_skipped
        )
        self.pipeline = Pipeline(
            self.recorder, self.metrics, self.guard, utcnow, self.redaction.scrub
        )
        self.automation = Automation(
            store=self.store,
            record=self.recorder.record,
            metrics=self.metrics,
            utcnow=utcnow,
            halt_file=configuration.state / HALT_FILE,
            enabled=configuration.actions_enabled,
            guard=self.guard,
        )
        lost = self.store.meta("journal_lost")
        coordinator = LocalCoordinator(self.store, self.recorder, utcnow)
        journal = Journal(coordinator, self.store, self.metrics, self.clock.moment)
        self.membership = Membership(coordinator, self.automation, journal)
        self.roster = Roster(
            self._kinds, self.store, self.runner, self.pipeline, self.scheduler, self.membership
        )
        self.membership.on_change = self.roster.place
        self._limit(configuration)
        self.remediator = Remediator(
            pipeline=self.pipeline,
            recorder=self.recorder,
            journal=journal,
            automation=self.automation,
            metrics=self.metrics,
            moment=self.clock.moment,
            monotonic=time.monotonic,
            trigger=self.scheduler.trigger,
            quiet_until=utcnow() + timedelta(seconds=configuration.start_grace),
            journal_lost=datetime.fromisoformat(lost) if lost else None,
            drivers=self.drivers,
            started=self._started,
            stopped=self._stopped,
        )
        self.requests = Requests(self.remediator)
        self.aside, self.conductor, self.file_watch = (
            Aside(),
            Conductor(self.requests),
            FileWatch(self.requests),
        )
        self.pipeline.on_turn = self.remediator.consider
        self.pipeline.describe_action = self.remediator.describe
        self.pipeline.is_held = self.remediator.is_held
        self.pipeline.is_stopped = self._stopped.__contains__
        self.pipeline.holds_announcement = self.automation.holds_announcement
        self.diagnosis = Diagnosis(
            lambda: self.configuration,
            self.store,
            self.recorder,
            lambda: ReadingHands(
                self.configuration, self.configuration.state, self.store, self._latest_finding
            ),
            self.pipeline.scrub,
            utcnow,
        )
        self.pipeline.runbook_of, self.pipeline.diagnoses = (
            self.diagnosis.runbook_of,
            self.diagnosis.is_wanted,
        )
        self.housekeeper = Housekeeper(
            self.store,
            self.recorder.call,
            self.clients,
            self.metrics,
            self.clock.moment,
            self._may_clean,
        )
        self.housekeeper.configure(configuration.chores)
        self.calendar = Calendar(
            lambda: self.configuration,
            self.store,
            self.recorder,
            self.pipeline,
            self.housekeeper,
            utcnow,
        )
        orders = make_orders(
            self.requests,
            self.conductor,
            self.housekeeper,
            self.aside,
            self._do_check,
            self.diagnosis.carry_out,
            utcnow,
        )
        self.dispatcher = Dispatcher(
            self.store, self.recorder, self.metrics, list(load_channels().values()), orders, utcnow
        )

    def _limit(self, configuration: Configuration) -> None:
        """What holds actions back, as it is configured now."""
        automation = self.automation
        automation.enabled = configuration.actions_enabled
        automation.limits = configuration.limits
        automation.brake_policy = configuration.brake
        automation.breaker_policy = configuration.breaker
        self.metrics.actions_enabled.set(configuration.actions_enabled)

    def _may_clean(self) -> str:
        """Why nothing may be cleaned in this very moment, or ""."""
        refusal = self.automation.may_act(automatic=True) or find_amnesia(
            self.store, self.clock.moment()
        )
        return refusal or (BUSY if self.store.cleaning.running_attempts() else "")

    async def _remember_start(self) -> None:
        """The time since the last beat of the sentinel before this one was not observed."""
        now = self.clock.utcnow()
        beat = self.store.meta("beat")
        crashed = beat is not None and not self.store.meta("stopped")
        await self.recorder.record(self.automation.load(crashed=crashed))
        gaps = []
        if beat and (now - datetime.fromisoformat(beat)).total_seconds() > MIN_GAP:
            gaps.append(Gap(datetime.fromisoformat(beat), now, "sentinel was not running"))
        meta = {
            "started": now.isoformat(),
            "platform": self.configuration.platform,
            "beat": now.isoformat(),
            "stopped": "",
        }
        meta |= describe_conditions(self.diagnosis.shelf)
        first = self.store.meta("watching_since") or now.isoformat()
        await self.recorder.record(Changes(gaps=gaps, meta={**meta, "watching_since": first}))
        self.pipeline.away = self.store.gaps(since=now - timedelta(days=1))

    @property
    def url(self) -> str:
        """Address of the status page."""
        return url_of(self.configuration)

    def _ready(self) -> tuple[bool, str]:
        if not self.recorder.writable:
            return False, "the state can't be written"
        waiting = [check.name for check, result, *_ in self.pipeline.results() if result is None]
        return not waiting, f"{len(waiting)} checks have no result yet" if waiting else "ready"

    async def _add_components(self, components: Sequence[Component]) -> None:
        # In the store's thread: at a reload a locked file must not make sentinel stand still.
        incidents = await self.recorder.call(lambda: self.store.incidents(open_only=True))
        open_incidents = {incident.component: incident for incident in incidents}
        rows = {row.component: row for row in await self.recorder.call(self.store.processes)}
        for component in components:
            self.pipeline.add_component(component, open_incidents.get(component.name))
        context = DriverContext(self.configuration.state / "log", self.clients)
        for component in components:
            if component.driver:
                kind = self._driver_kinds[component.driver]
                driver = kind.make(component, component.options, context)
                if kind.observes(component.options):
                    self.roster.add(make_check(component))
                row = rows.get(component.name)
                await self.remediator.manage(component, driver, row, supervises=kind.supervises)

    async def _add_checks(self, checks: Sequence[Check]) -> None:
        for check in checks:
            self.roster.add(check)
        names = [check.name for check, *_ in self.pipeline.results()]
        components = [component.name for component in self.configuration.components]
        await self.recorder.call(lambda: self.store.replace_configuration(names, components))

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

    async def _keep_doing(self, every: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do it for ever: one failure must not end what keeps sentinel alive, and is counted."""
        while True:
            await asyncio.sleep(every)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - see above
                self.metrics.swallowed.labels("daemon").inc()
                log.error("loop_raised", work=work.__name__, error=repr(error))

    async def _consider(self) -> None:
        """Time alone may make an attempt due: backoff over, dependency back, grace over."""
        self.remediator.consider()

    async def _beat(self) -> None:
        """Sign of life for the next start, and figures about ourselves."""
        self.metrics.overdue.set(len(self.scheduler.overdue()))
        self.metrics.coverage.set(self.coverage.ratio())
        if not self.pipeline.incidents:
            self.clock.settle()
        await self.membership.tick()
        meta = {
            "beat": self.clock.utcnow().isoformat(),
            HELD_KEY: json.dumps(self.automation.conditions()),
        }
        await self.recorder.record(Changes(meta=meta, gaps=self.guard.take_gaps()))

    async def write_report(self, kind: str, incident_id: str | None = None) -> list[Path]:
        """Write a report of what is known now; the paths."""
        return await self.calendar.write_report(kind, incident_id)

    async def _latest_finding(self, name: str) -> Finding:
        """What a check says now, without a run more than needed."""
        finding = await find_latest(self.results(), name, self.clock.utcnow(), self._do_check)
        return finding or next(
            found for check, _, found, *_ in self.results() if check.name == name
        )

    async def _do_check(self, order: Order) -> str:
        """Run a check now, in the daemon, with its memory; its view in the store then has the
        result.
        """
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
        was = self.configuration
        try:
            await self._replace(fresh)
        except StateError as error:
            self._note_reload(good=False)
            log.error(
                "reload_not_remembered",
                error=error.message,
                guidance="mend the state folder, then reload again",
            )
            return False
        self._note_reload(good=True)
        log.info("reloaded", checks=len(fresh.checks))
        _tell_what_is_kept(was, fresh)
        return True

    async def _replace(self, fresh: Configuration) -> None:
        old = self.configuration
        differences = compare(old, fresh)
        self.redaction.learn(fresh.secrets)
        learn_secrets(fresh.secrets)
        await self._replace_clients(old, fresh)
        self.configuration = replace(fresh, listen=old.listen, state=old.state)
        for name in differences.gone:
            await self.roster.remove(name)
        for name in differences.left:
            await self._release(name)
        await self._add_components(differences.joined)
        for component in differences.redriven:
            await self._release(component.name)
            await self._add_components([component])
        # In the order of the new configuration, which is that of the dependencies.
        self.pipeline.components = {component.name: component for component in fresh.components}
        self._limit(self.configuration)
        self.calendar.follow()
        await self.file_watch.follow(self.pipeline.components)
        self.diagnosis.reload()
        for check in differences.changed:
            if check.name in differences.other_kind:
                await self.roster.remove(check.name)
            await self.scheduler.remove(check.name)
        await self._add_checks(differences.changed)

    async def _release(self, name: str) -> None:
        """Let a component go, or its driver: what runs goes on, and a new driver takes it over."""
        while self.remediator.acts_on(name):  # noqa: ASYNC110 - an act ends by itself, and tells nobody
            await asyncio.sleep(0.05)
        if name in self.drivers:
            await self.roster.remove(name_of_check(name))
            self.remediator.release(name)
        if name not in {component.name for component in self.configuration.components}:
            await self._close_incident(name)
            self.pipeline.remove_component(name)

    async def _close_incident(self, name: str) -> None:
        incident = self.pipeline.incidents.get(name)
        if incident is not None:
            closed = replace(
                incident, state=IncidentState.CLOSED, closed=self.clock.utcnow(), exhausted=False
            )
            await self.pipeline.change_incident(
                closed, Event("closed", "no longer in the configuration")
            )

    async def _replace_clients(self, old: Configuration, fresh: Configuration) -> None:
        for name, resource in fresh.resources.items():
            if old.resources.get(name) != resource:
                former, self.clients[name] = self.clients.get(name), make_client(resource)
                if former is not None:
                    await former.close()

    def halt(self) -> None:
        """The kill switch by signal: at once in memory, and as the file that `sentinel resume`
        takes away.
        """
        self.automation.halted_by_signal = True
        log.error("halted", by="SIGUSR1", guidance="`sentinel resume` when it is over")
        try:
            self.automation.halt_file.write_text(f"{self.clock.utcnow().isoformat()} SIGUSR1\n")
        except OSError as error:
            log.error(
                "halt_file_not_written",
                error=str(error),
                guidance="halted all the same, until `sentinel resume`",
            )
        else:
            self.automation.halted_by_signal = False

    def _note_reload(self, *, good: bool) -> None:
        self.metrics.reload_ok.set(good)
        if good:
            self.metrics.reload_time.set_to_current_time()

    async def stop(self, *, stop_components: bool = False) -> None:
        """End in order: no new work, actions, components if asked, states, clients, store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._site is not None:
            await self._site.cleanup()
        if hasattr(self, "dispatcher"):  # the last thing that is wired
            await self._stop_engine(stop_components=stop_components)
        for client in self.clients.values():
            await client.close()
        if hasattr(self, "recorder"):
            now = self.clock.utcnow()
            meta = {"beat": now.isoformat(), "stopped": now.isoformat()}
            await self.recorder.record(Changes(meta=meta))
            self.recorder.close()
            self.store.close()
        if self._lock >= 0:
            os.close(self._lock)

    async def _stop_engine(self, *, stop_components: bool) -> None:
        self.calendar.stop()
        await self.file_watch.close()
        await self.aside.close()
        await self.scheduler.stop()
        if stop_components:
            await self.remediator.stop_all()
        await self.diagnosis.close()
        await self.remediator.close()
        await self.membership.leave(self.clock.utcnow())
        await self.roster.close()

    # -- what others read -------------------------------------------------------------------------

    def results(self) -> list[tuple[Check, Result | None, Any, Any, int]]:
        """Every check with its latest result, finding, health and number of runs."""
        return self.pipeline.results()

    async def stop_component(self, name: str) -> None:
        """Stop a supervised component on request."""
        await self.remediator.stop(name)


def _tell_what_is_kept(old: Configuration, fresh: Configuration) -> None:
    """A running daemon moves neither its address nor its state: who changed them is told that they
    wait.
    """
    for key, kept, wanted in (
        ("listen", old.listen, fresh.listen),
        ("state", old.state, fresh.state),
    ):
        if kept != wanted:
            log.warning(
                "reload_keeps",
                key=key,
                in_force=str(kept),
                guidance="it is changed by the next start",
            )


@dataclass(frozen=True, slots=True)
class Signals:
    """What is asked of a running daemon from outside: end, read the configuration anew, stop every
    action.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    halt: asyncio.Event = field(default_factory=asyncio.Event)


async def serve(
    path: Path, signals: Signals, ready: Callable[[Daemon], None], state: Path | None = None
) -> None:
    """Run a daemon on a configuration folder until it is asked to stop."""
    configuration = load(path)
    daemon = Daemon(replace(configuration, state=state) if state else configuration)
    try:
        await daemon.start()
        ready(daemon)
        while not signals.stop.is_set():
            await _either(signals.stop, signals.reload, signals.halt)
            if signals.halt.is_set():
                signals.halt.clear()
                daemon.halt()
            if signals.reload.is_set():
                signals.reload.clear()
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
