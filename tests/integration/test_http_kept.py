"""Kept connections of HTTP: cheaper, never a false alarm, and never blind for more than a minute."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.http.exchange import KEPT_FOR
from sentinel.errors import TargetError, TargetUnreachable
from tests.integration.test_http_adapter import authority, client_of

__all__ = ["authority"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """A server that answers each connection's requests by its script: bytes, or None to hang up
    after the request has come.
    """

    def __init__(self, *scripts: list[bytes | None]) -> None:
        self.scripts = list(scripts)
        self.asked: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts.pop(0) if self.scripts else [ANSWER] * 9
        for answer in script:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            if not head.startswith(b"PING"):  # nobody knows it: so it is asked who it is
                self.asked.append(head)
            if answer is None:
                break
            writer.write(answer)
        writer.close()


@asynccontextmanager
async def scripted(*scripts: list[bytes | None], tls: ssl.SSLContext | None = None, **options):
    """The server and a client of it."""
    there = Scripted(*scripts)
    server = await asyncio.start_server(there.talk, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with client_of(f"{'https' if tls else 'http'}://127.0.0.1:{port}", **options) as client:
        yield there, client
    server.close()


async def get(client: HttpClient, method: str = "GET", **options):
    return await client.request(method, "/", timeout=3.0, keep=True, **options)


async def test_a_kept_connection_is_used_and_its_phases_say_so():
    """The second request opens nothing, and nobody is told that it connected in no time."""
    async with scripted() as (_there, client):
        first, second = await get(client), await get(client)
        assert client._connections.opened == 1
    assert list(first.phases) == ["resolve", "connect", "answer", "body"]
    assert list(second.phases) == ["answer", "body"]
    assert second.seconds >= second.phases["answer"]


async def test_who_does_not_ask_for_it_has_a_new_one():
    """The default is what a new user meets."""
    async with scripted() as (there, client):
        await get(client)
        await client.request("GET", "/", timeout=3.0)
        assert client._connections.opened == 2
    assert [b"Connection: close" in head for head in there.asked] == [False, True]


async def test_a_connection_that_the_server_closed_is_no_fault():
    """Closed in the very moment of the request: it goes out once more, over a new connection."""
    async with scripted([ANSWER, None], [ANSWER]) as (there, client):
        await get(client)
        answer = await get(client)
        assert (answer.status, client._connections.opened) == (200, 2)
    assert len(there.asked) == 3
    assert "connect" in answer.phases


async def test_it_is_tried_anew_once_only():
    """A server that closes the new connection, too, is unreachable."""
    async with scripted([ANSWER, None], [None], [ANSWER]) as (there, client):
        await get(client)
        with pytest.raises(TargetUnreachable, match="without an answer"):
            await get(client)
    assert len(there.asked) == 3


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"]
)
async def test_an_answer_that_began_is_not_asked_for_again(begun):
    """Half an answer over a kept connection is a fault of the server."""
    async with scripted([ANSWER, begun], [ANSWER]) as (there, client):
        await get(client)
        with pytest.raises(TargetError):
            await get(client)
    assert len(there.asked) == 2


async def test_what_may_have_an_effect_is_never_sent_twice():
    """A POST takes no connection that may be closed already."""
    async with scripted([ANSWER, ANSWER], [ANSWER]) as (there, client):
        await get(client)
        await get(client, "POST", body=b"{}")
        assert client._connections.opened == 2
    assert len(there.asked) == 2


async def test_what_comes_unasked_spoils_a_connection():
    """An answer to nothing must not be taken for the next one."""
    other = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    async with scripted([ANSWER + other], [ANSWER]) as (_there, client):
        first = await get(client)
        second = await get(client)
        assert (first.status, second.status, client._connections.opened) == (200, 200, 2)


async def test_after_a_minute_it_is_opened_anew():
    """So long a full backlog or a moved name may stay unseen."""
    now = 1000.0
    async with scripted(monotonic=lambda: now) as (_there, client):
        await get(client)
        now += KEPT_FOR - 1
        await get(client)
        assert client._connections.opened == 1
        now += 1
        await get(client)
        assert client._connections.opened == 2


CLOSES = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def reuses(client: HttpClient, log: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a list told of each handshake whether it went on with a session."""
    connections = client._connections
    real = connections._open

    async def opened(place, *, keep):
        found = await real(place, keep=keep)
        log.append(found.handler.transport.get_extra_info("ssl_object").session_reused)
        return found

    monkeypatch.setattr(type(connections), "_open", lambda _self, p, keep: opened(p, keep=keep))


async def test_tls_goes_on_with_a_session_for_a_minute(
    authority: Callable[..., tuple[Path, ssl.SSLContext]], monkeypatch
):
    """A server that closes each time is not asked for a whole handshake each time; once a minute it
    proves who it is, and the end of its certificate is told all along.
    """
    issuer, context = authority("resumed")
    now, log = 1000.0, list[bool]()
    scripts = [[CLOSES]] * 4
    async with scripted(*scripts, tls=context, ca_file=str(issuer), monotonic=lambda: now) as (
        _there,
        client,
    ):
        await reuses(client, log, monkeypatch)
        answers = [await get(client)]
        now += 30
        answers.append(await get(client))
        now += 30
        answers.append(await get(client))
        await client.request("GET", "/", timeout=3.0)
    assert log == [False, True, False, False]
    assert all(answer.certificate_expires for answer in answers)


async def test_no_session_outlives_its_certificate(
    authority: Callable[..., tuple[Path, ssl.SSLContext]], monkeypatch
):
    """When the certificate of a session is over the server has to show one."""
    issuer, context = authority("outlived")
    log = list[bool]()
    async with scripted([CLOSES], [CLOSES], tls=context, ca_file=str(issuer)) as (_there, client):
        await reuses(client, log, monkeypatch)
        await get(client)
        monkeypatch.setattr("ssl.cert_time_to_seconds", lambda _word: 0.0)
        client._connections._sessions = {
            place: type(each)(each.session, each.since, 0.0)
            for place, each in client._connections._sessions.items()
        }
        await get(client)
    assert log == [False, False]


async def test_one_context_for_one_trust_store(
    authority: Callable[..., tuple[Path, ssl.SSLContext]], tmp_path: Path
):
    """Who names files of the same content shares the context, and nobody else does."""
    issuer, context = authority("shared")
    copy = tmp_path / "copy.pem"
    copy.write_bytes(issuer.read_bytes())
    found = []
    for file in (issuer, copy):
        async with scripted([ANSWER], tls=context, ca_file=str(file)) as (_there, client):
            await get(client)
            found.append(client._connections._context)
    assert found[0] is found[1]
    plain = HttpClient("x", "https://127.0.0.1:9")
    assert await plain._find_trust() is not found[0]
    assert await plain._find_trust() is await HttpClient("y", "https://127.0.0.1:9")._find_trust()


async def test_where_a_server_sends_us_is_not_held():
    """It could lead to ever new ports, and what is held there would never be asked for again."""
    async with scripted() as (elsewhere, other), scripted() as (there, client):
        location = f"Location: {other.base_url}/there\r\n".encode()
        away = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + location + b"\r\n"
        there.scripts = [[away] * 2]
        for _ in range(2):
            answer = await get(client, redirects=1)
            assert answer.status == 200
    assert [b"Connection: close" in head for head in elsewhere.asked] == [True, True]
    assert [b"Connection: close" in head for head in there.asked] == [False, False]
