"""Scopes, tokens, addresses, and how often one may guess."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from sentinel.core.access import (
    NOBODY,
    AccessRules,
    AccessScope,
    AccessToken,
    Caller,
    CallerKind,
    Guesses,
    digest_secret,
    find_token,
    read_peer,
)

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_scope_covers_those_before_it() -> None:
    """And no other."""
    for i, has in enumerate(AccessScope):
        for k, needed in enumerate(AccessScope):
            assert has.covers(needed) is (i >= k)


@pytest.mark.parametrize("scope", AccessScope)
def test_what_a_caller_may(scope: AccessScope) -> None:
    """Templates ask for one thing each."""
    caller = Caller(CallerKind.SESSION, scope, "ann")
    assert (caller.can_ack, caller.can_act, caller.can_admin) == {
        "open": (False, False, False),
        "read": (False, False, False),
        "ack": (True, False, False),
        "act": (True, True, False),
        "admin": (True, True, True),
    }[scope]
    assert (caller.can_sign_in, caller.can_sign_out) == (False, True)
    assert NOBODY.can_sign_in


def test_who_stands_in_the_audit_log() -> None:
    """A token or a user of a proxy is no user of the machine, whatever its name."""
    names = {kind: Caller(kind, AccessScope.ACK, "root").who for kind in CallerKind}
    assert names[CallerKind.TOKEN] == names[CallerKind.SESSION] == "root (token)"
    assert names[CallerKind.PROXY] == "root (by proxy)"
    assert Caller(CallerKind.LOOPBACK, AccessScope.ACK).who == "somebody on loopback"


def test_a_token_is_found_by_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are compared, each in constant time, also behind the one that fits; one that is over is
    none from that very instant on.
    """
    compared = []
    compare = hmac.compare_digest

    def note(one: str, other: str) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", note)
    end = T0 + timedelta(hours=1)
    tokens = [
        AccessToken(name, AccessScope.READ, digest_secret(name), T0, end)
        for name in ("a", "b", "c")
    ]
    assert find_token(tokens, "b", T0) == tokens[1]
    assert compared == [each.digest for each in tokens]
    assert find_token(tokens, "b", end - timedelta(seconds=1)) == tokens[1]
    assert find_token(tokens, "b", end) is None
    for wrong in ("", "B", tokens[1].digest, "\udcff"):
        assert find_token(tokens, wrong, T0) is None
    assert find_token([], "", T0) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "None"),
        ("10.0.0.7, 10.0.0.8", "None"),
        ("localhost", "None"),
    ],
)
def test_addresses_of_peers(text: str, address: str) -> None:
    """IPv4 in IPv6 is IPv4; what is no address is nobody's."""
    assert str(read_peer(text)) == address


def test_who_is_known_by_where_they_are() -> None:
    """Only where only this machine can connect, and nobody who speaks for others."""
    ours = AccessRules(loopback=AccessScope.ACK)
    assert ours.find_local("127.0.0.1") == Caller(CallerKind.LOOPBACK, AccessScope.ACK)
    assert AccessRules(exposed=True).find_local("127.0.0.1") is None
    behind = AccessRules(proxies=(ip_network("127.0.0.1"),))
    assert behind.find_local("127.0.0.1") is None
    assert behind.find_local("127.0.0.2") is not None


def test_guesses_are_counted_by_neighbourhood() -> None:
    """So many within the time, and not one more; then it begins anew. An IPv6 host has many
    addresses; another neighbour is not to blame.
    """
    guesses = Guesses(limit=3, window=60.0)
    for second in (0.0, 1.0, 2.0):
        assert not guesses.is_over("fd00::1", second)
        guesses.note("fd00::1", second)
    assert guesses.is_over("fd00::ffff", 59.9)
    assert not guesses.is_over("fd00:0:0:1::1", 59.9)
    assert not guesses.is_over("fd00::1", 60.0)
    guesses.note("fd00::1", 60.0)
    assert not guesses.is_over("fd00::1", 61.0)


def test_guesses_are_bounded() -> None:
    """However many addresses: who came first is forgotten first."""
    guesses = Guesses(limit=1, most=10)
    for n in range(50):
        guesses.note(f"10.0.0.{n}", 0.0)
    known = [n for n in range(50) if guesses.is_over(f"10.0.0.{n}", 1.0)]
    assert known == list(range(40, 50))
