"""Agents, flows and tenants: what the checks that know of them found, with every subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.store import Reader, unobserved_since
from sentinel.web.document import describe_check, read_clock
from sentinel.web.faults import faults_document
from sentinel.web.views.ask import Ask, find_text
from sentinel.web.views.figures import show_rows
from sentinel.web.views.known import Known

Document = dict[str, Any]
LIST_WORDS = ("text",)
MAX_FAULTS = 500


@dataclass(frozen=True, slots=True)
class SubjectPage:
    """What one page is about, and the kinds of checks that know of it."""

    title: str
    kinds: tuple[str, ...]
    labels: tuple[str, ...]
    """Labels of a subject that name one of them; with none, every fault of these checks is shown."""
    without: str
    """What to do where no check knows of it."""


AGENTS = SubjectPage(
    "Agents",
    ("registry", "agent_progress", "task_assignment"),
    ("agent", "capability", "queue"),
    "add a check of the kind registry or agent_progress",
)
FLOWS = SubjectPage(
    "Flows",
    ("flows", "workflow_canary"),
    (),
    "add a check of the kind flows",
)
TENANTS = SubjectPage(
    "Tenants",
    ("tenant_isolation", "task_assignment"),
    ("tenant", "table", "probe"),
    "add a check of the kind tenant_isolation",
)


def list_subjects(page: SubjectPage) -> Callable[[Reader, Known, datetime, Ask], Document]:
    """The reader of one page.

    Keys: `title`, `checks` (each with its `figures`), `faults` (those of these checks),
    `open`, `cut`, `only`, `without`.
    """

    def read(store: Reader, _known: Known, now: datetime, ask: Ask) -> Document:
        text = ask.read("text")
        ask.conclude()
        alive = unobserved_since(store, now) is None
        views = [view for view in store.checks() if view.kind in page.kinds]
        found = [
            each for view in views for each in faults_document(store, now, view.name)["faults"]
        ]
        faults = [each for each in found if _is_meant(page, each) and _fits(text, each)]
        return {
            "generated": now,
            "title": page.title,
            "without": page.without,
            "checks": [
                describe_check(view, read_clock(view, now, alive=alive))
                | {"figures": show_rows(view)}
                for view in views
            ],
            "faults": faults[:MAX_FAULTS],
            "open": len(faults),
            "cut": max(0, len(faults) - MAX_FAULTS) + sum(view.cut for view in views),
            "only": {"text": text},
        }

    return read


def _is_meant(page: SubjectPage, fault: Document) -> bool:
    """Of a check that knows of other things, too: what names one of these, or nobody."""
    subject: Sequence[str] = list(fault["subject"])
    return not page.labels or not subject or any(label in page.labels for label in subject)


def _fits(text: str, fault: Document) -> bool:
    return find_text(text, (fault["subject_text"], fault["text"], fault["fault"], fault["check"]))
