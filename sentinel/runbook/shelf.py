"""Which runbook is for what: by fault, by condition, by alert. Own runbooks come before shipped
ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sentinel.errors import ConfigurationError, Problem
from sentinel.runbook.book import CONDITIONS, Runbook
from sentinel.runbook.plan import BookPlan
from sentinel.runbook.read import read_runbooks
from sentinel.strict.file import UnreadableFile, find_file, show_path


@dataclass(frozen=True)
class Shelf:
    """Every runbook by name; those of the platform's own folder stand first and replace shipped
    ones by name.
    """

    books: Mapping[str, Runbook] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @cached_property
    def _own_books(self) -> Sequence[Runbook]:
        """Asked for every fault that is found: those of the platform that are for some fault."""
        mine = (book for name, book in self.books.items() if name in self.own)
        return [book for book in mine if book.applies_to.faults]

    def find_for_fault(self, kind: str, key: str, component: str = "", declared: str = "") -> str:
        """The runbook for a fault of a kind, or "".

        A runbook of the platform that is for it comes before the `declared` one; of several, one
        that names the component comes first, then one that names this very fault.
        """
        fitting = [book for book in self._own_books if book.applies_to.covers(kind, key)]
        rank = {
            book.name: (
                component in book.applies_to.components,
                f"{kind}/{key}" in book.applies_to.faults,
            )
            for book in fitting
        }
        known = declared if declared in self.books else ""
        return max(rank, key=lambda name: rank[name], default=known)

    def find_for_condition(self, condition: str) -> str:
        """The runbook for a state such as `exhausted`, or ""."""
        return next(
            (book.name for book in self.books.values() if condition in book.applies_to.conditions),
            "",
        )

    def find_for_alert(self, alert: str) -> str:
        """The runbook for an alert rule, or ""."""
        return next(
            (book.name for book in self.books.values() if alert in book.applies_to.alerts), ""
        )

    def list_conditions(self) -> dict[str, str]:
        """Condition → runbook, of those that have one."""
        found = {condition: self.find_for_condition(condition) for condition in CONDITIONS}
        return {condition: name for condition, name in found.items() if name}


def read_shelf(shipped: Path, own: Path | None = None) -> Shelf:
    """The shelf of a platform. Raises ConfigurationError with every problem of its files."""
    mine = read_runbooks(own) if own is not None and _is_there(own) else {}
    others = {name: book for name, book in read_runbooks(shipped).items() if name not in mine}
    return Shelf({**mine, **others}, frozenset(mine))


def _is_there(folder: Path) -> bool:
    """Whether a platform has runbooks of its own; a link to itself is a mistake, and not no."""
    try:
        return find_file(folder) is not None
    except UnreadableFile as error:
        problem = Problem(show_path(folder), 0, "", error.message, error.guidance)
        raise ConfigurationError([problem]) from error


def digest_plan(plan: BookPlan) -> str:
    """Tells whether a runbook or its values changed between a run and its resumption."""
    lines = [
        f"{step.name}: {step.run}; {step.precondition}; {step.verify}; {step.changes}"
        for step in plan.steps
    ]
    return hashlib.sha256("\n".join([plan.book.name, *lines]).encode()).hexdigest()


def list_parameters(book: Runbook) -> Iterator[str]:
    """`name=default` of each parameter, `name=…` where a value must be given."""
    for parameter in book.parameters:
        yield f"{parameter.name}={'…' if parameter.required else parameter.default or ''}"
