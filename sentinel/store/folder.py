"""The state folder: one daemon at a time, private, writable."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sentinel.errors import ActionRefused, StateError

FILE = "sentinel.db"


def lock_state(folder: Path) -> int:
    """Take the state folder for one daemon; the descriptor holds the lock until it is closed."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"{folder / 'lock'} can't be opened: {error.strerror}", "look at its rights"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ActionRefused(
            f"another sentinel runs on the state folder {folder}",
            "stop it, or give this one its own `state:`",
        ) from error
    return descriptor


def prepare_folder(folder: Path) -> None:
    """Make the state folder, or say why it can't be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StateError(
            f"the state folder {folder} can't be written: {error.strerror}",
            "make it writable, or change `state:`",
        ) from error
    if folder.stat().st_mode & 0o002:
        raise StateError(f"the state folder {folder} is world-writable", f"chmod o-w {folder}")
