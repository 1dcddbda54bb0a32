"""Runs one program: argv only, a session of its own, a clean environment, bounded output, an end at
its deadline.

What a program that ends in time leaves running goes on, but nobody reads its output any more.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinel.adapters.process.handle import Process, read_start_id

MAX_OUTPUT = 64 * 1024
GRACE = 1.0
"""Seconds between TERM and KILL for a program that passed its deadline."""
DRAIN = 0.5
"""Seconds to read what is left after a program ended: a child of it may hold the pipe open for
ever.
"""
SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: `code` None when it was ended at its deadline; output as text, at most
    MAX_OUTPUT.
    """

    code: int | None
    output: str
    cut: bool


def find_program(name: str) -> str | None:
    """The absolute path of a program: as given, beside our own Python, or in the system's folders;
    never from PATH.
    """
    if "/" in name:
        return name if Path(name).is_absolute() and os.access(name, os.X_OK) else None
    own = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((own, *SEARCH)))


async def run_program(
    path: str, arguments: Sequence[str], seconds: float, env: Mapping[str, str] | None = None
) -> Ended:
    """Run until it ends or `seconds` have passed; then its whole process group is ended.

    Its environment is PATH, the locale, and `env`: nothing of sentinel's own. Raises OSError when
    it can't be started.
    """
    popen = _start([path, *arguments], env or {})
    process = Process(popen.pid, read_start_id(popen.pid) or f"unknown/{popen.pid}", popen)
    try:
        return await _attend(process, popen, seconds)
    finally:
        if process.is_alive():
            process.signal_group(signal.SIGKILL)
            await process.wait(GRACE)
        process.close()


def _start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": os.pathsep.join(SEARCH), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **env},
        start_new_session=True,
    )


async def _attend(process: Process, popen: subprocess.Popen[bytes], seconds: float) -> Ended:
    """Read what it prints until it ends or its time is over. The pipe's end is no sign: a child may
    hold it.
    """
    stream, kept = asyncio.StreamReader(), bytearray()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), popen.stdout
    )
    reader = asyncio.create_task(_read(stream, kept))
    try:
        in_time = await process.wait(seconds)
        if not in_time:
            await _end_group(process)
        await asyncio.wait({reader}, timeout=DRAIN)
        code = popen.returncode if in_time else None
        return Ended(
            code, bytes(kept[:MAX_OUTPUT]).decode(errors="replace"), len(kept) > MAX_OUTPUT
        )
    finally:
        reader.cancel()
        transport.close()


async def _read(stream: asyncio.StreamReader, kept: bytearray) -> None:
    """Keep the beginning, drop the rest: a full pipe must not stop the program."""
    while chunk := await stream.read(8192):
        kept += chunk[: MAX_OUTPUT + 1 - len(kept)]


async def _end_group(process: Process) -> None:
    """TERM to the whole group, KILL to what is left of it after GRACE. The group is ours: a session
    of its own.
    """
    process.signal_group(signal.SIGTERM)
    await process.wait(GRACE)
    process.signal_group(signal.SIGKILL)
    await process.wait(GRACE)
