"""What may be written, in the words of who writes it: made from the models that judge it.

Every default and example is YAML: what is shown can be typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sentinel.core.quantity import parse_bytes, parse_duration, parse_percentage

Model = type[BaseModel]
NAME = "NAME"
"""Stands in a path for a name that is chosen by who writes."""
REQUIRED = "required"
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*")
_WORDS = {"true", "false", "null", "~", "yes", "no", "on", "off"}
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"), (0.001, "ms"))
_SIZES = (
    (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"),
    (10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (1, "B"),
)  # fmt: skip
_SCALARS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_SAMPLES = {
    "duration": "30s",
    "size": "64KiB",
    "percentage": "95%",
    "true or false": "true",
    "whole number": "10",
    "number": "10",
}
_COUNTED = {"duration", "size", "percentage", "whole number", "number"}
_ANY_SCALAR = "text, number, or true or false"


@dataclass(frozen=True, slots=True)
class Of:
    """In the type of an option: what its items are, where somebody else reads them."""

    model: type[BaseModel]
    more: str = ""
    """Which keys come beside those of the model, and where they are listed."""


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One key: its path, its type in words, the default ("" where there is none) and an example as
    YAML, its meaning.
    """

    option: str
    type: str
    default: str
    example: str
    what: str
    required: bool = False
    of: Model | None = field(default=None, compare=False, repr=False)
    """The model that judges it."""


def describe_options(
    model: type[BaseModel], place: str = "", given: BaseModel | None = None
) -> Iterator[OptionRow]:
    """Each key of a model, and below it the keys that it is made of: `children[].begun_when.progress`.

    `given` is the value that the whole has by default: its parts are the defaults of the parts.
    """
    for name, said in model.model_fields.items():
        path = f"{place}{said.alias or name}"
        value = _default_of(name, said, given)
        yield _describe(path, said, value, model)
        for step, inner, more in _find_models(said.annotation, said.metadata):
            below = value if isinstance(value, inner) else None
            yield from describe_options(inner, f"{path}{step}.", below)
            if more:
                yield OptionRow(f"{path}{step}.…", "", "", "", more)


def _default_of(name: str, said: FieldInfo, given: BaseModel | None) -> Any:
    if given is not None:
        return getattr(given, name)
    return said.get_default(call_default_factory=True)


def _describe(path: str, said: FieldInfo, value: Any, model: type[BaseModel]) -> OptionRow:
    words = describe_type(said.annotation, said.metadata)
    required = said.is_required() and value is PydanticUndefined
    default = REQUIRED if required else ""
    if not required and value is not None and not isinstance(value, BaseModel):
        default = write_value(value, words)
    example = find_example(said, words, default)
    return OptionRow(path, words, default, example, said.description or "", required, model)


# -- types ----------------------------------------------------------------------------------------


def describe_type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type in the words of who writes YAML: duration, size, text, one of …, list of …."""
    annotation, found = _unwrap(annotation, list(metadata))
    parts = _alternatives(annotation)
    if len(parts) > 1:
        each = [describe_type(part) for part in parts]
        if set(each) == {"text", "whole number", "number", "true or false"}:
            return _ANY_SCALAR
        return " or ".join(dict.fromkeys(each))
    inner, more = _unwrap(parts[0], [])
    return _name(inner, [*more, *found])


def _name(annotation: Any, metadata: list[Any]) -> str:
    words = _name_quantity(metadata) or _name_plain(annotation, metadata)
    limits = ", ".join(_describe_limits(metadata, words))
    return f"{words}, {limits}" if limits else words


def _name_quantity(metadata: list[Any]) -> str:
    """A quantity, or a text that is more than any text."""
    known = {parse_duration: "duration", parse_bytes: "size", parse_percentage: "percentage"}
    for each in metadata:
        work = getattr(each, "func", None)
        if isinstance(each, BeforeValidator) and work in known:
            return known[work]
        words = getattr(work, "words", None)
        if words is not None:
            return str(words)
    return ""


def _name_plain(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in {list, tuple, set, frozenset}:
        holds = any(isinstance(each, Of) for each in metadata)
        return f"list of {'mappings' if holds else _plural(describe_type(arguments[0]))}"
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        keys, values = map(describe_type, arguments)
        return f"mapping of {_plural(keys)} to {'mappings' if values == 'mapping' else values}"
    if annotation is SecretStr:
        return "text that is never shown"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(each.value) for each in annotation)}"
    return _SCALARS.get(annotation, "any value")


def _plural(words: str) -> str:
    if words == _ANY_SCALAR:
        return f"values ({words})"
    head, comma, rest = words.partition(",")
    if head.startswith(("one of", "any value", "text that", "list", "mapping of", "true")):
        return {"any value": "any values"}.get(words, words)
    return f"{head}{'s' * (not head.endswith('s'))}{comma}{rest}"


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """A type without what is said of it, and that."""
    found: list[Any] = []
    while get_origin(annotation) is Annotated:
        annotation, *said = get_args(annotation)
        for each in said:
            found += each.metadata if isinstance(each, FieldInfo) else [each]
    return annotation, [*found, *metadata]


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        return [part for part in get_args(annotation) if part is not NoneType]
    return [annotation]


def _describe_limits(metadata: list[Any], words: str) -> Iterator[str]:
    for each in metadata:
        for kind, text in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            limit = getattr(each, kind, None)
            if limit is not None:
                yield f"{text} {write_value(limit, words) if limit else 0}"
        if isinstance(each, annotated_types.MinLen) and each.min_length:
            is_list = words.startswith(("list", "mapping"))
            yield f"at least {each.min_length}" if is_list else "not empty"
        if isinstance(each, annotated_types.MaxLen):
            yield f"at most {each.max_length}"


def _find_models(
    annotation: Any, metadata: Iterable[Any], step: str = ""
) -> Iterator[tuple[str, type[BaseModel], str]]:
    """The models in a type such as `list[Child] | None`, with the way to them: `[]`, `.NAME`."""
    annotation, said = _unwrap(annotation, list(metadata))
    for each in said:
        if isinstance(each, Of):
            yield f"{step}[]", each.model, each.more
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        more = next((each.more for each in said if isinstance(each, Beside)), "")
        yield step, annotation, more
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {list, tuple}:
        yield from _find_models(arguments[0], (), f"{step}[]")
    elif origin is dict:
        yield from _find_models(arguments[1], (), f"{step}.{NAME}")
    elif origin in {Union, UnionType}:
        for part in arguments:
            yield from _find_models(part, (), step)


@dataclass(frozen=True, slots=True)
class Beside:
    """In the type of a model: which keys others add to it, and where they are listed."""

    more: str


# -- values ---------------------------------------------------------------------------------------


def write_value(value: Any, words: str = "") -> str:
    """A value as YAML, on one line; `words` is its type, for numbers that are written with a unit."""
    if isinstance(value, SecretStr):
        return '"***"'
    if isinstance(value, Enum):
        return write_value(value.value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return _write_number(value, words)
    if isinstance(value, str):
        return write_text(value)
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_unset=True)
    inner = words.rpartition(" to ")[2] if isinstance(value, Mapping) else words
    if isinstance(value, Mapping):
        pairs = (f"{write_text(str(k))}: {write_value(v, inner)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return f"[{', '.join(write_value(each, inner) for each in value)}]"


def _write_number(number: float, words: str) -> str:
    if "duration" in words:
        return write_duration(number)
    if "percentage" in words:
        return f"{100 * number:.10g}%"
    if "size" in words:
        whole = (f"{int(number // size)}{unit}" for size, unit in _SIZES if number % size == 0)
        return min(whole, key=len, default=f"{number:.15g}")
    return f"{number:.15g}"


def write_duration(seconds: float) -> str:
    """Seconds as people write them: `90s`, `1h30m` as `90m`."""
    if seconds == 0:
        return "0s"
    for size, unit in _UNITS:
        count = seconds / size
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{seconds:.10g}s"


def write_text(text: str) -> str:
    """A text as YAML: in quotes where it would be something else without."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)


def find_example(said: FieldInfo, words: str, default: str) -> str:
    """How it is written, as YAML: what the option's author says, else what its type tells. Where the
    default shows it already, nothing.
    """
    if said.examples:
        first = said.examples[0]
        return first if isinstance(first, str) else write_value(first, words)
    if default not in {"", REQUIRED}:
        return ""
    plain = words.partition(",")[0]
    if words.startswith("one of "):
        return words.removeprefix("one of ").split(", ")[0]
    least = re.search(r", at least ([1-9]\S*?)(?:,|$)", words)
    if least is not None and plain in _COUNTED:
        return least[1]
    return _SAMPLES.get(plain, "")
