"""Calendar work: roll-ups, reports, housekeeping, and forgetting. On APScheduler, which knows time zones
and cron.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from sentinel.app.cron import CronLine, EverySoOften
from sentinel.app.housekeeping import schedule_chores
from sentinel.app.notifying import make_head
from sentinel.app.reading import beside
from sentinel.app.reporting import LOOKS_AT_EVIDENCE, make_request
from sentinel.clock import read_uptime, utcnow
from sentinel.config import Configuration
from sentinel.config.notice import LOG
from sentinel.core.model import Section
from sentinel.core.notice.text import write_report_notice
from sentinel.core.schedule.crontab import SAVED
from sentinel.engine.clock import NOTICEABLE
from sentinel.engine.housekeeper import Housekeeper
from sentinel.engine.notifier import order_delivery
from sentinel.engine.picture import Picture
from sentinel.engine.recorder import Recorder
from sentinel.engine.rollup import LookDurations, RollUps
from sentinel.errors import SentinelError, StateError
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds
from sentinel.reports.figures.totals import BASELINE, make_baseline
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import EVERY_FORMAT, FORMATS, Rendered, render
from sentinel.reports.paper.write import forget_reports, keep_report
from sentinel.store import Changes, Retention, Store

log = structlog.get_logger()

REPORTS = "reports"
ROLLUP_EVERY = 60.0
HOUR, DAY = 3600.0, 86400.0
FORGET_AFTER, FORGET_PAUSE, FORGET_EVERY = 1.0, 0.05, 60.0
"""Seconds until the first step of forgetting, between two, and after the last."""
BUDGETS_COUNT = timedelta(days=2)
"""What was attempted or cleaned within it is never forgotten: budgets are counted by it."""
BASELINE_AFTER = 3.0
"""Seconds until the first roll-up: what reports compare with when something breaks in the first
minute.
"""
LOOKING, LOOK_AFTER = "evidence", 5.0
"""The job that looks at evidence, and seconds until it does so first: checks have told by then."""
TRY_AGAIN = 10.0
"""Seconds after which the calendar is looked at again that could not be looked at."""
BASELINE_WAITS = 60
"""Seconds in which checks may tell what agents have completed; then what is known counts."""
PATIENT = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
"""APScheduler's own defaults would drop runs silently in a stall."""


def _wall_ahead() -> float:
    return utcnow().timestamp() - read_uptime()


class _Jobs(AsyncIOScheduler):  # type: ignore[misc]
    """Whatever a job or a trigger raises: the others come, and it is counted."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(timezone=UTC, job_defaults=PATIENT)
        self._metrics = metrics
        self.add_listener(self._note_job, EVENT_JOB_ERROR)

    def _process_jobs(self) -> float | None:
        """The library sets no further timer after an error in here: then nothing comes any more."""
        try:
            wait: float | None = super()._process_jobs()
        except Exception as error:  # noqa: BLE001 - see above
            self._note("calendar", error)
            return TRY_AGAIN
        return wait

    def _note_job(self, event: JobExecutionEvent) -> None:
        self._note(event.job_id, event.exception)

    def _note(self, job: str, error: BaseException) -> None:
        self._metrics.swallowed.labels("calendar").inc()
        log.error("part_failed", part="calendar", job=job, error=repr(error))


@dataclass(slots=True)
class Calendar:
    """What is done by the clock and not by a result."""

    configuration: Callable[[], Configuration]
    store: Store
    recorder: Recorder
    picture: Picture
    housekeeper: Housekeeper
    clients: Mapping[str, Any]
    utcnow: Callable[[], datetime]
    url: Callable[[], str] = str
    """Where the page is; "" without one."""
    _jobs: AsyncIOScheduler = field(init=False)
    _rolled: RollUps = field(init=False)
    _lasted: LookDurations = field(init=False)
    _ahead: float = field(default_factory=_wall_ahead)
    """Seconds by which the wall clock is ahead of the uptime, at the last look."""
    _erase_from: float = float("-inf")
    """Uptime before which nothing is forgotten."""

    def __post_init__(self) -> None:
        """Nothing is scheduled yet."""
        self._jobs = _Jobs(self.picture.metrics)
        self._rolled = RollUps(self.picture)
        self._lasted = LookDurations(self.picture)

    def start(self) -> None:
        """Begin; the first reports and roll-ups come by themselves."""
        rolling = EverySoOften(ROLLUP_EVERY, ROLLUP_EVERY)
        self._jobs.add_job(self.roll_up, rolling, id="roll-up")
        self.follow()
        self._jobs.start()

    def follow(self) -> None:
        """Reports and housekeeping as they are configured now."""
        for job in self._jobs.get_jobs():
            if job.id.startswith("report-"):
                job.remove()
        for i, report in enumerate(self.configuration().reports):
            trigger = CronLine(report.cron, ZoneInfo(report.timezone))
            self._jobs.add_job(
                self._report_by_calendar,
                trigger,
                args=[report.kind],
                id=f"report-{i}-{report.kind}",
            )
        schedule_chores(self._jobs, self.housekeeper, self.configuration().chores)
        self._follow_plan()

    def _follow_plan(self) -> None:
        """Evidence is looked at every so often, while something is to be reached."""
        plan, job = self.configuration().plan, self._jobs.get_job(LOOKING)
        if job is not None:
            job.remove()
        if plan:
            looking = EverySoOften(plan.every, min(plan.every, LOOK_AFTER))
            self._jobs.add_job(self.look, looking, id=LOOKING)

    async def look(self) -> None:
        """One round of looks at the evidence of what is to be reached."""
        from sentinel.app.evidence import (  # noqa: PLC0415 - few platforms have a plan
            read_evidence,
            read_known,
        )

        plan, now = self.configuration().plan, self.utcnow()
        known = await self.recorder.call(lambda: read_known(self.store, now))
        await self.recorder.record(await read_evidence(plan, known, self.clients, now))

    def follow_clock(self) -> None:
        """Asked every few seconds: after the wall clock was set, what comes every so often goes on
        in its rhythm, and times of the day are those of the new clock. Less than three hours back
        repeat no time of the day (cron(8)).
        """
        ahead = _wall_ahead()
        step, self._ahead = ahead - self._ahead, ahead
        if abs(step) <= NOTICEABLE:
            return
        self._erase_from = read_uptime() + DAY if step > HOUR else self._erase_from
        for job in self._jobs.get_jobs():
            if isinstance(job.trigger, EverySoOften):
                job.modify(next_run_time=job.next_run_time + timedelta(seconds=step))
            elif job.trigger.loose or abs(step) >= SAVED.total_seconds():
                job.reschedule(job.trigger)
        self._jobs.wakeup()

    def stop(self) -> None:
        """End; what runs is not waited for."""
        if self._jobs.running:
            self._jobs.shutdown(wait=False)

    async def take_baseline(self) -> None:
        """The figures at the start, once for ever: when every check that counts what agents have
        completed has named them, and else a little later.
        """
        await asyncio.sleep(BASELINE_AFTER)
        await self.roll_up()
        try:
            # In the store's thread: a locked file must not make sentinel stand still.
            if await self.recorder.call(lambda: self.store.meta(BASELINE)):
                return
            for _ in range(BASELINE_WAITS):
                if self.picture.has_told(Section.COMPLETED):
                    break
                await asyncio.sleep(1.0)
            await self.recorder.settle()
            baseline = await self.recorder.call(self._make_baseline)
        except StateError as error:
            log.error("baseline_failed", error=error.message)
            return
        await self.recorder.record(Changes(meta={BASELINE: baseline}))

    def _make_baseline(self) -> str:
        return make_baseline(self.store, load_kinds(), self.utcnow())

    async def roll_up(self) -> None:
        """Every total that has moved, for reports; how long looks took, for the page."""
        samples = [*self._rolled.take(), *self._lasted.take()]
        await self.recorder.later(Changes(samples=samples))

    def end(self) -> Changes:
        """What is to be written before sentinel ends."""
        return Changes(samples=self._rolled.end())

    async def look_through_state(self) -> None:
        """Once after the start, what it left out of a large state; nothing waits for it."""
        found, rows = await beside(self.store.look_through), 0
        if found is None:
            return
        log.info("state_is_large", guidance="it is looked through while sentinel runs")
        try:
            while found is not None:
                rows = found
                await asyncio.sleep(FORGET_PAUSE)
                found = await beside(self.store.look_through)
        except StateError as error:
            self.picture.metrics.swallowed.labels("state").inc()
            guidance = "start sentinel anew: what can't be read is moved aside then"
            log.error("state_not_readable", error=error.message, guidance=guidance)
            return
        log.info("state_looked_through", rows=rows)

    async def keep_forgetting(self) -> None:
        """From the start on and for ever, in steps so short that nothing waits for them."""
        await asyncio.sleep(FORGET_AFTER)
        while True:
            more = await self.forget_some()
            await asyncio.sleep(FORGET_PAUSE if more else FORGET_EVERY)

    async def forget_some(self) -> bool:
        """One step; whether there is more to forget. Not on the day after the clock was set far
        forward: it may be set back, and what is erased does not come back with it.
        """
        if read_uptime() < self._erase_from:
            return False
        retention = self._retention()
        try:
            step = await self.recorder.call(lambda: self.store.forget(retention))
            if step.more:
                return True
            folder = self.configuration().state / REPORTS
            return await asyncio.to_thread(forget_reports, folder, retention.reports) > 0
        except (StateError, OSError, ValueError) as error:
            log.error("retention_failed", error=str(error), guidance="tried again in a minute")
            return False

    def _retention(self) -> Retention:
        now, configuration = self.utcnow(), self.configuration()
        before = now - timedelta(seconds=configuration.retention)
        windows = max((each.window for each in configuration.objectives), default=0.0)
        return Retention(
            before=before,
            journal=min(before, now - BUDGETS_COUNT),
            reports=now - timedelta(seconds=configuration.report_retention),
            audit=now - timedelta(seconds=configuration.audit_retention),
            objectives=min(before, now - timedelta(seconds=windows)),
        )

    async def _report_by_calendar(self, kind: str) -> None:
        """Nobody waits for it: what went wrong is a line of the log, and what was written is told,
        also when it says that nothing happened. Whatever goes wrong costs this report alone.
        """
        try:
            paths, rendered = await self._write(kind, None)
            await self._tell(kind, str(rendered.facts["headline"]), paths)
            rendered.complain()
        except (SentinelError, OSError, ValueError) as error:
            told = error if isinstance(error, SentinelError) else SentinelError(repr(error))
            log.error("report_failed", kind=kind, error=told.message, guidance=told.guidance)

    async def _tell(self, kind: str, headline: str, paths: Sequence[Path]) -> None:
        """Order a notice on each channel that the report is for; without any, on the log."""
        configuration, now = self.configuration(), self.utcnow()
        wanted = [name for each in configuration.reports if each.kind == kind for name in each.to]
        head = make_head(configuration, self.url())
        files = [path.name for path in paths]
        orders = [
            order_delivery(write_report_notice(channel, kind, headline, files, head, now))
            for channel in dict.fromkeys(wanted or [LOG])
        ]
        await self.recorder.record(Changes(orders=orders))

    async def write_report(self, kind: str, incident_id: str | None = None) -> list[Path]:
        """Write a report of what is known now; the paths. A broken template costs its own document,
        and is raised when the others are written.
        """
        paths, rendered = await self._write(kind, incident_id)
        rendered.complain()
        return paths

    async def _write(self, kind: str, incident_id: str | None) -> tuple[list[Path], Rendered]:
        configuration, now = self.configuration(), self.utcnow()
        await self.roll_up()
        await self.recorder.settle()
        if configuration.plan and kind in LOOKS_AT_EVIDENCE:
            await self.look()
        request = await asyncio.to_thread(  # a disk may hang
            make_request,
            configuration,
            configuration.state,
            incident=incident_id,
            next_update=self._next_report(kind),
        )
        facts = await self.recorder.call(lambda: collect(self.store, kind, now, request))
        # In a thread of its own: the store's thread has restarts to journal while a long template
        # is at work.
        rendered = await asyncio.to_thread(
            render, kind, facts, self._formats(kind), configuration.report_templates
        )
        folder = configuration.state / REPORTS
        paths = await self.recorder.call(
            lambda: keep_report(self.store, kind, now, folder, facts, rendered.documents)
        )
        return paths, rendered

    def _formats(self, kind: str) -> Sequence[str]:
        """What is always made, and PDF where a report of this kind is to have it."""
        wanted = any(each.pdf for each in self.configuration().reports if each.kind == kind)
        return EVERY_FORMAT if wanted else FORMATS

    def _next_report(self, kind: str) -> datetime | None:
        """When the calendar makes this report next."""
        jobs = (
            job
            for job in self._jobs.get_jobs()
            if job.id.startswith("report-") and job.id.endswith(kind)
        )
        return min((job.next_run_time for job in jobs), default=None)
