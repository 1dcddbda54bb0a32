"""The page over TLS: handshakes, who never makes one, who reads slowly, a certificate that is renewed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sentinel.adapters.network.served_tls import ServedCertificate, UnusableCertificate
from sentinel.store.sqlite import SqliteStore
from sentinel.web.app import make_app
from sentinel.web.door import DoorGuard, DoorLimits
from sentinel.web.guard import listen_hosts
from sentinel.web.page import OpenPage, open_page
from sentinel.web.visitor import VisitorLimits
from tests.certificates import make_certificate

PIECE, PIECES = b"x" * 100_000, 200
"""More than what the system keeps for a reader."""


class World:
    """A page with TLS, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, SqliteStore(folder)
        self.files = make_certificate(folder)
        self.served = ServedCertificate(*map(str, self.files))
        self.refused: Counter[str] = Counter()
        self.stranger = ""
        self.page: OpenPage

    async def open(self, limits: DoorLimits | None = None, head: float = 5.0) -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        app = make_app(
            self.store,
            lambda _: self.pieces(),
            lambda: (True, "ready"),
            lambda: listen_hosts("127.0.0.1", self.port),
        )
        self.page = await open_page(
            app,
            "127.0.0.1",
            [bound],
            count=lambda why: self.refused.update([why]),
            limits=limits,
            visitor_limits=VisitorLimits(head=head),
            guard=DoorGuard(lambda: self.served.context, lambda address: address != self.stranger),
        )

    def pieces(self) -> Iterator[bytes]:
        return iter([PIECE] * PIECES)

    def trust(self, **more: Path) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(more.get("file", self.files[0])))

    async def connect(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context or self.trust())

    def request(self, path: str = "/-/healthy", *more: str) -> bytes:
        return "\r\n".join(
            [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *more, "", ""]
        ).encode()

    async def get(self, path: str = "/-/healthy", context: ssl.SSLContext | None = None) -> bytes:
        reader, writer = await self.connect(context)
        writer.write(self.request(path, "Connection: close"))
        async with asyncio.timeout(20):
            found = await reader.read()
        writer.close()
        return found

    async def until_refused(self, why: str, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.refused[why] < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A page with a certificate of its own."""
    made = World(tmp_path)
    yield made
    await made.page.close()
    made.store.close()


async def test_the_page_by_tls(world: World) -> None:
    """The page answers by TLS 1.2 and later, keeps a connection, and says that it is https."""
    await world.open()
    assert world.page.url == f"https://127.0.0.1:{world.port}"
    reader, writer = await world.connect()
    for _ in range(2):
        writer.write(world.request())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(3) == b"ok\n"
    writer.close()
    old = world.trust()
    with pytest.deprecated_call():
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with suppress(ssl.SSLError):
        old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        await world.get(context=old)


async def test_a_request_that_comes_with_the_handshake(world: World) -> None:
    """What a client sends together with the end of its handshake is heard."""
    await world.open()
    loop, context = asyncio.get_running_loop(), world.trust()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    line = socket.socket()
    line.setblocking(False)
    await loop.sock_connect(line, ("127.0.0.1", world.port))
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await loop.sock_sendall(line, outgoing.read())
            incoming.write(await loop.sock_recv(line, 65536))
    client.write(world.request("/-/healthy", "Connection: close"))
    await loop.sock_sendall(line, outgoing.read())  # its Finished and the request, in one piece
    found = b""
    async with asyncio.timeout(20):
        while b"ok\n" not in found:
            incoming.write(await loop.sock_recv(line, 65536))
            with suppress(ssl.SSLWantReadError):
                found += client.read(65536)
    line.close()


async def test_who_speaks_no_tls(world: World) -> None:
    """Plain HTTP, noise, a client that does not trust the certificate, and who says nothing at all:
    each is counted and gone in time, and nobody is held up.
    """
    await world.open(head=0.5)
    for said in (world.request(), b"\x16\x03\x01\x00\x05hello", b"\0" * 9000):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(said)
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                assert b"HTTP" not in await reader.read()
        writer.close()
    await world.until_refused("no_tls", 3)
    with pytest.raises(ssl.SSLCertVerificationError):
        await world.get(context=ssl.create_default_context())
    await world.until_refused("no_tls", 4)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    assert (await world.get()).endswith(b"ok\n")
    async with asyncio.timeout(20):
        while len(world.page.door):
            await asyncio.sleep(0.01)


async def test_silent_ones_make_room(world: World) -> None:
    """Who has connected and makes no handshake is displaced by newcomers, as without TLS."""
    await world.open(DoorLimits(visitors=4, patience_silent=0.0), head=60.0)
    silent = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(12)]
    assert (await world.get()).endswith(b"ok\n")
    assert world.refused["displaced"] >= 8
    for _, writer in silent:
        writer.close()


async def test_slow_readers_are_bounded(world: World) -> None:
    """What waits beneath TLS for a slow reader counts as without it: who lets the most wait goes."""
    await world.open(DoorLimits(unsent=50_000))
    _, slow = await world.connect()
    slow.transport.pause_reading()  # type: ignore[attr-defined]
    slow.write(world.request("/metrics"))
    async with asyncio.timeout(20):
        while not any(visitor.unsent > 50_000 for visitor in world.page.door):
            await asyncio.sleep(0.01)
    [visitor] = world.page.door
    assert visitor.transport is not None
    assert visitor.unsent > visitor.transport.get_write_buffer_size()  # type: ignore[attr-defined]
    assert (await world.get()).endswith(b"ok\n")
    await world.until_refused("displaced")
    slow.transport.abort()


async def test_strangers_get_no_handshake(world: World) -> None:
    """Who may not connect is gone before TLS, and counted."""
    await world.open()
    world.stranger = "127.0.0.1"
    with pytest.raises((ssl.SSLError, OSError)):
        await world.get()
    assert world.refused["stranger"] == 1


async def test_a_certificate_that_is_renewed(world: World) -> None:
    """Newcomers get the new one, who is in stays; what can't be used changes nothing."""
    await world.open()
    reader, writer = await world.connect()
    before = world.trust()
    assert not world.served.follow(*map(str, world.files))
    fresh = make_certificate(world.folder, "fresh")
    assert world.served.follow(*map(str, fresh))
    assert (await world.get(context=world.trust(file=fresh[0]))).endswith(b"ok\n")
    with pytest.raises(ssl.SSLCertVerificationError):
        await world.get(context=before)
    writer.write(world.request("/-/healthy", "Connection: close"))
    assert (await reader.read()).endswith(b"ok\n")
    writer.close()
    with pytest.raises(UnusableCertificate, match="not that of the certificate"):
        world.served.follow(str(fresh[0]), str(world.files[1]))
    with pytest.raises(UnusableCertificate, match="can be read without a password"):
        world.served.follow(str(fresh[0]), "")
    with pytest.raises(UnusableCertificate, match="No such file"):
        world.served.follow(str(fresh[0]), "/nowhere")
    assert (await world.get(context=world.trust(file=fresh[0]))).endswith(b"ok\n")
