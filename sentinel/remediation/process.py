"""The `process` driver: a supervised child in a session of its own; its death is noticed by pidfd, at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sentinel.adapters.process import Process, adopt, find_marked, spawn
from sentinel.core.model import Component
from sentinel.remediation import Outcome

MARK = "SENTINEL_SUPERVISED"
"""Environment variable that marks what sentinel started, as state folder and component."""


class ProcessDriver:
    """Supervises one component. Its output goes to `<state>/log/<component>.log`."""

    def __init__(self, component: Component, log_folder: Path) -> None:
        self._component = component
        self._log = log_folder / f"{component.name}.log"
        self._mark = (MARK, f"{log_folder.resolve()}#{component.name}")
        self._process: Process | None = None
        self._on_end: Callable[[str], None] = lambda _how: None
        self._expected = False
        self.how_ended = ""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    @property
    def start_id(self) -> str:
        """Names the running incarnation for ever; "" when there is none."""
        return self._process.start_id if self._process is not None else ""

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end(how)` when the process ends without being asked to."""
        self._on_end = on_end

    def adopt(self, start_id: str) -> bool:
        """Take over what a former sentinel started; False when it no longer runs.

        Looks for `start_id` first, then for the mark in the environment: sentinel may have ended
        between the start and the note of it.
        """
        process = (adopt(start_id) if start_id else None) or find_marked(self._mark)
        if process is not None:
            self._hold(process)
        return process is not None

    async def start(self) -> Outcome:
        """Start it in a session of its own."""
        if self.pid is not None:
            return Outcome(True, f"already runs (pid {self.pid})", self.start_id)
        component = self._component
        self.close()
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            env = {**component.env, self._mark[0]: self._mark[1]}
            process = spawn(component.command, env, component.cwd, self._log)
        except OSError as error:
            return Outcome(False, f"can't be started: {error.strerror or error}: {error.filename or ''}".rstrip(": "))
        except ValueError as error:
            return Outcome(False, f"can't be started: {error}")
        self._hold(process)
        return Outcome(True, f"started (pid {process.pid})", process.start_id)

    async def stop(self) -> Outcome:
        """TERM → wait → refuse to escalate, or KILL where the component is marked `kill_safe`."""
        process = self._process
        if process is None or not process.is_alive():
            return Outcome(True, "was not running")
        self._expected = True
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)  # a stopped process takes TERM only when it goes on
        if not await process.wait(self._component.restart.stop_timeout) and not await self._kill(process):
            self._expected = False
            seconds = self._component.restart.stop_timeout
            return Outcome(False, f"did not end within {seconds:g} s of SIGTERM and is not marked kill_safe")
        process.signal_group(signal.SIGTERM)
        self._forget()
        return Outcome(True, f"stopped: {process.describe_exit()}")

    async def _kill(self, process: Process) -> bool:
        if not self._component.restart.kill_safe:
            return False
        process.signal(signal.SIGKILL)
        process.signal_group(signal.SIGKILL)
        return await process.wait(5.0)

    def _hold(self, process: Process) -> None:
        self._process, self._expected, self.how_ended = process, False, ""
        asyncio.get_running_loop().add_reader(process.fileno(), self._ended)

    def _ended(self) -> None:
        process = self._process
        if process is None:
            return
        asyncio.get_running_loop().remove_reader(process.fileno())
        if not process.is_alive() and not self._expected:
            self.how_ended = process.describe_exit()
            process.signal_group(signal.SIGTERM)
            self._on_end(self.how_ended)

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(process.fileno())
            process.close()

    def close(self) -> None:
        """Let go of it; the process goes on."""
        self._forget()
