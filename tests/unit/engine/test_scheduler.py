"""Fixed rate, no overlap, nothing lost silently."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from sentinel.core.model import Check
from sentinel.core.schedule import first_due
from sentinel.engine.scheduler import Scheduler
from sentinel.probes import Options
from tests.exposition import read_sample


def check(name="a", every=10.0, timeout=5.0):
    """A check that nobody has to run."""
    return Check(name, "kind", "component", every, timeout, Options())


class Runs:
    """Counts runs; a run lasts until it is told to end."""

    def __init__(self):
        self.started = []
        self.running = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.fast = False
        self.error = None

    async def __call__(self, check):
        self.started.append(check.name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if self.error:
            raise self.error
        return self.fast

    async def end(self):
        """Let what runs end."""
        self.gate.set()
        await settle()
        self.gate.clear()


async def settle():
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def runs():
    """The runs of the test."""
    return Runs()


@pytest.fixture
def scheduler(runs, clock, metrics):
    """A scheduler on the test's clock, without its loop: the test asks for what is due."""
    made = Scheduler(runs, clock.monotonic, metrics)
    metrics.add_check(check())
    return made


async def tick(scheduler, clock, at):
    """Move the clock and start what is due then."""
    clock.now = at
    scheduler._start_due()
    await settle()


def skipped(metrics):
    """Slots that were counted as skipped."""
    found = read_sample(metrics, "sentinel_probe_runs_total", kind="kind", outcome="skipped")
    assert found is not None
    return found


async def test_fixed_rate_without_drift(scheduler, runs, clock):
    """Runs start on the grid of the first one, however late each was noticed."""
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    for i, late in enumerate((0.0, 3.0, 9.9, 0.0, 0.5)):
        await tick(scheduler, clock, due + 10 * i + late)
        await runs.end()
        assert len(runs.started) == i + 1
        await tick(scheduler, clock, due + 10 * (i + 1) - 0.01)
        assert len(runs.started) == i + 1, "nothing before its time"


async def test_lateness_is_that_of_the_start(scheduler, runs, clock, metrics):
    """From the slot to the start; a run beside the schedule has no slot and is not counted."""
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    for i, late in enumerate((0.0, 0.02, 3.0)):
        await tick(scheduler, clock, due + 10 * i + late)
        await runs.end()
    scheduler.trigger("a")
    await settle()
    await runs.end()
    name = "sentinel_check_lateness_seconds"
    assert len(runs.started) == 4
    assert read_sample(metrics, f"{name}_count") == 3
    assert read_sample(metrics, f"{name}_bucket", le="0.01") == 1
    assert read_sample(metrics, f"{name}_bucket", le="0.025") == 2
    assert read_sample(metrics, f"{name}_sum") == pytest.approx(3.02)


async def test_no_overlap_and_every_skipped_slot_is_counted(scheduler, runs, clock, metrics):
    """A run that lasts over three slots costs three runs, never two at once."""
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    for i in range(4):
        await tick(scheduler, clock, due + 10 * i)
    assert (runs.started, runs.most, skipped(metrics)) == (["a"], 1, 3)
    await runs.end()
    await tick(scheduler, clock, due + 40)
    assert (len(runs.started), skipped(metrics)) == (2, 3)
    await runs.end()


async def test_slots_lost_in_a_pause_are_counted(scheduler, runs, clock, metrics):
    """A standstill over five slots: one run, not six, and five counted."""
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    await tick(scheduler, clock, due + 52)
    await runs.end()
    assert (len(runs.started), skipped(metrics)) == (1, 5)


async def test_trigger_runs_now(scheduler, runs, clock):
    """Beside the schedule, which stays as it was."""
    scheduler.add(check())
    scheduler.trigger("a")
    await settle()
    assert runs.started == ["a"]
    await runs.end()
    await tick(scheduler, clock, first_due("a", 10.0, 1000.0))
    assert len(runs.started) == 2
    await runs.end()


async def test_trigger_while_running_runs_once_more(scheduler, runs):
    """Any number of triggers during a run are one more run, right after it."""
    scheduler.add(check())
    for _ in range(3):
        scheduler.trigger("a")
        await settle()
    assert len(runs.started) == 1
    await runs.end()
    assert (len(runs.started), runs.most) == (2, 1)
    await runs.end()
    assert len(runs.started) == 2


@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit(1), BaseExceptionGroup("panic", [GeneratorExit()])]
)
async def test_a_run_that_raises_is_counted_and_goes_on(scheduler, runs, clock, metrics, error):
    """The schedule survives its checks."""
    runs.error = error
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    for i in range(3):
        await tick(scheduler, clock, due + 10 * i)
        await runs.end()
    assert len(runs.started) == 3
    assert metrics.swallowed.labels("scheduler").value == 3


async def test_a_soft_failure_is_looked_at_again_soon(scheduler, runs, clock, monkeypatch):
    """A run that asks for it is repeated before the next slot; one that does not is not."""
    later = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        loop, "call_later", lambda delay, call, *args: later.append((delay, call, args))
    )
    scheduler.add(check())
    await tick(scheduler, clock, first_due("a", 10.0, 1000.0))
    runs.fast = True
    await runs.end()
    ((delay, call, args),) = later
    assert (delay, args) == (2.0, ("a",))
    call(*args)
    await settle()
    assert len(runs.started) == 2
    runs.fast = False
    await runs.end()
    assert len(later) == 1


async def test_removed_checks_run_no_more(scheduler, runs, clock):
    """A run in progress is cancelled; its slots are gone; a trigger does nothing."""
    scheduler.add(check())
    scheduler.trigger("a")
    await settle()
    await scheduler.remove("a")
    assert runs.running == 0
    scheduler.trigger("a")
    await tick(scheduler, clock, 2000.0)
    assert len(runs.started) == 1


async def test_a_check_that_is_added_again_has_one_schedule(scheduler, runs, clock):
    """A reload that changes a check does not double it."""
    scheduler.add(check())
    await scheduler.remove("a")
    scheduler.add(check())
    await tick(scheduler, clock, first_due("a", 10.0, 1000.0))
    await runs.end()
    assert runs.started == ["a"]


@pytest.mark.parametrize("ran_before", [True, False])
async def test_a_silently_dead_check_is_noticed(scheduler, runs, clock, ran_before):
    """Overdue after two intervals and its timeout without the end of a run, also when the first run
    never ends.
    """
    scheduler.add(check())
    due = first_due("a", 10.0, 1000.0)
    await tick(scheduler, clock, due)
    if ran_before:
        await runs.end()
        await tick(scheduler, clock, due + 10)
    assert scheduler.overdue() == []
    clock.now = due + 25.1
    assert scheduler.overdue() == ["a"]
    await runs.end()
    assert scheduler.overdue() == []


async def press(scheduler, clock, runs, seconds, cost):
    """Looks at a schedule whose loop takes so many seconds for each run: until it is through with
    them it looks no more.
    """
    end = clock.now + seconds
    while clock.now < end:
        before = len(runs.started)
        scheduler._start_due()
        await runs.end()
        clock.now += max((len(runs.started) - before) * cost, 0.005)


async def test_overload_leaves_out_who_asks_most_and_counts_it(scheduler, runs, clock, metrics):
    """At twice of what can be done: what runs every second gives way to what runs every half minute,
    and to what others rest on, fairly among equals; the work goes on at its full rate, and each slot
    that was left out is counted.
    """
    scheduler.is_critical = lambda each: each.name == "critical"
    names = ["critical", *(f"often{n}" for n in range(100)), *(f"seldom{n}" for n in range(5))]
    begin, cost = clock.now, 0.02
    for name in names:
        scheduler.add(check(name, every=30.0 if name.startswith("seldom") else 1.0))
        metrics.add_check(check(name))
    await press(scheduler, clock, runs, 20.0, cost)
    so_far, since = len(runs.started), clock.now
    await press(scheduler, clock, runs, 100.0, cost)
    counts = Counter(runs.started)
    often = [counts[f"often{n}"] for n in range(100)]
    assert counts["critical"] > 1.4 * max(often)
    assert all(counts[f"seldom{n}"] >= 3 for n in range(5))
    assert max(often) < 1.5 * min(often)
    assert (len(runs.started) - so_far) * cost > 0.88 * (clock.now - since)
    assert metrics.shed > 0
    slots = sum(
        (each.due - first_due(name, each.check.every, begin)) / each.check.every
        for name, each in scheduler._entries.items()
    )
    assert len(runs.started) + skipped(metrics) == pytest.approx(slots, abs=0.01)


async def test_what_is_due_within_a_grain_is_begun_together(runs, metrics):
    """The loop does not turn for each of a thousand checks: one look begins several."""
    runs.gate.set()
    looks = []
    scheduler = Scheduler(runs, asyncio.get_running_loop().time, metrics)
    take = Scheduler._take_due

    def looked(self, now):
        found = take(self, now)
        looks.append(len(found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scheduler, "_take_due", looked)
        for n in range(200):
            scheduler.add(check(f"c{n}", every=0.2))
        async with looping(scheduler), asyncio.timeout(10):
            while len(runs.started) < 400:
                await asyncio.sleep(0.01)
    assert sum(looks) >= 400
    assert max(looks) > 1


@asynccontextmanager
async def looping(scheduler):
    """The scheduler's own loop in the background."""
    task = asyncio.create_task(scheduler.loop())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await scheduler.stop()


async def test_the_loop_wakes_for_what_is_due_and_for_what_is_new(runs, metrics):
    """On the real clock: checks that are added while the loop sleeps are run in their turn."""
    runs.gate.set()
    scheduler = Scheduler(runs, asyncio.get_running_loop().time, metrics)
    async with looping(scheduler):
        await asyncio.sleep(0.02)
        for name in "ab":
            scheduler.add(check(name, every=0.05))
        async with asyncio.timeout(10):
            while runs.started.count("a") < 3 or runs.started.count("b") < 3:
                await asyncio.sleep(0.01)
    assert runs.running == 0


async def test_what_is_wanted_runs_at_once(scheduler, runs, clock):
    """Whoever needs to know asks, without knowing the scheduler; asked twice is one run."""
    scheduler.add(check(every=3600.0))
    loop = asyncio.create_task(scheduler.loop())
    await settle()
    for _ in range(2):
        scheduler.wanted.ask("a")
    await settle()
    assert runs.started == ["a"]
    await runs.end()
    scheduler.wanted.ask("nobody")
    await settle()
    assert runs.started == ["a"]
    loop.cancel()
