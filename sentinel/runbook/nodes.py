"""YAML nodes with line numbers → plain values, every problem collected with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

from sentinel.core.quantity import parse_duration
from sentinel.errors import Problem

_TEXT, _TRUTH, _WHOLE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
_NOTHING = "tag:yaml.org,2002:null"
MAX_FRONT_MATTER = 64 * 1024
MAX_DEPTH = 20
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


@dataclass(slots=True)
class Notes:
    """The problems of one file. `shift` turns a node's line (from 0) into the file's line (from 1)."""

    file: str
    shift: int = 2
    problems: list[Problem] = field(default_factory=list)

    def add(self, node: yaml.Node | int, key: str, message: str, remedy: str = "") -> None:
        """Note one problem at a node or a line."""
        line = node if isinstance(node, int) else self.line(node)
        self.problems.append(Problem(self.file, line, key, message, remedy))

    def line(self, node: yaml.Node) -> int:
        """The line of a node in its file."""
        return int(node.start_mark.line) + self.shift


def compose(text: str, notes: Notes) -> yaml.MappingNode | None:
    """The mapping that a front matter is, or None with the problem noted. Aliases are refused: no
    bombs.
    """
    if len(text) > MAX_FRONT_MATTER:
        notes.add(
            1,
            "",
            f"the front matter is longer than {MAX_FRONT_MATTER // 1024} KiB",
            "move text into the sections",
        )
        return None
    try:
        refusal = _refuse_tokens(text)
        if refusal:
            notes.add(1, "", refusal, "write the values out, or quote the text")
            return None
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + notes.shift if error.problem_mark else 1
        notes.add(
            line, "", f"not YAML: {error.problem}", "quote texts with `: `, `{` or `#` in them"
        )
        return None
    except yaml.YAMLError as error:
        notes.add(
            1,
            "",
            f"not YAML: {' '.join(str(error).split())[:200]}",
            "correct the text between the --- lines",
        )
        return None
    if not isinstance(node, yaml.MappingNode):
        notes.add(
            1,
            "",
            "the front matter is no mapping",
            "write `key: value` lines between the --- lines",
        )
        return None
    return node


def _refuse_tokens(text: str) -> str:
    """Why a text is refused before anything is made of it: aliases can explode, deep nesting costs
    quadratic time.
    """
    depth = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            return "anchors and aliases (& and *) are not allowed"
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} deep"
    return ""


def mapping(
    node: yaml.Node,
    where: str,
    notes: Notes,
    *,
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> dict[str, yaml.Node]:
    """The entries of a mapping by key; unknown, missing and double keys are noted."""
    if not isinstance(node, yaml.MappingNode):
        notes.add(node, where, "must be a mapping")
        return {}
    required, known = list(required), [*required, *optional]
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = str(key_node.value)
        place = f"{where}.{key}" if where else key
        if key in found:
            notes.add(key_node, place, "is given twice", "remove one")
        elif key not in known:
            notes.add(key_node, place, "unknown key", f"known here: {', '.join(sorted(known))}")
        found.setdefault(key, value)
    for key in required:
        if key not in found:
            notes.add(node, f"{where}.{key}" if where else key, "is missing", "add it")
    return {key: value for key, value in found.items() if key in known}


def sequence(node: yaml.Node | None, where: str, notes: Notes) -> list[yaml.Node]:
    """The items of a list; of nothing, none."""
    if node is None:
        return []
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    notes.add(node, where, "must be a list", "write it as [a, b] or as lines with `- `")
    return []


def text(node: yaml.Node | None, where: str, notes: Notes, default: str = "") -> str:
    """A text; numbers and `no` have to be quoted."""
    if node is None:
        return default
    if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT:
        if not node.value.strip():
            notes.add(node, where, "is empty")
        return str(node.value)
    shown = f"{node.value!r} " if isinstance(node, yaml.ScalarNode) else ""
    notes.add(node, where, f"{shown}is no text", "put it in quotes")
    return default


def texts(node: yaml.Node | None, where: str, notes: Notes) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(
        text(item, f"{where}[{n}]", notes) for n, item in enumerate(sequence(node, where, notes))
    )


def truth(node: yaml.Node | None, where: str, notes: Notes, *, default: bool = False) -> bool:
    """`true` or `false`."""
    if node is None:
        return default
    if (
        isinstance(node, yaml.ScalarNode)
        and node.tag == _TRUTH
        and node.value.lower() in {"true", "false"}
    ):
        return bool(node.value.lower() == "true")
    notes.add(node, where, "must be true or false")
    return default


def duration(node: yaml.Node | None, where: str, notes: Notes, default: float) -> float:
    """Seconds of a duration with its unit."""
    if node is None:
        return default
    try:
        return parse_duration(
            node.value if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT else object()
        )
    except ValueError:
        notes.add(node, where, "is no duration", "write a number with a unit, such as 10s or 2m")
        return default


def scalar(node: yaml.Node | None, where: str, notes: Notes) -> str | None:
    """A text or a whole number, as text; of nothing or null, None."""
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _NOTHING):
        return None
    if isinstance(node, yaml.ScalarNode) and node.tag in {_TEXT, _WHOLE}:
        return str(node.value)
    notes.add(node, where, "must be a text or a whole number", "put it in quotes")
    return None
