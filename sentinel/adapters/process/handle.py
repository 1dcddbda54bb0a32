"""Processes of our own making, held by pidfd: no pid is ever signalled that may have been reused."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from sentinel.adapters.process import output
from sentinel.adapters.process.marked import PROC, list_marked, read_fields
from sentinel.adapters.process.output import put_aside
from sentinel.strict.file import open_at_once

_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SHELL",
)


class AmbiguousMark(Exception):
    """Several processes may be the component; the text names them."""


class Process:
    """A running process: `start_id` names it for ever (boot, pid, start time). Close it when done."""

    def __init__(
        self, pid: int, start_id: str, popen: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.pid = pid
        self.start_id = start_id
        self._popen = popen
        self._pidfd = os.pidfd_open(pid)
        self._ended = False

    def fileno(self) -> int:
        """The pidfd: readable when the process has ended."""
        return self._pidfd

    def is_alive(self) -> bool:
        """False once it has ended; a child is reaped here."""
        if self._ended:
            return False
        if self._popen is not None:
            self._ended = self._popen.poll() is not None
        else:
            self._ended = read_start_id(self.pid) != self.start_id
        return not self._ended

    def describe_exit(self) -> str:
        """How it ended, as far as can be known: only a parent learns the exit status."""
        code = self.exit_status
        if code is None:
            return "ended (exit status unknown: it was adopted)"
        return f"killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"

    @property
    def is_child(self) -> bool:
        """Whether we have started it ourselves, and have to wait for it."""
        return self._popen is not None

    @property
    def exit_status(self) -> int | None:
        """As a shell has it, negative for a signal; None while it runs, or when it was adopted."""
        return self._popen.poll() if self._popen is not None else None

    def signal(self, signum: int) -> None:
        """Send a signal to exactly this process; nothing happens when it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signum)

    def signal_group(self, signum: int) -> None:
        """Send a signal to what is left of its session's process group.

        Its number stays taken while a member lives; a stranger who has it now shows that nobody is
        left.
        """
        if read_start_id(self.pid) not in {None, self.start_id}:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)

    async def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False when it has not within `seconds`."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.dup(self._pidfd)
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return not self.is_alive()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return not self.is_alive()

    def close(self) -> None:
        """Let go of the pidfd; the process goes on."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def let_go(process: Process) -> None:
    """Close it. A child of ours that still runs is waited for when it ends: nobody else can, and it
    would stay a zombie.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # sentinel ends: process 1 waits for it
        process.close()
        return
    if process.is_alive() and process.is_child:
        loop.add_reader(process.fileno(), _bury, process, loop)
    else:
        process.close()


def _bury(process: Process, loop: asyncio.AbstractEventLoop) -> None:
    loop.remove_reader(process.fileno())
    process.is_alive()
    process.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


async def open_log(log: Path) -> BinaryIO:
    """The log of a component, to be appended to; an older one was cut. A disk that does not answer
    holds a thread, and not the loop. Raises OSError.
    """
    try:
        async with asyncio.timeout(output.PATIENCE):
            return await asyncio.to_thread(_open_log, log)
    except TimeoutError:
        text = f"no answer of its disk within {output.PATIENCE:g} s"
        raise OSError(errno.ETIMEDOUT, text, str(log)) from None


def _open_log(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    put_aside(log, output.MAX_LOG, 2 * output.MAX_LOG)
    stream = open(log, "ab", opener=open_at_once)  # noqa: SIM115 - its reader closes it
    os.set_blocking(stream.fileno(), True)
    return stream


def spawn(command: Sequence[str], env: Mapping[str, str], cwd: str, stream: BinaryIO) -> Process:
    """Start a process in a session of its own, output appended to `stream`, which is closed. Raises
    OSError when it can't be started.

    Its environment is `env` on top of PATH, HOME, locale and time zone: nothing of sentinel's own
    leaks into it.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    with stream:
        popen = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**inherited, **env},
            cwd=cwd or None,
            start_new_session=True,
        )
    return Process(popen.pid, read_start_id(popen.pid) or f"unknown/{popen.pid}", popen)


def adopt(start_id: str) -> Process | None:
    """The process that a former sentinel started, when it still runs."""
    _, _, rest = start_id.partition("/")
    number = rest.partition("/")[0]
    pid = int(number) if number.isascii() and number.isdigit() else 0
    if not pid or read_start_id(pid) != start_id:
        return None
    try:
        process = Process(pid, start_id)
    except OSError:
        return None
    if process.is_alive():
        return process
    process.close()
    return None


def read_start_id(pid: int, root: Path = PROC) -> str | None:
    """`boot/pid/ticks` of a live process, or None. Zombies count as ended."""
    seen = read_fields(root / str(pid))
    try:
        boot = (root / "sys/kernel/random/boot_id").read_bytes().decode(errors="replace").strip()
    except OSError:
        return None
    if seen is None or seen[1][0] in {b"Z", b"X"}:
        return None
    return f"{boot}/{pid}/{int(seen[1][19])}"


def find_marked(mark: tuple[str, str], root: Path = PROC) -> Process | None:
    """The session leader whose environment carries `name=value`: started by a former sentinel, not
    noted by it.

    Raises AmbiguousMark when there are several: a daemon that it left is the leader of a session,
    too, and nobody can tell which is the component.
    """
    leaders = [each for each in list_marked(mark, root) if each.is_leader]
    if len(leaders) > 1:
        raise AmbiguousMark(" and ".join(map(str, leaders)))
    start_id = read_start_id(leaders[0].pid, root) if leaders else None
    return adopt(start_id) if start_id else None
