"""Carries notices to one channel: a task of its own, so that one that is slow or dead delays nobody.

Notices about one affair go in their order. What fails is tried again, and rests meanwhile; others
are tried before it, so one notice that a receiver chokes on does not hold up the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from sentinel.core.foreign.visible import make_visible
from sentinel.core.model import ErrorClass
from sentinel.core.notice import Notice
from sentinel.core.notice.retry import Miss, NoticeFate, Tries, decide_retry, is_resting
from sentinel.core.order import Answer
from sentinel.engine.upkeep import is_told_to_end
from sentinel.errors import NotDelivered
from sentinel.metrics import Metrics
from sentinel.notify import Channel, ChannelRoom

log = structlog.get_logger()

GUARD = 330.0
"""Seconds after which a channel that keeps no deadline of its own is given up for this try."""
IDLE = 1.0
LAST_WORDS = 1.0
"""Seconds that a delivery under way has when sentinel ends."""
_SHOWN = 300
DELIVERED, RENEWED, OVERTAKEN = "delivered", "renewed", "overtaken"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One order to deliver, with what was tried so far."""

    key: str
    notice: Notice
    ordered: datetime
    tries: Tries = field(default_factory=Tries)


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What became of a channel's notices, for people."""

    name: str
    kind: str
    waiting: int = 0
    outcome: str = ""
    at: datetime | None = None
    error: str = ""
    """Why the latest try failed, "" when it did not."""


Note = Callable[[Parcel, Answer | None], Awaitable[None]]
"""Writes down what became of a parcel; None: it waits with other tries."""


@dataclass(slots=True)
class Courier:
    """One channel. `options` are its kind's own; `note` writes down what became of each parcel."""

    name: str
    channel: Channel
    options: Any
    room: ChannelRoom
    metrics: Metrics
    note: Note
    utcnow: Callable[[], datetime]
    find_open: Callable[[str], Iterable[Notice]] = lambda _name: ()
    """Notices of what this channel was told and is not over: they are told anew when it forgets."""
    is_well: Callable[[], bool] = lambda: True
    """Whether sentinel does its work: only then a dead man's switch hears of it."""
    scrub: Callable[[Any], Any] = lambda value: value
    """Takes secrets out of what a receiver said."""
    is_overtaken: Callable[[Notice], bool] = lambda _notice: False
    """Whether a notice says by now what is not so any more: then it is dropped."""
    mended: bool = False
    """Whether a person has just given it other options: what waits is tried at once."""
    view: ChannelView = field(init=False)
    _waiting: dict[str, Parcel] = field(default_factory=dict)
    _ended: dict[str, None] = field(default_factory=dict)
    """Parcels that are done: their note may be late, and they must not go out again."""
    _rest_until: datetime | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.view = ChannelView(self.name, self.channel.name)
        self.metrics.add_channel(self.name)

    def put(self, parcel: Parcel) -> None:
        """Take a parcel over; one that is known already is not taken twice."""
        if parcel.key in self._waiting or parcel.key in self._ended:
            return
        if self.mended:
            parcel = replace(parcel, tries=replace(parcel.tries, not_before=None))
        self._waiting[parcel.key] = parcel
        rest = parcel.tries.not_before
        if rest is not None and parcel.tries.failures:
            self._rest_until = max(rest, self._rest_until or rest)
        self._count()
        self._wake.set()

    def forget(self, waiting: set[str]) -> None:
        """What is no order any more was written down."""
        for key in [key for key in self._ended if key not in waiting]:
            del self._ended[key]

    @property
    def repeats(self) -> bool:
        """Whether a beat or a lease has to be kept up."""
        return self.channel.beat is not None or self.channel.lease is not None

    async def run(self) -> None:
        """Deliver, for ever."""
        while True:
            self._wake.clear()
            parcel = self._find_due()
            if parcel is not None:
                await self._try(parcel)
                continue
            try:
                async with asyncio.timeout(IDLE):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def keep_up(self) -> None:
        """Beat, or renew what the receiver would forget, for ever."""
        lease = self.channel.lease
        every = lease(self.options) / 4 if lease is not None else float(self.options.every)
        while True:
            await (self._renew() if lease is not None else self._beat())
            await asyncio.sleep(every)

    async def close(self) -> None:
        """Let a delivery under way end, within a few seconds; let go of every connection."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._busy.acquire()
        except TimeoutError:
            log.warning("delivery_cut", channel=self.name)
        await self.room.close()

    # -- one delivery -----------------------------------------------------------------------------

    def _find_due(self) -> Parcel | None:
        """The parcel with the fewest failures among the first of each affair; then the oldest."""
        now = self.utcnow()
        if self._busy.locked() or is_resting(self._rest_until, now):
            return None
        first: dict[str, Parcel] = {}
        for parcel in self._waiting.values():
            first.setdefault(parcel.notice.affair, parcel)
        due = [each for each in first.values() if each.tries.is_due(now)]
        return min(due, key=lambda each: each.tries.failures, default=None)

    async def _try(self, parcel: Parcel) -> None:
        async with self._busy:
            await self._try_once(parcel)

    async def _try_once(self, parcel: Parcel) -> None:
        if self.is_overtaken(parcel.notice):
            log.info("notice_overtaken", channel=self.name, key=parcel.key)
            dropped = Answer.refused(f"{OVERTAKEN}: it is over, or somebody sees to it")
            await self._end(parcel, OVERTAKEN, dropped, self.view.error)
            return
        miss = await self._send(parcel.notice, proof=parcel.tries.needs_proof)
        now = self.utcnow()
        if miss is None:
            self._rest_until = None
            await self._end(parcel, DELIVERED, Answer.done("sent"))
            return
        repeatable = self.channel.repeatable
        fate, tries = decide_retry(parcel.tries, miss, parcel.ordered, now, repeatable=repeatable)
        parcel = replace(parcel, tries=tries)
        if fate is NoticeFate.AGAIN:
            self._waiting[parcel.key] = parcel
            self._rest_until = tries.not_before
            self._show(fate, miss.error)
            log.warning("notice_not_delivered", channel=self.name, key=parcel.key, why=miss.error)
            await self.note(parcel, None)
            return
        # What can't be told on its channel is told here: it must not be gone.
        log.error(
            "notice_given_up",
            channel=self.name,
            key=parcel.key,
            why=miss.error,
            fate=str(fate),
            title=parcel.notice.title,
        )
        await self._end(parcel, str(fate), Answer.failed(f"{fate}: {miss.error}"), miss.error)

    async def _end(self, parcel: Parcel, outcome: str, answer: Answer, error: str = "") -> None:
        self._waiting.pop(parcel.key, None)
        self._ended[parcel.key] = None
        self._show(outcome, error)
        await self.note(parcel, answer)

    async def _send(self, notice: Notice, *, proof: bool = False) -> Miss | None:
        """None when it was delivered."""
        proving = self.channel.prove if proof else None
        if proving is not None and (miss := await self._call(proving(self.options, self.room))):
            return replace(miss, arrived=False)  # the notice itself was not sent
        return await self._call(self.channel.send(self.options, self.room, notice))

    async def _call(self, work: Awaitable[None]) -> Miss | None:
        swallowed = self.metrics.swallowed.labels("courier")
        miss = await call_channel(self.name, work, swallowed.inc)
        return miss and replace(miss, error=str(self.scrub(miss.error)))

    # -- what is repeated -------------------------------------------------------------------------

    async def _beat(self) -> None:
        if self.channel.beat is None or not self.is_well():
            return
        miss = await self._call(self.channel.beat(self.options, self.room))
        self._show(RENEWED if miss is None else NoticeFate.AGAIN, miss.error if miss else "")

    async def _renew(self) -> None:
        """Tell anew what is not over: so it holds, and so a member hears of it that was away. What
        waits in the order of its affair comes first.
        """
        waiting = {parcel.notice.affair for parcel in self._waiting.values()}
        for notice in self.find_open(self.name):
            if notice.affair in waiting:
                continue
            miss = await self._call(self.channel.send(self.options, self.room, notice))
            self._show(RENEWED if miss is None else NoticeFate.AGAIN, miss.error if miss else "")
            if miss is not None:
                return  # the next round is soon

    # -- what people see --------------------------------------------------------------------------

    def _show(self, outcome: str, error: str) -> None:
        self.metrics.notifications.labels(self.name, str(outcome)).inc()
        self._count()
        self.view = replace(self.view, outcome=str(outcome), at=self.utcnow(), error=error)

    def _count(self) -> None:
        waiting = len(self._waiting)
        self.metrics.notifications_waiting.labels(self.name).set(waiting)
        self.view = replace(self.view, waiting=waiting)


async def call_channel(
    name: str, work: Awaitable[None], note_raised: Callable[[], object]
) -> Miss | None:
    """What kept a channel from doing something; one that raises what it should not, or never ends,
    has failed.
    """
    try:
        async with asyncio.timeout(GUARD):
            await work
        return None
    except NotDelivered as error:
        text = f"{error.message}; {error.guidance}" if error.guidance else error.message
        shown = make_visible(text)[:_SHOWN]
        return Miss(shown, error.error_class, error.retry_after, error.arrived)
    except BaseException as error:
        if is_told_to_end(error):
            raise
        note_raised()
        log.error("channel_raised", channel=name, error=repr(error))
        # Nobody knows how far it came.
        return Miss(make_visible(repr(error))[:_SHOWN], ErrorClass.TEMPORARY, arrived=True)
