"""Notices in the daemon: rules and couriers from the configuration, and what people order of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sentinel.config import Configuration
from sentinel.config.value import ConfiguredChannel, NoticeSetup
from sentinel.core.notice.maintenance import MaintenanceWindow
from sentinel.core.notice.silence import Silence
from sentinel.core.notice.text import Letterhead, write_test
from sentinel.core.order import Answer, Order, OrderKind
from sentinel.engine.aside import Aside
from sentinel.engine.assembly import Engine
from sentinel.engine.courier import Courier, call_channel
from sentinel.engine.dispatcher import Dispatcher
from sentinel.engine.notifier import NoticeRules, Notifier
from sentinel.engine.upkeep import Upkeep
from sentinel.metrics import Metrics
from sentinel.notify import ChannelRoom, load_channels
from sentinel.redaction import Redaction
from sentinel.store import Store

Action = Callable[[Order], Awaitable[Answer | None]]
_MOST_MATCHERS = 20


def make_head(configuration: Configuration, url: str) -> Letterhead:
    """What every notice begins with; without a `page_address` links lead to the page itself."""
    return Letterhead(configuration.platform, configuration.notices.page or url)


def make_rules(setup: NoticeSetup, head: Letterhead) -> NoticeRules:
    """The rules of a configuration. Without routes every channel hears of everything."""
    shelf = load_channels()
    names = tuple(each.name for each in setup.channels)
    limits = {each.name: each.limit for each in setup.channels if not shelf[each.kind].keeps}
    everybody = names if not setup.routes else ("log",)
    return NoticeRules(head, setup.routes, everybody, setup.windows, limits)


async def try_channel(
    configuration: Configuration, name: str, now: Callable[[], datetime], url: str = ""
) -> Answer:
    """Send a test on a channel of a configuration, here and now, once."""
    found = next((each for each in configuration.notices.channels if each.name == name), None)
    if found is None:
        return Answer.unknown(f"there is no channel {name!r}")
    room = ChannelRoom(name, now)
    notice = write_test(name, make_head(configuration, url), now())
    try:
        work = load_channels()[found.kind].send(found.options, room, notice)
        miss = await call_channel(name, work, lambda: None)
    finally:
        await room.close()
    if miss is None:
        return Answer.done(f"{name}: delivered")
    return Answer.failed(f"{name}: {Redaction(configuration.secrets).scrub(miss.error)}")


@dataclass(slots=True)
class Notifying:
    """The dispatcher with its notifier, and the channels of the configuration that is in force."""

    dispatcher: Dispatcher
    notifier: Notifier
    configuration: Callable[[], Configuration]
    utcnow: Callable[[], datetime]
    url: Callable[[], str]
    is_well: Callable[[], bool]

    async def start(self) -> None:
        """Know what the sentinel before this one had told, and begin to deliver."""
        self.notifier.load()
        await self.follow()

    async def follow(self) -> None:
        """Take the channels, routes and windows of the configuration that is in force now. Couriers
        whose channel is as before go on.
        """
        configuration = self.configuration()
        setup = configuration.notices
        self.notifier.rules = make_rules(setup, make_head(configuration, self.url()))
        await self.dispatcher.follow([self._make_courier(each) for each in setup.channels])

    def _make_courier(self, each: ConfiguredChannel) -> Courier:
        known = self.dispatcher.couriers.get(each.name)
        kind = load_channels()[each.kind]
        if known is not None and (known.channel, known.options) == (kind, each.options):
            return known
        dispatcher, room = self.dispatcher, ChannelRoom(each.name, self.utcnow)
        return Courier(
            each.name,
            kind,
            each.options,
            room,
            dispatcher.metrics,
            dispatcher.note,
            self.utcnow,
            self.notifier.find_open,
            self.is_well,
            self.notifier.recorder.scrub,
            self.notifier.is_overtaken,
            mended=known is not None,
        )


def make_notifying(
    store: Store,
    engine: Engine,
    metrics: Metrics,
    utcnow: Callable[[], datetime],
    orders: Mapping[str, Action],
    aside: Aside,
    upkeep: Upkeep,
    configuration: Callable[[], Configuration],
    url: Callable[[], str],
    is_well: Callable[[], bool],
) -> Notifying:
    """Wire it; nothing runs yet. `orders` are those that concern no notices."""
    watched = engine.journal.is_watched
    notifier = Notifier(store, engine.recorder, metrics, engine.picture, utcnow, watched)
    engine.objectives.heed(notifier.list_maintenance)
    more = notice_orders(engine, notifier, configuration, utcnow, url, aside)
    dispatcher = Dispatcher(
        store, engine.recorder, metrics, notifier, upkeep, {**orders, **more}, utcnow
    )
    return Notifying(dispatcher, notifier, configuration, utcnow, url, is_well)


# -- what people order ----------------------------------------------------------------------------


def notice_orders(
    engine: Engine,
    notifier: Notifier,
    configuration: Callable[[], Configuration],
    utcnow: Callable[[], datetime],
    url: Callable[[], str],
    aside: Aside,
) -> Mapping[str, Action]:
    """Acknowledge, silence, maintenance, and a test of a channel."""

    async def acknowledge(order: Order) -> Answer:
        by, reason = _word(order, "by"), _word(order, "reason")
        return await engine.incidents.acknowledge(order.subject, by, reason)

    async def silence(order: Order) -> Answer:
        if order.payload.get("action") == "end":
            return await notifier.end_silence(order.subject)
        return await notifier.silence(_read_silence(order, utcnow()))

    async def maintenance(order: Order) -> Answer:
        if order.payload.get("action") == "end":
            return await notifier.end_window(order.subject)
        return await notifier.order_window(_read_window(order, utcnow()))

    async def test(order: Order) -> Answer:
        return await try_channel(configuration(), order.subject, utcnow, url())

    return {
        OrderKind.ACKNOWLEDGE: acknowledge,
        OrderKind.SILENCE: silence,
        OrderKind.MAINTENANCE: maintenance,
        OrderKind.TEST_CHANNEL: aside.wrap(test),
    }


def _word(order: Order, name: str) -> str:
    return str(order.payload.get(name, ""))


def _read_silence(order: Order, now: datetime) -> Silence:
    given: Iterable[tuple[str, Any]] = dict(order.payload.get("matchers", {})).items()
    matchers = {str(label): tuple(map(str, patterns)) for label, patterns in given}
    if not 0 < len(matchers) <= _MOST_MATCHERS:
        raise ValueError("a silence needs matchers")
    ends = now + timedelta(seconds=float(order.payload["seconds"]))
    return Silence(order.subject, matchers, now, ends, _word(order, "reason"), _word(order, "by"))


def _read_window(order: Order, now: datetime) -> MaintenanceWindow:
    components = tuple(map(str, order.payload.get("components", ())))
    if not components:
        raise ValueError("a window needs components")
    return MaintenanceWindow(
        order.subject,
        components,
        _word(order, "reason"),
        begins=now,
        ends=now + timedelta(seconds=float(order.payload["seconds"])),
        by=_word(order, "by"),
    )
