"""What is in a state that can't be written: copied to where there is room, and read from there."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sentinel.errors import StateUnwritable

MOST = 1 << 30
"""Bytes of a state that is copied; a larger one would fill the memory."""
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the copy is in a private folder below it
_PARTS = ("", "-wal")
"""Nothing else: the index of the write-ahead log is made anew, and the note beside it is judged
when the state is opened where it lies.
"""


@contextmanager
def copied_aside(path: Path) -> Iterator[Path]:
    """A folder with a copy of the database and its log, as long as it is needed; an empty one when
    there is no database. Raises OSError, StateUnwritable when it is too large.
    """
    files = [path.with_name(path.name + part) for part in _PARTS]
    present = [file for file in files if file.exists()]
    if sum(file.stat().st_size for file in present) > MOST:
        raise StateUnwritable(f"{path} is too large to be read into memory")
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sentinel-state-", dir=place) as folder:
        for file in present:
            shutil.copyfile(file, Path(folder) / file.name)
        yield Path(folder)


def fill(memory: sqlite3.Connection, path: Path) -> None:
    """Take all of a database into one in memory, which can have no log beside it."""
    with closing(sqlite3.connect(path)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.backup(memory)
