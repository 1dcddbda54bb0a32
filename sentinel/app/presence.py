"""What its state folder tells of a daemon: whether it runs, and whether it may act."""

from __future__ import annotations

from pathlib import Path

from sentinel.clock import read_moment_now
from sentinel.store import BEAT, HALT_FILE, Reader, show_time, unobserved_since


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
        text = (folder / HALT_FILE).read_text("utf-8", "replace")
    except OSError:
        return ""
    at, _, rest = text.strip().partition(" ")
    return f"{at[:10]} {at[11:19]}Z {rest}"[:300] if rest else ""
