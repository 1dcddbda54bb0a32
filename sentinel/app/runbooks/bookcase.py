"""The shelf of runbooks as it is now: which one is for what was found, and which run by themselves."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from sentinel.app.runbooks.places import find_runbook, known_faults, open_shelf
from sentinel.config import Configuration
from sentinel.core.model import Check
from sentinel.errors import ConfigurationError

log = structlog.get_logger()


class Bookcase:
    """Read anew at every reload; what can't be read leaves the shelf of before."""

    def __init__(self, configuration: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._faults = known_faults()
        self.shelf = open_shelf()
        self.reload()

    def reload(self) -> None:
        """Read the runbooks anew. Broken ones stop nobody from watching: the shelf of before stays."""
        try:
            self.shelf = open_shelf(self._configuration().folder)
        except ConfigurationError as error:
            log.error("runbooks_refused", problems=[str(problem) for problem in error.problems])

    def runbook_of(self, check: Check, fault: str) -> str:
        """The runbook for a fault of a check, or ""; without a fault, what the check names."""
        known = self._faults.get(check.kind, {}).get(fault)
        if known is None:
            return check.runbook
        return find_runbook(self.shelf, check, fault, known.runbook)

    def is_wanted(self, check: Check, runbook: str) -> bool:
        """The check's word counts first, then the runbook's, then the platform's."""
        book = self.shelf.books.get(runbook)
        if book is None or all(step.changes for step in book.steps):
            return False
        said = [word for word in (check.diagnose, book.diagnose) if word is not None]
        return said[0] if said else self._configuration().runbooks.diagnose
