"""One file per report. A report is a value: how its facts are gathered, and its templates show
them.

Facts first: JSON, Markdown and HTML are made from one frozen value. `figures` counts, `paper`
renders and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.core.progress.plan import Plan
from sentinel.errors import UsageError
from sentinel.shelf import LazyShelf

if TYPE_CHECKING:  # the program that renders templates needs neither, and starts faster without
    from sentinel.probes import Kind
    from sentinel.store import Reader
    from sentinel.store.folder import DiskSpace

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What somebody asks of a report; each report takes what concerns it.

    `kinds` are the check kinds by name: they declare the figures. `incident` is an id, None for the
    one that matters most; `began` and `ended` ask for a period over the whole platform instead.
    `target_per_hour` is what the platform should do. `owners` says who answers for a component,
    `escalation` who is called after how many seconds. `remembered`: seconds
    after which the store forgets what happened; nothing is claimed of what was before. `plan` is
    what is to be reached, `automations` what runs by itself: (name, when). `find_runbook` gives the
    runbook for a fault of a check, by their names: "" where the configuration knows none. `disk` is
    that of the state, None where nobody looked.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    incident: str | None = None
    began: datetime | None = None
    ended: datetime | None = None
    target_per_hour: float | None = None
    next_update: datetime | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    escalation: Sequence[tuple[float, str]] = ()
    remembered: float | None = None
    plan: Plan = field(default_factory=Plan)
    automations: Sequence[tuple[str, str]] = ()
    find_runbook: Callable[[str, str], str] = lambda _check, _fault: ""
    disk: DiskSpace | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report: everything that the rest of sentinel needs to know of it.

    `facts(store, now, request)` reads the store only and gives a frozen value with at least a
    `headline`. `templates` is the folder of `<name>.md.j2` and `<name>.html.j2`.
    """

    name: str
    summary: str
    facts: Callable[[Reader, datetime, ReportRequest], Any]
    templates: Path = TEMPLATES


def load_reports() -> Mapping[str, Report]:
    """Every report of this folder by name: a new file is a new report, nothing else is edited."""
    return LazyShelf(__name__, Report, "REPORT")


def find_report(name: str) -> Report:
    """The report of that name; UsageError when there is none."""
    shelf = load_reports()
    if name not in shelf:
        raise UsageError(f"{name!r} is no kind of report", f"choose one of {', '.join(shelf)}")
    return shelf[name]
