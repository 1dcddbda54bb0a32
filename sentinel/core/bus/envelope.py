"""What an entry carries: fields by template, and values found in nested JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """A name with one place for the agent, `agent_messages:{agent}`, or without: one stream for
    all.
    """

    text: str

    @property
    def per_agent(self) -> bool:
        """Whether each agent has its own."""
        return "{agent}" in self.text

    @property
    def glob(self) -> str:
        """The pattern for SCAN."""
        head, _, tail = self.text.partition("{agent}")
        escape = re.compile(r"([*?\[\]\\])")
        head, tail = escape.sub(r"\\\1", head), escape.sub(r"\\\1", tail)
        return f"{head}*{tail}" if self.per_agent else head

    def fill(self, agent: str) -> str:
        """The name for one agent."""
        return self.text.replace("{agent}", agent)

    def agent_of(self, name: str) -> str | None:
        """Whose stream this is; "" for a common one, None when the name is another."""
        head, _, tail = self.text.partition("{agent}")
        found = re.fullmatch(
            f"{re.escape(head)}(.{'+' if self.per_agent else '{0}'}){re.escape(tail)}", name
        )
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where an entry keeps what: paths `field` or `field.key.key` into JSON, the first that leads
    somewhere counts.
    """

    task: Sequence[str]
    message: Sequence[str] = ()
    type: Sequence[str] = ()
    types: Sequence[str] = ()

    def task_of(self, fields: Mapping[str, str]) -> str:
        """The id of the task that an entry is about; "" when it is about none or of another type."""
        if self.types and read_first(fields, self.type).lower() not in {
            kind.lower() for kind in self.types
        }:
            return ""
        return read_first(fields, self.task)

    def message_of(self, fields: Mapping[str, str]) -> str:
        """The product's own message id."""
        return read_first(fields, self.message)


def read_first(fields: Mapping[str, str], paths: Iterable[str]) -> str:
    """The text or whole number at the first path that has one, else ""."""
    return next((found for path in paths if (found := _read_path(fields, path))), "")


def _read_path(fields: Mapping[str, str], path: str) -> str:
    if path in fields:
        return fields[path]
    name, *keys = path.split(".")
    value: Any = fields.get(name, "")
    for key in keys:
        value = _open_json(value)
        value = value.get(key) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _open_json(value: Any) -> Any:
    """A JSON text is opened, at every level: bodies are often JSON inside JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
