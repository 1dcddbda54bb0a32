"""The HTTP adapter against servers that hang, drip, flood, bomb, redirect, refuse, and lie about
who they are.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.network.resolver import Resolver
from sentinel.core.fault import Status
from sentinel.core.servers.pace import RequestBudget
from sentinel.demo.servers import free_port
from sentinel.errors import (
    NotMeasurable,
    TargetError,
    TargetRejected,
    TargetUnreachable,
    WrongTarget,
)
from tests.conftest import require_tool

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None):
    """A real HTTP server on a free port; yields its address."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(talk):
    """A TCP server that says what `talk(reader, writer)` says."""

    async def serve(reader, writer):
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def client_of(address: str, **options):
    client = HttpClient("api", address, **options)
    try:
        yield client
    finally:
        await client.close()


async def ask(address: str, path: str = "/", timeout: float = 2.0, **options):
    """One request with a client of its own; `request=` goes to the request."""
    request = options.pop("request", {})
    async with client_of(address, **options) as client:
        return await client.request(request.pop("method", "GET"), path, timeout=timeout, **request)


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello", headers={"X-Case": "Kept"})


async def test_answer_comes_whole():
    """Status, headers in any case, body, and a time."""
    async with serving(hello) as address:
        response = await ask(address)
    assert (response.status, response.body, response.truncated) == (200, b"hello", False)
    assert response.headers["x-case"] == "Kept"
    assert response.seconds > 0


async def test_what_is_sent():
    """User-Agent of the resource, headers of resource and request, method and body."""
    seen = {}

    async def look(request: web.Request) -> web.Response:
        seen.update(
            request.headers, method=request.method, body=await request.read(), path=request.path_qs
        )
        return web.Response()

    async with serving(look) as address:
        await ask(
            address + "/base/",
            "/x?y=1",
            user_agent="watcher/1",
            headers={"X-Tenant": "a"},
            request={"method": "POST", "headers": {"X-Run": "7"}, "body": b"{}"},
        )
    assert (seen["User-Agent"], seen["X-Tenant"], seen["X-Run"]) == ("watcher/1", "a", "7")
    assert (seen["method"], seen["body"], seen["path"]) == ("POST", b"{}", "/base/x?y=1")


async def test_accepts_and_never_answers():
    """C1: unreachable at the deadline."""

    async def silence(_reader, _writer):
        await asyncio.sleep(30)

    async with raw_server(silence) as address:
        with pytest.raises(TargetUnreachable, match="no whole answer"):
            await ask(address, timeout=0.1)


async def test_many_slow_requests_do_not_hold_up_another_one():
    """Forty long polls of the same address are no reason to call its health page down."""

    async def handler(request):
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response(text="ok")

    async with serving(handler) as address, client_of(address) as client:
        slow = [asyncio.create_task(client.request("GET", "/slow", timeout=30)) for _ in range(40)]
        await asyncio.sleep(0.2)
        assert (await client.request("GET", "/health", timeout=5)).status == 200
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_one_byte_at_a_time_for_ever():
    """C2: the deadline is for the whole, each byte notwithstanding."""

    async def drip(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(drip) as address:
        with pytest.raises(TargetUnreachable, match="no whole answer"):
            await ask(address, timeout=0.2)


async def test_huge_body_is_cut_at_the_limit():
    """C3: of 10 GB, 64 KiB are kept and little more is read."""
    sent = 0

    async def flood(_reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 16384)
            await writer.drain()
            sent += 16384

    async with raw_server(flood) as address:
        response = await ask(address)
    assert (len(response.body), response.truncated) == (65536, True)
    assert sent < 50_000_000


async def test_gzip_bomb_does_not_go_off():
    """C3: a body that unpacks to 50 MB gives 64 KiB."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 65536

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(answer) as address:
        response = await ask(address)
    assert (len(response.body), response.truncated) == (65536, True)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (gzip.compress(b'{"a": 1}'), ("gzip",)),
        (gzip.compress(b'{"a"') + gzip.compress(b": 1}"), ("gzip",)),
        (gzip.compress(b'{"a": 1}') + b"\0\0", ("gzip, identity",)),
        (gzip.compress(b'{"a": 1}'), ("identity", ",gzip")),
    ],
    ids=["one member", "two members", "padded", "two lines"],  # why: a member holds the time
)
async def test_gzip_is_unpacked_though_not_asked_for(body, lines):
    """A server that packs all the same is understood, in several members and by several headers."""

    async def answer(_request: web.Request) -> web.Response:
        response = web.Response(body=body)
        for line in lines:
            response.headers.add("Content-Encoding", line)
        return response

    async with serving(answer) as address:
        response = await ask(address)
    assert (response.body, response.truncated, response.packed) == (b'{"a": 1}', False, "")


async def test_what_is_packed_for_the_transfer_is_unpacked():
    """RFC 9112 §6.1, though nobody asked for it."""

    async def answer(_reader, writer):
        body = gzip.compress(b'{"a": 1}')
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await writer.drain()

    async with raw_server(answer) as address:
        assert (await ask(address)).body == b'{"a": 1}'


@pytest.mark.parametrize("member", [b"", b"\0" * 1000])
async def test_very_many_members_are_a_long_body(member):
    """What stands behind each member is copied: their number has an end."""

    async def answer(_request: web.Request) -> web.Response:
        body = gzip.compress(member) * 1000
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with serving(answer) as address:
        response = await ask(address)
    assert (len(response.body), response.truncated) == (min(65536, 100 * len(member)), True)


async def test_broken_gzip_is_the_targets_fault():
    """A body that is not what its header says is an error of the target."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    async with serving(answer) as address:
        with pytest.raises(TargetRejected, match="broken body"):
            await ask(address)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_encoding_that_is_not_undone_is_named(encoding):
    """The status still counts; who wants the body is told how it is packed."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"\x8b\x02", headers={"Content-Encoding": encoding})

    async with serving(answer) as address:
        response = await ask(address)
    assert (response.status, response.packed) == (200, encoding)


async def test_deflate_is_taken_with_and_without_its_frame():
    """As browsers do."""
    raw = zlib.compressobj(wbits=-15)
    bodies = {"/framed": zlib.compress(b"hello"), "/raw": raw.compress(b"hello") + raw.flush()}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.path], headers={"Content-Encoding": "deflate"})

    async with serving(answer) as address:
        assert [(await ask(address, path)).body for path in bodies] == [b"hello", b"hello"]


@pytest.mark.parametrize(("size", "good"), [(9_000, True), (60_000, True), (80_000, False)])
async def test_long_header_is_read_or_is_our_limit(size, good):
    """What browsers read is read; beyond it, unknown, and never the target's fault."""

    async def long(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * size + b"\r\n")
        writer.write(b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)

    async with raw_server(long) as address:
        if good:
            assert (await ask(address)).status == 200
            return
        with pytest.raises(NotMeasurable, match="own limit"):
            await ask(address)


async def test_more_headers_than_we_read_are_our_limit():
    """500 are read; 5000 are too many for us."""

    async def many(reader, writer):
        count = int((await reader.readline()).split()[1][1:])
        lines = b"".join(b"X-%d: a\r\n" % n for n in range(count))
        writer.write(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)

    async with raw_server(many) as address:
        assert (await ask(address, "/500")).status == 200
        with pytest.raises(NotMeasurable, match="own limit"):
            await ask(address, "/5000")


async def test_redirect_that_sets_a_cookie_is_said():
    """A page that wants its cookie back loops for us alone."""

    async def wall(request: web.Request) -> web.Response:
        if "seen" in request.cookies:
            return web.Response()
        headers = {"Location": request.path, "Set-Cookie": "seen=1"}
        return web.Response(status=302, headers=headers)

    async with serving(wall) as address:
        with pytest.raises(NotMeasurable, match="set a cookie: sentinel keeps none"):
            await ask(address, request={"redirects": 3})


@pytest.mark.parametrize("option", ["ca_file", "certificate_file"])
async def test_file_that_can_not_be_read_is_ours(option):
    """Nobody was asked, so nobody is down."""
    with pytest.raises(NotMeasurable, match="No such file"):
        await ask("https://127.0.0.1:1", **{option: "/nowhere/file.pem"})


async def test_certificate_of_ours_is_shown(authority):
    """A server that asks for a certificate gets the one of the resource."""
    issuer, context = authority("asks")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(issuer)
    authority("client")
    folder = issuer.parent
    ours = {"certificate_file": str(folder / "client.pem"), "key_file": str(folder / "client.key")}
    async with serving(hello, context) as address:
        assert (await ask(address, ca_file=str(issuer), **ours)).status == 200
        with pytest.raises(TargetError):
            await ask(address, ca_file=str(issuer))


async def test_redirects_are_not_followed_by_default():
    """C4: the redirect itself is the answer."""
    asked = []

    async def away(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/other"})

    async with serving(away) as address:
        response = await ask(address)
    assert (response.status, asked) == (302, ["/"])


async def test_redirects_are_followed_when_allowed():
    """One hop on the same host."""

    async def hop(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(text="end")
        return web.Response(status=302, headers={"Location": "/end"})

    async with serving(hop) as address:
        response = await ask(address, request={"redirects": 1})
    assert response.body == b"end"


async def test_credentials_stay_within_the_origin():
    """Another port is another origin: it gets no header of ours, and neither does a third hop that
    leads back. Within the origin everything goes along.
    """
    seen: list[tuple[str, str | None, str | None]] = []

    def note(request: web.Request) -> None:
        name, password = request.headers.get("X-Key"), request.headers.get("Authorization")
        seen.append((request.path, name, password))

    async def other(request: web.Request) -> web.Response:
        note(request)
        return web.Response(status=302, headers={"Location": f"{ours}/back"})

    async with serving(other) as foreign:

        async def hop(request: web.Request) -> web.Response:
            note(request)
            leads = {"/": f"{ours}/near", "/near": f"{foreign}/far"}
            if request.path not in leads:
                return web.Response(text="end")
            return web.Response(status=302, headers={"Location": leads[request.path]})

        async with serving(hop) as ours:
            address = ours.replace("://", "://user:hidden@")
            client = HttpClient("api", address, headers={"X-Key": "k"})
            await client.request("GET", "/", timeout=5.0, redirects=3)
            await client.close()
    basic = "Basic dXNlcjpoaWRkZW4="
    assert seen == [
        ("/", "k", basic),
        ("/near", "k", basic),
        ("/far", None, None),
        ("/back", None, None),
    ]


async def test_redirect_loop_ends():
    """C4: after the allowed hops it is an error of the target; no more requests than that are sent."""
    asked = []

    async def loop(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/"})

    async with serving(loop) as address:
        with pytest.raises(TargetRejected, match="more than 3 redirects"):
            await ask(address, request={"redirects": 3})
    assert len(asked) == 4


@pytest.mark.parametrize(
    "location", ["http://localhost:1/", "ftp://127.0.0.1/", "file:///etc/passwd", "//evil.example/"]
)
async def test_redirect_to_another_host_or_scheme_is_refused(location):
    """C4, G14: a target can't send us elsewhere, nor with its headers."""

    async def away(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with serving(away) as address:
        with pytest.raises(TargetRejected, match="redirects away"):
            await ask(address, request={"redirects": 5})


async def test_budget_slides_and_never_says_down():
    """R10: the third request of two per minute is not sent; after the window it is again."""
    asked = []
    now = [1000.0]

    async def count(_request: web.Request) -> web.Response:
        asked.append(1)
        return web.Response()

    async with (
        serving(count) as address,
        client_of(address, budget=RequestBudget(2, 60.0), monotonic=lambda: now[0]) as client,
    ):
        for instant in (1000.0, 1030.0):
            now[0] = instant
            await client.request("GET", "/", timeout=2)
        now[0] = 1059.0
        with pytest.raises(NotMeasurable, match="request budget spent: 2 per 1 min") as caught:
            await client.request("GET", "/", timeout=2)
        assert caught.value.status is Status.UNKNOWN
        now[0] = 1061.0
        await client.request("GET", "/", timeout=2)
        with pytest.raises(NotMeasurable):
            await client.request("GET", "/", timeout=2)
    assert len(asked) == 3


async def test_redirect_hops_spend_the_budget():
    """Each hop is a request to the target."""

    async def loop(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/"})

    async with serving(loop) as address:
        with pytest.raises(NotMeasurable, match="budget"):
            await ask(address, budget=RequestBudget(2, 60.0), request={"redirects": 5})


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "120", 120.0),
        (429, None, 30.0),
        (503, "7", 7.0),
        (429, "99999999", 900.0),
        (429, "nonsense", 30.0),
        (429, "Mon, 30 Nov 2026 10:00:00 +99999999999999999999", 30.0),
    ],
)
async def test_target_that_asks_for_time_gets_it(status, header, wait):
    """C7: after 429, or 503 with Retry-After, nothing is sent for that time; it is degraded, never
    down.
    """
    asked = []
    now = [0.0]

    async def refuse(_request: web.Request) -> web.Response:
        asked.append(1)
        return web.Response(status=status, headers={"Retry-After": header} if header else {})

    async with serving(refuse) as address, client_of(address, monotonic=lambda: now[0]) as client:
        response = await client.request("GET", "/", timeout=2)
        assert (response.status, response.retry_after) == (status, wait)
        now[0] = wait - 0.1
        with pytest.raises(TargetRejected, match=f"backing off: answered {status}") as caught:
            await client.request("GET", "/", timeout=2)
        assert caught.value.status is Status.DEGRADED
        assert len(asked) == 1
        now[0] = wait + 0.1
        await client.request("GET", "/", timeout=2)
    assert len(asked) == 2


async def test_retry_after_may_be_a_date():
    """RFC 9110: an HTTP date is as good as seconds."""

    async def refuse(_request: web.Request) -> web.Response:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 300))
        return web.Response(status=503, headers={"Retry-After": date})

    async with serving(refuse) as address:
        response = await ask(address)
    assert 290 < response.retry_after <= 300


async def test_plain_503_is_an_answer():
    """Without Retry-After a 503 is judged, and the next request is sent."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with serving(refuse) as address, client_of(address) as client:
        for _ in range(2):
            assert (await client.request("GET", "/", timeout=2)).retry_after is None


async def test_nobody_listens():
    """Refused is unreachable."""
    with pytest.raises(TargetUnreachable, match="unreachable"):
        await ask(f"http://127.0.0.1:{free_port()}")


async def test_connection_closed_without_an_answer():
    """A crash on the request is unreachable, said as such."""

    async def hang_up(reader, _writer):
        await reader.readline()

    async with raw_server(hang_up) as address:
        with pytest.raises(TargetUnreachable):
            await ask(address)


async def test_other_protocol_is_the_wrong_target(valkey):
    """Redis behind an HTTP address is the wrong target, not an outage."""
    with pytest.raises(WrongTarget, match="not an HTTP server"):
        await ask(f"http://127.0.0.1:{valkey.port}")


async def test_postgres_is_the_wrong_target(postgres):
    """It hangs up on HTTP without a word, as a crash would: it is asked who it is."""
    with pytest.raises(WrongTarget, match="not an HTTP server: PostgreSQL answers there"):
        await ask(f"http://127.0.0.1:{postgres.port}")


async def test_greeting_of_another_protocol_is_the_wrong_target():
    """So is a server that speaks first."""

    async def greet(_reader, writer):
        writer.write(b"220 mail ready\r\n")
        await writer.drain()
        await asyncio.sleep(1)

    async with raw_server(greet) as address:
        with pytest.raises(WrongTarget):
            await ask(address)


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"a" * 100_000,
        b"X: a\0b",
        b"X\x1b[2J: a",
        b"Content-Length: -1",
        b"Transfer-Encoding: nonsense, chunked, x",
    ],
)
async def test_hostile_headers_are_a_target_error(head):
    """C8: whatever the headers are, it is a TargetError or an answer, in printable words."""

    async def hostile(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nbody")
        await writer.drain()

    async with raw_server(hostile) as address:
        (said,) = await asyncio.gather(ask(address), return_exceptions=True)
    if isinstance(said, TargetError):
        assert said.message.isprintable()
    else:
        assert said.status == 200


@pytest.mark.parametrize("status", ["000", "042", "099", "600", "999"])
async def test_a_number_that_is_no_status_is_a_broken_answer(status):
    """HTTP has statuses of 100 to 599 (RFC 9110 §15)."""

    async def talk(reader, writer):
        await reader.readline()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())
        await writer.drain()

    async with raw_server(talk) as address:
        with pytest.raises(TargetRejected, match=f"not a valid answer: {status} is no status"):
            await ask(address)


async def test_heads_before_the_answer_have_an_end():
    """Who says 1xx for ever is left at once, and not at the deadline: reading it is work."""

    async def talk(reader, writer):
        await reader.readline()
        with suppress(ConnectionError):
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
                await writer.drain()

    async with raw_server(talk) as address:
        with pytest.raises(TargetRejected, match="100 times 1xx"):
            await ask(address)


@pytest.mark.parametrize(
    "behind",
    [
        b"Content-Length: 2\r\n\r\nok",
        b"\r\nok",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"\r\nHTTP/1.1 500 X\r\n\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(status, before, behind):
    """What comes behind it, be it in the same packet, does not spoil it."""

    async def talk(reader, writer):
        await reader.readline()
        writer.write(before + f"HTTP/1.1 {status} X\r\n".encode() + behind)
        await writer.drain()

    async with raw_server(talk) as address:
        said = await ask(address)
    assert (said.status, said.body) == (status, b"")


async def test_unknown_name_is_our_side():
    """C5: a name without an address is unknown."""

    def nobody(*_arguments, **_keywords):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(NotMeasurable, match="name resolution") as caught:
        await ask("http://nowhere.example", resolver=Resolver(lookup=nobody))
    assert caught.value.code == "DNS"


async def test_hung_names_do_not_hold_up_others():
    """C5: with six names that hang, another name still resolves."""
    over = threading.Event()
    resolver = Resolver(lookup=partial(hung_lookup, over), deadline=0.15)
    async with serving(hello) as address:
        hung = [
            asyncio.create_task(ask(f"http://hung{n}.example", resolver=resolver)) for n in range(6)
        ]
        await asyncio.sleep(0.01)
        answer = await ask(address.replace("127.0.0.1", "good.example"), resolver=resolver)
        ended = await asyncio.gather(*hung, return_exceptions=True)
    over.set()
    assert answer.status == 200
    assert [type(error) for error in ended] == [NotMeasurable] * 6


def hung_lookup(over, host, port, **_keywords):
    if host.startswith("hung"):
        over.wait(20)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


async def test_descriptors_exhausted_is_our_side(monkeypatch):
    """C10: EMFILE blames sentinel."""

    def no_socket(*_arguments, **_keywords):
        raise OSError(24, "Too many open files")

    async with client_of("http://127.0.0.1:9") as client:
        monkeypatch.setattr("sentinel.adapters.network.tcp.socket.socket", no_socket)
        with pytest.raises(NotMeasurable, match="own limit"):
            await client.request("GET", "/", timeout=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Callable[..., tuple[Path, ssl.SSLContext]]:
    """Makes server certificates with openssl; returns the file of the issuer and the server's
    context.
    """
    openssl = require_tool("openssl")
    folder = tmp_path_factory.mktemp("tls")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test issuer", "-days", "3650",
        "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def issue(
        name: str,
        altname: str = "IP:127.0.0.1",
        begin: str = "20200101000000Z",
        end: str = "21250101000000Z",
    ):
        (folder / f"{name}.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={name}.db\nserial={name}.srl\nnew_certs_dir=.\nprivate_key=ca.key\n"
            f"certificate=ca.pem\ndefault_md=sha256\npolicy=p\nx509_extensions=x\nunique_subject=no\n"
            f"[p]\ncommonName=supplied\n[x]\nsubjectAltName={altname}\n"
            f"authorityKeyIdentifier=keyid\n"
        )
        (folder / f"{name}.db").write_text("")
        (folder / f"{name}.srl").write_text("01\n")
        run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")  # fmt: skip
        run("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-in", f"{name}.csr", "-out", f"{name}.pem",
            "-startdate", begin, "-enddate", end)  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return folder / "ca.pem", context

    return issue


async def test_good_certificate_and_its_end(authority):
    """A certificate of a trusted issuer passes, and its end is told."""
    issuer, context = authority("good", end="20990203040506Z")
    async with serving(hello, context) as address:
        response = await ask(address, ca_file=str(issuer))
    assert response.certificate_expires.isoformat() == "2099-02-03T04:05:06+00:00"


async def test_expired_certificate(authority):
    """C6: expired is down: no client goes on."""
    issuer, context = authority("expired", end="20210101000000Z")
    async with serving(hello, context) as address:
        with pytest.raises(TargetRejected, match="expired") as caught:
            await ask(address, ca_file=str(issuer))
    assert (caught.value.code, caught.value.status) == ("TLS_EXPIRED", Status.DOWN)


async def test_certificate_for_another_host(authority):
    """C6: another name is down, told apart from expired."""
    issuer, context = authority("other", altname="DNS:other.example")
    async with serving(hello, context) as address:
        with pytest.raises(TargetRejected, match="another host") as caught:
            await ask(address, ca_file=str(issuer))
    assert (caught.value.code, caught.value.status) == ("TLS_HOST", Status.DOWN)


async def test_unknown_issuer_is_perhaps_our_trust(authority):
    """C6: an issuer that only we don't know is unknown, with the remedy ca_file."""
    _issuer, context = authority("unknown")
    async with serving(hello, context) as address:
        with pytest.raises(NotMeasurable, match="issuer") as caught:
            await ask(address)
    assert "ca_file" in caught.value.guidance


async def test_redirect_must_not_lose_encryption(authority):
    """C4: from https to http is refused, on the same host too."""
    issuer, context = authority("downgrade")

    async def down(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://{request.host}/"})

    async with serving(down, context) as address:
        with pytest.raises(TargetRejected, match="from https"):
            await ask(address, ca_file=str(issuer), request={"redirects": 3})


async def test_plain_http_behind_https(authority):
    """A server without TLS behind https is told as a TLS error."""
    async with serving(hello) as address:
        with pytest.raises(TargetError, match="TLS"):
            await ask(address.replace("http:", "https:"))
