"""What a PostgreSQL address says holds, or is refused before anything is opened."""

from __future__ import annotations

import socket

import pytest

from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.postgres.address import (
    Place,
    find_dsn_fault,
    find_places,
    name_options,
    read_settings,
)
from sentinel.adapters.postgres.start import UNREADABLE, find_state, holds_error
from sentinel.errors import NotMeasurable


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p@h/db",
        "host=h user=u password='p q' options='-c role=x'",
        "postgresql://u@h1,h2:5433/db?target_session_attrs=prefer-standby&load_balance_hosts=random",
        "postgresql:///db?host=/var/run/postgresql&sslmode=verify-full&connect_timeout=10",
        "host=a,b port=1,2 passfile=/nowhere/pgpass",
    ],
)
def test_what_can_hold_is_taken(dsn):
    """URL and key=value, lists, sockets, wishes."""
    assert find_dsn_fault(dsn) == ""


@pytest.mark.parametrize(
    ("dsn", "part"),
    [
        ("postgresql://h/db?sslmode=verify", "`sslmode`"),
        ("host=h target_session_attrs=rw", "`target_session_attrs`"),
        ("host=h load_balance_hosts=some", "`load_balance_hosts`"),
        ("host=h max_protocol_version=9", "`max_protocol_version`"),
        ("host=h ssl_min_protocol_version=TLSv9", "`ssl_min_protocol_version`"),
        ("host=h gssencmode=perhaps", "`gssencmode`"),
        ("host=h connect_timeout=soon", "`connect_timeout`"),
        ("host=a,b,c port=1,2", "could not match 2 port numbers to 3 hosts"),
        ("service=nowhere", 'definition of service "nowhere" not found'),
        ("host=h sslrootcert=system sslmode=require", "weak sslmode"),
        ("host=h replication=database", "`replication`"),
        ("host=h application_name=shop", "`application_name`"),
        ("host=h options='-c role=x -c default_transaction_read_only=off'", "read_only"),
        ("postgresql://h/db?options=--search-path%3Devil", "`search_path`"),
        ("host=h port=0", "is no postgres address"),
    ],
)
def test_what_can_not_hold_is_refused(dsn, part):
    """Each is told at validate, not as an outage."""
    assert part in find_dsn_fault(dsn)


def test_secret_in_a_wrong_place_is_not_shown():
    """Neither a password that lost its place nor a refused value is repeated."""
    for dsn in ("postgresql://u:canary@[h/db", "host=h sslmode=canary", "canary words"):
        assert find_dsn_fault(dsn)
        assert "canary" not in find_dsn_fault(dsn)


def test_service_is_read_whole(tmp_path, monkeypatch):
    """Its hosts are tried as if the address had named them, and its options are judged."""
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    file.write_text("[shop]\nhost=127.0.0.1,127.0.0.2\nport=5433\n")
    settings = read_settings("service=shop user=u")
    assert (settings["host"], settings["port"]) == ("127.0.0.1,127.0.0.2", "5433")
    file.write_text("[shop]\nhost=h\noptions=-c statement_timeout=0\n")
    assert "`statement_timeout`" in find_dsn_fault("service=shop")


@pytest.mark.parametrize(
    "options", ["-c role=x -csearch_path=a", r"-c role=a\ b --search-path=a", "-c  search_path=a"]
)
def test_options_are_named(options):
    """In each way that PostgreSQL reads them."""
    assert "search_path" in name_options(options)


async def test_every_address_of_every_name_is_a_place():
    """Two names, one with two addresses, one literal, one socket; a name nobody knows is left out."""

    def lookup(host, _port, **_options):
        if host == "gone":
            raise socket.gaierror(-2, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (f"10.0.0.{n}", 0)) for n in (1, 2)]

    resolver = Resolver(lookup=lookup)
    settings = {"host": "two,gone,10.9.9.9,/run/pg", "port": "1,2,3,4"}
    assert await find_places(settings, resolver) == [
        Place("two", "10.0.0.1", "1"),
        Place("two", "10.0.0.2", "1"),
        Place("10.9.9.9", "10.9.9.9", "3"),
        Place("/run/pg", "", "4"),
    ]
    with pytest.raises(NotMeasurable, match="name resolution"):
        await find_places({"host": "gone"}, resolver)


def test_state_is_read_from_the_bytes_of_a_server():
    """Behind other messages too; half a message and foreign bytes say nothing."""
    fields = b"SFATAL\0VFATAL\0C28P01\0MPasswort falsch\0\0"
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    ready = b"R\0\0\0\x08\0\0\0\0"
    assert find_state(refusal) == find_state(ready + refusal) == "28P01"
    assert find_state(b"HTTP/1.1 400 Bad Request\r\n\r\n") == find_state(b"E\0\0") == ""


@pytest.mark.parametrize("state", ["5", "57P0399", "57p03", "\xff" * 5])
def test_a_state_that_is_none_is_no_state(state):
    """No beginning of it decides anything."""
    fields = b"SFATAL\0C" + state.encode("latin-1") + b"\0Mx\0\0"
    assert find_state(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields) == UNREADABLE


@pytest.mark.parametrize(
    ("data", "is_error"),
    [
        (b"E\0\0\0\4", True),
        (b"E\0\0\0\5\0", True),
        (b"Ecould not fork new process for connection\n\0", True),
        (b"R\0\0\0\x08\0\0\0\0E", True),
        (b"R\0\0\0\x08\0\0\0\0", False),
        (b"R\0\0\0\3E\0\0\0\4", False),
        (b"S\0\0\0\x09EEEEE", False),
        (b"", False),
    ],
)
def test_an_error_is_known_by_its_letter(data, is_error):
    """Also one that is empty, or a text without a length; not the letter inside of others."""
    assert holds_error(data) is is_error
