"""What faults tell runbooks: which faults lead to one, and whether they give what it asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sentinel.core.fault import FaultKind
from sentinel.errors import Problem
from sentinel.runbook.book import Parameter, Runbook
from sentinel.runbook.shelf import Shelf
from sentinel.strict.explain import unknown_message

FaultKinds = Mapping[str, Mapping[str, FaultKind]]
"""Kind of check → key of a fault → its declaration."""
NO_KINDS: Collection[str] = ()


def leads_to(book: Runbook, kind: str, fault: FaultKind) -> bool:
    """Whether a fault of a kind has this runbook, by its own word or by the runbook's."""
    return fault.runbook == book.name or book.applies_to.covers(kind, fault.key)


def find_leading(book: Runbook, kinds: FaultKinds, named: Collection[str]) -> list[FaultKind]:
    """Every fault that leads to a runbook; `named` are kinds whose checks name it themselves."""
    return [
        fault
        for kind, faults in kinds.items()
        for fault in faults.values()
        if kind in named or leads_to(book, kind, fault)
    ]


def find_unsupplied(
    shelf: Shelf, kinds: FaultKinds, named: Mapping[str, Collection[str]]
) -> list[Problem]:
    """Faults that runbooks are for and nobody has, and parameters that no fault gives.

    `named` has the kinds of the checks that name a runbook, by that runbook.
    """
    problems: list[Problem] = []
    for book in shelf.books.values():
        problems += _find_unknown(book, kinds)
        leading = find_leading(book, kinds, named.get(book.name, NO_KINDS))
        for parameter in book.parameters:
            problems += _find_ungiven(book, parameter, leading)
    return problems


def _find_unknown(book: Runbook, kinds: FaultKinds) -> Iterator[Problem]:
    for n, entry in enumerate(book.applies_to.faults):
        kind, _, key = entry.partition("/")
        where = f"applies_to.faults[{n}]"
        if kind not in kinds:
            wrong = unknown_message("kind", kind, kinds, "`sentinel kinds`")
        elif key != "*" and key not in kinds[kind]:
            wrong = unknown_message("fault", key, kinds[kind], f"`sentinel kinds {kind}`")
        else:
            continue
        yield Problem(book.source, book.applies_to.line, where, *wrong)


def _find_ungiven(
    book: Runbook, parameter: Parameter, leading: Collection[FaultKind]
) -> Iterator[Problem]:
    given = sorted({name for fault in leading for name in fault.parameters})
    for source in parameter.sources:
        what, _, name = source.partition(".")
        if what == "fault" and name not in given:
            listed = (
                f"it gives {', '.join(given)}" if given else "there is none that gives anything"
            )
            yield Problem(
                book.source,
                parameter.line,
                f"parameters.{parameter.name}.from",
                f"no fault that leads here gives {name}; {listed}",
                "name what the faults declare (`sentinel kinds NAME`), or another source",
            )
