"""Containers by the Docker Engine API on a unix socket: Docker's own, and Podman's.

One short session for each call: nothing is held, nothing is left open. Times in seconds. Raises
TargetError only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from sentinel.core.quantity import format_duration
from sentinel.errors import NotMeasurable, ReplyLost, TargetError, TargetRejected, TargetUnreachable

try:
    from aiodocker import Docker, DockerError
except ImportError:
    UNAVAILABLE = "install its library: pip install 'sentinel-sre[docker]'"
else:
    UNAVAILABLE = ""

NEVER = 365 * 86400
"""Seconds that stand for "don't kill": the engine kills what has not ended after the time it is
given.
"""
_NO_CONNECTION = 900
_BAD_REQUEST = 400
_TIMEOUT = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class Container:
    """A container at one moment, in the engine's words.

    `status` created, running, paused, restarting, removing, stopping (Podman), stopped, exited,
    dead.
    `health` is what its own health check says: starting, healthy, unhealthy, or "" without one.
    """

    id: str
    status: str
    running: bool
    pid: int
    started_at: str
    exit_code: int
    out_of_memory: bool
    error: str
    health: str
    failing_streak: int
    restarts: int


class DockerEngine:
    """The engine that listens on a unix socket."""

    def __init__(self, socket: str, seconds: float = 3.0) -> None:
        self._socket = socket
        self._seconds = seconds
        self._version = ""

    async def inspect(self, name: str) -> Container | None:
        """What the container is doing; None when there is none of that name."""
        async with self._session() as docker:
            return await self._inspect(docker, name)

    async def start(self, name: str, seconds: float) -> None:
        """Start it; one that runs already stays as it is. Raises ReplyLost after `seconds`."""
        async with self._session() as docker:
            await self._act(name, "start", docker.containers.container(name).start(), seconds)

    async def stop(self, name: str, seconds: float, *, kill: bool) -> bool:
        """Send its stop signal and wait; whether it has ended within `seconds`.

        With `kill` the engine kills what has not ended by then. Without it the engine goes on
        waiting: what ends later stays stopped, as was asked for.
        """
        async with self._session() as docker:
            stop = docker.containers.container(name).stop(t=int(seconds) if kill else NEVER)
            try:
                await self._act(name, "stop", stop, seconds + 10.0 if kill else seconds)
            except ReplyLost as lost:
                if await self._has_ended(docker, name, lost):
                    return True
                if kill or lost.code != _TIMEOUT:
                    raise
                return False
        return True

    async def signal(self, name: str, signal: str) -> None:
        """Send a signal to its first process."""
        async with self._session() as docker:
            work = docker.containers.container(name).kill(signal=signal)
            await self._act(name, f"signal {signal}", work, self._seconds)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Docker]:
        """A client that knows which version of its API the engine speaks."""
        docker = Docker(f"unix://{self._socket}")
        try:
            if not self._version:
                self._version = await self._ask_version(docker)
            docker.api_version = self._version
            yield docker
        finally:
            await docker.close()

    async def _ask_version(self, docker: Docker) -> str:
        """By ping, as `/version` takes Podman a second. When this fails, nothing was asked of the
        engine yet.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await docker.session.get(f"{docker.docker_host}/_ping")
        except TimeoutError as error:
            raise self._silent() from error
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from error
        answer.release()
        version = answer.headers.get("Api-Version", "")
        if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version):
            raise self._stranger("no Api-Version")
        return f"v{version}"

    async def _inspect(self, docker: Docker, name: str) -> Container | None:
        try:
            async with asyncio.timeout(self._seconds):
                found = await docker.containers.container(name).show()
            return _container(found)
        except TimeoutError as error:
            raise self._silent() from error
        except DockerError as error:
            if error.status == 404:
                return None
            raise self._translate(error, "inspect") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._translate(error, "inspect") from error

    async def _has_ended(self, docker: Docker, name: str, lost: ReplyLost) -> bool:
        """Whether a stop without a reply has happened; when nobody tells, the reply stays lost."""
        try:
            after = await self._inspect(docker, name)
        except TargetError:
            raise lost from None
        return after is None or not (after.running or after.status == "stopping")

    async def _act(self, name: str, what: str, work: Any, seconds: float) -> None:
        """`work` is a call that changes something: when its reply is lost, it may have happened."""
        try:
            async with asyncio.timeout(seconds):
                await work
        except TimeoutError as error:
            text = f"{what} {name}: no reply within {format_duration(seconds)}"
            guidance = "is the engine frozen, or does the container not end?"
            raise ReplyLost(text, guidance, code=_TIMEOUT) from error
        except DockerError as error:
            if error.status == _NO_CONNECTION:
                raise ReplyLost(
                    f"{what} {name}: the engine hung up without a reply", "was it restarted?"
                ) from error
            raise self._translate(error, what) from error
        except OSError as error:
            raise ReplyLost(
                f"{what} {name}: the connection broke: {error}", "was the engine restarted?"
            ) from error

    def _silent(self) -> TargetError:
        text = (
            f"the engine on {self._socket} did not answer within {format_duration(self._seconds)}"
        )
        return TargetUnreachable(text, "is the engine frozen or overloaded?")

    def _translate(self, error: Exception, what: str) -> TargetError:
        if not isinstance(error, DockerError):
            return self._stranger(type(error).__name__)
        if error.status == _NO_CONNECTION:
            return self._unreachable(error)
        text = " ".join(str(error.message).split())[:200]
        if error.status == _BAD_REQUEST:
            self._version = (
                ""  # another engine may listen there by now, which speaks another version
            )
        if error.status in {401, 403}:
            return NotMeasurable(
                f"the engine refuses {what}: {text}", "give this user the right to it"
            )
        return TargetRejected(
            f"the engine refuses {what}: {text}", "look at the engine's log", code=str(error.status)
        )

    def _stranger(self, why: str) -> TargetError:
        text = f"the answer on {self._socket} is not that of a container engine ({why})"
        return NotMeasurable(text, "what listens on this socket?")

    def _unreachable(self, error: Exception) -> TargetError:
        cause = getattr(error, "os_error", None) or getattr(error.__context__, "os_error", None)
        if isinstance(cause, PermissionError):
            remedy = "let this user open it (group docker or podman), or name a socket of its own"
            return NotMeasurable(f"permission denied on {self._socket}", remedy)
        reason = getattr(cause, "strerror", None) or "it hung up"
        return NotMeasurable(
            f"no engine answers on {self._socket}: {reason}",
            "does the engine run, and listen there?",
        )


def _container(found: Any) -> Container:
    state = found["State"]
    health = state.get("Health") or {}
    status = str(health.get("Status") or "")
    return Container(
        id=str(found["Id"]),
        status=str(state["Status"]),
        running=bool(state["Running"]),
        pid=int(state.get("Pid") or 0),
        started_at=str(state.get("StartedAt") or ""),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=" ".join(str(state.get("Error") or "").split())[:200],
        health="" if status == "none" else status,
        failing_streak=int(health.get("FailingStreak") or 0),
        restarts=int(found.get("RestartCount") or 0),
    )
