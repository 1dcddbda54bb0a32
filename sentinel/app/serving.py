"""A daemon and its signals: each is served at once, whatever else is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from sentinel.adapters.own_process.service_manager import ServiceManager
from sentinel.app.daemon import Daemon
from sentinel.app.ending import WITHIN
from sentinel.app.reading import beside
from sentinel.config import load
from sentinel.engine.upkeep import Upkeep

T = TypeVar("T")
CUT_SHORT = 0.5
"""Seconds for what is under way to take note of the end."""


@dataclass(slots=True)
class Signals:
    """What is asked of a running daemon from outside: end, read the configuration anew, stop every
    action.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    halt_at_once: Callable[[], None] | None = None
    """May be called by any thread; None until there is a daemon."""


async def serve(
    path: Path,
    signals: Signals,
    ready: Callable[[Daemon], None],
    state: Path | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Run a daemon on a configuration folder until it is asked to stop; a service manager is told
    how it is.
    """
    told = manager or ServiceManager({})
    configuration = await _unless_ended(signals, beside(lambda: load(path)))
    if configuration is None:
        return
    daemon = Daemon(replace(configuration, state=state) if state else configuration)
    signals.halt_at_once = daemon.halt
    daemon.ask_reload = signals.reload.set
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: _note_stray(daemon, context)
    )
    try:
        if await _unless_ended(signals, _begin(daemon)):
            if told.watchdog is not None:
                daemon.watchdog.ping = lambda: told.tell("WATCHDOG=1")
            told.tell("READY=1", f"STATUS=watches {daemon.configuration.platform}: {daemon.url}/")
            ready(daemon)
            await _obey(daemon, signals, told)
    finally:
        told.tell("STOPPING=1", "STATUS=ends")
        await daemon.stop(within=WITHIN)


async def _begin(daemon: Daemon) -> bool:
    await daemon.start()
    return True


async def _unless_ended(signals: Signals, work: Coroutine[Any, Any, T]) -> T | None:
    """The outcome of something; None when the end was asked for before."""
    task, ended = asyncio.create_task(work), asyncio.create_task(signals.stop.wait())
    try:
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CUT_SHORT)
    return task.result() if task.done() and not task.cancelled() else None


def _note_stray(daemon: Daemon, context: Mapping[str, Any]) -> None:
    """What a callback raised, or a task that nobody waits for."""
    message = str(context.get("message", ""))
    error = context.get("exception") or RuntimeError(message)
    daemon.upkeep.note("callback", error, message=message)


async def _obey(daemon: Daemon, signals: Signals, told: ServiceManager) -> None:
    """Until the end is asked for. A reload waits for actions and for files: it is cut short then,
    and the kill switch does not wait for it.
    """
    served = Upkeep(daemon.metrics)
    served.keep("reload", lambda: _reload_when_asked(daemon, signals.reload, told))
    served.keep("halt", lambda: _halt_when_asked(daemon, signals.halt))
    try:
        await signals.stop.wait()
    finally:
        await asyncio.wait({asyncio.create_task(served.close())}, timeout=CUT_SHORT)


async def _reload_when_asked(daemon: Daemon, asked: asyncio.Event, told: ServiceManager) -> None:
    """One reload after the other; asked again meanwhile, once more afterwards."""
    while True:
        await asked.wait()
        asked.clear()
        told.tell_reloading()
        good = await daemon.reload()
        word = "watches" if good else "the configuration was refused, the former one is in force;"
        told.tell("READY=1", f"STATUS={word} {daemon.configuration.platform}: {daemon.url}/")


async def _halt_when_asked(daemon: Daemon, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        daemon.halt()
