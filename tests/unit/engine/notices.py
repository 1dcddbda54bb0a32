"""A dispatcher with its notifier and couriers, on a clock by hand and channels that remember."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from sentinel.core.component.incident import incident_id
from sentinel.core.fault import Status
from sentinel.core.model import Component, Incident, IncidentState
from sentinel.core.order import Order
from sentinel.engine.courier import Courier
from sentinel.engine.dispatcher import Dispatcher
from sentinel.engine.notifier import NoticeRules, Notifier
from sentinel.engine.picture import Picture
from sentinel.engine.upkeep import Upkeep
from sentinel.notify import Channel, ChannelOptions, ChannelRoom, load_channels
from sentinel.store import Changes


class Receiver:
    """A channel that remembers what it was sent; each of `misses` is raised once, in order."""

    def __init__(self, *misses: BaseException, **traits) -> None:
        self.sent, self.misses, self.proofs = [], list(misses), 0
        self.during: Callable[[], object] = lambda: None
        self.channel = Channel("rig", "", ChannelOptions, self.send, self.prove, **traits)

    async def send(self, _options, _room, notice) -> None:
        """One try."""
        self.during()
        if self.misses:
            raise self.misses.pop(0)
        self.sent.append(notice)

    async def prove(self, _options, _room) -> None:
        """It answers."""
        self.proofs += 1

    @property
    def told(self) -> list[str]:
        """Affair and what was said of it."""
        return [f"{each.component} {each.told}" for each in self.sent]


def make_dispatcher(store, recorder, metrics, clock, actions=None, picture=None) -> Dispatcher:
    """A dispatcher without channels."""
    picture = picture or Picture(metrics, clock.utcnow)
    notifier = Notifier(store, recorder, metrics, picture, clock.utcnow)
    upkeep = Upkeep(metrics)
    return Dispatcher(store, recorder, metrics, notifier, upkeep, actions or {}, clock.utcnow)


class Real:
    """A channel of the shelf with options; `patience` is the deadline of its requests."""

    def __init__(self, kind: str, patience: float = 5.0, **options) -> None:
        self.channel, self.patience = load_channels()[kind], patience
        self.options = self.channel.options.model_validate(options)


class Desk:
    """A dispatcher, the picture that it reads, and receivers by name."""

    def __init__(self, store, recorder, metrics, clock, **receivers: Receiver) -> None:
        self.store, self.recorder, self.metrics, self.clock = store, recorder, metrics, clock
        self.picture = Picture(metrics, clock.utcnow)
        self.receivers = receivers
        self.dispatcher = make_dispatcher(store, recorder, metrics, clock, None, self.picture)
        self.notifier = self.dispatcher.notifier
        self.notifier.rules = NoticeRules(everybody=tuple(receivers))

    async def open(self) -> None:
        """Begin to deliver; what waits is taken up."""
        self.notifier.load()
        couriers = [
            Courier(
                name,
                receiver.channel,
                getattr(receiver, "options", ChannelOptions()),
                ChannelRoom(name, self.clock.utcnow, getattr(receiver, "patience", 5.0)),
                self.metrics,
                self.dispatcher.note,
                self.clock.utcnow,
                self.notifier.find_open,
                is_overtaken=self.notifier.is_overtaken,
            )
            for name, receiver in self.receivers.items()
        ]
        await self.dispatcher.follow(couriers)

    async def close(self) -> None:
        """End the couriers."""
        await self.dispatcher.close()
        await self.dispatcher.upkeep.close()

    def rule(self, **changes) -> None:
        """Other rules."""
        self.notifier.rules = replace(self.notifier.rules, **changes)

    def add(self, name: str, *depends_on: str) -> None:
        """A component."""
        component = Component(name, depends_on=depends_on)
        self.picture.add_component(component, None)

    async def fall(self, name: str, status: Status = Status.DOWN, **facts) -> Incident:
        """A component fails, and that is announced."""
        now = self.clock.utcnow()
        made = Incident(
            incident_id(name, now), name, now, IncidentState.OPEN, status, "refused",
            announced=True, last_unhealthy=now, **facts,
        )  # fmt: skip
        await self.change(made, "opened", f"{name} is {status}: refused")
        return made

    async def change(self, incident: Incident, event: str = "", text: str = "") -> Incident:
        """An incident is another one now; with `event` that is announced."""
        if incident.component not in self.picture.components:
            self.add(incident.component)
        self.picture.keep_incident(incident)
        changes = Changes(incidents=[incident])
        if event:
            payload = {"event": event, "text": text or event, "incident": incident.id}
            key = f"{incident.id}/{event}/{self.clock.now}"
            changes.orders.append(Order("notify", key, incident.component, payload))
        await self.recorder.record(changes)
        return incident

    async def recover(self, incident: Incident) -> Incident:
        """It works again, and that is announced."""
        now = self.clock.utcnow()
        well = replace(incident, state=IncidentState.RECOVERING, recovered=now, return_told=True)
        return await self.change(well, "recovered", f"{incident.component} is healthy")

    async def relapse(self, incident: Incident) -> Incident:
        """It is bad again."""
        now = self.clock.utcnow()
        return await self.change(
            replace(incident, state=IncidentState.OPEN, recovered=None, last_unhealthy=now)
        )

    async def end(self, incident: Incident) -> None:
        """It is closed, and that is announced."""
        closed = replace(incident, state=IncidentState.CLOSED, closed=self.clock.utcnow())
        await self.change(closed, "closed")

    async def turn(self) -> None:
        """One round of the dispatcher, and all that it makes the couriers do now."""
        await self.dispatcher.drain()
        async with asyncio.timeout(30):
            while True:
                couriers = self.dispatcher.couriers.values()
                for each in couriers:
                    each._wake.set()
                await asyncio.sleep(0.002)
                if not any(each._busy.locked() or each._find_due() for each in couriers):
                    return

    async def after(self, seconds: float) -> None:
        """Time passes, then one round."""
        self.clock.now += seconds
        await self.turn()
