"""A registry that is a JSON file: lists of agents, and what the file claims of its own age."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.adapters.agents.store import Names, Troubles
from sentinel.core.agents.registration import FileAge, Registration, read_registration
from sentinel.core.moment import is_wall_time, read_instant
from sentinel.errors import SubjectError
from sentinel.strict.file import UnreadableFile, read_regular_file, show_path

_MAX_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A JSON file whose `lists` hold objects of agents. `written`, `next_update`: keys of the
    file's own times; `zone`: as declared, of texts without an offset.
    """

    path: str
    lists: Sequence[str]
    names: Names
    written: str | None = None
    next_update: str | None = None
    zone: str | None = None

    @property
    def place(self) -> str:
        """How people know its times."""
        return f"times of {self.path}"


async def read_file(source: AgentFile) -> tuple[list[Registration], FileAge, Troubles]:
    """(registrations, the file's times, what of it can't be read). Raises SubjectError when the
    file is none.
    """
    text, modified = await asyncio.to_thread(_load, source.path)
    document = _parse(source.path, text)
    missing = [name for name in source.lists if not isinstance(document.get(name), list)]
    if missing:
        keys = ", ".join(sorted(map(str, document)))[:200]
        raise SubjectError(
            f"no list {missing[0]} in {source.path}", f"correct agents.lists; the file has {keys}"
        )
    items = [item for name in source.lists for item in document[name]]
    troubles: Troubles = {}
    named = [(item, _name_of(item, source.names)) for item in items]
    nameless = sum(not name for _, name in named)
    if nameless:
        troubles["file"] = (
            f"{nameless} entries have no {source.names['id']}",
            "name the field of the name as agents.id",
        )
    rows = [
        read_registration(name, item, source.names, zone=source.zone)
        for item, name in named
        if name
    ]
    age = FileAge(
        modified,
        _time_of(document, source.written, source.zone),
        _time_of(document, source.next_update, source.zone),
        source.zone is None
        and any(
            name is not None and is_wall_time(document.get(name))
            for name in (source.written, source.next_update)
        ),
    )
    return rows, age, troubles


def _load(path: str) -> tuple[bytes, float]:
    try:
        content = read_regular_file(Path(path), _MAX_BYTES)
    except UnreadableFile as error:
        message = f"the registry file {show_path(path)} {error.message}"
        raise SubjectError(message, f"correct agents.file: {error.guidance}") from error
    return content.data, content.status.st_mtime


def _parse(path: str, text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        remedy = (
            "mend the file; write it to another name and rename it, so that nobody reads half of it"
        )
        raise SubjectError(f"the registry file {path} is no JSON: {error}", remedy) from error
    if not isinstance(document, dict):
        raise SubjectError(f"the registry file {path} is no JSON object", "correct agents.file")
    return document


def _name_of(item: Any, names: Names) -> str:
    if not isinstance(item, dict):
        return ""
    value = item.get(names["id"])
    return "" if value is None else str(value)


def _time_of(document: Mapping[str, Any], name: str | None, zone: str | None) -> float | None:
    """A time that the file claims; one that is named and can't be read is a fault of the mapping or
    the file.
    """
    if name is None:
        return None
    at = read_instant(document.get(name), zone or "UTC")
    if at is None:
        raise SubjectError(
            f"{name} of the registry file is no time: {document.get(name)!r:.60}",
            "correct the mapping",
        )
    return at
