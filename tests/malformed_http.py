"""Malformed HTTP from a seed: what scanners, broken clients and attackers send to a port."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PATHS = (
    "/", "/metrics", "/faults", "/incident/I1", "/reports/", "/reports/r.md", "/static/page.css", "/-/healthy",
    "/api/v1/status", "/api/v1/incidents", "/api/v1/incidents/I1", "/api/v1/faults", "/nothing", "/api/nothing",
)  # fmt: skip
TARGETS = (
    "", "*", "/%", "/%zz", "/%00", "/incident/%00", "/incident/%ff%fe", "/incident/%ED%A0%80",
    "/incident/%1b[31m", "/faults?check=%00", "/faults?component=%F0%9F",
    "/faults?check=&check=&=", "/reports/..%2f..%2fetc", "//evil/", "/\x00", "/\x1b[2J",
    "/\u202e", "/a\tb", "/#x", "/?" + "&" * 500, "http://evil.example/", "http://[::1/",
    "http://127.0.0.1:{port}/", "http://a@127.0.0.1:{port}/", "https://127.0.0.1:99999/",
    "http://", "://", "evil:443", "/" + "a" * 9000, "/api/v1/incidents?open=" + "1" * 7000,
    "/../../../etc/passwd", "/./", "/;/", "file:///etc/passwd",
)  # fmt: skip
METHODS = (
    "", "get", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "PRI", "PROPFIND",
    "G\x00T", "GÉT", "GET ", "X" * 9000, "(", "\x16\x03\x01", "*",
)  # fmt: skip
VERSIONS = (
    "HTTP/0.9",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/9.9",
    "HTTP/1.1 x",
    "HTTP/",
    "http/1.1",
    "ICY/1.1",
    "",
)
HOSTS = (
    "", "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost:{port}.evil", "x@127.0.0.1:{port}",
    "[::1", "[::1]:{port}x", "127.0.0.1:{port}\x00", "127.1:{port}", "0x7f000001:{port}",
    "\u0131localhost:{port}", "127.0.0.1:{port}, evil", "*", "a" * 300, "127.0.0.1:-1",
    "127.0.0.1:{port}/", "[fe80::1%25eth0]:{port}",
)  # fmt: skip
HEADERS = (
    "Content-Length: 5", "Content-Length: -5", "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 1e3", "Content-Length: 99999999999999999999", "Content-Length: 70000",
    "Transfer-Encoding: chunked", "Transfer-Encoding: x",
    "Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: identity",
    "Content-Encoding: gzip\r\nContent-Length: 4", "Expect: 100-continue", "Expect: 42",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
    "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
    "Host: again", "X: " + "a" * 9000, "X" * 9000 + ": a", "X:\x00", "X: \x1b[31m", "X\x00Y: a",
    ": a", "no colon", " folded: a", "X: a\r\n b", "X: a\nY: b", "X: a\rY: b",
    "Cookie: " + "a=b; " * 1000, "Range: bytes=0-0,-1,9-1", "Accept: \xff\xfe",
    "Connection: close, keep-alive", "Connection: \x00", "Keep-Alive: timeout=999999",
    "Authorization: Basic \u2028", "\r\n".join(f"H{n}: v" for n in range(200)),
    "If-None-Match: " + "\"x\"," * 900, "Sec-Fetch-Site: cross-site",
)  # fmt: skip
BODIES = (
    "", "abcde", "0\r\n\r\n", "5\r\nabcde\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "-1\r\n",
    "5;" + "x" * 9000 + "\r\n", "zz\r\nx", "1\r\nabc\r\n", "0\r\nTrailer: x\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: evil\r\n\r\n", "x" * 70000,
    "0\r\n\r\nGET / HTTP/1.1\r\nHost: evil\r\n\r\n", "\x1f\x8b\x08\x00",
)  # fmt: skip
RAW = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40), b"\x00" * 4096, b"\r\n" * 3000, b"\n", b" ",
    b"SSH-2.0-x\r\n", b"EHLO x\r\n", b"\x80\x2e\x01\x03\x01", b"\xff" * 999, b"GET", b"GET /",
    b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHo", b"GET /\r\n\r\n",
    b"GET  /  HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x05\x01\x00", b"GET / HTTP/1.1\n\n",
    b"HTTP/1.1 200 OK\r\n\r\n", b"\xef\xbb\xbfGET / HTTP/1.1\r\n\r\n",
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """What one connection sends, piece by piece, and how it ends: `wait` for the server, `half`
    closed, `close` at once, or `reset`.
    """

    pieces: tuple[bytes, ...]
    ending: str


def make_attempts(seed: int, count: int, port: int) -> Iterator[Attempt]:
    """So many connections; most of them are wrong, each in a way of its own."""
    draw = random.Random(seed)
    ways: list[Callable[[random.Random], bytes]] = [
        _odd_line, _odd_line, _odd_headers, _odd_headers, _odd_host, _smuggle, _flip, _pipeline, _raw,
    ]  # fmt: skip
    for _ in range(count):
        sent = draw.choice(ways)(draw).replace(b"{port}", str(port).encode())
        yield Attempt(
            tuple(_cut(draw, sent)), draw.choice(["wait", "wait", "half", "close", "reset"])
        )


def _request(
    draw: random.Random,
    line: str = "",
    host: str = "127.0.0.1:{port}",
    more: str = "",
    body: str = "",
) -> bytes:
    line = line or f"GET {draw.choice(PATHS)} HTTP/1.1"
    head = f"{line}\r\nHost: {host}\r\n{more}{chr(13) + chr(10) if more else ''}\r\n{body}"
    return head.encode("utf-8", "surrogatepass")


def _odd_line(draw: random.Random) -> bytes:
    parts = ["GET", draw.choice(PATHS), "HTTP/1.1"]
    for where in draw.sample(range(3), draw.choice([1, 1, 2])):
        parts[where] = draw.choice((METHODS, TARGETS, VERSIONS)[where])
    return _request(draw, draw.choice([" ", " ", " ", "\t", "  "]).join(parts))


def _odd_headers(draw: random.Random) -> bytes:
    more = "\r\n".join(draw.sample(HEADERS, draw.choice([1, 1, 2, 3])))
    return _request(draw, more=more, body=draw.choice(BODIES))


def _odd_host(draw: random.Random) -> bytes:
    return _request(draw, host=draw.choice(HOSTS))


def _smuggle(draw: random.Random) -> bytes:
    method = draw.choice(["GET", "POST", "DELETE"])
    framing = draw.sample(
        [each for each in HEADERS if each.startswith(("Content-", "Transfer-"))], 2
    )
    line = f"{method} {draw.choice(PATHS)} HTTP/1.1"
    return _request(draw, line, more="\r\n".join(framing), body=draw.choice(BODIES))


def _flip(draw: random.Random) -> bytes:
    sent = bytearray(_request(draw, more="Accept: */*"))
    for _ in range(draw.randint(1, 6)):
        sent[draw.randrange(len(sent))] = draw.randrange(256)
    return bytes(sent)


def _pipeline(draw: random.Random) -> bytes:
    good = b"".join(
        _request(draw) for _ in range(draw.randint(2, 40 if draw.random() < 0.1 else 8))
    )
    return good + draw.choice((_odd_line, _odd_headers, _raw, _flip))(draw)


def _raw(draw: random.Random) -> bytes:
    return draw.choice(RAW)


def _cut(draw: random.Random, sent: bytes) -> Iterator[bytes]:
    """In one piece, in some, or only the beginning of it."""
    if draw.random() < 0.15:
        sent = sent[: draw.randrange(len(sent) + 1)]
    if draw.random() < 0.3 and len(sent) > 2:
        middle = draw.randrange(1, len(sent))
        yield sent[:middle]
        sent = sent[middle:]
    yield sent
