"""A loop of events that stands still can't say so: a thread of its own looks at it.

It writes down where every thread stands, and no longer tells the service manager that all is well,
which then starts sentinel anew. What may stand still for good reasons is not counted: a platform
where nothing is due, a disk that takes nothing, and a process that was stopped as a whole.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import structlog

from sentinel.engine.pause import PauseGuard
from sentinel.engine.recorder import Recorder
from sentinel.engine.scheduler import Scheduler
from sentinel.metrics import Metrics

log = structlog.get_logger()

LOOK_EVERY = 1.0
ASLEEP = 60
"""Looks in a row at which the store's thread sleeps over its work: neither a disk nor a long
statement is what it waits for.
"""
STACKS = "standstill.txt"
"""In the state folder: where every thread stood, when even Python stood still."""
_MOST = 64 * 1024


@dataclass(slots=True)
class Vitals:
    """The signs of life of a daemon, each since an instant."""

    guard: PauseGuard
    scheduler: Scheduler
    recorder: Recorder
    _answered: int = -1
    _asleep: int = 0

    def find_missing(self, since: float) -> str:
        """What has not moved since a monotonic instant although it should have, or "". To be asked
        once a look.
        """
        stands = self._is_store_silent()
        if self.guard.latest < since:
            return "the loop of events"
        if self.scheduler.ticked < since:
            return "the scheduler"
        if self._asleep >= ASLEEP:
            return "the store's thread, which waits for no disk"
        if stands or self.scheduler.finished >= since or not self.scheduler.overdue():
            return ""
        return "the checks: none that is due has ended"

    def _is_store_silent(self) -> bool:
        """Whether the store owes an answer, and has given none since the last look. A blocked disk
        is no reason for a new start, which would find the same disk.
        """
        answered, owed = self.recorder.answered, self.recorder.asked - self.recorder.answered
        silent = owed > 0 and answered == self._answered
        self._answered = answered
        asleep = silent and read_thread_state(self.recorder.thread_id) == "S"
        self._asleep = self._asleep + 1 if asleep else 0
        return silent


def read_thread_state(thread_id: int) -> str:
    """R runs, S sleeps, D waits for a disk (proc(5)); "" when that can't be known."""
    try:
        text = Path(f"/proc/self/task/{thread_id}/stat").read_text()
    except (OSError, ValueError):
        return ""
    return text.rpartition(")")[2].split()[0]


def describe_stacks() -> str:
    """Where every thread of this process stands now."""
    descriptor = os.memfd_create("stacks", os.MFD_CLOEXEC)
    try:
        faulthandler.dump_traceback(descriptor, all_threads=True)
        return os.pread(descriptor, _MOST, 0).decode(errors="replace")
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Watchdog:
    """`limit` seconds without a turn of the loop are a standstill; `ping` is called at each look at
    which everything lives.
    """

    vitals: Vitals
    limit: float
    folder: Path
    metrics: Metrics
    ping: Callable[[], object] = lambda: None
    look_every: float = LOOK_EVERY
    _thread: threading.Thread | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _seen: float = -1.0
    """The beat at the latest look."""
    _stood: float = 0.0
    """Seconds of looks without a new one: a process that was stopped as a whole has not looked."""
    _alive_at: float = 0.0
    _missed: float = 0.0
    """Seconds of looks at which something else had given no sign of life."""

    @property
    def sees_life(self) -> bool:
        """Whether everything had given a sign of life at the latest look."""
        return self._thread is not None and self._missed == 0.0

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        self._alive_at = self.vitals.guard.monotonic()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The end is no standstill."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2 * self.look_every)

    def _run(self) -> None:
        try:
            file = self._open_stacks()
            self._tell_written(
                file, "stood_still_before", "the process before this one stood still"
            )
            while not self._ended.is_set():
                # What holds Python's own lock (a regular expression may) lets this thread not run
                # either. A thread of the interpreter writes the stacks down then: into a file,
                # because a pipe may take nothing.
                faulthandler.dump_traceback_later(self.limit + self.look_every, file=file)
                if not self._ended.wait(self.look_every):
                    self._tell_written(file, "process_stood_still", "it was stopped, or blocked")
                    self._look()
            faulthandler.cancel_dump_traceback_later()
            file.close()
            with suppress(OSError):
                (self.folder / STACKS).unlink(missing_ok=True)
        except Exception as error:
            self.metrics.swallowed.labels("watchdog").inc()
            log.error("part_failed", part="watchdog", error=repr(error), exc_info=error)

    def _open_stacks(self) -> FileIO:
        """Where stacks are written down; in memory when there is no place in the state folder."""
        try:
            return (self.folder / STACKS).open("ab+", buffering=0)
        except OSError as error:
            log.warning("stacks_not_kept", error=str(error), guidance="stacks end with the process")
            return FileIO(os.memfd_create("stacks", os.MFD_CLOEXEC), "ab+")

    def _tell_written(self, file: FileIO, event: str, what: str) -> None:
        """What was written down while not even this thread could run."""
        file.seek(0)
        text = file.read(_MOST)
        if text:
            log.error(event, stacks=text.decode(errors="replace"), what=what)
            file.truncate(0)

    def _look(self) -> None:
        guard = self.vitals.guard
        now, latest = guard.monotonic(), guard.latest
        if latest == self._seen:
            self._note_standing()
        else:
            self._note_moving()
        self._seen = latest
        missing = self.vitals.find_missing(self._alive_at)
        if not missing:
            self._alive_at, self._missed = now, 0.0
            self.ping()
            return
        before, self._missed = self._missed, self._missed + self.look_every
        if before < self.limit <= self._missed:
            log.error("no_sign_of_life", of=missing, seconds=round(now - self._alive_at, 1))

    def _note_standing(self) -> None:
        before, self._stood = self._stood, self._stood + self.look_every
        if before < self.limit <= self._stood:
            self.metrics.standstills.inc()
            log.error(
                "loop_stands_still",
                seconds=round(self._stood, 1),
                stacks=describe_stacks(),
                guidance="the stack of the main thread shows what blocks; is it a plugin?",
            )

    def _note_moving(self) -> None:
        if self._stood >= self.limit:
            log.error("loop_goes_on", stood_still_seconds=round(self._stood, 1))
        self._stood = 0.0
