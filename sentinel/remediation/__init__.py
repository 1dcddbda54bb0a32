"""One file per driver: how a component is started, stopped, restarted, reloaded and observed.

A driver of its own kind (`process`) is the parent of what it starts. All the others speak to a
manager that owns the component: they are written as a `Manager` and become a driver by
`OutsideDriver`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict

from sentinel.adapters.http.client import HttpClient
from sentinel.core.model import Component
from sentinel.errors import ReplyLost, TargetError
from sentinel.shelf import LazyShelf

START, STOP, RESTART, RELOAD = "start", "stop", "restart", "reload"
ACTIONS = frozenset({START, STOP, RESTART, RELOAD})


class DriverOptions(BaseModel):
    """Base of every driver's options: strict, frozen, unknown keys refused. Its fields are YAML
    keys of a component.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action: `done`, or not, with the reason; `start_id` of what runs after it.

    `known` is False when the reply was lost: whether it happened can't be told, and it must not be
    done again.
    `futile`: another attempt would end the same way, a person has to act.
    """

    done: bool
    detail: str
    start_id: str = ""
    known: bool = True
    guidance: str = ""
    futile: bool = False

    @property
    def word(self) -> str:
        """`done`, `failed` or `unknown`, as the journal has it."""
        return "done" if self.done else "failed" if self.known else "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """What is to be seen of a component now. `running` None: can't be known, `detail` has the
    reason.

    `start_id` names the running incarnation for ever, "" when there is none or the driver can't
    tell.
    `healthy` is what its manager's own health check says, None without one. `busy`: its manager is
    at work on it (starts it, stops it, restarts it by itself, holds it paused), so there is nothing
    for sentinel to do.
    """

    running: bool | None
    start_id: str = ""
    pid: int | None = None
    detail: str = ""
    guidance: str = ""
    healthy: bool | None = None
    busy: bool = False


class Driver(Protocol):
    """Acts on one component. Actions never raise: every ending is an Outcome.

    `key` names the attempt ("incident/n", "" for an operator's word): who gets it twice does it
    once.
    """

    how_ended: str
    """How the component ended when it was not asked to, "" while it runs."""

    @property
    def actions(self) -> frozenset[str]:
        """Those of start, stop, restart and reload that this driver can do with this component."""
        ...

    @property
    def pid(self) -> int | None:
        """Process id while it runs, as far as known."""
        ...

    @property
    def start_id(self) -> str:
        """The last known incarnation; "" when there is none."""
        ...

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end(how)` when the component ends without being asked to."""
        ...

    def adopt(self, start_id: str) -> bool:
        """Take over what a former sentinel started; False when it no longer runs, or is not ours to
        hold.
        """
        ...

    async def observe(self) -> Observation:
        """Look now, in bounded time; never raises."""
        ...

    async def start(self, key: str = "") -> Outcome:
        """Start it."""
        ...

    async def stop(self, key: str = "") -> Outcome:
        """Stop it and wait; never kills unless the component is marked `kill_safe`."""
        ...

    async def restart(self, key: str = "") -> Outcome:
        """Stop it and start it; what does not stop is not started a second time."""
        ...

    async def reload(self, key: str = "") -> Outcome:
        """Have it read its configuration again."""
        ...

    def close(self) -> None:
        """Let go of it; the component goes on."""
        ...


@dataclass(frozen=True, slots=True)
class DriverContext:
    """What a driver may use: the folder for output of what it starts, and the clients of the
    resources, live.
    """

    log_folder: Path
    clients: Mapping[str, Any] = field(default_factory=dict)

    def http(self, name: str) -> HttpClient:
        """The client of an HTTP resource as it is now: a reload may replace it."""
        return cast(HttpClient, self.clients[name])


LOOK_EVERY = 2.0
"""Seconds between two looks of a driver at its component."""


def _always(_options: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class DriverKind:
    """A driver: everything that the rest of sentinel needs to know of it.

    `supervises`: sentinel is the parent, starts it with itself and stops it with the platform; else
    an outside manager owns it. `resources` maps option names to resource types, as a check kind's
    do. `observes(options)` says whether the implicit check `<component>.process` has anything to
    ask. `unavailable` is the remedy when the library of this driver is not installed.
    """

    name: str
    summary: str
    options: type[DriverOptions]
    make: Callable[[Component, Any, DriverContext], Driver]
    supervises: bool = False
    resources: Mapping[str, str] = field(default_factory=dict)
    observes: Callable[[Any], bool] = _always
    unavailable: str = ""


def load_drivers() -> Mapping[str, DriverKind]:
    """Every driver of this folder by name: a new file is a new driver, nothing else is edited."""
    return LazyShelf(__name__, DriverKind, "DRIVER")


class Manager(Protocol):
    """Who owns a component outside of sentinel. Both calls take bounded time and raise TargetError
    only.
    """

    actions: frozenset[str]

    async def look(self) -> Observation:
        """What runs now."""
        ...

    async def act(self, action: str, key: str) -> Outcome:
        """Have it done, and wait for the end of it. Raises ReplyLost when it can't be told whether
        it happened.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class OutsideDriver:
    """The driver of a component that a manager owns: sentinel asks, the manager acts, the start id
    tells.

    `prompt`: what the manager says it has started runs by then. Without it a start may only have
    been taken on: what does not run yet has not ended, and the start-up grace judges it.
    """

    def __init__(self, manager: Manager, *, prompt: bool = True) -> None:
        self._manager = manager
        self._prompt = prompt
        self._awaited = False
        self._on_end: Callable[[str], None] = lambda _how: None
        self._acting = False
        self._last = Observation(None, detail="not looked at yet")
        self.start_id = ""
        self.how_ended = ""

    @property
    def actions(self) -> frozenset[str]:
        """What its manager can do."""
        return self._manager.actions

    @property
    def pid(self) -> int | None:
        """Process id as it was last seen."""
        return self._last.pid

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end(how)` when an observation finds that the component has ended."""
        self._on_end = on_end

    def adopt(self, start_id: str) -> bool:
        """Nothing to take over: its manager holds it. The start id of a former sentinel is
        remembered.
        """
        self.start_id = start_id
        return False

    async def observe(self) -> Observation:
        """Ask its manager."""
        try:
            seen = await self._manager.look()
        except TargetError as error:
            seen = Observation(None, detail=error.message, guidance=error.guidance)
        self._note(seen)
        return seen

    async def start(self, key: str = "") -> Outcome:
        """Have it started."""
        return await self._do(START, key)

    async def stop(self, key: str = "") -> Outcome:
        """Have it stopped."""
        return await self._do(STOP, key)

    async def restart(self, key: str = "") -> Outcome:
        """Have it restarted."""
        return await self._do(RESTART, key)

    async def reload(self, key: str = "") -> Outcome:
        """Have it reload."""
        return await self._do(RELOAD, key)

    def close(self) -> None:
        """Let go of the manager."""
        self._manager.close()

    def _note(self, seen: Observation) -> None:
        before, self._last = self._last, seen
        if seen.start_id:
            self.start_id = seen.start_id
        self._awaited = self._awaited and not seen.running
        if seen.running is not False or seen.busy:
            self.how_ended = ""
        elif not self._acting and not self._awaited:
            self.how_ended = seen.detail or "does not run"
            if before.running:
                self._on_end(self.how_ended)

    async def _do(self, action: str, key: str) -> Outcome:
        if action not in self.actions:
            return Outcome(False, f"refused: this driver has no {action} for it", self.start_id)
        self._acting = True
        try:
            before = await self.observe()
            outcome = await self._act(action, key)
            after = await self.observe()
        finally:
            self._acting = False
        settled = _settle(action, before, after, outcome)
        if action in {START, RESTART} and settled.word != "failed":
            self.how_ended = ""
            self._awaited = not (self._prompt and settled.done)
            self._note(after)
        return settled

    async def _act(self, action: str, key: str) -> Outcome:
        try:
            return await self._manager.act(action, key)
        except TargetError as error:
            known = not isinstance(error, ReplyLost)
            return Outcome(False, error.message, known=known, guidance=error.guidance)


def _settle(action: str, before: Observation, after: Observation, outcome: Outcome) -> Outcome:
    """The start id answers what a lost reply leaves open: a new one, or nothing that runs after a
    stop: it happened.
    """
    if outcome.known:
        return replace(outcome, start_id=outcome.start_id or after.start_id)
    if _happened(action, before, after):
        return Outcome(True, f"{outcome.detail}; but it happened: {after.detail}", after.start_id)
    return replace(outcome, start_id=after.start_id)


def _happened(action: str, before: Observation, after: Observation) -> bool:
    if action == STOP:
        return after.running is False
    if action == RELOAD or not after.running or not after.start_id or before.running is None:
        return False
    return after.start_id != before.start_id
