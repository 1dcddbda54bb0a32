"""HTTP targets: a request budget, total deadlines, a limit on the body.

Each request uses a connection of its own, as a new user would: a held one hides a full backlog, a
moved name and a certificate that was replaced in the meantime. Who asks for it (`keep`) shares
kept ones, which are opened anew once a minute.
"""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp

from sentinel.adapters.http.arrival import NeverSent, Way
from sentinel.adapters.http.error import FOREIGN, no_status, translate, unusable
from sentinel.adapters.http.exchange import Answer, Connections, Request, read_target
from sentinel.adapters.http.redirect import is_same_origin, leave_origin, next_hop
from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.network.tcp import who_answers
from sentinel.adapters.network.tls import find_trust
from sentinel.clock import utcnow
from sentinel.core.quantity import format_duration
from sentinel.core.servers.pace import Pacer, RequestBudget
from sentinel.errors import (
    AskedToRest,
    NotMeasurable,
    TargetRejected,
    TargetUnreachable,
    WrongTarget,
    name_resource,
)
from sentinel.strict.file import UnreadableFile

MAX_BODY = 65536
_MAX_BACK_OFF = 900.0
_BACK_OFF_WITHOUT_WORD = 30.0
_REDIRECTS = {301, 302, 303, 307, 308}
_STATUSES = range(100, 600)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer: status code, headers, at most `max_body` bytes of body, seconds until it was read.

    `truncated` says that the body went on. `retry_after`: seconds for which a 429 or 503 asks us to
    stay away. `packed` names an encoding that is not undone here: then the body can't be read.
    `phases` are the seconds of what the last request did: `resolve`, `connect` and `tls` only where
    a connection was opened for it, then `answer` to its head, and `body`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    truncated: bool
    retry_after: float | None = None
    certificate_expires: datetime | None = None
    packed: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)


class HttpClient:
    """One HTTP target by base address. Times in seconds. Raises TargetError and its children only.

    What is over the `budget`, or comes faster than it is spread, is not sent. `ca_file` names
    certificates to trust beside the system's, `certificate_file` and `key_file` the one that we
    show.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        budget: RequestBudget | None = None,
        user_agent: str = "sentinel",
        headers: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        ca_file: str = "",
        certificate_file: str = "",
        key_file: str = "",
        resolver: Resolver | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self._bare = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._headers = {**self._bare, **(headers or {})}
        self._pacer = Pacer(budget) if budget else None
        self._wait_until = 0.0
        self._refusal = 0
        self._monotonic = monotonic
        self._ca_file = ca_file
        self._certificate_file, self._key_file = certificate_file, key_file
        self._resolver = resolver or Resolver()
        self._connections = Connections(self._resolver, monotonic, self._find_trust)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,  # noqa: ASYNC109 - the deadline is total, and it is ours to keep
        max_body: int = MAX_BODY,
        redirects: int = 0,
        keep: bool = False,
        bare: bool = False,
    ) -> HttpResponse:
        """Send one request and read the answer within `timeout` seconds in all.

        At most `redirects` redirects are followed, each only on the same host and never from https
        to http. Credentials stay within the origin (scheme, host, port): behind it neither they nor
        any other header of the caller are sent, and a body is not. An answer of 429, or of 503
        that says when to come back, stops all requests of this client for that time. `keep` uses a
        kept connection where one is there, and keeps it. `bare`: without the headers of the
        resource, which may say who asks.
        """
        with name_resource(self.name):
            self._admit_again()
            url = self.base_url.rstrip("/") + path
            usual = self._bare if bare else self._headers
            sent = {**usual, **(headers or {})}
            way = Way()
            work = self._follow(Asked(method, url, sent, body, max_body, keep, way), redirects)
            return self._note(await self._within(timeout, work, way))

    async def _within(
        self, seconds: float, work: Awaitable[HttpResponse], way: Way
    ) -> HttpResponse:
        """The answer, or what kept it from us, in our words."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            raise TargetUnreachable(
                f"no whole answer within {format_duration(seconds)}",
                "is the process frozen, or just too slow?",
            ) from (error if way.connected else NeverSent())
        except aiohttp.ServerDisconnectedError as error:
            raise await self._identify() or translate(error) from error
        except FOREIGN as error:
            raise translate(error) from error

    def succeed(self, former: HttpClient) -> None:
        """Take the place of a client of the same address: what that one sent is spent, and what the
        target asked of it holds.
        """
        if former.base_url != self.base_url:
            return
        self._wait_until, self._refusal = former._wait_until, former._refusal
        if self._pacer is not None and former._pacer is not None:
            budget, self._pacer = self._pacer.budget, former._pacer
            self._pacer.follow(budget)

    async def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def _admit_again(self) -> None:
        """Refuse while the target has asked us to stay away."""
        wait = self._wait_until - self._monotonic()
        if wait > 0:
            error = AskedToRest(
                f"backing off: answered {self._refusal}, not asked again for"
                f" {format_duration(wait)}",
                "the target limits or sheds load: give its checks longer intervals or a budget",
                code=str(self._refusal),
            )
            error.matter = f"backing off: answered {self._refusal}"
            raise error

    def _spend(self) -> None:
        """Take one request of the budget, or refuse."""
        if self._pacer is None:
            return
        wait = self._pacer.take(self._monotonic())
        if wait:
            budget = self._pacer.budget
            raise NotMeasurable(
                f"request budget spent: {budget.requests} per {format_duration(budget.window)},"
                f" next in {format_duration(wait)}",
                "give the checks on this resource longer intervals, or raise its budget",
                code="BUDGET",
            )

    def _note(self, response: HttpResponse) -> HttpResponse:
        wait = read_retry_after(response.status, response.headers.get("Retry-After", ""))
        if wait is None:
            return response
        self._refusal = response.status
        self._wait_until = self._monotonic() + wait
        return replace(response, retry_after=wait)

    async def _follow(self, asked: Asked, redirects: int) -> HttpResponse:
        asked_to_keep = False
        for left in range(redirects, -1, -1):
            response = await self._once(asked)
            target = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not target or redirects == 0:
                return response
            asked_to_keep |= "Set-Cookie" in response.headers
            if left:
                asked = asked.go_on(response.status, target)
        if asked_to_keep:
            raise NotMeasurable(
                f"more than {redirects} redirects, which set a cookie: sentinel keeps none",
                "ask a path that needs no cookie, or send it in `headers` of the check",
                code="COOKIE",
            )
        raise TargetRejected(
            f"more than {redirects} redirects", "a redirect loop?", code=str(response.status)
        )

    async def _once(self, asked: Asked) -> HttpResponse:
        self._spend()
        begin = self._monotonic()
        answer = await self._connections.send(asked.write())
        if answer.status not in _STATUSES:
            raise no_status(answer.status)
        packed = _encoding(answer)
        content, cut = _unpack(answer.body, packed, asked.max_body)
        return HttpResponse(
            answer.status,
            answer.headers,
            content,
            self._monotonic() - begin,
            answer.truncated or cut,
            certificate_expires=_expiry(answer),
            packed="" if packed in _READABLE else packed,
            phases=answer.phases,
        )

    async def _identify(self) -> WrongTarget | None:
        """Redis hangs up on HTTP without a word: ask who it is."""
        parts = urlsplit(self.base_url)
        if parts.scheme != "http" or not parts.hostname:
            return None
        kind = await who_answers(parts.hostname, parts.port or 80, self._resolver)
        if kind in {"", "an HTTP server"}:
            return None
        return WrongTarget(
            f"not an HTTP server: {kind} answers there", "check the address of this resource"
        )

    async def _find_trust(self) -> ssl.SSLContext:
        """Whom we trust, and who we are. A file that can't be read is ours: nobody was asked."""
        try:
            return await asyncio.to_thread(
                find_trust, self._ca_file, self._certificate_file, self._key_file
            )
        except (UnreadableFile, OSError, ValueError) as error:
            text = getattr(error, "message", "") or getattr(error, "strerror", "")
            raise NotMeasurable(
                f"TLS: a file of this resource: {text or error}",
                "look at ca_file, certificate_file and key_file of this resource",
                code="TLS_FILE",
            ) from error


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the caller means it; a redirect makes another one of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_body: int
    keep: bool
    way: Way

    def write(self) -> Request:
        """As it is sent. Raises NotMeasurable."""
        try:
            target = read_target(self.url)
        except ValueError as error:
            raise unusable(error) from None
        return Request(
            self.method, target, self.headers, self.body, self.max_body, self.keep, self.way
        )

    def go_on(self, status: int, location: str) -> Asked:
        """What is asked where a redirect leads. Raises TargetRejected where we do not go."""
        method, body = ("GET", None) if status == 303 else (self.method, self.body)
        hop, headers, keep = next_hop(self.url, location), self.headers, self.keep
        if not is_same_origin(hop, self.url):
            headers = leave_origin(headers, body, hop)
            keep = False  # the server chooses where: nothing of so many places is held
        return replace(self, method=method, body=body, url=hop, headers=headers, keep=keep)


_READABLE = {"", "gzip", "x-gzip", "deflate"}
_GZIP = b"\x1f\x8b"
_MEMBERS = 100
"""So many members of a body are read: what stands behind each one is copied."""
_UNPACKED = {"", "identity", "chunked"}


def _encoding(answer: Answer) -> str:
    """How the body is packed: codings may stand in several headers and lists, and a server may pack
    for the transfer (RFC 9110 §8.4, RFC 9112 §6.1). "" for not at all.
    """
    headers = answer.headers
    lists = [*headers.getall("Content-Encoding", ()), *headers.getall("Transfer-Encoding", ())]
    words = [word.strip().lower() for line in lists for word in line.split(",")]
    return ", ".join(word for word in words if word not in _UNPACKED)


def _unpack(raw: bytes, encoding: str, limit: int) -> tuple[bytes, bool]:
    """Undo gzip or deflate up to `limit` bytes: a bomb does not go off. Other encodings stay as
    they are. As browsers do, deflate is taken with and without its frame; gzip may have several
    members (RFC 1952 §2.2).
    """
    if encoding not in _READABLE - {""} or not raw:
        return raw, False
    framed = encoding != "deflate" or raw[0] & 0x0F == 8
    content = b""
    try:
        for _ in range(_MEMBERS):
            unpacker = zlib.decompressobj(wbits=47 if framed else -15)
            content += unpacker.decompress(raw, limit - len(content) + 1)
            raw = unpacker.unused_data
            if len(content) > limit or not raw.startswith(_GZIP):
                return content[:limit], len(content) > limit
    except zlib.error as error:
        raise TargetRejected(
            f"broken body: {error}", f"the body is not {encoding}, as its header says"
        ) from error
    return content, True


def read_retry_after(status: int, header: str) -> float | None:
    """Seconds to stay away: of 429 always, of 503 only when its header `Retry-After` says so
    (RFC 9110 §10.2.3, RFC 6585 §4).
    """
    if status not in {429, 503}:
        return None
    word = header.strip()
    seconds = float(word) if word.isascii() and word.isdigit() else _until(word)
    if seconds is None:
        return _BACK_OFF_WITHOUT_WORD if status == 429 else None
    return min(max(seconds, 0.0), _MAX_BACK_OFF)


def _until(date: str) -> float | None:
    try:
        when = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # the latter: a zone of twenty digits
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - utcnow().timestamp()


def _expiry(answer: Answer) -> datetime | None:
    certificate = answer.certificate
    return (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
        if certificate
        else None
    )
