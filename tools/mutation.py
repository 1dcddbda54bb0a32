"""Guards of a source text, each changed in one place: what a test should notice.

Changed are conditions (negated), comparisons (`<` and `<=`, `==` and `!=` …), `and` and `or`,
`min` and `max`, whole numbers that something is compared with (one more, one less), and guards
that leave early (as if they were not there). Left alone is what only makes text or log lines,
`assert`, `__all__` and what only the type checker reads: a test that noticed it would be a bad one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_SWAPS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_EXTREMES = {"min": "max", "max": "min"}
_LOGS = {"log", "_log", "logger", "logging"}
_OF_TEXT = {"__repr__", "__str__", "__format__"}
_LEAVES = ast.Return | ast.Raise | ast.Continue | ast.Break


@dataclass(frozen=True, slots=True, order=True)
class Mutation:
    """`new` in place of the bytes from `start` to `end`; `line` is that of the guard."""

    line: int
    kind: str
    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        """The changed text."""
        data = text.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()

    def is_another(self, text: str) -> bool:
        """The changed text is a program, and not the same one."""
        try:
            return ast.dump(ast.parse(self.apply(text))) != ast.dump(ast.parse(text))
        except SyntaxError:
            return False


def find_mutations(text: str) -> list[Mutation]:
    """Every change of a guard in `text`, by line; none for a text without guards."""
    original = _Original(text)
    found = (change for node in walk_code(ast.parse(text)) for change in _change(node, original))
    return sorted(set(found))


def walk_code(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and all below it, without what only makes text, log lines or types."""
    if _is_silent(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk_code(child)


class _Original:
    """A source text with places as the parser gives them: lines from 1, columns in UTF-8 bytes."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self._starts = [0]
        for line in self._data.split(b"\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Where the text of `node` begins and ends."""
        assert node.end_lineno is not None, "the parser knows all ends"
        assert node.end_col_offset is not None, "the parser knows all ends"
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        return self._starts[node.lineno - 1] + node.col_offset, end

    def replace(self, kind: str, node: ast.expr, form: str) -> Mutation:
        """`form` in place of `node`, whose own text stands where the form has `{}`."""
        start, end = self.span(node)
        new = form.replace("{}", self._data[start:end].decode())
        return Mutation(node.lineno, kind, start, end, new)

    def swap(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Mutation]:
        """Another operator between two operands; nothing where a comment stands between them."""
        start, end = self.span(left)[1], self.span(right)[0]
        pattern = rb"\s+".join(re.escape(word).encode() for word in old.split())
        between = self._data[start:end]
        found = None if b"#" in between else re.search(pattern, between)
        if found:
            first, last = start + found.start(), start + found.end()
            yield Mutation(left.lineno, f"{old} → {new}", first, last, new)


def _change(node: ast.AST, original: _Original) -> Iterator[Mutation]:
    match node:
        case ast.If(test=test) if _is_guard(node):
            yield original.replace("negate", test, "not ({})")
            # Still evaluated: it may bind a name.
            yield original.replace("drop", test, "(({}) and False)")
        case ast.If(test=test) | ast.IfExp(test=test) | ast.match_case(guard=ast.expr() as test):
            yield original.replace("negate", test, "not ({})")
        case ast.comprehension(ifs=tests):
            yield from (original.replace("negate", test, "not ({})") for test in tests)
        case ast.Compare():
            yield from _change_comparison(node, original)
        case ast.BoolOp(values=values, op=sign):
            old, new = ("and", "or") if isinstance(sign, ast.And) else ("or", "and")
            for left, right in pairwise(values):
                yield from original.swap(left, right, old, new)
        case ast.Call(func=ast.Name(id="min" | "max" as name) as func):
            yield original.replace(f"{name} → {_EXTREMES[name]}", func, _EXTREMES[name])


def _change_comparison(node: ast.Compare, original: _Original) -> Iterator[Mutation]:
    operands = [node.left, *node.comparators]
    for (left, right), sign in zip(pairwise(operands), node.ops, strict=True):
        yield from original.swap(left, right, *_SWAPS[type(sign)])
    for operand in operands:
        if isinstance(operand, ast.Constant) and type(operand.value) is int:
            for step in (-1, 1):
                value = operand.value + step
                yield original.replace(f"{operand.value} → {value}", operand, str(value))


def _is_guard(node: ast.If) -> bool:
    """It leaves early, and there is nothing else to it."""
    return not node.orelse and isinstance(node.body[-1], _LEAVES)


def _is_silent(node: ast.AST) -> bool:
    """Nothing but text, log lines or types comes of it."""
    match node:
        case ast.JoinedStr() | ast.Assert():
            return True
        case ast.FunctionDef(name=name, returns=ast.Name(id="str")):
            return name in _OF_TEXT or _only_writes(node)
        case ast.IfExp(body=yes, orelse=no) if _says(yes) and _says(no):
            return _is_text(yes) or _is_text(no)
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
        case ast.If(body=body, orelse=[]):
            return all(_is_log(statement) for statement in body)
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Expr():
            return _is_log(node)
    return False


def _only_writes(function: ast.FunctionDef) -> bool:
    """Every result is a sentence. One that may be empty says no with it: that is a decision."""
    results = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return all(_is_text(value) for value in results)


def _is_text(node: ast.expr | None) -> bool:
    """A sentence or a part of one. A word alone is a decision as well as a text."""
    match node:
        case ast.JoinedStr():
            return True
        case ast.Constant(value=str() as text):
            return " " in text
        case ast.IfExp(body=yes, orelse=no):
            return _is_text(yes) and _is_text(no)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant())):
            return True
    return False


def _says(node: ast.expr) -> bool:
    """A string that is not empty."""
    is_word = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ""
    return is_word or isinstance(node, ast.JoinedStr)


def _is_log(node: ast.stmt) -> bool:
    """A statement that only writes a log line."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in _LOGS
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name)))):
            return name in _LOGS
    return False
