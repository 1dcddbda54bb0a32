"""How connections to Redis are opened: TLS, sockets, and every address of a name."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest

from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer, free_port
from sentinel.errors import NotMeasurable, TargetUnreachable
from tests.conftest import require_tool


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that is its own issuer, and its key, in one folder."""
    folder = tmp_path_factory.mktemp("redis_tls")
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
         "-subj", "/CN=bus", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem",
         "-out", "cert.pem"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    (folder / "broken.pem").write_text("no certificate")
    return folder


@asynccontextmanager
async def answering(folder):
    """A server that says PONG, through TLS with the certificate of `folder`; its port."""

    async def talk(reader, writer):
        while line := await reader.readline():
            if line.strip().upper() in {b"PING", b"SETNAME", b"SELECT"}:
                writer.write(b"+OK\r\n" if b"PING" not in line.upper() else b"+PONG\r\n")
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def ping(url):
    client = RedisClient("bus", url, timeout=2.0)
    try:
        return await client.call("PING")
    finally:
        await client.close()


@pytest.mark.parametrize("options", ["ssl_ca_certs={}/cert.pem", "ssl_cert_reqs=none"])
async def test_tls_with_what_the_address_says(certificate, options):
    """A named issuer is trusted, and who asks for no proof needs none."""
    async with answering(certificate) as port:
        url = f"rediss://127.0.0.1:{port}?{options.format(certificate)}"
        assert await ping(url) == b"PONG"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("", "certificate self-signed"),
        ("?ssl_ca_certs=/nowhere/ca.pem", "No such file"),
        ("?ssl_ca_certs={}/broken.pem", "a file of its ssl_ options"),
        ("?ssl_certfile=/nowhere/cert.pem", "No such file"),
    ],
)
async def test_what_we_do_not_trust_or_can_not_read_is_ours(certificate, options, text):
    """Unknown, with its remedy: never "is the server running?"."""
    async with answering(certificate) as port:
        with pytest.raises(NotMeasurable, match=text) as caught:
            await ping(f"rediss://127.0.0.1:{port}{options.format(certificate)}")
    assert caught.value.status is Status.UNKNOWN
    assert "ssl_" in caught.value.guidance


async def test_server_without_tls_is_a_wrong_address(valkey):
    """It answers, but not as our address says."""
    with pytest.raises(NotMeasurable, match="TLS: the server speaks none"):
        await ping(f"rediss://127.0.0.1:{valkey.port}")


async def test_nobody_behind_tls_is_down():
    """The positive control: refused is refused."""
    port = free_port()
    with pytest.raises(TargetUnreachable):
        await ping(f"rediss://127.0.0.1:{port}")


async def test_socket_in_the_file_system(tmp_path):
    """unix:// with a database reaches the server; without a server it is down."""
    path = tmp_path / "bus.sock"
    with pytest.raises(TargetUnreachable):
        await ping(f"unix://{path}")
    server = ValkeyServer(tmp_path / "server", "--unixsocket", str(path))
    server.start()
    try:
        assert await ping(f"unix://{path}?db=2") == b"PONG"
    finally:
        server.stop()


async def test_every_address_of_a_name_is_tried(valkey, monkeypatch):
    """The first address swallows packets; the second answers within the time of one call."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def swallow(sock, address):
        if address[0] == "127.0.0.9":
            await asyncio.sleep(60)
        return await connect(sock, address)

    async def lookup(_host, port, **_options):
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (host, port)) for host in ("127.0.0.9", "127.0.0.1")]

    monkeypatch.setattr(loop, "sock_connect", swallow)
    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    assert await ping(f"redis://bus.example:{valkey.port}/0") == b"PONG"


async def test_our_own_limit_is_not_the_servers(valkey, monkeypatch):
    """No descriptor left blames sentinel, by the number and not by its words."""

    async def refuse(*_arguments, **_options):
        raise OSError(24, "Zu viele offene Dateien")

    monkeypatch.setattr(asyncio, "open_connection", refuse)
    with pytest.raises(NotMeasurable, match="own limit"):
        await ping(valkey.url)
