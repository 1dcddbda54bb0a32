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
from sentinel.errors import StateError, StateStalled
from sentinel.metrics import Metrics
from sentinel.store import Changes, Store
from sentinel.store.absorbing import absorb

log = structlog.get_logger()
T = TypeVar("T")

MANY = 200
"""So many turns wait each by itself; later ones are put together, so that a disk that is full for a
week does not fill the memory.
"""
PATIENCE = 5.0
"""Seconds after which a disk counts as blocked: checks then go on, and actions wait."""


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
        self._waiting: deque[Changes] = deque()
        self._queueing = threading.Lock()
        """Held while the end of the queue is looked at: never over a commit."""
        self._stalled: Future[Any] | None = None
        """The flush that comes when a blocked disk answers again."""
        self.trouble = ""
        """Why nothing can be written, or ""."""
        self.asked = self.answered = self.thread_id = 0
        """Calls so far, those that have ended, and the thread that carries them out: how it is
        seen from outside that it stands.
        """

    @property
    def writable(self) -> bool:
        """Whether what was recorded last could be written."""
        return not self.trouble

    def waiting(self) -> list[Changes]:
        """What is not written yet, oldest first."""
        return list(self._waiting)

    async def record(self, changes: Changes) -> None:
        """Commit one turn of the pipeline; on a full, failing or blocked disk it waits for the next
        turn, and nobody waits for it.
        """
        if not changes:
            return
        self._clean(changes)
        self._queue(changes)
        if self._stalled is not None and not self._stalled.done():
            return  # it flushes everything when the disk answers again
        self._stalled = None
        try:
            await self.call(self._flush, PATIENCE)
        except StateStalled as error:
            self._note_trouble(error)

    def _queue(self, changes: Changes) -> None:
        """The first that waits may be with the store just now: what is beyond MANY is not."""
        with self._queueing:
            if len(self._waiting) <= MANY or not absorb(self._waiting[-1], changes):
                self._waiting.append(changes)

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
            if each.kind in {OrderKind.NOTIFY, OrderKind.DELIVER}
            else each
            for each in changes.orders
        ]

    async def call(self, function: Callable[[], T], patience: float | None = None) -> T:
        """Run a function of the store in its thread, after everything that was recorded before.
        Raises StateStalled when it does not end within `patience` seconds.
        """
        running = self._submit(function)
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:
            running.cancel()
            raise
        except TimeoutError as error:
            if patience is None:
                raise
            if running.done():
                return running.result()
            running.cancel()  # what has not begun does not come after all
            text = f"the disk of the state does not answer within {patience:g} s"
            if self._stalled is None or self._stalled.done():
                self._stalled = self._submit(self._flush)
            raise StateStalled(text, "look at the disk of the state folder") from error

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        self.asked += 1
        call = self._thread.submit(self._carry_out, function)
        call.add_done_callback(self._note_answered)
        return call

    def _carry_out(self, function: Callable[[], T]) -> T:
        self.thread_id = threading.get_native_id()
        return function()

    def _note_answered(self, _call: Future[Any]) -> None:
        self.answered += 1  # also of a call that was cancelled before its turn

    def _note_trouble(self, error: StateError) -> None:
        if self.writable:
            guidance = f"actions stop until it is; {error.guidance}"
            log.error("state_not_writable", error=error.message, guidance=guidance)
        self.trouble = f"{error.message}; {error.guidance}" if error.guidance else error.message

    def _flush(self) -> None:
        while self._waiting:
            try:
                self._store.commit(self._waiting[0])
            except StateError as error:
                self._note_trouble(error)
                return
            except MemoryError:
                raise  # it is no fault of what waits, and it goes on waiting
            except Exception as error:  # noqa: BLE001 - whatever it is, it would come again
                # Not the disk but a value that no store takes: it would stand in the way of all
                # that follow.
                self._metrics.swallowed.labels("recorder").inc()
                log.error("change_not_storable", error=repr(error))
                self._pop()
                continue
            self._pop()
            if not self.writable:
                log.warning("state_writable_again", waited=len(self._waiting))
            self.trouble = ""
            self._metrics.persisted.set(self._utcnow().timestamp())

    def _pop(self) -> None:
        with self._queueing:
            self._waiting.popleft()

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._thread.submit(self._flush)
        self._thread.shutdown(wait=True)
