"""Runs of runbooks as the store keeps them: step by step, so that an interrupted run can be
resumed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sentinel.core.model import Incident
from sentinel.store import HELD_KEY, OWN_KEY, StateTrouble
from sentinel.store.document import write, write_instant
from sentinel.store.table import replace

UNWRITABLE = "journal_unwritable"  # as the daemon says it
DAMAGED = "state_damaged"
RUNNING = "running"
CONDITIONS_KEY = "runbooks"
"""Under this word the daemon remembers which runbook is for which condition, as JSON."""


@dataclass(frozen=True, slots=True)
class RunbookRun:
    """One run. `state` is `running` or how it ended; `steps` has a document for each step that was
    begun.

    `digest` is that of the plan: a runbook that was changed since can't be resumed. `pid` and
    `start_id` name the process that runs it: when that is gone and the state is still `running`,
    the run was interrupted.
    """

    id: str
    book: str
    began: datetime
    state: str
    actor: str
    digest: str
    pid: int
    start_id: str
    incident: str = ""
    ended: datetime | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write_run(db: sqlite3.Connection, run: RunbookRun) -> None:
    """Put a run, or its newer version."""
    row = (run.id, write_instant(run.began), run.state, write(run))
    replace(db, "runbook_run", row)


class _Views(Protocol):
    """What is asked here of a Reader."""

    def meta(self, key: str) -> str | None:
        """A single remembered word."""
        ...

    def checks(self) -> Sequence[Any]:
        """Every check."""
        ...

    def trouble(self) -> StateTrouble:
        """What is wrong with the state itself."""
        ...


def held_back(store: _Views) -> list[dict[str, str]]:
    """Everything that holds all actions of the daemon back, and what of the state was damaged:
    `reason`, `text` and its `runbook`.
    """
    books = json.loads(store.meta(CONDITIONS_KEY) or "{}")
    held = json.loads(store.meta(HELD_KEY) or "[]")
    trouble = store.trouble()
    damage = trouble.damage
    if trouble.unwritable:
        held.insert(0, [UNWRITABLE, trouble.no_room])
    if damage:
        held.append([DAMAGED, damage])
        books.setdefault(DAMAGED, books.get("journal_lost", ""))
    return [
        {"reason": reason, "text": text, "runbook": books.get(reason, "")} for reason, text in held
    ]


def own_troubles(store: _Views) -> list[str]:
    """What of the daemon itself does not work."""
    return [str(each) for each in json.loads(store.meta(OWN_KEY) or "[]")]


def runbook_of(store: _Views, incident: Incident) -> str:
    """The runbook to open for an incident: that of its state, else that of what was found, or ""."""
    conditions = json.loads(store.meta(CONDITIONS_KEY) or "{}")
    found = (str(check.runbook) for check in store.checks() if check.name == incident.check)
    return choose_runbook(conditions, incident, next(found, ""))


def choose_runbook(conditions: Mapping[str, str], incident: Incident, of_check: str) -> str:
    """That of the state of an incident (`conditions`), else its own, else that of its check."""
    if incident.exhausted and conditions.get("exhausted"):
        return str(conditions["exhausted"])
    if incident.blocked_by and conditions.get("blocked"):
        return str(conditions["blocked"])
    return incident.runbook or of_check
