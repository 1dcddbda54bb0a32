"""Orders are carried out: operators' orders once; what is announced becomes notices, each an order of
its own, at least once with one key.
"""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from sentinel.core.model import ErrorClass
from sentinel.core.order import Answer, Order
from sentinel.errors import NotDelivered, StateError
from sentinel.notify import ChannelOptions
from sentinel.store import Changes
from tests.unit.engine.notices import Desk, Receiver, make_dispatcher


@pytest.fixture
def receiver():
    """A channel that works."""
    return Receiver()


@pytest.fixture
async def desk(store, recorder, metrics, clock, receiver):
    """A dispatcher with one channel."""
    made = Desk(store, recorder, metrics, clock, rig=receiver)
    await made.open()
    yield made
    await made.close()


def figures(metrics):
    """Outcomes that were counted."""
    found = metrics.notifications.figures()
    return {outcome: count for (_, outcome), count in found.items() if count}


async def test_sent_once(desk, receiver, metrics):
    """One announcement, one notice; it is a row with its outcome, and a figure."""
    incident = await desk.fall("api")
    for _ in range(3):
        await desk.turn()
    assert receiver.told == ["api opened"]
    key = f"{incident.id}/opened/1@rig"
    assert receiver.sent[0].key == key
    assert desk.store.order_outcome(key) == Answer.done("sent")
    assert desk.store.take_orders() == []
    assert figures(metrics) == {"delivered": 1}


async def test_a_channel_that_fails_is_tried_again_with_backoff(desk, receiver, metrics):
    """After 1, 2, 4 … seconds, not before and not later, with the same key."""
    receiver.misses = [NotDelivered("no network")] * 3
    incident = await desk.fall("api")
    await desk.turn()
    for delay in (1.0, 2.0, 4.0):
        left = len(receiver.misses)
        await desk.after(delay - 0.01)
        assert (len(receiver.misses), receiver.sent) == (left, [])
        await desk.after(0.01)
    assert [each.key for each in receiver.sent] == [f"{incident.id}/opened/1@rig"]
    assert figures(metrics) == {"again": 3, "delivered": 1}


async def test_a_receiver_that_asks_for_rest_is_left_alone(desk, receiver):
    """Retry-After is longer than the own delay."""
    receiver.misses = [NotDelivered("answered 429", retry_after=120.0)]
    await desk.fall("api")
    await desk.turn()
    await desk.after(119.0)
    assert receiver.sent == []
    await desk.after(1.0)
    assert receiver.told == ["api opened"]


async def test_back_off_survives_a_restart(desk, store, recorder, metrics, clock, receiver):
    """The next sentinel does not hammer, and forgets nothing."""
    receiver.misses = [NotDelivered("answered 429", retry_after=120.0)]
    await desk.fall("api")
    await desk.turn()
    await desk.close()
    again = Desk(store, recorder, metrics, clock, rig=receiver)
    again.picture = again.notifier.picture = desk.picture
    await again.open()
    await again.turn()
    await again.fall("bus")  # the channel rests, and not only this notice
    await again.after(119.0)
    assert receiver.sent == []
    await again.after(1.0)
    await again.turn()
    assert sorted(receiver.told) == ["api opened", "bus opened"]
    await again.close()


async def test_a_clock_that_is_set_back_keeps_no_channel_silent(desk, receiver, clock):
    """What rested until some minute of a day that is not here yet is tried, and so is the rest."""
    receiver.misses = [NotDelivered("answered 429", retry_after=120.0)]
    await desk.fall("api")
    await desk.turn()
    clock.set_back = 86400.0
    await desk.fall("bus")
    await desk.after(1.0)
    await desk.turn()
    assert sorted(receiver.told) == ["api opened", "bus opened"]


async def test_what_is_refused_is_not_tried_again(desk, receiver, metrics, store):
    """The next one is."""
    refusal = NotDelivered("answered 400", error_class=ErrorClass.PERMANENT)
    receiver.misses = [refusal]
    incident = await desk.fall("api")
    await desk.turn()
    await desk.fall("bus")
    await desk.turn()
    assert receiver.told == ["bus opened"]
    outcome = store.order_outcome(f"{incident.id}/opened/1@rig")
    assert outcome == Answer.failed("refused: answered 400")
    assert figures(metrics) == {"refused": 1, "delivered": 1}


async def test_a_notice_that_a_receiver_chokes_on_holds_up_its_own_affair_only(desk, receiver):
    """Others go first; what belongs to its affair waits behind it."""
    receiver.misses = [NotDelivered("answered 500")]
    incident = await desk.fall("api")
    await desk.turn()
    await desk.fall("bus")
    await desk.recover(incident)
    await desk.turn()
    assert receiver.sent == []
    await desk.after(1.0)
    await desk.turn()
    assert receiver.told == ["bus opened", "api opened", "api recovered"]


async def test_what_may_have_arrived_is_repeated_once_and_behind_a_proof(desk, receiver, store):
    """A receiver that never answers has it twice at most; that nobody knows is said."""
    receiver.misses = [NotDelivered("no answer", arrived=True)] * 5
    incident = await desk.fall("api")
    await desk.turn()
    assert (len(receiver.misses), receiver.proofs) == (4, 0)
    for _ in range(5):
        await desk.after(400.0)
    assert (len(receiver.misses), receiver.proofs) == (3, 1)
    outcome = store.order_outcome(f"{incident.id}/opened/1@rig")
    assert outcome == Answer.failed("unanswered: no answer")


async def test_a_receiver_that_knows_repetitions_gets_them(store, recorder, metrics, clock):
    """The key makes them one: no proof is needed, and nothing is given up."""
    receiver = Receiver(*[NotDelivered("no answer", arrived=True)] * 5, repeatable=True)
    desk = Desk(store, recorder, metrics, clock, rig=receiver)
    await desk.open()
    await desk.fall("api")
    await desk.turn()
    for _ in range(6):
        await desk.after(400.0)
    assert (receiver.told, receiver.proofs) == (["api opened"], 0)
    await desk.close()


async def test_a_slow_channel_delays_no_other_one(store, recorder, metrics, clock, receiver):
    """Each has a task of its own."""
    entered = asyncio.Event()

    class Slow(Receiver):
        async def send(self, *_):
            entered.set()
            await asyncio.Event().wait()

    desk = Desk(store, recorder, metrics, clock, slow=Slow(), rig=receiver)
    await desk.open()
    for name in ("api", "bus"):
        await desk.fall(name)
    await desk.dispatcher.drain()
    await asyncio.wait_for(entered.wait(), 10)
    async with asyncio.timeout(10):
        while len(receiver.sent) < 2:
            await asyncio.sleep(0.01)
    assert receiver.told == ["api opened", "bus opened"]
    await desk.close()


async def test_a_channel_that_raises_anything_is_one_that_failed(desk, receiver, metrics):
    """It is counted as an error of our own, and tried again behind a proof."""
    receiver.misses = [ValueError("a mistake")]
    await desk.fall("api")
    await desk.turn()
    await desk.after(1.0)
    assert (receiver.told, receiver.proofs) == (["api opened"], 1)
    assert metrics.swallowed.labels("courier").value == 1


async def test_notices_of_a_channel_that_is_gone_are_answered(desk, store, clock):
    """They wait for nobody, and the log has what they would have told."""
    await desk.fall("api")
    desk.receivers.clear()
    await desk.open()
    with capture_logs() as lines:
        await desk.turn()
    assert store.take_orders() == []
    [title] = [line["title"] for line in lines if line["event"] == "notice_given_up"]
    assert "api is down" in title


async def test_an_order_that_can_not_be_read_is_answered(desk, store, clock):
    """An order to deliver of another version, or none."""
    store.add_order(Order("deliver", "k", "rig", {"notice": {"key": 1}}), clock.utcnow())
    store.add_order(Order("deliver", "l", "rig", {}), clock.utcnow())
    await desk.turn()
    assert store.order_outcome("k") == Answer.failed("the order can't be read")
    assert store.order_outcome("l") == Answer.failed("the order can't be read")


async def test_what_is_done_is_not_done_again_because_the_disk_is_full(
    desk, receiver, store, monkeypatch
):
    """The note waits, the message is not repeated every half second."""
    await desk.fall("api")
    plain = store.commit

    def full(_changes):
        raise StateError("disk full")

    receiver.during = lambda: monkeypatch.setattr(store, "commit", full)
    for _ in range(5):
        await desk.turn()
    assert receiver.told == ["api opened"]
    monkeypatch.setattr(store, "commit", plain)
    await desk.recorder.record(Changes(meta={"beat": "as every two seconds"}))
    for _ in range(3):
        await desk.turn()
    assert receiver.told == ["api opened"]
    assert store.take_orders() == []


async def test_orders_that_can_not_be_read_are_read_later(desk, receiver, store, monkeypatch):
    """A failing disk does not end the dispatcher, and has nothing told twice."""
    await desk.fall("api")

    def failing():
        raise StateError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(store, "take_orders", failing)
        await desk.turn()
    for _ in range(3):
        await desk.turn()
    assert receiver.told == ["api opened"]


async def test_operators_orders_are_carried_out_once(store, recorder, metrics, clock):
    """Also when they fail: the outcome says so; nobody repeats them."""
    calls = []

    async def reset(order):
        calls.append(order.subject)
        if order.subject == "bad":
            raise ValueError("no")
        if order.subject == "cut":
            raise asyncio.CancelledError("from within")
        return Answer.done("reset")

    dispatcher = make_dispatcher(store, recorder, metrics, clock, {"reset": reset})
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


async def test_an_operators_order_is_not_done_again_because_the_disk_is_full(
    store, recorder, metrics, clock, monkeypatch
):
    """Its note waits."""
    calls = []

    async def reset(order):
        calls.append(order.key)
        return Answer.done("reset")

    def full(*_args):
        raise StateError("disk full")

    dispatcher = make_dispatcher(store, recorder, metrics, clock, {"reset": reset})
    store.add_order(Order("reset", "k", "api"), clock.utcnow())
    with monkeypatch.context() as patch:
        patch.setattr(store, "finish_order", full)
        for _ in range(3):
            await dispatcher.drain()
    await dispatcher.drain()
    assert (calls, store.order_outcome("k")) == (["k"], Answer.done("reset"))


async def test_a_dead_mans_switch_hears_only_of_a_sentinel_that_works(
    store, recorder, metrics, clock
):
    """A state that can't be written, or checks that stand still: silence is the message."""
    calls = []

    async def beat(*_):
        calls.append(1)

    class Every(ChannelOptions):
        every: float = 0.01

    desk = Desk(store, recorder, metrics, clock, rig=Receiver(beat=beat))
    desk.receivers["rig"].options = Every()
    await desk.open()
    courier = desk.dispatcher.couriers["rig"]
    async with asyncio.timeout(10):
        while len(calls) < 2:
            await asyncio.sleep(0.01)
        courier.is_well = lambda: False
        await asyncio.sleep(0.02)  # what was under way
        calls.clear()
        await courier._beat()
        assert calls == []
        courier.is_well = lambda: True
        while not calls:
            await asyncio.sleep(0.01)
    await desk.close()
