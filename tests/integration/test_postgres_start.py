"""How a PostgreSQL session starts: all its addresses, what its address says, refusals by SQLSTATE."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import subprocess
import time
from contextlib import asynccontextmanager, closing

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.postgres.start import UNREADABLE, _Watch
from sentinel.core.fault import Status
from sentinel.demo.servers import free_port
from sentinel.errors import NotMeasurable, TargetError, TargetUnreachable
from tests.conftest import require_tool
from tests.hostile import Script, serve


@asynccontextmanager
async def refusing(state: str, words: str, tls: ssl.SSLContext | None = None):
    """A server that refuses every start with this SQLSTATE, in these words; its port."""

    async def talk(reader, writer):
        while (head := await reader.readexactly(4)) != b"":
            body = await reader.readexactly(int.from_bytes(head, "big") - 4)
            if body[:4] != b"\x04\xd2\x16\x2f":
                break
            writer.write(b"S" if tls else b"N")
            if tls:
                await writer.start_tls(tls)
        fields = f"SFATAL\0VFATAL\0C{state}\0M{words}\0Fauth.c\0L1\0Rauth_failed\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    with closing(server):
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("state", "words", "status"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen", Status.UNKNOWN),
        ("28000", "pg_hba.conf lehnt Verbindung ab für Host »127.0.0.1«", Status.UNKNOWN),
        ("28000", "kein pg_hba.conf-Eintrag für Host »127.0.0.1«", Status.UNKNOWN),
        ("3D000", "Datenbank »x« existiert nicht", Status.UNKNOWN),
        ("53300", "tut mir leid, schon zu viele Verbindungen", Status.UNKNOWN),
        ("57P03", "das Datenbanksystem startet", Status.DEGRADED),
        ("57P01", "Verbindung wird abgebrochen", Status.DOWN),
        ("XX000", "password authentication failed, it says", Status.DEGRADED),
    ],
)
async def test_refusal_is_judged_by_its_code(state, words, status):
    """Whatever language the server speaks, and whatever its words seem to say."""
    async with refusing(state, words) as port:
        client = PostgresClient("db", f"postgresql://u@127.0.0.1:{port}/x")
        with pytest.raises(TargetError) as caught:
            await client.query("select 1")
    assert (caught.value.code, caught.value.status) == (state, status)


_READY = b"Z\0\0\0\x05I"
_WORDS = b"could not connect, server closed the connection"


def _refusal(fields: bytes) -> bytes:
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


_WITHOUT_STATE = {
    "nothing": _refusal(b"\0"),
    "no_state": _refusal(b"SFATAL\0M" + _WORDS + b"\0\0"),
    "words_only": _refusal(b"M" + _WORDS + b"\0\0"),
    "severity_only": _refusal(b"SFATAL\0\0"),
    "no_real_state": _refusal(b"SFATAL\0C57P0399\0M" + _WORDS + b"\0\0"),
}
_BROKEN = {"not_even_an_end": _refusal(b""), "old_style": b"E" + _WORDS + b"\n\0"}


@pytest.mark.parametrize(
    ("in_session", "name"),
    [
        *((False, name) for name in (*_WITHOUT_STATE, *_BROKEN)),
        *((True, n) for n in _WITHOUT_STATE),
    ],
)
async def test_an_error_without_a_state_is_never_down(in_session, name):
    """Who refuses without a SQLSTATE answers: why can't be read, whatever the words seem to say."""
    greeting = b"R\0\0\0\x08\0\0\0\0" + _READY
    said = {**_WITHOUT_STATE, **_BROKEN}[name] + _READY * in_session

    def greet(request: bytes) -> bytes:
        if request[4:7] == b"\x04\xd2\x16":  # asks for TLS
            return b"N"
        return greeting if in_session and request[4:8] == b"\0\3\0\0" else b""

    async with serve(Script(name, (said,)), greet) as port:
        client = PostgresClient("db", f"postgresql://u@127.0.0.1:{port}/x")
        with pytest.raises(TargetError) as caught:
            await client.query("select 1")
        await client.close()
    assert (caught.value.code, caught.value.status) == (UNREADABLE, Status.UNKNOWN)


async def test_refusal_behind_tls_is_judged_by_its_code(tmp_path, monkeypatch):
    """There the socket shows nothing: libpq's trace tells it, once for the same words."""
    monkeypatch.setattr(_Watch, "understood", False)
    monkeypatch.setattr(_Watch, "texts", {})
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
         "-subj", "/CN=db", "-keyout", "key.pem", "-out", "cert.pem"],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with refusing("57P03", "das Datenbanksystem startet", context) as port:
        dsn = f"postgresql://u@127.0.0.1:{port}/x?sslmode=require"
        before = _Watch.traces
        for _ in range(3):
            with pytest.raises(TargetError) as caught:
                await PostgresClient("db", dsn).query("select 1")
            assert (caught.value.code, caught.value.status) == ("57P03", Status.DEGRADED)
        assert before - _Watch.traces == 1


async def test_pg_hba_reject_is_ours(own_postgres):
    """A real server whose pg_hba.conf rejects us has not failed."""
    file = own_postgres.folder / "data" / "pg_hba.conf"
    file.write_text("host all u 127.0.0.1/32 reject\n" + file.read_text())
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as admin:
        admin.execute("select pg_reload_conf()")
    await asyncio.sleep(0.3)
    with pytest.raises(NotMeasurable, match="not admitted") as caught:
        await PostgresClient("db", own_postgres.dsn(user="u")).query("select 1")
    assert caught.value.code == "28000"


@pytest.mark.parametrize("first", ["silent", "refused", "unknown"])
async def test_next_host_of_a_list_is_tried(postgres, first):
    """`host=silent,good`: the silent one costs its share of the time, never the session."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        ports = {"silent": silent.getsockname()[1], "refused": free_port(), "unknown": 5432}
        host = "no-such-host.invalid" if first == "unknown" else "127.0.0.1"
        dsn = f"host={host},127.0.0.1 port={ports[first]},{postgres.port} user=postgres"
        client = PostgresClient("db", dsn, connect_timeout=1.0)
        begin = time.monotonic()
        assert await client.query("select 1 as one") == [{"one": 1}]
        assert time.monotonic() - begin < 3.0
        await client.close()


async def test_all_hosts_silent_is_down_in_time():
    """The time is for all of them together."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        dsn = f"host=127.0.0.1,127.0.0.1,127.0.0.1 port={port} user=u"
        client = PostgresClient("db", dsn, connect_timeout=0.6)
        begin = time.monotonic()
        with pytest.raises(TargetUnreachable, match="no answer in time"):
            await client.query("select 1")
        assert time.monotonic() - begin < 4.0


async def test_options_of_an_address_hold(postgres):
    """A role taken at start is taken, and our own guards stand beside it."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("drop role if exists taken")
        admin.execute("create role taken")
    client = PostgresClient("db", postgres.dsn() + "?options=-c%20role%3Dtaken")
    (row,) = await client.query(
        "select current_user::text as who, current_setting('search_path') as path,"
        " current_setting('default_transaction_read_only') as careful"
    )
    await client.close()
    assert row == {"who": "taken", "path": "", "careful": "on"}


@pytest.mark.parametrize("wish", ["any", "read-write", "primary", "prefer-standby"])
async def test_wish_for_a_server_holds_and_is_not_changed_by_our_guards(postgres, wish):
    """A primary takes writes although our session asks for none; and our session still takes none."""
    client = PostgresClient("db", f"{postgres.dsn()}?target_session_attrs={wish}")
    (row,) = await client.query(
        "select current_setting('default_transaction_read_only') as careful"
    )
    await client.close()
    assert row == {"careful": "on"}


@pytest.mark.parametrize("wish", ["read-only", "standby"])
async def test_wish_that_no_server_fulfils_is_down(postgres, wish):
    """As for every client with that address."""
    client = PostgresClient("db", f"{postgres.dsn()}?target_session_attrs={wish}")
    with pytest.raises(TargetUnreachable, match="target_session_attrs"):
        await client.query("select 1")


async def test_service_that_breaks_while_we_run_is_ours(tmp_path, monkeypatch):
    """What an address means may change under it: unknown, with a way to see what is wrong."""
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    for text in ("[other]\n", "[shop]\nhost=a,b,c\nport=1,2\n", "[shop]\nhost=a\nport=x\n"):
        file.write_text(text)
        with pytest.raises(NotMeasurable, match="can't be read"):
            await PostgresClient("db", "service=shop").query("select 1")


async def test_hundred_hostile_answers_are_errors_of_a_target():
    """Whatever bytes come, it is an error in our words and in time; a failure names the seed."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)

    async def talk(reader, writer):
        await reader.read(512)
        head = dice.choice([b"", b"N", b"S", b"E", b"R\0\0\0\x08", b"E\0\0\0\xff", b"E\xff\xff"])
        writer.write(head + dice.randbytes(dice.randrange(64)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    with closing(server):
        dsn = f"postgresql://u@127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        begin = time.monotonic()
        for _ in range(100):
            with pytest.raises(TargetError) as caught:
                await PostgresClient("db", dsn, connect_timeout=0.2).query("select 1")
            assert "\0" not in caught.value.message, f"seed {seed}"
        assert time.monotonic() - begin < 100 * 1.5, f"seed {seed}"
