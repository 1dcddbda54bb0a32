"""Starts real daemons fast: imports once, forks one sentinel per line on stdin and prints its
process id.

`python zygote.py FOLDER MODE`; MODE is `journal-first` (sentinel as it is), or a mutation:
`act-first` (the attempt is journaled after the act), `ignore-dependencies`. All wait a little
around the act, as a slow disk would make them. In `ambush` each life is ended by the kernel, at a
random microsecond after a turn was queued or a transaction begun, while FOLDER/ambush exists;
`show-first` is that with a mutation.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from sentinel.app import Signals, serve
from sentinel.engine.journal import Journal
from sentinel.engine.recorder import Recorder
from sentinel.engine.situation import Circumstances
from sentinel.errors import ActionRefused
from sentinel.log import configure_logging
from sentinel.probes import load_kinds
from sentinel.remediation import load_drivers
from sentinel.remediation.process import ProcessDriver
from sentinel.store.database import Database

log = structlog.get_logger()

SLOW = 0.03
MOST_CALLS, LATEST = 60, 0.004
"""Of an ambush: so many turns and transactions after the start at most, and so many seconds later."""


def put_in_place(owner: type, name: str, function: object) -> None:
    """Replace what is there: a mutation of a guard that has moved would change nothing, unseen."""
    if name not in vars(owner):
        raise AttributeError(f"{owner.__name__} has no {name} to replace")
    setattr(owner, name, function)


def slow_down() -> None:
    """Widen the moments between intent, act and outcome, so that kills hit them."""
    plain = ProcessDriver.start

    async def start(self, key=""):
        await asyncio.sleep(SLOW)
        outcome = await plain(self, key)
        await asyncio.sleep(SLOW)
        return outcome

    put_in_place(ProcessDriver, "start", start)


def act_first() -> None:
    """The mutation: no row before the act, but right after it."""
    plain = Journal.finish

    async def claim(self, attempt, component):
        self._attempts.setdefault(component.name, []).append(attempt)
        return attempt

    async def finish(self, attempt, *events):
        with suppress(ActionRefused):
            self.store.claim_attempt(attempt)
        await plain(self, attempt, *events)

    put_in_place(Journal, "claim", claim)
    put_in_place(Journal, "finish", finish)


def ignore_dependencies() -> None:
    """The mutation: nothing is asked of what a component needs."""
    put_in_place(Circumstances, "_dependencies", lambda _self, _name: {})
    put_in_place(Circumstances, "_settling_until", lambda _self, _name: None)


def lie_in_wait() -> None:
    """Between a result and its commit, and in the middle of both: the default of SIGALRM ends a
    process as SIGKILL does, and no code of ours runs any more.
    """
    left: list[int] = []

    def spring() -> None:
        if not left:
            left.append(random.Random(os.getpid()).randint(1, MOST_CALLS))
        left[0] -= 1
        if left[0] == 0 and Path(sys.argv[1], "ambush").exists():
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, LATEST))

    def before(plain: Callable[..., object]) -> Callable[..., object]:
        def ambushed(*arguments: object, **named: object) -> object:
            spring()
            return plain(*arguments, **named)

        return ambushed

    put_in_place(Recorder, "_put", before(Recorder._put))
    put_in_place(Database, "_transaction", before(Database._transaction))


def show_first() -> None:
    """The mutation: a total is shown before what it was counted from is written."""
    plain = Recorder.settle

    async def settle(self, *, counted=False, check=""):
        if not counted:
            await plain(self, check=check)

    put_in_place(Recorder, "settle", settle)
    lie_in_wait()


MUTATIONS = {
    "show-first": show_first,
    "ambush": lie_in_wait,
    "act-first": act_first,
    "ignore-dependencies": ignore_dependencies,
    "journal-first": lambda: None,
}


def run(folder: Path) -> None:
    """One daemon until it is killed or told to end."""
    log = (folder / "sentinel.log").open("a")
    os.dup2(log.fileno(), 2)
    os.dup2(log.fileno(), 1)
    configure_logging(form="json")
    asyncio.run(_serve(folder))


async def _serve(folder: Path) -> None:
    signals = Signals()
    asyncio.get_running_loop().add_signal_handler(15, signals.stop.set)
    await serve(folder / "checks", signals, lambda _daemon: log.info("runs", process=os.getpid()))


def say(word: str) -> None:
    """One line to the test."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Fork on demand."""
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    for shelf in load_kinds(), load_drivers():  # every life would spend its time with importing
        list(shelf)
    slow_down()
    MUTATIONS[mode]()
    say("ready")
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            random.seed(os.getpid())  # else each would be as the one before
            status = 1
            try:
                run(folder)
                status = 0
            except BaseException:  # noqa: BLE001 - it ends here either way, and should say why
                traceback.print_exc()
            finally:
                os._exit(status)
        say(str(pid))
        os.waitpid(pid, 0)
        say("ended")


main()
