"""SIGBUS: a file that this process has mapped was cut short beneath it, or its disk failed.

SQLite maps the index of its write-ahead log. What has run into the hole can't go on; the process
can: it begins anew in place, under its own number, as the parent of its components, and finds its
state as after a kill. A handler of Python's own would never run: the thread that is to run it runs
into the hole again and again. So it is one of C, and takes Python's lock as any thread does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

SOONEST = 3.0
"""Seconds from one beginning to the next: a disk that fails for good must not take all of a CPU."""
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_held: list[object] = []
"""C keeps no count of who calls it."""


def begin_anew_on_sigbus(told: Callable[[], bytes]) -> None:
    """From now on; `told` is what is left on stderr before."""
    began = time.monotonic()

    def renew(_number: int) -> None:
        os.write(2, told())
        time.sleep(max(began + SOONEST - time.monotonic(), 0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGBUS})
        begin_anew()

    handler = _HANDLER(renew)
    _held.append(handler)
    ctypes.CDLL(None).signal(signal.SIGBUS, handler)


def begin_anew() -> None:
    """In the same process, at once and without order, as after a kill."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself
