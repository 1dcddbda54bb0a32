"""The state folder: one daemon at a time, private, writable."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import ActionRefused, StateError, StateUnwritable

FILE = "sentinel.db"
LOCK = "lock"
_LEAST = 64 << 10
"""Bytes; SQLite's index of a log begins with half of it."""
MAKE_ROOM = "make room on the disk of the state folder"
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM}
"""What a disk says that is full or failing: no mistake of who named the folder."""
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
"""Of a folder in which a state is: it was writable once, and may be again."""


class FolderLock:
    """One daemon's hold on its state folder: taken once, kept until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._descriptor = folder, -1
        self._taking = threading.Lock()

    def take(self) -> None:
        """Make the folder and take it. Raises StateUnwritable when it can be read at most (it may
        be held all the same), StateError when it can't be used, ActionRefused when it is another's.
        """
        # Two threads of one daemon that both open it would each be "another sentinel" to the other.
        with self._taking:
            _make(self.folder)
            if self._descriptor < 0:
                self._descriptor = lock_state(self.folder)
            prepare_folder(self.folder)

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock_state(folder: Path) -> int:
    """Take the state folder for one daemon; the descriptor holds the lock until it is closed."""
    path = folder / LOCK
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _FORBIDDEN or not path.exists():
                raise
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _explain(folder, error, f"{path} can't be opened", "look at its rights") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ActionRefused(
            f"another sentinel runs on the state folder {folder}",
            "stop it, or give this one its own `state:`",
        ) from error
    return descriptor


def is_held(folder: Path) -> bool:
    """Whether a sentinel runs on the folder, whatever it could write there."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def find_cause(folder: Path) -> tuple[str, str]:
    """Why its disk takes nothing, and what to do; "" when it does not tell. SQLite has one word for
    all of it: I/O error.
    """
    try:
        disk, mode = os.statvfs(folder), folder.stat().st_mode
    except OSError:
        return "", ""
    if not mode & stat.S_IWUSR:
        return "its folder may not be written", f"chmod u+rwx {folder}"
    if disk.f_flag & os.ST_RDONLY:
        return "its disk is mounted read-only", "mount it with `rw`, or change `state:`"
    if disk.f_bavail * disk.f_frsize < _LEAST or disk.f_files > 0 == disk.f_favail:
        return "its disk is full", MAKE_ROOM
    return "", ""


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the disk on which the state lies: bytes and files, used and in all (0 files: it has no
    such limit). What only root may use counts as used.
    """

    used: int
    whole: int
    files_used: int = 0
    files: int = 0


def read_disk(folder: Path) -> DiskSpace | None:
    """How full the disk of a folder is; None where it does not tell."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return DiskSpace(whole - free, whole, disk.f_files - disk.f_favail, disk.f_files)


def prepare_folder(folder: Path) -> None:
    """Make the state folder, or say why it can't be used."""
    _make(folder)
    try:
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _refuse(folder, error) from error
    if folder.stat().st_mode & 0o002:
        raise StateError(f"the state folder {folder} is world-writable", f"chmod o-w {folder}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _refuse(folder, error) from error


def _refuse(folder: Path, error: OSError) -> StateError:
    what = f"the state folder {folder} can't be written"
    return _explain(folder, error, what, "make it writable, or change `state:`")


def _explain(folder: Path, error: OSError, what: str, guidance: str) -> StateError:
    passing = error.errno in _PASSING or (
        error.errno in _FORBIDDEN and os.path.lexists(folder / FILE)
    )
    kind = StateUnwritable if passing else StateError
    return kind(f"{what}: {error.strerror}", guidance)
