"""What its state folder tells of a daemon: whether it runs, and whether it may act."""

from __future__ import annotations

from pathlib import Path

from sentinel.clock import read_moment_now
from sentinel.store import BEAT, HALT_FILE, Reader, show_time, unobserved_since
from sentinel.strict.file import UnreadableFile, read_regular_file

MOST_OF_HALT = 64 << 10
"""Bytes; anybody who may write there may make the file, of any kind."""


def is_running(store: Reader) -> bool:
    """Whether a daemon wrote its sign of life lately, and was not stopped since."""
    now = show_time(store, read_moment_now())
    return store.meta(BEAT) is not None and unobserved_since(store, now) is None


def is_halted(folder: Path) -> bool:
    """The kill switch, looked at right before an act: anything but a certain "no such file" counts
    as halted.
    """
    try:
        (folder / HALT_FILE).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read_halt(folder: Path) -> str:
    """Who halted it, when and why, as the file has it; "" when it says nothing that can be read."""
    try:
        data = read_regular_file(folder / HALT_FILE, MOST_OF_HALT).data
    except UnreadableFile:
        return ""
    text = data.decode("utf-8", "replace")
    at, _, rest = text.strip().partition(" ")
    return f"{at[:10]} {at[11:19]}Z {rest}"[:300] if rest else ""
