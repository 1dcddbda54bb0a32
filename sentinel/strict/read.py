"""YAML as plain values with the line of every key. Strict: no duplicate keys, no tags, no alias
bombs, YAML 1.2 words.

YAML 1.1 reads `no` as false, `12:30:45` as 45045 and `0777` as 511; here they are what they look
like: text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sentinel.strict.environment import find_variables, substitute
from sentinel.strict.file import UnreadableFile, read_regular_file
from sentinel.strict.folder import digest_file
from sentinel.strict.place import Document, Place

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


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of what is read at most. `size` in bytes; `what` it is, as it is called to people.

    Reading costs fifty times as much memory as the text has bytes, and a running daemon reads, too.
    """

    what: str = "configuration"
    size: int = 4 << 20
    depth: int = 40
    nodes: int = 100_000
    aliases: bool = True


CONFIGURATION = ReadLimits()


def read_document(
    path: Path, environment: Mapping[str, str] | None = None, limits: ReadLimits = CONFIGURATION
) -> Document:
    """Read one file; problems are collected, never raised.

    Without an `environment`, a `${` is text like any other.
    """
    document = Document(str(path))
    text = read_text(path, document, limits)
    if text is not None:
        read_yaml(text, document, environment, limits)
    return document


def read_text(path: Path, document: Document, limits: ReadLimits = CONFIGURATION) -> str | None:
    """The text of a regular file of bounded size in UTF-8; None with the problem noted."""
    try:
        data = read_regular_file(path, limits.size).data
        document.digest = digest_file(data)
    except UnreadableFile as error:
        document.note(0, "", error.message, error.guidance)
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})"
        document.note(line, "", message, "save the file as UTF-8")
        return None


def read_yaml(
    text: str,
    document: Document,
    environment: Mapping[str, str] | None = None,
    limits: ReadLimits = CONFIGURATION,
) -> None:
    """Fill a document in with the value of a text; problems are collected, never raised."""
    node = _compose(text, document, limits)
    if node is not None:
        _Builder(document, environment, limits).build_root(node)


def _compose(text: str, document: Document, limits: ReadLimits) -> yaml.Node | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        refusal = _refuse_events(yaml.parse(text, loader), limits)
        if refusal is not None:
            document.note(*refusal)
            return None
        nodes = list(yaml.compose_all(text, loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        # What is open at the end of a text is told in its last line, not in the one after it.
        line = min(mark.line, text.count("\n")) + 1 if mark else 0
        document.note(line, "", message, "mend the syntax at this line")
        return None
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        character = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"is not YAML: the character U+{character:04X} is not allowed"
        document.note(line, "", message, "remove it")
        return None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        document.note(0, "", f"is not YAML: {said}", "mend the syntax")
        return None
    if len(nodes) > 1:
        remedy = "one document for each file: remove the `---` lines"
        document.note(nodes[1].start_mark.line, "", "has several documents", remedy)
        return None
    return nodes[0] if nodes else None


def _refuse_events(
    events: Iterable[yaml.Event], limits: ReadLimits
) -> tuple[int, str, str, str] | None:
    """Why nothing is made of a text: line, key, message and remedy; None when it is fine.

    Judged over events: composing nodes recurses in C, and enough brackets would end the process.
    """
    depth = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if not limits.aliases and getattr(event, "anchor", None):
            message = "anchors and aliases (& and *) are not allowed"
            return line, "", message, "write the values out, or quote the text"
        depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
        if depth > limits.depth:
            message = f"is nested more than {limits.depth} levels deep"
            return line, "", message, f"{limits.what} is flat: mend the brackets"
    return None


class _Builder:
    """Walks the node tree once."""

    def __init__(
        self, document: Document, environment: Mapping[str, str] | None, limits: ReadLimits
    ) -> None:
        self._document = document
        self._environment = environment
        self._limits = limits
        self._count = 0
        self._refused = False

    def build_root(self, node: yaml.Node) -> None:
        """Fill in the document's value."""
        value = self._build(node, self._document.at())
        self._document.value = None if self._refused else value

    def _build(self, node: yaml.Node, place: Place) -> Any:
        self._count += 1
        self._document.lines.setdefault(place.path, node.start_mark.line + 1)
        if self._count > self._limits.nodes or len(place.path) > self._limits.depth:
            self._refuse(place)
            return None
        if not _is_plain(node, place):
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, place))
        if isinstance(node, yaml.SequenceNode):
            return [self._build(child, place / i) for i, child in enumerate(node.value)]
        return self._scalar(node, place) if isinstance(node, yaml.ScalarNode) else None

    def _refuse(self, place: Place) -> None:
        """Said once: an alias that holds itself would say it on every path."""
        if not self._refused:
            self._refused = True
            self._count = self._limits.nodes
            self._document.at(*place.path[:3]).note(
                f"is too large or too deep to be {self._limits.what}", "remove repeated aliases"
            )

    def _pairs(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                place.note("a key must be a word", "write `key: value`")
                continue
            child = place / key
            if key in seen:
                message = f"the key `{key}` is given twice (first in line {seen[key]})"
                self._document.note(line, child.key, message, "keep one of them")
                continue
            seen[key] = line
            self._document.lines[child.path] = line
            yield key, self._build(value_node, child)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text = str(node.value)
        if node.style in {None, ""}:
            if text in _WORDS:
                return _WORDS[text]
            if len(text) <= MAX_DIGITS and _INTEGER.fullmatch(text):
                return int(text)
            if len(text) <= MAX_DIGITS and _FLOAT.fullmatch(text):
                return float(text)
        if self._environment is None:
            return text
        if names := find_variables(text):
            self._document.references[place.path] = names
        return substitute(text, place, self._environment)


def _is_plain(node: yaml.Node, place: Place) -> bool:
    plain = node.tag in _PLAIN_TAGS or node.tag in _READ_AS_TEXT
    if not plain:
        place.refuse(f"the tag {node.tag} is not allowed", "write plain values")
    return plain
