"""Who may do what on the page and the API: scopes, tokens, callers, and how often one may guess.
Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PREFIX = "sentinel_"
"""What every token begins with, so that scanners for leaked secrets find one."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AccessScope(StrEnum):
    """What a route needs, and what a caller has: each covers those before it."""

    OPEN = "open"
    """Nobody has to say who they are."""
    READ = "read"
    ACK = "ack"
    """Acknowledge, note, silence, maintenance: who is told of what."""
    ACT = "act"
    """The kill switch, and restarts."""
    ADMIN = "admin"
    """The configuration in force, and the breaker of automation."""

    def covers(self, needed: AccessScope) -> bool:
        """Whether who has this may do what needs `needed`."""
        return _RANK[self] >= _RANK[needed]


_RANK = {scope: rank for rank, scope in enumerate(AccessScope)}


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token without its secret: of that only the hash is known."""

    name: str
    scope: AccessScope
    digest: str
    """SHA-256 of the secret, in hexadecimal: 256 random bits need no slow hash."""
    created: datetime
    expires: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it counts no more."""
        return self.expires is not None and now >= self.expires


def digest_secret(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def find_token(tokens: Iterable[AccessToken], secret: str, now: datetime) -> AccessToken | None:
    """The token of a secret, unless it is over. Every one is compared, each in constant time."""
    wanted, found = digest_secret(secret), None
    for token in tokens:
        if hmac.compare_digest(token.digest, wanted):
            found = token
    return found if found is not None and not found.is_over(now) else None


class CallerKind(StrEnum):
    """How it is known who calls."""

    LOOPBACK = "loopback"
    TOKEN = "token"  # noqa: S105 - a way to be known, and no token
    SESSION = "session"
    """Signed in with a token, in a browser."""
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do."""

    kind: CallerKind
    scope: AccessScope
    name: str = ""

    @property
    def who(self) -> str:
        """For the audit log and for people: a token called `root` is not the user root."""
        if self.kind is CallerKind.PROXY:
            return f"{self.name} (by proxy)"
        return f"{self.name} (token)" if self.name else "somebody on loopback"

    @property
    def can_ack(self) -> bool:
        """Acknowledge, note, silence."""
        return self.scope.covers(AccessScope.ACK)

    @property
    def can_act(self) -> bool:
        """Halt, resume, restart."""
        return self.scope.covers(AccessScope.ACT)

    @property
    def can_admin(self) -> bool:
        """Reload the configuration, close the breaker."""
        return self.scope.covers(AccessScope.ADMIN)

    @property
    def can_sign_in(self) -> bool:
        """Whether a token would tell who they are."""
        return self.kind is CallerKind.LOOPBACK

    @property
    def can_sign_out(self) -> bool:
        """Whether they signed in here."""
        return self.kind is CallerKind.SESSION


NOBODY = Caller(CallerKind.LOOPBACK, AccessScope.OPEN)


@dataclass(frozen=True, slots=True)
class AccessRules:
    """How callers are known. `exposed`: not only this machine can connect; `encrypted`: by TLS."""

    exposed: bool = False
    encrypted: bool = False
    loopback: AccessScope = AccessScope.READ
    """What somebody on loopback may do without a token; OPEN: nothing."""
    proxies: tuple[Network, ...] = ()
    user_header: str = "X-Forwarded-User"
    user_scope: AccessScope = AccessScope.READ
    """What somebody may do whom a proxy vouches for."""

    def is_proxy(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        found = read_peer(address)
        return found is not None and any(found in network for network in self.proxies)

    def may_connect(self, address: str) -> bool:
        """Whether what an address sends is safe from others on its way."""
        if not self.exposed or self.encrypted or self.is_proxy(address):
            return True
        found = read_peer(address)
        return found is not None and found.is_loopback

    def find_local(self, address: str) -> Caller | None:
        """Who is known by where they are: somebody on this machine, where only this machine can
        connect, and who is no proxy that speaks for others.
        """
        if self.exposed or self.is_proxy(address):
            return None
        return Caller(CallerKind.LOOPBACK, self.loopback)


def read_peer(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address of a peer; IPv4 in IPv6 is IPv4. None for what is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


class Guesses:
    """Wrong tokens by address: so many within a time, then nobody listens to new ones from there.
    Instants are seconds of any clock that goes on.
    """

    def __init__(self, limit: int = 20, window: float = 60.0, most: int = 1024) -> None:
        self._limit, self._window, self._most = limit, window, most
        self._known: dict[str, tuple[float, int]] = {}

    def is_over(self, address: str, now: float) -> bool:
        """Whether it has guessed too often."""
        began, count = self._known.get(_neighbourhood(address), (now, 0))
        return now - began < self._window and count >= self._limit

    def note(self, address: str, now: float) -> None:
        """One more wrong one. The memory is bounded: who came first is forgotten first."""
        key = _neighbourhood(address)
        began, count = self._known.pop(key, (now, 0))
        if now - began >= self._window:
            began, count = now, 0
        self._known[key] = (began, count + 1)
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def _neighbourhood(address: str) -> str:
    """Who has one IPv6 address has all of its /64."""
    found = read_peer(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
