"""Runs one program: argv only, a session of its own, a clean environment, bounded output, an end at its deadline.

What it leaves running survives its end in time, in its own session or not, but finds nobody who reads its output.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_OUTPUT = 64 * 1024
GRACE = 1.0
"""Seconds between TERM and KILL for a program that passed its deadline."""
DRAIN = 0.5
"""Seconds to read what is left after a program ended: a child of it may hold the pipe open for ever."""
SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: `code` None when it was ended at its deadline; output as text, at most MAX_OUTPUT."""

    code: int | None
    output: str
    cut: bool


def find_program(name: str) -> str | None:
    """The absolute path of a program: as given, beside our own Python, or in the system's folders; never from PATH."""
    if "/" in name:
        return name if Path(name).is_absolute() and os.access(name, os.X_OK) else None
    own = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((own, *SEARCH)))


async def run_program(
    path: str, arguments: Sequence[str], seconds: float, env: Mapping[str, str] | None = None
) -> Ended:
    """Run until it ends or `seconds` have passed; then its whole process group is ended.

    Its environment is PATH, the locale, and `env`: nothing of sentinel's own. Raises OSError when it can't be started.
    """
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd="/",
        env={"PATH": os.pathsep.join(SEARCH), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(env or {})},
        start_new_session=True,
    )
    kept = bytearray()
    reader = asyncio.create_task(_read(process, kept))
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
        await asyncio.wait({reader}, timeout=DRAIN)
        return _ended(process.returncode, kept)
    except TimeoutError:
        await _end_group(process)
        await asyncio.wait({reader}, timeout=DRAIN)
        return _ended(None, kept)
    finally:
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
        reader.cancel()


async def _read(process: Process, kept: bytearray) -> None:
    """Keep the beginning, drop the rest: a full pipe must not stop the program."""
    if process.stdout is None:
        return
    while chunk := await process.stdout.read(8192):
        kept += chunk[: MAX_OUTPUT + 1 - len(kept)]


def _ended(code: int | None, kept: bytearray) -> Ended:
    return Ended(code, bytes(kept[:MAX_OUTPUT]).decode(errors="replace"), len(kept) > MAX_OUTPUT)


async def _end_group(process: Process) -> None:
    """TERM to the whole group, KILL to what is left of it after GRACE. The group is ours: a session of its own."""
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await process.wait()
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
