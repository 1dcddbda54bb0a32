"""Names of hosts as an HTTP request gives them (`Host`, RFC 9112 §3.2): read strictly, compared
exactly. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

WEB_PORTS = frozenset({80, 443})
"""What a browser leaves out of `Host`: the usual ports of http and https."""
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class NoHost(ValueError):
    """A text names no host: what is wrong with it, and the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


@dataclass(frozen=True, slots=True)
class HostName:
    """A host in its one spelling (small letters, no dot at the end, IPv6 without brackets and as
    short as it gets), and the port if one was written.
    """

    name: str
    port: int | None = None

    def covers(self, other: HostName) -> bool:
        """Whether a request for `other` is one for this. Without a port: on the usual ports of http
        and https, which clients write or leave out.
        """
        if self.name != other.name:
            return False
        if self.port is None:
            return other.port is None or other.port in WEB_PORTS
        return self.port == other.port

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


def read_host(text: str) -> HostName:
    """`name`, `name:port`, `127.0.0.1:80` or `[::1]:80`. Raises NoHost for anything else."""
    name, port = _split(text)
    if name.startswith("["):
        return HostName(_read_address(name[1:-1]), port)
    return HostName(_read_name(name), port)


def is_loopback(name: str) -> bool:
    """Whether only this machine can connect to it."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_unspecified(name: str) -> bool:
    """Whether it stands for every address, and names none."""
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


def _split(text: str) -> tuple[str, int | None]:
    if "/" in text:
        raise NoHost("is more than a host", "write it without scheme and path: name or name:port")
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name += bracket
    else:
        name, colon, rest = text.partition(":")
        rest = colon + rest
    is_open = name.startswith("[") and not name.endswith("]")
    if not name or is_open or (rest and not rest.startswith(":")):
        raise NoHost("names no host", "write name or name:port, IPv6 in brackets")
    if not rest:
        return name, None
    if rest.count(":") > 1:
        raise NoHost("is ambiguous", "write an IPv6 address in brackets: [::1]:443")
    if _PORT.fullmatch(rest[1:]) is None or not 0 < int(rest[1:]) < 65536:
        raise NoHost("has no valid port after the colon", "write a port from 1 to 65535, or none")
    return name, int(rest[1:])


def _read_address(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text if "%" not in text else ""))
    except ValueError:
        raise NoHost("has no IPv6 address between its brackets", "write [fd00::1]") from None


def _read_name(text: str) -> str:
    if not text.isascii():
        raise NoHost("is not ASCII, as names in requests are", _suggest_ascii(text))
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise NoHost(
            "is no name of a host",
            "write one name as it stands in the address bar: no user, no wildcard",
        )
    if labels[-1].isdigit() or labels[-1].startswith("0x"):  # else 127.1 and 0x7f.1 were names
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise NoHost("is no IPv4 address", "write all four numbers: 10.0.0.7") from None
    return name


def _suggest_ascii(text: str) -> str:
    try:
        return f"write {text.encode('idna').decode()}"
    except UnicodeError:
        return "write its ASCII form (xn--…)"
