"""Runbooks as the page shows them: what they say, and their steps with the values of an incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import quote
from typing import Any

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.places import NOTHING, find_told, plan_here
from sentinel.config import Configuration
from sentinel.core.model import Incident
from sentinel.core.quantity import format_duration
from sentinel.errors import UsageError
from sentinel.runbook.act import describe_condition
from sentinel.runbook.book import BookStep, Runbook
from sentinel.runbook.plan import BookPlan
from sentinel.runbook.steps import PLACEHOLDER
from sentinel.store import Reader
from sentinel.web.views.known import Known

Document = dict[str, Any]


def make_known(
    configuration: Callable[[], Configuration], bookcase: Bookcase, store: Reader
) -> Known:
    """What the page may ask of the configuration that is in force, and of the runbooks."""

    def list_titles() -> Mapping[str, str]:
        return {name: book.title for name, book in bookcase.shelf.books.items()}

    def show(name: str, incident: Incident | None) -> Document | None:
        book = bookcase.shelf.books.get(name)
        return None if book is None else show_runbook(book, configuration(), incident, store)

    return Known(
        chores=lambda: configuration().chores,
        components=lambda: configuration().components,
        windows=lambda: configuration().notices.windows,
        remembered=lambda: configuration().retention,
        runbooks=list_titles,
        show_runbook=show,
    )


def show_runbook(
    book: Runbook, configuration: Configuration, incident: Incident | None, store: Reader
) -> Document:
    """One runbook on this platform, as `Known.show_runbook` gives it. A value that may not be taken
    is said, and the steps stand without values then.
    """
    plan, problem = _plan(book, configuration, incident, store)
    values = plan.parameters if plan else {}
    told = f" --incident {quote(incident.id)}" if incident is not None else ""
    return {
        "name": book.name,
        "title": book.title,
        "command": f"sentinel runbook run {book.name}{told}",
        "problem": problem,
        "sections": [
            {"heading": heading, "text": fill_known(text.strip(), values)}
            for heading, text in book.sections.items()
        ],
        "parameters": [
            {
                "name": each.name,
                "value": values.get(each.name, ""),
                "required": each.required,
                "description": each.description,
            }
            for each in book.parameters
        ],
        "steps": [_describe(step) for step in (plan.steps if plan else book.steps)],
    }


def _plan(
    book: Runbook, configuration: Configuration, incident: Incident | None, store: Reader
) -> tuple[BookPlan | None, str]:
    told = find_told(book, incident, store) if incident is not None else NOTHING
    try:
        return plan_here(book, configuration, incident, {}, told, partial=True), ""
    except UsageError as error:
        return None, error.message


def fill_known(text: str, values: Mapping[str, str]) -> str:
    """A text in which each `{name}` that has a value has it; the others stay."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1]) or found[0], text)


def _describe(step: BookStep) -> Document:
    return {
        "name": step.name,
        "act": str(step.run),
        "changes": step.changes,
        "skip": step.skip,
        "precondition": describe_condition(step.precondition) if step.precondition else "",
        "verify": describe_condition(step.verify) if step.verify else "",
        "timeout": format_duration(step.timeout),
    }
