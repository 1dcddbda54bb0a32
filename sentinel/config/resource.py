"""The resources of a configuration: one address each, keys with an effect, secrets from files."""

from __future__ import annotations

import re
from typing import Any

from sentinel.config.address import SCHEMES, find_address_fault
from sentinel.config.model import PlatformSettings, ResourceSettings
from sentinel.config.secret import check_one_place, describe_source, read_secret
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.core.quantity import parse_duration
from sentinel.core.servers.pace import RequestBudget
from sentinel.strict.attempt import attempt
from sentinel.strict.place import Place

_TLS_FILES = ("ca_file", "certificate_file", "key_file")
_FOREIGN_KEYS = {
    "redis": {"budget", "user_agent", "headers", *_TLS_FILES},
    "postgres": {"budget", "user_agent", "headers", *_TLS_FILES},
    "http": {"password", "password_file", "timeout"},
}
_MOST_REQUESTS = 10**9
_LINE_BREAK = re.compile(r"[\r\n\0]")


def read_resources(written: Written, settings: PlatformSettings) -> dict[str, Resource]:
    """Every resource that is right, by name; what is wrong with the others is noted."""
    found = {
        name: attempt(place, _read, written, name, place, item)
        for name, item in settings.resources.items()
        for place in [written.at("resources", name)]
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
    password = item.password
    check_one_place(place, kind, item, address)
    if password is None and item.password_file is not None:
        path = written.relative(item.password_file)
        password = read_secret(place / "password_file", item.password_file, path)
    source = describe_source(kind, item, address, written.environment)
    return Resource(name, kind, address, password, _client_options(place, kind, item), source)


def _check_keys(place: Place, kind: str, item: ResourceSettings) -> None:
    """A key that has no effect is a mistake, and what can't be sent in a header is told here, not
    at each run.
    """
    for key in sorted(item.model_fields_set & _FOREIGN_KEYS[kind]):
        (place / key).note(f"a {kind} resource has no `{key}`", "remove it")
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


def _read_budget(place: Place, text: str | None) -> RequestBudget | None:
    if text is None:
        return None
    count, _, time = text.partition("/")
    try:
        if 0 < int(count) <= _MOST_REQUESTS and parse_duration(time) > 0:
            return RequestBudget(int(count), parse_duration(time))
    except ValueError:
        pass
    place.note(f"{text!r} is no request budget", "write requests/time, such as 60/15m")
    return None
