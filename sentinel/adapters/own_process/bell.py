"""Signals of the process, heard by a thread of its own: also while the loop of events stands still.

Python runs a handler when its main thread comes to it, which a call that blocks may put off for
ever. The kernel's word arrives here all the same: Python's own handler in C writes each number
into a pipe at once.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
STRAY = frozenset(
    {
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGVTALRM,
        signal.SIGPROF,
        signal.SIGIO,
        signal.SIGPWR,
        *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
    }
)
"""What means nothing here, and would end the process: a slip of the hand is no word to end."""
HEARD = ENDING | {signal.SIGHUP, signal.SIGUSR1}
END_WITHIN = 4.3
"""Seconds from the first word to end, after which the process ends without order."""


class Bell:
    """Hang it up as early as can be: what is signalled from then on is kept until somebody
    listens. `listen` starts the thread; `answer` says what each signal means, and is told of those
    that came before.
    """

    def __init__(self) -> None:
        self._reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in HEARD | STRAY:  # a handler and not SIG_IGN, which components would inherit
            signal.signal(number, _do_nothing)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._lock = threading.Lock()
        self._answers: Mapping[int, Callable[[], None]] = {}
        self._unanswered: list[int] = []
        self._end_by = float("inf")

    def listen(self, on_late: Callable[[], None] = lambda: None) -> None:
        """From now on. While nobody answers, the word to end is obeyed at once; with somebody who
        does, but is late, `on_late` is called, and the process ends.
        """
        threading.Thread(target=self._listen, args=(on_late,), name="bell", daemon=True).start()

    def answer(self, answers: Mapping[int, Callable[[], None]]) -> None:
        """What to do with each signal, called by the thread."""
        with self._lock:
            self._answers = answers
            kept, self._unanswered = self._unanswered, []
        for number in kept:
            self._ring(number)

    def _listen(self, on_late: Callable[[], None]) -> None:
        while True:
            left = self._end_by - time.monotonic()
            ready, *_ = select.select([self._reading], [], [], None if left > 1e6 else max(left, 0))
            if not ready:
                with suppress(BaseException):
                    on_late()
                os._exit(0)
            for number in os.read(self._reading, 512):
                if number in HEARD:
                    self._ring(number)

    def _ring(self, number: int) -> None:
        if number in ENDING:
            self._end_by = min(self._end_by, time.monotonic() + END_WITHIN)
        with self._lock:
            answer = self._answers.get(number)
            if answer is None:
                self._unanswered.append(number)
        if answer is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                answer()
        elif number in ENDING and not self._answers:
            os._exit(0)


def _do_nothing(_number: int, _frame: object) -> None:
    """The byte in the pipe is what counts."""
