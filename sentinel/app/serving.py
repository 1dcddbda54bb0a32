"""A daemon and its signals: each is served at once, whatever else is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sentinel.app.daemon import Daemon
from sentinel.config import load


@dataclass(frozen=True, slots=True)
class Signals:
    """What is asked of a running daemon from outside: end, read the configuration anew, stop every
    action.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    halt: asyncio.Event = field(default_factory=asyncio.Event)


async def serve(
    path: Path, signals: Signals, ready: Callable[[Daemon], None], state: Path | None = None
) -> None:
    """Run a daemon on a configuration folder until it is asked to stop."""
    configuration = load(path)
    daemon = Daemon(replace(configuration, state=state) if state else configuration)
    try:
        await daemon.start()
        ready(daemon)
        await _obey(daemon, signals)
    finally:
        await daemon.stop()


async def _obey(daemon: Daemon, signals: Signals) -> None:
    """Until the end is asked for. A reload waits for actions and for files: it is cut short then,
    and the kill switch does not wait for it.
    """
    served = [
        asyncio.create_task(_reload_when_asked(daemon, signals.reload)),
        asyncio.create_task(_halt_when_asked(daemon, signals.halt)),
    ]
    try:
        await signals.stop.wait()
    finally:
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


async def _reload_when_asked(daemon: Daemon, asked: asyncio.Event) -> None:
    """One reload after the other; asked again meanwhile, once more afterwards."""
    while True:
        await asked.wait()
        asked.clear()
        await daemon.reload()


async def _halt_when_asked(daemon: Daemon, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        daemon.halt()
