"""Which checks are ours to run, and whether we may act: as the coordinator says it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from sentinel.coordination import Coordinator, Participant, Placement, View
from sentinel.core.schedule import shard_of
from sentinel.engine.automation import Automation
from sentinel.engine.journal import Journal
from sentinel.errors import StateError

log = structlog.get_logger()


def make_member(started: datetime) -> Participant:
    """This start of this process, unlike any other."""
    return Participant(f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}", started)


@dataclass(slots=True)
class Membership:
    """The last good view counts: while the coordinator is away probing goes on with it (scale.md
    §4.2).
    """

    coordinator: Coordinator
    automation: Automation
    journal: Journal
    _view: View = field(default_factory=View)
    _me: Participant | None = None
    """Who has not joined yet: the state could not be written."""
    _said: str = ""
    """What failed at the latest tick: it is told once, and not every two seconds of a full night."""

    async def start(self, me: Participant) -> None:
        """Join and learn what is ours. While that can't be written everything is looked at, and
        nothing is done.
        """
        self._me = me
        try:
            await self._join()
            self._view = await self.coordinator.tick(Placement())
        except StateError as error:
            self._note(error)
            self._view = View(dict.fromkeys(range(Placement().shards), 0))
            self.journal.note_writable(writable=False)

    async def _join(self) -> None:
        if self._me is not None:
            await self.coordinator.start(self._me)
            self._me = None

    def owns(self, check: str) -> bool:
        """Whether a check is ours to run."""
        return shard_of(check) in self._view.owned

    async def tick(self) -> bool:
        """Sign of life; who was fenced acts no more, nor who has a state that is doubted. True:
        checks came or went.
        """
        try:
            await self._join()
            view = await self.coordinator.tick(Placement())
            await asyncio.to_thread(self.automation.follow_state)
        except StateError as error:
            self._note(error)
            return False
        if self._said:
            self._said = ""
            log.warning("coordination_works_again")
        self.automation.fence(view.reason)
        self.journal.note_writable()
        before, self._view = self._view, view
        return before.owned.keys() != view.owned.keys()

    def _note(self, error: StateError) -> None:
        if error.message != self._said:
            log.error(
                "coordination_failed",
                error=error.message,
                guidance="checks go on, actions are refused",
            )
        self._said = error.message

    async def leave(self, now: datetime) -> None:
        """Give everything up in order, worked through until now."""
        try:
            await self.coordinator.release(dict.fromkeys(self._view.owned, now.isoformat()))
        except StateError as error:
            log.error("coordination_failed", error=error.message)
