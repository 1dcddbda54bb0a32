"""Hot reload: when the files of a component change, it reloads or restarts. That is no crash and
spends no budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from watchfiles import Change, DefaultFilter, awatch

from sentinel.core.model import Component
from sentinel.core.order import Answer
from sentinel.engine.requests import OperatorRequests, is_put_off
from sentinel.remediation import RELOAD

log = structlog.get_logger()

DEBOUNCE = 0.5
"""Seconds without a further change after which the changes count as one: an editor writes several
times.
"""
TRY_AGAIN = 1.0
TRIES = 60


class _OnlyThese(DefaultFilter):
    """Changes of some files of a folder."""

    def __init__(self, files: Collection[Path]) -> None:
        super().__init__()
        self._files = files

    def __call__(self, change: Change, path: str) -> bool:
        return super().__call__(change, path) and Path(path) in self._files


@dataclass(slots=True)
class FileWatch:
    """One watcher for each component with `watch:` paths."""

    requests: OperatorRequests
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _acts: set[asyncio.Task[Answer]] = field(default_factory=set)

    async def follow(self, components: Mapping[str, Component]) -> None:
        """Watch what the configuration names now; what it no longer names is let go, but no action
        is cut short.
        """
        wanted = {name: component for name, component in components.items() if component.watch}
        same = {
            name for name, component in wanted.items() if self._paths.get(name) == component.watch
        }
        await _end([self._tasks.pop(name) for name in list(self._tasks) if name not in same])
        for name in wanted.keys() - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._watch(wanted[name]))
        self._paths = {name: component.watch for name, component in wanted.items()}

    async def close(self) -> None:
        """End the watchers and what they do."""
        await _end([*self._tasks.values(), *self._acts])
        self._tasks.clear()

    async def _watch(self, component: Component) -> None:
        """A file is watched in its folder: many editors put a new file in its place, and the old
        one never changes.
        """
        paths = [Path(path) for path in component.watch]
        folders = [path for path in paths if path.is_dir()]
        files = frozenset(path for path in paths if path not in folders)
        await asyncio.gather(
            self._watch_all(component, folders, DefaultFilter(), recursive=True),
            self._watch_all(
                component, {path.parent for path in files}, _OnlyThese(files), recursive=False
            ),
        )

    async def _watch_all(
        self,
        component: Component,
        folders: Collection[Path],
        of_interest: DefaultFilter,
        *,
        recursive: bool,
    ) -> None:
        """What can't be watched now (it is away while it is replaced) is tried again."""
        milliseconds, said = int(DEBOUNCE * 1000), ""
        while folders:
            try:
                async for changes in awatch(
                    *folders,
                    watch_filter=of_interest,
                    debounce=8 * milliseconds,
                    step=milliseconds,
                    recursive=recursive,
                ):
                    said = ""
                    await self._react(component, changes)
            except (OSError, RuntimeError) as error:
                if str(error) != said:
                    log.error(
                        "files_not_watched",
                        component=component.name,
                        error=str(error),
                        folders=len(folders),
                    )
                said = str(error)
            await asyncio.sleep(TRY_AGAIN)

    async def _react(self, component: Component, changes: Collection[tuple[Change, str]]) -> None:
        first = Path(min(path for _, path in changes)).name
        reason = (
            f"{first} changed"
            if len(changes) == 1
            else f"{first} and {len(changes) - 1} more files changed"
        )
        log.info("files_changed", component=component.name, files=len(changes), first=first)
        for _ in range(TRIES):
            act = asyncio.create_task(self._act(component, reason))
            self._acts.add(act)
            act.add_done_callback(self._acts.discard)
            answer = await asyncio.shield(act)
            if not is_put_off(answer):
                break
            await asyncio.sleep(TRY_AGAIN)
        log.info("files_taken_over", component=component.name, outcome=answer.line)

    async def _act(self, component: Component, reason: str) -> Answer:
        remediator = self.requests.remediator
        if not remediator.automation.enabled:
            return Answer.refused(
                "observe mode: would reload or restart (actions.enabled is false)"
            )
        if component.name in remediator.fleet.stopped:
            return Answer.refused("it is stopped on request, or being restarted")
        driver = remediator.fleet.drivers.get(component.name)
        if driver is not None and RELOAD in driver.actions:
            return await self.requests.reload(component.name, reason)
        return await self.requests.restart(component.name, reason, by="watch")


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
