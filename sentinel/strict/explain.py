"""Validation errors in our words: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sentinel.errors import Problem
from sentinel.redaction import hide_shapes
from sentinel.strict.place import Place
from sentinel.strict.read import MAX_DIGITS

ModelT = TypeVar("ModelT", bound=BaseModel)
NO_KEYS: Collection[str] = ()
_NOT_KEYS = ("function-", "tagged-", "[key]")
"""What pydantic puts into a place besides keys."""
_SECRET_WORDS = ("password", "secret", "token", "headers", "authorization")
"""What stands below such a key is not repeated: the complaint goes to a terminal, a log, a CI job.
"""


class _Hidden:
    """Stands for a value that is not shown."""

    def __str__(self) -> str:
        return "***"


_HIDDEN = _Hidden()


def validate(
    place: Place, model: type[ModelT], value: Any, beside: Collection[str] = NO_KEYS
) -> ModelT | None:
    """The model of a value, or None with every problem noted at its own place.

    `beside` are keys that may stand there and belong to somebody else: a remedy names them, too.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            place.document.take(explain(place.at(*item["loc"]), item, model, beside))
    return None


def explain(
    place: Place, item: Any, model: type[BaseModel], beside: Collection[str] = NO_KEYS
) -> Problem:
    """One of pydantic's errors as a problem; `place` has the error's whole path."""
    shown = place.document.at(*(part for part in place.path if _is_key(part)))
    if any(word in str(part).lower() for part in shown.path for word in _SECRET_WORDS):
        item = {**item, "input": _HIDDEN}
    if item["type"] == "extra_forbidden":
        return shown.problem(*_explain_extra(item, model, beside))
    if item["type"] == "missing":
        return shown.problem(*_explain_missing(item, model))
    return shown.problem(*_EXPLAIN.get(item["type"], _explain_other)(item))


def _is_key(part: str | int) -> bool:
    return not (isinstance(part, str) and part.startswith(_NOT_KEYS))


def _explain_extra(item: Any, model: type[BaseModel], beside: Collection[str]) -> tuple[str, str]:
    known = set(_fields_at(model, item["loc"][:-1]))
    if len(item["loc"]) == 1:
        known |= set(beside)
    return unknown_message("key", str(item["loc"][-1]), known)


def _explain_missing(item: Any, model: type[BaseModel]) -> tuple[str, str]:
    key = str(item["loc"][-1])
    field = _fields_at(model, item["loc"][:-1]).get(key)
    examples = (field and field.examples) or ()
    example = next((each for each in examples if isinstance(each, str)), "")
    remedy = f"add it, such as `{key}: {example}`" if example else "add it"
    return f"the key `{key}` is missing", remedy


def _explain_other(item: Any) -> tuple[str, str]:
    text = str(item["msg"]).removeprefix("Value error, ")
    remedy = item.get("ctx", {}).get("remedy")
    if remedy is not None:
        return text, str(remedy)
    found = item.get("input")
    silent = isinstance(found, dict | list) or "no duration" in text
    shown = "" if silent else f" (found {_shown(found)})"
    return f"{text[0].lower()}{text[1:]}{shown}", "correct the value"


def _explain_type(item: Any) -> tuple[str, str]:
    wanted, remedy = _TYPES[item["type"]]
    if item["type"] in _NUMBERS and _LONG.fullmatch(str(item["input"])):
        return f"must be {wanted} of at most {MAX_DIGITS} digits", "write fewer digits"
    return f"must be {wanted}, found {_shown(item['input'])}", remedy


_NUMBERS = frozenset({"int_type", "float_type"})
_LONG = re.compile(rf"[-+]?[0-9.]{{{MAX_DIGITS},}}")
_TYPES = {
    "string_type": ("text", 'write text, in quotes where it looks like something else: "…"'),
    "int_type": ("a whole number", "write a number without quotes"),
    "float_type": ("a number", "write a number without quotes"),
    "bool_type": ("true or false", "write true or false, without quotes"),
    "list_type": ("a list", "write a list: [one, two]"),
    "dict_type": ("a mapping", "write `key: value` lines, indented, below it"),
    "model_type": ("a mapping", "write `key: value` lines, indented, below it"),
}
"""Wrong types by pydantic's name of the error: what was wanted, and how to write it."""


def _shown(value: Any) -> str:
    if value is _HIDDEN:
        return "a value that is not shown"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return (
        "nothing" if value is None else f"{type(value).__name__} {hide_shapes(str(value))[:60]!r}"
    )


_EXPLAIN: dict[str, Callable[[Any], tuple[str, str]]] = dict.fromkeys(_TYPES, _explain_type)


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> dict[str, FieldInfo]:
    """Fields, by the names they are written by, of the model that the last but one element of an
    error's place belongs to.
    """
    found: Any = model
    for part in loc:
        field = getattr(found, "model_fields", {}).get(part)
        found = _model_in(field.annotation) if field is not None else found
    fields: dict[str, FieldInfo] = getattr(found, "model_fields", {})
    return {field.alias or name: field for name, field in fields.items()}


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in models if model is not None), None)


def unknown_message(what: str, name: str, known: Iterable[str], where: str = "") -> tuple[str, str]:
    """Message and remedy for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else one_of(names)
    return f"unknown {what} `{name}`", f"{hint}{f' ({where} lists them)' if where else ''}"


def one_of(names: Iterable[str]) -> str:
    """The known names, for a remedy."""
    listed = ", ".join(list(names)[:20])
    return f"known: {listed}" if listed else "none is configured"
