"""What the address of a Redis says: which of it holds, and how its connections are opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis.asyncio as aredis
from redis.asyncio.connection import Connection, SSLConnection

from sentinel.adapters.network.tls import check_files
from sentinel.strict import file as unreadable

_HEAD_START = 0.25
"""Seconds that an address of a name has before the next is tried beside it (RFC 8305)."""
_TLS_OPTIONS = {
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_check_hostname",
}
_URL_OPTIONS = {"db", "username", "password", *_TLS_OPTIONS}
"""What an address may say behind its `?`. Times, protocol and decoding are ours: an address must
not change them.
"""
_OPTION = re.compile(r"[a-z_]{1,40}")
"""What else stands there may be a part of a password that was not written as it must be."""
_CHOICES = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": ("true", "false"),
}


class UnreadableFile(OSError):
    """A certificate, or a key, that the address names can't be read: no server was asked."""


class _Plain(Connection):
    """Tries every address of its name within its time."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "happy_eyeballs_delay": _HEAD_START}


class _Encrypted(SSLConnection):
    """The same, with TLS; a key that needs a password never asks a terminal for it."""

    def __init__(self, *, ssl_password: str | None = None, **options: Any) -> None:
        super().__init__(ssl_password=ssl_password or "", **options)

    async def _connect(self) -> None:
        """Its files are looked at first, by a thread: a pipe would stand the event loop still."""
        named = (self.ca_certs, self.certfile, self.keyfile)
        try:
            await check_files(str(name) for name in named if name)
        except unreadable.UnreadableFile as error:
            raise UnreadableFile(f"a file of its ssl_ options: {error.message}") from error
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        try:
            given = super()._connection_arguments()
        except OSError as error:
            text = error.strerror or str(error)
            raise UnreadableFile(f"a file of its ssl_ options: {text}") from error
        return {**given, "happy_eyeballs_delay": _HEAD_START}


def share_time(pool: aredis.ConnectionPool) -> None:
    """Have the connections of a pool try all addresses of their name, not only the first."""
    ours: dict[Any, Any] = {Connection: _Plain, SSLConnection: _Encrypted}
    pool.connection_class = ours.get(pool.connection_class, pool.connection_class)


def plain_url(url: str) -> str:
    """valkey:// and valkeys:// under the names that the client library knows."""
    scheme, colon, rest = url.partition(":")
    return scheme.lower().replace("valkey", "redis") + colon + rest


def find_url_fault(url: str) -> str:
    """What is wrong with the number of the database or the options of an address, or ""."""
    parts = urlsplit(plain_url(url))
    options = parse_qs(parts.query, keep_blank_values=True)
    unknown = sorted(options.keys() - _URL_OPTIONS)
    if unknown:
        named = f"the option `{unknown[0]}`" if _OPTION.fullmatch(unknown[0]) else "an option"
        return f"has {named}, which an address can't have"
    database = [
        *options.get("db", []),
        "" if parts.scheme == "unix" else unquote(parts.path).strip("/"),
    ]
    if any(word and not (word.isascii() and word.isdigit()) for word in database):
        return "names its database by a word: it is a number, such as redis://host:6379/0"
    return _find_tls_fault(parts.scheme, options)


def _find_tls_fault(scheme: str, options: Mapping[str, list[str]]) -> str:
    given = sorted(options.keys() & _TLS_OPTIONS)
    if given and scheme != "rediss":
        return f"has `{given[0]}` without TLS: write rediss://"
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        return "has `ssl_keyfile` without `ssl_certfile`"
    for key, choices in _CHOICES.items():
        if any(value not in choices for value in options.get(key, [])):
            return f"has a value of `{key}` that is none of {', '.join(choices)}"
    return ""
