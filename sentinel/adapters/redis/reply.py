"""What Redis answers, as values: names as bytes, maps, times, INFO, and which error means that a
key is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.errors import SubjectError, TargetError


def display(name: bytes) -> str:
    """A name for people; bytes that are not UTF-8 show as \\xff."""
    return name.decode("utf-8", "backslashreplace")


def is_text(name: bytes) -> bool:
    """Whether the name is UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_map(reply: Sequence[Any]) -> dict[str, Any]:
    """A flat RESP2 list of field, value … as a mapping."""
    return {display(field): value for field, value in zip(reply[::2], reply[1::2], strict=True)}


def parse_time(reply: Sequence[bytes]) -> float:
    """TIME in seconds."""
    return int(reply[0]) + int(reply[1]) / 1e6


def parse_info(reply: bytes) -> dict[str, str]:
    """INFO as a mapping."""
    lines = [line.split(":", 1) for line in display(reply).splitlines() if ":" in line]
    return {field: value.strip() for field, value in lines}


def calls_of(info: Mapping[str, str], command: str) -> int:
    """How often a command was called, from INFO commandstats."""
    fields = dict(
        part.split("=", 1) for part in info.get(f"cmdstat_{command}", "").split(",") if "=" in part
    )
    return int(fields.get("calls", 0))


def is_missing(error: TargetError) -> bool:
    """Whether this says that the key does not exist."""
    return isinstance(error, SubjectError) and error.code == "NOKEY"
