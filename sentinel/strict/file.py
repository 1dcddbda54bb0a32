"""The one way to read a file that somebody names: a regular file, of bounded size, in bounded time.

A pipe would block for ever, a device never end, a huge file fill the memory of a running daemon,
and a network file system that is away keeps whoever asks in the kernel: so it is asked by a thread
that nobody has to wait for.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import ClassVar, TypeVar, cast

from sentinel.errors import SentinelError

PATIENCE = 10.0
"""Seconds for all of one file."""
LOOK_AT_RIGHTS = "check the path and its rights"
MAX_SHOWN = 120
"""Characters of a path in a message: a path of 5,000 would bury the remedy."""
_PIECE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WORDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
AnswerT = TypeVar("AnswerT")


class UnreadableFile(SentinelError):
    """A file can't be read: the message goes on after its name, such as "is no file but a pipe"."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file, and what the system says of the file that was read."""

    data: bytes
    status: os.stat_result
    path: Path
    """Where it lies, behind all links."""
    is_apart: bool = False
    """Whether it lies on a file system of its own that is mounted read-only."""


def read_regular_file(path: Path, most: int, patience: float = PATIENCE) -> FileContent:
    """The content of a regular file of at most so many bytes; symbolic links are followed.

    Raises UnreadableFile with the remedy, after `patience` seconds at the latest.
    """
    return _ask(lambda: _read(path, most), patience)


def open_at_once(path: str | Path, flags: int, mode: int = 0o666) -> int:
    """An `opener` that waits for nobody: a pipe without a reader raises OSError, and one without a
    writer is empty.
    """
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)


def find_file(path: Path, patience: float = PATIENCE) -> os.stat_result | None:
    """What the system says of a path, None when nothing is there. Raises UnreadableFile when that
    can't be told: a link to itself, a name that is too long, a folder without rights.
    """
    return _ask(lambda: _find(path), patience)


def show_path(path: object) -> str:
    """A path for a message: on one line, and short."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def show_size(size: int) -> str:
    """A limit for a message."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _find(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(path: Path, most: int) -> FileContent:
    """Looked at before it is opened (opening a device may do something), and after (what lies
    there may be another one by then).
    """
    _refuse_type(path.stat())
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        _refuse_type(status)
        data = bytearray()
        while len(data) <= most and (piece := os.read(descriptor, min(_PIECE, most + 1))):
            data += piece
        real = Path(f"/proc/self/fd/{descriptor}").readlink()
        is_apart = status.st_dev != Path("/").stat().st_dev and bool(
            os.fstatvfs(descriptor).f_flag & os.ST_RDONLY
        )
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise UnreadableFile(f"is larger than {show_size(most)}", "is it the right file?")
    return FileContent(bytes(data), status, real, is_apart)


def _refuse_type(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        word = _WORDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UnreadableFile(f"is no file but {word}", "name a regular file, or move it elsewhere")


class _Worker:
    """A thread that reads one file after another: to make one costs more than most files."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, name="read-file", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._work.get()()

    def give(self, work: Callable[[], None]) -> None:
        """Have it done."""
        self._work.put(work)


os.register_at_fork(after_in_child=_Worker.idle.clear)  # threads do not come along


def _ask(work: Callable[[], AnswerT], patience: float) -> AnswerT:
    """The answer of a call that may hang in the kernel. Its thread is left behind then: it can't
    be ended, and ends with the process.
    """
    answers: SimpleQueue[tuple[AnswerT | None, Exception | None]] = SimpleQueue()
    try:
        worker = _Worker.idle.pop()
    except IndexError:
        worker = _Worker()

    def run() -> None:
        answer, error = None, None
        try:
            answer = work()
        except Exception as raised:  # noqa: BLE001 - raised again by who asked
            error = raised
        _Worker.idle.append(worker)  # before anybody can ask again
        answers.put((answer, error))

    worker.give(run)
    try:
        answer, error = answers.get(timeout=patience)
    except Empty:
        raise UnreadableFile(
            f"can't be read: no answer within {patience:g} s", "is its file system there?"
        ) from None
    if error is not None:
        raise _translate(error) from error
    return cast("AnswerT", answer)


def _translate(error: Exception) -> UnreadableFile:
    """What the system said, without the path: the caller names it."""
    if isinstance(error, UnreadableFile):
        return error
    if isinstance(error, OSError):
        return UnreadableFile(f"can't be read: {error.strerror or 'error'}", LOOK_AT_RIGHTS)
    if isinstance(error, ValueError):  # NUL, or what no file system can encode
        return UnreadableFile("can't be read: its name is none for a file", "correct the path")
    return UnreadableFile(f"can't be read: {type(error).__name__}", LOOK_AT_RIGHTS)
