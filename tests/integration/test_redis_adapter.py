"""The Redis client against real servers and hostile ones: one try, in time, in our words, never out
of step.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.shape import judge_reply
from sentinel.core.fault import Status
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetRejected,
    TargetUnreachable,
    WrongTarget,
)


@pytest.fixture
async def client(valkey):
    made = RedisClient("bus", valkey.url)
    yield made
    await made.close()


async def _serve(handler) -> tuple[asyncio.Server, str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    return server, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def test_valkey_is_a_scheme_too(valkey):
    """valkey:// is what the documentation of Valkey writes."""
    client = RedisClient("bus", valkey.url.replace("redis://", "valkey://"))
    assert await client.call("PING") == b"PONG"
    await client.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("127.0.0.1", "no-such-host.invalid"), "name resolution"),
        (("/0", "/9999"), "no such database"),
    ],
)
async def test_an_address_that_is_wrong_says_nothing_of_the_server(valkey, change, text):
    """A host that nobody knows, a database that is not there: our configuration, and no reason to
    restart anything.
    """
    client = RedisClient("bus", valkey.url.replace(*change))
    with pytest.raises(NotMeasurable, match=text):
        await client.call("PING")
    await client.close()


async def test_frozen_server_is_unreachable_within_the_timeout(own_valkey):
    """SIGSTOP: the call ends by its timeout, and the client works again after SIGCONT."""
    now = [0.0]
    client = RedisClient("bus", own_valkey.url, timeout=0.2, monotonic=lambda: now[0])
    assert await client.call("PING") == b"PONG"
    os.kill(own_valkey.process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(TargetUnreachable, match="no answer in time"):
                await client.call("PING")
    finally:
        os.kill(own_valkey.process.pid, signal.SIGCONT)
    now[0] = 10.0
    assert await client.call("ECHO", "back") == b"back"
    await client.close()


async def test_killed_server_is_unreachable_and_not_hammered(own_valkey):
    """SIGKILL: down, and until the next try is due the last error is repeated without a connection."""
    client = RedisClient("bus", own_valkey.url)
    await client.call("PING")
    own_valkey.stop(signal.SIGKILL)
    with pytest.raises(TargetUnreachable) as first:
        await client.call("PING")
    assert first.value.status is Status.DOWN
    with pytest.raises(TargetUnreachable, match="next try in"):
        await client.call("PING")
    await client.close()


async def test_wrong_password_is_ours_and_tried_once_per_30_seconds(valkey):
    """WRONGPASS: unknown, not down; the password is in no message; no second try for 30 s."""
    now = [0.0]
    url = f"redis://nobody:hunter2@127.0.0.1:{valkey.port}/0"
    client = RedisClient("bus", url, monotonic=lambda: now[0])
    admin = redis.Redis(port=valkey.port)

    async def try_once() -> int:
        with pytest.raises(NotMeasurable, match="credentials") as caught:
            await client.call("PING")
        assert "hunter2" not in str(caught.value) + caught.value.guidance + repr(
            caught.value.__cause__
        )
        return admin.info("commandstats").get("cmdstat_auth", {}).get("calls", 0) + sum(
            stats["calls"]
            for name, stats in admin.info("commandstats").items()
            if name == "cmdstat_hello"
        )

    first = await try_once()
    now[0] = 29.0
    assert await try_once() == first
    now[0] = 31.0
    assert await try_once() > first
    await client.close()


async def test_missing_right_names_the_rule(valkey):
    """NOPERM: unknown, the command is named, alone, in a pipeline and in a transaction."""
    admin = redis.Redis(port=valkey.port)
    admin.execute_command(
        "ACL", "SETUSER", "weak", "on", ">x", "~*", "+client|setname", "+time", "+multi", "+exec"
    )
    client = RedisClient("bus", f"redis://weak:x@127.0.0.1:{valkey.port}/0")
    with pytest.raises(NotMeasurable, match="xinfo"):
        await client.call("XINFO", "STREAM", "s")
    time, refused = await client.pipeline([("TIME",), ("GET", "k")])
    assert isinstance(refused, NotMeasurable)
    assert len(time) == 2
    with pytest.raises(NotMeasurable, match="get"):
        await client.transaction([("TIME",), ("GET", "k")])
    good, bad = await client.transactions([[("TIME",)], [("TIME",), ("GET", "k")]])
    assert len(good[0]) == 2
    assert [error.code for error in bad] == ["NOPERM", "NOPERM"]
    await client.close()
    admin.execute_command("ACL", "DELUSER", "weak")


async def test_full_server_refuses_writes_though_ping_is_green(own_valkey):
    """OOM: degraded with a remedy, and PING still answers."""
    redis.Redis(port=own_valkey.port).config_set("maxmemory", 1)
    client = RedisClient("bus", own_valkey.url)
    with pytest.raises(TargetRejected) as caught:
        await client.call("SET", "k", "v")
    assert (caught.value.code, caught.value.status) == ("OOM", Status.DEGRADED)
    assert "maxmemory" in caught.value.guidance
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_wrong_type_and_missing_group_concern_one_subject(client):
    """WRONGTYPE, NOGROUP and a missing key are SubjectErrors with their codes."""
    await client.call("SET", "k", "v")
    await client.call("XADD", "s", "*", "f", "v")
    replies = await client.pipeline(
        [("XLEN", "k"), ("XPENDING", "s", "g"), ("XINFO", "STREAM", "none"), ("XLEN", "s")]
    )
    assert [getattr(reply, "code", reply) for reply in replies] == [
        "WRONGTYPE",
        "NOGROUP",
        "NOKEY",
        1,
    ]
    assert all(isinstance(reply, SubjectError) for reply in replies[:3])


async def test_http_server_is_the_wrong_target():
    """An HTTP server behind the address is unknown, not down."""

    async def answer(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server, url = await _serve(answer)
    async with server:
        client = RedisClient("bus", url)
        with pytest.raises(WrongTarget, match="not a Redis server") as caught:
            await client.call("PING")
        assert caught.value.status is Status.UNKNOWN
        await client.close()


@pytest.mark.parametrize("reply", [b"$-1\r\n", b"*0\r\n", b",nan\r\n", b"%1\r\n+a\r\n+b\r\n"])
async def test_an_answer_to_the_first_words_that_can_not_be_is_no_outage(reply):
    """Whoever says neither OK nor an error to CLIENT SETNAME is no Redis: unknown, never down."""

    async def answer(reader, writer):
        while await reader.read(1000):
            writer.write(reply)
            await writer.drain()

    server, url = await _serve(answer)
    async with server:
        client = RedisClient("bus", url)
        with pytest.raises(WrongTarget, match="not a Redis server: a reply that can't be"):
            await client.call("PING")
        await client.close()


@pytest.mark.parametrize("queued", [b"+QUEUED\r\n", b"-ERR no\r\n"])
@pytest.mark.parametrize(
    "done",
    [b":7\r\n", b"$2\r\nab\r\n", b"+OK\r\n", b"*-1\r\n", b"*1\r\n:1\r\n", b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"],
)  # fmt: skip
async def test_a_transaction_that_ends_with_what_can_not_be_measures_nothing(queued, done):
    """Whatever EXEC answers instead of a list of so many replies, with and without a refusal before
    it, becomes no number and no error of our own.
    """

    async def answer(reader, writer):
        while asked := await reader.read(1000):
            writer.write(b"+OK\r\n" + queued * 2 + done if b"EXEC" in asked else b"+OK\r\n")
            await writer.drain()

    server, url = await _serve(answer)
    async with server:
        client = RedisClient("bus", url)
        wrong = WrongTarget if queued.startswith(b"+") else TargetRejected
        with pytest.raises(wrong) as caught:
            await client.transaction([("XLEN", "a"), ("XLEN", "b")])
        assert caught.value.resource == "bus"
        ((first, second),) = await client.transactions([[("XLEN", "a"), ("XLEN", "b")]])
        assert isinstance(first, wrong)
        assert first is second
        await client.close()


@pytest.mark.parametrize(
    ("reply", "sound"),
    [
        ([[0, 16383, [b"10.0.0.1", 6379, b"id", []], [None, 6380, b"other"]]], True),
        ([], True),
        (7, False),
        ([[0, 16383]], False),
        ([[0, 16383, [b"10.0.0.1", b"6379", b"id"]]], False),
        ([[0, b"x", [b"10.0.0.1", 6379, b"id"]]], False),
    ],
)
def test_slots_of_a_cluster_have_a_shape(reply, sound):
    """What is none is no Redis's word, not an error of our own."""
    assert (judge_reply(("CLUSTER", "SLOTS"), reply) is reply) is sound


@pytest.mark.parametrize("command", ["XRANGE", "XREVRANGE", "XREAD", "XREADGROUP"])
@pytest.mark.parametrize(
    "row", [None, 7, [b"x", [b"f", b"v"]], [b"1-1", [b"f"]], [b"1-1", [b"f", None]]]
)
def test_no_entry_is_nothing(command, row):
    """No Redis gives nil in an entry's place, or in one of its fields."""
    reply = [row] if command.endswith("RANGE") else [[b"stream", [row]]]
    assert isinstance(judge_reply((command, "stream"), reply), WrongTarget)


def test_an_entry_that_was_trimmed_while_pending_has_no_fields():
    """Only what a group reads again of its own may be so."""
    kept = [b"1-1", None]
    reply = [[b"stream", [kept]]]
    assert judge_reply(("XREADGROUP", "GROUP"), reply) is reply
    assert isinstance(judge_reply(("XRANGE", "stream"), [kept]), WrongTarget)


async def test_postgresql_server_is_the_wrong_target(postgres):
    """A PostgreSQL behind the address hangs up without a word, and is recognised all the same."""
    client = RedisClient("bus", f"redis://127.0.0.1:{postgres.port}/0")
    with pytest.raises(WrongTarget, match="PostgreSQL"):
        await client.call("PING")
    await client.close()


async def test_server_that_hangs_up_is_unreachable():
    """A dropped connection alone does not make a PostgreSQL."""

    async def hang_up(reader, writer):
        await reader.read(10)
        writer.close()

    server, url = await _serve(hang_up)
    async with server:
        client = RedisClient("bus", url)
        with pytest.raises(TargetUnreachable):
            await client.call("PING")
        await client.close()


async def test_cancelled_command_never_desynchronises_the_next(client):
    """200 calls cancelled at any point, alone and in transactions: each later reply is the right
    one.
    """
    for n in range(200):
        work = (
            client.call("ECHO", f"old{n}") if n % 2 else client.transaction([("ECHO", f"old{n}")])
        )
        task = asyncio.create_task(work)
        for _ in range(n % 9):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await client.call("ECHO", f"new{n}") == f"new{n}".encode()


async def test_swallowed_reply_executes_the_command_once(valkey):
    """The reply to XADD is lost: an error, and exactly one entry; never a silent second try."""
    upstream = valkey.port

    async def swallow(reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", upstream)
        while data := await reader.read(4096):
            server_writer.write(data)
            reply = await server_reader.read(4096)
            if b"XADD" in data:
                break
            writer.write(reply)
        writer.close()
        server_writer.close()

    server, url = await _serve(swallow)
    # Its end is not waited for: since Python 3.12 that is the end of every connection.
    with closing(server):
        client = RedisClient("bus", url, timeout=1.0)
        assert await client.call("PING") == b"PONG"
        with pytest.raises(TargetUnreachable):
            await client.call("XADD", "once", "*", "f", "v")
        await client.close()
    assert redis.Redis(port=upstream).xlen("once") == 1


async def test_many_tasks_share_few_connections(client):
    """More tasks than connections wait for their turn instead of failing."""
    replies = await asyncio.gather(*(client.call("ECHO", str(n)) for n in range(100)))
    assert replies == [str(n).encode() for n in range(100)]


async def test_exhausted_pool_is_our_fault(valkey):
    """All connections busy for longer than the timeout: unknown, our own limit, not the server's."""
    client = RedisClient("bus", valkey.url, timeout=0.3, max_connections=1)
    blocked = asyncio.create_task(client.dedicated(5).call("PING"))
    await blocked
    holder = await client._pool.get_connection()
    with pytest.raises(NotMeasurable, match="pool exhausted"):
        await client.call("PING")
    await client._pool.release(holder)
    assert await client.call("PING") == b"PONG"
    await client.close()
