"""The configuration as it was read: every value, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sentinel.config.check import OWN
from sentinel.config.load import load_written
from sentinel.config.model import CheckSettings, ChoreSettings, Overrides, PlatformSettings
from sentinel.config.value import Configuration
from sentinel.config.written import Written
from sentinel.core.model import Check
from sentinel.housekeeping import load_chores
from sentinel.probes import load_kinds
from sentinel.redaction import Redaction, hide_shapes
from sentinel.remediation import load_drivers
from sentinel.strict.describe import describe_type, write_value
from sentinel.strict.place import Place

DEFAULT = "default"
HIDDEN = "***"
_ELSEWHERE = {"checks", "components", "housekeeping"}
_OVERRIDDEN = {"listen": "listen", "state": "state", "actions.enabled": "actions_enabled"}


@dataclass(frozen=True, slots=True)
class ShownValue:
    """One value as YAML, secrets as ***; `where` is `file:line`, `default`, or the environment."""

    key: str
    value: str
    where: str


def show_configuration(path: Path, environment: Mapping[str, str]) -> list[ShownValue]:
    """Every value in the order of the models that judge it. Raises ConfigurationError."""
    configuration, written = load_written(path, environment)
    scrub = Redaction(configuration.secrets).scrub
    rows = _Reading(configuration, written, environment).rows()
    return [ShownValue(r.key, hide_shapes(str(scrub(r.value))), r.where) for r in rows]


class _Reading:
    """One reading of a configuration that is right."""

    def __init__(
        self, configuration: Configuration, written: Written, environment: Mapping[str, str]
    ) -> None:
        self._configuration, self._written = configuration, written
        self._environment = environment
        self._settings = PlatformSettings.model_validate(written.settings)

    def rows(self) -> Iterator[ShownValue]:
        """Everything, the environment's word in the place of the file's."""
        for row in self._files():
            name = _OVERRIDDEN.get(row.key, "")
            variable = f"SENTINEL_{name.upper()}"
            if name and self._environment.get(variable):
                value = write_value(getattr(Overrides(), name))
                row = ShownValue(row.key, value, f"environment {variable}")  # noqa: PLW2901
            yield row
        for name in ("log_level", "log_format"):
            variable = f"SENTINEL_{name.upper()}"
            where = f"environment {variable}" if self._environment.get(variable) else DEFAULT
            yield ShownValue(name, write_value(getattr(Overrides(), name)), where)

    def _files(self) -> Iterator[ShownValue]:
        settings, written = self._settings, self._written
        for name in PlatformSettings.model_fields:
            if name not in _ELSEWHERE:
                yield from _walk_field(settings, name, name, written.at(name))
        for component in self._configuration.components:
            yield from self._component(component.name)
        for check in self._configuration.checks:
            yield from self._check(check)
        for i, chore in enumerate(self._configuration.chores):
            place = written.at("housekeeping", i)
            own = {k: v for k, v in settings.housekeeping[i].items() if k in _chore_keys()}
            yield from _walk(ChoreSettings.model_validate(own), f"housekeeping.{chore.name}", place)
            options = load_chores()[chore.kind].options.model_validate(chore.settings)
            yield from _walk(options, f"housekeeping.{chore.name}", place)

    def _component(self, name: str) -> Iterator[ShownValue]:
        place, key = self._written.at("components", name), f"components.{name}"
        item = self._settings.components[name]
        yield from _walk(item, key, place)
        if item.driver:
            options = load_drivers()[item.driver].options.model_validate(item.model_extra or {})
            yield from _walk(options, key, place)

    def _check(self, check: Check) -> Iterator[ShownValue]:
        """Its own keys, then those of its kind. What it has from its kind says so."""
        place, raw = next(
            (place, raw)
            for place, raw in self._written.checks
            if isinstance(raw, dict) and raw.get("name") == check.name
        )
        key = f"checks.{check.name}"
        own = {name: value for name, value in raw.items() if name in OWN}
        found = {
            "every": (write_value(check.every, "duration"), f"default of kind {check.kind}"),
            "timeout": (write_value(check.timeout, "duration"), f"{DEFAULT}, by every"),
        }
        found |= {
            role: (write_value(name), "found: its component's, or the only one of its type")
            for role, name in check.resources.items()
        }
        options = load_kinds()[check.kind].options.model_validate(
            {name: value for name, value in raw.items() if name not in OWN}
        )
        for model in (CheckSettings.model_validate(own), options):
            for row in _walk(model, key, place):
                known = found.get(row.key.removeprefix(f"{key}."))
                is_given = row.where != DEFAULT
                yield row if is_given or known is None else ShownValue(row.key, *known)


def _chore_keys() -> set[str]:
    return set(ChoreSettings.model_fields)


def _walk(model: BaseModel, key: str, place: Place) -> Iterator[ShownValue]:
    for name, field in type(model).model_fields.items():
        called = field.alias or name
        yield from _walk_field(model, name, f"{key}.{called}", place / called)


def _walk_field(model: BaseModel, name: str, key: str, place: Place) -> Iterator[ShownValue]:
    field = type(model).model_fields[name]
    words = describe_type(field.annotation, field.metadata)
    yield from _walk_value(getattr(model, name), words, key, place)


def _walk_value(value: Any, words: str, key: str, place: Place) -> Iterator[ShownValue]:
    """A model, or what holds models, is shown by its parts; all else is one value."""
    if isinstance(value, BaseModel):
        yield from _walk(value, key, place)
    elif isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
        for name, each in value.items():
            yield from _walk_value(each, words, f"{key}.{name}", place / name)
    elif isinstance(value, list | tuple) and any(isinstance(each, BaseModel) for each in value):
        for i, each in enumerate(value):
            yield from _walk_value(each, words, f"{key}[{i}]", place / i)
    else:
        yield ShownValue(key, write_value(value, words), _where(place))


def _where(place: Place) -> str:
    """The line that has the value, and the variables that it names."""
    if place.path not in place.document.lines:
        return DEFAULT
    variables = place.document.references.get(place.path, ())
    named = f" (environment {', '.join(variables)})" if variables else ""
    return f"{place}{named}"
