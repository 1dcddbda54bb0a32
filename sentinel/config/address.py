"""Whether the address of a resource can be used, judged by the client that will use it: at its
line, not at a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from sentinel.adapters.postgres.address import find_dsn_fault, find_dsn_secrets
from sentinel.adapters.redis.address import find_url_fault

SCHEMES = {
    "redis": ("redis", "rediss", "valkey", "valkeys", "unix"),
    "postgres": ("postgresql", "postgres"),
    "http": ("http", "https"),
}
ENCODED = "write such signs percent-encoded: # as %23, ? as %3F, / as %2F, @ as %40, % as %25"
_END = re.compile(r"[/?#]")
_KEY_VALUE = re.compile(r"\s*\w+\s*=")
_ODD = re.compile(r"[\s\x00-\x1f\x7f]")


def find_address_fault(kind: str, address: str) -> tuple[str, str] | None:
    """What is wrong with an address, and the remedy. The address itself is never repeated: it may
    hold a password.
    """
    if "://" in address and (fault := _find_plain_sign(kind, address.partition("://")[2])):
        return fault, ENCODED
    wanted = f"write {' or '.join(f'{scheme}://' for scheme in SCHEMES[kind][:2])}host:port/…"
    if kind == "postgres" and _KEY_VALUE.match(address):
        fault = find_dsn_fault(address)
    elif "://" not in address or address.partition("://")[0].lower() not in SCHEMES[kind]:
        fault = f"is no {kind} address"
    else:
        fault = _FAULTS[kind](address)
    return (fault, wanted) if fault else None


def _find_plain_sign(kind: str, rest: str) -> str:
    """A password with a sign that ends it early: the address would be cut there, name another
    server, and the rest of the password stand in every complaint about it.
    """
    authority = _END.split(rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    path = beyond.partition("?")[0]
    is_path = not authority or (path.startswith("/") and (kind == "http" or "@" not in path))
    if authority.count("@") > 1 or ("@" in beyond and not is_path):
        return "has a `#`, `?`, `/` or `@` in its user or password"
    return "has a `#`, which ends an address" if kind == "redis" and "#" in beyond else ""


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
        options = parse_qs(parts.query)
        for key in ("password", "ssl_password"):
            yield from options.get(key, [])


def _find_redis_fault(address: str) -> str:
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
    return find_dsn_fault(address)


_FAULTS = {"redis": _find_redis_fault, "postgres": _find_postgres_fault, "http": _find_http_fault}
