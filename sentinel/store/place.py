"""The files of a state, where they were opened: what others do to them beside a running sentinel is
seen before anything is written, or read through a hole.

SQLite maps the index of the write-ahead log (`-shm`). Cut short, its pages are gone, and whoever
touches them gets SIGBUS. Made as long again it is empty, which SQLite sees: it reads the log anew.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import StateError, StateUnwritable

CURE = "put the file back in its place, or start sentinel anew and follow what it says then"
CURE_FOLDER = (
    "put the folder back in its place, or start sentinel anew and follow what it says then"
)
CURE_LOG = "start sentinel anew: it takes over what is whole"
_BESIDE = "beside the running sentinel"
_INDEX_HEADER, _LOG_HEADER, _FRAME_HEADER = 48, 32, 24
_VERSION = 3007000
_INDEX = struct.Struct("=I8xBxHI4xII8s8x")
"""Version, isInit, page size, last frame, its checksum, salt
(https://sqlite.org/walformat.html#the_wal_index_header).
"""
Place = tuple[int, int]
_holders: Counter[Place] = Counter()
_handles: dict[Place, int] = {}
"""Of indexes. To close any descriptor of a file ends every POSIX lock that this process has on it,
SQLite's, too: so there is one for all, and it goes with the last who has the database open.
"""


@dataclass(slots=True)
class StatePlace:
    """Device and inode of folder, database, log and index; "" in place of what was not seen yet."""

    path: Path
    _folder: Place | None = None
    _file: Place | None = None
    _log: Place | None = None
    _index: Place | None = None
    _length: int = 0
    """Bytes of the index, as SQLite mapped it."""
    is_log_hurt: bool = False
    """Whether the log holds what nobody wrote into it."""
    _mended: bool = False

    def settle(self) -> None:
        """The database is open."""
        self.leave()
        self._folder, self._file = _place_of(self.path.parent), _place_of(self.path)
        self._log, self.is_log_hurt = None, False

    def leave(self) -> None:
        """The database is closed."""
        place, self._index = self._index, None
        if place is None:
            return
        _holders[place] -= 1
        if not _holders[place]:
            del _holders[place]
            os.close(_handles.pop(place))

    # -- before it is written ---------------------------------------------------------------------

    def check(self) -> None:
        """Everything is where it was opened, and as it was left. Raises StateError: what would be
        written would be lost with the process, or spoil what is there.
        """
        if self._file is None:
            return
        self._check_file()
        self._check_log()
        if self._mended:
            self._mended = False
            text = f"{self._beside('-shm')} was cut {_BESIDE}, and made anew"
            raise StateUnwritable(text, "nothing was lost; who changes files in the state folder?")

    def _check_file(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            raise self._explain("removed") from None
        except OSError as error:
            text = f"{self.path} can't be reached: {error.strerror}"
            raise StateUnwritable(text, CURE) from error
        if (stat.st_dev, stat.st_ino) != self._file:
            raise self._explain("replaced")
        if not stat.st_size:
            raise StateError(f"{self.path} was emptied {_BESIDE}", CURE)

    def _explain(self, what: str) -> StateError:
        """The database is gone, or all of its folder."""
        try:
            is_folder = _place_of(self.path.parent) != self._folder
        except OSError:
            return StateError(
                f"the state folder {self.path.parent} was removed {_BESIDE}", CURE_FOLDER
            )
        if is_folder:
            text = f"the state folder {self.path.parent} was replaced {_BESIDE}"
            return StateError(text, CURE_FOLDER)
        return StateError(f"{self.path} was {what} {_BESIDE}", CURE)

    def _check_log(self) -> None:
        """What is in a write-ahead log that was unlinked or replaced is seen by nobody else, and
        lost with the process; who has another index goes by other locks.
        """
        log, index = self._find("-wal"), self._find("-shm")
        if self._log is None:
            self._log = log
        if self._index is None and index is not None:
            self._hold(index)
        for suffix, was, now in (("-wal", self._log, log), ("-shm", self._index, index)):
            if now != was:
                what = "removed" if now is None else "replaced"
                raise StateError(f"{self._beside(suffix)} was {what} {_BESIDE}", CURE_LOG)
        if log is not None and index is not None and not self.is_cut:
            self._check_content()

    def _check_content(self) -> None:
        """The log reaches as far as its index says, and what it ends with is what was written."""
        heads = os.pread(_handles[self._index or (0, 0)], 2 * _INDEX_HEADER, 0)
        head = heads[:_INDEX_HEADER]
        if len(head) < _INDEX_HEADER or heads != head + head:
            return  # somebody writes just now; or SQLite makes it anew by itself
        version, is_made, size, last, one, other, salt = _INDEX.unpack(head)
        if not (version == _VERSION and is_made and last):
            return
        frame = _FRAME_HEADER + ((size & 0xFE00) | (size & 1) << 16)
        with self._beside("-wal").open("rb", buffering=0) as log:
            begin = log.read(_LOG_HEADER) or b""
            end = os.pread(log.fileno(), _FRAME_HEADER, _LOG_HEADER + (last - 1) * frame)
            length = os.fstat(log.fileno()).st_size
        told = struct.pack(">II", one, other)
        if length < _LOG_HEADER + last * frame:
            self.is_log_hurt = True
            raise StateError(f"{self._beside('-wal')} was cut {_BESIDE}", CURE_LOG)
        if begin[16:24] != salt or end[8:] != salt + told:
            self.is_log_hurt = True
            raise StateError(f"{self._beside('-wal')} was written over {_BESIDE}", CURE_LOG)

    # -- the index --------------------------------------------------------------------------------

    @property
    def is_cut(self) -> bool:
        """Whether the index is shorter than it was mapped."""
        if self._index is None:
            return False
        length = os.fstat(_handles[self._index]).st_size
        self._length = max(self._length, length)
        return length < self._length

    def mend(self) -> None:
        """Make the index as long again, while nobody uses it. Raises StateUnwritable: then nobody
        may.
        """
        if not self.is_cut:
            return
        try:
            os.ftruncate(_handles[self._index or (0, 0)], 0)  # half of one would be believed
            os.posix_fallocate(_handles[self._index or (0, 0)], 0, self._length)
        except OSError as error:
            text = f"{self._beside('-shm')} was cut {_BESIDE}, and can't be made anew"
            raise StateUnwritable(f"{text}: {error.strerror}", CURE_LOG) from error
        self._mended = True

    def _hold(self, place: Place) -> None:
        if place not in _handles:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            with suppress(OSError):
                _handles[place] = os.open(self._beside("-shm"), flags)
        if place in _handles:
            _holders[place] += 1
            self._index, self._length = place, os.fstat(_handles[place]).st_size

    def _find(self, suffix: str) -> Place | None:
        try:
            return _place_of(self._beside(suffix))
        except OSError:
            return None

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _place_of(path: Path) -> Place:
    stat = path.stat()
    return stat.st_dev, stat.st_ino
