"""Redis and Valkey: raw replies in bytes, no silent retry, every error in our words.

redis-py's defaults retry ten times, which notices a frozen server after 58.7 s and runs XADD twice
when a reply is lost (reliability.md §1.3); here a command is sent once.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis.asyncio as aredis
from redis import exceptions as rx
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sentinel.adapters.network.reconnect import Reconnect
from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.network.tcp import OUR_FAULT, who_answers
from sentinel.adapters.network.tls import judge_certificate
from sentinel.adapters.redis.address import UnreadableFile, plain_url, share_time
from sentinel.adapters.redis.gate import GatedParser, TooMuch
from sentinel.adapters.redis.shape import judge_reply
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
    name_resource,
)

if TYPE_CHECKING:
    from sentinel.adapters.redis.shared import SharedLine

Command = Sequence[Any]
_OWN_PATIENCE = 2
"""So many timeouts of an answer may pass until one of our own connections is free: whoever waits for
its neighbours learns nothing of the server, and ends as unknown.
"""

_GUIDANCE = {
    "OOM": "free memory or raise maxmemory: writes are refused although reads and PING work",
    "READONLY": "the server is a replica: point the address at the primary",
    "MASTERDOWN": (
        "this replica has lost its primary: bring that back, or point the address at the new one"
    ),
    "MISCONF": "persistence fails: look at the server's disk and log",
    "NOREPLICAS": "too few replicas are in sync (min-replicas-to-write)",
    "BUSY": "a script blocks the server: SCRIPT KILL, or wait",
    "CLUSTERDOWN": "the cluster lacks slots: look at CLUSTER INFO",
}


class RedisClient:
    """One logical server. Replies are RESP2 as sent: bytes, ints, lists, None. Times in seconds.

    Raises TargetError and its children only. Safe to share between tasks; `dedicated()` gives a
    client with a connection of its own for commands that block.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        password: str | None = None,
        timeout: float = 2.0,
        max_connections: int = 8,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._url, self._password, self._timeout, self._monotonic = (
            url,
            password,
            timeout,
            monotonic,
        )
        credentials = {"password": password} if password else {}
        pool: aredis.BlockingConnectionPool = aredis.BlockingConnectionPool.from_url(
            plain_url(url),
            max_connections=max_connections,
            timeout=_OWN_PATIENCE * timeout,
            decode_responses=False,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            client_name="sentinel",
            driver_info=None,
            parser_class=GatedParser,
            **credentials,
        )
        share_time(pool)
        self._client = aredis.Redis(connection_pool=pool)
        self._client.response_callbacks.clear()
        self._pool = pool
        self._reconnect = Reconnect(f"{name} (Redis)", monotonic)
        self.lines: dict[str, SharedLine] = {}
        """Connections that many share, by what goes over them (`sentinel/adapters/redis/shared.py`)."""

    async def call(self, *command: Any) -> Any:
        """Send one command, once; the raw reply."""
        async with self._translated():
            reply = await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
            reply = judge_reply(command, reply)
            if isinstance(reply, TargetError):
                raise reply
            return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one write. A command that failed yields its TargetError as the value."""
        replies = await self._send(commands)
        return [judge_reply(*pair) for pair in zip(commands, replies, strict=True)]

    async def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """MULTI … EXEC: an atomic snapshot or an atomic change. A failed command yields its
        TargetError.

        Raises the first refusal when the server did not run it as a whole. The client library's own
        transaction takes whatever EXEC answers for a list: of a text it makes numbers.
        """
        if not commands:
            return []
        with name_resource(self.name):
            replies = await self._send([("MULTI",), *commands, ("EXEC",)])
            refusal = find_refusal(commands, replies)
            if refusal is not None:
                raise refusal
        return unpack_transaction(commands, replies)

    async def transactions(self, batches: Sequence[Sequence[Command]]) -> list[list[Any]]:
        """Many atomic snapshots in one write: each batch is a MULTI … EXEC of its own.

        A command that failed yields its TargetError; one that the server refused to queue fails its
        whole batch.
        """
        flat = [c for batch in batches for c in (("MULTI",), *batch, ("EXEC",))]
        replies = iter(await self._send(flat))
        return [
            unpack_transaction(batch, [next(replies) for _ in range(len(batch) + 2)])
            for batch in batches
        ]

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        async with self._translated(), self._client.pipeline(transaction=False) as pipe:
            pipe.annotate_exception = _keep  # type: ignore[assignment]
            for command in commands:
                pipe.execute_command(*command)
            replies = await pipe.execute(raise_on_error=False)
        return [
            translate(reply) if isinstance(reply, rx.RedisError) else reply for reply in replies
        ]

    def dedicated(self, timeout: float | None = None) -> RedisClient:
        """A client with one connection of its own, for blocking reads; close it yourself."""
        return RedisClient(
            self.name,
            self._url,
            password=self._password,
            timeout=timeout or self._timeout,
            max_connections=1,
            monotonic=self._monotonic,
        )

    def at(self, host: str, port: int) -> RedisClient:
        """A client for another node of the same cluster: same credentials, same times; close it
        yourself.
        """
        parts = urlsplit(self._url)
        credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return RedisClient(
            f"{self.name} {place}",
            parts._replace(netloc=credentials + place).geturl(),
            password=self._password,
            timeout=self._timeout,
            monotonic=self._monotonic,
        )

    @property
    def host(self) -> str:
        """The host of its address; "" for a socket in the file system."""
        return urlsplit(self._url).hostname or ""

    async def close(self) -> None:
        """Close all connections."""
        for line in self.lines.values():
            await line.close()
        await self._client.aclose()
        await self._pool.disconnect()

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[AbstractConnection]:
        """A pooled connection for code that writes and reads by itself; errors come out in our
        words.

        It is closed when the block does not end normally: replies may still be under way.
        """
        async with self._translated():
            connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                yield connection
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._pool.release(connection)

    @property
    def wait_for_next_try(self) -> float:
        """Seconds until a connection may be tried again."""
        return self._reconnect.wait

    @property
    def timeout(self) -> float:
        """Seconds without a byte after which an answer is given up."""
        return self._timeout

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        with name_resource(self.name):
            async with self._watched():
                yield

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        self._reconnect.admit()
        try:
            yield
        except (rx.RedisError, OSError) as error:
            ours = translate(error)
            if "closed by server" in ours.message and await self._is_postgres():
                ours = _wrong_server("PostgreSQL answers there", "")
            if isinstance(ours, TargetUnreachable) and await self._is_without_tls():
                ours = NotMeasurable(
                    "TLS: the server speaks none there", "write redis:// instead of rediss://"
                )
            if isinstance(ours, TargetUnreachable | WrongTarget) or ours.code in _CREDENTIALS:
                self._reconnect.failed(ours)
            raise ours from error
        self._reconnect.succeeded()

    async def _is_without_tls(self) -> bool:
        """A Redis waits for the end of a line that a TLS greeting never has."""
        parts = urlsplit(plain_url(self._url))
        if parts.scheme != "rediss":
            return False
        kind = await who_answers(self.host, parts.port or 6379, Resolver(deadline=0.5))
        return kind == "a Redis server"

    async def _is_postgres(self) -> bool:
        """A PostgreSQL hangs up on a Redis command without a word, but answers one letter to its
        own greeting.
        """
        place = self._pool.connection_kwargs
        answer = b""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(min(self._timeout, 0.5)):
                reader, writer = await asyncio.open_connection(
                    place.get("host", "localhost"), place.get("port", 6379)
                )
                with closing(writer):
                    writer.write(_SSL_REQUEST)
                    answer = await reader.read(1)
        return answer in {b"S", b"N"}


def _keep(error: BaseException, number: int, command: object) -> None:
    """Leave a server's error as it came: the client library would put the command, payload and all,
    before its code.
    """


_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def find_refusal(batch: Sequence[Command], replies: list[Any]) -> TargetError | None:
    """Why the server did not run a transaction as a whole, by its replies from MULTI to EXEC."""
    for reply in replies:
        if isinstance(reply, TargetError):
            return reply
    if not isinstance(replies[-1], list) or len(replies[-1]) != len(batch):
        wrong: TargetError = judge_reply(("EXEC",), replies[-1])
        return wrong
    return None


def unpack_transaction(batch: Sequence[Command], replies: list[Any]) -> list[Any]:
    """Replies of the commands between MULTI and EXEC."""
    refusal = find_refusal(batch, replies)
    if refusal is not None:
        return [refusal] * len(batch)
    return [
        translate(reply) if isinstance(reply, rx.RedisError) else judge_reply(command, reply)
        for command, reply in zip(batch, replies[-1], strict=True)
    ]


_CREDENTIALS = {"NOAUTH", "WRONGPASS"}


_NO_MULTI = "EXEC without MULTI"
"""MULTI was refused, and nothing but a missing right refuses MULTI."""
_DISCARDED = "Transaction discarded because of: "
_NOT_OK = {"Error setting client name", "Invalid Database"}
"""What the client library says of an answer to its first words that is neither OK nor an error."""


_MAX_SAID = 1000
"""Characters of what a server says that are kept."""


def translate(error: BaseException) -> TargetError:
    """A client library's error in our words: who is to blame, what to do next."""
    text = str(error)[:_MAX_SAID].strip() or type(error).__name__
    if _NO_MULTI in text:
        return NotMeasurable(
            "permission denied: the 'multi' command", "add +multi to sentinel's ACL", code="NOPERM"
        )
    if isinstance(error.__context__, socket.gaierror):
        return NotMeasurable(f"name resolution: {text}", "correct the name of the host", code="DNS")
    ours = _by_cause(error.__context__, text)
    if ours:
        return ours
    text = _say_cause(error.__context__, text)
    if "DB index" in text:
        return NotMeasurable(
            f"no such database: {text}", "correct the number behind the address", code="DB"
        )
    if isinstance(error, rx.ConnectionError) and text in _NOT_OK:
        return _wrong_server(f"a reply that can't be: {text}", "")
    text = text.rpartition(_DISCARDED)[2]
    code = _code(error, text)
    if code in _CUT_OFF and not text.startswith(code):
        text = f"{code} {text}"
    for kind, make in _BY_TYPE:
        if isinstance(error, kind):
            return make(text, code)
    return _by_code(text, code)


def _by_cause(cause: BaseException | None, text: str) -> TargetError | None:
    """What kept us from connecting and is our side: a certificate, a file of it, a limit."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return judge_certificate(cause, "ssl_ca_certs")
    if isinstance(cause, ssl.SSLError | TypeError | UnreadableFile):
        return NotMeasurable(
            f"TLS: {text}", "look at the ssl_ options of this resource's address", code="TLS"
        )
    if isinstance(cause, OSError) and cause.errno in OUR_FAULT:
        return NotMeasurable(
            f"own limit: {text}", "raise sentinel's own limits (ulimit -n), or look at its rights"
        )
    return None


def _say_cause(cause: BaseException | None, text: str) -> str:
    """A connection that failed in the system's words, as for every other target."""
    found = _NOT_CONNECTED.match(text)
    if found and isinstance(cause, OSError) and cause.errno:
        return f"{os.strerror(cause.errno)} ({found[1]})"
    return text


_NOT_CONNECTED = re.compile(r"Error \d+ connecting to (\S+)\. ")


def _code(error: BaseException, text: str) -> str:
    for kind, code in _CODE_OF_TYPE.items():
        if isinstance(error, kind):
            return code
    first = text.split(" ", 1)[0].rstrip(":")
    return first if first.isupper() else ""


_CODE_OF_TYPE: dict[type[BaseException], str] = {
    rx.NoPermissionError: "NOPERM",
    rx.AuthenticationError: "WRONGPASS",
    rx.OutOfMemoryError: "OOM",
    rx.ReadOnlyError: "READONLY",
    rx.BusyLoadingError: "LOADING",
    rx.MasterDownError: "MASTERDOWN",
    rx.ClusterDownError: "CLUSTERDOWN",
    rx.MovedError: "MOVED",
    rx.AskError: "ASK",
    rx.TryAgainError: "TRYAGAIN",
    rx.ClusterCrossSlotError: "CROSSSLOT",
}

_CUT_OFF = {*_CODE_OF_TYPE.values()} - {"WRONGPASS"}
"""Codes that the client library takes off a message: operators search for them."""


def _credentials(text: str, code: str) -> TargetError:
    return NotMeasurable(
        f"credentials refused: {text}", "check user and password of this resource", code=code
    )


def _timed_out(text: str, _code: str) -> TargetError:
    return TargetUnreachable(
        f"no answer in time: {text}", "is the server frozen, or the network black-holed?"
    )


def _starting(text: str, code: str) -> TargetError:
    return TargetStarting(f"starting: {text}", "wait: the server loads its data", code=code)


def _no_permission(text: str, code: str) -> TargetError:
    return NotMeasurable(
        f"permission denied: {text}",
        "add the rule that the message names to sentinel's ACL",
        code=code,
    )


def _unreachable(text: str, _code: str) -> TargetError:
    if "No connection available" in text:
        return _pool_exhausted(text, _code)
    if "max number of clients" in text:
        return NotMeasurable(
            f"no connection left: {text}", "raise maxclients, or find who leaks connections"
        )
    return TargetUnreachable(
        f"unreachable: {text}", "is the server running, and the address right?"
    )


def _wrong_server(text: str, _code: str) -> TargetError:
    return WrongTarget(
        f"not a Redis server: {text}", "check the address: another kind of server answers there"
    )


def _too_much(text: str, _code: str) -> TargetError:
    return NotMeasurable(text, "who answers at this address, and why so much?", code="SIZE")


def _pool_exhausted(text: str, _code: str) -> TargetError:
    return NotMeasurable(
        f"own connection pool exhausted: {text}", "sentinel's own limit, not the server's"
    )


_BY_TYPE: list[
    tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[str, str], TargetError]]
] = [
    (rx.NoPermissionError, _no_permission),
    (rx.AuthenticationError, _credentials),
    (rx.BusyLoadingError, _starting),
    (rx.MaxConnectionsError, _pool_exhausted),
    ((rx.TimeoutError, TimeoutError), _timed_out),
    (TooMuch, _too_much),
    (rx.InvalidResponse, _wrong_server),
    (rx.ConnectionError, _unreachable),
    (OSError, _unreachable),
]


def _by_code(text: str, code: str) -> TargetError:
    if code in {"NOAUTH", "WRONGPASS"}:
        return _credentials(text, code)
    if code == "NOPERM":
        return _no_permission(text, code)
    if code in {"WRONGTYPE", "NOGROUP"} or "no such key" in text:
        return SubjectError(text, "check the stream and group names", code=code or "NOKEY")
    return TargetRejected(text, _GUIDANCE.get(code, ""), code=code)
