"""JSON that others wrote, and paths into it: what we would have to guess at, or can't bear, is our
limit and never their fault.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError, JSONPathMatch
from jsonpath.filter import BaseExpression, FilterQuery, FunctionExtension, StringLiteral
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.selectors import Filter

from sentinel.core.foreign.expression import MAX_WORK, InvalidExpression, compile_expression

MAX_DEPTH = 100
"""Levels of a document."""
MAX_STEPS = 50_000
"""Nodes that all paths into one document go over, each time that they do: 0.3 s of one core."""
MAX_PATH = 1000
"""Characters of a path."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class OwnLimit(ValueError):
    """The document may well be sound: we don't read it. The message says why."""


class InvalidPath(ValueError):
    """A text is no path that sentinel follows."""


# --- documents ----------------------------------------------------------------------------------


def read_foreign_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises OwnLimit, and another ValueError for what is no JSON.

    What readers disagree on is not judged: a key that stands twice, NaN, a number beyond a float.
    Halves of surrogate pairs become `?`, as no UTF-8 can hold them.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "replace")
    try:
        found = _DECODER.decode(text.removeprefix("\ufeff"))
        if _SURROGATE.search(text):
            plain = json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")
            found = json.loads(plain)
    except (OwnLimit, json.JSONDecodeError):
        raise
    except RecursionError as error:
        raise OwnLimit("it is nested too deep") from error
    except ValueError as error:
        raise OwnLimit("an integer of too many digits") from error
    if _is_deeper(found, MAX_DEPTH):
        raise OwnLimit(f"it is nested more than {MAX_DEPTH} levels deep")
    return found


def _read_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise OwnLimit(f"the key {twice[:60]!a} stands twice in one object")
    return found


def _read_float(word: str) -> float:
    number = float(word)
    if math.isinf(number):
        raise OwnLimit("a number too large for a float")
    return number


def _refuse_constant(word: str) -> Any:
    raise OwnLimit(f"{word} is no number of JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_pairs, parse_float=_read_float, parse_constant=_refuse_constant
)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for each in level for child in _children_of(each)]
        if not level:
            return False
    return True


def _children_of(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


# --- paths --------------------------------------------------------------------------------------


class _Steps:
    """What paths into one document may use up yet."""

    def __init__(self) -> None:
        self.left = MAX_STEPS
        self.work = MAX_WORK

    def spend(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise OwnLimit(f"the path goes over more than {MAX_STEPS:,} nodes of it")

    def visit(self, node: JSONPathMatch) -> None:
        """Each node has its whole path as text: keys of a megabyte are not written many times."""
        self.spend(1 + (len(node.path) >> 8))

    def admit(self, cost: int) -> None:
        self.work -= cost
        if self.work < 0:
            raise OwnLimit("its texts are too long for the expressions of the path")


class _Environment(JSONPathEnvironment):
    """RFC 9535 with its steps counted, and its `match` and `search` in linear time."""

    max_recursion_depth = MAX_DEPTH + 2

    def __init__(self) -> None:
        self.steps = _Steps()
        super().__init__(strict=True)

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Matching(self, whole=True)
        self.function_extensions["search"] = _Matching(self, whole=False)

    def is_truthy(self, obj: object) -> bool:
        self.steps.spend()
        return super().is_truthy(obj)

    def compare(self, left: object, operator: str, right: object) -> bool:
        self.steps.spend()
        if type(left) is type(right) and isinstance(left, str | Mapping | list):
            self._weigh(left)
        return super().compare(left, operator, right)

    def _weigh(self, value: Any) -> None:
        """To compare it takes so many steps: to weigh it, too, so they are spent on the way."""
        if isinstance(value, str):
            self.steps.spend(len(value) >> 10)
        for child in _children_of(value):
            self.steps.spend()
            self._weigh(child)


class _Matching(FilterFunction):
    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 - as its parent has it
    return_type = ExpressionType.LOGICAL

    def __init__(self, environment: _Environment, *, whole: bool) -> None:
        self._environment = environment
        self._whole = whole

    def __call__(self, value: object, pattern: object) -> bool:
        """As RFC 9535 has it, what is no expression matches nothing."""
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        try:
            expression = compile_expression(pattern)
        except InvalidExpression:
            return False
        self._environment.steps.admit(expression.cost(value))
        return expression.covers(value) if self._whole else expression.is_in(value)


class _Counted:
    """A segment of a path that tells its steps."""

    def __init__(self, segment: JSONPathSegment, environment: _Environment) -> None:
        self.selectors = segment.selectors
        self._segment = segment
        self._environment = environment

    def __str__(self) -> str:
        return str(self._segment)

    def resolve(self, nodes: Iterable[JSONPathMatch]) -> Iterator[JSONPathMatch]:
        steps, segment = self._environment.steps, self._segment
        for node in nodes:
            for place in segment._visit(node) if isinstance(segment, _Descent) else (node,):
                steps.visit(place)
                for selector in self.selectors:
                    for match in selector.resolve(place):
                        steps.visit(match)
                        yield match


_Descent = JSONPathRecursiveDescentSegment


def _compile(path: str, environment: _Environment) -> JSONPath:
    compiled = environment.compile(path)
    if not isinstance(compiled, JSONPath):
        raise InvalidPath("is several paths")
    _count(compiled, environment)
    return compiled


def _count(path: JSONPath, environment: _Environment) -> None:
    """Have all segments tell their steps, those of the paths in filters, too."""
    for segment in path.segments:
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                _count_in(selector.expression, environment)
    path.segments = tuple(_Counted(each, environment) for each in path.segments)  # type: ignore[misc]


def _count_in(expression: BaseExpression, environment: _Environment) -> None:
    if isinstance(expression, FilterQuery):
        _count(expression.path, environment)
        return
    if isinstance(expression, FunctionExtension) and expression.name in {"match", "search"}:
        wanted = expression.args[1]
        if isinstance(wanted, StringLiteral):
            compile_expression(wanted.value)
    for child in expression.children():
        _count_in(child, environment)


def check_path(path: str) -> str:
    """The path, when sentinel can follow it. Raises InvalidPath, InvalidExpression."""
    if len(path) > MAX_PATH:
        raise InvalidPath(f"is no JSON path of at most {MAX_PATH} characters")
    try:
        _compile(path, _Environment())
    except JSONPathError as error:
        said = str(error).partition("\n")[0]
        raise InvalidPath(f"{path[:60]!r} is no JSON path: {said[:200]}") from error
    return path


class ForeignDocument:
    """A value that `read_foreign_json` gave; all paths into it share one bound."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._environment = _Environment()

    def find(self, path: str) -> Sequence[tuple[str, Any]]:
        """What a path that `check_path` took leads to: (normalized path, value), in order. Raises
        OwnLimit.
        """
        compiled = _compile(path, self._environment)
        root = JSONPathMatch(
            filter_context={}, obj=self._value, parent=None, path="$", parts=(), root=self._value
        )
        nodes: Iterable[JSONPathMatch] = [root]
        for segment in compiled.segments:
            nodes = segment.resolve(nodes)
        try:
            return [(node.path, node.obj) for node in nodes]
        except (JSONPathError, RecursionError) as error:
            raise OwnLimit(f"{path} can't be followed in it: {error}") from error
