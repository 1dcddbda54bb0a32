"""What is told of what stands: over restarts, silences, maintenance, acknowledgements and reloads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.notice.maintenance import MaintenanceWindow
from sentinel.core.notice.route import EscalationStep, NoticeRoute
from sentinel.core.notice.silence import Silence
from sentinel.core.notice.storm import StormLimit
from sentinel.core.notice.text import Letterhead
from sentinel.core.order import Answer, AnswerWord, Order
from sentinel.errors import NotDelivered
from sentinel.store import Changes
from sentinel.store.notices import (
    present_maintenance,
    read_channels,
    read_maintenance,
    read_silences,
)
from tests.unit.engine.house import House, open_house
from tests.unit.engine.notices import Desk, Receiver


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


async def restart(desk: Desk) -> None:
    """Another sentinel on the same state."""
    await desk.close()
    desk.notifier.state = type(desk.notifier.state)()
    desk.notifier.silences = desk.notifier.ordered = desk.notifier.maintenance = ()
    desk.notifier._answered.clear()
    await desk.open()


async def test_nothing_is_told_twice_after_a_restart(desk, receiver):
    """Nor is anything forgotten: who was told hears of the recovery."""
    incident = await desk.fall("bus")
    await desk.turn()
    await restart(desk)
    for _ in range(3):
        await desk.after(60.0)
    assert receiver.told == ["bus opened"]
    await desk.recover(incident)
    await restart(desk)
    await desk.turn()
    await restart(desk)
    await desk.turn()
    assert receiver.told == ["bus opened", "bus recovered"]


async def test_a_book_that_can_not_be_read_begins_anew(desk, receiver, store, recorder):
    """People are rather told again than not at all; what is over is not told."""
    await desk.fall("bus")
    await desk.recover(await desk.fall("api"))
    await desk.turn()
    await recorder.record(Changes(meta={"notices": "{"}))
    receiver.sent.clear()
    await restart(desk)
    await desk.turn()
    await desk.turn()
    assert receiver.told == ["bus opened"]


async def test_a_silence_holds_over_ten_flaps_and_a_restart(desk, receiver, clock, store):
    """Each an incident of its own; when it is over, what stands is told."""
    now = clock.utcnow()
    silence = Silence("s-1", {"component": ("bus",)}, now, now + timedelta(hours=5), "known", "me")
    assert (await desk.notifier.silence(silence)).is_done
    assert read_silences(store) == (silence,)
    for n in range(10):
        incident = await desk.fall("bus")
        await desk.after(30.0)
        if n == 5:
            await restart(desk)
        await desk.recover(incident)
        await desk.after(30.0)
        await desk.end(incident)
        await desk.after(30.0)
    assert receiver.told == []
    await desk.fall("bus")
    await desk.fall("api")
    await desk.after(5.0)
    assert receiver.told == ["api opened"]
    assert (await desk.notifier.end_silence("s-1")).is_done
    await desk.turn()
    assert receiver.told == ["api opened", "bus opened"]
    assert read_silences(store) == ()
    unknown = await desk.notifier.end_silence("s-1")
    assert unknown.word is AnswerWord.UNKNOWN


async def test_a_silence_ends_by_itself(desk, receiver, clock, store):
    """At its instant."""
    now = clock.utcnow()
    await desk.notifier.silence(
        Silence("s", {"component": ("*",)}, now, now + timedelta(seconds=60), "known", "me")
    )
    await desk.fall("bus")
    await desk.after(59.0)
    assert receiver.told == []
    await desk.after(1.0)
    assert receiver.told == ["bus opened"]
    assert read_silences(store) == ()


async def test_maintenance_by_command(desk, receiver, clock, store, metrics):
    """A status, a figure and a time that is kept; the first check after it decides."""
    now = clock.utcnow()
    window = MaintenanceWindow(
        "m-1", ("bus",), "upgrade", begins=now, ends=now + timedelta(seconds=600), by="me"
    )
    assert (await desk.notifier.order_window(window)).is_done
    refused = await desk.notifier.order_window(window)
    assert refused.word is AnswerWord.REFUSED
    incident = await desk.fall("bus")
    await desk.after(300.0)
    assert [each.window for each in present_maintenance(store, clock.utcnow())] == ["m-1"]
    assert metrics.maintenance.figures() == {("m-1",): 1}
    await restart(desk)
    await desk.after(200.0)
    assert receiver.told == []
    assert (await desk.notifier.end_window("m-1")).is_done
    await desk.after(10.0)
    assert receiver.told == []  # nobody has looked since
    await desk.change(replace(incident, last_unhealthy=clock.utcnow()))
    await desk.turn()
    assert receiver.told == ["bus opened"]
    assert metrics.maintenance.figures() == {}
    (kept,) = read_maintenance(store)
    assert (kept.began, kept.ended) == (now, now + timedelta(seconds=500))
    unknown = await desk.notifier.end_window("m-1")
    assert unknown.word is AnswerWord.UNKNOWN


async def test_an_outage_that_runs_into_maintenance_recovers(desk, receiver, clock):
    """Who was told is told."""
    incident = await desk.fall("bus")
    await desk.turn()
    now = clock.utcnow()
    await desk.notifier.order_window(
        MaintenanceWindow("m", ("*",), "x", begins=now, ends=now + timedelta(seconds=600))
    )
    await desk.recover(incident)
    await desk.after(10.0)
    assert receiver.told == ["bus opened", "bus recovered"]


async def test_a_window_of_the_configuration_is_ended_there(desk, clock):
    """Not by a command, which the next reload would take back."""
    now = clock.utcnow()
    window = MaintenanceWindow("w", ("*",), "x", begins=now, ends=now + timedelta(hours=1))
    desk.rule(windows=(window,))
    await desk.turn()
    answer = await desk.notifier.end_window("w")
    assert answer.word is AnswerWord.REFUSED


async def test_a_storm_is_a_few_notices_and_a_digest(desk, receiver):
    """Nobody gets a hundred messages at once; nothing is left out."""
    desk.rule(limits={"rig": StormLimit(5, 300.0)})
    for n in range(100):
        await desk.fall(f"part-{n}", Status.DEGRADED)
    await desk.turn()
    assert len(receiver.sent) == 5
    await restart(desk)
    await desk.after(30.0)
    assert [str(each.told) for each in receiver.sent[5:]] == ["digest"]
    assert receiver.sent[5].title == "[platform] 95 more notices at once"


async def test_a_flood_of_announcements_is_worked_off_in_turns(desk, receiver, clock):
    """The loop of events has other work, too; nothing is left out."""
    await desk.turn()
    for n in range(250):
        await desk.fall(f"part-{n}")
    sizes = []
    for _ in range(4):
        await desk.dispatcher.drain()
        sizes.append(len(desk.notifier.state.book.entries))
    assert sizes == [100, 200, 250, 250]
    assert not desk.notifier._is_time(clock.utcnow())
    clock.now += 0.25
    assert desk.notifier._is_time(clock.utcnow())
    await desk.turn()
    assert len(receiver.sent) == 250


async def test_acknowledged_nothing_is_escalated(tmp_path, store, clock, metrics):
    """By the word of a person, in the timeline and to those who were told."""
    house, team, lead = House(tmp_path, store, clock, metrics), Receiver(), Receiver()
    async with open_house(house):
        desk = Desk(store, house.recorder, metrics, clock, team=team, lead=lead)
        desk.picture = desk.notifier.picture = house.picture
        route = NoticeRoute(("team",), escalate=(EscalationStep(600, ("lead",)),))
        desk.rule(routes=(route,), head=Letterhead("trial", "http://page/"))
        await desk.open()
        await house.see("bus-server", Status.DOWN)
        clock.now += 20
        await house.see("bus-server", Status.DOWN)
        await desk.turn()
        assert team.told == ["bus opened"]
        incident = house.picture.incidents["bus"]
        assert team.sent[0].link == f"http://page/incident/{incident.id}"
        incidents = house.engine.incidents
        answer = await incidents.acknowledge(incident.id, "ann", "I look at it")
        assert answer == Answer.done("bus: acknowledged by ann: I look at it")
        again = await incidents.acknowledge(incident.id, "bob", "")
        assert again == Answer.done("was acknowledged by ann")
        assert not (await incidents.acknowledge("no such", "bob", "")).is_done
        await desk.turn()
        for _ in range(5):
            clock.now += 600
            await house.see("bus-server", Status.DOWN)
            await desk.turn()
        assert (team.told, lead.told) == (["bus opened", "bus acknowledged"], [])
        kinds = [entry.kind for entry in store.timeline(incident.id)]
        assert "acknowledged" in kinds
        assert store.incident(incident.id).acknowledged_by == "ann"
        await desk.close()


@pytest.mark.parametrize("event", ["acknowledged", "recovered"])
async def test_an_escalation_that_is_wrong_by_now_is_not_sent(
    store, recorder, metrics, clock, event
):
    """It waited on a dead channel; that somebody sees to it, or that it is over, is told instead."""
    team, lead = Receiver(), Receiver(*[NotDelivered("no network")] * 3)
    desk = Desk(store, recorder, metrics, clock, team=team, lead=lead)
    route = NoticeRoute(("team",), remind=660, escalate=(EscalationStep(600, ("lead",)),))
    desk.rule(routes=(route,))
    await desk.open()
    incident = await desk.fall("bus")
    await desk.turn()
    await desk.after(600)
    assert (lead.sent, len(lead.misses)) == ([], 2)  # escalated, and tried in vain
    key = next(order.key for order in store.take_orders() if order.kind == "deliver")
    assert "/escalated/" in key
    await (desk.recover(incident) if event == "recovered" else desk.change(incident, event))
    await desk.after(1)
    assert store.order_outcome(key) == Answer.refused(
        "overtaken: it is over, or somebody sees to it"
    )
    assert metrics.notifications.figures()["lead", "overtaken"] == 1.0
    await desk.after(60)
    await desk.after(60)
    assert (lead.told, team.told) == ([f"bus {event}"], ["bus opened", f"bus {event}"])
    assert desk.dispatcher.couriers["lead"].view.waiting == 0
    await desk.close()


async def test_an_escalation_that_still_holds_is_sent_late(store, recorder, metrics, clock):
    """Nobody has seen to it meanwhile."""
    team, lead = Receiver(), Receiver(NotDelivered("no network"))
    desk = Desk(store, recorder, metrics, clock, team=team, lead=lead)
    desk.rule(routes=(NoticeRoute(("team",), escalate=(EscalationStep(600, ("lead",)),)),))
    await desk.open()
    await desk.fall("bus")
    await desk.turn()
    await desk.after(600)
    await desk.after(1)
    assert lead.told == ["bus escalated"]
    await desk.close()


async def test_an_operators_reset_is_told_as_an_end(tmp_path, store, clock, metrics):
    """It is no recovery, and announced by nobody."""
    house, team = House(tmp_path, store, clock, metrics), Receiver()
    async with open_house(house):
        desk = Desk(store, house.recorder, metrics, clock, team=team)
        desk.picture = desk.notifier.picture = house.picture
        await desk.open()
        await house.see("bus-server", Status.DOWN)
        clock.now += 20
        await house.see("bus-server", Status.DOWN)
        await desk.turn()
        await house.engine.incidents.close("bus", Event("reset", "reset by an operator"))
        await desk.turn()
        assert team.told == ["bus opened", "bus closed"]
        await desk.close()


async def test_a_brake_and_the_breaker_begin_and_end(desk, receiver, store, clock):
    """They concern sentinel's own acting."""
    for kind, subject in (("braked", "workers"), ("breaker_opened", "automation")):
        payload = {"event": kind, "text": f"{kind}: five are down", "members": ["a", "b"]}
        store.add_order(Order("notify", f"{kind}/{subject}/1", subject, payload), clock.utcnow())
    await desk.turn()
    for kind, subject in (("brake_released", "workers"), ("breaker_closed", "automation")):
        payload = {"event": kind, "text": "fewer are down", "members": []}
        store.add_order(Order("notify", f"{kind}/{subject}/1", subject, payload), clock.utcnow())
    await desk.turn()
    assert receiver.told == [
        "workers opened", "automation opened", "workers closed", "automation closed",
    ]  # fmt: skip
    assert desk.notifier.state.book.entries == {}


async def test_how_a_channel_delivers_is_kept_for_people(desk, receiver, store):
    """Name, kind, what waits, what came of the latest try."""
    receiver.misses = [NotDelivered("no network", "look at the cable")]
    await desk.fall("bus")
    await desk.turn()
    (view,) = read_channels(store)
    assert (view["name"], view["waiting"], view["outcome"]) == ("rig", 1, "again")
    assert view["error"] == "no network; look at the cable"
    await desk.after(1.0)
    (view,) = read_channels(store)
    assert (view["waiting"], view["outcome"], view["error"]) == (0, "delivered", "")


async def test_a_new_configuration_takes_channels_in_and_out(desk, receiver, metrics, store):
    """Those that stay go on; the figures of those that are gone, too, are gone."""
    other = Receiver()
    desk.receivers["other"] = other
    desk.rule(everybody=("rig", "other"))
    await desk.open()
    kept = desk.dispatcher.couriers["rig"]
    await desk.dispatcher.follow([kept])
    assert desk.dispatcher.couriers == {"rig": kept}
    await desk.fall("bus")
    await desk.turn()
    assert (receiver.told, other.told) == (["bus opened"], [])
    names = {name for name, _ in metrics.notifications.figures()}
    assert names == {"rig"}
    assert store.take_orders() == []


async def test_an_announcement_that_is_none_stops_nobody(desk, receiver, store, clock, metrics):
    """It is answered, counted and left."""
    store.add_order(Order("notify", "k", "bus", {"event": "braked", "members": 7}), clock.utcnow())
    await desk.fall("bus")
    await desk.turn()
    assert receiver.told == ["bus opened"]
    assert store.order_outcome("k").word is AnswerWord.FAILED
    assert metrics.swallowed.labels("notifier").value == 1


async def test_what_is_wrong_with_notices_holds_up_no_order(desk, store, clock, monkeypatch):
    """An operator's order is carried out all the same."""

    async def fail(_announced):
        raise ValueError("a mistake")

    async def halt(_order):
        return Answer.done("reset")

    monkeypatch.setattr(type(desk.notifier), "turn", lambda _self, orders: fail(orders))
    desk.dispatcher.actions = {"reset": halt}
    store.add_order(Order("reset", "r", "bus"), clock.utcnow())
    await desk.turn()
    assert store.order_outcome("r") == Answer.done("reset")


async def test_a_notice_counts_who_is_bad_because_of_it(desk, receiver):
    """And who needs it; what has recovered is not counted."""
    for name, needs in (("bus", ()), ("api", ("bus",)), ("web", ("api",)), ("db", ())):
        desk.add(name, *needs)
    for name in ("api", "web"):
        await desk.change(replace(await desk.fall(name, blocked_by="bus"), announced=False))
    await desk.turn()
    receiver.sent.clear()
    await desk.fall("bus")
    await desk.turn()
    (notice,) = receiver.sent
    assert notice.dependants == 2
    assert "needed by 2 components, 2 of them bad by now" in notice.text
    assert "needed by" not in (await fall_alone(desk, receiver)).text


async def fall_alone(desk, receiver):
    """What nobody needs."""
    receiver.sent.clear()
    await desk.fall("db")
    await desk.turn()
    (notice,) = receiver.sent
    return notice


async def test_a_thick_book_is_not_looked_through_twice_a_second(desk, receiver, clock):
    """Unless something is announced."""
    await desk.turn()
    for n in range(200):
        await desk.fall(f"part-{n}")
    for _ in range(3):
        await desk.turn()
    looked = desk.notifier._looked
    clock.now += 0.1
    await desk.turn()
    assert desk.notifier._looked == looked
    await desk.fall("bus")
    await desk.turn()
    assert receiver.told[-1] == "bus opened"
