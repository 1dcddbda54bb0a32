"""One request and its answer over one connection: opened for it, or kept from the one before.

aiohttp parses what comes; its session, its request and its response are left out: they cost three
times what the exchange does, and hide whether a connection was opened for it.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import aiohappyeyeballs
from aiohttp import ClientConnectionError, ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from sentinel.adapters.http.arrival import NeverSent, Way
from sentinel.adapters.http.error import MAX_HEADER, MAX_HEADERS, no_answer
from sentinel.adapters.network.resolver import Address, Resolver
from sentinel.adapters.network.tcp import open_socket
from sentinel.adapters.network.tls import GoingOn
from sentinel.clock import utcnow

_HEAD_END, _HEADS = re.compile(rb"\r\n\r\n"), 8
"""How a head ends, and of how many in one piece it is looked for: 100 (Continue) may come first."""
MAX_EARLY = 100
"""Heads of 1xx before an answer: servers send one or two."""
KEPT_FOR = 60.0
"""Seconds after which a kept connection is opened anew: so long a full backlog, a moved name or
another certificate may stay unseen.
"""
_IDLE = 64
"""So many connections of an origin wait for the next request; more are closed."""
_HEAD_START = 0.25
"""Seconds that an address of a name has before the next is tried beside it (RFC 8305)."""
_READ = 16384
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be sent once more when nobody can know whether they arrived (RFC 9110 §9.2)."""
Origin = tuple[str, str, int]
"""Scheme, host, port."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address as it is asked: `place` to connect to, `path` and `headers` to send."""

    place: Origin
    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `keep`: over a kept connection, if one is there."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | None = None
    max_body: int = 65536
    keep: bool = False
    way: Way = field(default_factory=Way)


@dataclass(slots=True)
class Answer:
    """What came back. `phases` in seconds has what this exchange did: no `connect` where a kept
    connection was used.
    """

    status: int
    headers: Any
    body: bytes
    truncated: bool
    certificate: Mapping[str, Any] | None
    phases: dict[str, float] = field(default_factory=dict)


class _Handler(ResponseHandler):
    """Knows whether a byte has come since the last request, and feeds the parser one head at a time:
    what a server sends behind an answer that has no body (204, 304) is nobody's, and would else be
    taken for a second answer that spoils the first.
    """

    heard = False

    def data_received(self, data: bytes) -> None:
        self.heard = True
        *heads, rest = _HEAD_END.split(data, _HEADS)
        for head in heads:
            super().data_received(head + b"\r\n\r\n")
        if rest or not heads:
            super().data_received(rest)


@dataclass(slots=True)
class _Connection:
    handler: _Handler
    since: float
    """When the server last proved who it is."""
    certificate: Mapping[str, Any] | None
    phases: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Session:
    """A TLS session to go on with. Its handshake shows no certificate: so it is used for as long as
    a kept connection, and never when the certificate that it began with is over.
    """

    session: ssl.SSLSession
    since: float
    ends: float


class Connections:
    """The connections of one client; `find_trust` makes its TLS context when the first one needs
    it. Raises NeverSent, aiohttp's ClientError and HttpProcessingError, OSError and TargetError.
    """

    __slots__ = (
        "_context",
        "_find_trust",
        "_idle",
        "_monotonic",
        "_resolver",
        "_sessions",
        "opened",
    )

    def __init__(
        self,
        resolver: Resolver,
        monotonic: Callable[[], float],
        find_trust: Callable[[], Awaitable[ssl.SSLContext]],
    ) -> None:
        self._resolver = resolver
        self._monotonic = monotonic
        self._find_trust = find_trust
        self._context: ssl.SSLContext | None = None
        self._sessions: dict[Origin, _Session] = {}
        self._idle: dict[Origin, list[_Connection]] = {}
        self.opened = 0
        """Connections that came about so far."""

    async def send(self, request: Request) -> Answer:
        """Send once. A kept connection that turns out to be closed is no fault of the server: then,
        and only then, the request goes out once more, over a new one.
        """
        place = request.target.place
        kept = self._take(place) if request.keep and request.method in SAFE else None
        if kept is not None:
            try:
                return await self._over(kept, request, {})
            except (ClientConnectionError, ConnectionError):
                if kept.handler.heard:  # an answer that began is one, and a broken one
                    raise
        connection = await self._open(place, keep=request.keep)
        return await self._over(connection, request, connection.phases)

    def close(self) -> None:
        """Close what is kept."""
        kept, self._idle = self._idle, {}
        for each in kept.values():
            for connection in each:
                connection.handler.close()

    def _take(self, place: Origin) -> _Connection | None:
        """The connection that was used last, if it is still good."""
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            handler, age = connection.handler, self._monotonic() - connection.since
            if handler.is_connected() and not handler.should_close and age < KEPT_FOR:
                return connection
            handler.close()
        return None

    async def _over(
        self, connection: _Connection, request: Request, phases: dict[str, float]
    ) -> Answer:
        handler, begin = connection.handler, self._monotonic()
        try:
            handler.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                read_bufsize=_READ,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
                max_headers=MAX_HEADERS,
            )
            handler.heard = False
            request.way.connected = True
            if handler.transport is None:
                raise ConnectionResetError(errno.ECONNRESET, "closed before it was used")
            handler.transport.write(write_request(request))
            message, content = await _read_head(handler)
            answered = self._monotonic()
            body, truncated = await _read_body(content, request.max_body)
        except BaseException:
            handler.close()
            raise
        phases = {**phases, "answer": answered - begin, "body": self._monotonic() - answered}
        self._release(connection, request, whole=not truncated and not message.should_close)
        return Answer(
            message.code, message.headers, body, truncated, connection.certificate, phases
        )

    def _release(self, connection: _Connection, request: Request, *, whole: bool) -> None:
        """Keep it for the next one who asks for a kept connection, or close it."""
        handler, place = connection.handler, request.target.place
        if request.keep and connection.certificate and place not in self._sessions:
            self._remember(place, connection)
        idle = self._idle.setdefault(place, []) if request.keep else []
        if request.keep and whole and not handler.should_close and len(idle) < _IDLE:
            idle.append(connection)
        else:
            handler.close()

    def _remember(self, place: Origin, connection: _Connection) -> None:
        transport = connection.handler.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        session = tls.session if tls is not None else None
        if session is not None and connection.certificate is not None:
            ends = float(ssl.cert_time_to_seconds(connection.certificate["notAfter"]))
            self._sessions[place] = _Session(session, connection.since, ends)

    async def _open(self, place: Origin, *, keep: bool) -> _Connection:
        scheme, host, port = place
        begin = self._monotonic()
        addresses = await self._resolver.addresses(host, port)
        found = self._monotonic()
        context, before = await self._secure(place, keep=keep) if scheme == "https" else (None, 0.0)
        loop, asked = asyncio.get_running_loop(), self._monotonic()
        try:
            socket = await _connect(addresses)
            connected = self._monotonic()
            transport, handler = await loop.create_connection(
                partial(_Handler, loop),
                sock=socket,
                ssl=context,
                server_hostname=host.rstrip(".") if context else None,
            )
        except OSError as error:
            raise NeverSent from error
        self.opened += 1
        phases = {"resolve": found - begin, "connect": connected - asked}
        if context is None:
            return _Connection(handler, connected, None, phases)
        phases["tls"] = self._monotonic() - connected
        certificate = transport.get_extra_info("peercert")
        resumed = transport.get_extra_info("ssl_object").session_reused
        return _Connection(handler, before if resumed else connected, certificate, phases)

    async def _secure(self, place: Origin, *, keep: bool) -> tuple[Any, float]:
        """The TLS context for a connection, and since when the session that it goes on with is."""
        if self._context is None:
            self._context = await self._find_trust()
        session = self._sessions.pop(place, None) if keep else None
        if session is None or self._monotonic() - session.since >= KEPT_FOR:
            return self._context, 0.0
        if session.ends <= utcnow().timestamp():
            return self._context, 0.0
        return GoingOn(self._context, session.session), session.since


async def _connect(addresses: list[Address]) -> Any:
    """A socket to the first address that answers; another one is tried beside a slow one."""
    if len(addresses) == 1:
        return await open_socket(addresses[0])
    places: list[Any] = [
        (family, 1, 6, "", (host, port, 0, 0) if ":" in host else (host, port))
        for family, host, port in addresses
    ]
    return await aiohappyeyeballs.start_connection(
        places, happy_eyeballs_delay=_HEAD_START, interleave=1
    )


async def _read_head(handler: ResponseHandler) -> tuple[Any, StreamReader]:
    """The head of the answer; what a server says before it (1xx) is none. Who says it without end
    would have the loop read until the deadline.
    """
    for _ in range(MAX_EARLY):
        message, content = await handler.read()
        if not 100 <= message.code < 200 or message.code == 101:
            return message, content
    raise no_answer(MAX_EARLY)


async def _read_body(content: StreamReader, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether there was more."""
    body = b""
    while len(body) <= limit:
        chunk = await content.read(limit + 1 - len(body))
        if not chunk:
            return body, False
        body += chunk
    return body[:limit], True


def write_request(request: Request) -> bytes:
    """The request as it goes over the wire. Raises ClientPayloadError for what no header can hold."""
    method, target, body = request.method, request.target, request.body
    named = {name.lower() for name in request.headers}
    fixed = [each for each in target.headers if each[0].lower() not in named]
    lines = [f"{method} {target.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (*fixed, *request.headers.items())]
    if body is not None and "content-type" not in named:
        lines.append("Content-Type: application/octet-stream")
    if body or method not in SAFE:
        lines.append(f"Content-Length: {len(body or b'')}")
    if "connection" not in named and not request.keep:
        lines.append("Connection: close")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise ClientPayloadError("a line break in a header to send")
    return head.encode() + b"\r\n\r\n" + (body or b"")


@lru_cache(maxsize=4096)
def read_target(url: str) -> Target:
    """Where an address leads. Raises ValueError for what is none."""
    parsed = URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.raw_host or not parsed.port:
        raise ValueError("it has no host")
    headers = [("Host", str(parsed.host_port_subcomponent)), ("Accept", "*/*")]
    if parsed.user or parsed.password:
        word = f"{parsed.user or ''}:{parsed.password or ''}".encode()
        headers.append(("Authorization", f"Basic {base64.b64encode(word).decode()}"))
    place = (parsed.scheme, parsed.raw_host, parsed.port)
    return Target(place, parsed.raw_path_qs, tuple(headers))
