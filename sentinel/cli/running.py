"""`sentinel run`: the process around a daemon, its signals, its log and its end."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from sentinel.adapters.own_process.bell import Bell
from sentinel.adapters.own_process.renewal import begin_anew, begin_anew_on_sigbus
from sentinel.adapters.own_process.service_manager import ServiceManager
from sentinel.app import Daemon, Signals, serve
from sentinel.cli.first_process import stand_as_first_process
from sentinel.cli.place import Arguments
from sentinel.clock import utcnow
from sentinel.config import Overrides, load
from sentinel.engine.watchdog import describe_stacks
from sentinel.log import catch_strays, configure_logging, finish_logging, say


def run(arguments: Arguments) -> int:
    """`sentinel run`"""
    ended = stand_as_first_process()
    if ended is not None:
        return ended
    bell: Bell = arguments.bell
    bell.listen(_tell_late)
    configuration = load(arguments.config)
    overrides = Overrides()
    configure_logging(
        level=overrides.log_level, form=overrides.log_format, secrets=configuration.secrets
    )
    catch_strays()
    if sys.stderr is not None:
        faulthandler.enable()  # SIGABRT of a service manager's watchdog leaves the stacks
    begin_anew_on_sigbus(_tell_renewal)
    run_to_the_end(_serve(arguments, bell))
    # Threads may still wait for a name server or a disk, and nothing waits for them.
    finish_logging()
    os._exit(0)


def run_to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Like `asyncio.run`, but `sys.exit` in any task or callback, of a plugin or of a library, ends
    no daemon; and no thread is waited for.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except SystemExit as error:
            if task.done():
                raise
            structlog.get_logger().error("part_failed", part="unknown", error=repr(error))


async def _serve(arguments: Arguments, bell: Bell) -> None:
    signals = Signals()
    loop = asyncio.get_running_loop()

    def set_soon(event: asyncio.Event) -> None:
        loop.call_soon_threadsafe(event.set)

    def halt() -> None:
        if signals.halt_at_once is not None:
            signals.halt_at_once()
        else:
            set_soon(signals.halt)

    end = partial(set_soon, signals.stop)
    reload = partial(set_soon, signals.reload)
    bell.answer(
        {signal.SIGINT: end, signal.SIGTERM: end, signal.SIGHUP: reload, signal.SIGUSR1: halt}
    )
    manager = ServiceManager(os.environ)
    await serve(arguments.config, signals, _announce, arguments.state, manager)


def _tell_late() -> None:
    """It could not end in order in time."""
    structlog.get_logger().error("end_cut_short", stacks=describe_stacks())
    finish_logging(0.2)


def _tell_renewal() -> bytes:
    line = {
        "event": "began_anew",
        "level": "error",
        "error": "SIGBUS: a mapped file was cut beneath sentinel, or its disk failed",
        "guidance": "who changes files in the state folder, or is its disk ill?",
        "timestamp": utcnow().isoformat(),
    }
    return json.dumps(line).encode() + b"\n"


def _renew() -> None:
    finish_logging(0.2)
    begin_anew()


def _announce(daemon: Daemon) -> None:
    daemon.begin_anew = _renew
    say(f"sentinel watches {daemon.configuration.platform}: {daemon.url}/ and {daemon.url}/metrics")
