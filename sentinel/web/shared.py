"""One result for everybody who asks at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """One result for everybody who asks while it is being made, and for `seconds` after it began."""

    def __init__(
        self, make: Callable[[], Awaitable[T]], seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._make, self._seconds, self._monotonic = make, seconds, monotonic
        self._task: asyncio.Task[T] | None = None
        self._began = float("-inf")

    async def get(self) -> T:
        """The shared result. A waiter that goes away doesn't take it from the others; errors are
        not kept.
        """
        task = self._task
        if task is None or (task.done() and self._is_old(task)):
            self._began = self._monotonic()
            task = self._task = asyncio.create_task(_call(self._make))
            task.add_done_callback(_take_error)
        return await asyncio.shield(task)

    def _is_old(self, task: asyncio.Task[T]) -> bool:
        failed = task.cancelled() or task.exception() is not None
        return failed or self._monotonic() - self._began >= self._seconds


async def _call(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


def _take_error(task: asyncio.Task[Any]) -> None:
    """Whoever waited has been told; when everybody had gone, nobody is missed."""
    if not task.cancelled():
        task.exception()
