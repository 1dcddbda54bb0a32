"""The resources of a configuration: one address each, keys with an effect, secrets from files."""

from __future__ import annotations

import re
from typing import Any

from pydantic import SecretStr

from sentinel.config.address import SCHEMES, find_address_fault
from sentinel.config.model import PlatformSettings, ResourceSettings
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.core.quantity import parse_duration
from sentinel.strict.place import Place

_TLS_FILES = ("ca_file", "certificate_file", "key_file")
_FOREIGN_KEYS = {
    "redis": {"budget", "user_agent", "headers", *_TLS_FILES},
    "postgres": {"budget", "user_agent", "headers", *_TLS_FILES},
    "http": {"password", "password_file", "timeout"},
}
_LINE_BREAK = re.compile(r"[\r\n\0]")
MAX_SECRET = 64 << 10


def read_resources(written: Written, settings: PlatformSettings) -> dict[str, Resource]:
    """Every resource that is right, by name; what is wrong with the others is noted."""
    found = {
        name: _read(written, name, written.at("resources", name), item)
        for name, item in settings.resources.items()
    }
    return {name: resource for name, resource in found.items() if resource is not None}


def _read(written: Written, name: str, place: Place, item: ResourceSettings) -> Resource | None:
    given = [kind for kind in SCHEMES if getattr(item, kind) is not None]
    if len(given) != 1:
        remedy = 'write `bus: {redis: "redis://host:6379/0"}`'
        place.note("needs exactly one of redis, postgres, http", remedy)
        return None
    kind = given[0]
    address = str(getattr(item, kind))
    _check_keys(place, kind, item)
    fault = find_address_fault(kind, address)
    if fault is not None:
        (place / kind).note(*fault)
        return None
    password = item.password or _read_secret(written, place / "password_file", item.password_file)
    return Resource(name, kind, address, password, _client_options(place, kind, item))


def _check_keys(place: Place, kind: str, item: ResourceSettings) -> None:
    """A key that has no effect is a mistake, and what can't be sent in a header is told here, not
    at each run.
    """
    for key in sorted(item.model_fields_set & _FOREIGN_KEYS[kind]):
        (place / key).note(f"a {kind} resource has no `{key}`", "remove it")
    if item.password is not None and item.password_file is not None:
        (place / "password_file").note(
            "password and password_file exclude each other", "keep one of them"
        )
    for name, value in item.headers.items():
        if _LINE_BREAK.search(name + value.get_secret_value()):
            (place / "headers").note(f"header {name!r} holds a line break", "write it as one line")
    if item.key_file and not item.certificate_file:
        (place / "key_file").note("key_file needs a certificate_file", "name the certificate too")
    if _LINE_BREAK.search(item.user_agent):
        (place / "user_agent").note("holds a line break", "write it as one line")


def _client_options(place: Place, kind: str, item: ResourceSettings) -> dict[str, Any]:
    if kind == "redis":
        return {"timeout": item.timeout}
    if kind == "postgres":
        return {"statement_timeout": item.timeout}
    return {
        "user_agent": item.user_agent,
        "headers": {name: value.get_secret_value() for name, value in item.headers.items()},
        "budget": _read_budget(place / "budget", item.budget),
        **{key: _read_path(place / key, getattr(item, key)) for key in _TLS_FILES},
    }


def _read_path(place: Place, name: str | None) -> str:
    if name is not None and not name.startswith("/"):
        place.note(f"{name!r} is no absolute path", "write it from / on")
    return name or ""


def _read_budget(place: Place, text: str | None) -> tuple[int, float] | None:
    if text is None:
        return None
    count, _, time = text.partition("/")
    try:
        if int(count) > 0 and parse_duration(time) > 0:
            return int(count), parse_duration(time)
    except ValueError:
        pass
    place.note(f"{text!r} is no request budget", "write requests/time, such as 60/15m")
    return None


def _read_secret(written: Written, place: Place, name: str | None) -> SecretStr | None:
    """The secret of a file that nobody else may read."""
    if name is None:
        return None
    path = written.relative(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET).decode("utf-8").strip()
        if path.stat().st_mode & 0o007:
            message = f"the secret file {name} is readable by everyone"
            place.note(message, f"chmod 600 {name}")
        return SecretStr(text)
    except OSError as error:
        message = f"the secret file {name} can't be read: {error.strerror}"
        place.note(message, "check the path and its rights")
    except ValueError:
        message = f"the secret file {name} is not UTF-8 text"
        place.note(message, "write the secret as one line of text")
    return None
