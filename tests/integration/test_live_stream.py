"""The stream of changes over real HTTP: from the engine itself, with places of its own at the door."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, HealthPolicy, Result
from sentinel.core.remediation.brake import ActionLimits
from sentinel.engine.assembly import Engine, Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.clock import SteadyClock
from sentinel.engine.present import PresentReader
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore
from sentinel.web.app import make_app
from sentinel.web.door import DoorLimits
from sentinel.web.guard import STREAM, listen_hosts
from sentinel.web.live import line as line_of
from sentinel.web.live import stream as stream_of
from sentinel.web.page import OpenPage, open_page
from sentinel.web.site import SITE
from sentinel.web.visitor import Visitor, VisitorLimits, VisitorStage

AT_ONCE = HealthPolicy(failures=1, of=1, recoveries=1, recovery_time=0.0)
SHORT = VisitorLimits(head=5.0, request=0.2, idle=5.0)


class Platform:
    """A real engine with checks of our own, and its pages."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock, metrics = SqliteStore(folder, owner=True), SteadyClock(), Metrics()
        restraint = Restraint(enabled=True, limits=ActionLimits())
        given = Surroundings(self.store, metrics, self.clock, folder, restraint)
        self.engine: Engine = make_engine(given)
        kind = Kind("plain", "", Options, self.engine.kinds["supervision"].run, ())
        for name in ("bus", "agent"):
            self.engine.picture.add_component(Component(name), None)
            check = Check(f"{name}-port", "plain", name, 5.0, 5.0, None, health=AT_ONCE)
            self.engine.picture.add_check(check, kind, None)
        self.refused = Counter[str]()
        self.page: OpenPage
        self.port = 0

    async def see(self, check: str, status: Status, text: str) -> None:
        """A check has just seen this."""
        now = self.clock.utcnow()
        await self.engine.pipeline.take(Result(check, Finding(status, text), now, 0.01, "0" * 32))

    async def open(self, **limits: Any) -> None:
        """Let visitors in."""
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        app = make_app(
            PresentReader.over(self.store, self.engine.recorder),
            lambda _: iter(()),
            lambda: (True, ""),
            lambda: listen_hosts("127.0.0.1", self.port),
            now=self.clock.utcnow,
            feed=self.engine.hub,
        )
        self.live = app[SITE].live
        self.page = await open_page(
            app, "127.0.0.1", [bound], count=lambda why: self.refused.update([why]), **limits
        )

    async def follow(
        self, mark: str = "", source: str = "127.0.0.1", **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        """A stream, and the status of its answer."""
        if not mark:
            _, mark = await self.live.show()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0), **options
        )
        host = f"Host: 127.0.0.1:{self.port}"
        writer.write(f"GET {STREAM}?after={mark} HTTP/1.1\r\n{host}\r\n\r\n".encode())
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        return reader, writer, status

    def following(self) -> list[Visitor]:
        """Who follows."""
        return [each for each in self.page.door if each.stage is VisitorStage.FOLLOWING]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform whose pages are not open yet."""
    made = Platform(tmp_path)
    yield made
    await made.page.close()
    made.engine.recorder.close()
    made.store.close()


async def hear(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message that changes something."""
    async with asyncio.timeout(20):
        while True:
            line = (await reader.readline()).decode()
            if line.startswith("data: ") and "put" in (told := json.loads(line[6:])):
                found: dict[str, Any] = told
                return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def blocked_disk(platform: Platform) -> AsyncIterator[None]:
    """The store's thread does nothing else meanwhile."""
    loop, blocked, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait() -> None:
        loop.call_soon_threadsafe(blocked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    waiting = asyncio.create_task(platform.engine.recorder.call(wait))
    await blocked.wait()
    yield
    go_on.set()
    await waiting


async def test_the_pipeline_tells_and_no_disk_delays_it(platform: Platform) -> None:
    """While the disk is blocked the page hears of a failure, of its incident and of its end."""
    await platform.open(visitor_limits=SHORT)
    await platform.see("bus-port", Status.UP, "connected")
    reader, writer, status = await platform.follow()
    assert status == 200
    async with blocked_disk(platform):
        taking = asyncio.create_task(platform.see("bus-port", Status.DOWN, "refused"))
        while "bus is down: refused" not in (told := await hear(reader))["say"]:
            pass  # what was seen before
        names = [name for _, name, _ in told["put"]]
        assert {"check:bus-port", "component:bus", "overview"} <= set(names)
        assert [name for name in names if name.startswith("incident:")]
        assert not platform.store.incidents(open_only=True)
    await taking
    writer.close()


async def test_a_stream_outlives_every_deadline(platform: Platform) -> None:
    """It is no answer that somebody did not take in time; a half-closed one ends."""
    await platform.open(visitor_limits=SHORT)
    reader, writer, _ = await platform.follow()
    await asyncio.sleep(0.3)  # longer than a request may take
    await platform.see("agent-port", Status.UP, "late word")
    assert any("late word" in html for _, _, html in (await hear(reader))["put"])
    writer.write_eof()
    await until(lambda: not platform.following())
    assert platform.refused == {}


async def test_an_open_page_shuts_nobody_out(platform: Platform) -> None:
    """Streams have a part of the places: the next one is refused and told so, another visitor is
    served; another address gets a place of the one that has them all.
    """
    limits = DoorLimits(visitors=10, share=1.0, following=0.4, patience_silent=0.0)
    await platform.open(limits=limits)
    streams = [await platform.follow() for _ in range(4)]
    assert [status for *_, status in streams] == [200] * 4
    _, refused, status = await platform.follow()
    assert (status, platform.refused["crowded"]) == (503, 1)
    refused.close()
    for _ in range(12):
        _, writer = await asyncio.open_connection("127.0.0.1", platform.port)
        streams.append((_, writer, 0))
    assert len(platform.following()) == 4
    *other, status = await platform.follow(source="127.0.0.2")
    assert status == 200
    assert Counter(each.address for each in platform.following()) == {
        "127.0.0.1": 3,
        "127.0.0.2": 1,
    }
    for _, writer, _ in [*streams, (*other, 0)]:
        writer.close()


async def test_who_takes_nothing_is_let_go(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that nobody reads costs a bounded memory for a bounded time, and no other is later
    for it.
    """
    monkeypatch.setattr(stream_of, "TAKEN_WITHIN", 0.3)
    monkeypatch.setattr(line_of, "MAX_DETAIL", 20_000)
    await platform.open(visitor_limits=SHORT)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", platform.port))
    _, mark = await platform.live.show()
    slow.sendall(
        f"GET {STREAM}?after={mark} HTTP/1.1\r\nHost: 127.0.0.1:{platform.port}\r\n\r\n".encode()
    )
    await until(lambda: len(platform.following()) == 1)
    (visitor,) = platform.following()
    assert visitor.transport is not None
    kernel = visitor.transport.get_extra_info("socket")
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # else it takes megabytes for it
    reader, writer, _ = await platform.follow(limit=1 << 22)
    most, n = 0, 0
    async with asyncio.timeout(30):
        while len(platform.following()) == 2:
            n += 1
            await platform.see("bus-port", Status.UP, chr(97 + n % 26) * 20_000)
            await hear(reader)
            most = max(most, *(each.unsent for each in platform.following()), 0)
    assert most < 1 << 20
    await until(lambda: len(platform.page.door) == 1)
    assert platform.refused == {"stuck": 1}
    writer.close()
    slow.close()


async def test_the_end_of_sentinel_waits_for_no_stream(platform: Platform) -> None:
    """Open pages do not hold it up."""
    await platform.open()
    streams = [await platform.follow() for _ in range(5)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await platform.page.close()
    assert loop.time() - began < 0.45, "it did not wait until streams are cut"
    for _, writer, _ in streams:
        writer.close()
