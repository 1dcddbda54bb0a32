"""Hostile answers from a seed: what a server of foreign origin may send that it never should."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

Draw = random.Random


@dataclass(frozen=True, slots=True)
class Script:
    """What a server says to one request: pieces with a pause after each; then it hangs up, or not."""

    name: str
    pieces: tuple[bytes, ...]
    pause: float = 0.0
    forever: bool = False
    """Whether the last piece comes again without end."""
    hang_up: bool = True


@asynccontextmanager
async def serve(script: Script, greet: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A server that follows a script; its port. `greet` may answer the start of a conversation as a
    sound server would; b"" from it begins the script.
    """

    writers: list[asyncio.StreamWriter] = []
    done = asyncio.Semaphore(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            with suppress(OSError):
                while request := await reader.read(65536):
                    sound = greet(request)
                    if sound:
                        writer.write(sound)
                        continue
                    await _follow(script, writer)
                    if script.hang_up:
                        break
        finally:
            writer.transport.abort()
            done.release()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for _ in range(len(writers)):
            await done.acquire()


async def _follow(script: Script, writer: asyncio.StreamWriter) -> None:
    for piece in script.pieces:
        if writer.is_closing():
            return
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(script.pause)
    while script.forever and not writer.is_closing():
        writer.write(script.pieces[-1])
        await writer.drain()
        await asyncio.sleep(script.pause)


def drip(name: str, data: bytes) -> Script:
    """One byte each 50 ms."""
    return Script(name, tuple(data[n : n + 1] for n in range(min(len(data), 200))), pause=0.05)


# --- HTTP ---------------------------------------------------------------------------------------

_STATUS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 -1 X\r\n",
    b"HTTP/1.1 99999 X\r\n",
    b"HTTP/9.9 200 OK\r\n",
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.1 \xff\xfe\r\n",
    b"ICY 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n",
    b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n",
    b"HTTP/1.1 429 X\r\nRetry-After: 9e99\r\n",
    b"HTTP/1.1 503 X\r\nRetry-After: Fri, 31 Dec 99999 23:59:59 GMT\r\n",
    b"HTTP/1.1 503 X\r\nRetry-After: " + b"9" * 5000 + b"\r\n",
    b"HTTP/1.1 302 X\r\nLocation: /\r\n",
    b"HTTP/1.1 302 X\r\nLocation: http://[::1\r\n",
    b"HTTP/1.1 301 X\r\nLocation: \x00\x01\r\n",
    b"HTTP/1.1 302 X\r\nLocation: //other:99999/\r\n",
    b"HTTP/1.1 500 X\r\n",
    b"HTTP/1.1 401 X\r\n",
    b"-ERR unknown\r\n",
)
_HEADERS = (
    b"",
    b"Content-Length: -5\r\n",
    b"Content-Length: 99999999999999\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: " + b"9" * 5000 + b"\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Content-Encoding: br\r\n",
    b"Content-Encoding: " + b"gzip, " * 500 + b"\r\n",
    b"Content-Type: application/json; charset=\x00\r\n",
    b"Content-Type: text/html; charset=base64\r\n",
    b"Content-Type: a; charset=rot13\r\n",
    b"Content-Type: a; charset=unicode_escape\r\n",
    b"Content-Type: a; charset=idna\r\n",
    b"Content-Type: a; charset=utf-7\r\n",
    b"Content-Type: a; charset=" + b"x" * 9000 + b"\r\n",
    b"Content-Type: a; charset*=utf-8''%ff%00\r\n",
    b"Content-Type: a; charset=punycode\r\n",
    b"X: " + b"x" * 100_000 + b"\r\n",
    b"".join(b"X%d: 1\r\n" % n for n in range(5000)),
    b"no colon\r\n",
    b" folded: 1\r\n",
    b"X\x00: 1\r\n",
    b"Set-Cookie: " + b"a=b; " * 900 + b"\r\n",
)


def _bodies() -> tuple[bytes, ...]:
    wide = json.dumps([[{"status": n, "b": str(n)} for n in range(60)] for _ in range(40)]).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\0" * 5_000_000) + packer.flush()
    return (
        b"",
        b"ok",
        b'{"status": "ok"}',
        b"[" * 60_000,
        b"9" * 5000,
        b'{"status": ' + b"9" * 5000 + b"}",
        b"[NaN, Infinity, 1e999]",
        b'{"status": 1, "status": 2}',
        b'{"status": "\\ud800"}',
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf{}",
        wide,
        gzip.compress(b"\0" * 5_000_000),
        bomb,
        gzip.compress(b"{}")[:-9],
        b"5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"-5\r\nx\r\n",
        b"5;" + b"x" * 90_000 + b"\r\nhello\r\n",
        b"zz\r\n",
        b'{"status": "' + b"a " * 30_000 + b'!"}',
        b"\0" * 70_000,
        json.dumps({"k" * 50_000: [1] * 900}).encode(),
        b'"' + b"\\u0000" * 900 + b'"',
    )


def make_http(seed: int, count: int) -> Iterator[Script]:
    """So many scripts of an HTTP server that is none."""
    draw = Draw(seed)
    bodies = _bodies()
    for n in range(count):
        name = f"http {seed}/{n}"
        status = draw.choice(_STATUS) if draw.random() < 0.4 else _STATUS[0]
        headers = b"".join(draw.sample(_HEADERS, draw.randint(0, 3)))
        answer = status + headers + b"\r\n" + draw.choice(bodies)
        way = draw.random()
        if way < 0.7:
            yield Script(name, (answer,), hang_up=draw.random() < 0.8)
        elif way < 0.78:
            yield Script(name, (answer[: draw.randrange(len(answer))],))
        elif way < 0.84:
            yield drip(name, answer)
        elif way < 0.94:
            endless = draw.choice((b"a" * 65536, b"X: 1\r\n" * 999, b"1\r\na\r\n" * 999, b"\r\n"))
            start = draw.choice((status, status + headers + b"\r\n", b"", status + b"X: "))
            yield Script(name, (start, endless), forever=True)
        else:
            yield Script(name, (draw.randbytes(draw.randint(1, 3000)),))


# --- PostgreSQL ---------------------------------------------------------------------------------


def _message(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = len(content) + 4 if length is None else length
    return kind + (size & 0xFFFFFFFF).to_bytes(4, "big") + content


def _number(value: int, size: int = 4) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big")


_ERROR = b"SFATAL\0VFATAL\0C28P01\0Mno\0\0"
_READY = _message(b"R", _number(0)) + _message(b"Z", b"I")
_COLUMN = (
    b"a\0" + _number(0) + _number(0, 2) + _number(23) + _number(4, 2) + _number(-1) + _number(0, 2)
)
_ROWS = (
    _message(b"T", _number(1, 2) + _COLUMN),
    _message(b"D", _number(1, 2) + _number(1) + b"7"),
    _message(b"C", b"SELECT 1\0"),
    _message(b"Z", b"I"),
    _message(b"1", b""),
    _message(b"2", b""),
    _message(b"n", b""),
    _message(b"S", b"TimeZone\0UTC\0"),
    _message(b"N", b"SNOTICE\0C00000\0Mhi\0\0"),
)
_PG_ODD = (
    _message(b"R", _number(99)),
    _message(b"R", _number(5) + b"abcd"),
    _message(b"R", _number(10) + b"NOBODY\0\0"),
    _message(b"R", _number(10) + b"SCRAM-SHA-256\0\0"),
    _message(b"R", _number(3)),
    _message(b"R", _number(7)),
    _message(b"R", b""),
    _message(b"E", _ERROR),
    _message(b"E", b""),
    _message(b"E", b"C" + b"9" * 90_000 + b"\0\0"),
    _message(b"E", b"S\xff\xfe\0C\xff\xff\xff\xff\xff\0M\x1b[31m\0\0"),
    _message(b"E", b"SFATAL\0C57P03\0Mstarting\0\0"),
    _message(b"R", _number(0), 2**31 - 1),
    _message(b"E", b"", -5),
    _message(b"R", _number(0), 3),
    _message(b"Z", b"I", 2**30),
    _message(b"N", b"M" + b"n" * 500_000 + b"\0\0"),
    _message(b"K", b"\0" * 3),
    _message(b"v", _number(0) + _number(2**31 - 1)),
    _message(b"S", b"TimeZone"),
    _message(b"A", _number(1) + b"x\0y\0"),
    _message(b"G", b"\0\0\0"),
    _message(b"T", _number(-1, 2)),
    _message(b"D", _number(30_000, 2) + _number(2**31 - 1)),
    _message(b"D", _number(1, 2) + _number(-7)),
    _message(b"\0", b"\0"),
    b"H",
    b"S",
    b"N",
    b"G",
    b"\xff" * 64,
    b"HTTP/1.1 400 Bad\r\n\r\n",
    b"-ERR wrong\r\n",
    b"E" + b"old style error\n\0",
)


def make_postgres(seed: int, count: int) -> Iterator[Script]:
    """So many scripts of a PostgreSQL that is none."""
    draw = Draw(seed)
    pool = _ROWS + _PG_ODD + (_READY,)
    for n in range(count):
        name, way = f"postgres {seed}/{n}", draw.random()
        if n < len(_PG_ODD):
            yield Script(name, (_PG_ODD[n],), hang_up=draw.random() < 0.5)
        elif way < 0.5:
            said = b"".join(draw.choice(pool) for _ in range(draw.randint(1, 9)))
            yield Script(name, (said,), hang_up=draw.random() < 0.6)
        elif way < 0.65:
            said = b"".join(draw.choice(_ROWS) for _ in range(draw.randint(1, 9)))
            yield Script(name, (said[: draw.randrange(len(said))],))
        elif way < 0.75:
            yield drip(name, b"".join(draw.choice(pool) for _ in range(9)))
        elif way < 0.9:
            endless = draw.choice((_ROWS[8] * 500, _ROWS[7] * 500, _ROWS[1] * 500, b"\0" * 65536))
            start = draw.choice(
                (b"", _ROWS[0], _message(b"D", b"", 2**30), _message(b"E", b"", 2**30))
            )
            yield Script(name, (start, endless), forever=True)
        else:
            yield Script(name, (draw.randbytes(draw.randint(1, 3000)),))


def greet_postgres(draw: Draw) -> Callable[[bytes], bytes]:
    """Often TLS is declined and the session starts as it should: the hostile part comes later."""
    polite = draw.random() < 0.6

    def greet(request: bytes) -> bytes:
        if not polite:
            return b""
        if request[4:8] in {bytes.fromhex("04d2162f"), bytes.fromhex("04d21630")}:
            return b"N"
        return _READY if request[4:8] == _number(196608) else b""

    return greet
