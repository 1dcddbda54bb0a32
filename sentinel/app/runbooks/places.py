"""Runbooks on this platform: where they lie, what their parameters are here, which incident a run
belongs to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.config import Configuration, shipped_folder
from sentinel.core.fault import Fault, Status, sort_faults
from sentinel.core.model import Check, Incident
from sentinel.engine.fleet import Fleet
from sentinel.engine.supervision import make_kind
from sentinel.errors import ConfigurationError, Problem
from sentinel.probes import load_kinds
from sentinel.runbook.book import Parameter, Runbook
from sentinel.runbook.shelf import Shelf, read_shelf
from sentinel.runbook.supply import FaultKinds, find_unsupplied, leads_to
from sentinel.store import Reader
from sentinel.store.runbook import CONDITIONS_KEY, runbook_of

NOTHING: Mapping[str, str] = {}


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
    fault gives, and for checks that name one that is missing.
    """
    shelf = open_shelf(configuration.folder)
    named: dict[str, set[str]] = {}
    for check in configuration.checks:
        named.setdefault(check.runbook, set()).add(check.kind)
    missing = [
        Problem(
            check.source.rpartition(":")[0],
            int(check.source.rpartition(":")[2] or 0),
            f"{check.name}.runbook",
            f"there is no runbook {check.runbook!r}",
            f"leave it out: each fault of {check.kind} has its own",
        )
        for check in configuration.checks
        if check.runbook and check.runbook not in shelf.books
    ]
    problems = missing + find_unsupplied(shelf, known_faults(), named)
    if problems:
        raise ConfigurationError(problems)


def known_faults() -> FaultKinds:
    """The faults of every kind, that of supervision among them, by kind and key."""
    supervision = make_kind(Fleet())
    kinds = {**load_kinds(), supervision.name: supervision}
    return {name: kind.fault_kinds for name, kind in kinds.items()}


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


# -- values ---------------------------------------------------------------------------------------


def find_values(
    book: Runbook,
    configuration: Configuration,
    incident: Incident | None,
    given: Mapping[str, str],
    told: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    """Values of parameters that nobody gave, from the fault, the incident and the configuration, by
    each parameter's sources. `told` is what the fault tells (`find_told`).
    """
    usual = next((p.default or "" for p in book.parameters if p.name == "component"), "")
    place = _Situation(configuration, incident, given.get("component", ""), usual, told)
    found: dict[str, str] = {}
    for parameter in book.parameters:
        value = place.find(parameter)
        if value:
            found[parameter.name] = value
    return found


class _Situation:
    """What is known where a runbook is to run: the configuration, and perhaps an incident or a
    component.
    """

    def __init__(
        self,
        configuration: Configuration,
        incident: Incident | None,
        given: str,
        usual: str,
        told: Mapping[str, str],
    ) -> None:
        self._configuration = configuration
        self._incident = incident
        self._told = told
        supervised = {component.name for component in configuration.components if component.driver}
        self._subject = (
            incident.component if incident is not None and incident.component in supervised else ""
        )
        self._component = given or self._subject or usual

    def find(self, parameter: Parameter) -> str:
        """The first source that gives a fitting value, or ""."""
        if parameter.type == "incident":
            return self._incident.id if self._incident else ""
        for source in parameter.sources:
            value = self._ask(*source.split("."))
            if value and re.fullmatch(parameter.pattern, value):
                return value
        return ""

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
        return check.name if what == "kind" else _option(check.options, rest[1:])

    def _own_check(self, kind: str) -> str:
        """The component's own check of a kind, else that of its driver."""
        checks = self._configuration.checks
        own = (
            check.name
            for check in checks
            if (check.kind, check.component) == (kind, self._component)
        )
        return next(own, f"{self._component}.process" if self._component else "")

    def _check(self, kind: str) -> Check | None:
        """Of a kind: the incident's own check, one of its component, else the first."""
        checks = [check for check in self._configuration.checks if check.kind == kind]
        own = self._incident.check if self._incident else ""
        return max(
            checks,
            key=lambda check: (check.name == own, check.component == self._component),
            default=None,
        )

    def _resource(self, type_: str) -> str:
        """Of a type: one that the incident's check asks, else the first."""
        fitting = [
            name
            for name, resource in self._configuration.resources.items()
            if resource.type == type_
        ]
        own = self._incident.check if self._incident else ""
        asked = next(
            (
                set(check.resources.values())
                for check in self._configuration.checks
                if check.name == own
            ),
            set(),
        )
        return next((name for name in fitting if name in asked), fitting[0] if fitting else "")


def _option(options: Any, path: Sequence[str]) -> str:
    """The text of a nested option, or ""."""
    value = options
    for name in path:
        value = getattr(value, name, None)
    return str(value) if isinstance(value, str | int) else ""


def find_told(book: Runbook, incident: Incident | None, store: Reader) -> Mapping[str, str]:
    """What a fault of an incident's check tells a runbook to which it leads: the one that the
    incident is named after, else the worst. One that somebody accepted tells nothing.

    A runbook that the check itself names hears of any of its faults.
    """
    if incident is None:
        return NOTHING
    kind = next((view.kind for view in store.checks() if view.name == incident.check), "")
    declared = known_faults().get(kind, {})
    counting = [each.fault for each in store.faults(incident.check) if each.accepted is None]
    known = [fault for fault in sort_faults(counting) if fault.key in declared]
    fitting = [fault for fault in known if leads_to(book, kind, declared[fault.key])]
    if not fitting and incident.runbook == book.name:
        fitting = known
    named = (fault for fault in fitting if _is_headline(fault, incident))
    told = next(named, fitting[0] if fitting else None)
    return told.parameters if told is not None else NOTHING


def _is_headline(fault: Fault, incident: Incident) -> bool:
    return (fault.key, dict(fault.subject)) == (incident.fault, dict(incident.subject))


# -- incidents ------------------------------------------------------------------------------------


def find_incident(book: Runbook, given: Mapping[str, str], store: Reader) -> Incident | None:
    """The open incident that a run of this runbook belongs to.

    The one that a parameter names, else one of a component that a parameter names, else one that
    this runbook is for; None rather than a wrong one.
    """
    incidents = sorted(store.incidents(open_only=True), key=_urgency)
    types = {parameter.name: parameter.type for parameter in book.parameters}
    named = [
        given[name]
        for name, type_ in types.items()
        if name in given and type_ in {"incident", "component"}
    ]
    if named:
        return next(
            (each for each in incidents if each.id in named or each.component in named), None
        )
    fitting = [each for each in incidents if runbook_of(store, each) == book.name]
    fitting += [each for each in incidents if _is_for(book, each)]
    return next(iter(fitting), None)


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
