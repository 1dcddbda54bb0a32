"""The `docker` driver: a container of Docker or Podman, by the engine's socket.

The engine kills what ignores its stop signal for longer than it was told to wait; so it is told to
wait for ever, unless the component is marked `kill_safe`. What the engine restarts by itself is
left to it.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from sentinel.adapters.docker import UNAVAILABLE, Container, DockerEngine
from sentinel.core.model import Component, RestartPolicy
from sentinel.remediation import (
    ACTIONS,
    RELOAD,
    START,
    STOP,
    DriverContext,
    DriverKind,
    DriverOptions,
    Observation,
    Outcome,
    OutsideDriver,
)
from sentinel.strict.field import Duration

_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_AT_WORK = {
    "paused": "paused by somebody: not acted upon",
    "restarting": "the engine restarts it by itself",
    "removing": "is being removed",
    "stopping": "has been asked to stop and has not ended yet",
}


class DockerOptions(DriverOptions):
    """Which container, and whose."""

    container: str = Field(description="name or id of the container", examples=["name"])
    socket: str = Field(
        "/var/run/docker.sock", description="the engine's socket; Podman: /run/podman/podman.sock"
    )
    reload_signal: Literal["HUP", "USR1", "USR2"] | None = Field(
        None,
        description=(
            "the signal at which it reads its configuration again; without one it can't be reloaded"
        ),
    )
    deadline: Duration = Field(
        30.0, gt=0, description="time for a start; a stop has restart.stop_timeout"
    )

    @field_validator("container")
    @classmethod
    def _is_container(cls, name: str) -> str:
        if not _CONTAINER.fullmatch(name):
            raise ValueError(
                "must be the name or id of a container: letters, digits and _ . - only"
            )
        return name

    @field_validator("socket")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("must be the absolute path of a unix socket")
        return path


class DockerManager:
    """One container."""

    def __init__(self, options: DockerOptions, policy: RestartPolicy) -> None:
        self._options = options
        self._policy = policy
        self._engine = DockerEngine(options.socket)
        self.actions = ACTIONS if options.reload_signal else ACTIONS - {RELOAD}

    async def look(self) -> Observation:
        """The engine's word, with the container's own health check."""
        return observe(self._options.container, await self._engine.inspect(self._options.container))

    async def act(self, action: str, key: str) -> Outcome:  # noqa: ARG002 - a second start or stop changes nothing
        """Stop is a signal and a wait, restart is a stop and a start."""
        name = self._options.container
        found = await self._engine.inspect(name)
        if found is None:
            return Outcome(
                False,
                f"there is no container {name}",
                guidance="create it: sentinel only starts and stops",
            )
        if action != STOP and found.status in _AT_WORK:
            return Outcome(False, f"refused: {_AT_WORK[found.status]}")
        if action == RELOAD:
            return await self._reload(name, found)
        if action != START and not await self._stop(name):
            seconds = self._policy.stop_timeout
            why = f"did not end within {seconds:g} s of its stop signal and is not marked kill_safe"
            return Outcome(False, why, futile=True)
        if action == STOP:
            return Outcome(True, "stopped")
        await self._engine.start(name, self._options.deadline)
        return Outcome(True, "started")

    async def _stop(self, name: str) -> bool:
        return await self._engine.stop(name, self._policy.stop_timeout, kill=self._policy.kill_safe)

    async def _reload(self, name: str, found: Container) -> Outcome:
        if not found.running:
            return Outcome(False, "does not run: nothing to reload")
        await self._engine.signal(name, f"SIG{self._options.reload_signal}")
        return Outcome(True, f"sent SIG{self._options.reload_signal}")

    def close(self) -> None:
        """Nothing is held."""


def observe(name: str, found: Container | None) -> Observation:
    """A container in our words."""
    if found is None:
        return Observation(
            False, detail=f"there is no container {name}", guidance="was it removed? create it"
        )
    start_id, pid = f"{found.id[:12]}/{found.started_at}", found.pid or None
    if found.status in _AT_WORK:
        detail = f"{_AT_WORK[found.status]}{f' ({found.restarts} times so far)' if found.restarts else ''}"
        return Observation(found.status != "restarting", start_id, pid, detail, busy=True)
    if not found.running:
        return Observation(
            False, start_id, detail=_ending(found), guidance=f"look at its log: docker logs {name}"
        )
    text = f"runs{f' (pid {pid})' if pid else ''}"
    if found.health == "starting":
        return Observation(
            True, start_id, pid, f"{text}, its health check has not passed yet", busy=True
        )
    if found.health == "unhealthy":
        text += f", but its health check failed {found.failing_streak} times in a row"
    healthy = {"healthy": True, "unhealthy": False}.get(found.health)
    return Observation(True, start_id, pid, text, healthy=healthy)


def _ending(found: Container) -> str:
    if found.status == "created":
        return "was created and never started"
    why = "out of memory" if found.out_of_memory else found.error
    word = "dead" if found.status == "dead" else "exited"
    return f"{word} with status {found.exit_code}{f': {why}' if why else ''}"


def _make(component: Component, options: DockerOptions, _context: DriverContext) -> OutsideDriver:
    return OutsideDriver(DockerManager(options, component.restart))


DRIVER = DriverKind(
    name="docker",
    summary="A container of Docker or Podman, by the engine's socket; not killed unless kill_safe",
    options=DockerOptions,
    make=_make,
    unavailable=UNAVAILABLE,
)
