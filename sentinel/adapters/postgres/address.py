"""What the address of a PostgreSQL says, as libpq reads it: URL or key=value, service, environment.

libpq itself judges an address: it is asked to open it with a value that it refuses before it opens
anything. What it then has against it is the address's fault, or that very value.
"""

from __future__ import annotations

import difflib
import random
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sentinel.adapters.network.resolver import Resolver
from sentinel.errors import NotMeasurable
from sentinel.strict.file import UnreadableFile, read_regular_file

PORT = 5432
OWN_NAME = "sentinel"
_MARKER = "sentinel-asks"
_REFUSED_LAST = ("target_session_attrs", "load_balance_hosts", "max_protocol_version")
"""Options that libpq checks last of all, in its order: each marked, the others are checked."""
_VALUE = re.compile(r'invalid "?(\w+)"? value:')
_NO_OPTION = re.compile(r'invalid (?:URI query parameter:|connection option) "([^"]*)"')
"""It may be a part of a password: only what looks like a mistyped option is repeated."""
_SAFE_FAULTS = (
    "definition of service",
    "service file",
    "could not match",
    "weak sslmode",
)
"""libpq may quote what it can't read: only these of its words are kept."""
_PASSFILE_LINE = re.compile(r"(?!#)(?:(?:\\.|[^:\\])*:){4}(.*)")
_MAX_PASSFILE = 64 << 10
_OWN = {
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_read_only",
    "search_path",
    "timezone",
}
"""Settings on which sentinel's guards and readings rest."""


@dataclass(frozen=True, slots=True)
class Place:
    """One server to try: `host` as the address names it, `hostaddr` where that is, "" for the
    default socket.
    """

    host: str = ""
    hostaddr: str = ""
    port: str = ""

    @property
    def overrides(self) -> dict[str, str]:
        """What this place changes in the address."""
        return {"host": self.host, "hostaddr": self.hostaddr, "port": self.port}


def read_settings(dsn: str) -> dict[str, str]:
    """All settings of an address with what its service and the environment add; psycopg.Error for
    one that libpq can't read.
    """
    settings, text = _ask(dsn, _REFUSED_LAST[-1])
    if _MARKER not in text:
        raise psycopg.ProgrammingError(_describe(text))
    return settings


def find_dsn_fault(dsn: str) -> str:
    """Why an address can't hold, or ""."""
    try:
        conninfo_to_dict(dsn)
        asked = [_ask(dsn, option) for option in _REFUSED_LAST]
    except (psycopg.Error, ValueError) as error:
        return _describe(" ".join(str(error).split()))
    faults = [text for _settings, text in asked if _MARKER not in text]
    return _describe(faults[0]) if faults else _find_setting_fault(asked[-1][0])


def find_dsn_secrets(dsn: str) -> list[str]:
    """The passwords of an address, in whichever form it is written: the user's, and the key's."""
    try:
        settings = conninfo_to_dict(dsn)
    except psycopg.Error:
        return []
    return [str(settings[name]) for name in ("password", "sslpassword") if settings.get(name)]


def find_client_secrets(dsn: str) -> list[str]:
    """The passwords that libpq finds by itself: of a service, of its environment, of each line of
    the file in which it looks (host:port:database:user:password, `\\` before a sign that counts).
    """
    try:
        settings = read_settings(dsn)
    except (psycopg.Error, ValueError):
        return []
    found = [settings.get(name, "") for name in ("password", "sslpassword")]
    file = Path(settings.get("passfile") or Path.home() / ".pgpass")
    try:
        lines = read_regular_file(file, _MAX_PASSFILE).data.decode("utf-8", "replace").splitlines()
    except (UnreadableFile, RuntimeError):
        lines = []
    entries = filter(None, map(_PASSFILE_LINE.fullmatch, lines))
    found += [re.sub(r"\\(.)", r"\1", entry[1]) for entry in entries]
    return [password for password in found if password]


async def find_places(settings: dict[str, str], resolver: Resolver) -> list[Place]:
    """Every server that an address means, in the order to try: each address of each of its names.

    NotMeasurable when none of the names has an address.
    """
    names, addresses = _split(settings, "host"), _split(settings, "hostaddr")
    count = max(len(names), len(addresses), 1)
    ports = _split(settings, "port") or [""]
    ports = ports * count if len(ports) == 1 else ports
    names, addresses = (part or [""] * count for part in (names, addresses))
    places: list[Place] = []
    failed: NotMeasurable | None = None
    for host, address, port in zip(names, addresses, ports, strict=True):
        try:
            places += await _resolve(host, address, port, resolver)
        except NotMeasurable as error:
            failed = error
    if not places and failed:
        raise failed
    if settings.get("load_balance_hosts") == "random":
        random.shuffle(places)
    return places


async def _resolve(host: str, address: str, port: str, resolver: Resolver) -> list[Place]:
    if address or not host or host.startswith(("/", "@")):
        return [Place(host, address, port)]
    found = await resolver.addresses(host, int(port or PORT))
    return [Place(host, address, port) for _family, address, _port in found]


def _split(settings: dict[str, str], key: str) -> list[str]:
    text = settings.get(key, "")
    return [word.strip() for word in text.split(",")] if text else []


def _ask(dsn: str, option: str) -> tuple[dict[str, str], str]:
    """The settings as libpq completes them, and what it has against them with `option` marked."""
    connection = pq.PGconn.connect_start(make_conninfo(dsn, **{option: _MARKER}).encode())
    try:
        found = {i.keyword.decode(): i.val.decode() for i in connection.info if i.val is not None}
        text = " ".join(connection.error_message.decode("utf-8", "replace").split())
    finally:
        connection.finish()
    written = conninfo_to_dict(dsn).get(option)
    found.pop(option, None)
    return {**found, **({option: str(written)} if written else {})}, text


def _describe(text: str) -> str:
    option = _NO_OPTION.fullmatch(text)
    if option:
        known = [item.keyword.decode() for item in pq.Conninfo.get_defaults()]
        shown = difflib.get_close_matches(option[1], known, 1, 0.75)
        return f"{_NO_ADDRESS}: {text}" if shown else _NO_ADDRESS
    named = _VALUE.match(text)
    if named:
        return f"has a value of `{named[1]}` that PostgreSQL's own client refuses"
    return f"is no postgres address: {text}" if text.startswith(_SAFE_FAULTS) else _NO_ADDRESS


_NO_ADDRESS = "is no postgres address"


def _find_setting_fault(settings: dict[str, str]) -> str:
    ports = [word for word in _split(settings, "port") if word]
    if not all(word.isdigit() and 0 < int(word) <= 65535 for word in ports):
        return _NO_ADDRESS
    timeout = settings.get("connect_timeout", "0")
    if not re.fullmatch(r"\s*\d{1,6}\s*", timeout):
        return "has a value of `connect_timeout` that is no number of seconds"
    if settings.get("max_protocol_version", "latest") not in {"3.0", "3.2", "latest"}:
        return _describe("invalid max_protocol_version value:")
    if settings.get("replication", "false").lower() not in {"false", "off", "no", "0"}:
        return "asks for `replication`: such a session takes no queries"
    if settings.get("application_name", OWN_NAME) != OWN_NAME:
        return "sets `application_name`, by which sentinel knows its own sessions"
    taken = sorted(_OWN & set(name_options(settings.get("options", ""))))
    return f"sets `{taken[0]}` in its options, which is sentinel's own" if taken else ""


def name_options(options: str) -> list[str]:
    """The settings that start-up options set: `-c name=value`, `-cname=value`, `--name=value`."""
    try:
        words = shlex.split(options)
    except ValueError:
        words = options.split()
    named: Sequence[str] = re.findall(r"(?:^|\0)(?:-c\0?|--)([\w.-]+)=", "\0".join(words))
    return [name.replace("-", "_").lower() for name in named]
