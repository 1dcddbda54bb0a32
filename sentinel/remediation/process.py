"""The `process` driver: a supervised child in a session of its own; its death is noticed by pidfd,
at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from sentinel.adapters.process.handle import (
    AmbiguousMark,
    Process,
    adopt,
    find_marked,
    let_go,
    open_log,
    spawn,
)
from sentinel.adapters.process.marked import MarkedProcess, list_marked, list_writers
from sentinel.adapters.process.output import OUTPUTS
from sentinel.core.model import Component
from sentinel.core.quantity import format_bytes
from sentinel.remediation import (
    ACTIONS,
    RELOAD,
    DriverContext,
    DriverKind,
    DriverOptions,
    Observation,
    Outcome,
)

MARK = "SENTINEL_SUPERVISED"
"""Environment variable that marks what sentinel started, as state folder and component."""
DAEMONIZES_WITHIN = 60.0
"""Seconds of life after which an end with status 0 is no step of a daemon into the background."""
LAST_ACTS = 0.5
"""Seconds for which what it starts while it ends may live."""
_SHOWN = 3
"""Processes that are named one by one."""
_DAEMONIZED = "left processes of its own"
_ONE_OF_THEM = "end all but the right one (`ps -o pid,lstart,args -p PID`), and it is taken over"
_UNSEEN = (
    "it ended while nobody looked, or in order right after its start: look at its log; if it has put"
    " itself into the background, with neither its environment nor its output, have it stay in the"
    " foreground"
)
_FOREGROUND = (
    "have it stay in the foreground (often --foreground, -F or --nodaemon) and end what it left; or"
    " give it the driver systemd or command"
)


class ProcessDriverOptions(DriverOptions):
    """What is started, and how."""

    command: list[str] = Field(
        min_length=1,
        description="program and arguments; no shell",
        examples=["[/usr/bin/env, python3, worker.py]"],
    )
    env: dict[str, str] = Field(
        {}, description="its environment, beside PATH, HOME, locale and time zone"
    )
    cwd: str = Field("", description="its working folder; default: sentinel's")
    reload_signal: Literal["HUP", "USR1", "USR2"] | None = Field(
        None,
        description=(
            "the signal at which it reads its configuration again; without one it can't be reloaded"
        ),
    )


class ProcessDriver:
    """Supervises one component. Its output goes to `<log_folder>/<component>.log`."""

    def __init__(
        self, component: Component, options: ProcessDriverOptions, log_folder: Path
    ) -> None:
        self._component = component
        self._options = options
        self._log = log_folder / f"{component.name}.log"
        self._mark = (MARK, f"{log_folder.resolve()}#{component.name}")
        self._process: Process | None = None
        self._on_end: Callable[[str], None] = lambda _how: None
        self._expected = False
        self._born = 0.0
        self._bounded = False
        self._parted: int | None = None
        """Session of the one that went by itself or unseen: what it left may be the component."""
        self._doubt: tuple[str, str] | None = None
        """(start id that was looked for, why it could not be found out what runs)."""
        self.how_ended = ""

    @property
    def actions(self) -> frozenset[str]:
        """Everything, but reload only with a signal for it."""
        return ACTIONS if self._options.reload_signal else ACTIONS - {RELOAD}

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    @property
    def start_id(self) -> str:
        """Names the running incarnation for ever (boot, pid, ticks); "" when there is none."""
        return self._process.start_id if self._process is not None else ""

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end(how)` when the process ends without being asked to."""
        self._on_end = on_end

    def adopt(self, start_id: str) -> bool:
        """Take over what a former sentinel started; False when it no longer runs.

        Looks for `start_id` first, then for the mark in the environment: sentinel may have ended
        between the start and the note of it.
        """
        try:
            process = (adopt(start_id) if start_id else None) or find_marked(self._mark)
        except AmbiguousMark as error:
            self._doubt = (start_id, f"{error} carry its mark: which is it?")
            return False
        except Exception as error:  # noqa: BLE001 - one component's trouble, never the daemon's
            self._doubt = (start_id, f"can't tell whether it still runs: {error!r}")
            return False
        self._doubt = None
        if process is None:
            number = start_id.split("/")[1] if start_id.count("/") == 2 else ""
            self._parted = int(number) if number.isascii() and number.isdigit() else 0
            return False
        self._hold(process)
        return True

    async def observe(self) -> Observation:
        """Its pidfd tells."""
        if self._is_in_doubt():
            return Observation(None, detail=self._why_in_doubt(), guidance=_ONE_OF_THEM)
        pid = self.pid
        if pid is None:
            how = f"process {self.how_ended or 'does not run'}"
            if self._parted is None:
                return Observation(False, detail=how)
            guidance = _FOREGROUND if _DAEMONIZED in how else _UNSEEN
            return Observation(False, detail=how, guidance=guidance if self.how_ended else "")
        return Observation(True, self.start_id, pid, f"runs (pid {pid}){self._describe_loss()}")

    def _describe_loss(self) -> str:
        """What its log could not take."""
        lost = OUTPUTS.dropped(self._log)
        return (
            f"; {format_bytes(lost)} of its output were dropped: it prints faster than its log takes"
            if lost
            else ""
        )

    def _is_in_doubt(self) -> bool:
        """Whether it still can't be told what runs; looked at again each time."""
        if self._doubt is not None:
            self.adopt(self._doubt[0])
        return self._doubt is not None

    def _why_in_doubt(self) -> str:
        return self._doubt[1] if self._doubt is not None else ""

    def _left_behind(self) -> list[MarkedProcess]:
        """What lives in sessions of its own after its parent went by itself: what it has put into
        the background. A parent that crashed or was stopped has left nothing on purpose.
        """
        if self._parted is None:
            return []
        return [each for each in self._list_own() if each.session != self._parted]

    def _list_own(self) -> list[MarkedProcess]:
        """All that descends from it, as far as that shows: by the mark, and by its output."""
        try:
            found = [*list_marked(self._mark), *list_writers(self._log.resolve())]
        except OSError:
            return []
        return sorted({each.pid: each for each in found}.values(), key=lambda each: each.pid)

    async def _find_successors(
        self, process: Process, known: Container[int]
    ) -> list[MarkedProcess]:
        """What it has started in a session of its own while it was told to end, and lives on."""
        for last in (False, True):
            own = await asyncio.to_thread(self._list_own)
            new = [each for each in own if each.pid not in known and each.session != process.pid]
            if last or not new:
                return new
            await asyncio.sleep(LAST_ACTS)
        return []

    async def start(self, key: str = "") -> Outcome:  # noqa: ARG002 - a second start of what runs starts nothing
        """Start it in a session of its own."""
        if self.pid is not None:
            return Outcome(True, f"already runs (pid {self.pid})", self.start_id)
        options = self._options
        if self._is_in_doubt():
            return Outcome(False, f"not started: {self._why_in_doubt()}", guidance=_ONE_OF_THEM)
        # why a thread: it looks at every descriptor of the machine
        if left := await asyncio.to_thread(self._left_behind):
            # another start would make a second one of it
            text = f"not started again: it {_describe_left(left)}"
            return Outcome(False, text, guidance=_FOREGROUND, futile=True)
        self.close()
        try:
            stream = await open_log(self._log)
            env = {**options.env, self._mark[0]: self._mark[1]}
            process = spawn(options.command, env, options.cwd, stream)
        except OSError as error:
            return Outcome(
                False,
                f"can't be started: {error.strerror or error}: {error.filename or ''}".rstrip(": "),
            )
        except ValueError as error:
            return Outcome(False, f"can't be started: {error}")
        self._hold(process)
        self._parted = None
        return Outcome(True, f"started (pid {process.pid})", process.start_id)

    async def stop(self, key: str = "") -> Outcome:  # noqa: ARG002 - a second stop finds nothing that runs
        """TERM → wait → refuse to escalate, or KILL where the component is marked `kill_safe`."""
        process = self._process
        if process is None or not process.is_alive():
            return Outcome(True, "was not running")
        self._expected = True
        known = {each.pid for each in await asyncio.to_thread(self._list_own)}
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)  # a stopped process takes TERM only when it goes on
        if not await process.wait(self._component.restart.stop_timeout) and not await self._kill(
            process
        ):
            self._expected = False
            policy = self._component.restart
            why = (
                "survived SIGKILL: it waits in the kernel"
                if policy.kill_safe
                else "is not marked kill_safe"
            )
            return Outcome(
                False,
                f"did not end within {policy.stop_timeout:g} s of SIGTERM and {why}",
                futile=True,
            )
        process.signal_group(signal.SIGTERM)
        self._forget()
        if new := await self._find_successors(process, known):
            self._parted = process.pid
            text = f"it ended, and {_describe_left(new)}"
            return Outcome(False, text, guidance=_FOREGROUND, futile=True)
        return Outcome(True, f"stopped: {process.describe_exit()}")

    async def restart(self, key: str = "") -> Outcome:
        """Stop it, then start it; what does not stop is not started a second time."""
        stopped = await self.stop(key)
        return await self.start(key) if stopped.done else stopped

    async def reload(self, key: str = "") -> Outcome:  # noqa: ARG002 - reading a configuration twice is harmless
        """Send it its reload signal."""
        name, process = self._options.reload_signal, self._process
        if name is None:
            return Outcome(
                False, "refused: no reload_signal is configured, and an unknown signal may end it"
            )
        if process is None or not process.is_alive():
            return Outcome(False, "does not run: nothing to reload")
        process.signal(signal.Signals[f"SIG{name}"])
        return Outcome(True, f"sent SIG{name} (pid {process.pid})", process.start_id)

    async def _kill(self, process: Process) -> bool:
        if not self._component.restart.kill_safe:
            return False
        process.signal(signal.SIGKILL)
        process.signal_group(signal.SIGKILL)
        return await process.wait(5.0)

    def _hold(self, process: Process) -> None:
        self._process, self._expected, self.how_ended = process, False, ""
        self._born = asyncio.get_running_loop().time()
        if not self._bounded:
            OUTPUTS.follow(self._log)
            self._bounded = True
        asyncio.get_running_loop().add_reader(process.fileno(), self._ended)

    def _ended(self) -> None:
        process = self._process
        if process is None:
            return
        asyncio.get_running_loop().remove_reader(process.fileno())
        if not process.is_alive() and not self._expected:
            self.how_ended = process.describe_exit()
            process.signal_group(signal.SIGTERM)
            age = asyncio.get_running_loop().time() - self._born
            if process.exit_status == 0 and age < DAEMONIZES_WITHIN:
                self._parted = process.pid
            if left := self._left_behind():
                self.how_ended += f" and {_describe_left(left)}"
            self._on_end(self.how_ended)

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(process.fileno())
            let_go(process)

    def close(self) -> None:
        """Let go of it; the process goes on."""
        self._forget()
        if self._bounded:
            OUTPUTS.leave(self._log)
            self._bounded = False


def _describe_left(left: Sequence[MarkedProcess]) -> str:
    named = ", ".join(map(str, left[:_SHOWN]))
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return f"{_DAEMONIZED}: {named}{more}; does it daemonize?"


def _make(
    component: Component, options: ProcessDriverOptions, context: DriverContext
) -> ProcessDriver:
    return ProcessDriver(component, options, context.log_folder)


DRIVER = DriverKind(
    name="process",
    summary=(
        "A child process that sentinel starts, stops with the platform, and whose death it notices"
        " at once"
    ),
    options=ProcessDriverOptions,
    make=_make,
    supervises=True,
)
