"""Processes that carry a mark in their environment: what sentinel started, and all that descends
from it, in whatever session it has put itself.

What stands in /proc are bytes: a process calls itself what it likes (prctl), in any encoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_SESSION, _TICKS = 3, 19
"""Fields of /proc/PID/stat after the name, from 0 (proc_pid_stat(5))."""


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A live process with our mark: its session, and its name as it is fit to be shown."""

    pid: int
    session: int
    name: str

    @property
    def is_leader(self) -> bool:
        """Whether it began its session: what sentinel starts does, and so does a daemon."""
        return self.pid == self.session

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} (pid {self.pid})"


def list_marked(mark: tuple[str, str], root: Path = PROC) -> list[MarkedProcess]:
    """Every live process whose environment has `name=value`, by process id.

    Those of other users whose environment may not be read are not seen. Raises OSError when there
    is no /proc to read.
    """
    wanted = "=".join(mark).encode(errors="surrogateescape")
    found = [each for folder in _folders(root) if (each := _look(folder, wanted)) is not None]
    return sorted(found, key=lambda each: each.pid)


def read_fields(folder: Path) -> tuple[bytes, list[bytes]] | None:
    """(name, the fields after it) of /proc/PID/stat; None when the process is gone."""
    try:
        line = (folder / "stat").read_bytes()
    except OSError:
        return None
    name, _, rest = line.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    return (name, fields) if len(fields) > _TICKS else None


def list_written(session: int, root: Path = PROC) -> set[Path]:
    """The files that the processes of a session hold open for writing now, as far as we may see."""
    found: set[Path] = set()
    for folder in _folders(root):
        seen = read_fields(folder)
        if seen is not None and int(seen[1][_SESSION]) == session:
            found.update(_open_for_writing(folder))
    return found


def list_writers(path: Path, root: Path = PROC) -> list[MarkedProcess]:
    """Every other live process that holds this file open for writing, by process id: who cleans his
    environment keeps the output that he was given, unless he closes that, too.
    """
    found = []
    for folder in _folders(root):
        if int(folder.name) != os.getpid() and _writes_to(path, folder):
            named = _name(folder)
            if named is not None:
                found.append(named)
    return sorted(found, key=lambda each: each.pid)


def _writes_to(path: Path, folder: Path) -> bool:
    """Whether one of a process's descriptors is this file, open for writing."""
    return any(at == path and _is_for_writing(folder, each) for each, at in _descriptors(folder))


def _open_for_writing(folder: Path) -> Iterator[Path]:
    return (at for each, at in _descriptors(folder) if _is_for_writing(folder, each))


def _descriptors(folder: Path) -> Iterator[tuple[str, Path]]:
    """Number and file of each."""
    try:
        descriptors = list((folder / "fd").iterdir())
    except OSError:
        return
    for each in descriptors:
        with suppress(OSError):
            yield each.name, each.readlink()


def _is_for_writing(folder: Path, descriptor: str) -> bool:
    try:
        facts = (folder / "fdinfo" / descriptor).read_bytes().split()
        flags = int(facts[facts.index(b"flags:") + 1], 8)
    except (OSError, ValueError, IndexError):
        return False
    return flags & os.O_ACCMODE != os.O_RDONLY


def _folders(root: Path) -> Iterator[Path]:
    return (folder for folder in root.iterdir() if folder.name.isascii() and folder.name.isdigit())


def _look(folder: Path, wanted: bytes) -> MarkedProcess | None:
    try:
        if wanted not in (folder / "environ").read_bytes().split(b"\0"):
            return None
    except OSError:
        return None
    return _name(folder)


def _name(folder: Path) -> MarkedProcess | None:
    """A live process as it is shown."""
    seen = read_fields(folder)
    if seen is None or seen[1][0] in {b"Z", b"X"}:
        return None
    name = seen[0].decode(errors="replace")
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return MarkedProcess(int(folder.name), int(seen[1][_SESSION]), shown)
