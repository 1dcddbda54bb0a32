"""Lines for a descriptor that may take none: nobody who writes ever waits for it.

A pipe that nobody reads, a terminal that was stopped and a disk that is full would make a program
stand still in the middle of a sentence. Here a thread of its own waits for them. What comes
meanwhile is kept up to a bound, then dropped and counted, and told when it flows again.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MAX_WAITING = 4 * 2**20
"""Bytes that wait, at most: some ten thousand lines, the first of a trouble before all."""
RETRY = 0.5
"""Seconds after which a descriptor that refused is tried again: a disk has room again, a pipe has a
reader again.
"""
STUCK = 5.0
"""Seconds without a byte taken after which it is said that nothing flows."""
_PIECE = 2**16


class Outlet:
    """A text stream on a duplicate of a descriptor. `on_loss(lines, seconds)` is called by its
    thread when it flows again after lines were dropped.
    """

    def __init__(
        self,
        descriptor: int,
        on_loss: Callable[[int, float], None] = lambda _lines, _seconds: None,
        most: int = MAX_WAITING,
    ) -> None:
        self._descriptor = os.dup(descriptor)
        self._on_loss, self._most = on_loss, most
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = self._telling = False
        self._untold, self._since = 0, 0.0
        self._moved = time.monotonic()
        self.dropped = 0
        """Lines since the start."""

    def write(self, text: str) -> int:
        """Hand over; returns at once."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self._closed or (self._bytes and self._bytes + len(data) > self._most):
                self._drop()
                return len(text)
            if not self._bytes:
                self._moved = time.monotonic()
            self._lines.append(data)
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """What a stream has to have; `drain` waits."""

    def drain(self, seconds: float) -> bool:
        """Wait until everything is written, not longer than that; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._bytes or self._telling), seconds)

    def close(self, seconds: float = 0.0) -> None:
        """Drain, then take nothing more. The descriptor stays open when its thread is held in it."""
        drained = self.drain(seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and drained:
            thread.join(seconds)
        if thread is None or not thread.is_alive():
            os.close(self._descriptor)

    def stuck_for(self) -> float:
        """Seconds for which something waits and nothing was taken; 0 while it flows."""
        with self._changed:
            seconds = time.monotonic() - self._moved if self._bytes else 0.0
        return seconds if seconds > STUCK else 0.0

    def _drop(self) -> None:
        self.dropped += 1
        if not self._untold:
            self._since = time.monotonic()
        self._untold += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines) or self._closed)
                if not self._lines:
                    return
                data = self._lines.popleft()
            self._put(data)
            with self._changed:
                self._bytes -= len(data)
                lost, since = (0, 0.0) if self._lines else (self._untold, self._since)
                self._untold -= lost
                self._telling = lost > 0
                self._changed.notify_all()
            if lost:
                self._tell(lost, time.monotonic() - since)

    def _tell(self, lost: int, seconds: float) -> None:
        """What was lost is a line of its own: nothing is drained before it has its place."""
        try:
            self._on_loss(lost, seconds)
        finally:
            with self._changed:
                self._telling = False
                self._changed.notify_all()

    def _put(self, data: bytes) -> None:
        """A line is never torn: what a full disk took of it is followed by its rest."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest[:_PIECE]) :]
                self._moved = time.monotonic()
            except BlockingIOError:  # somebody who shares it made it so
                with suppress(OSError):
                    select.select([], [self._descriptor], [], RETRY)
            except OSError:
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, RETRY):
                        return
