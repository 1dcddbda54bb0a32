"""Orders are carried out: notifications at least once with one key, operators' orders once."""

from __future__ import annotations

import asyncio

import pytest

from sentinel.core.order import Answer, Order
from sentinel.engine.dispatcher import Dispatcher
from sentinel.errors import StateError


class Channel:
    """Remembers what was sent; fails as often as it is told."""

    def __init__(self, failures=0):
        self.sent = []
        self.failures = failures

    async def send(self, key, subject, payload):
        if self.failures:
            self.failures -= 1
            raise OSError("no network")
        self.sent.append((key, subject, dict(payload)))


@pytest.fixture
def channel():
    """A channel that works."""
    return Channel()


@pytest.fixture
def dispatcher(store, recorder, metrics, channel, clock):
    """A dispatcher on the test's clock."""
    return Dispatcher(store, recorder, metrics, [channel], {}, clock.utcnow, clock.monotonic)


def notify(key="i-1/opened"):
    """An order to tell people."""
    return Order("notify", key, "api", {"event": "opened"})


async def test_sent_once(dispatcher, store, channel, clock):
    """One order, one message; the same key again is no order."""
    store.add_order(notify(), clock.utcnow())
    for _ in range(3):
        await dispatcher.drain()
        store.add_order(notify(), clock.utcnow())
    assert channel.sent == [("i-1/opened", "api", {"event": "opened"})]
    assert store.order_outcome("i-1/opened") == Answer.done("sent")


async def test_a_channel_that_fails_is_tried_again_with_backoff(
    dispatcher, store, channel, clock, metrics
):
    """After 1, 2, 4 … seconds, not before, with the same key; every failure is counted."""
    channel.failures = 3
    store.add_order(notify(), clock.utcnow())
    await dispatcher.drain()
    for delay in (1.0, 2.0, 4.0):
        failures = channel.failures
        clock.now += delay - 0.01
        await dispatcher.drain()
        assert (channel.failures, channel.sent) == (failures, [])
        clock.now += 0.02
        await dispatcher.drain()
    assert [key for key, *_ in channel.sent] == ["i-1/opened"]
    assert metrics.swallowed.labels("dispatcher").value == 3


async def test_a_delay_ends_at_its_instant(dispatcher, store, channel, clock):
    """A second after the first failure, and not an instant later."""
    channel.failures = 1
    store.add_order(notify(), clock.utcnow())
    await dispatcher.drain()
    clock.now += 1.0
    await dispatcher.drain()
    assert len(channel.sent) == 1


async def test_one_bad_order_does_not_stop_the_others(dispatcher, store, channel, clock):
    """What comes behind a failing notification is carried out all the same."""
    channel.failures = 1
    for key in ("a", "b"):
        store.add_order(notify(key), clock.utcnow())
        clock.now += 1
    await dispatcher.drain()
    assert [key for key, *_ in channel.sent] == ["b"]


async def test_operators_orders_are_carried_out_once(dispatcher, store, clock):
    """Also when they fail: the outcome says so; nobody repeats them."""
    calls = []

    async def reset(order):
        calls.append(order.subject)
        if order.subject == "bad":
            raise ValueError("no")
        if order.subject == "cut":
            raise asyncio.CancelledError("from within")
        return Answer.done("reset")

    dispatcher.actions = {"reset": reset}
    for name in ("api", "cut", "bad"):
        store.add_order(Order("reset", f"reset/{name}", name), clock.utcnow())
    store.add_order(Order("dance", "dance/1", "api"), clock.utcnow())
    for _ in range(3):
        await dispatcher.drain()
    assert calls == ["api", "cut", "bad"]
    assert store.order_outcome("reset/cut") == Answer.failed("from within")
    outcomes = [store.order_outcome(key) for key in ("reset/api", "reset/bad", "dance/1")]
    assert outcomes == [
        Answer.done("reset"),
        Answer.failed("no"),
        Answer.unknown("unknown order dance"),
    ]


async def test_what_is_done_is_not_done_again_because_the_disk_is_full(
    dispatcher, store, channel, clock, monkeypatch
):
    """The note waits, the message is not repeated every half second."""
    store.add_order(notify(), clock.utcnow())
    plain = store.finish_order

    def full(*_args):
        raise StateError("disk full")

    monkeypatch.setattr(store, "finish_order", full)
    for _ in range(5):
        await dispatcher.drain()
    assert len(channel.sent) == 1
    monkeypatch.setattr(store, "finish_order", plain)
    await dispatcher.drain()
    assert len(channel.sent) == 1
    assert store.order_outcome("i-1/opened") == Answer.done("sent")


async def test_orders_that_can_not_be_read_are_read_later(
    dispatcher, store, channel, clock, monkeypatch
):
    """A failing disk does not end the dispatcher."""
    store.add_order(notify(), clock.utcnow())

    def failing():
        raise StateError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(store, "take_orders", failing)
        await dispatcher.drain()
    await dispatcher.drain()
    assert len(channel.sent) == 1
