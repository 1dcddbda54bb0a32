"""Plain TCP: connect, say something, read the answer, all within one deadline."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sentinel.adapters.network.resolver import Address, Resolver
from sentinel.errors import NotMeasurable, TargetError, TargetUnreachable

OUR_FAULT = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What came of it: seconds until connected, seconds until the answer was read, and the answer."""

    connected: float
    seconds: float
    answer: bytes


async def converse(
    host: str,
    port: int,
    *,
    deadline: float,
    resolver: Resolver,
    send: bytes = b"",
    until: bytes = b"",
    limit: int = 4096,
    monotonic: Callable[[], float] = time.monotonic,
) -> Conversation:
    """Connect to the first address that answers, write `send`, read until `until` occurs.

    Reading ends at `until`, at the end of the stream, or after `limit` bytes; without `until`
    nothing is read.
    `deadline` bounds connecting and reading together, in seconds. Raises
    TargetUnreachable (refused, reset, too late) or NotMeasurable (name resolution, our own
    descriptors).
    """
    addresses = await resolver.addresses(host, port)
    begin = monotonic()
    connected = 0.0
    try:
        async with asyncio.timeout(deadline):
            connection = await _connect(addresses, deadline)
            connected = monotonic() - begin
            try:
                answer = await _exchange(connection, send, until, limit)
            finally:
                connection.close()
    except TimeoutError as error:
        what = f"connected in {connected:.3f} s, then no answer" if connected else "no connection"
        raise TargetUnreachable(
            f"no answer in time: {what} within {deadline:g} s",
            "is the process frozen, or the network black-holed?",
        ) from error
    except OSError as error:
        raise unreachable(error) from error
    return Conversation(connected, monotonic() - begin, answer)


async def _connect(addresses: list[Address], deadline: float) -> socket.socket:
    """Each address gets its share of the time, so that a black hole at the first does not hide the
    second.
    """
    *others, last = addresses
    for address in others:
        try:
            async with asyncio.timeout(deadline / len(addresses)):
                return await open_socket(address)
        except OSError:
            continue
    return await open_socket(last)


async def open_socket(address: Address) -> socket.socket:
    """A connection to one address, without streams around it: they cost more than the connection
    itself. Raises OSError; close it yourself.
    """
    family, host, port = address
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        error = connection.connect_ex((host, port))
        if error == errno.EINPROGRESS:
            await _writable(connection.fileno())
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"{os.strerror(error)} ({_join_address(host, port)})")
    except BaseException:
        connection.close()
        raise
    return connection


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _exchange(connection: socket.socket, send: bytes, until: bytes, limit: int) -> bytes:
    loop = asyncio.get_running_loop()
    if send:
        await loop.sock_sendall(connection, send)
    answer = b""
    while until and until not in answer and len(answer) < limit:
        chunk = await loop.sock_recv(connection, limit - len(answer))
        if not chunk:
            break
        answer += chunk
    return answer


_GREETINGS = {
    b"+PONG": "a Redis server",
    b"-NOAUTH": "a Redis server",
    b"-ERR": "a Redis server",
    b"-DENIED": "a Redis server",
    b"HTTP/": "an HTTP server",
    b"<!DOCTYPE": "an HTTP server",
}


_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


async def who_answers(host: str, port: int, resolver: Resolver) -> str:
    """Which kind of server is it that does not speak our protocol? One line asks it; "" if unclear.

    PostgreSQL hangs up on that line without a word, but answers its own greeting with one letter.
    """
    ask = partial(converse, host, port, deadline=0.5, resolver=resolver)
    try:
        talk = await ask(send=b"PING\r\n\r\n", until=b"\n", limit=64)
        kind = next(
            (kind for start, kind in _GREETINGS.items() if talk.answer.startswith(start)), ""
        )
        if kind or talk.answer:
            return kind
        return (
            "PostgreSQL"
            if (await ask(send=_SSL_REQUEST, until=b"\n", limit=1)).answer in {b"S", b"N"}
            else ""
        )
    except TargetError:
        return ""


def _say_cause(error: OSError) -> str:
    """In the system's words: asyncio says `Connect call failed` for whatever it was."""
    text = error.strerror or str(error) or type(error).__name__
    called, _, address = text.partition("Connect call failed ")
    if address and not called and error.errno:
        return f"{os.strerror(error.errno)} ({_say_address(address)})"
    return text


def _say_address(text: str) -> str:
    """`host:port` of what asyncio prints as a tuple; anything else as it stands."""
    found = _TUPLE.match(text)
    if not found:
        return text
    return _join_address(*found.groups())


def _join_address(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_TUPLE = re.compile(r"\('([^']*)', (\d+)")


def unreachable(error: OSError) -> TargetError:
    """A socket error in our words: out of descriptors or forbidden is ours, all else is the
    target's.
    """
    text = _say_cause(error)
    if error.errno in OUR_FAULT:
        return NotMeasurable(
            f"own limit: {text}", "raise sentinel's own limits (ulimit -n), or look at its firewall"
        )
    return TargetUnreachable(
        f"unreachable: {text}", "is the process running, and the address right?"
    )
