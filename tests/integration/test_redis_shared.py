"""Questions that share a connection: in order, and nobody is called down because of a neighbour."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.shape import judge_reply
from sentinel.adapters.redis.shared import AnswerLost, SharedWire, ask
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetUnreachable,
    WrongTarget,
)

PING, PONG = [("PING",)], b"+PONG\r\n"
Script = list[bytes | float | None]
"""What a server does when the questions have come: say bytes, wait, hang up."""


@asynccontextmanager
async def playing(*scripts: Script, timeout: float = 0.3):
    """A server that plays a script on each connection once somebody asks, and a client of it."""
    left = list(scripts)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = left.pop(0) if left else [PONG * 100]
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                if b"PING" not in data:  # its first words
                    writer.write(b"+OK\r\n")
                    continue
                for step in script:
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    elif step is None:
                        writer.transport.abort()
                    else:
                        writer.write(step)
                script = []

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    client = RedisClient(
        "bus", f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", timeout=timeout
    )
    yield client
    await client.close()
    server.close()


async def outcome(client: RedisClient) -> Any:
    """The reply to a PING, or the error."""
    try:
        return (await ask(client, PING))[0]
    except TargetError as error:
        return error


async def three(client: RedisClient) -> list[Any]:
    """What three hear who ask in the same turn."""
    return await asyncio.gather(*(outcome(client) for _ in range(3)))


async def test_1500_who_ask_at_once_share_one_connection(valkey):
    """Each has the answers to its own questions, errors among them; nobody waits for a pool."""
    client = RedisClient("bus", valkey.url)
    await client.call("SET", "text", "x")

    async def one(n: int) -> None:
        first, wrong, last = await ask(
            client, [("ECHO", f"a{n}"), ("XLEN", "text"), ("ECHO", f"b{n}")]
        )
        assert (first, last) == (f"a{n}".encode(), f"b{n}".encode())
        assert isinstance(wrong, SubjectError)

    await asyncio.gather(*(one(n) for n in range(1500)))
    admin = redis.Redis(port=valkey.port)
    assert sum(each["name"] == "sentinel" for each in admin.client_list()) <= 2  # one is of `call`
    await client.close()


async def test_who_gives_up_leaves_no_answer_to_the_next(valkey):
    """Cancelled before and after it was sent: the others hear what they asked."""
    client = RedisClient("bus", valkey.url)
    for n in range(60):
        asked = [asyncio.create_task(ask(client, [("ECHO", f"{n}/{i}")])) for i in range(3)]
        for _ in range(n % 7):
            await asyncio.sleep(0)
        asked[1].cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [found[0], found[2]] == [[f"{n}/0".encode()], [f"{n}/2".encode()]]
    await client.close()


async def test_silence_concerns_the_first_in_line():
    """The first hears nothing and knows it; the server takes a new connection, so nobody knows of
    the others' questions.
    """
    async with playing([5.0]) as client:
        first, *others = await three(client)
    assert isinstance(first, TargetUnreachable)
    assert "no answer in time" in first.message
    assert all(isinstance(each, NotMeasurable) for each in others)


async def test_an_answer_that_is_slow_to_come_keeps_nobody_from_theirs():
    """While bytes flow nobody is given up."""
    slow: Script = [b"$10\r\n", *[b"ab", 0.15] * 5, b"\r\n" + PONG * 2]
    async with playing(slow, timeout=0.5) as client:
        assert await three(client) == [b"ab" * 5, b"PONG", b"PONG"]


async def test_an_answer_without_end_is_our_limit():
    """Whoever asked for it is told that; those behind it are unknown; the next one is served."""
    endless: Script = [b"$1000000\r\n", *[b"ab", 0.02] * 200]
    async with playing(endless, timeout=0.1) as client:
        first, *others = await three(client)
        assert isinstance(first, NotMeasurable)
        assert "goes on for more than" in first.message
        assert all(isinstance(each, NotMeasurable) for each in others)
        assert await outcome(client) == b"PONG"


@pytest.mark.parametrize(
    ("reply", "error"),
    [(b"*100000000\r\n", NotMeasurable), (b"?what\r\n", WrongTarget)],
)
async def test_a_hostile_answer_spoils_no_other_verdict(reply: bytes, error: type[TargetError]):
    """What can't be an answer concerns who asked; nobody is down because of it."""
    async with playing([reply + PONG * 2]) as client:
        first, *others = await three(client)
        assert isinstance(first, error)
        assert all(isinstance(each, NotMeasurable) for each in others)
        assert await outcome(client) == b"PONG"


async def test_an_answer_to_nothing_is_no_answer_to_the_next():
    """Order is all that binds answers to questions: a connection that lost it is closed."""
    async with playing([PONG * 4]) as client:
        assert await three(client) == [b"PONG"] * 3
        await asyncio.sleep(0)
        assert isinstance(await outcome(client), WrongTarget)


async def test_a_connection_that_was_closed_while_idle_is_no_fault(valkey):
    """Servers close what was idle: the next question opens another one."""
    client = RedisClient("bus", valkey.url)
    assert await outcome(client) == b"PONG"
    redis.Redis(port=valkey.port).client_kill_filter(_type="normal", skipme=True)
    async with asyncio.timeout(5):
        while client.lines[""]._serving is not None:
            await asyncio.sleep(0.001)
    assert await outcome(client) == b"PONG"
    await client.close()


async def test_closed_in_the_moment_of_a_question_is_unknown():
    """It had answered before, and takes a new connection: nobody is down."""
    async with playing([PONG, None]) as client:
        answers = await three(client)
    assert answers[0] == b"PONG"
    assert all(isinstance(each, NotMeasurable) for each in answers[1:])


async def test_idle_connections_that_are_reset_are_no_failure():
    """Two lines at once, as a failover behind a proxy does it: the next question is simply asked."""
    ended: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(writer)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(PONG if b"PING" in data else b"+OK\r\n")

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = RedisClient("bus", f"redis://127.0.0.1:{port}/0", timeout=5)
    wire = SharedWire(client, "canary")
    for _ in range(2):
        assert (await ask(client, PING), await wire.call("PING")) == ([b"PONG"], b"PONG")
        served = list(client.lines.values())
        for writer in ended:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        ended.clear()
        while any(line._serving is not None for line in served):
            await asyncio.sleep(0)
        assert client.wait_for_next_try == 0
    await client.close()
    server.close()


async def test_who_hangs_up_at_once_is_unreachable():
    """A connection that never answered and was closed is a fault of the server."""
    async with playing([None], [None], [None]) as client:
        first, *_others = await three(client)
    assert isinstance(first, TargetUnreachable)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_server_that_is_gone_is_down_for_all(own_valkey, how: signal.Signals):
    """Frozen or killed: those behind the first hear it from the next connection."""
    client = RedisClient("bus", own_valkey.url, timeout=0.3)
    assert await outcome(client) == b"PONG"
    os.kill(own_valkey.process.pid, how)
    try:
        answers = await three(client)
    finally:
        os.kill(own_valkey.process.pid, signal.SIGCONT)
    assert all(isinstance(each, TargetUnreachable) for each in answers), answers
    await client.close()


async def test_closing_the_client_leaves_nobody_waiting():
    """Who asked something is told so, and that it was us: no answer of the server is lost by it, which
    a canary would call its fault.
    """
    async with playing([30.0], timeout=20.0) as client:
        asked = asyncio.create_task(outcome(client))
        await asyncio.sleep(0.05)
        await client.close()
        told = await asked
        assert isinstance(told, NotMeasurable)
        assert not isinstance(told, AnswerLost)
        assert "closed meanwhile" in told.message


@pytest.mark.parametrize("line", ["used_memory:x", "used_memory:", "maxmemory:1.5", "loading:1 2"])
@pytest.mark.parametrize("frame", ["{}", "{}\r\nrole:master", "role:master\r\n{}\r\n", "a:b\n{}\n"])
def test_a_figure_that_is_none_makes_no_info(line: str, frame: str):
    """Wherever it stands; a sound one passes, and so does what only looks like one."""
    judge: Callable[[str], Any] = lambda text: judge_reply(("INFO",), text.encode())  # noqa: E731
    assert isinstance(judge(frame.format(line)), WrongTarget)
    for sound in ("used_memory:-7", "loading:0", "xused_memory:x", "used_memory_human:1.1M"):
        assert isinstance(judge(frame.format(sound)), bytes)
