"""Who has to do what: priority, owner and first command of a fault, the escalation path, and what
people did.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sentinel.core.fault import FaultKind, Severity
from sentinel.core.model import Incident, IncidentState
from sentinel.core.tenants.trial import ACTION as TRIALS
from sentinel.reports import ReportRequest
from sentinel.reports.figures import Calling, FaultFact, Period, PersonAct
from sentinel.store import CheckView, Reader, TimelineEntry

MAX_AUDIT = 2000
"""Rows of the audit log among which those of a period are looked for."""
MAX_PEOPLE = 200
NOTE = "note"
_OWN = frozenset({"sentinel", "calendar"})
_RANK = {Severity.PAGE.value: 0, Severity.TICKET.value: 1, Severity.INFO.value: 2}
NOBODY = "nobody is named"


def assign_faults(
    faults: Iterable[FaultFact],
    checks: Sequence[CheckView],
    request: ReportRequest,
    incidents: Iterable[Incident],
) -> list[FaultFact]:
    """The faults with their duties; those that stand first, the most urgent first of them.

    The runbook is that of the latest of the `incidents` that the fault has opened, else what the
    configuration has for it, else what its kind declares.
    """
    kind_of = {check.name: check.kind for check in checks}
    opened = sorted(incidents, key=lambda each: each.opened)
    books = {(each.check, each.fault): each.runbook for each in opened if each.runbook}
    assigned = list[FaultFact]()
    for fault in faults:
        kind = request.kinds.get(kind_of.get(fault.check, ""))
        declared = kind.fault_kinds.get(fault.key) if kind is not None else None
        named = (fault.check, fault.key)
        book = books.get(named) or request.find_runbook(*named)
        book = book or (declared.runbook if declared is not None else "")
        assigned.append(_assign(fault, declared, book, request.owners))
    return sorted(assigned, key=lambda each: (each.ended is not None, _RANK.get(each.priority, 3)))


def _assign(
    fault: FaultFact, declared: FaultKind | None, book: str, owners: Mapping[str, str]
) -> FaultFact:
    command = f"sentinel runbook run {shlex.quote(book)}" if book else ""
    return replace(
        fault,
        priority=declared.severity.value if declared is not None else "",
        owner=owners.get(fault.component, ""),
        command=next(iter(fault.cure), command),
    )


def list_calls(
    steps: Sequence[tuple[float, str]], incidents: Iterable[Incident], now: datetime
) -> list[Calling]:
    """The escalation path, and which of its steps an open incident has reached."""
    opened = [each.opened for each in incidents if each.state is IncidentState.OPEN]
    oldest = min(opened, default=None)
    return [
        Calling(after, who, oldest if oldest and (now - oldest).total_seconds() >= after else None)
        for after, who in steps
    ]


def list_people(
    store: Reader, period: Period, entries: Iterable[TimelineEntry]
) -> tuple[list[PersonAct], int]:
    """What people did in a period, oldest first, and how many lines were cut: notes of incidents,
    and rows of the audit log that are not sentinel's own.
    """
    found = [
        PersonAct(
            entry.at,
            str(by),
            NOTE,
            entry.incident,
            entry.text.removeprefix(f"{by}: "),
        )
        for entry in entries
        if entry.kind == NOTE and (by := entry.evidence.get("by"))
    ]
    found += [
        PersonAct(row.at, row.actor, row.action, row.subject, row.detail)
        for row in store.audit(limit=MAX_AUDIT, without=TRIALS)
        if period.began <= row.at <= period.ended and row.action != NOTE and row.actor not in _OWN
    ]
    found.sort(key=lambda act: act.at)
    return found[-MAX_PEOPLE:], max(0, len(found) - MAX_PEOPLE)
