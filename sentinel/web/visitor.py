"""One connection to the page: what it may send and in which time, and what becomes of it when it is
no HTTP.

The parser and the answering are aiohttp's; limits, deadlines and every word to a visitor that never
came as far as the application are ours. Nothing that a visitor sends is logged.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from sentinel.web.answer import make_refusal, write_refusal
from sentinel.web.refusals import DoorRefusal

MAX_LINE = 8190
"""Bytes of a request line or of one header."""
MAX_HEADERS = 64
MAX_HEAD = 32 * 1024
MAX_BODY = 64 * 1024
PATIENCE_ENDED = 0.05
"""Seconds in which what has arrived with the end of a visitor's words is looked at."""
LINGER = 1.0
"""Seconds in which the rest of a request that nobody reads may still come, and in which a refusal
may be taken."""


@dataclass(frozen=True, slots=True)
class VisitorLimits:
    """Seconds that a visitor has."""

    head: float = 5.0
    """From its first byte, or from its arrival, to a whole head."""
    request: float = 10.0
    """From its first byte until its answer is taken."""
    idle: float = 75.0
    """Between two requests: longer than a usual scrape interval."""


class VisitorStage(Enum):
    """How far a visitor is."""

    SILENT = "silent"
    ASKING = "asking"
    ANSWERED = "answered"
    """It has asked; its answer is being made, or written."""
    TAKING = "taking"
    """Its answer is written, and not all of it on its way yet."""
    FOLLOWING = "following"
    """Its answer has no end: it is told what changes, as long as it takes it."""
    IDLE = "idle"
    LEAVING = "leaving"
    """It was refused, and may still read why."""


class Reception(Protocol):
    """Who lets visitors in."""

    limits: VisitorLimits

    def note(self, why: DoorRefusal) -> None:
        """A visitor was refused."""
        ...

    def note_raised(self, error: BaseException | None) -> None:
        """Code of ours raised."""
        ...

    def let_follow(self, visitor: Visitor) -> bool:
        """Whether it may have an answer without end."""
        ...

    def forget(self, visitor: Visitor) -> None:
        """A visitor is gone."""
        ...


class Visitor(web.RequestHandler):
    """The protocol of one connection."""

    def __init__(
        self,
        reception: Reception,
        server: web.Server,
        address: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=2 * reception.limits.idle,  # ours comes first
            access_log=cast(Any, None),
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=LINGER,
            auto_decompress=False,
        )
        self.address = address
        self.stage = VisitorStage.SILENT
        self.since = loop.time()
        """When this stage began, on the clock of the loop."""
        self._reception, self._clock = reception, loop
        self._line: asyncio.Transport | None = None
        self._beneath: asyncio.Transport | None = None
        """What carries TLS: its bytes wait there."""
        self._is_made, self._early = False, bytearray()
        self._tail = b""
        """The last bytes of a head: its end may come in two pieces."""
        self._timer: asyncio.TimerHandle | None = None
        self._begun, self._size, self._first_line, self._has_line = self.since, 0, 0, False
        self._request: web.BaseRequest | None = None
        self._has_ended = False

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait in memory until it takes them."""
        return sum(each.get_write_buffer_size() for each in (self._line, self._beneath) if each)

    # -- what happens ------------------------------------------------------------------------------

    def arrive(self, beneath: asyncio.Transport) -> None:
        """It is here, and has to come as far as TLS before it is heard."""
        self._line = beneath
        self._enter(VisitorStage.SILENT, self._reception.limits.head)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be heard."""
        if self._line is not None:
            self._beneath = self._line
        self._line, self._is_made = cast(asyncio.Transport, transport), True
        super().connection_made(transport)
        self._enter(VisitorStage.SILENT, self._reception.limits.head)
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self.data_received(early)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is gone."""
        self._beneath = None
        if self._timer is not None:
            self._timer.cancel()
        self._line = None
        self._reception.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request, within the limits."""
        if not self._is_made:  # it came with the end of the handshake
            self._early += data
            return
        if self.stage is VisitorStage.LEAVING:
            return
        if self.stage not in {VisitorStage.ASKING, VisitorStage.ANSWERED, VisitorStage.FOLLOWING}:
            self._begin_asking()
            self._enter(VisitorStage.ASKING, self._reception.limits.head)
        self._size += len(data)
        self._follow_first_line(data)
        if self.stage is VisitorStage.ASKING and self._find_head(data) > MAX_HEAD:
            self._refuse(DoorRefusal.MALFORMED, *self._find_excess())
        elif self.stage is not VisitorStage.ASKING and self._size > MAX_BODY:
            self.leave()  # it was answered: nobody reads on
        else:
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio takes an answer, aiohttp has none
        """It sends no more: what it asked is answered, and half a request is none."""
        self._has_ended = True
        self._clock.call_later(PATIENCE_ENDED, self._end_asking)
        return self._beneath is None  # TLS has no half that could stay open

    def _end_asking(self) -> None:
        """Nothing more will come."""
        if self.stage is VisitorStage.ASKING:
            self._refuse(DoorRefusal.MALFORMED, 400, "the request has no end")
        elif self.stage not in {VisitorStage.ANSWERED, VisitorStage.TAKING}:
            self.leave()

    def follow(self) -> bool:
        """Its answer is to have no end: it has no deadline from now on, and keeps its place. False
        when too many have that already.
        """
        if self.stage is not VisitorStage.ANSWERED or not self._reception.let_follow(self):
            return False
        self._enter(VisitorStage.FOLLOWING, None)
        return True

    def end_following(self) -> None:
        """Nothing more is to be told: what is still on its way has the time of any answer."""
        if self.stage is VisitorStage.FOLLOWING:
            self._enter(VisitorStage.ANSWERED, self._reception.limits.request)

    def begin(self, request: web.BaseRequest) -> None:
        """A whole head is there."""
        if self.stage is VisitorStage.LEAVING:
            return
        if self.stage is not VisitorStage.ASKING:  # it came together with the one before
            self._begin_asking()
        self._request, self._size = request, 0
        left = self._begun + self._reception.limits.request - self._clock.time()
        self._enter(VisitorStage.ANSWERED, left)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer. Who has taken it may ask again; who has not keeps its deadline, as does
        who still sends what nobody reads.
        """
        done = await super().finish_response(request, resp, start_time)
        self._request = None
        if self.stage is VisitorStage.LEAVING or not request.content.is_eof():
            return done
        if self.unsent:
            self.stage = VisitorStage.TAKING
        else:
            idle = self._reception.limits.idle
            self._enter(VisitorStage.IDLE, PATIENCE_ENDED if self._has_ended else idle)
        return done

    def _begin_asking(self) -> None:
        self._begun, self._size, self._first_line, self._has_line = self._clock.time(), 0, 0, False
        self._tail = b""

    def _find_head(self, data: bytes) -> int:
        """Bytes of the head so far: a body may come in one piece with its end."""
        before = self._size - len(data)
        end = (self._tail + data).find(b"\r\n\r\n")
        size = self._size if end < 0 else before + end - len(self._tail)
        self._tail = (self._tail + data)[-3:]
        return size

    def _follow_first_line(self, data: bytes) -> None:
        if not self._has_line:
            end = data.find(b"\n")
            self._has_line = end >= 0
            self._first_line += end if self._has_line else len(data)

    # -- what is refused ---------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what the visitor sent
    ) -> web.StreamResponse:
        """The answer to what is no request, or to what our own code could not do."""
        if status >= 500:
            self._reception.note_raised(exc)
        else:
            self._reception.note(DoorRefusal.MALFORMED)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: it can only be cut")
        if status >= 500:
            return make_refusal(500, "sentinel could not make this page; its log says why")
        return make_refusal(*self._find_excess(exc))

    def log_exception(self, *_args: Any, exc_info: Any = None, **_kw: Any) -> None:
        """What aiohttp would log with a traceback: a broken body is the visitor's mistake, anything
        else is ours.
        """
        if isinstance(exc_info, web.RequestPayloadError):
            self._reception.note(DoorRefusal.MALFORMED)
        else:
            self._reception.note_raised(exc_info if isinstance(exc_info, BaseException) else None)

    def displace(self) -> None:
        """Make room for a newcomer."""
        if self._request is not None and not self._request.writer.output_size:
            self._refuse(DoorRefusal.DISPLACED, 503, "too many visitors at a time")
        else:
            self._reception.note(DoorRefusal.DISPLACED)
            self.leave()

    def note(self, why: DoorRefusal) -> None:
        """What it asked for was refused; it may ask again."""
        self._reception.note(why)

    def leave(self) -> None:
        """End this connection now, whatever is still to be sent."""
        if self._line is not None:
            self._line.abort()

    def _refuse(self, why: DoorRefusal, status: int, message: str) -> None:
        if self._line is None or self._line.is_closing():
            return
        self._reception.note(why)
        self._line.write(write_refusal(status, message))
        if self._request is not None or self.unsent:
            self.force_close()
        else:  # closed while it still sends, it would lose the answer
            with suppress(OSError):
                self._line.get_extra_info("socket").shutdown(socket.SHUT_WR)
        self._enter(VisitorStage.LEAVING, LINGER)

    def _find_excess(self, exc: BaseException | None = None) -> tuple[int, str]:
        """Status and words for what the parser refused, or for a head that is too large."""
        if exc is not None and not isinstance(exc, LineTooLong):
            return 400, "this is no HTTP request that can be understood"
        if self._first_line > MAX_LINE:
            return 414, f"the address is longer than {MAX_LINE} bytes"
        return 431, f"the headers are longer than {MAX_LINE} bytes each, or {MAX_HEAD} together"

    # -- time --------------------------------------------------------------------------------------

    def _enter(self, stage: VisitorStage, seconds: float | None) -> None:
        self.stage, self.since = stage, self._clock.time()
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None and seconds is not None:  # a timer would keep who has gone
            self._timer = self._clock.call_later(seconds, self._end_stage)

    def _end_stage(self) -> None:
        """Its time is up. Who never said a word is no news: browsers connect in advance."""
        if self.stage is VisitorStage.ASKING:
            seconds = self._reception.limits.head
            self._refuse(DoorRefusal.LATE, 408, f"no whole head within {seconds:g} s")
            return
        if self.stage in {VisitorStage.ANSWERED, VisitorStage.TAKING}:
            self._reception.note(DoorRefusal.STUCK)
        self.leave()
