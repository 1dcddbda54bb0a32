"""The door of the page: who comes in, how many, and who leaves when there is no room.

Everybody comes from this machine, a proxy's visitors all from one address: so nobody is turned away
while somebody is in who says nothing, or takes long. A newcomer displaces first who has not asked
yet, then who rests between two requests, then who has been answered for a while, each time of the
address that has the most. What nobody makes room for waits in the queue of the system, which costs
no descriptor.

Who follows what changes keeps its place, and so only a part of all places is for them: an open page
shuts nobody out, and however many are open, the next one still is told what is now.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage

from sentinel.web.answer import write_refusal
from sentinel.web.refusals import DoorRefusal, RefusalBook
from sentinel.web.visitor import Visitor, VisitorLimits, VisitorStage

log = structlog.get_logger()
BATCH = 16
"""Newcomers in one turn of the loop: those before them are heard in between."""
QUEUE = 128
PAUSE = 0.05
"""Seconds until the door looks again whether somebody can be displaced."""
STARVED = 1.0
"""Seconds without newcomers when the system has no descriptors left."""
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """How many may be in, and after which time (seconds) one makes room for another."""

    visitors: int = 100
    share: float = 0.8
    """Of one address: the others always find a place."""
    following: float = 0.6
    """Of all places: those who may follow what changes, which has no end."""
    few: int = 4
    """So many are let in even when descriptors are scarce: the operator wants to see why."""
    patience_silent: float = 0.1
    patience_answered: float = 2.0
    kept_descriptors: float = 0.25
    """Share of the descriptors of this process that is kept for checks and the state."""
    unsent: int = 32 * 1024 * 1024
    """Bytes of answers that may wait for all who take them slowly."""


_RANK = {
    VisitorStage.SILENT: 0,
    VisitorStage.ASKING: 0,
    VisitorStage.IDLE: 1,
    VisitorStage.TAKING: 2,
    VisitorStage.ANSWERED: 3,
    VisitorStage.LEAVING: 4,
    VisitorStage.FOLLOWING: 5,
}


@dataclass(frozen=True, slots=True)
class DoorGuard:
    """Who may come in, and by which TLS; both may change while the door is open."""

    certificate: Callable[[], ssl.SSLContext | None] = lambda: None
    may_connect: Callable[[str], bool] = lambda _address: True


class _Vestibule(asyncio.Protocol):
    """Where a newcomer stands until TLS begins: nothing of it is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what it sends for TLS."""
        cast(asyncio.ReadTransport, transport).pause_reading()


class Door:
    """Accepts on listening sockets and hands visitors to a server of aiohttp."""

    def __init__(
        self,
        server: web.Server,
        book: RefusalBook,
        raised: Callable[[], None],
        limits: DoorLimits | None = None,
        visitor_limits: VisitorLimits | None = None,
        guard: DoorGuard | None = None,
    ) -> None:
        self.limits = visitor_limits or VisitorLimits()
        self._guard = guard or DoorGuard()
        self._limits = limits or DoorLimits()
        self._server, self._book, self._raised = server, book, raised
        self._make_request = server.request_factory
        server.request_factory = self._begin_request
        self._visitors: set[Visitor] = set()
        self._leaving: set[Visitor] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._sockets: Sequence[socket.socket] = ()
        self._pause: asyncio.TimerHandle | None = None

    # -- open and close ----------------------------------------------------------------------------

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Let visitors in from now on; the sockets are bound, and closed by `close`."""
        self._sockets = sockets
        for each in sockets:
            each.setblocking(False)
            each.listen(QUEUE)
        self._listen()

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        self._stop_listening()
        for each in self._sockets:
            each.close()
        self._sockets = ()
        self._book.close()

    def clear(self) -> None:
        """Put everybody out."""
        for visitor in [*self._visitors, *self._leaving]:
            visitor.leave()

    def __len__(self) -> int:
        return len(self._visitors)

    def __iter__(self) -> Iterator[Visitor]:
        return iter(set(self._visitors))

    def _listen(self) -> None:
        self._pause = None
        for each in self._sockets:
            asyncio.get_running_loop().add_reader(each, self._accept, each)

    def _stop_listening(self, seconds: float | None = None) -> None:
        """For so long, or for ever."""
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.remove_reader(each)
        if self._pause is not None:
            self._pause.cancel()
        self._pause = None if seconds is None else loop.call_later(seconds, self._listen)

    # -- newcomers ---------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BATCH):
            if len(self) >= self._most() and self._find_victim(None) is None:
                self._stop_listening(PAUSE)
                return
            try:
                newcomer, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._starve(error)
                return
            self._admit(newcomer, str(address[0]) if address else "")

    def _starve(self, error: OSError) -> None:
        """The system gives no descriptor: asking again at once would only burn its time."""
        if error.errno not in _OUT_OF:
            self.note_raised(error)
        self._book.note(DoorRefusal.EXHAUSTED)
        if victim := self._find_victim(None):
            self._displace(victim)
        self._stop_listening(STARVED)

    def _admit(self, newcomer: socket.socket, address: str) -> None:
        newcomer.setblocking(False)
        if not self._guard.may_connect(address):
            self._turn_away(newcomer, DoorRefusal.STRANGER, 403, "only trusted proxies may connect")
            return
        if not self._make_room(newcomer.fileno(), address):
            self._turn_away(newcomer, DoorRefusal.CROWDED, 503, "too many visitors at a time")
            return
        loop = asyncio.get_running_loop()
        visitor = Visitor(self, self._server, address, loop)
        self._visitors.add(visitor)
        task = loop.create_task(self._connect(visitor, newcomer))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    def _turn_away(
        self, newcomer: socket.socket, why: DoorRefusal, status: int, message: str
    ) -> None:
        self._book.note(why)
        with newcomer, suppress(OSError):
            if self._guard.certificate() is None:  # else it could not read it
                newcomer.send(write_refusal(status, message))

    async def _connect(self, visitor: Visitor, newcomer: socket.socket) -> None:
        certificate = self._guard.certificate()
        loop = asyncio.get_running_loop()
        try:
            if certificate is None:
                await loop.connect_accepted_socket(lambda: visitor, newcomer)
            else:
                await self._encrypt(visitor, newcomer, certificate)
        except OSError:  # it has gone already
            self.forget(visitor)
            newcomer.close()

    async def _encrypt(
        self, visitor: Visitor, newcomer: socket.socket, certificate: ssl.SSLContext
    ) -> None:
        """TLS on what was accepted: so what waits beneath it can be counted, and be cut."""
        loop = asyncio.get_running_loop()
        beneath, _ = await loop.connect_accepted_socket(_Vestibule, newcomer)
        visitor.arrive(beneath)
        try:
            line = await loop.start_tls(
                beneath,
                visitor,
                certificate,
                server_side=True,
                ssl_handshake_timeout=self.limits.head,
            )
        except OSError:
            self._book.note(DoorRefusal.NO_TLS)
            raise
        if line is None or beneath.is_closing():  # displaced meanwhile
            self.forget(visitor)
            return
        visitor.connection_made(line)

    # -- room --------------------------------------------------------------------------------------

    def _most(self) -> int:
        """How many may be in: fewer where this process may open few descriptors."""
        return min(self._limits.visitors, max(self._limits.few, count_allowed() // 4))

    def _make_room(self, descriptor: int, address: str) -> bool:
        """Whether there is a place for one more, perhaps instead of another one."""
        scarce = descriptor >= count_allowed() * (1 - self._limits.kept_descriptors)
        most = self._limits.few if scarce else self._most()
        theirs = sum(visitor.address == address for visitor in self._visitors)
        victim: Visitor | None = None
        if theirs >= max(1, int(most * self._limits.share)):
            victim = self._find_victim(address)
        elif len(self) >= most:
            victim = self._find_victim(None)
        else:
            return True
        if victim is None:
            return False
        self._displace(victim)
        return True

    def _find_victim(self, address: str | None) -> Visitor | None:
        """Who makes room: of an address, or of all."""
        crowd = Counter(visitor.address for visitor in self._visitors)
        now = asyncio.get_running_loop().time()
        candidates = [
            visitor
            for visitor in self._visitors
            if address in {None, visitor.address} and self._may_displace(visitor, now)
        ]
        return min(
            candidates,
            key=lambda each: (-crowd[each.address], _RANK[each.stage], each.since),
            default=None,
        )

    def let_follow(self, visitor: Visitor) -> bool:
        """Whether a visitor may follow what changes: there is a place, or an address that has two
        more than its own gives one back. Who loses it comes again, and has missed nothing.
        """
        following = [each for each in self._visitors if each.stage is VisitorStage.FOLLOWING]
        if len(following) < max(1, int(self._most() * self._limits.following)):
            return True
        crowd = Counter(each.address for each in following)
        oldest = min(following, key=lambda each: (-crowd[each.address], each.since))
        if crowd[oldest.address] < crowd[visitor.address] + 2:
            self._book.note(DoorRefusal.CROWDED)
            return False
        self._displace(oldest)
        return True

    def _bound_unsent(self) -> None:
        """Before one more answer is made: who lets the most wait is let go."""
        waiting = {visitor: visitor.unsent for visitor in self._visitors}
        while waiting and sum(waiting.values()) > self._limits.unsent:
            slowest = max(waiting, key=lambda visitor: waiting[visitor])
            del waiting[slowest]
            self._displace(slowest)

    def _may_displace(self, visitor: Visitor, now: float) -> bool:
        if visitor.stage is VisitorStage.FOLLOWING:
            return False
        answered = visitor.stage in {VisitorStage.ANSWERED, VisitorStage.TAKING}
        limits = self._limits
        return now - visitor.since >= (
            limits.patience_answered if answered else limits.patience_silent
        )

    def _displace(self, visitor: Visitor) -> None:
        self._visitors.discard(visitor)
        self._leaving.add(visitor)
        visitor.displace()

    # -- what visitors tell ------------------------------------------------------------------------

    def note(self, why: DoorRefusal) -> None:
        """A visitor was refused."""
        self._book.note(why)

    def note_raised(self, error: BaseException | None) -> None:
        """Code of ours raised: counted, and said with its place."""
        self._raised()
        log.error("page_raised", error=repr(error), place=_find_place(error))

    def forget(self, visitor: Visitor) -> None:
        """A visitor is gone."""
        self._visitors.discard(visitor)
        self._leaving.discard(visitor)

    def _begin_request(
        self,
        message: RawRequestMessage,
        payload: object,
        protocol: web.RequestHandler,
        *rest: object,
    ) -> web.BaseRequest:
        """What aiohttp makes a request with; its visitor is told. Bodies are small, so nobody is
        told to go on with one: the answer itself comes at once, also where no page is.
        """
        if "Expect" in message.headers:
            headers = message.headers.copy()
            headers.popall("Expect")
            message = message._replace(headers=type(message.headers)(headers))
        request: web.BaseRequest = self._make_request(message, payload, protocol, *rest)  # type: ignore[arg-type]
        if isinstance(protocol, Visitor):
            self._bound_unsent()
            protocol.begin(request)
        return request


def count_allowed() -> int:
    """Descriptors that this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def _find_place(error: BaseException | None) -> str:
    """File and line of the innermost frame: enough to find it, and no traceback."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
