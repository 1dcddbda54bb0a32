"""Runbooks on this platform: where they lie, what their parameters are here, which incident a run
belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sentinel.config import Configuration, shipped_folder
from sentinel.core.fault import FaultKind, StandingFault, Status
from sentinel.core.model import Check, Incident
from sentinel.engine.fleet import Fleet
from sentinel.engine.supervision import make_kind
from sentinel.errors import ConfigurationError, Problem
from sentinel.probes import load_kinds
from sentinel.runbook.book import Parameter, Runbook
from sentinel.runbook.plan import BookPlan, make_plan, refuse_value
from sentinel.runbook.shelf import Shelf, read_shelf
from sentinel.runbook.supply import FaultKinds, find_unsupplied, leads_to
from sentinel.store import Reader
from sentinel.store.runbook import CONDITIONS_KEY, runbook_of

NO_VALUES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Told:
    """What a fault tells its runbook, and the check that found it."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    check: str = ""


NOTHING = Told()


def open_shelf(folder: Path | None = None) -> Shelf:
    """Runbooks beside the configuration (`runbooks/` in it) come before the shipped ones, and
    replace them by name.
    """
    return read_shelf(
        shipped_folder("runbooks"), folder / "runbooks" if folder is not None else None
    )


def find_runbook(shelf: Shelf, check: Check, fault_key: str, declared: str) -> str:
    """What the check's configuration names, else what is on the shelf for its fault."""
    return check.runbook or shelf.find_for_fault(check.kind, fault_key, check.component, declared)


def check_runbooks(configuration: Configuration) -> None:
    """Raises ConfigurationError for broken runbooks of the platform, for those that ask for what no
    fault gives, and for checks and objectives that name one that is missing.
    """
    shelf = open_shelf(configuration.folder)
    named: dict[str, set[str]] = {}
    for check in configuration.checks:
        named.setdefault(check.runbook, set()).add(check.kind)
    missing = [
        *(
            _miss(each.source, each.name, each.runbook, f"each fault of {each.kind} has its own")
            for each in configuration.checks
            if each.runbook and each.runbook not in shelf.books
        ),
        *(
            _miss(each.origin, each.name, each.runbook, "its alerts have one of their own")
            for each in configuration.objectives
            if each.runbook and each.runbook not in shelf.books
        ),
    ]
    problems = missing + find_unsupplied(shelf, known_faults(), named)
    if problems:
        raise ConfigurationError(problems)


def _miss(place: str, name: str, book: str, without: str) -> Problem:
    """What names a runbook that is not on the shelf; `without` is what it has when it names none."""
    file, _, line = place.rpartition(":")
    text = f"there is no runbook {book!r}"
    return Problem(file, int(line or 0), f"{name}.runbook", text, f"leave it out: {without}")


class _KnownFaults(Mapping[str, Mapping[str, FaultKind]]):
    """Of a kind that is asked for: to read all of them takes time."""

    def __init__(self) -> None:
        self._kinds, self._supervision = load_kinds(), make_kind(Fleet())

    def __getitem__(self, kind: str) -> Mapping[str, FaultKind]:
        own = self._supervision
        return (own if kind == own.name else self._kinds[kind]).fault_kinds

    def __iter__(self) -> Iterator[str]:
        yield from (*self._kinds, self._supervision.name)

    def __len__(self) -> int:
        return len(self._kinds) + 1


@cache
def known_faults() -> FaultKinds:
    """The faults of every kind, that of supervision among them, by kind and key. Kinds are code:
    they are read once.
    """
    return _KnownFaults()


def describe_conditions(shelf: Shelf) -> dict[str, str]:
    """What the daemon remembers for those who only read its store: condition → runbook."""
    return {CONDITIONS_KEY: json.dumps(shelf.list_conditions())}


def known_names(configuration: Configuration) -> dict[str, list[str]]:
    """The names that a given parameter may have, by type."""
    supervised = [
        f"{component.name}.process" for component in configuration.components if component.driver
    ]
    return {
        "component": [component.name for component in configuration.components],
        "check": [*(check.name for check in configuration.checks), *supervised],
        "resource": list(configuration.resources),
    }


def list_supervised(configuration: Configuration) -> frozenset[str]:
    """Components that sentinel can act on."""
    return frozenset(each.name for each in configuration.components if each.driver)


# -- values ---------------------------------------------------------------------------------------


def plan_here(
    book: Runbook,
    configuration: Configuration,
    incident: Incident | None,
    given: Mapping[str, str],
    told: Told = NOTHING,
    *,
    partial: bool = False,
) -> BookPlan:
    """The plan of a runbook on this platform, as `make_plan` makes it. `told` is what the fault
    tells (`find_told`).
    """
    return make_plan(
        book,
        given,
        known_names(configuration),
        find_values(book, configuration, incident, given, told),
        supervised=list_supervised(configuration),
        partial=partial,
    )


def find_values(
    book: Runbook,
    configuration: Configuration,
    incident: Incident | None,
    given: Mapping[str, str],
    told: Told = NOTHING,
) -> dict[str, str]:
    """Values of parameters that nobody gave, from the fault, the incident and the configuration, by
    each parameter's sources.
    """
    place = _Situation(configuration, incident, given.get("component", ""), told)
    found: dict[str, str] = {}
    for parameter in book.parameters:
        value = place.find(parameter)
        if value:
            found[parameter.name] = value
    return found


class _Situation:
    """What is known where a runbook is to run: the configuration, and perhaps an incident or a
    component. Nobody's component is taken when none is told.
    """

    def __init__(
        self,
        configuration: Configuration,
        incident: Incident | None,
        given: str,
        told: Told,
    ) -> None:
        self._configuration = configuration
        self._incident = incident
        self._told = told.parameters
        self._subject = incident.component if incident is not None else ""
        self._component = given or self._subject
        own = told.check or (incident.check if incident is not None else "")
        self._own = next((each for each in configuration.checks if each.name == own), None)

    def find(self, parameter: Parameter) -> str:
        """The first source that gives a fitting value, or ""."""
        if parameter.type == "incident":
            return self._incident.id if self._incident else ""
        for source in parameter.sources:
            value = self._ask(*source.split("."))
            if value and self._fits(parameter, value):
                return value
        return ""

    def _fits(self, parameter: Parameter, value: str) -> bool:
        """Whether it may be a value, and is one of this platform: an agent that a fault names is a
        component only when one has that very name.
        """
        if refuse_value(parameter, value):
            return False
        if parameter.type == "component":
            return value in {each.name for each in self._configuration.components}
        if parameter.type == "resource":
            resource = self._configuration.resources.get(value)
            wanted = {each for each in parameter.sources if each.startswith("resource.")}
            return resource is not None and wanted <= {f"resource.{resource.type}"}
        return True

    def _ask(self, what: str, *rest: str) -> str:
        if what == "fault":
            return self._told.get(rest[0], "")
        if what == "incident":
            return self._subject
        if what == "component":
            return self._own_check(rest[0])
        if what == "resource":
            return self._resource(rest[0])
        check = self._check(rest[0])
        if check is None:
            return ""
        if what == "kind":
            return check.name
        return _option(_find_mapping(check.options, self._told.get("table", "")), rest[1:])

    def _own_check(self, kind: str) -> str:
        """The component's own check of a kind, else that of its driver."""
        own = (
            check.name
            for check in self._configuration.checks
            if (check.kind, check.component) == (kind, self._component)
        )
        is_supervised = self._component in list_supervised(self._configuration)
        return next(own, f"{self._component}.process" if is_supervised else "")

    def _check(self, kind: str) -> Check | None:
        """Of a kind: the fault's own check, one of the component, one that asks the same server,
        else the first.
        """
        asked = self._asked()
        checks = [check for check in self._configuration.checks if check.kind == kind]
        return max(
            checks,
            key=lambda check: (
                check is self._own,
                check.component == self._component,
                not asked.isdisjoint(check.resources.values()),
            ),
            default=None,
        )

    def _resource(self, type_: str) -> str:
        """Of a type: one that the fault's check or its component asks, else the first."""
        asked = self._asked()
        fitting = [
            name
            for name, resource in self._configuration.resources.items()
            if resource.type == type_
        ]
        return next((name for name in fitting if name in asked), next(iter(fitting), ""))

    def _asked(self) -> set[str]:
        """The resources that the fault's check asks; without one, that of the component."""
        if self._own is not None and self._own.resources:
            return set(self._own.resources.values())
        components = self._configuration.components
        return {each.resource for each in components if each.name == self._component} - {None}


def _find_mapping(options: Any, table: str) -> Any:
    """The part of a check's options that maps a table; the options themselves when none does."""
    parts = [part for value in vars(options).values() for part in _parts(value)]
    named = (part for part in parts if table and getattr(part, "table", None) == table)
    return options if getattr(options, "table", None) == table else next(named, options)


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _option(options: Any, path: Sequence[str]) -> str:
    """The text of a nested option, or ""."""
    value = options
    for name in path:
        value = getattr(value, name, None)
    return str(value) if isinstance(value, str | int) else ""


# -- what the fault tells -------------------------------------------------------------------------


def find_told(
    book: Runbook,
    incident: Incident | None,
    store: Reader,
    given: Mapping[str, str] = NO_VALUES,
) -> Told:
    """What the fault that leads to a runbook tells it: that of the incident when this is its
    runbook, else the worst one of the incident's component that leads here.

    Where the incident's own fault names nobody (all of them are gone), nobody is picked. A fault
    of another subject than the `given` values name tells nothing: half of one and half of the other
    is neither.
    """
    if incident is None:
        return NOTHING
    asked = _name_sources(book, given)
    if incident.runbook == book.name and incident.fault and _agrees(incident.parameters, asked):
        return Told(incident.parameters, incident.check)
    telling = (each for each in find_standing(book, incident, store) if each.fault.parameters)
    found = (Told(each.fault.parameters, each.check) for each in telling)
    return next((each for each in found if _agrees(each.parameters, asked)), NOTHING)


def _agrees(told: Mapping[str, str], asked: Sequence[tuple[str, str]]) -> bool:
    return all(told.get(name, value) == value for name, value in asked)


def _name_sources(book: Runbook, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a fault would have to tell, to agree with the given values."""
    return [
        (source.removeprefix("fault."), given[parameter.name])
        for parameter in book.parameters
        if parameter.name in given
        for source in parameter.sources
        if source.startswith("fault.")
    ]


def find_standing(book: Runbook, incident: Incident, store: Reader) -> list[StandingFault]:
    """The standing faults of an incident's component that lead to a runbook, the worst first, those
    of its own check before others; where the check itself names the runbook, all faults of it.
    What is accepted leads nowhere.
    """
    kinds = {view.name: view.kind for view in store.checks()}
    of_component = (each for each in store.faults() if each.component == incident.component)
    standing = [each for each in of_component if each.accepted is None]
    standing.sort(key=lambda each: (-each.fault.status.rank, each.check != incident.check))
    leading = [each for each in standing if _leads(book, kinds.get(each.check, ""), each)]
    own = [each for each in standing if each.check == incident.check]
    return leading or (own if incident.runbook == book.name else [])


def _leads(book: Runbook, kind: str, standing: StandingFault) -> bool:
    declared = known_faults().get(kind, {}).get(standing.fault.key)
    return declared is not None and leads_to(book, kind, declared)


# -- incidents ------------------------------------------------------------------------------------


def find_incident(book: Runbook, given: Mapping[str, str], store: Reader) -> Incident | None:
    """The open incident that a run of this runbook belongs to.

    The one that a parameter names, else one of a component that a parameter names, else one that
    this runbook is for, by its state or a fault that stands; None rather than a wrong one.
    """
    incidents = sorted(store.incidents(open_only=True), key=_urgency)
    named = {given[each.name] for each in book.parameters if _names_incident(each, given)}
    for each in incidents:
        if each.id in named or each.component in named:
            return each
    if any(each.name in given and _is_of_incident(each) for each in book.parameters):
        return None
    return next(_find_fitting(book, incidents, store), None)


def _names_incident(parameter: Parameter, given: Mapping[str, str]) -> bool:
    return parameter.name in given and parameter.type in {"incident", "component"}


def _is_of_incident(parameter: Parameter) -> bool:
    """Whether it is the incident's own: another value is another incident."""
    return parameter.type == "incident" or "incident.component" in parameter.sources


def _find_fitting(
    book: Runbook, incidents: Sequence[Incident], store: Reader
) -> Iterator[Incident]:
    """Those that show this runbook, then those with a fault that leads to it, then those that it
    says it is for.
    """
    tests: tuple[Callable[[Incident], bool], ...] = (
        lambda each: runbook_of(store, each) == book.name,
        lambda each: bool(find_standing(book, each, store)),
        lambda each: _is_for(book, each),
    )
    for test in tests:
        yield from filter(test, incidents)


def _urgency(incident: Incident) -> tuple[bool, bool, int, float]:
    """Not recovered before recovered, causes before what they block, the worst first, then the
    newest.
    """
    opened = -incident.opened.timestamp()
    return (
        incident.recovered is not None,
        bool(incident.blocked_by),
        -Status(incident.status).rank,
        opened,
    )


def _is_for(book: Runbook, incident: Incident) -> bool:
    applies = book.applies_to
    if "exhausted" in applies.conditions and incident.exhausted:
        return True
    return incident.component in applies.components
