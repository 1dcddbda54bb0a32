"""Carries out orders: notifications to channels, and what operators ask for on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from sentinel.core.model import Order
from sentinel.engine.recorder import Recorder
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
    actions: Mapping[str, Callable[[Order], Awaitable[str]]]
    utcnow: Callable[[], datetime]

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
        for order in orders:
            outcome = await self._carry_out(order)
            if outcome is not None:
                await self._finish(order, outcome)

    async def _finish(self, order: Order, outcome: str) -> None:
        now = self.utcnow()
        try:
            await self.recorder.call(lambda: self.store.finish_order(order.key, outcome, now))
        except StateError as error:
            log.error("order_not_finished", key=order.key, error=error.message)

    async def _carry_out(self, order: Order) -> str | None:
        """What became of an order; None to try again later."""
        try:
            if order.kind == "notify":
                for channel in self.channels:
                    await channel.send(order.key, order.subject, order.payload)
                return "sent"
            action = self.actions.get(order.kind)
            return await action(order) if action else f"unknown order {order.kind}"
        except Exception as error:  # noqa: BLE001 - one bad order must not stop the others
            self.metrics.swallowed.labels("dispatcher").inc()
            log.error("order_raised", key=order.key, error=repr(error))
            return None if order.kind == "notify" else f"failed: {error}"
