"""The output of components, bounded while they run: a log grows to no more than its limit and what
is printed between two looks.

A component writes into its log by itself, so that it goes on when sentinel does not: a pipe would
stop or end it. The file is opened for appending; what is cut off in place is followed by what is
printed next. A thread of its own looks, so that a busy loop of events lets no disk fill up.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

lines = structlog.get_logger()

MAX_LOG = 10 * 2**20
"""Bytes of a log, after which it is put aside."""
LOOK_EVERY = 0.05
"""Seconds between two looks: at 1 GB/s, 50 MB."""
FLOOD = 10.0
"""Seconds between two cuts, below which only a tail is kept: copying it all would take the disk's
time from others.
"""
SCARCE = 32 * 2**20
"""Free bytes of the disk below which the journal comes first: every log is cut to a tail."""
PATIENCE = 5.0
"""Seconds within which a log has to be opened, or written to by sentinel itself."""
TAIL = 2**18
TOLD_FOR = 600.0
"""Seconds for which it is said that output was dropped."""
_CHUNK = 2**20


@dataclass(slots=True)
class _Loss:
    """Bytes that were dropped of a log, and the monotonic instant of the last cut."""

    dropped: int = 0
    at: float = 0.0


def put_aside(log: Path, limit: int, keep: int) -> int:
    """Cut a log beyond `limit` bytes in place, its last `keep` bytes put beside it as `.1.log`; the
    bytes that are lost.

    Who appends to it goes on at its new beginning. When there is no room for a copy, none is kept.
    Raises nothing: a log that can't be cut now is looked at again.
    """
    try:
        source = os.open(log, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        if not _is_beyond(source, limit):
            return 0
        kept = _copy_tail(source, keep, log.with_suffix(".1.log"))
        lost = os.fstat(source).st_size - kept
        os.ftruncate(source, 0)
        return max(lost, 0)
    except OSError:
        return 0
    finally:
        os.close(source)


def _is_beyond(source: int, limit: int) -> bool:
    """Whether its data are more than `limit`: who writes without appending leaves a hole at the
    beginning, which is no data.
    """
    seen = os.fstat(source)
    if not stat.S_ISREG(seen.st_mode) or seen.st_size <= limit:
        return False
    try:
        return seen.st_size - os.lseek(source, 0, os.SEEK_DATA) > limit
    except OSError:  # a hole and nothing else
        return False


def _copy_tail(source: int, keep: int, aside: Path) -> int:
    """Copy the last `keep` bytes, and what is printed meanwhile; how many were saved, 0 when there
    is no room.

    It returns right after the end of the file was reached: what is printed until then is saved, the
    last words of a component before all.
    """
    begin = position = max(os.fstat(source).st_size - keep, 0)
    try:
        with aside.open("wb", buffering=0) as copy:
            while position - begin < 2 * keep and (chunk := os.pread(source, _CHUNK, position)):
                position += copy.write(chunk)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        return 0
    return position - begin


@dataclass(slots=True)
class OutputBound:
    """Watches the logs that it was told of, by one thread for all, which ends with the last."""

    every: float = LOOK_EVERY
    _logs: Counter[Path] = field(default_factory=Counter)
    _losses: dict[Path, _Loss] = field(default_factory=dict)
    _said: dict[Path, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def follow(self, log: Path) -> None:
        """Bound it from now on."""
        with self._lock:
            self._logs[log] += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="output", daemon=True)
                self._thread.start()

    def leave(self, log: Path) -> None:
        """Nobody writes into it any more, or it is somebody else's."""
        with self._lock:
            self._logs[log] -= 1
            self._logs = +self._logs
            if log not in self._logs:
                self._losses.pop(log, None)
                self._said.pop(log, None)

    def dropped(self, log: Path) -> int:
        """Bytes of output that were lost of late, because they came faster than a log takes."""
        loss = self._losses.get(log)
        if loss is None or time.monotonic() - loss.at > TOLD_FOR:
            return 0
        return loss.dropped

    def _run(self) -> None:
        while True:
            with self._lock:
                logs = list(self._logs)
                if not logs:
                    self._thread = None
                    return
            for log in logs:
                try:
                    self._look(log)
                except Exception as error:  # noqa: BLE001 - the others stay bounded
                    self._tell(log, error)
            time.sleep(self.every)

    def _tell(self, log: Path, error: Exception) -> None:
        """Once for each error: it looks twenty times a second."""
        if self._said.get(log) != repr(error):
            self._said[log] = repr(error)
            lines.error("output_not_bounded", log=log.name, error=repr(error))

    def _look(self, log: Path) -> None:
        try:
            size = log.lstat().st_size
        except OSError:
            return
        scarce = size > TAIL and _is_scarce(log.parent)
        if size <= MAX_LOG and not scarce:
            return
        loss = self._losses.setdefault(log, _Loss(at=-FLOOD))
        now = time.monotonic()
        keep = TAIL if scarce or now - loss.at < FLOOD else 2 * MAX_LOG
        lost = put_aside(log, TAIL if scarce else MAX_LOG, keep)
        recent = loss.dropped if now - loss.at < TOLD_FOR else 0
        loss.dropped, loss.at = recent + lost, now


def _is_scarce(folder: Path) -> bool:
    try:
        seen = os.statvfs(folder)
    except OSError:
        return False
    return seen.f_bavail * seen.f_frsize < SCARCE


OUTPUTS = OutputBound()
"""Of this process: what its components print."""
