"""Linux processes as /proc shows them. The root is a parameter, so tests can bring a /proc of their
own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sentinel.clock import read_lead
from sentinel.core.servers.process import Descriptors, ProcessFigures
from sentinel.errors import NotMeasurable

_SAME_CLOCK = 0.4
"""Seconds by which the wall clock may drift against uptime before boot time is read anew."""
_BOOTED: dict[str, tuple[float, float]] = {}
"""By the place of a /proc: by how much the wall clock was ahead of uptime, and the boot time then."""


def _read(path: str) -> str:
    """A file of /proc, without what a text stream asks of it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(descriptor, 65536):
            data += piece
    finally:
        os.close(descriptor)
    return data.decode(errors="replace")


class ProcReader:
    """Reads /proc. What may not be read raises NotMeasurable, which names the privilege."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root
        self._place = str(root)
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def process(self, pid: int) -> ProcessFigures | None:
        """The process, or None when there is none of that number."""
        try:
            line = _read(f"{self._place}/{pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError as error:
            raise self._forbidden(pid, "stat") from error
        name, _, rest = line.partition("(")[2].rpartition(")")
        fields = rest.split()  # fields[0] is field 3 of proc_pid_stat(5)
        start = int(fields[19])
        return ProcessFigures(
            pid=pid,
            name=name,
            state=fields[0],
            cpu_seconds=(int(fields[11]) + int(fields[12])) / self._ticks,
            threads=int(fields[17]),
            start_ticks=start,
            started=self._boot_time() + start / self._ticks,
            resident_bytes=int(fields[21]) * self._page,
        )

    def descriptors(self, pid: int) -> Descriptors | None:
        """Open descriptors and their limit, or None when the process is gone."""
        folder = f"{self._place}/{pid}"
        try:
            count = len(os.listdir(f"{folder}/fd"))  # noqa: PTH208 - only the number is wanted
            limits = _read(f"{folder}/limits")
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError as error:
            raise self._forbidden(pid, "fd") from error
        return Descriptors(count, _soft_limit(limits))

    def commands(self) -> Iterator[tuple[int, str]]:
        """(pid, command line with spaces between arguments) of every process; kernel threads have
        none.

        Raises NotMeasurable where other users' processes are hidden: a process not seen would look
        like none.
        """
        if not (self._root / "1").exists():
            raise NotMeasurable(
                f"processes of other users are hidden in {self._root} (mount option hidepid)",
                "add sentinel's user to the group of the mount option gid=, or name a pid_file",
            )
        for entry in self._root.iterdir():
            if entry.name.isdigit() and (line := self._command(entry)):
                yield int(entry.name), line

    @staticmethod
    def _command(folder: Path) -> str:
        try:
            raw = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")

    def _boot_time(self) -> float:
        # It moves with the wall clock, and with nothing else: the file has a line for each processor.
        lead, known = read_lead(), _BOOTED.get(self._place)
        if known is not None and abs(known[0] - lead) < _SAME_CLOCK:
            return known[1]
        for line in _read(f"{self._place}/stat").splitlines():
            if line.startswith("btime "):
                _BOOTED[self._place] = lead, float(line.split()[1])
                return _BOOTED[self._place][1]
        raise NotMeasurable(f"{self._root}/stat tells no boot time", "is it a Linux /proc?")

    def _forbidden(self, pid: int, file: str) -> NotMeasurable:
        return NotMeasurable(
            f"privilege missing: may not read {self._root}/{pid}/{file}",
            "run sentinel as the same user as the process, or give it CAP_SYS_PTRACE",
            code="CAP_SYS_PTRACE",
        )


def _soft_limit(limits: str) -> int | None:
    for line in limits.splitlines():
        if line.startswith("Max open files"):
            word = line.split()[3]
            return None if word == "unlimited" else int(word)
    return None
