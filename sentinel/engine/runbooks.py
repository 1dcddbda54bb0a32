"""Which runbook is for what was found, and whether its reading steps run by themselves."""

from __future__ import annotations

from typing import Protocol

from sentinel.core.model import Check


class RunbookGuide(Protocol):
    """Knows the shelf of runbooks."""

    def runbook_of(self, check: Check, fault: str) -> str:
        """The runbook for a fault of a check, or ""; of no fault, what the check names."""
        ...

    def is_wanted(self, check: Check, runbook: str) -> bool:
        """Whether the reading steps of a runbook run when a check opens an incident."""
        ...


class OwnRunbooks:
    """Without a shelf: the runbook that the check itself names, and nothing runs by itself."""

    def runbook_of(self, check: Check, _fault: str) -> str:
        """The check's own word."""
        return check.runbook

    def is_wanted(self, _check: Check, _runbook: str) -> bool:
        """Never."""
        return False
