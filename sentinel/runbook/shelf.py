"""Which runbook is for what: by check and finding, by condition, by alert. Own runbooks come before
shipped ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sentinel.runbook.book import CONDITIONS, Runbook
from sentinel.runbook.plan import Plan
from sentinel.runbook.read import read_runbooks


@dataclass(frozen=True)
class Shelf:
    """Every runbook by name; those of the platform's own folder stand first and replace shipped
    ones by name.
    """

    books: Mapping[str, Runbook] = field(default_factory=dict)

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Runbook]]:
        """Asked at every result of every check."""
        kinds = {kind for book in self.books.values() for kind in book.applies_to.kinds}
        return {
            kind: [book for book in self.books.values() if kind in book.applies_to.kinds]
            for kind in kinds
        }

    def find_for_check(self, kind: str, component: str = "", detail: str = "") -> str:
        """The runbook for a finding of a kind, or "".

        One whose `findings` are in the finding's line comes before one for every finding of the
        kind, one that names the component before one that names none.
        """
        fitting = [book for book in self._by_kind.get(kind, ()) if _fits(book, kind, detail)]
        rank = {
            book.name: (_is_found(book, kind, detail), component in book.applies_to.components)
            for book in fitting
        }
        return max(rank, key=lambda name: rank[name], default="")

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


def _fits(book: Runbook, kind: str, detail: str) -> bool:
    """Whether a runbook for this kind is for every finding, or for this one."""
    return not any(_words(book, kind)) or _is_found(book, kind, detail)


def _words(book: Runbook, kind: str) -> Iterator[str]:
    """The words that a finding of this kind must have one of: `word` of any kind, `kind/word` of
    that kind.
    """
    for entry in book.applies_to.findings:
        of, slash, word = entry.partition("/")
        if not slash or of not in book.applies_to.kinds:
            yield entry
        elif of == kind:
            yield word


def _is_found(book: Runbook, kind: str, detail: str) -> bool:
    return any(word in detail for word in _words(book, kind))


def read_shelf(shipped: Path, own: Path | None = None) -> Shelf:
    """The shelf of a platform. Raises ConfigurationError with every problem of its files."""
    mine = read_runbooks(own) if own is not None and own.is_dir() else {}
    return Shelf(
        {
            **mine,
            **{name: book for name, book in read_runbooks(shipped).items() if name not in mine},
        }
    )


def digest_plan(plan: Plan) -> str:
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
