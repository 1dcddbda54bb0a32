"""Where a redirect may lead, and what goes there: credentials stay within the origin, that is
scheme, host and port (RFC 6454 §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

from sentinel.errors import TargetRejected

_PORTS = {"http": 80, "https": 443}
_OPEN = {"user-agent", "accept-encoding", "traceparent"}
"""Headers that another origin may see too: every other one may be a credential."""


def next_hop(url: str, location: str) -> str:
    """Where a redirect leads. Within the origin the address keeps its user and password; whom the
    redirect itself names is nobody that the operator chose.
    """
    before, after = urlsplit(url), _read_location(url, location)
    if after.scheme not in _PORTS or after.hostname != before.hostname:
        raise TargetRejected(
            f"redirects away to {_without_secrets(after)}",
            "redirects are followed on the same host only",
        )
    if before.scheme == "https" and after.scheme == "http":
        raise TargetRejected(
            f"redirects from https to {_without_secrets(after)}",
            "redirects must not lose encryption",
        )
    place = after.netloc.rpartition("@")[2]
    if is_same_origin(url, after.geturl()):
        user, sign, _ = before.netloc.rpartition("@")
        place = f"{user}{sign}{place}"
    return after._replace(netloc=place).geturl()


def _read_location(url: str, location: str) -> SplitResult:
    """Where a redirect leads, read as a browser reads it; TargetRejected for what is no address."""
    try:
        parts = urlsplit(urljoin(url, location))
        parts.port  # noqa: B018 - it is read when it is asked for
    except ValueError:  # what it says may hold a part of a password
        raise TargetRejected(
            "redirects to what is no address",
            "look at the header Location of its answer",
            code="LOCATION",
        ) from None
    return parts


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454 §4): what a credential is meant for."""
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _PORTS.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def is_same_origin(one: str, other: str) -> bool:
    """Whether a credential for the one is for the other as well."""
    return _origin(one) == _origin(other)


def leave_origin(headers: Mapping[str, str], body: bytes | None, hop: str) -> dict[str, str]:
    """What may be sent to another origin. A body may hold a password, and a request without it is
    another one.
    """
    if body:
        raise TargetRejected(
            f"redirects a request with a body to {_without_secrets(urlsplit(hop))}, another origin",
            "a body is sent to the address of the resource only: correct it if that one is right",
        )
    return {name: value for name, value in headers.items() if name.lower() in _OPEN}


def _without_secrets(parts: SplitResult) -> str:
    """An address as it may be shown: no user, no password, no query, no fragment."""
    place = parts.netloc.rpartition("@")[2]
    return ascii(parts._replace(netloc=place, query="", fragment="").geturl()[:200])
