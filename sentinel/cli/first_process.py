"""What process 1 owes to a container: whoever loses his parent becomes its child, and stays a
zombie until it is waited for.

As the entry point of a container sentinel stands as process 1 and does nothing else than that, and
its daemon is a child of it. So no exit status of a component can be taken away from the daemon:
the daemon's children are not those of process 1.
"""

from __future__ import annotations

import os
import signal

FORWARDED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCONT,
    }
)
"""What somebody may want to tell the daemon, who knows process 1 only."""


def stand_as_first_process() -> int | None:
    """As process 1: fork, reap until the child ends, and tell its exit code as a shell does. In the
    child, and where this is not process 1: None at once, and the caller goes on.

    To be called before there are threads or an event loop.
    """
    if os.getpid() != 1:
        return None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would leave nothing to wait for
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    daemon = os.fork()
    if daemon == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    return _attend(daemon)


def _attend(daemon: int) -> int:
    while True:
        info = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if info.si_signo == signal.SIGCHLD:
            code = _reap(daemon)
            if code is not None:
                return code
        elif info.si_code <= 0:  # from a process; what a terminal sends, the daemon gets, too
            os.kill(daemon, info.si_signo)


def _reap(daemon: int) -> int | None:
    """Wait for all who have ended: one signal may stand for many. The daemon's exit code, if it
    was among them.
    """
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == daemon:
            left = os.waitstatus_to_exitcode(status)
            code = left if left >= 0 else 128 - left
