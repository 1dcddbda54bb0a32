"""The shelf of runbooks as it is now: which one is for what was found, and which run by themselves."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from sentinel.app.runbooks.places import find_runbook, open_shelf
from sentinel.config import Configuration
from sentinel.core.model import Check
from sentinel.errors import ConfigurationError

log = structlog.get_logger()


class Bookcase:
    """Read anew at every reload; what can't be read leaves the shelf of before."""

    def __init__(self, configuration: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self.shelf = open_shelf()
        self.reload()

    def reload(self) -> None:
        """Read the runbooks anew. Broken ones stop nobody from watching: the shelf of before stays."""
        try:
            self.shelf = open_shelf(self._configuration().folder)
        except ConfigurationError as error:
            log.error("runbooks_refused", problems=[str(problem) for problem in error.problems])

    def runbook_of(self, check: Check, detail: str) -> str:
        """The runbook for a check and its finding, or ""."""
        return find_runbook(self.shelf, check, detail)

    def is_wanted(self, check: Check, runbook: str) -> bool:
        """The check's word counts first, then the runbook's, then the platform's."""
        book = self.shelf.books.get(runbook)
        if book is None or all(step.changes for step in book.steps):
            return False
        said = [word for word in (check.diagnose, book.diagnose) if word is not None]
        return said[0] if said else self._configuration().runbooks.diagnose
