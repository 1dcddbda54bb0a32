"""/metrics over real HTTP: formats, compression, pieces, turns for others, readers that stop."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from sentinel.web import exposition
from sentinel.web.app import make_app
from sentinel.web.exposition import OPENMETRICS, PLAIN, PLAIN_1, accepts_gzip, choose_format
from sentinel.web.guard import listen_hosts

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Page:
    """A running application with an exposition of any size."""

    def __init__(self, port: int) -> None:
        self.url, self.port = f"http://127.0.0.1:{port}/metrics", port
        self.lines = [b"one 1.0\n", b"", b"two 2.0\n"]

    def pieces(self, openmetrics: bool) -> Iterator[bytes]:
        """The text, with a rest in it."""
        yield from self.lines
        if openmetrics:
            yield b"# EOF\n"

    async def get(self, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        """Headers and the bytes as they came."""
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(self.url, headers=headers) as answer,
        ):
            return answer, await answer.read()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """The application on a free port; /metrics needs no store."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    made = Page(sock.getsockname()[1])
    hosts = listen_hosts("127.0.0.1", made.port)
    app = make_app(None, made.pieces, lambda: (True, ""), lambda: hosts)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        (BROWSER, PLAIN),
        ("text/plain", PLAIN),
        ("text/plain; version=0.0.4", PLAIN),
        ("text/plain;version=1.0.0", PLAIN_1),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", PLAIN),
        ("application/openmetrics-text;q=0, text/plain", PLAIN),
        ("text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.2", OPENMETRICS),
        (";;=,q=x;q=nonsense,application/openmetrics-text;q=nonsense", PLAIN),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
def test_the_format_is_the_one_that_is_wanted_most(accept: str, expected: str) -> None:
    """OpenMetrics 1.0, text 1.0.0, text 0.0.4 for everybody else."""
    assert choose_format(accept) == expected


@pytest.mark.parametrize(
    "accept", ["", "*/*", PROMETHEUS_2, PROMETHEUS_3, "text/plain;version=1.0.0"]
)
def test_the_format_is_that_of_the_library(accept: str) -> None:
    """For what scrapers send; the library also echoes how names were escaped: ours need none."""
    _, content_type = choose_encoder(accept)
    assert choose_format(accept) == content_type.partition("; escaping")[0]


@pytest.mark.parametrize(
    ("encodings", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
    ],
)
def test_gzip_is_sent_to_who_accepts_it(encodings: str, accepted: bool) -> None:
    """And to nobody else."""
    assert accepts_gzip(encodings) is accepted


async def test_text_and_openmetrics_plain_and_compressed(page: Page) -> None:
    """One text; its length, type and encoding are told."""
    page.lines = [b"x %d.0\n" % n for n in range(60_000)]
    text = b"".join(page.lines)
    answer, body = await page.get(**{"Accept-Encoding": "identity"})
    assert (body, answer.headers["Content-Type"]) == (text, PLAIN)
    assert "Content-Encoding" not in answer.headers
    answer, packed = await page.get(**{"Accept-Encoding": "gzip", "Accept": PROMETHEUS_3})
    assert gzip.decompress(packed) == text + b"# EOF\n"
    assert answer.headers["Content-Type"] == OPENMETRICS
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert int(answer.headers["Content-Length"]) == len(packed) < len(text) / 3


async def test_head_tells_the_length_and_sends_nothing(page: Page) -> None:
    """The next request on the connection is understood."""
    async with aiohttp.ClientSession() as session:
        async with session.head(page.url, headers={"Accept-Encoding": "identity"}) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, "16")
        async with session.get(page.url) as answer:
            assert await answer.text() == "one 1.0\ntwo 2.0\n"


async def test_slow_readers_hold_nobody_up(page: Page) -> None:
    """More of them than answers are made at a time; each costs no copy of the text."""
    page.lines = [b"x" * 99_999 + b"\n"] * 300
    slow = [await asyncio.open_connection("127.0.0.1", page.port, limit=2**16) for _ in range(6)]
    for _, writer in slow:
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    for reader, _ in slow:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(5):
        _, body = await page.get(**{"Accept-Encoding": "gzip"})
    assert len(gzip.decompress(body)) == 30_000_000
    for _, writer in slow:
        writer.close()


async def test_others_have_their_turn_while_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each slice of time; not after each small piece, which would take as long as they do."""
    turns: list[int] = []
    done: list[int] = []

    async def beat() -> None:
        while True:
            turns.append(len(done))
            await asyncio.sleep(0)

    def pieces() -> Iterator[bytes]:
        for n in range(12):
            done.append(n)
            yield b"x"

    clock = itertools.count(step=0.6 * exposition.SLICE)
    monkeypatch.setattr(exposition.time, "perf_counter", lambda: next(clock))
    other = asyncio.create_task(beat())
    await asyncio.sleep(0)
    assert await exposition.gather_pieces(pieces()) == [b"x" * 12]
    other.cancel()
    assert turns == [0, 2, 4, 6, 8, 10, 12]


async def test_only_one_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both formats at once: the second begins when the first is there."""
    monkeypatch.setattr(exposition, "SLICE", -1.0)
    running: list[bool] = []

    def pieces(openmetrics: bool) -> Iterator[bytes]:
        assert not running
        running.append(openmetrics)
        for _ in range(5):
            yield b"x" * 9
        running.clear()

    page = exposition.MetricsPage(pieces, lambda: 0.0)
    sheets = await asyncio.gather(*(page.get(each) for each in (PLAIN, OPENMETRICS, PLAIN_1)))
    assert [sum(map(len, each.text)) for each in sheets] == [45, 45, 45]
    assert sheets[0] is sheets[2]


async def test_what_is_shown_is_written_before_it_goes_out() -> None:
    """Rendered, then written down, then answered: what was counted in between is written, too."""
    story: list[str] = []

    def pieces(_openmetrics: bool) -> Iterator[bytes]:
        story.append("rendered")
        yield b"x"

    async def settle() -> None:
        await asyncio.sleep(0)
        story.append("written")

    page = exposition.MetricsPage(pieces, lambda: 0.0, settle)
    await page.get(PLAIN)
    story.append("answered")
    assert story == ["rendered", "written", "answered"]
