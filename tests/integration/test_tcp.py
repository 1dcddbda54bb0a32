"""The TCP adapter and kind `tcp` against real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from sentinel.adapters.network import tcp
from sentinel.adapters.network.resolver import Resolver
from sentinel.core.fault import Status
from sentinel.demo.servers import free_port
from sentinel.errors import NotMeasurable, TargetUnreachable
from sentinel.probes.tcp import KIND, TcpOptions, TcpState


@pytest.fixture
def look(make_context):
    """Runs the kind once with these options."""

    async def once(state=None, timeout: float = 2.0, **options):
        context = make_context({}, state=state or TcpState(), check="door", timeout=timeout)
        return await KIND.run(TcpOptions.model_validate(options), context)

    return once


@asynccontextmanager
async def saying(text: bytes, wait: float = 0.0):
    async def serve(_reader, writer):
        await asyncio.sleep(wait)
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_open_port_is_up_with_its_latency(look, valkey):
    """A server that accepts is up; every declared measurement comes with its labels."""
    finding = await look(address=f"127.0.0.1:{valkey.port}")
    assert finding.status is Status.UP
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert {name for row in finding.rows for name in row.values} == set(labels)
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)


async def test_conversation(look, valkey):
    """What is sent is answered as expected."""
    finding = await look(address=f"127.0.0.1:{valkey.port}", send="PING\r\n", expect="+PONG")
    assert finding.status is Status.UP


async def test_other_answer_is_down_and_shown_harmlessly(look):
    """A wrong answer is quoted in ASCII, control characters escaped."""
    async with saying(b"\x1b[2Jgo away\r\n") as address:
        finding = await look(address=address, expect="welcome")
    assert finding.status is Status.DOWN
    assert "go away" in finding.detail
    assert finding.detail.isprintable()


async def test_nothing_said_is_down(look):
    """A connection that ends without a word is told as such."""
    async with saying(b"") as address:
        finding = await look(address=address, expect="welcome")
    assert "answered nothing" in finding.detail


async def test_closed_port_is_down(look):
    """Refused is down, and target_up is 0, not missing."""
    finding = await look(address=f"127.0.0.1:{free_port()}")
    assert finding.status is Status.DOWN
    assert [dict(row.values) for row in finding.rows] == [{"target_up": 0.0}]
    assert [fault.key for fault in finding.faults] == ["unreachable"]


async def test_black_hole_is_down_at_the_deadline(look):
    """A full backlog never answers (A3)."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        port = hole.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        finding = await look(address=f"127.0.0.1:{port}", deadline="100ms")
        for filler in fillers:
            filler.close()
    assert finding.status is Status.DOWN
    assert "no connection within 0.1 s" in finding.detail


async def test_silence_after_connecting_is_told_apart(look):
    """Connected, then nothing: the message says how far it came."""
    async with saying(b"late", wait=5) as address:
        finding = await look(address=address, expect="hello", deadline="100ms")
    assert "then no answer" in finding.detail


async def test_slow_connection_is_degraded(look, valkey):
    """Above max_connect it is degraded."""
    finding = await look(address=f"127.0.0.1:{valkey.port}", max_connect="0.0001ms")
    assert finding.status is Status.DEGRADED
    (fault,) = finding.faults
    assert (fault.key, fault.text) == ("slow", finding.detail)
    assert f"127.0.0.1:{valkey.port}" in fault.text


async def test_endless_answer_is_cut(look):
    """Reading stops at the limit."""

    async def flood(_reader, writer):
        try:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    talk = await tcp.converse(
        "127.0.0.1", server.sockets[0].getsockname()[1], deadline=2, resolver=Resolver(), until=b"y"
    )
    server.close()
    assert len(talk.answer) == 4096


async def test_second_address_is_tried_when_the_first_is_dead(valkey):
    """A name with a dead address first still connects (C9)."""

    def both(_host, _port, **_keywords):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.99", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    talk = await tcp.converse(
        "two.example", valkey.port, deadline=2, resolver=Resolver(lookup=both)
    )
    assert talk.connected > 0


async def test_black_hole_at_the_first_address_does_not_hide_the_second(valkey):
    """C9: each address has its share of the deadline."""

    def both(_host, _port, **_keywords):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.99", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    with socket.socket() as hole:
        hole.bind(("127.0.0.99", valkey.port))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.99", valkey.port))
        talk = await tcp.converse(
            "two.example", valkey.port, deadline=0.6, resolver=Resolver(lookup=both)
        )
        for filler in fillers:
            filler.close()
    assert talk.connected > 0


async def test_hung_name_costs_one_thread_over_all_runs(look):
    """A name that hangs is unknown, and a second run joins the first look-up."""
    calls = []

    def hang(host, _port, **_keywords):
        calls.append(host)
        time.sleep(0.3)
        return []

    state = TcpState()
    state.resolver = Resolver(lookup=hang, deadline=0.05)
    for _ in range(3):
        with pytest.raises(NotMeasurable, match="name resolution"):
            await look(state, address="hung.example:80")
    assert calls == ["hung.example"]


async def test_too_many_hung_names_are_refused(look):
    """More names than the limit are not even tried."""
    state = TcpState()
    state.resolver = Resolver(
        lookup=lambda *_a, **_k: time.sleep(0.3) or [], deadline=0.02, limit=2
    )
    for name in ("a.example", "b.example"):
        with pytest.raises(NotMeasurable):
            await look(state, address=f"{name}:80")
    with pytest.raises(NotMeasurable, match="2 names are still without an answer"):
        await look(state, address="c.example:80")


async def test_own_descriptors_exhausted_is_ours():
    """EMFILE is our limit, ECONNREFUSED the target's."""
    assert isinstance(tcp.unreachable(OSError(24, "Too many open files")), NotMeasurable)
    assert isinstance(tcp.unreachable(OSError(111, "Connection refused")), TargetUnreachable)


@pytest.mark.parametrize(
    "address", ["nohost", "host:", ":80", "host:0", "host:65536", "host:http", "host:٣"]
)
def test_bad_address_is_refused(address):
    """Each gets a message with the right form."""
    with pytest.raises(ValidationError, match="write host:port"):
        TcpOptions.model_validate({"address": address})


def test_send_without_expect_is_refused():
    """Saying something and not listening proves nothing."""
    with pytest.raises(ValidationError, match="expect"):
        TcpOptions.model_validate({"address": "h:1", "send": "x"})


def test_ipv6_address_in_brackets():
    """[::1]:5432 is an address."""
    assert TcpOptions.model_validate({"address": "[::1]:5432"}).address == "[::1]:5432"
