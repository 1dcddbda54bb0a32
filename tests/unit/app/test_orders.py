"""Orders: what is meant now is not carried out days later; loops of the daemon outlive an error."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sentinel.app.daemon import Daemon
from sentinel.app.orders import MEANT, make_orders
from sentinel.core.moment import Moment, write_moment
from sentinel.core.order import Answer, AnswerWord, Order
from sentinel.engine.aside import Aside
from sentinel.metrics import Metrics

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Hands:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def restart(self, name: str, _reason: str, *, by: str) -> str:
        """As of requests."""
        self.done.append(f"restart {name} {by}")
        return Answer.done("restarted")

    async def move(self, _key: str, action: str, name: str, _reason: str) -> str:
        """As of the conductor."""
        self.done.append(f"{action} {name}")
        return Answer.done("moved")


async def outcome(hands: Hands, order: Order, now: datetime) -> Answer:
    """Until the order has an outcome."""
    unused = SimpleNamespace(plan=None, apply=None)
    orders = make_orders(hands, hands, unused, Aside(), None, None, None, lambda: Moment(now))
    while True:
        answer = await orders[order.kind](order)
        if answer is not None:
            return answer
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["restart", "move"])
@pytest.mark.parametrize(("late", "word"), [(-1.0, AnswerWord.DONE), (1.0, AnswerWord.REFUSED)])
async def test_an_order_that_was_meant_then(kind, late, word):
    """A restart that no daemon took in time is refused, and says so; in time it is done."""
    given = write_moment(Moment(NOW - timedelta(seconds=MEANT + late)))
    hands = Hands()
    order = Order(kind, "k", "worker", {"given": given, "action": "stop"})
    answer = await outcome(hands, order, NOW)
    assert answer.word is word
    assert (hands.done == []) is (late > 0)


async def test_an_error_does_not_end_a_loop(monkeypatch):
    """What keeps sentinel alive goes on after a failure, and the failure is counted."""
    seen: list[int] = []
    metrics = Metrics()

    async def work() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise RuntimeError("once")

    loop = asyncio.create_task(Daemon._keep_doing(SimpleNamespace(metrics=metrics), 0.001, work))
    while len(seen) < 5:
        await asyncio.sleep(0.001)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert b'sentinel_unclassified_errors_total{place="daemon"} 1.0' in metrics.render()
