"""What is watched while a check is measured: HTTP, plain TCP and HTTPS in a process of their own."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_KEPT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
_LAST = _KEPT.replace(b"\r\nContent-Type", b"\r\nConnection: close\r\nContent-Type")


_CERTIFICATE = (
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
    *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each of them listens on 127.0.0.1, and who issued the certificate."""

    pid: int
    http: int
    tcp: int
    https: int
    issuer: Path


class _Web(asyncio.Protocol):
    """Answers each request with three bytes; leaves the connection open if the client does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._heard = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            head, self._heard = self._heard[:end].lower(), self._heard[end + 4 :]
            if b"connection: close" in head:
                self._transport.write(_LAST)
                self._transport.close()
                return
            self._transport.write(_KEPT)


@contextmanager
def serve(folder: Path) -> Iterator[Ports]:
    """The process, until the block ends."""
    key, issuer = folder / "key.pem", folder / "issuer.pem"
    subprocess.run(
        ["openssl", "req", "-x509", *_CERTIFICATE, "-keyout", key, "-out", issuer],
        check=True,
        capture_output=True,
    )
    argv = [sys.executable, "-m", "benchmarks.target", key, issuer]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            http, tcp, https = map(int, process.stdout.readline().split())
            yield Ports(process.pid, http, tcp, https, issuer)
        finally:
            process.kill()


async def _listen(key: str, issuer: str) -> None:
    loop, ports = asyncio.get_running_loop(), []
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(issuer, key)
    for protocol, context in ((_Web, None), (asyncio.Protocol, None), (_Web, secure)):
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_listen(*sys.argv[1:]))
