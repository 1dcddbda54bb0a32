"""The stream of changes over HTTP, and who may have it: a token that is revoked, a session that ends,
rules that change, a visitor that takes nothing; and headers that no browser sends.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.access import AccessRules, AccessScope, AccessToken, digest_secret
from sentinel.engine.hub import Hub
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from sentinel.web.app import make_app
from sentinel.web.guard import STREAM, listen_hosts
from sentinel.web.live import stream
from sentinel.web.live.channel import LiveChannel
from sentinel.web.page import open_page
from sentinel.web.visitor import VisitorLimits
from tests.site_rig import make_check

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET = "sentinel_of-a-reader"


class LivePage:
    """A page that tells what changes, with one token and two clocks in the hands of the test."""

    def __init__(self, folder: Path) -> None:
        self.store, self.hub = SqliteStore(folder), Hub()
        self.store.commit(Changes(checks=[make_check("bus")]))
        self.clock, self.now, self.raised = 0.0, T0, 0
        self.writers: list[asyncio.StreamWriter] = []
        self.rules = AccessRules(exposed=True)
        digest = digest_secret(SECRET)
        self.tokens: tuple[AccessToken, ...] = (
            AccessToken("reader", AccessScope.READ, digest, T0, T0 + timedelta(hours=1)),
        )

    def note_raised(self) -> None:
        self.raised += 1

    async def open(self) -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        app = make_app(
            self.store,
            lambda _: iter(()),
            lambda: (True, "watching"),
            lambda: listen_hosts("127.0.0.1", self.port),
            now=lambda: self.now,
            monotonic=lambda: self.clock,
            rules=lambda: self.rules,
            tokens=lambda: self.tokens,
            feed=self.hub,
        )
        limits = VisitorLimits(request=0.5)
        raised = self.note_raised
        self.page = await open_page(app, "127.0.0.1", [bound], raised=raised, visitor_limits=limits)

    async def send(
        self, method: str, path: str, head: bytes = b"", body: bytes = b"", **more: int
    ) -> asyncio.StreamReader:
        """A request as it is written here."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **more)
        lines = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n".encode()
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        self.writers.append(writer)
        writer.write(lines + head + length + b"\r\n" + body)
        await writer.drain()
        return reader

    async def follow(self, head: bytes, **more: int) -> asyncio.StreamReader:
        """The stream from now on, behind its head."""
        head += b"Connection: close\r\n"
        page = await self.send("GET", "/", head)
        found = re.search(rb'data-mark="([^"]+)"', await page.read())
        assert found is not None
        reader = await self.send("GET", f"{STREAM}?after={found[1].decode()}", head, **more)
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        return reader

    def change(self, detail: str) -> None:
        changes = Changes(checks=[make_check("bus", detail=detail)])
        self.hub.tell(lambda: changes)


BEARER = f"Authorization: Bearer {SECRET}\r\n".encode()


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LivePage]:
    made = LivePage(tmp_path)
    await made.open()
    yield made
    for writer in made.writers:
        writer.close()
    await made.page.close()
    made.store.close()


async def sign_in(live: LivePage) -> bytes:
    """The header of a session."""
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    answer = await live.send("POST", "/sign-in", form, f"token={SECRET}".encode())
    found = re.search(rb"Set-Cookie: ([^;]+);", await answer.read())
    assert found is not None
    return b"Cookie: " + found[1] + b"\r\n"


def revoke(live: LivePage) -> None:
    live.tokens, live.clock = (), live.clock + 2


def expire(live: LivePage) -> None:
    live.now += timedelta(hours=2)


def trust_nobody(live: LivePage) -> None:
    live.rules = AccessRules(loopback=AccessScope.OPEN)


@pytest.mark.parametrize("end", [revoke, expire])
@pytest.mark.parametrize("by_session", [True, False])
async def test_a_stream_ends_with_the_right_to_read(
    live: LivePage,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[LivePage], None],
    by_session: bool,
) -> None:
    """An open page is told what changes while its token counts, and nothing of what comes after."""
    monkeypatch.setattr(stream, "LOOK_AGAIN", 0.0)
    reader = await live.follow(await sign_in(live) if by_session else BEARER)
    live.change("the first word")
    async with asyncio.timeout(20):
        assert b"the first word" in await reader.readuntil(b"the first word")
        end(live)
        live.change("the second word")
        assert b"the second word" not in await reader.read()


async def test_a_stream_ends_with_the_rules(
    live: LivePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it does when a reload closes loopback."""
    monkeypatch.setattr(stream, "LOOK_AGAIN", 0.0)
    live.rules = AccessRules()
    reader = await live.follow(b"")
    trust_nobody(live)
    live.change("a word")
    async with asyncio.timeout(20):
        assert b"a word" not in await reader.read()


async def test_who_takes_nothing_keeps_no_place(
    live: LivePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that nobody reads ends, and its visitor is put out: also when it does not take the
    end. Sixty of them would have shut everybody out of what changes.
    """

    async def flood(_channel: LiveChannel, _mark: str) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    monkeypatch.setattr(LiveChannel, "follow", flood)
    monkeypatch.setattr(stream, "TAKEN_WITHIN", 0.1)
    reader = await live.follow(BEARER, limit=1000)
    async with asyncio.timeout(20):
        while len(live.page.door):
            await asyncio.sleep(0.01)
    assert live.raised == 0
    del reader


@pytest.mark.parametrize(
    "value", [b"9999999999.\x80", b'"9999999999.\x80"', b"9999999999.\xc3\xa9"]
)
async def test_a_cookie_of_no_browser(live: LivePage, value: bytes) -> None:
    """Bytes that are no text are no session, and no mistake of ours."""
    cookie = b"Cookie: sentinel-%d=%s\r\nConnection: close\r\n" % (live.port, value)
    answer = await (await live.send("GET", "/metrics", cookie)).read()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert live.raised == 0
