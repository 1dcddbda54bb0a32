"""Every task has an owner, who says what it raised, counts it, and begins it anew.

A task that ends unseen is the worst fault of a monitor: what it did is not done any more, and
nothing says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from sentinel.metrics import Metrics

log = structlog.get_logger()

LONGEST = 60.0
"""Seconds between two beginnings, at most; the first comes after half a second, each next one after
twice as long.
"""
STEADY = 60.0
"""Seconds that a part has to live for its next failure to count as a first one."""
_FIRST = 0.5
_DOUBLINGS = 7


class EndedByItself(RuntimeError):
    """A part that has no end has returned."""


def is_told_to_end(error: BaseException) -> bool:
    """Whether a task was cancelled from outside: then it ends. Everything else that can be raised
    is an error, also a cancellation that came from within, `sys.exit` in a plugin, and a panic of a
    library, which is no `Exception`.
    """
    if isinstance(error, GeneratorExit | KeyboardInterrupt):
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@dataclass(slots=True)
class Upkeep:
    """The tasks of one owner."""

    metrics: Metrics
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def keep(
        self, part: str, work: Callable[[], Awaitable[None]], **facts: str
    ) -> asyncio.Task[None]:
        """Have something done for ever: whatever it raises, it is begun anew, and so it is when it
        returns.
        """
        return self._own(self._repeat(part, work, facts))

    def once(self, part: str, work: Coroutine[Any, Any, Any], **facts: str) -> asyncio.Task[None]:
        """Have something done that has an end; what it raises is said and counted."""
        return self._own(self._guard(part, work, facts))

    def note(self, part: str, error: BaseException, **facts: object) -> None:
        """Say and count what a part raised."""
        self.metrics.swallowed.labels(part).inc()
        log.error("part_failed", part=part, error=repr(error), exc_info=error, **facts)

    async def close(self) -> None:
        """End everything, and wait until it has."""
        await end_tasks(self._tasks)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, part: str, work: Awaitable[Any], facts: dict[str, str]) -> None:
        try:
            await work
        except BaseException as error:
            if is_told_to_end(error):
                raise
            self.note(part, error, **facts)

    async def _repeat(
        self, part: str, work: Callable[[], Awaitable[None]], facts: dict[str, str]
    ) -> None:
        failures = 0
        while True:
            began = self.monotonic()
            try:
                await work()
                raise EndedByItself(part)
            except BaseException as error:
                if is_told_to_end(error):
                    raise
                failures = 1 if self.monotonic() - began > STEADY else failures + 1
                pause = min(_FIRST * 2.0 ** min(failures - 1, _DOUBLINGS), LONGEST)
                self.note(part, error, again_in_seconds=pause, **facts)
            await self.sleep(pause)


async def end_tasks(tasks: set[asyncio.Task[Any]] | list[asyncio.Task[Any]]) -> None:
    """Cancel them, and wait until they have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
