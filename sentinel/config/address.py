"""Whether the address of a resource can be used, judged by the client that will use it: at its
line, not at a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from sentinel.adapters.postgres import find_dsn_fault, find_dsn_secrets
from sentinel.adapters.redis import find_url_fault

SCHEMES = {
    "redis": ("redis", "rediss", "valkey", "valkeys", "unix"),
    "postgres": ("postgresql", "postgres"),
    "http": ("http", "https"),
}
_LATE = re.compile(
    r"(?:rediss?|valkeys?)://[^/?#]*[/?#].*@|postgres(?:ql)?://[^/?@]*:[^/?@]*/[^?@]*@",
    re.IGNORECASE | re.DOTALL,
)
"""An @ behind the sign that ends the host: what stands before it was meant as a password. libpq
ends it at a / only, and a user's name among its options may have one.
"""
_UNCODED = (
    "has an @ behind its host: in a user or password write / as %2F, ? as %3F, # as %23, @ as %40"
)
_ODD = re.compile(r"[\s\x00-\x1f\x7f]")


def find_address_fault(kind: str, address: str) -> tuple[str, str] | None:
    """What is wrong with an address, and the remedy. The address itself is never repeated: it may
    hold a password.
    """
    wanted = f"write {' or '.join(f'{scheme}://' for scheme in SCHEMES[kind][:2])}host:port/…"
    if kind == "postgres" and "=" in address and "://" not in address:
        fault = find_dsn_fault(address)
    elif "://" not in address or address.partition("://")[0].lower() not in SCHEMES[kind]:
        fault = f"is no {kind} address"
    else:
        fault = _FAULTS[kind](address)
    return (fault, wanted) if fault else None


def find_passwords(kind: str, address: str) -> Iterator[str]:
    """Every password in an address: of the user, as written and decoded, and of its options; of a
    web address also a user without one, who is a token.
    """
    if kind == "postgres":
        yield from find_dsn_secrets(address)
    parts = urlsplit(address) if "://" in address else None
    if parts is not None:
        password = parts.password or (parts.username if kind == "http" else "") or ""
        yield from (word for word in (password, unquote(password)) if word)
        yield from parse_qs(parts.query).get("password", [])


def _find_redis_fault(address: str) -> str:
    if _LATE.match(address):
        return _UNCODED
    return find_url_fault(address) if _has_place(address) else "is no redis address"


def _find_http_fault(address: str) -> str:
    if _ODD.search(address) or not _has_place(address):
        return "is no http address"
    parts = urlsplit(address)
    return (
        "has a query or a fragment: that belongs into the `path` of a check"
        if parts.query or parts.fragment
        else ""
    )


def _has_place(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname or (parts.scheme == "unix" and parts.path)) and parts.port != 0
    except ValueError:
        return False


def _find_postgres_fault(address: str) -> str:
    return _UNCODED if _LATE.match(address) else find_dsn_fault(address)


_FAULTS = {"redis": _find_redis_fault, "postgres": _find_postgres_fault, "http": _find_http_fault}
