"""Validation errors in our words: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from sentinel.config.document import Document, Path_, name_of
from sentinel.config.model import NAME_PATTERN, CheckSettings, ChoreSettings, ComponentSettings
from sentinel.errors import Problem

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


def problem_of(document: Document, path: Path_, item: Any, model: type[BaseModel]) -> Problem:
    """A pydantic error in our words."""
    shown = tuple(
        part for part in path if not (isinstance(part, str) and part.startswith(_NOT_KEYS))
    )
    if any(word in str(part).lower() for part in shown for word in _SECRET_WORDS):
        item = {**item, "input": _HIDDEN}
    message, remedy = _EXPLAIN.get(item["type"], _explain_other)(item, model)
    return Problem(document.file, document.line(shown), name_of(shown), message, remedy)


def _explain_extra(item: Any, model: type[BaseModel]) -> tuple[str, str]:
    known = _fields_at(model, item["loc"][:-1])
    if len(item["loc"]) == 1:
        known |= next(
            (
                set(own.model_fields)
                for place, own in _OWNERS.items()
                if model.__module__.startswith(place)
            ),
            set(),
        )
    return unknown_message("key", str(item["loc"][-1]), known)


_OWNERS: dict[str, type[BaseModel]] = {
    "sentinel.probes": CheckSettings,
    "sentinel.remediation": ComponentSettings,
    "sentinel.housekeeping": ChoreSettings,
}
"""Whose keys stand beside those of a kind or driver."""


def _explain_missing(item: Any, _model: type[BaseModel]) -> tuple[str, str]:
    return f"the key `{item['loc'][-1]}` is missing", "add it"


def _explain_pattern(item: Any, model: type[BaseModel]) -> tuple[str, str]:
    if item["ctx"]["pattern"] != NAME_PATTERN:
        return _explain_other(item, model)
    return (
        f"{str(item['input'])[:60]!r} is no name",
        "use letters, digits and . _ : - (at most 100, a letter or digit first)",
    )


def _explain_other(item: Any, _model: type[BaseModel]) -> tuple[str, str]:
    text = str(item["msg"]).removeprefix("Value error, ")
    found = item.get("input")
    shown = (
        ""
        if isinstance(found, dict | list) or "no duration" in text
        else f" (found {_shown(found)})"
    )
    return f"{text[0].lower()}{text[1:]}{shown}", "correct the value"


def _explain_type(item: Any, _model: type[BaseModel]) -> tuple[str, str]:
    wanted, remedy = _TYPES[item["type"]]
    found = item["input"]
    shown = (
        "a mapping"
        if isinstance(found, dict)
        else "a list"
        if isinstance(found, list)
        else _shown(found)
    )
    return f"must be {wanted}, found {shown}", remedy


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
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"


_EXPLAIN: dict[str, Callable[[Any, type[BaseModel]], tuple[str, str]]] = {
    "extra_forbidden": _explain_extra,
    "missing": _explain_missing,
    "string_pattern_mismatch": _explain_pattern,
    **dict.fromkeys(_TYPES, _explain_type),
}


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """Field names of the model that the last but one element of an error's place belongs to."""
    found: Any = model
    for part in loc:
        field = getattr(found, "model_fields", {}).get(part)
        found = _model_in(field.annotation) if field is not None else found
    return {field.alias or name for name, field in getattr(found, "model_fields", {}).items()}


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
