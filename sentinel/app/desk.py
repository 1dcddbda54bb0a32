"""The orders of the page, carried out as those of the command line are: by the same functions, with
the same rows in the audit log, beside the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.app import notice_ordering, ordering
from sentinel.app.noting import note_incident
from sentinel.app.reading import beside
from sentinel.clock import read_moment_now, utcnow
from sentinel.core.order import Answer
from sentinel.errors import ActionRefused, NoDaemon
from sentinel.store import Store, show_time

PATIENCE = 5.0
"""Seconds until whoever gave an order is told that it is under way."""
AT_ONCE = 4
"""Orders of the page that are under way at a time: each has a thread."""


class OrderDesk:
    """`Desk` of the page for the daemon that serves it."""

    def __init__(self, store: Store, folder: Path, reload: Callable[[], None]) -> None:
        self._store, self._folder, self._reload = store, folder, reload
        self._places = threading.BoundedSemaphore(AT_ONCE)

    async def acknowledge(self, incident: str, by: str, reason: str) -> Answer | None:
        """Somebody sees to an incident."""
        return await self._order(
            lambda: notice_ordering.acknowledge(self._store, incident, by, reason)
        )

    async def note(self, incident: str, by: str, text: str) -> Answer | None:
        """A sentence in the timeline."""

        def write() -> Answer:
            now = show_time(self._store, read_moment_now())
            note_incident(self._store, incident, text, now, by)
            return Answer.done(f"noted in incident {incident} by {by}")

        return await self._do(write)

    async def silence(
        self, matchers: Mapping[str, Sequence[str]], seconds: float, by: str, reason: str
    ) -> Answer | None:
        """Nobody is told of what fits."""
        return await self._order(
            lambda: notice_ordering.add_silence(self._store, matchers, seconds, by, reason)
        )

    async def end_silence(self, name: str, by: str) -> Answer | None:
        """People are told again."""
        return await self._order(lambda: notice_ordering.end_silence(self._store, name, by))

    async def maintain(
        self, name: str, components: Sequence[str], seconds: float, by: str, reason: str
    ) -> Answer | None:
        """A window from now on."""
        return await self._order(
            lambda: notice_ordering.add_window(self._store, name, components, seconds, by, reason)
        )

    async def end_maintenance(self, name: str, by: str) -> Answer | None:
        """Its end."""
        return await self._order(lambda: notice_ordering.end_window(self._store, name, by))

    async def halt(self, by: str, reason: str) -> Answer | None:
        """The kill switch."""
        return await self._do(lambda: Answer.done(ordering.halt(self._folder, reason, by)))

    async def resume(self, by: str, reason: str) -> Answer | None:
        """Automatic actions again."""
        return await self._do(lambda: Answer.done(ordering.resume(self._folder, reason, by)))

    async def restart(self, component: str, by: str, reason: str) -> Answer | None:
        """As `sentinel restart`: no failure, no budget."""
        return await self._order(
            lambda: ordering.move_platform(
                self._store, "restart", component, reason, lambda _steps: None, by
            )
        )

    async def close_breaker(self, by: str, reason: str) -> Answer | None:
        """Let automation act again."""
        return await self._order(lambda: ordering.close_breaker(self._store, reason, by))

    async def reload(self, by: str, reason: str) -> Answer | None:
        """As SIGHUP: the log and `sentinel status` say what became of it."""
        await self._do(lambda: self._audit_reload(by, reason))
        self._reload()
        return None

    def _audit_reload(self, by: str, reason: str) -> Answer:
        self._store.add_audit(utcnow(), by, "reload configuration", "", reason)
        return Answer.done("asked")

    async def _order(self, give: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer | None:
        return await self._do(lambda: asyncio.run(give()))

    async def _do(self, work: Callable[[], Answer]) -> Answer | None:
        """In a thread, as another process would; None when it takes longer than one waits."""

        def carry_out() -> Answer:
            if not self._places.acquire(blocking=False):
                raise ActionRefused("too many orders are under way", "try again when they are done")
            try:
                return work()
            finally:
                self._places.release()

        try:
            async with asyncio.timeout(PATIENCE):
                return await beside(carry_out)
        except (TimeoutError, NoDaemon):
            return None
