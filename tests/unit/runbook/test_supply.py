"""What faults give and runbooks ask for: told at validate, with the place and the way out."""

from __future__ import annotations

from sentinel.core.fault import FaultKind, Severity
from sentinel.runbook.book import AppliesTo, Parameter, Runbook
from sentinel.runbook.shelf import Shelf
from sentinel.runbook.supply import find_leading, find_unsupplied

LOST = FaultKind("lost", Severity.PAGE, "losses", "messages were lost", ("stream", "group"))
LATE = FaultKind("late", Severity.TICKET, "delays", "messages wait", ("stream",))
GHOST = FaultKind("ghost", Severity.PAGE, "ghosts", "nobody is there", ("agent",))
KINDS = {"delivery": {"lost": LOST, "late": LATE}, "registry": {"ghost": GHOST}}


def book(name: str, *faults: str, asks: str = "") -> Runbook:
    """A runbook for faults, with one parameter that asks for something."""
    parameter = Parameter("p", "str", ".*", required=False, default="", sources=(asks,), line=7)
    parameters = (parameter,) if asks else ()
    return Runbook(name, "x", AppliesTo(faults, line=4), parameters, (), {}, f"{name}.md")


def shelf(*books: Runbook) -> Shelf:
    """A shelf with these runbooks of the platform."""
    return Shelf({each.name: each for each in books}, frozenset(each.name for each in books))


def test_what_leads_to_a_runbook() -> None:
    """The kind's declaration, the runbook's own words, and a check that names it."""
    assert find_leading(book("losses"), KINDS, ()) == [LOST]
    assert find_leading(book("mine", "delivery/late"), KINDS, ()) == [LATE]
    assert find_leading(book("mine", "delivery/*"), KINDS, ()) == [LOST, LATE]
    assert find_leading(book("mine"), KINDS, {"registry"}) == [GHOST]
    assert find_leading(book("mine"), KINDS, ()) == []


def test_what_a_fault_gives_may_be_asked_for() -> None:
    """One of the faults that lead there gives it: the others leave the parameter at its default."""
    assert find_unsupplied(shelf(book("losses", asks="fault.group")), KINDS, {}) == []
    mine = shelf(book("mine", "delivery/*", asks="fault.group"))
    assert find_unsupplied(mine, KINDS, {}) == []
    named = {"mine": {"registry"}}
    assert find_unsupplied(shelf(book("mine", asks="fault.agent")), KINDS, named) == []
    assert find_unsupplied(shelf(book("mine", asks="kind.registry")), KINDS, {}) == []


def test_what_no_fault_gives_is_refused() -> None:
    """With the file, the line of the parameter, and what would be given."""
    (problem,) = find_unsupplied(shelf(book("losses", asks="fault.agent")), KINDS, {})
    assert (problem.file, problem.line, problem.key) == ("losses.md", 7, "parameters.p.from")
    assert problem.message == "no fault that leads here gives agent; it gives group, stream"
    assert "sentinel kinds" in problem.remedy
    (problem,) = find_unsupplied(shelf(book("mine", asks="fault.agent")), KINDS, {})
    assert problem.message.endswith("there is none that gives anything")


def test_faults_that_nobody_has_are_refused() -> None:
    """An own runbook for an unknown kind, or an unknown fault of a kind, would never be opened."""
    mine = shelf(book("mine", "delivery/lsot", "registy/*", "registry/ghost"))
    first, second = find_unsupplied(mine, KINDS, {})
    assert (first.file, first.line, first.key) == ("mine.md", 4, "applies_to.faults[0]")
    assert first.message == "unknown fault `lsot`"
    assert first.remedy == "did you mean `lost`? (`sentinel kinds delivery` lists them)"
    assert second.message == "unknown kind `registy`"
    assert second.remedy == "did you mean `registry`? (`sentinel kinds` lists them)"
