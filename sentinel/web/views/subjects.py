"""Agents, flows and tenants: what the checks that know of them found, with every subject."""

from __future__ import annotations

from collections.abc import Callable
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
    """What one page is about. Of `kinds` every fault is shown; of `others`, which know of other
    things too, those whose subject bears the `label`.
    """

    title: str
    kinds: tuple[str, ...]
    without: str
    """What to do where no check knows of it."""
    others: tuple[str, ...] = ()
    label: str = ""

    def covers(self, kind: str, fault: Document) -> bool:
        """Whether a fault of a check of this kind stands here."""
        return kind in self.kinds or (kind in self.others and self.label in fault["subject"])


AGENTS = SubjectPage(
    "Agents", ("registry", "agent_progress"), "add a check of the kind registry or agent_progress"
)
FLOWS = SubjectPage("Flows", ("flows", "workflow_canary"), "add a check of the kind flows")
TENANTS = SubjectPage(
    "Tenants",
    ("tenant_audit", "tenant_probe", "tenant_http", "tenant_rows"),
    "add a check of the kind tenant_audit or tenant_probe",
    ("task_assignment",),
    "tenant",
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
        known = [view for view in store.checks() if view.kind in (*page.kinds, *page.others)]
        faults = [
            each
            for view in known
            for each in faults_document(store, now, view.name)["faults"]
            if page.covers(view.kind, each) and _fits(text, each)
        ]
        views = [view for view in known if view.kind in page.kinds]
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


def _fits(text: str, fault: Document) -> bool:
    return find_text(text, (fault["subject_text"], fault["text"], fault["fault"], fault["check"]))
