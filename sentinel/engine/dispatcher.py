"""Carries out orders: notifications to channels, and what operators ask for on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.recorder import Recorder
from sentinel.engine.upkeep import is_told_to_end
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.notify import Channel
from sentinel.store import Store

log = structlog.get_logger()

POLL = 0.5


@dataclass(slots=True)
class Dispatcher:
    """At least once for notifications (the key tells a repetition), once for operators' orders."""

    store: Store
    recorder: Recorder
    metrics: Metrics
    channels: Sequence[Channel]
    actions: Mapping[str, Callable[[Order], Awaitable[Answer | None]]]
    utcnow: Callable[[], datetime]
    monotonic: Callable[[], float]
    _retries: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Failures so far, and when it is tried again."""
    _done: dict[str, Answer] = field(default_factory=dict)
    """Carried out, but the disk did not take the note: not to be done again."""

    async def run(self) -> None:
        """Poll for orders, for ever."""
        while True:
            await self.drain()
            await asyncio.sleep(POLL)

    async def drain(self) -> None:
        """Carry out everything that waits now."""
        try:
            orders = await self.recorder.call(self.store.take_orders)
        except StateError as error:
            log.error("orders_not_readable", error=error.message)
            return
        await self._tell_unwritten()
        for order in orders:
            if order.key in self._done:
                await self._finish(order, self._done[order.key])
            elif self._is_due(order):
                answer = await self._carry_out(order)
                if answer is not None:
                    await self._finish(order, answer)

    async def _tell_unwritten(self) -> None:
        """What people are to be told does not wait for a disk; when it is written it is noted as
        sent.
        """
        waiting = [order for changes in self.recorder.waiting() for order in changes.orders]
        for order in waiting:
            if order.kind != OrderKind.NOTIFY or order.key in self._done:
                continue
            if not self.recorder.writable and self._is_due(order):
                answer = await self._carry_out(order)
                if answer is not None:
                    self._done[order.key] = answer

    def _is_due(self, order: Order) -> bool:
        return order.key not in self._retries or self.monotonic() >= self._retries[order.key][1]

    def _put_off(self, order: Order) -> None:
        """A channel that fails is tried again after 1, 2, 4 … seconds, at most 5 minutes apart."""
        failures = self._retries.get(order.key, (0, 0.0))[0] + 1
        delay = min(2.0 ** (failures - 1), 300.0)
        self._retries[order.key] = (failures, self.monotonic() + delay)

    async def _finish(self, order: Order, answer: Answer) -> None:
        now = self.utcnow()
        self._retries.pop(order.key, None)
        try:
            await self.recorder.call(lambda: self.store.finish_order(order.key, answer, now))
            self._done.pop(order.key, None)
        except (StateError, ValueError) as error:
            if order.key not in self._done:
                log.error("order_not_finished", key=order.key, error=str(error))
            self._done[order.key] = answer

    async def _carry_out(self, order: Order) -> Answer | None:
        """What became of an order; None to try again later."""
        try:
            if order.kind == OrderKind.NOTIFY:
                for channel in self.channels:
                    await channel.send(order.key, order.subject, order.payload)
                return Answer.done("sent")
            action = self.actions.get(order.kind)
            if action is None:
                return Answer.unknown(f"unknown order {order.kind}")
            return await action(order)
        except BaseException as error:  # one bad order must not stop the others
            if is_told_to_end(error):
                raise
            self.metrics.swallowed.labels("dispatcher").inc()
            log.error("order_raised", key=order.key, error=repr(error))
            if order.kind != OrderKind.NOTIFY:
                return Answer.failed(str(error) or repr(error))
            self._put_off(order)
            return None
