"""G14: forty ways in which a target sends a check elsewhere: nothing is connected to but the target."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from sentinel.errors import TargetError
from tests.integration.test_http_adapter import ask, serving

ELSEWHERE = [
    "http://127.0.0.2/", "http://127.0.0.2:{port}/", "http://127.1/", "http://127.2/", "http://2130706434/",
    "http://0x7f000002/", "http://0x7f.0.0.2/", "http://017700000002/", "http://0177.0.0.2/", "http://127.0.0.1./",
    "http://127.0.0.01/", "http://0/", "http://0.0.0.0:{port}/", "http://[::1]/", "http://[::1]:{port}/",
    "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:2]/", "http://localhost:{port}/",
    "http://localhost./", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/", "http://10.0.0.1/", "http://192.168.0.1/", "http://127.0.0.1@127.0.0.2:{port}/",
    "http://127.0.0.1:{port}@127.0.0.2:{port}/", "http://127.0.0.1%40127.0.0.2/", "http://127.0.0.1\\@127.0.0.2/",
    "http://127.0.0.2#@127.0.0.1:{port}/", "http://127.0.0.2?@127.0.0.1:{port}/", "http://127.0.0.1.evil.example/",
    "//127.0.0.2:{port}/", "///127.0.0.2/", "\\\\127.0.0.2/", "/\\127.0.0.2/", "http:127.0.0.2", "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_PING", "unix:/var/run/docker.sock", "http://\u2460\u2461\u2466.0.0.2/",
    "http://127\u30020\u30020\u30022/", "http://127.0.0.1:{port}:80/", "http://127.0.0.1:99999/", "http://[127.0.0.1/",
]  # fmt: skip
_seen: list[tuple[Any, ...]] | None = None


def _watch(event: str, given: tuple[Any, ...]) -> None:
    if _seen is not None and event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        _seen.append(given)


sys.addaudithook(_watch)


@contextmanager
def every_connect() -> Iterator[list[tuple[Any, ...]]]:
    """Everything that this process connects to, or asks the address of, by any library."""
    global _seen  # noqa: PLW0603 - a hook stays for ever
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


async def test_a_target_sends_nobody_elsewhere() -> None:
    """Whatever a redirect says, only the host that the operator named is connected to."""
    asked: list[str] = []
    said = [""]

    async def away(request: web.Request) -> web.Response:
        port = request.host.rpartition(":")[2]
        asked.append(request.host)
        return web.Response(status=302, headers={"Location": said[-1].format(port=port)})

    async with serving(away) as address:
        host, _, port = address.rpartition("/")[2].partition(":")
        for elsewhere in ELSEWHERE:
            said.append(elsewhere)
            with every_connect() as seen, pytest.raises(TargetError):
                await ask(address, request={"redirects": 3})
            connected = {tuple(given[1][:2]) for given in seen}
            assert connected == {(host, int(port))}, (elsewhere, seen)
    assert len(asked) >= len(ELSEWHERE) >= 40
