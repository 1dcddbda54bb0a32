"""The memory of thousands of flows as a compact document: one text for each type and status, one
line for each flow.

A line is kept until the memory of its flow changes, so that a look costs what has changed. Its
fields, by spaces: since, entered, moved (seconds after `base`; `=` as since, `-` unknown), mark,
progress, peak (`=` as progress), ranks, id.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from sentinel.core.flows.stuck import FlowMemory

_NO_RANKS = (-1, -1, -1, -1)
_SAME, _NONE = "=", "-"


class Packer:
    """Keeps the line of each flow in `lines`, with the memory that it stands for."""

    def __init__(self) -> None:
        self._base: float | None = None
        self.lines: dict[str, tuple[FlowMemory, str]] = {}

    def dump(self, flows: Mapping[str, FlowMemory], now: float) -> Any:
        """JSON-able: `[base, [[type, status, lines], …]]`; `now` is the base of the first dump."""
        if self._base is None:
            self._base = float(int(now))
        lines: dict[str, tuple[FlowMemory, str]] = {}
        groups: dict[tuple[str, str], list[str]] = {}
        for key, memory in flows.items():
            known = self.lines.get(key)
            if known is None or known[0] is not memory:
                known = memory, _pack(key, memory, self._base)
            lines[key] = known
            groups.setdefault((memory.type, memory.status), []).append(known[1])
        self.lines = lines
        return [
            self._base,
            [[type_, status, "\n".join(mine)] for (type_, status), mine in groups.items()],
        ]


def load_flows(document: Any) -> dict[str, FlowMemory]:
    """Read what `Packer.dump` gave, or the lists by flow of older versions. Raises ValueError for
    anything else.
    """
    if isinstance(document, Mapping):
        return {key: FlowMemory(*value) for key, value in document.items()}
    base, groups = document
    return dict(
        _unpack(line, type_, status, base)
        for type_, status, text in groups
        for line in text.split("\n")
    )


def _pack(key: str, memory: FlowMemory, base: float) -> str:
    since = _seconds(memory.since, base)
    ranks = memory.rank, memory.phase, memory.last_rank, memory.last_phase
    return " ".join(
        [
            since,
            _NONE if memory.entered is None else _shorten(_seconds(memory.entered, base), since),
            _shorten(_seconds(memory.moved, base), since),
            b64encode(bytes.fromhex(memory.mark)).decode().rstrip("="),
            _number(memory.progress),
            _shorten(_number(memory.peak), _number(memory.progress)),
            _NONE if ranks == _NO_RANKS else ",".join(map(str, ranks)),
            key.replace("\\", "\\\\").replace("\n", "\\n"),
        ]
    )


def _unpack(line: str, type_: str, status: str, base: float) -> tuple[str, FlowMemory]:
    since, entered, moved, mark, progress, peak, ranks, key = line.split(" ", 7)
    begun = base + float(since)
    known = _NO_RANKS if ranks == _NONE else tuple(int(rank) for rank in ranks.split(","))
    rank, phase, last_rank, last_phase = known
    value = _read_number(progress)
    memory = FlowMemory(
        status,
        begun,
        None if entered == _NONE else begun if entered == _SAME else base + float(entered),
        value,
        begun if moved == _SAME else base + float(moved),
        b64decode(mark + "=" * (-len(mark) % 4)).hex(),
        value if peak == _SAME else _read_number(peak),
        rank,
        phase,
        last_rank,
        last_phase,
        type_,
    )
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], key), memory


def _seconds(at: float, base: float) -> str:
    """To the millisecond."""
    return f"{at - base:.3f}".rstrip("0").rstrip(".")


def _shorten(text: str, same: str) -> str:
    return _SAME if text == same else text


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:g}" if value == float(f"{value:g}") else repr(value)


def _read_number(text: str) -> float | None:
    return None if text == _NONE else float(text)
