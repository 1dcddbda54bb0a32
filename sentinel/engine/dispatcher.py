"""Carries out orders: what is announced becomes notices, notices go to couriers, and what operators
ask for is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from sentinel.core.notice import Notice
from sentinel.core.notice.retry import read_tries, write_tries
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.courier import Courier, Parcel
from sentinel.engine.notifier import Notifier
from sentinel.engine.recorder import Recorder
from sentinel.engine.upkeep import Upkeep, end_tasks, is_told_to_end
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store
from sentinel.store.document import read, write
from sentinel.store.notices import CHANNELS_KEY

log = structlog.get_logger()

POLL = 0.5


@dataclass(slots=True)
class Dispatcher:
    """At least once for notices (the key tells a repetition), once for operators' orders."""

    store: Store
    recorder: Recorder
    metrics: Metrics
    notifier: Notifier
    upkeep: Upkeep
    actions: Mapping[str, Callable[[Order], Awaitable[Answer | None]]]
    utcnow: Callable[[], datetime]
    couriers: dict[str, Courier] = field(default_factory=dict)
    _tasks: dict[str, list[asyncio.Task[None]]] = field(default_factory=dict)
    _done: dict[str, Answer] = field(default_factory=dict)
    """Carried out, but the disk did not take the note: not to be done again."""

    async def run(self) -> None:
        """Poll for orders, for ever."""
        while True:
            await self.drain()
            await asyncio.sleep(POLL)

    async def drain(self) -> None:
        """Carry out everything that waits now. What is announced is on its way afterwards."""
        orders = await self._take()
        if orders is None:
            return
        announced = [order for order in orders if order.kind == OrderKind.NOTIFY]
        if await self._announce(announced):
            orders = await self._take()  # only what is written down goes out
            if orders is None:
                return
        keys = {order.key for order in orders}
        self.notifier.forget(keys)
        for courier in self.couriers.values():
            courier.forget(keys)
        for order in orders:
            if order.kind == OrderKind.DELIVER:
                await self._hand_over(order)
            elif order.key in self._done:
                await self._finish(order, self._done[order.key])
            elif order.kind != OrderKind.NOTIFY:
                answer = await self._carry_out(order)
                if answer is not None:
                    await self._finish(order, answer)

    async def _announce(self, announced: Sequence[Order]) -> bool:
        """Whether there is something to deliver. What is wrong with notices holds up no order of an
        operator.
        """
        try:
            return await self.notifier.turn(announced)
        except BaseException as error:
            if is_told_to_end(error):
                raise
            self.upkeep.note("notifier", error)
            return False

    async def _take(self) -> list[Order] | None:
        """None when the disk fails: then nothing is known of what waits."""
        try:
            written = await self.recorder.call(self.store.take_orders)
        except StateError as error:
            log.error("orders_not_readable", error=error.message)
            return None
        return written + self._find_unwritten({order.key for order in written})

    def _find_unwritten(self, written: set[str]) -> list[Order]:
        """What people are to be told waits for no disk; that it was told is written after it."""
        if self.recorder.writable:
            return []
        waiting = (order for changes in self.recorder.waiting() for order in changes.orders)
        told = {OrderKind.NOTIFY, OrderKind.DELIVER}
        return [each for each in waiting if each.kind in told and each.key not in written]

    # -- notices ----------------------------------------------------------------------------------

    async def follow(self, couriers: Sequence[Courier]) -> None:
        """Take the channels of a configuration, in place of those that were. What waits stands in
        the store, and is handed to whoever has its channel now.
        """
        wanted = {each.name: each for each in couriers}
        for name, courier in list(self.couriers.items()):
            if wanted.get(name) is not courier:
                await self._release(courier)
            if name not in wanted:
                self.metrics.remove_channel(name)
        for each in couriers:
            if each.name not in self._tasks:
                works = [each.run, each.keep_up] if each.repeats else [each.run]
                keep = self.upkeep.keep
                self._tasks[each.name] = [keep("courier", w, channel=each.name) for w in works]
        self.couriers = wanted
        await self.recorder.record(Changes(meta={CHANNELS_KEY: self._describe_channels()}))

    async def close(self) -> None:
        """End every courier; a delivery under way may end."""
        couriers, self.couriers = self.couriers, {}
        await asyncio.gather(*map(self._release, couriers.values()))

    async def _release(self, courier: Courier) -> None:
        await courier.close()
        await end_tasks(self._tasks.pop(courier.name, []))

    async def _hand_over(self, order: Order) -> None:
        try:
            notice = read(Notice, write(order.payload["notice"]))
            parcel = Parcel(
                order.key, notice, notice.at, read_tries(order.payload.get("tries", {}))
            )
        except (StateError, KeyError, TypeError, ValueError) as error:
            log.error("notice_not_readable", key=order.key, error=repr(error))
            await self._finish(order, Answer.failed("the order can't be read"))
            return
        courier = self.couriers.get(order.subject)
        if courier is not None:
            courier.put(parcel)
            return
        # A reload took its channel away: told here, it is not gone.
        why, title = f"there is no channel {order.subject}", notice.title
        log.error("notice_given_up", channel=order.subject, key=order.key, why=why, title=title)
        await self._finish(order, Answer.failed(why))

    async def note(self, parcel: Parcel, answer: Answer | None) -> None:
        """Write down what became of a parcel, and how its channel is."""
        changes = Changes(meta={CHANNELS_KEY: self._describe_channels()})
        if answer is not None:
            changes.answers[parcel.key] = answer
        else:
            payload = {"notice": parcel.notice, "tries": write_tries(parcel.tries)}
            changes.payloads[parcel.key] = payload
        await self.recorder.record(changes)

    def _describe_channels(self) -> str:
        return write([each.view for each in self.couriers.values()])

    # -- what operators ask for -------------------------------------------------------------------

    async def _finish(self, order: Order, answer: Answer) -> None:
        now = self.utcnow()
        try:
            await self.recorder.call(lambda: self.store.finish_order(order.key, answer, now))
            self._done.pop(order.key, None)
        except (StateError, ValueError) as error:
            if order.key not in self._done:
                log.error("order_not_finished", key=order.key, error=str(error))
            self._done[order.key] = answer

    async def _carry_out(self, order: Order) -> Answer | None:
        """What became of an order; None to ask again later."""
        try:
            action = self.actions.get(order.kind)
            if action is None:
                return Answer.unknown(f"unknown order {order.kind}")
            return await action(order)
        except BaseException as error:  # one bad order must not stop the others
            if is_told_to_end(error):
                raise
            self.metrics.swallowed.labels("dispatcher").inc()
            log.error("order_raised", key=order.key, error=repr(error))
            return Answer.failed(str(error) or repr(error))
