"""The `command` driver: programs of the platform's own that restart, start, stop, reload and report
a component.

Programs are argument lists, run without a shell, with a clean environment, in a session of their
own, within a deadline. A deadline that passes ends the program and whatever it left in its process
group; whether it did its work by then can't be told. What they print goes to the component's log,
never into an incident.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import AfterValidator, Field

from sentinel.adapters.process.handle import open_log
from sentinel.adapters.process.output import PATIENCE
from sentinel.adapters.process.program import Ended, find_program, run_program
from sentinel.core.model import Component
from sentinel.core.quantity import format_duration
from sentinel.errors import NotMeasurable, ReplyLost
from sentinel.remediation import (
    DriverContext,
    DriverKind,
    DriverOptions,
    Observation,
    Outcome,
    OutsideDriver,
)
from sentinel.strict.field import Duration

ATTEMPT = "SENTINEL_ATTEMPT"
"""Environment variable with the name of the attempt: a program that sees it twice does its work
once.
"""
_RUNS, _ENDED = {0}, {1, 3}
"""Exit codes of a status program: 0 runs; 1 (pgrep) and 3 (LSB) does not run; any other tells
nothing.
"""
_FACTS = 64
"""Lines of a status program's output that are looked at."""


def _is_runnable(argv: list[str]) -> list[str]:
    path = find_program(argv[0])
    if path is None:
        raise ValueError(
            f"there is no program {argv[0]!r}: give its absolute path, or a name of the system's"
            " folders"
        )
    if Path(path).stat().st_mode & 0o002:
        raise ValueError(f"the program {path} can be changed by everyone: chmod o-w {path}")
    return argv


Argv = Annotated[list[str], Field(min_length=1), AfterValidator(_is_runnable)]


class Commands(DriverOptions):
    """Programs and their arguments, each a list."""

    restart: Argv = Field(description="restarts it, and ends when that is done or has failed")
    start: Argv | None = Field(None, description="starts it")
    stop: Argv | None = Field(None, description="stops it")
    reload: Argv | None = Field(None, description="has it read its configuration again")
    status: Argv | None = Field(
        None,
        description=(
            "exit code 0: runs, 1 or 3: does not; output lines start_id=… and pid=… name what runs"
        ),
    )


class CommandOptions(DriverOptions):
    """What is run, and for how long."""

    commands: Commands = Field(
        description="programs as lists of arguments",
        examples=["{restart: [/usr/bin/env, restart-orders]}"],
    )
    env: dict[str, str] = Field({}, description="their environment, beside PATH and locale")
    deadline: Duration = Field(60.0, gt=0, description="time for each program that acts")
    status_deadline: Duration = Field(3.0, gt=0, description="time for the status program")


class CommandManager:
    """One component by its programs."""

    def __init__(self, options: CommandOptions, log: Path) -> None:
        self._options = options
        self._log = log
        given = options.commands.model_dump(exclude={"status"}, exclude_none=True)
        self._argv: Mapping[str, list[str]] = given
        self.actions = frozenset(given)

    async def look(self) -> Observation:
        """What the status program says."""
        argv = self._options.commands.status
        if argv is None:
            return Observation(None, detail="no status program is configured")
        ended = await self._run(argv, self._options.status_deadline, {})
        if ended.code in _RUNS:
            return _running(ended.output)
        if ended.code in _ENDED:
            return Observation(
                False, detail=f"its status program says that it does not run (status {ended.code})"
            )
        return Observation(
            None, detail=f"its status program {_how(ended, self._options.status_deadline)}"
        )

    async def act(self, action: str, key: str) -> Outcome:
        """Run the program of this action; its exit code is the outcome, the checks are the proof."""
        ended = await self._run(
            self._argv[action], self._options.deadline, {ATTEMPT: key} if key else {}
        )
        how = _how(ended, self._options.deadline)
        await self._keep(f"{action} {key}".rstrip(), how, ended)
        if ended.code is None:
            raise ReplyLost(
                f"its {action} program {how}", f"what it printed is in {self._log.name}"
            )
        if ended.code:
            return Outcome(
                False,
                f"its {action} program {how}",
                guidance=f"what it printed is in {self._log.name}",
            )
        return Outcome(True, f"its {action} program {how}")

    async def _run(self, argv: list[str], seconds: float, extra: Mapping[str, str]) -> Ended:
        path = find_program(argv[0])
        if path is None:
            raise NotMeasurable(f"there is no program {argv[0]!r} any more", "install it again")
        try:
            return await run_program(path, argv[1:], seconds, {**self._options.env, **extra})
        except OSError as error:
            raise NotMeasurable(
                f"{path} can't be started: {error.strerror}", "check the program and its rights"
            ) from error

    async def _keep(self, what: str, how: str, ended: Ended) -> None:
        """Append what the program printed to the component's log."""
        cut = "\n[cut]" if ended.cut else ""
        told = f"--- {what}: {how}\n{ended.output}{cut}\n".encode("utf-8", "replace")
        # A disk that is full or away must not turn a restart that worked into one that failed.
        with suppress(OSError, TimeoutError):
            log = await open_log(self._log)
            async with asyncio.timeout(PATIENCE):
                await asyncio.to_thread(_append, log, told)

    def close(self) -> None:
        """Nothing is held."""


def _append(log: BinaryIO, told: bytes) -> None:
    with log:
        log.write(told)


def _how(ended: Ended, seconds: float) -> str:
    if ended.code is None:
        return f"did not end within {format_duration(seconds)} and was ended"
    return (
        f"was killed by signal {-ended.code}"
        if ended.code < 0
        else f"exited with status {ended.code}"
    )


def _running(output: str) -> Observation:
    lines = [line.strip().partition("=") for line in output.splitlines()[:_FACTS]]
    facts = {name: value.strip()[:200] for name, sign, value in lines if sign}
    pid = facts.get("pid", "")
    number = int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 10 else None
    return Observation(
        True, facts.get("start_id", ""), number, "its status program says that it runs"
    )


def _make(component: Component, options: CommandOptions, context: DriverContext) -> OutsideDriver:
    return OutsideDriver(
        CommandManager(options, context.log_folder / f"{component.name}.log"), prompt=False
    )


DRIVER = DriverKind(
    name="command",
    summary=(
        "Programs of your own that restart, start, stop, reload a component and tell whether it"
        " runs"
    ),
    options=CommandOptions,
    make=_make,
    observes=lambda options: options.commands.status is not None,
)
