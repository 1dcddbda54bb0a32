"""Commits in order, off the event loop, each turn at its own pace (docs/reliability.md §3.10). What
can't be written now waits and is written later; nothing of it is lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeVar

import structlog

from sentinel.core.order import OrderKind
from sentinel.engine.hub import Hub
from sentinel.errors import StateError, StateStalled
from sentinel.metrics import Metrics
from sentinel.store import Changes, CheckView, ComponentView, Store
from sentinel.store.absorbing import put_all_together, put_together

log = structlog.get_logger()
T = TypeVar("T")
Subject = tuple[type[CheckView] | type[ComponentView], str]
"""A check or a component by its name."""

MANY = 200
"""So many turns are one transaction at most, and wait each by itself; later ones are put together,
so that a disk that is full for a week does not fill the memory.
"""
PATIENCE = 5.0
"""Seconds after which a disk counts as blocked: checks then go on, and actions wait."""
LOOK = 1.0
"""Seconds between two looks at what is held."""
SWEEP = 500
"""So many of those that are held go at one look at most: one transaction, and not a long one."""


@dataclass(frozen=True, slots=True)
class Paces:
    """Seconds for which a turn may wait for others: `soon` what people look at, `hold` what says
    the same as before with other figures. 0: it waits for nobody.
    """

    soon: float = 0.05
    hold: float = 45.0


USUAL = Paces()


@dataclass(slots=True)
class _Waiting:
    """A turn in the queue. What was held is made when somebody needs it, in his own thread."""

    make: Callable[[], Changes]
    _made: Changes | None = None

    def get(self) -> Changes:
        """The turn; made twice by two threads at once it is the same."""
        if self._made is None:
            self._made = self.make()
        return self._made


@dataclass(slots=True)
class _Held:
    """The latest of a subject, since when nothing of it was written, and what it has counted."""

    since: float
    turn: _Waiting
    counted: Mapping[str, Any]


def _make_all(turns: Sequence[_Waiting]) -> Changes:
    """What was held as one turn, made where it is written: none of it sets the clock."""
    return put_together([turn.get() for turn in turns])[0]


class Recorder:
    """The one thread that writes to the store."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        utcnow: Callable[[], datetime],
        scrub: Callable[[Any], Any] = lambda value: value,
        paces: Paces = USUAL,
        hub: Hub | None = None,
    ) -> None:
        self._store, self.scrub, self._paces = store, scrub, paces
        self._hub = hub or Hub()
        self._metrics = metrics
        self._utcnow = utcnow
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: deque[_Waiting] = deque()
        self._held: dict[Subject, _Held] = {}
        self._queueing = threading.Lock()
        """Held while the queue is looked at: never over a commit."""
        self._flushing: tuple[Future[Any], asyncio.Future[Any]] | None = None
        """The flush that was asked for last, for its thread and for the loop."""
        self._begun = False
        """Whether it has begun: it may then not see what is queued now."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
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
        """What is to be written and is not yet, oldest first."""
        with self._queueing:
            turns = list(self._waiting)
        return [turn.get() for turn in turns]

    def held(self) -> list[Changes]:
        """The latest of everything that is held, newer than what is `waiting`; it takes its time."""
        with self._queueing:
            turns = [held.turn for held in self._held.values()]
        return [turn.get() for turn in turns]

    # -- three paces ------------------------------------------------------------------------------

    async def record(self, changes: Changes) -> None:
        """At once: when this returns it is committed, together with what came before it. On a full,
        failing or blocked disk it waits for the next turn, and nobody waits for it.
        """
        if changes:
            self._queue(changes)
            await self._flushed()

    async def later(self, changes: Changes, *, along: bool = False) -> None:
        """Soon, together with its neighbours: one transaction and one wake-up of the loop for all.
        What is held goes `along` with what writes the same pages anyhow.
        """
        if along:
            self._release(list(islice(self._held, SWEEP)))
        if changes and not self._paces.soon:
            await self.record(changes)
        elif changes:
            self._queue(changes)
            self._flush_soon()

    async def hold(
        self,
        subject: Subject,
        make: Callable[[], Changes],
        counted: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """In its own time: the latest of a subject is written when nothing of it was for a while.
        `make` gives it, from values that do not change any more. `counted` are states of probes that
        no kill may take back once somebody was shown what they count (`settle`).
        """
        if not self._paces.hold:
            await self.record(make())
            return
        with self._queueing:
            known = self._held.get(subject)
            since = known.since if known else asyncio.get_running_loop().time()
            turn = _Waiting(make)
            self._held[subject] = _Held(since, turn, counted)
        self._hub.tell(turn.get, patient=True)
        self._look_after(LOOK)

    async def settle(self, *, counted: bool = False, check: str = "") -> None:
        """Write everything that is held, or of it only one `check`, or only what was counted since
        the last time: who shows a total calls it before he lets go of what he shows.
        """
        if check:
            self._release([(CheckView, check)])
        elif not counted:
            self._release(list(self._held))
        elif states := self._take_counted():
            self._put(_Waiting(lambda: Changes(probe_state=states)))
        if self._waiting:
            await self._flushed()

    def _take_counted(self) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for held in self._held.values():
            states.update(held.counted)
            held.counted = {}
        return states

    # -- the queue --------------------------------------------------------------------------------

    def _queue(self, changes: Changes) -> None:
        """What is held of the same subjects is older, and needs no words any more. When the clock
        was set, all that is held is from before.
        """
        self._clean(changes)
        if changes.clock_step:
            self._release(list(self._held))
        with self._queueing:
            for check in changes.checks:
                self._held.pop((CheckView, check.name), None)
            for component in changes.components:
                self._held.pop((ComponentView, component.name), None)
        self._put(_Waiting(lambda: changes))
        self._hub.tell(lambda: changes)

    def _put(self, turn: _Waiting) -> None:
        """The first MANY may be with the store just now: what is beyond them is put together."""
        with self._queueing:
            self._waiting.append(turn)
            if len(self._waiting) < 2 * MANY:
                return
            beyond = [self._waiting.pop() for _ in range(len(self._waiting) - MANY)][::-1]
            for whole in put_all_together([each.get() for each in beyond]):
                self._waiting.append(_Waiting(lambda whole=whole: whole))  # type: ignore[misc]

    def _release(self, subjects: Sequence[Subject]) -> None:
        """What is held of these goes into the queue."""
        with self._queueing:
            found = [self._held.pop(subject, None) for subject in subjects]
        turns = [held.turn for held in found if held is not None]
        for at in range(0, len(turns), SWEEP):
            self._put(_Waiting(partial(_make_all, turns[at : at + SWEEP])))

    def _clean(self, changes: Changes) -> None:
        """What drivers, programs and servers said is told in sentences of ours: the last place
        where a secret among their words can be hidden.
        """
        changes.attempts = [
            replace(each, detail=self.scrub(each.detail)) for each in changes.attempts
        ]
        changes.events = [
            (incident, at, replace(event, text=self.scrub(event.text)), evidence)
            for incident, at, event, evidence in changes.events
        ]
        changes.orders = [
            replace(each, payload=self.scrub(each.payload))
            if each.kind in {OrderKind.NOTIFY, OrderKind.DELIVER}
            else each
            for each in changes.orders
        ]

    # -- when it is written -----------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if "soon" not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers["soon"] = loop.call_later(self._paces.soon, self._begin_group)

    def _begin_group(self) -> None:
        self._timers.pop("soon", None)
        task = asyncio.get_running_loop().create_task(self._flushed())
        self._tasks.add(task)
        task.add_done_callback(self._end_group)

    def _end_group(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._metrics.swallowed.labels("recorder").inc()
            log.error("part_failed", part="recorder", error=repr(error))

    def _look_after(self, seconds: float) -> None:
        if "look" not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers["look"] = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Write what is held for long enough, and with it its neighbours."""
        self._timers.pop("look", None)
        oldest = next(iter(self._held.values()), None)
        if oldest is None:
            return
        if asyncio.get_running_loop().time() - oldest.since >= self._paces.hold:
            self._release(list(islice(self._held, SWEEP)))
            self._flush_soon()
        self._look_after(LOOK)

    async def _flushed(self) -> None:
        """Until all that is queued now is written, or the disk counts as blocked."""
        if self._stalled is not None and not self._stalled.done():
            return  # it flushes everything when the disk answers again
        self._stalled = None
        if self._flushing is None or self._begun:
            self._begun = False
            job = self._submit(self._begin_flush)
            self._flushing = job, asyncio.wrap_future(job)
        job, ended = self._flushing
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(ended)
        except TimeoutError:
            if not job.done():
                self._stalled = job
                self._note_trouble(_stall(PATIENCE))

    async def call(self, function: Callable[[], T], patience: float | None = None) -> T:
        """Run a function of the store in its thread, after everything that was recorded before.
        Raises StateStalled when it does not end within `patience` seconds.
        """
        running = self._submit(lambda: self._carry_out(function))
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
            if self._stalled is None or self._stalled.done():
                self._stalled = self._submit(self._flush)
            raise _stall(patience) from error

    # -- in the store's thread --------------------------------------------------------------------

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        self.asked += 1
        call = self._thread.submit(self._note_thread, function)
        call.add_done_callback(self._note_answered)
        return call

    def _note_thread(self, function: Callable[[], T]) -> T:
        self.thread_id = threading.get_native_id()
        return function()

    def _note_answered(self, _call: Future[Any]) -> None:
        self.answered += 1  # also of a call that was cancelled before its turn

    def _note_trouble(self, error: StateError) -> None:
        if self.writable:
            guidance = f"actions stop until it is; {error.guidance}"
            log.error("state_not_writable", error=error.message, guidance=guidance)
        self._metrics.state_writable.set(0)
        self.trouble = f"{error.message}; {error.guidance}" if error.guidance else error.message

    def _carry_out(self, function: Callable[[], T]) -> T:
        self._flush()
        return function()

    def _begin_flush(self) -> None:
        self._begun = True  # before the queue is looked at
        self._flush()

    def _flush(self) -> None:
        alone = 0
        while front := self._front(1 if alone else MANY):
            turn, count = put_together([each.get() for each in front])
            try:
                self._store.commit(turn)
            except StateError as error:
                self._note_trouble(error)
                return
            except MemoryError:
                raise  # it is no fault of what waits, and it goes on waiting
            except Exception as error:  # noqa: BLE001 - whatever it is, it would come again
                # Not the disk but a value that no store takes: it would stand in the way of all
                # that follow, so each is tried by itself.
                if count > 1:
                    alone = count
                    continue
                self._metrics.swallowed.labels("recorder").inc()
                log.error("change_not_storable", error=repr(error))
            else:
                self._note_written()
            self._pop(count)
            alone = max(alone - 1, 0)

    def _front(self, most: int) -> list[_Waiting]:
        with self._queueing:
            return list(islice(self._waiting, most))

    def _pop(self, count: int) -> None:
        with self._queueing:
            for _ in range(count):
                self._waiting.popleft()

    def _note_written(self) -> None:
        if not self.writable:
            log.warning("state_writable_again", waited=len(self._waiting))
        self.trouble = ""
        self._metrics.state_writable.set(1)
        self._metrics.persisted.set(self._utcnow().timestamp())

    def close(self) -> None:
        """Write what waits and what is held, and end the thread."""
        for timer in self._timers.values():
            timer.cancel()
        self._release(list(self._held))
        self._thread.submit(self._flush)
        self._thread.shutdown(wait=True)


def _stall(patience: float) -> StateStalled:
    text = f"the disk of the state does not answer within {patience:g} s"
    return StateStalled(text, "look at the disk of the state folder")
