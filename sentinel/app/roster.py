"""The checks that run: what each remembers is given back to it, and it is scheduled where its shard
is ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from sentinel.app.membership import Membership
from sentinel.app.reading import beside
from sentinel.clock import utcnow
from sentinel.core.fault import StandingFault
from sentinel.core.model import Check
from sentinel.engine.faults import find_begun
from sentinel.engine.picture import Picture
from sentinel.engine.runner import Runner
from sentinel.engine.scheduler import Scheduler
from sentinel.engine.upkeep import Upkeep
from sentinel.metrics.beginning import KEPT
from sentinel.probes import Kind
from sentinel.store import PLEDGE, Store

log = structlog.get_logger()


@dataclass(slots=True)
class CheckRoster:
    """Adds and removes checks everywhere at once: runner, picture, scheduler."""

    kinds: Mapping[str, Kind]
    store: Store
    runner: Runner
    picture: Picture
    scheduler: Scheduler
    membership: Membership
    upkeep: Upkeep
    _checks: dict[str, Check] = field(default_factory=dict)
    _scheduled: set[str] = field(default_factory=set)
    _recalled: bool = False
    _healths: dict[str, Any] = field(default_factory=dict)
    _states: dict[str, Any] = field(default_factory=dict)
    """What was remembered at the start, each used once: a check that comes again later begins anew.
    """
    _faults: dict[str, list[StandingFault]] = field(default_factory=dict)

    async def recall(self) -> None:
        """Read what the sentinel before this one remembered, once; before the first check is added."""
        if not self._recalled:
            self._recalled = True
            self._healths, self._states, self._faults = await beside(self._read)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[StandingFault]]]:
        states, since = self.store.probe_states(), utcnow() - timedelta(seconds=KEPT)
        return self.store.healths(), states, _by_check(self.store.faults(since=since))

    def add(self, check: Check) -> None:
        """Begin to run a check, with what was believed of it and what it remembered."""
        kind = self.kinds[check.kind]
        self._restore(check, kind)
        health, faults = self._healths.pop(check.name, None), self._faults.pop(check.name, [])
        standing = [each for each in faults if each.ended is None]
        self.picture.add_check(check, kind, health, standing)
        begun = find_begun(faults)
        self.picture.metrics.beginnings.note(check.name, check.component, begun)
        self._checks[check.name] = check
        if self.membership.owns(check.name):
            self._schedule(check)

    def place(self) -> None:
        """Shards came or went: run what is ours now, and nothing else."""
        for name, check in self._checks.items():
            owned = self.membership.owns(name)
            if owned and name not in self._scheduled:
                self._schedule(check)
            elif not owned and name in self._scheduled:
                self._scheduled.discard(name)
                self.upkeep.once("roster", self.scheduler.remove(name))

    def _schedule(self, check: Check) -> None:
        self._scheduled.add(check.name)
        self.scheduler.add(check)

    async def remove(self, name: str) -> None:
        """Forget a check."""
        await self.scheduler.remove(name)
        self.picture.remove_check(name)
        self._checks.pop(name, None)
        self._scheduled.discard(name)
        await self._close(name)

    async def close(self) -> None:
        """Close what the kinds remember."""
        for name in list(self.runner.states):
            await self._close(name)

    async def _close(self, name: str) -> None:
        state = self.runner.states.pop(name, None)
        if state is not None:
            await state.close()

    def _restore(self, check: Check, kind: Kind) -> None:
        """Give a kind with a memory what it dumped before; a dump that it can't read is set aside,
        and said.
        """
        if kind.load_state is None or check.name in self.runner.states:
            return
        try:
            self.runner.states[check.name] = kind.load_state(self._find_dump(check.name, kind))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("probe_state_unreadable", check=check.name, error=repr(error))
            self.runner.states[check.name] = kind.load_state(None)

    def _find_dump(self, name: str, kind: Kind) -> Any:
        """The dump that was written last, and what was pledged since."""
        dump = self._states.pop(name, None)
        pledge = self.store.meta(PLEDGE + name) if kind.pledges else None
        return {**dump, **json.loads(pledge)} if dump and pledge else dump


def _by_check(faults: Iterable[StandingFault]) -> dict[str, list[StandingFault]]:
    found: dict[str, list[StandingFault]] = {}
    for each in faults:
        found.setdefault(each.check, []).append(each)
    return found
