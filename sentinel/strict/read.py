"""YAML as plain values with the line of every key. Strict: no duplicate keys, no tags, no alias
bombs, YAML 1.2 words.

YAML 1.1 reads `no` as false, `12:30:45` as 45045 and `0777` as 511; here they are what they look
like: text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from sentinel.strict.environment import find_variables, substitute
from sentinel.strict.file import UnreadableFile, read_regular_file
from sentinel.strict.folder import digest_file
from sentinel.strict.place import Document, KeyPath

MAX_DIGITS = 18
"""A longer run of digits is a name, not a number."""
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in (
        *("map", "seq", "str", "int", "float", "bool", "null"),
        *("timestamp", "merge", "value"),  # read as text
    )
}
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
    known = len(document.problems)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        _Builder(loader.get_event, document, environment, limits).build()
    except _REFUSED as error:  # of a text that is none, nothing that was seen in it counts
        document.value = None
        document.lines.clear()
        document.references.clear()
        del document.problems[known:]
        document.note(*_explain(error, text))
    finally:
        loader.dispose()


class _Unfit(Exception):
    """Nothing is made of a text: line, key, message and remedy."""


_REFUSED = (_Unfit, yaml.YAMLError, ValueError, RecursionError)


def _explain(error: BaseException, text: str) -> tuple[int, str, str, str]:
    """Line, key, message and remedy."""
    if isinstance(error, _Unfit):
        line, key, message, remedy = error.args
        return line, key, message, remedy
    if isinstance(error, yaml.MarkedYAMLError):
        mark: Any = error.problem_mark or error.context_mark
        # What is open at the end of a text is told in its last line, not in the one after it.
        line = min(mark.line, text.count("\n")) + 1 if mark else 0
        message = f"is not YAML: {error.problem or error.context}"
        return line, "", message, "mend the syntax at this line"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.encode().count(b"\n", 0, error.position) + 1
        character = error.character if isinstance(error.character, int) else ord(error.character)
        return line, "", f"is not YAML: the character U+{character:04X} is not allowed", "remove it"
    said = " ".join(str(error).split()) or type(error).__name__
    return 0, "", f"is not YAML: {said}", "mend the syntax"


@dataclass(slots=True)
class _Named:
    """What an anchor names: its place and its events; `open` until its end was seen."""

    path: KeyPath
    events: list[Any]
    open: bool = True


class _TooMuch(Exception):
    """So large that it is looked at no further."""


class _Builder:
    """Makes the value of a text from its events, in one pass: a tree of nodes would cost twice as
    much as all the rest, and is composed by a recursion that enough brackets overrun.
    """

    def __init__(
        self,
        get: Callable[[], Any],
        document: Document,
        environment: Mapping[str, str] | None,
        limits: ReadLimits,
    ) -> None:
        self._get = get
        self._document = document
        self._lines = document.lines
        self._environment = environment
        self._limits = limits
        self._count = 0
        self._depth = 0
        self._anchors: dict[str, _Named] = {}
        self._recordings: list[list[Any]] = []
        """Of what has an anchor and has not ended."""
        self._replaying = False
        self._texts: dict[str, str] = {}
        """Of equal texts the first: ten thousand checks say `tcp` and name a thousand components."""

    def build(self) -> None:
        """Fill in the document's value. Raises one of `_REFUSED`."""
        value, begun = None, False
        while type(event := self._take()) is not yaml.StreamEndEvent:
            if isinstance(event, yaml.DocumentStartEvent):
                if begun:
                    self._see_the_rest()
                    remedy = "one document for each file: remove the `---` lines"
                    raise _Unfit(_line(event), "", "has several documents", remedy)
                begun = True
                try:
                    value = self._build(self._take(), ())
                except _TooMuch:
                    self._see_the_rest()
                    return
        self._document.value = value

    def _see_the_rest(self) -> None:
        """What is wrong with the text as a whole comes first."""
        while type(self._take()) is not yaml.StreamEndEvent:
            pass

    def _take(self) -> Any:
        """The next event. Raises _Unfit."""
        event = self._get()
        kind = type(event)
        if kind in _STARTS:
            self._depth += 1
            if self._depth > self._limits.depth:
                message = f"is nested more than {self._limits.depth} levels deep"
                line = event.start_mark.line + 1
                raise _Unfit(line, "", message, f"{self._limits.what} is flat: mend the brackets")
        elif kind in _ENDS:
            self._depth -= 1
        if not self._limits.aliases and getattr(event, "anchor", None):
            message = "anchors and aliases (& and *) are not allowed"
            line = event.start_mark.line + 1
            raise _Unfit(line, "", message, "write the values out, or quote the text")
        for recording in self._recordings:
            recording.append(event)
        return event

    def _build(self, event: Any, path: KeyPath) -> Any:
        """The value that begins with an event."""
        if event.anchor is not None:
            return self._build_named(event, path)
        return self._build_plain(event, path)

    def _build_named(self, event: Any, path: KeyPath) -> Any:
        """What has an anchor, or is meant by one."""
        name = event.anchor
        known = self._anchors.get(name)
        if type(event) is yaml.AliasEvent:
            if known is None:
                raise _undefined(event)
            if known.open:  # it holds itself
                around = path[len(known.path) :]
                self._refuse((*path, *around, *around))
            return self._replay(known.events, path)
        if self._replaying:  # it has been named already
            return self._build_plain(event, path)
        if known is not None:
            raise _duplicate(event)
        named = self._anchors[name] = _Named(path, [event])
        self._recordings.append(named.events)
        value = self._build_plain(event, path)
        self._recordings.remove(named.events)
        named.open = False
        return value

    def _replay(self, events: list[Any], path: KeyPath) -> Any:
        """What an alias stands for, built anew at its own place."""
        before = self._get, self._recordings, self._replaying
        follow = iter(events)
        self._get, self._recordings, self._replaying = follow.__next__, [], True
        try:
            return self._build(self._take(), path)
        finally:
            self._get, self._recordings, self._replaying = before

    def _build_plain(self, event: Any, path: KeyPath) -> Any:
        self._count += 1
        if path not in self._lines:
            self._lines[path] = event.start_mark.line + 1
        if self._count > self._limits.nodes or len(path) > self._limits.depth:
            self._refuse(path)
        kind, tag = type(event), event.tag
        if tag is not None and tag != "!" and tag not in _PLAIN_TAGS:
            self._document.at(*path).refuse(f"the tag {tag} is not allowed", "write plain values")
            self._skip(event)
            return None
        if kind is yaml.ScalarEvent:
            return self._scalar(event, path)
        if kind is yaml.MappingStartEvent:
            return self._mapping(path)
        found: list[Any] = []
        while type(item := self._take()) is not yaml.SequenceEndEvent:
            found.append(self._build(item, (*path, len(found))))
        return found

    def _refuse(self, path: KeyPath) -> NoReturn:
        self._document.at(*path[:3]).note(
            f"is too large or too deep to be {self._limits.what}", "remove repeated aliases"
        )
        raise _TooMuch

    def _skip(self, event: Any) -> None:
        """Go over a value that nobody wants."""
        depth = int(type(event) in _STARTS)
        while depth:
            kind = type(self._take())
            depth += (kind in _STARTS) - (kind in _ENDS)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines = self._lines
        while type(event := self._take()) is not yaml.MappingEndEvent:
            line = event.start_mark.line + 1
            key = self._key(event)
            value = self._take()
            if key is None:
                self._document.at(*path).note("a key must be a word", "write `key: value`")
                self._skip(value)
                continue
            child = (*path, key)
            if key in found:
                message = f"the key `{key}` is given twice (first in line {lines[child]})"
                self._document.note(
                    line, self._document.at(*child).key, message, "keep one of them"
                )
                self._skip(value)
                continue
            found[key] = None
            lines[child] = line
            found[key] = self._build(value, child)
        return found

    def _key(self, event: Any) -> str | None:
        """The word of a key; None for what is none."""
        if event.anchor is not None:
            event = self._name_key(event)
        if type(event) is yaml.ScalarEvent:
            return str(event.value)
        self._skip(event)
        return None

    def _name_key(self, event: Any) -> Any:
        """The event of a key that has an anchor, or is meant by one."""
        name = event.anchor
        known = self._anchors.get(name)
        if type(event) is yaml.AliasEvent:
            if known is None:
                raise _undefined(event)
            return known.events[0] if len(known.events) == 1 else event
        if type(event) is yaml.ScalarEvent and not self._replaying:
            if known is not None:
                raise _duplicate(event)
            self._anchors[name] = _Named((), [event], open=False)
        return event

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text = event.value
        if not event.style:  # plain
            if text in _WORDS:
                return _WORDS[text]
            if len(text) <= MAX_DIGITS and text[-1] in _MAY_END_A_NUMBER:
                if _INTEGER.fullmatch(text):
                    return int(text)
                if _FLOAT.fullmatch(text):
                    return float(text)
        if self._environment is None or "$" not in text:
            return self._texts.setdefault(text, text)
        place = self._document.at(*path)
        if names := find_variables(text):
            self._document.references[path] = names
        return substitute(text, place, self._environment)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _undefined(event: Any) -> yaml.YAMLError:
    return yaml.composer.ComposerError(None, None, "found undefined alias", event.start_mark)


def _duplicate(event: Any) -> yaml.YAMLError:
    return yaml.composer.ComposerError(None, None, "found duplicate anchor", event.start_mark)


_MAY_END_A_NUMBER = frozenset("0123456789.")
