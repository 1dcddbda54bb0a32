"""Our own reading of replies, with redis-py as the oracle."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.resp import encode, exchange, pipeline
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetUnreachable,
)

KEYS = [b"a", b"b", "grün".encode(), b"\xff\r\n", b""]
VALUES = [
    b"",
    b"x",
    b"\r\n$5\r\n",
    b"\x00" * 9,
    "é".encode() * 2000,
    b"-ERR not an error\r\n",
    7,
    -3,
    1.5,
]


def draw(rng: random.Random) -> tuple:
    """A command, right or wrong, that gives the same reply whenever it is run after the same
    others.
    """
    key, value = rng.choice(KEYS), rng.choice(VALUES)
    return rng.choice(
        [
            ("SET", key, value), ("GET", key), ("APPEND", key, value), ("STRLEN", key), ("TYPE", key), ("DEL", key),
            ("INCR", key), ("LPUSH", key, value), ("LRANGE", key, 0, -1), ("HSET", key, "f", value), ("HGETALL", key),
            ("XADD", key, f"{rng.randint(1, 50)}-*", "f", value), ("XRANGE", key, "-", "+"), ("XINFO", "STREAM", key),
            ("XINFO", "GROUPS", key), ("XGROUP", "CREATE", key, "g", "0"), ("NOSUCH", key), ("GET",), ("MULTI",),
            ("EXEC",), ("EXISTS", *KEYS), ("LPOP", key, 5),
            ("EVAL", "return {1, {'a', {}}, false, redis.error_reply('BAD inside')}", 0),
        ]
    )  # fmt: skip


def plain(reply):
    """A reply with its errors as kinds and texts."""
    if isinstance(reply, TargetError):
        return type(reply).__name__, reply.message, reply.code
    return [plain(each) for each in reply] if isinstance(reply, list) else reply


def neutral(reply):
    """Errors inside of a reply stay redis-py's own there."""
    if isinstance(reply, list):
        return [neutral(each) for each in reply]
    return "error" if isinstance(reply, Exception) else reply


@pytest.fixture(params=["valkey", "redis7"])
async def server(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("seed", range(4))
async def test_replies_are_those_of_redis_py(server, seed):
    """300 random commands, one write: each reply equals what redis-py reads of the same commands."""
    rng = random.Random(seed)
    commands = [draw(rng) for _ in range(300)] + [("DISCARD",)]
    admin, client = redis.Redis(port=server.port), RedisClient("x", server.url)
    admin.flushall()
    expected = await client.pipeline(commands)
    admin.flushall()
    found = await pipeline(client, commands)
    await client.close()
    assert len(found) == len(expected)
    for command, ours, theirs in zip(commands, found, expected, strict=True):
        if isinstance(theirs, TargetError):
            assert plain(ours) == plain(theirs), command
        else:
            assert neutral(ours) == neutral(theirs), command


async def test_a_megabyte_each_way_does_not_jam(valkey):
    """Write and read go on at the same time, far beyond what sockets buffer."""
    client = RedisClient("x", valkey.url)
    redis.Redis(port=valkey.port).set("big", b"z" * 100_000)
    replies = await pipeline(
        client, [("GET", "big")] * 300 + [("SET", f"k{n}", b"y" * 100_000) for n in range(100)]
    )
    assert [len(reply) for reply in replies[:300]] == [100_000] * 300
    assert replies[300:] == [b"OK"] * 100
    await client.close()


async def test_errors_are_in_our_words(valkey):
    """Wrong type, unknown command, no permission: the classes and codes of `RedisClient`."""
    client = RedisClient("x", valkey.url)
    admin = redis.Redis(port=valkey.port)
    admin.set("text", "x")
    wrong, unknown, missing = await pipeline(
        client, [("XINFO", "STREAM", "text"), ("NOSUCH",), ("XINFO", "STREAM", "-")]
    )
    assert isinstance(wrong, SubjectError)
    assert wrong.code == "WRONGTYPE"
    assert isinstance(unknown, TargetRejected)
    assert (type(missing), missing.code) == (SubjectError, "NOKEY")
    admin.execute_command("ACL", "SETUSER", "blind", "on", ">secret", "+client|setname")
    blind = RedisClient("x", f"redis://blind:secret@127.0.0.1:{valkey.port}/0")
    (refused,) = await pipeline(blind, [("TIME",)])
    assert isinstance(refused, NotMeasurable)
    assert "time" in refused.message
    admin.execute_command("ACL", "DELUSER", "blind")
    await client.close()
    await blind.close()


async def serve(answer: bytes, *, reset: bool = False):
    """A server that says this to anything, and then stays silent, or hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(65536):
            if b"SETNAME" in received or b"SETINFO" in received:
                writer.write(b"+OK\r\n")
                continue
            writer.write(answer)
            await writer.drain()
            if reset:
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                break
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def test_silence_is_unreachable_and_next_try_waits(valkey):
    """Half a reply and then nothing: no answer in time; the connection is not used again."""
    server, url = await serve(b"*2\r\n:1\r\n")
    client = RedisClient("x", url, timeout=0.2)
    with pytest.raises(TargetUnreachable, match="no answer in time"):
        await exchange(client, encode(("TIME",)), 1)
    with pytest.raises(TargetUnreachable, match="next try in"):
        await exchange(client, encode(("TIME",)), 1)
    server.close()
    await client.close()


async def test_nothing_to_send_leaves_the_loop_at_rest(valkey):
    """No command, no reply: since Python 3.12 an empty write would be tried again for ever."""
    client = RedisClient("x", valkey.url)
    await client.call("PING")
    assert await exchange(client, b"", 0) == []
    before = time.process_time()
    await asyncio.sleep(0.2)
    assert time.process_time() - before < 0.1
    await client.close()


async def test_hang_up_is_unreachable():
    """The server goes away in the middle of a reply."""
    server, url = await serve(b"*2\r\n:1\r\n", reset=True)
    client = RedisClient("x", url, timeout=5)
    with pytest.raises(TargetUnreachable):
        await exchange(client, encode(("TIME",)), 1)
    server.close()
    await client.close()


async def test_another_protocol_is_the_wrong_target():
    """Something that is no RESP."""
    server, url = await serve(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client = RedisClient("x", url, timeout=5)
    with pytest.raises(TargetError, match="not a Redis server"):
        await exchange(client, encode(("TIME",)), 1)
    server.close()
    await client.close()


async def test_cancelled_read_leaves_no_reply_behind(valkey):
    """A run that is cut off closes its connection: the next one reads its own replies."""
    client = RedisClient("x", valkey.url, max_connections=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await exchange(client, encode(("BLPOP", "nothing", 1)), 1)
    assert await pipeline(client, [("ECHO", "mine")]) == [b"mine"]
    await client.close()
