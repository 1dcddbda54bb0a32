"""Orders that take long, done beside the others: a restart must not hold up a notification."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sentinel.core.order import Answer, Order

KEPT = 200


@dataclass(slots=True)
class Aside:
    """Each order runs once as a task of its own; asked again, it tells the outcome when there is
    one.
    """

    _tasks: dict[str, asyncio.Task[Answer]] = field(default_factory=dict)

    def wrap(
        self, action: Callable[[Order], Awaitable[Answer]]
    ) -> Callable[[Order], Awaitable[Answer | None]]:
        """The same action, None while it lasts."""

        async def look(order: Order) -> Answer | None:
            if order.key not in self._tasks:
                self._tasks[order.key] = asyncio.ensure_future(_await(action, order))
                await asyncio.sleep(0)
                self._forget_oldest()
            task = self._tasks[order.key]
            return task.result() if task.done() else None

        return look

    def _forget_oldest(self) -> None:
        """Outcomes are kept for a while: the note of one may be late, and its order must not be
        done again.
        """
        done = [key for key, task in self._tasks.items() if task.done()]
        for key in done[: max(len(self._tasks) - KEPT, 0)]:
            del self._tasks[key]

    async def close(self) -> None:
        """End what still runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def _await(action: Callable[[Order], Awaitable[Answer]], order: Order) -> Answer:
    return await action(order)
