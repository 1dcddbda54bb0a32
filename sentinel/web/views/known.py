"""What the daemon knows and the store does not: its configuration, its runbooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.core.bus.housekeeping import Chore
from sentinel.core.model import Component, Incident
from sentinel.core.notice.maintenance import MaintenanceWindow

Document = dict[str, Any]


def _know_no_runbook(_name: str, _incident: Incident | None) -> Document | None:
    return None


@dataclass(frozen=True, slots=True)
class Known:
    """Asked in threads of the page, for a reload may change it at any time.

    `runbooks` gives name → title; `show_runbook(name, incident)` one of them, its steps with the
    values that this incident's fault and the configuration tell: `title`, `sections` (heading,
    Markdown), `parameters` (name, value, description), `steps` (name, act, changes, skip,
    precondition, verify, timeout), `problem`; None when there is none of that name.
    """

    chores: Callable[[], Sequence[Chore]] = tuple
    components: Callable[[], Sequence[Component]] = tuple
    windows: Callable[[], Sequence[MaintenanceWindow]] = tuple
    remembered: Callable[[], float | None] = lambda: None
    """Seconds after which the store forgets what happened."""
    runbooks: Callable[[], Mapping[str, str]] = dict
    show_runbook: Callable[[str, Incident | None], Document | None] = _know_no_runbook


NOTHING_KNOWN = Known()
