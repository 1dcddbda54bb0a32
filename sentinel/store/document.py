"""Values of the core as JSON documents and back: one place that knows how instants, enums and
tuples travel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

from sentinel.errors import StateError

T = TypeVar("T")


def write_instant(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds: text order is time order."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def read_instant(text: str) -> datetime:
    """The aware instant of `write_instant`."""
    return datetime.fromisoformat(text)


def decode(content: bytes) -> str | bytes:
    """A text of the database, or the bytes of what is none."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def clean_text(text: str) -> str:
    """Text that every database takes: lone surrogates written out, NUL as its picture."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "␀")


def write(value: Any) -> str:
    """A JSON document; non-finite numbers become null, unknown objects their text."""
    try:
        return orjson.dumps(value, _plain, orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except orjson.JSONEncodeError:
        # Lone surrogates, numbers over 64 bits, keys that are no text: rare, and to be kept all the
        # same.
        return json.dumps(to_json(value), separators=(",", ":"), ensure_ascii=False)


def read_object(text: str | None) -> dict[str, Any]:
    """An object of `write`; empty where there is none, or what another version wrote is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def as_written(text: str) -> Any:
    """What `write` gave, so that it is taken over as it is where `write` meets it again."""
    return orjson.Fragment(text)


def _plain(value: Any) -> Any:
    """One level of `to_json`, for what orjson does not know by itself."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, set | frozenset) else to_json(value)


def to_json(value: Any) -> Any:
    """JSON-able form of dataclasses, mappings, sequences, enums and instants."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {to_json(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return write_instant(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode(errors="backslashreplace").decode()


def read(kind: type[T], text: str) -> T:
    """The dataclass of `write`; fields that a newer or older version does not know are left at
    their defaults. Raises StateError for what `write` never wrote.
    """
    try:
        return cast(T, _build(kind, json.loads(text)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(kind.__name__, error) from error


def read_plain(text: str) -> Any:
    """What `write` was given of plain values. Raises StateError for what it never wrote."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged("a dump", error) from error


def _damaged(what: str, error: Exception) -> StateError:
    return StateError(
        f"the state holds a damaged document ({what}: {error})",
        "the daemon sets it aside",
    )


Build = Callable[[Any], Any]
"""Makes of a value of JSON, that is not null, what was written."""


def _build(kind: Any, value: Any) -> Any:
    build = _find_build(kind)
    return value if value is None or build is None else build(value)


@cache
def _find_build(kind: Any) -> Build | None:
    """By the type of a field, found once for each; None: the value stays as it is. A page reads
    ten thousand documents at a time.
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _find_build(next(arg for arg in get_args(kind) if arg is not NoneType))
    if origin is tuple:
        return _for_tuple(get_args(kind))
    if origin is Mapping:
        return _for_mapping(_find_build(get_args(kind)[1]))
    if isinstance(kind, type) and is_dataclass(kind):
        return _for_dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return read_instant if kind is datetime else None


def _for_dataclass(kind: Any) -> Build:
    def build(value: Any) -> Any:
        builds, found = _find_builds(kind), {}  # not before: a class may hold others of its own
        for name, item in value.items():
            if name in builds:
                make = builds[name]
                found[name] = item if make is None or item is None else make(item)
        return kind(**found)

    return build


@cache
def _find_builds(kind: Any) -> dict[str, Build | None]:
    return {name: _find_build(hint) for name, hint in get_type_hints(kind).items()}


def _for_mapping(make: Build | None) -> Build:
    def build(value: Any) -> Any:
        if not isinstance(value, dict) or make is None:
            return value
        return {name: None if item is None else make(item) for name, item in value.items()}

    return build


def _for_tuple(arguments: tuple[Any, ...]) -> Build:
    def build(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_build(arguments[0], item) for item in value)
        return tuple(_build(kind, item) for kind, item in zip(arguments, value, strict=False))

    return build
