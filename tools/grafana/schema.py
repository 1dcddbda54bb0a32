"""Grafana's schemas of a dashboard as draft-07 JSON schema, read from the models of the SDK: the
classic one, and v2.

The models are generated from Grafana's own definitions: what they do not name is refused here, in
panels down to the options of their type. Models tell the type of a field by its annotation, and its
name in JSON by the code that writes it.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import (
    dashboard,
    dashboardv2,
    prometheus,
    stat,
    table,
    timeseries,
)
from jsonschema import Draft7Validator

PANELS = {"stat": stat, "table": table, "timeseries": timeseries}
"""Types of panels that are used, with the models of their options."""
_WRITTEN = re.compile(r'"(\w+)"(?:: |\] = )self\.(\w+)')
_ALWAYS = re.compile(r"payload: dict\[str, object\] = \{(.*?)\n        \}", re.DOTALL)
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
Schema = dict[str, Any]


def find_violations(document: Mapping[str, Any]) -> list[str]:
    """What Grafana's schema refuses in a dashboard, each with its place. A manifest is judged by the
    schema of v2.
    """
    is_manifest = "apiVersion" in document
    asked = document["spec"] if is_manifest else document
    errors = _validator(is_manifest).iter_errors(asked)
    ordered = sorted(errors, key=lambda each: str(each.json_path))
    return [f"{error.json_path}: {error.message}" for error in ordered]


@cache
def _validator(is_manifest: bool) -> Draft7Validator:
    schema = make_schema_v2() if is_manifest else make_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def make_schema_v2() -> Schema:
    """The whole schema of the spec of a manifest; options of panels are open in it."""
    definitions = dict[str, Schema]()
    return {**_define(dashboardv2.Dashboard, definitions), "definitions": definitions}


def make_schema() -> Schema:
    """The whole classic schema."""
    definitions = dict[str, Schema]()
    _define(dashboard.Dashboard, definitions)
    for name, module in PANELS.items():
        definitions[f"Panel.{name}"] = _define_panel(name, module, definitions)
    panels: list[Any] = [{"$ref": f"#/definitions/Panel.{name}"} for name in PANELS]
    definitions["Dashboard"]["properties"]["panels"]["items"] = _one_of_type(
        {**dict(zip(PANELS, panels, strict=True)), "row": {"$ref": "#/definitions/RowPanel"}}
    )
    root = {"$ref": "#/definitions/Dashboard"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **root,
        "definitions": definitions,
    }


def _one_of_type(choices: Mapping[str, Schema]) -> Schema:
    """The schema that `type` names, so that an error is told of that one alone."""
    cases = [
        {"if": {"properties": {"type": {"const": name}}}, "then": schema}
        for name, schema in choices.items()
    ]
    properties = {"type": {"enum": list(choices)}}
    return {"type": "object", "required": ["type"], "properties": properties, "allOf": cases}


def _define_panel(name: str, module: Any, definitions: dict[str, Schema]) -> Schema:
    """A panel with the options of its type, and with what that type keeps for each field."""
    custom: Schema = {}
    if hasattr(module, "FieldConfig"):
        custom = _define(module.FieldConfig, definitions, f"FieldConfig.{name}.custom")
    fields = _copy(_define(dashboard.FieldConfig, definitions), definitions, custom=custom)
    definitions[f"FieldConfig.{name}"] = fields
    source = _define(dashboard.FieldConfigSource, definitions)
    definitions[f"FieldConfigSource.{name}"] = _copy(
        source, definitions, defaults={"$ref": f"#/definitions/FieldConfig.{name}"}
    )
    return _copy(
        _define(dashboard.Panel, definitions),
        definitions,
        type={"const": name},
        options=_define(module.Options, definitions, f"Options.{name}"),
        fieldConfig={"$ref": f"#/definitions/FieldConfigSource.{name}"},
        targets={"type": "array", "items": _define(prometheus.Dataquery, definitions)},
    )


def _copy(reference: Schema, definitions: Mapping[str, Schema], **properties: Schema) -> Schema:
    found = definitions[reference["$ref"].rpartition("/")[2]]
    return {**found, "properties": {**found["properties"], **properties}}


# -- models ----------------------------------------------------------------------------------------


def _define(model: type, definitions: dict[str, Schema], name: str = "") -> Schema:
    """A reference to the schema of a class of the SDK, which is made when it is new."""
    name = name or model.__name__
    if name not in definitions:
        definitions[name] = {}  # a model may name itself
        definitions[name] = _describe(model, definitions)
    return {"$ref": f"#/definitions/{name}"}


def _describe(model: type, definitions: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(model)
    properties, required = dict[str, Schema](), list[str]()
    for key, attribute, is_always in _read_fields(model):
        hint = hints[attribute]
        properties[key] = _of_hint(hint, definitions, may_be_null=is_always)
        if is_always:
            required.append(key)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }


def _read_fields(model: Any) -> Iterator[tuple[str, str, bool]]:
    """Names in JSON and in Python, and whether it is written always."""
    source = inspect.getsource(model.to_json)
    always = _ALWAYS.search(source)
    names = {key for key, _ in _WRITTEN.findall(always[1])} if always else set[str]()
    for key, attribute in _WRITTEN.findall(source):
        yield key, attribute, key in names


def _of_hint(hint: Any, definitions: dict[str, Schema], *, may_be_null: bool) -> Schema:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        kinds = [each for each in inner if each is not type(None)]
        schemas = [_of_hint(each, definitions, may_be_null=False) for each in kinds]
        if len(kinds) < len(inner) and may_be_null:
            schemas.append({"type": "null"})
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin is list:
        return {"type": "array", "items": _of_hint(inner[0], definitions, may_be_null=False)}
    if origin is dict:
        values = _of_hint(inner[1], definitions, may_be_null=False)
        return {"type": "object", "additionalProperties": values}
    return _of_class(hint, definitions)


def _of_class(hint: Any, definitions: dict[str, Schema]) -> Schema:
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if hint is object or hint is Any:
        return {}
    if hint is variants.Dataquery:
        return _define(prometheus.Dataquery, definitions)
    if issubclass(hint, enum.Enum):
        return {"enum": [each.value for each in hint]}
    return _define(hint, definitions)
