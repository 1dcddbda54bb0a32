"""The calendar while somebody sets the date."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from sentinel.app import calendar as calendar_module
from sentinel.app.calendar import Calendar
from sentinel.app.cron import CronLine, EverySoOften
from sentinel.metrics import Metrics
from sentinel.store import Retention, RetentionStep

DAY = 86400.0


class Bench:
    """A calendar that forgets into a list, on a wall clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.step, self.passed, self.forgotten = 0.0, 0.0, list[datetime]()
        self.began, self.metrics = datetime.now(UTC), Metrics()
        monkeypatch.setattr(calendar_module, "utcnow", self.wall)
        monkeypatch.setattr(calendar_module, "read_uptime", lambda: 1000.0 + self.passed)

        async def call(function) -> RetentionStep:
            return function()

        self.calendar = Calendar(
            lambda: SimpleNamespace(
                retention=30 * DAY,
                report_retention=90 * DAY,
                audit_retention=365 * DAY,
                objectives=[SimpleNamespace(window=60 * DAY)],
                state=Path("/nowhere"),
            ),
            SimpleNamespace(forget=self.forget),
            SimpleNamespace(call=call),
            SimpleNamespace(metrics=self.metrics),
            SimpleNamespace(),
            {},
            self.wall,
        )
        self.jobs = self.calendar._jobs

    def forget(self, retention: Retention) -> RetentionStep:
        """Two steps are enough."""
        self.forgotten.append(retention.before)
        return RetentionStep(1, 0, len(self.forgotten) % 2 == 1)

    def wall(self) -> datetime:
        return self.began + timedelta(seconds=self.step + self.passed)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch):
    """With one job of each sort."""
    made = Bench(monkeypatch)

    async def work() -> None:
        return

    made.jobs.add_job(work, EverySoOften(600.0, 600.0), id="every")
    made.jobs.add_job(work, CronLine("*/30 * * * *", UTC), id="often")
    hour = (made.began - timedelta(hours=1)).hour
    made.jobs.add_job(work, CronLine(f"{made.began.minute} {hour} * * *", UTC), id="daily")
    made.jobs.start(paused=True)
    yield made
    made.jobs.shutdown(wait=False)
    await asyncio.sleep(0)


def test_back_by_an_hour(bench: Bench):
    """What comes every so often keeps its rhythm by the uptime; a time of the day is not repeated."""
    before = {job.id: job.next_run_time for job in bench.jobs.get_jobs()}
    bench.step = -3600.0
    bench.calendar.follow_clock()
    after = {job.id: job.next_run_time for job in bench.jobs.get_jobs()}
    assert after["every"] == before["every"] - timedelta(hours=1)
    assert after["daily"] == before["daily"]


def test_small_steps_change_nothing(bench: Bench):
    """A clock that is slewed is no clock that was set."""
    before = {job.id: job.next_run_time for job in bench.jobs.get_jobs()}
    for _ in range(5):
        bench.passed, bench.step = bench.passed + 2, bench.step + 0.5
        bench.calendar.follow_clock()
    assert {job.id: job.next_run_time for job in bench.jobs.get_jobs()} == before


async def test_nothing_is_erased_on_the_day_after_a_jump(bench: Bench):
    """The date is set ten years ahead by mistake: what is remembered waits a day for its return."""
    bench.step = 3653 * DAY
    bench.calendar.follow_clock()
    assert not await bench.calendar.forget_some()
    assert bench.forgotten == []
    bench.passed = DAY + 1
    bench.calendar.follow_clock()
    assert await bench.calendar.forget_some()
    assert not await bench.calendar.forget_some()
    assert bench.forgotten == [bench.wall() - timedelta(days=30)] * 2


def test_budgets_are_kept_whatever_the_retention(bench: Bench):
    """An hour of retention does not give the budget of a day back."""
    bench.calendar.configuration().__dict__.update(retention=3600.0)
    kept = bench.calendar._retention()
    assert bench.wall() - kept.journal >= timedelta(days=2)
    assert bench.wall() - kept.reports == timedelta(days=90)
    assert bench.wall() - kept.objectives == timedelta(days=60)


def test_every_so_often_goes_on_its_grid():
    """The first after its delay, then on; ten years that were missed are one run."""
    trigger, now = EverySoOften(60.0, 7.0), datetime(2026, 1, 5, tzinfo=UTC)
    first = trigger.get_next_fire_time(None, now)
    assert first == now + timedelta(seconds=7)
    assert trigger.get_next_fire_time(first, first) == first + timedelta(seconds=60)
    late = trigger.get_next_fire_time(first, first + timedelta(days=3653, seconds=1))
    assert late == first + timedelta(days=3653, seconds=60)


async def test_what_a_job_or_a_trigger_raises_ends_no_calendar(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are counted, and the next job comes."""
    came = asyncio.Event()

    async def fail() -> None:
        raise SystemExit(1)

    async def work() -> None:
        came.set()

    def look(_self: object) -> float:
        looks.append(1)
        if len(looks) == 1:
            raise KeyError("canary")
        return real(bench.jobs)

    looks, real = list[int](), AsyncIOScheduler._process_jobs
    monkeypatch.setattr(AsyncIOScheduler, "_process_jobs", look)
    monkeypatch.setattr(calendar_module, "TRY_AGAIN", 0.01)
    bench.jobs.add_job(fail, id="bad")
    bench.jobs.add_job(work, DateTrigger(datetime.now(UTC) + timedelta(seconds=0.05)), id="good")
    bench.jobs.resume()
    async with asyncio.timeout(10):
        await came.wait()
    assert bench.metrics.swallowed.labels("calendar").value == 2
