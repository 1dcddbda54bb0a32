"""The door of the page over raw sockets: what is no HTTP, who says nothing, who takes nothing, and
who is too many.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sentinel.store import CheckView
from sentinel.store.sqlite import SqliteStore
from sentinel.web import door as web_door
from sentinel.web import guard
from sentinel.web.answer import SECURITY_HEADERS
from sentinel.web.app import make_app
from sentinel.web.door import DoorLimits
from sentinel.web.guard import listen_hosts
from sentinel.web.page import OpenPage, open_page
from sentinel.web.visitor import MAX_BODY, MAX_HEAD, Visitor, VisitorLimits
from tests.malformed_http import Attempt, make_attempts

QUICK = VisitorLimits(head=0.3, request=0.6, idle=0.4)
PATIENT = VisitorLimits(head=60.0, request=60.0, idle=60.0)
"""Where nobody's time is up before the test is done, however busy the machine."""
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass
class World:
    """A page on a free port, and what it told."""

    store: SqliteStore
    page: OpenPage = field(init=False)
    port: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    raised: int = 0
    exposition: list[bytes] = field(default_factory=lambda: [b"exposition\n"])

    async def open(self, **limits: Any) -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        app = make_app(
            self.store,
            self.pieces,
            lambda: (True, "ready"),
            lambda: listen_hosts("127.0.0.1", self.port),
        )
        self.page = await open_page(
            app,
            "127.0.0.1",
            [bound],
            count=lambda why: self.refused.update([why]),
            raised=self._note_raised,
            **limits,
        )

    def pieces(self, _openmetrics: bool) -> Iterator[bytes]:
        return iter(self.exposition)

    def _note_raised(self) -> None:
        self.raised += 1

    async def connect(
        self, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    def request(self, path: str, *more: str, method: str = "GET") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *more, "", ""]
        return "\r\n".join(lines).encode()

    async def ask(self, sent: bytes, source: str = "127.0.0.1") -> list[tuple[int, bytes]]:
        """What comes back until the end of the connection: (status, head) of each answer."""
        reader, writer = await self.connect(source)
        writer.write(sent)
        async with asyncio.timeout(20):
            answers = read_answers(await reader.read())
        writer.close()
        return answers

    async def status(self, path: str = "/-/healthy", source: str = "127.0.0.1") -> int:
        answers = await self.ask(self.request(path, "Connection: close"), source)
        return answers[0][0]


def read_answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and head of each answer, each with every security header."""
    found = [(int(status), head) for status, head in _ANSWER.findall(received)]
    for _, head in found:
        for name in (*SECURITY_HEADERS, "Server"):
            assert f"\n{name}: ".encode() in b"\n" + head, (name, head)
    return found


OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[OpenWorld]:
    """A page with limits of the test's own."""
    made = World(SqliteStore(tmp_path))

    async def open_it(**limits: Any) -> World:
        await made.open(**limits)
        return made

    yield open_it
    await made.page.close()
    made.store.close()


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for it, long enough for a busy machine."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


# -- malformed -------------------------------------------------------------------------------------


async def send(world: World, attempt: Attempt) -> list[int]:
    """Carry one attempt out; the statuses that came back."""
    reader, writer = await world.connect()
    try:
        for piece in attempt.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if attempt.ending == "half":
            writer.write_eof()
        elif attempt.ending == "reset":
            reset(writer)
        if attempt.ending in {"close", "reset"}:
            return []
        async with asyncio.timeout(20):  # a long pipeline on a busy machine
            return [status for status, _ in read_answers(await reader.read())]
    except OSError:  # it was cut while it was still sending
        return []
    finally:
        writer.close()


async def attack(world: World, seed: int, count: int) -> Counter[int]:
    """So many attempts, twenty at a time; how often each status came back."""
    twenty, statuses = asyncio.Semaphore(20), Counter[int]()

    async def carry_out(attempt: Attempt) -> None:
        async with twenty:
            try:
                statuses.update(await send(world, attempt))
            except TimeoutError:
                pytest.fail(f"seed {seed}: no answer and no end within its deadline: {attempt}")

    await asyncio.gather(*map(carry_out, make_attempts(seed, count, world.port)))
    return statuses


async def test_malformed_requests(
    open_world: OpenWorld, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Two hundred malformed requests: no traceback, no 500, every answer with its headers, each in
    its time, said in few words, and the page is as before. The seed is printed.
    """
    world = await open_world(visitor_limits=QUICK)
    seed = int(os.environ.get("MALFORMED_SEED", random.randrange(1 << 32)))
    statuses = await attack(world, seed, 200)
    told_seed = f"seed {seed}: {dict(statuses)}"
    sys.stdout.write(f"{told_seed}\n")
    assert set(statuses) <= {200, 400, 404, 405, 408, 413, 414, 421, 431}, told_seed
    assert statuses[400] > 20, told_seed
    assert world.refused["malformed"] > 50
    assert world.raised == 0
    world.page.door.limits = PATIENT
    assert await world.status("/") == 200
    await until(lambda: len(world.page.door) == 0)
    await world.page.close()
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err + caplog.text
    assert len(told.err) < 2000


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
async def test_many_malformed_requests(open_world: OpenWorld, seed: int) -> None:
    """Ten thousand more."""
    world = await open_world(visitor_limits=QUICK)
    statuses = await attack(world, seed, 1000)
    assert not {100, 417, 500} & statuses.keys(), f"seed {seed}: {dict(statuses)}"
    assert world.raised == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: aaaaaaaa\r\n" * (MAX_HEAD // 10), 431),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: HERE\r\nHost: evil\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 421),
        (b"GET http://HERE/-/healthy HTTP/1.1\r\nHost: HERE\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\nHost: HERE\r\n\r\n", 404),
        (b"BREW / HTTP/1.1\r\nHost: HERE\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: HERE\r\n\r\n", 405),
        (b"PUT / HTTP/1.1\r\nHost: HERE\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"GET /-/healthy HTTP/1.1\r\nHost: HERE\r\nExpect: 100-continue\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\nHost: HERE\r\nExpect: 100-continue\r\n\r\n", 404),
        (b"PUT / HTTP/1.1\r\nHost: HERE\r\nexpect: much\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: HERE\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 200),
        (b"GET / HT", 400),
    ],
)  # fmt: skip
async def test_refusals_are_told_apart(open_world: OpenWorld, sent: bytes, status: int) -> None:
    """Each refusal has its status and, as every answer, the security headers; also of a client that
    ends its sending with its request.
    """
    world = await open_world(visitor_limits=PATIENT)
    reader, writer = await world.connect()
    writer.write(sent.replace(b"HERE", f"127.0.0.1:{world.port}".encode()))
    writer.write_eof()
    async with asyncio.timeout(20):
        answers = read_answers(await reader.read())
    writer.close()
    assert [found for found, _ in answers] == [status]


async def test_a_body_is_not_heard_out(open_world: OpenWorld) -> None:
    """Whoever sends a body to a page that only reads is answered once and let go, so that nothing
    in it can be taken for a request; an endless one is cut.
    """
    world = await open_world()
    body = world.request("/metrics")
    sent = world.request("/-/healthy", f"Content-Length: {len(body)}") + body
    (answer,) = await world.ask(sent)
    assert answer[0] == 200
    assert b"\nConnection: close" in answer[1]
    packed = world.request("/-/healthy", "Content-Encoding: gzip", "Content-Length: 4")
    assert [status for status, _ in await world.ask(packed + b"none")] == [200]
    assert world.refused == {}  # nobody unpacks what nobody reads
    reader, writer = await world.connect()
    writer.write(world.request("/-/healthy", "Transfer-Encoding: chunked"))
    async with asyncio.timeout(20):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        with suppress(OSError):
            for _ in range(100):
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
            pytest.fail(f"it went on reading after {MAX_BODY} bytes")
    writer.close()


async def test_a_page_that_raises(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake of our own is 500 with every header, counted, one line with its place, no
    traceback.
    """
    world = await open_world()

    def fail() -> bytes:
        raise ZeroDivisionError("mine")

    monkeypatch.setattr(guard, "make_error", lambda *_: fail())
    (answer,) = await world.ask(world.request("/nothing", "Connection: close"))
    assert answer[0] == 500
    assert world.raised == 1
    told = capfd.readouterr().err
    assert "page_raised" in told
    assert "test_web_door.py" in told
    assert "Traceback" not in told


# -- time ------------------------------------------------------------------------------------------


async def test_a_head_has_its_time(open_world: OpenWorld) -> None:
    """A head that comes byte by byte is 408 at its deadline, however lively; who is silent after a
    connect or between requests is let go without a word.
    """
    world = await open_world(visitor_limits=QUICK)
    reader, writer = await world.connect()

    async def trickle() -> None:
        with suppress(OSError):
            for letter in world.request("/" + "a" * 200):
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(20):
        received = await reader.read()
    trickling.cancel()
    assert [status for status, _ in read_answers(received)] == [408]
    silent, _ = await world.connect()
    async with asyncio.timeout(20):
        assert await silent.read() == b""
    idle, asking = await world.connect()
    asking.write(world.request("/-/healthy"))
    async with asyncio.timeout(20):
        assert len(read_answers(await idle.read())) == 1
    assert world.refused == {"late": 1}


@pytest.mark.parametrize(
    "exposition", [[b"x" * 30_000_000], [b"x" * 100_000] * 300], ids=["one piece", "many pieces"]
)
async def test_who_takes_nothing_is_cut(open_world: OpenWorld, exposition: list[bytes]) -> None:
    """An answer that nobody takes is given up at the deadline of its request, with what waits in
    memory for it: of one that is sent in pieces little ever does. It is no mistake of ours.
    """
    world = await open_world(visitor_limits=QUICK)
    world.exposition = exposition
    _, writer = await world.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    began, most = asyncio.get_running_loop().time(), 0

    def is_cut() -> bool:
        nonlocal most
        most = max([most, *(each.unsent for each in world.page.door)])
        return world.refused["stuck"] > 0 and len(world.page.door) == 0

    writer.write(world.request("/metrics") * 3)
    await until(is_cut)
    assert asyncio.get_running_loop().time() - began >= QUICK.request
    assert world.refused == {"stuck": 1}
    assert world.raised == 0
    assert len(exposition) == 1 or 0 < most < 1_000_000
    writer.close()


async def test_the_last_bytes_have_a_deadline_too(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of which little is left to take counts as made, and its visitor may ask again; its
    deadline stays.
    """
    world = await open_world(visitor_limits=VisitorLimits(head=60.0, request=1.5, idle=60.0))
    monkeypatch.setattr(Visitor, "unsent", property(lambda _: 100))  # no buffer is that exact
    reader, writer = await world.connect()
    for _ in range(3):
        writer.write(world.request("/-/healthy"))
        await reader.readuntil(b"ok\n")
        await until(lambda: {each.stage.value for each in world.page.door} == {"taking"}, 1.0)
    await until(lambda: len(world.page.door) == 0)
    assert world.refused == {"stuck": 1}
    writer.close()


async def test_answers_that_wait_are_bounded(open_world: OpenWorld) -> None:
    """However many take nothing, what waits for them in memory has a limit; who lets the most wait
    is let go first.
    """
    world = await open_world(limits=DoorLimits(unsent=60_000_000), visitor_limits=PATIENT)
    world.exposition = [b"x" * 30_000_000]
    writers = []
    for n in range(6):
        writers.append((await world.connect())[1])
        writers[-1].transport.pause_reading()  # type: ignore[attr-defined]
        writers[-1].write(world.request("/metrics"))
        asked = n + 1
        await until(
            lambda asked=asked: (
                world.refused["displaced"] + sum(each.unsent > 0 for each in world.page.door)
                == asked
            )
        )
    assert sum(each.unsent for each in world.page.door) < 90_000_000
    assert world.refused == {"displaced": 3}
    assert await world.status() == 200
    for writer in writers:
        writer.close()


async def test_who_has_gone_is_forgotten(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors that leave in the middle of everything are kept by nothing, no timer, either."""
    world = await open_world()
    world.exposition = [b"x" * 100_000] * 100
    checks = world.store.checks

    def read_slowly() -> list[CheckView]:
        time.sleep(0.1)
        return checks()

    monkeypatch.setattr(world.store, "checks", read_slowly)
    paths = ("/", "/metrics", "/nothing")
    for sent in (b"", b"GET /", b"\0\r\n\r\n", *map(world.request, paths)):
        for pause in (0.0, 0.05):
            _, writer = await world.connect()
            writer.write(sent)
            await asyncio.sleep(pause)
            reset(writer)
    await until(lambda: len(world.page.door) == 0)

    def is_forgotten() -> bool:
        gc.collect()
        return not any(isinstance(each, Visitor) for each in gc.get_objects())

    await until(is_forgotten)  # when the answers are made that nobody waits for any more
    assert world.raised == 0


# -- number ----------------------------------------------------------------------------------------


async def test_silent_crowd(open_world: OpenWorld, capfd: pytest.CaptureFixture[str]) -> None:
    """Three hundred who say nothing, or half a request: never more than a hundred are in, everybody
    who asks is answered at once, and the log says it once.
    """
    world = await open_world(visitor_limits=PATIENT)
    crowd = []
    most = 0
    for n in range(300):
        crowd.append(await world.connect())
        if n % 2:
            crowd[-1][1].write(b"GET / HTTP/1.1\r\nHost:")
        most = max(most, len(world.page.door))

    def are_many_in() -> bool:
        """All have knocked, and who is in has been for as long as anybody may stay silent."""
        long_ago = asyncio.get_running_loop().time() - DoorLimits().patience_silent
        known = len(world.page.door) + sum(world.refused.values())
        return known == 300 and all(each.since <= long_ago for each in world.page.door)

    await until(are_many_in)
    for _ in range(10):
        async with asyncio.timeout(10):
            assert await world.status("/") == 200
        most = max(most, len(world.page.door))
    assert 50 < most <= 100
    # How many of them by which way depends on how fast they came.
    assert world.refused["displaced"] > 0
    assert sum(world.refused.values()) >= 200
    assert set(world.refused) <= {"displaced", "crowded"}
    for _, writer in crowd:
        writer.close()
    await world.page.close()
    told = capfd.readouterr().err
    assert told.count("page_refused") <= 2
    assert len(told) < 1000


async def test_an_address_has_a_share(open_world: OpenWorld) -> None:
    """One address can't take every place: the others find one, and it is told that it is too
    many.
    """
    limits = DoorLimits(visitors=10, patience_silent=60.0)
    world = await open_world(limits=limits)
    held = [await world.connect("127.0.0.2") for _ in range(8)]
    await until(lambda: len(world.page.door) == 8)
    assert await world.status(source="127.0.0.2") == 503
    assert world.refused["crowded"] == 1
    assert await world.status() == 200
    for _, writer in held:
        writer.close()


async def test_who_makes_room(open_world: OpenWorld) -> None:
    """First of the address that has the most; there who has not asked, then who rests, then who
    does not take its answer.
    """
    limits = DoorLimits(visitors=5, share=1.0, patience_silent=0.0, patience_answered=0.0)
    world = await open_world(limits=limits, visitor_limits=PATIENT)
    world.exposition = [b"x" * 30_000_000]
    _, silent_writer = await world.connect("127.0.0.3")
    _, taking_writer = await world.connect()
    taking_writer.transport.pause_reading()  # type: ignore[attr-defined]
    taking_writer.write(world.request("/metrics"))
    resting, resting_writer = await world.connect()
    resting_writer.write(world.request("/-/healthy"))
    await resting.readuntil(b"ok\n")
    half, half_writer = await world.connect()
    half_writer.write(b"GET")
    await until(lambda: sorted(each.stage.value for each in world.page.door) == [
        "answered", "asking", "idle", "silent",
    ])  # fmt: skip
    newcomers = []
    for expected in (half, resting):
        newcomers.append(await world.connect("127.0.0.4"))
        if len(newcomers) == 1:
            newcomers.append(await world.connect("127.0.0.5"))
        async with asyncio.timeout(20):
            assert await expected.read() == b""
    assert {each.address for each in world.page.door} == {f"127.0.0.{n}" for n in (1, 3, 4, 5)}
    assert world.refused == {"displaced": 2}
    for writer in (silent_writer, taking_writer, resting_writer, half_writer):
        writer.close()
    for _, writer in newcomers:
        writer.close()


@pytest.mark.parametrize(
    ("allowed", "kept", "most"),
    [(40, -9.0, 10), (10_000, 1.0, 4)],
    ids=["a quarter of few", "a few when they run out"],
)
async def test_descriptors_are_kept(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, allowed: int, kept: float, most: int
) -> None:
    """Where this process may open few descriptors the page takes a quarter of them at most; when
    they run out, a few places.
    """
    limits = DoorLimits(patience_silent=60.0, share=1.0, kept_descriptors=kept)
    world = await open_world(limits=limits)
    monkeypatch.setattr(web_door, "count_allowed", lambda: allowed)
    held = [await world.connect("127.0.0.2") for _ in range(14)]
    await until(lambda: len(world.page.door) == most)
    await asyncio.sleep(0.1)
    assert len(world.page.door) == most
    monkeypatch.setattr(web_door, "count_allowed", lambda: 10_000)
    world.page.door.clear()
    for _, writer in held:
        writer.close()


async def test_no_descriptor_left(open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor for a newcomer the door rests, instead of asking again and again, and
    lets it in later.
    """
    world = await open_world()
    monkeypatch.setattr(web_door, "STARVED", 0.2)
    tried: list[int] = []

    def accept() -> None:
        tried.append(1)
        raise OSError(24, "Too many open files")

    world.page.door._accept(SimpleNamespace(accept=accept))  # type: ignore[arg-type]
    assert world.refused == {"exhausted": 1}
    began = asyncio.get_running_loop().time()
    assert await world.status() == 200
    assert asyncio.get_running_loop().time() - began > 0.15
    assert len(tried) == 1
