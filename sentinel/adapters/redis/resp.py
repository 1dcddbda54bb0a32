"""Many commands in one write, their replies in one loop over `hiredis.Reader`.

redis-py awaits each reply by itself, with a timer: 5 µs where the parser needs 0.5. Connecting,
credentials, TLS and the pool stay redis-py's, and it is the oracle of the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis import exceptions as rx
from redis._parsers import BaseParser

from sentinel.adapters.redis.client import Command, RedisClient, translate
from sentinel.adapters.redis.gate import GatedReader
from sentinel.adapters.redis.shape import judge_reply
from sentinel.errors import TargetError

READ_BYTES = 2**18


def encode(command: Command) -> bytes:
    """A command as a RESP array of bulk strings; numbers and text as UTF-8."""
    parts = [_to_bytes(part) for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(
        [b"$%d\r\n%s\r\n" % (len(part), part) for part in parts]
    )


def _to_bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


def encode_all(commands: Iterable[Command]) -> bytes:
    """Commands one after another."""
    return b"".join(map(encode, commands))


async def exchange(client: RedisClient, payload: bytes, count: int) -> list[Any]:
    """Send encoded commands in one write; their `count` replies. A command that failed yields its
    TargetError.

    Raises TargetError when the server can't be reached or gives no byte for the client's timeout.
    """
    replies: list[Any] = []
    reader = make_reader()

    def take(received: bytes) -> bool:
        reader.feed(received)
        while len(replies) < count and (reply := reader.gets()) is not False:
            replies.append(reply)
        return len(replies) >= count

    await converse(client, payload, take)
    return replies


async def converse(client: RedisClient, payload: bytes, take: Callable[[bytes], bool]) -> None:
    """Send encoded commands in one write, and hand over what comes back until `take` has all.
    Raises as `exchange`.
    """
    if not payload:
        # Since Python 3.12 an empty write never leaves the buffer of asyncio: its loop spins for as
        # long as the connection lives, and closing it waits in vain.
        take(b"")
        return
    async with client.borrow() as connection:
        sending = asyncio.ensure_future(connection.send_packed_command(payload, check_health=False))
        sending.add_done_callback(_take_note)
        try:
            await _receive(connection, take, client.timeout)
            await sending
        finally:
            sending.cancel()


def _take_note(sending: asyncio.Future[None]) -> None:
    """A write that failed is told by the read that failed with it."""
    if not sending.cancelled():
        sending.exception()


async def _receive(connection: Any, take: Callable[[bytes], bool], timeout: float) -> None:  # noqa: ASYNC109
    stream: asyncio.StreamReader = connection._reader
    complete = take(b"")
    while not complete:
        async with asyncio.timeout(timeout):
            received = await stream.read(READ_BYTES)
        if not received:
            raise rx.ConnectionError("Connection closed by server.")
        complete = take(received)


def make_reader() -> Any:
    """A parser of RESP2: errors of the server become values in our words."""
    return GatedReader(protocolError=rx.InvalidResponse, replyError=_refuse)


def _refuse(text: str) -> TargetError:
    return translate(BaseParser.parse_error(text))  # type: ignore[no-untyped-call]


async def pipeline(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
    """As `RedisClient.pipeline`."""
    replies = await exchange(client, encode_all(commands), len(commands))
    return [judge_reply(*pair) for pair in zip(commands, replies, strict=True)]
