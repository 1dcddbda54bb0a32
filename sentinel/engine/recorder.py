"""Commits in order, off the event loop. What can't be written now waits and is written later;
nothing is lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from sentinel.core.order import OrderKind
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store

log = structlog.get_logger()
T = TypeVar("T")

MAX_WAITING = 50_000


class Recorder:
    """The one thread that writes to the store."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        utcnow: Callable[[], datetime],
        scrub: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self._store, self._scrub = store, scrub
        self._metrics = metrics
        self._utcnow = utcnow
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: deque[Changes] = deque(maxlen=MAX_WAITING)
        self.writable = True
        self.asked = self.answered = self.thread_id = 0
        """Calls so far, those that have ended, and the thread that carries them out: how it is
        seen from outside that it stands.
        """

    async def record(self, changes: Changes) -> None:
        """Commit one turn of the pipeline; on a full or failing disk it waits for the next turn."""
        if not changes:
            return
        self._clean(changes)
        self._waiting.append(changes)
        await self.call(self._flush)

    def _clean(self, changes: Changes) -> None:
        """What drivers, programs and servers said is told in sentences of ours: the last place
        where a secret among their words can be hidden.
        """
        changes.attempts = [
            replace(each, detail=self._scrub(each.detail)) for each in changes.attempts
        ]
        changes.events = [
            (incident, at, replace(event, text=self._scrub(event.text)), evidence)
            for incident, at, event, evidence in changes.events
        ]
        changes.orders = [
            replace(each, payload=self._scrub(each.payload))
            if each.kind is OrderKind.NOTIFY
            else each
            for each in changes.orders
        ]

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function of the store in its thread, after everything that was recorded before."""
        self.asked += 1
        call = self._thread.submit(self._carry_out, function)
        call.add_done_callback(self._note_answered)
        return await asyncio.wrap_future(call)

    def _carry_out(self, function: Callable[[], T]) -> T:
        self.thread_id = threading.get_native_id()
        return function()

    def _note_answered(self, _call: Future[Any]) -> None:
        self.answered += 1  # also of a call that was cancelled before its turn

    def _flush(self) -> None:
        while self._waiting:
            try:
                self._store.commit(self._waiting[0])
            except StateError as error:
                if self.writable:
                    log.error(
                        "state_not_writable",
                        error=error.message,
                        guidance="actions stop until it is",
                    )
                self.writable = False
                return
            except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
                # Not the disk but a value that no store takes: it would stand in the way of all
                # that follow.
                self._metrics.swallowed.labels("recorder").inc()
                log.error("change_not_storable", error=repr(error))
                self._waiting.popleft()
                continue
            self._waiting.popleft()
            self.writable = True
            self._metrics.persisted.set(self._utcnow().timestamp())

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._thread.submit(self._flush)
        self._thread.shutdown(wait=True)
