"""YAML as plain values with the line of every key. Strict: no duplicate keys, no tags, no alias
bombs, YAML 1.2 words.

YAML 1.1 reads `no` as false, `12:30:45` as 45045 and `0777` as 511; here they are what they look
like: text.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sentinel.errors import Problem

MAX_NODES = 100_000
MAX_DEPTH = 40
MAX_SIZE = 4 << 20
"""Bytes. Reading costs fifty times as much memory, and a running daemon reads, too."""
MAX_DIGITS = 18
"""A longer run of digits is a name, not a number."""
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")
}
_READ_AS_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "merge", "value")}
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_ENVIRONMENT = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)[^}])*))?\})")

Path_ = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """One file: its value, the line of every path in it, and what was wrong. Lines count from 1."""

    file: str
    value: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _unread: set[tuple[int, str]] = field(default_factory=set)

    def line(self, path: Path_) -> int:
        """Line of a path, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def add(self, path: Path_, message: str, remedy: str = "") -> None:
        """Note a problem at a path."""
        self.take(Problem(self.file, self.line(path), name_of(path), message, remedy))

    def take(self, problem: Problem) -> None:
        """Note a problem; what could not even be read is not judged a second time."""
        if (problem.line, problem.key) not in self._unread:
            self.problems.append(problem)

    def refuse(self, path: Path_, message: str, remedy: str) -> None:
        """Note a problem of reading: the value at this place is not known, and nothing more is said
        of it.
        """
        self.add(path, message, remedy)
        self._unread.add((self.line(path), name_of(path)))


def name_of(path: Path_) -> str:
    """`components.api.depends_on[0]` of ("components", "api", "depends_on", 0)."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(
        "."
    )


def read_document(path: Path, environment: Mapping[str, str], shown: str = "") -> Document:
    """Read one file; problems are collected, never raised."""
    document = Document(shown or str(path))
    text = _read_text(path, document)
    node = _compose(text, document) if text is not None else None
    if node is not None:
        _Builder(document, environment).build_root(node)
    return document


def _read_text(path: Path, document: Document) -> str | None:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            document.add((), "is no file", "move it elsewhere: every *.yaml of the folder is read")
            return None
        if facts.st_size > MAX_SIZE:
            document.add(
                (),
                f"is larger than {MAX_SIZE >> 20} MiB",
                "configuration is small: is it the right file?",
            )
            return None
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})"
        document.problems.append(
            Problem(document.file, line, "", message, "save the file as UTF-8")
        )
    except OSError as error:
        document.add((), f"can't be read: {error.strerror}", "check the path and its rights")
    return None


def _compose(text: str, document: Document) -> yaml.Node | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        line = _too_deep(yaml.parse(text, loader))
        if line:
            message = f"is nested more than {MAX_DEPTH} levels deep"
            remedy = "configuration is flat: mend the brackets"
            document.problems.append(Problem(document.file, line, "", message, remedy))
            return None
        nodes = list(yaml.compose_all(text, loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        message = f"is not YAML: {error.problem or error.context}"
        document.problems.append(
            Problem(document.file, line, "", message, "mend the syntax at this line")
        )
        return None
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        character = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"is not YAML: the character U+{character:04X} is not allowed"
        document.problems.append(Problem(document.file, line, "", message, "remove it"))
        return None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        document.add(
            (),
            f"is not YAML: {' '.join(str(error).split()) or type(error).__name__}",
            "mend the syntax",
        )
        return None
    if len(nodes) > 1:
        line = nodes[1].start_mark.line
        remedy = "one document for each file: remove the `---` lines"
        document.problems.append(Problem(document.file, line, "", "has several documents", remedy))
        return None
    return nodes[0] if nodes else None


def _too_deep(events: Iterable[yaml.Event]) -> int:
    """The line that is nested too deep, or 0.

    Counted over events: composing nodes recurses in C, and enough brackets would end the process.
    """
    depth = 0
    for event in events:
        depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
        if depth > MAX_DEPTH:
            return event.start_mark.line + 1 if event.start_mark else 1
    return 0


class _Builder:
    """Walks the node tree once."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._count = 0
        self._refused = False

    def build_root(self, node: yaml.Node) -> None:
        """Fill in the document's value."""
        value = self._build(node, (), 0)
        self._document.value = None if self._refused else value

    def _build(self, node: yaml.Node, path: Path_, depth: int) -> Any:
        self._count += 1
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            self._refuse(path)
            return None
        if not self._is_plain(node, path):
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path, depth))
        if isinstance(node, yaml.SequenceNode):
            return [self._build(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None

    def _refuse(self, path: Path_) -> None:
        """Said once: an alias that holds itself would say it on every path."""
        if not self._refused:
            self._refused = True
            self._count = MAX_NODES
            place = path[:3]
            self._document.add(
                place, "is too large or too deep to be configuration", "remove repeated aliases"
            )

    def _is_plain(self, node: yaml.Node, path: Path_) -> bool:
        plain = node.tag in _PLAIN_TAGS or node.tag in _READ_AS_TEXT
        if not plain:
            self._document.refuse(path, f"the tag {node.tag} is not allowed", "write plain values")
        return plain

    def _pairs(self, node: yaml.MappingNode, path: Path_, depth: int) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.add(path, "a key must be a word", "write `key: value`")
                continue
            if key in seen:
                message = f"the key `{key}` is given twice (first in line {seen[key]})"
                problem = Problem(
                    self._document.file, line, name_of((*path, key)), message, "keep one of them"
                )
                self._document.problems.append(problem)
                continue
            seen[key] = line
            self._document.lines[(*path, key)] = line
            yield key, self._build(value_node, (*path, key), depth + 1)

    def _scalar(self, node: yaml.ScalarNode, path: Path_) -> Any:
        text = str(node.value)
        if node.style in {None, ""}:
            if text in _WORDS:
                return _WORDS[text]
            if len(text) <= MAX_DIGITS and _INTEGER.fullmatch(text):
                return int(text)
            if len(text) <= MAX_DIGITS and _FLOAT.fullmatch(text):
                return float(text)
        return self._substitute(text, path)

    def _substitute(self, text: str, path: Path_) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match[2]
            if name is None:
                return "${"
            value = self._environment.get(name, match[3])
            if value is None:
                message = f"the environment variable {name} is not set"
                self._document.refuse(
                    path, message, f"export {name}=…, or write ${{{name}:-default}}"
                )
            return value or ""

        if "${" in _ENVIRONMENT.sub("", text):
            message = "holds a `${` that names no environment variable"
            self._document.refuse(
                path, message, "write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"
            )
        return _ENVIRONMENT.sub(replace, text)
