"""The shelf of runbooks as it is now: which one is for what was found, and which run by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from sentinel.app.runbooks.places import find_runbook, known_faults, open_shelf
from sentinel.config import Configuration
from sentinel.core.model import Check
from sentinel.errors import ConfigurationError
from sentinel.runbook.shelf import Shelf

log = structlog.get_logger()

PATIENCE = 1.0
"""Seconds for which who asks waits for files that somebody else reads just now."""


class Bookcase:
    """Read when it is first needed, as a start has no time for it, and anew at every reload; what
    can't be read leaves the shelf of before. From any thread.
    """

    def __init__(self, configuration: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._faults = known_faults()
        self._shelf: Shelf | None = None
        self._reading = threading.Lock()

    @property
    def shelf(self) -> Shelf:
        """What is on it; nothing while the first look at a folder does not come to its end."""
        if self._shelf is None and self._reading.acquire(timeout=PATIENCE):
            try:
                self._shelf = self._shelf or self._read()
            finally:
                self._reading.release()
        return self._shelf or Shelf()

    def reload(self) -> None:
        """Read the runbooks anew. Broken ones stop nobody from watching: the shelf of before stays."""
        with self._reading:
            self._shelf = self._read()

    def _read(self) -> Shelf:
        try:
            return open_shelf(self._configuration().folder)
        except ConfigurationError as error:
            log.error("runbooks_refused", problems=[str(problem) for problem in error.problems])
            return self._shelf or open_shelf()

    def runbook_of(self, check: Check, fault: str) -> str:
        """The runbook for a fault of a check, or ""; without a fault, what the check names."""
        known = self._faults.get(check.kind, {}).get(fault)
        if known is None:
            return check.runbook
        return find_runbook(self.shelf, check, fault, known.runbook)

    def text_of(self, name: str) -> str | None:
        """Its Markdown as it stands on the shelf, without its steps; None for a name that is not
        there.
        """
        book = self.shelf.books.get(name)
        if book is None:
            return None
        sections = (f"## {heading}\n\n{text.strip()}" for heading, text in book.sections.items())
        steps = f"Its steps, in a dry run: `sentinel runbook run {name}`."
        return "\n\n".join((f"# {book.title}", *sections, steps)) + "\n"

    def is_wanted(self, check: Check, runbook: str) -> bool:
        """The check's word counts first, then the runbook's, then the platform's."""
        book = self.shelf.books.get(runbook)
        if book is None or all(step.changes for step in book.steps):
            return False
        said = [word for word in (check.diagnose, book.diagnose) if word is not None]
        return said[0] if said else self._configuration().runbooks.diagnose
