"""What the texts of the product tell a person to type, to set and to open, collected from its files.

A *text* is what somebody may read: string literals of the package without docstrings (an f-string
with `{…}` for what is put in), Markdown, comments of YAML, SQL and ACL, templates, rules, dashboards. A *word* is
what a text marks as to be taken literally: between backticks, or on a line of a fenced block.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
GUIDES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile")
FOLDERS = ("docs", "runbooks", "checks", "dashboards", "sentinel")
COMMENTED = {".yaml", ".yml", ".acl", ".sql", ".lua"}
WHOLE = {".md", ".j2", ".js"}
FOREIGN = {"uplot.js"}
"""Files of others that are shipped as they are."""
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) )")
_SHELL = {"", "sh", "bash", "console"}


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a text says; `place` is file and line. `typed`: it stands where commands stand,
    in a fence; `code`: in the package.
    """

    place: str
    text: str
    typed: bool = False
    code: bool = False


@cache
def list_texts() -> tuple[Said, ...]:
    """Every text of the product."""
    return tuple(each for path in _list_paths() for each in _read(path))


def _list_paths() -> Iterator[Path]:
    yield from (ROOT / name for name in GUIDES)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if "rules/tests" in str(path) or path.name in FOREIGN:
                continue
            if path.is_file() and path.suffix in {".py", ".json", *COMMENTED, *WHOLE}:
                yield path


def _read(path: Path) -> Iterator[Said]:
    place, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
    if path.suffix == ".py":
        yield from (Said(f"{place}:{line}", found, code=True) for line, found in _literals(text))
    elif path.suffix == ".json":
        yield from (Said(place, each) for each in _values(json.loads(text)) if " " in each)
    elif path.suffix in COMMENTED:
        for number, line in enumerate(text.splitlines(), 1):
            found = re.search(r"(?:^|\s)(?:#|--) ?(.*)", line)
            if found:
                yield Said(f"{place}:{number}", found[1])
        if path.suffix in {".yaml", ".yml"}:
            yield from (Said(place, each) for each in _values(yaml.safe_load(text)) if " " in each)
    else:
        yield Said(place, text)


def _values(value: object) -> Iterator[str]:
    """Every text in a document, but the rules of Prometheus."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            if key != "expr":
                yield from _values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each)


def _literals(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of string literals that are no docstrings; parts that are written side by side,
    or joined by +, are one.
    """
    tree = ast.parse(source)
    skipped = {
        each.value
        for node in ast.walk(tree)
        for each in (getattr(node, "body", None) if isinstance(node, _BLOCKS) else None) or ()
        if isinstance(each, ast.Expr)
    }
    yield from _walk(tree, skipped)


_BLOCKS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _walk(node: ast.AST, skipped: set[ast.expr]) -> Iterator[tuple[int, str]]:
    if node in skipped and isinstance(node, ast.Constant):
        return
    if isinstance(node, ast.expr) and (text := _join(node)) is not None:
        yield node.lineno, text
    if not isinstance(node, ast.Constant | ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.BinOp) and _join(node) is not None):
                yield from _walk(child, skipped)
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _walk(part.value, skipped)


def _join(node: ast.expr) -> str | None:
    """The text of a literal; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{_name(part)}}}"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _join(node.left), _join(node.right)
        return left + right if left is not None and right is not None else None
    return None


def _name(part: ast.expr) -> str:
    """What stands for a value that is put in: the last name of its expression."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    names = [each.attr for each in ast.walk(value) if isinstance(each, ast.Attribute)]
    names += [each.id for each in ast.walk(value) if isinstance(each, ast.Name)]
    return names[0] if names else "x"


def list_words() -> Iterator[Said]:
    """Everything between backticks, and every line of a fence that is no program's source."""
    for said in list_texts():
        outside = _FENCE.sub("\n\n", said.text) if not said.code else said.text
        for paragraph in _PARAGRAPH.split(outside):
            for found in _SPAN.finditer(paragraph):
                yield Said(said.place, " ".join(found[1].split()), code=said.code)
        if said.code:
            continue
        for language, block in _FENCE.findall(said.text):
            if language in _SHELL:
                for line in block.replace("\\\n", " ").splitlines():
                    if line.strip():
                        yield Said(said.place, line.strip(), typed=True)


# -- what a word is --------------------------------------------------------------------------------

SENTINEL, MAKE, PIP, REDIS, SQL, SHELL = "sentinel", "make", "pip", "redis", "sql", "shell"
YAML, OPTION, SHAPE = "yaml", "option", "shape"
REDIS_WORDS = frozenset(
    {
        "ACL", "BGSAVE", "CLIENT", "CLUSTER", "CONFIG", "DEL", "EVAL", "EXISTS", "FLUSHALL", "INFO",
        "KEYS", "LLEN", "LRANGE", "OBJECT", "PERSIST", "PEXPIRE", "REPLICAOF", "SCAN", "SCRIPT",
        "SLOWLOG", "TYPE", "UNLINK", "XACK", "XADD", "XAUTOCLAIM", "XCLAIM", "XDEL", "XGROUP", "XINFO",
        "XLEN", "XPENDING", "XRANGE", "XREAD", "XREADGROUP", "XREVRANGE", "XSETID", "XTRIM", "ZRANGE",
        "ZSCORE", "ZREM",
    }
)  # fmt: skip
SQL_WORDS = frozenset(
    {
        "ALTER", "ANALYZE", "COMMIT", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "REINDEX", "REVOKE",
        "ROLLBACK", "SELECT", "SET", "UPDATE", "VACUUM",
    }
)  # fmt: skip
PROGRAMS = frozenset(
    {
        "amtool", "chronyc", "coredumpctl", "curl", "date", "dmesg", "docker", "export", "free", "getent",
        "journalctl", "kill", "mount", "nc", "openssl", "perf", "prometheus", "promtool", "ps", "psql",
        "py-spy", "python", ".venv/bin/python", "redis-cli", "sqlite3", "ss", "systemctl", "ulimit",
    }
)  # fmt: skip
_COMMAND = re.compile(r"[a-z.][\w./-]*")
_OPTION = re.compile(r"--[a-z][\w-]*(?:[ =][A-Z:]+)?")
_YAML = re.compile(r"(?:- )?[\w{}-]+:(?: .*)?|\[\{.*\}\]|\{[\w ]+: .*\}|- .*: .*")


def classify(word: str) -> str:
    """What kind of thing a word of several words, or with a mark of its own, is; "" when nobody
    knows.
    """
    first, _, rest = word.partition(" ")
    if first == "sentinel" and rest:
        return SENTINEL
    if first in {"make", "pip"} and rest:
        return first
    if first in REDIS_WORDS and first.isupper():
        return REDIS
    if first in SQL_WORDS and rest:
        return SQL
    if first in PROGRAMS:
        return SHELL
    if _OPTION.fullmatch(word):
        return OPTION
    return YAML if _YAML.fullmatch(word) and first != "…" else ""


# -- commands for servers in the code ------------------------------------------------------------

_ARGUMENT = r"(?:\{\w+\}|\(?\{\w+\}|[A-Z]+(?:-[A-Z]+)*|[-+*~$]|-?\d[\d-]*|<[^>]*>|[\w.:-]+-[\w-]+)"
_REDIS_SHAPE = re.compile(
    rf"\bCONFIG SET \S+ \w+|(?<!# )\b(?:{'|'.join(sorted(REDIS_WORDS))})(?: {_ARGUMENT}(?![\w'’]))*(?:; ?(?=X))?"
)
_STATEMENT = re.compile(
    r"\b(?:ALTER (?:DATABASE|ROLE|TABLE)|ANALYZE \{|CREATE (?:INDEX|STATISTICS)|GRANT"
    r"|REINDEX (?:INDEX|DATABASE)|SELECT pg_terminate|DROP POLICY|VACUUM \([A-Z, ]+\) \{)[^;]*;"
)


def list_shapes(kind: str) -> Iterator[str]:
    """Commands for Redis, or statements, that texts of the package show: with their marks."""
    for said in list_texts():
        if not said.code or " " not in said.text:
            continue
        if kind == SQL:
            yield from (found[0] for found in _STATEMENT.finditer(said.text))
        elif not re.search("/queries.py|/store/|/demo/", said.place) and "SELECT" not in said.text:
            yield from (found[0].strip() for found in _REDIS_SHAPE.finditer(said.text))
