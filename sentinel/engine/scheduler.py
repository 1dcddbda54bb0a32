"""Owns time: fixed rate, no drift, no overlap, spread first runs, faster re-checks; every skipped
slot is counted. What can't be done in time is left out fairly (`sentinel/core/schedule/shedding.py`).
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from sentinel.core.model import Check
from sentinel.core.schedule import first_due, next_due, recheck_delay
from sentinel.core.schedule.shedding import Load
from sentinel.engine.upkeep import is_told_to_end
from sentinel.metrics import Metrics

log = structlog.get_logger()

TICK = 1.0
"""Seconds between two looks at the schedule, at most: a sign of life, though nothing be due."""
GRAIN = 0.004
"""Seconds between two looks, at least: what is due within is begun together, which costs one turn of
the loop, and asks a server once for all.
"""


@dataclass(slots=True)
class WantedChecks:
    """Checks that are to run at once, beside their schedule: asked for by whoever needs to know."""

    _names: dict[str, None] = field(default_factory=dict)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, name: str) -> None:
        """Have a check run as soon as may be."""
        self._names[name] = None
        self._asked.set()

    def take(self) -> list[str]:
        """What was asked for since the last time."""
        names = list(self._names)
        self._names.clear()
        self._asked.clear()
        return names

    def wake(self) -> None:
        """End `wait` without a wish."""
        self._asked.set()

    async def wait(self) -> None:
        """Until something was asked for."""
        await self._asked.wait()


@dataclass(slots=True)
class _Entry:
    check: Check
    due: float
    task: asyncio.Task[None] | None = None
    again: bool = False
    last_end: float = 0.0
    ran: bool = False
    version: int = 0


@dataclass(slots=True)
class Scheduler:
    """`run(check)` is awaited for each due check, never twice at once; it returns True to ask for a
    fast re-check.
    """

    run: Callable[[Check], Awaitable[bool]]
    monotonic: Callable[[], float]
    metrics: Metrics
    on_skip: Callable[[int], None] = lambda _count: None
    wanted: WantedChecks = field(default_factory=WantedChecks)
    is_critical: Callable[[Check], bool] = lambda _check: False
    """Whether others rest on what a check says: it is left out last."""
    load: Load = field(default_factory=Load)
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _heap: list[tuple[float, int, str]] = field(default_factory=list)
    _count: int = 0
    ticked: float = 0.0
    """Monotonic instant of the latest look at the schedule."""
    finished: float = 0.0
    """Monotonic instant at which a check ended last."""

    def add(self, check: Check) -> None:
        """Schedule a check; its first run comes within one interval."""
        now = self.monotonic()
        due = first_due(check.name, check.every, now)
        entry = _Entry(check, due, last_end=due)
        self._entries[check.name] = entry
        self._push(entry, entry.due)
        if self._heap[0][1] == entry.version:  # sooner than what the loop sleeps for
            self.wanted.wake()

    async def remove(self, name: str) -> None:
        """Take a check off the schedule; a run in progress is cancelled."""
        entry = self._entries.pop(name, None)
        if entry is not None and entry.task is not None:
            entry.task.cancel()
            await asyncio.gather(entry.task, return_exceptions=True)

    def trigger(self, name: str) -> None:
        """Run a check now, beside its schedule; when it runs already, once more right after."""
        entry = self._entries.get(name)
        if entry is None:
            return
        if entry.task is not None:
            entry.again = True
        else:
            self._start(entry)

    def overdue(self) -> list[str]:
        """Checks that have not ended a run for more than two intervals and their timeout."""
        now = self.monotonic()
        return [
            name
            for name, entry in list(self._entries.items())  # another thread asks, too
            if now - entry.last_end > 2 * entry.check.every + entry.check.timeout
        ]

    async def loop(self) -> None:
        """Start what is wanted or due, for ever."""
        while True:
            self.ticked = self.monotonic()
            delay = max(min(self._start_due(), TICK), GRAIN)
            for name in self.wanted.take():
                self.trigger(name)
            try:
                async with asyncio.timeout(delay):
                    await self.wanted.wait()
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """Cancel every run in progress."""
        for name in list(self._entries):
            await self.remove(name)

    def _start_due(self) -> float:
        now = self.monotonic()
        due = self._take_due(now)
        self.load = self.load.see(now, now - due[0].due if due else 0.0)
        for entry in due:
            self._tick(entry, now, shed=bool(self.load.age) and not self._is_admitted(entry, now))
        return max(self._heap[0][0] - self.monotonic(), 0.0) if self._heap else TICK

    def _take_due(self, now: float) -> list[_Entry]:
        """What is due, the oldest first."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            _, version, name = heapq.heappop(self._heap)
            entry = self._entries.get(name)
            if entry is not None and entry.version == version:
                found.append(entry)
        return found

    def _is_admitted(self, entry: _Entry, now: float) -> bool:
        """Whether it runs although we do not keep up; who has never run does."""
        check, unseen = entry.check, now - entry.last_end if entry.ran else math.inf
        return self.load.admits(check.name, unseen, critical=self.is_critical(check))

    def _tick(self, entry: _Entry, now: float, *, shed: bool = False) -> None:
        following, skipped = next_due(entry.due, entry.check.every, now)
        if entry.task is not None or shed:
            skipped += 1
            self.metrics.shed += shed
        else:
            self._start(entry, entry.due)
        entry.due = following
        if skipped:
            self.metrics.skip(entry.check.name, skipped)
            self.on_skip(skipped)
        self._push(entry, entry.due)

    def _push(self, entry: _Entry, at: float) -> None:
        self._count += 1
        entry.version = self._count
        heapq.heappush(self._heap, (at, entry.version, entry.check.name))

    def _start(self, entry: _Entry, slot: float | None = None) -> None:
        run = self._guarded(entry, slot)
        entry.task = asyncio.create_task(run, name=f"check {entry.check.name}")

    async def _guarded(self, entry: _Entry, slot: float | None) -> None:
        """The task guard: an error here is ours, is counted, and never stops the schedule. A run
        that was asked for beside its schedule has no slot, and is never late.
        """
        try:
            if slot is not None:
                self.metrics.lateness.observe(max(self.monotonic() - slot, 0.0))
            fast = await self.run(entry.check)
        except BaseException as error:
            if is_told_to_end(error):
                raise
            self.metrics.swallowed.labels("scheduler").inc()
            log.error("run_raised", check=entry.check.name, error=repr(error))
            fast = False
        finally:
            entry.task, entry.ran = None, True
            entry.last_end = self.finished = self.monotonic()
        self._after(entry, fast=fast)

    def _after(self, entry: _Entry, *, fast: bool) -> None:
        if entry.check.name not in self._entries:
            return
        if entry.again:
            entry.again = False
            self._start(entry)
        elif fast:
            delay = recheck_delay(entry.check.every)
            if self.monotonic() + delay < entry.due:
                asyncio.get_running_loop().call_later(delay, self.trigger, entry.check.name)
