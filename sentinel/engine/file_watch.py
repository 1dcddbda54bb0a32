"""Hot reload: when the files of a component change, it reloads or restarts. That is no crash and
spends no budget of failures; it has one of its own.

It is blind to what the component writes by itself, as far as that can be known: files in the state
folder, files that a process of it holds open for writing, and changes that were there before its
latest start. What remains is bounded, and said in its finding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
from watchfiles import Change, DefaultFilter, awatch

from sentinel.adapters.process.marked import list_written
from sentinel.clock import utcnow
from sentinel.core.model import Component
from sentinel.core.order import Answer, AnswerWord
from sentinel.core.remediation.change import (
    HOUR,
    ChangePolicy,
    count_streak,
    decide_change,
)
from sentinel.engine.requests import OperatorRequests, is_put_off
from sentinel.engine.upkeep import Upkeep, end_tasks, is_told_to_end
from sentinel.metrics import Metrics
from sentinel.remediation import RELOAD

log = structlog.get_logger()

DEBOUNCE = 0.5
"""Seconds without a further change after which the changes count as one: an editor writes several
times.
"""
TRY_AGAIN = 1.0
TRIES = 60
RAISED = 5
"""Tries to take a change over that may raise something; the pause before each next one is twice as
long.
"""
_STEP = 1.0
"""Seconds by which the wall clock may differ from uptime and still count as not set."""


class _OnlyThese(DefaultFilter):
    """Changes of some files of a folder."""

    def __init__(self, files: Collection[Path]) -> None:
        super().__init__()
        self._files = files

    def __call__(self, change: Change, path: str) -> bool:
        return super().__call__(change, path) and Path(path) in self._files


@dataclass(slots=True)
class _Taken:
    """What was taken over of one component: monotonic instants, how many of these in a row came soon
    after a start, and when the latest act began (Unix seconds, 0 for none).
    """

    instants: list[float] = field(default_factory=list)
    streak: int = 0
    began: float = 0.0


@dataclass(slots=True)
class FileWatch:
    """One watcher for each component with `watch:` paths."""

    requests: OperatorRequests
    policy: ChangePolicy = field(default_factory=ChangePolicy)
    upkeep: Upkeep = field(default_factory=lambda: Upkeep(Metrics()))
    _taken: dict[str, _Taken] = field(default_factory=dict)
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
        await end_tasks([self._tasks.pop(name) for name in list(self._tasks) if name not in same])
        for name in wanted.keys() - self._tasks.keys():
            watch = partial(self._watch, wanted[name])
            self._tasks[name] = self.upkeep.keep("file_watch", watch, component=name)
        self._paths = {name: component.watch for name, component in wanted.items()}

    async def close(self) -> None:
        """End the watchers and what they do."""
        await end_tasks([*self._tasks.values(), *self._acts])
        self._tasks.clear()

    async def _watch(self, component: Component) -> None:
        """A file is watched in its folder: many editors put a new file in its place, and the old
        one never changes.
        """
        paths = [Path(path) for path in component.watch]
        folders = [path for path in paths if path.is_dir()]
        files = frozenset(path for path in paths if path not in folders)
        async with asyncio.TaskGroup() as both:  # what one raises ends the other, too
            both.create_task(self._watch_all(component, folders, DefaultFilter(), recursive=True))
            parents = {path.parent for path in files}
            both.create_task(
                self._watch_all(component, parents, _OnlyThese(files), recursive=False)
            )
            both.create_task(asyncio.Event().wait())  # with nothing to watch: no end either

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
                    await self._react_surely(component, changes)
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

    async def _react_surely(
        self, component: Component, changes: Collection[tuple[Change, str]]
    ) -> None:
        """A change is seen once: what is raised while it is taken over must not lose it."""
        for n in range(RAISED):
            try:
                await self._react(component, changes)
            except BaseException as error:
                if is_told_to_end(error):
                    raise
                self.upkeep.note("file_watch", error, component=component.name)
            else:
                return
            await asyncio.sleep(TRY_AGAIN * 2**n)

    async def _react(self, component: Component, changes: Collection[tuple[Change, str]]) -> None:
        changes = await self._find_foreign(component.name, changes)
        if not changes:
            return
        await self._wait_for_budget(component.name)
        now, began = self.requests.remediator.monotonic(), utcnow().timestamp()
        answer = await self._take_over(component, changes)
        if answer.word in {AnswerWord.DONE, AnswerWord.FAILED}:  # else nothing was started
            taken = self._taken[component.name]
            taken.instants = [*(each for each in taken.instants if now - each < HOUR), now]
            taken.began = began

    async def _find_foreign(
        self, name: str, changes: Collection[tuple[Change, str]]
    ) -> Collection[tuple[Change, str]]:
        """The changes that the component has not made, and does not know of."""
        taken = self._taken.setdefault(name, _Taken())
        state = self.requests.remediator.automation.halt_file.parent
        now = self.requests.remediator.monotonic()
        news = [each for each in changes if not _is_known(Path(each[1]), taken, now)]
        news = [each for each in news if not Path(each[1]).is_relative_to(state)]
        driver = self.requests.remediator.fleet.drivers.get(name)
        if not news or driver is None or driver.pid is None:
            return news
        own = await asyncio.to_thread(list_written, driver.pid)
        foreign = [each for each in news if Path(each[1]) not in own]
        if len(foreign) < len(news):
            first = next(Path(path).name for _, path in news if Path(path) in own)
            self._say(name, f"{first}, which is watched, is written by itself: that is no change")
        return foreign

    async def _wait_for_budget(self, name: str) -> None:
        """Longer from one to the next that comes right after a start; what changes meanwhile is one
        with it.
        """
        taken = self._taken.setdefault(name, _Taken())
        now = self.requests.remediator.monotonic()
        latest = now - taken.instants[-1] if taken.instants else None
        taken.streak = count_streak(self.policy, taken.streak, latest)
        ages = max(self._journaled(name), [now - each for each in taken.instants], key=len)
        decision = decide_change(self.policy, taken.streak, ages)
        if decision.why:
            self._say(name, decision.why)
        elif taken.streak == 0:
            self.requests.remediator.fleet.notes.pop(name, None)
        await asyncio.sleep(decision.wait)

    def _journaled(self, name: str) -> list[float]:
        """A restart of sentinel gives no budget back."""
        remediator = self.requests.remediator
        now, attempts = remediator.moment(), remediator.journal.all(name)
        ages = [now.seconds_since(each.began) for each in attempts if each.by == "watch"]
        return [age for age in ages if age < HOUR]

    def _say(self, name: str, text: str) -> None:
        notes = self.requests.remediator.fleet.notes
        if notes.get(name) != text:
            log.warning("watch_held_back", component=name, why=text)
        notes[name] = text

    async def _take_over(
        self, component: Component, changes: Collection[tuple[Change, str]]
    ) -> Answer:
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
        return answer

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


def _is_known(path: Path, taken: _Taken, now: float) -> bool:
    """Whether a file was as it is now before the latest act began: what was started then has read
    it. Asked of one clock only, and of that only while it was not set.
    """
    if not taken.instants:
        return False
    if abs(utcnow().timestamp() - taken.began - (now - taken.instants[-1])) > _STEP:
        return False
    try:
        return path.lstat().st_ctime < taken.began - 0.01  # the kernel stamps by its tick
    except OSError:  # it is gone: who knows since when
        return False
