"""The keys of a component that belong to its driver: checked by the driver's own options, with
place and remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from sentinel.config.model import ComponentSettings
from sentinel.remediation import DriverKind, DriverOptions
from sentinel.strict.explain import explain, unknown_message
from sentinel.strict.place import Place


def read_options(
    place: Place, item: ComponentSettings, drivers: Mapping[str, DriverKind]
) -> DriverOptions | None:
    """The options of the component's driver; None without a driver, or with a problem that was
    noted.
    """
    keys = item.model_extra or {}
    kind = drivers.get(item.driver)
    if not item.driver:
        for key in keys:
            (place / key).note(*_no_driver(key, drivers))
    elif kind is None:
        (place / "driver").note(*unknown_message("driver", item.driver, drivers))
    elif kind.unavailable:
        (place / "driver").note(f"driver {kind.name} is not installed", kind.unavailable)
    else:
        return _validated(place, kind, keys)
    return None


def _no_driver(key: str, drivers: Mapping[str, DriverKind]) -> tuple[str, str]:
    owners = [name for name, kind in drivers.items() if key in kind.options.model_fields]
    if owners:
        return f"a {key} needs a driver", f"add `driver: {'` or `driver: '.join(owners)}`"
    return unknown_message("key", key, ComponentSettings.model_fields)


def _validated(place: Place, kind: DriverKind, keys: Mapping[str, Any]) -> DriverOptions | None:
    if any("\0" in text for text in _texts(keys)):
        place.note("a NUL character can't be handed to a program", "remove it")
        return None
    try:
        return kind.options.model_validate(keys)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["type"] == "missing" and len(item["loc"]) == 1:
                key = item["loc"][0]
                message = f"driver {kind.name} needs a {key}"
                (place / "driver").note(message, _sample(key, kind))
            else:
                at = place.at(*item["loc"])
                at.document.take(explain(at, item, kind.options, ComponentSettings.model_fields))
    return None


def _sample(key: int | str, kind: DriverKind) -> str:
    examples = kind.options.model_fields[str(key)].examples or ["…"]
    return f"add `{key}: {examples[0]}`"


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a plain YAML value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
