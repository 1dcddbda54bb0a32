"""One reader for every file: type, size and time are bounded, and nothing but one error comes out."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from sentinel.strict import file as strict_file
from sentinel.strict.file import UnreadableFile, find_file, read_regular_file, show_path


def refused(path: Path, most: int = 1024) -> str:
    """What the reader has against a path."""
    with pytest.raises(UnreadableFile) as caught:
        read_regular_file(path, most)
    assert caught.value.guidance
    return caught.value.message


def test_the_whole_content_of_the_file_behind_links(tmp_path: Path) -> None:
    """As Kubernetes mounts it: name → ..data → ..2031 → file; the path is the last one."""
    (tmp_path / "..2031").mkdir()
    (tmp_path / "..2031" / "token").write_bytes(b"x" * 1024)
    (tmp_path / "..data").symlink_to("..2031")
    (tmp_path / "token").symlink_to("..data/token")
    content = read_regular_file(tmp_path / "token", 1024)
    assert content.data == b"x" * 1024
    assert content.path == tmp_path.resolve() / "..2031" / "token"
    assert not content.is_apart


def test_what_is_no_file_does_not_hang(tmp_path: Path) -> None:
    """A pipe without a writer, devices without an end, a folder, a socket, a link to itself."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    before = time.monotonic()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert refused(tmp_path / "socket") == "is no file but a socket"
    assert refused(tmp_path / "pipe") == "is no file but a pipe"
    assert refused(Path("/dev/zero")) == "is no file but a device"
    assert refused(tmp_path) == "is no file but a folder"
    assert refused(tmp_path / "loop") == "can't be read: Too many levels of symbolic links"
    assert refused(tmp_path / ("x" * 5000)) == "can't be read: File name too long"
    assert refused(tmp_path / "a\0b") == "can't be read: its name is none for a file"
    assert refused(tmp_path / "\ud800b") == "can't be read: its name is none for a file"
    assert refused(tmp_path / "gone") == "can't be read: No such file or directory"
    assert time.monotonic() - before < 5


def test_a_pipe_that_takes_the_place_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening: the opened one is looked at, too."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    real = os.open
    monkeypatch.setattr(os, "open", lambda _path, flags: real(tmp_path / "pipe", flags))
    assert refused(tmp_path / "file") == "is no file but a pipe"


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A file of 8 GiB (sparse) costs what the limit says."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(8 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(tmp_path / "huge", 1 << 20) == "is larger than 1 MiB"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    """/proc tells 0 bytes and has more: what is read counts, not what is told."""
    assert refused(Path("/proc/self/maps"), 100) == "is larger than 0 KiB"
    assert Path("/proc/self/maps").stat().st_size == 0


def test_a_file_system_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is away keeps the thread in the kernel; who asked goes on in time."""
    (tmp_path / "file").write_text("x")
    away = threading.Event()
    monkeypatch.setattr(strict_file, "_read", lambda _path, _most: away.wait(30))
    before = time.monotonic()
    with pytest.raises(UnreadableFile, match=r"no answer within 0\.2 s"):
        read_regular_file(tmp_path / "file", 10, patience=0.2)
    away.set()
    assert time.monotonic() - before < 5


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """Neither of files that were read nor of those that were refused."""
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        read_regular_file(tmp_path / "file", 10)
        refused(tmp_path / "pipe")
        refused(tmp_path / "file", 0)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_whether_something_is_there(tmp_path: Path) -> None:
    """Absent is an answer; what can't be told is an error."""
    (tmp_path / "loop").symlink_to("loop")
    assert find_file(tmp_path) is not None
    assert find_file(tmp_path / "gone" / "further") is None
    with pytest.raises(UnreadableFile, match="levels of symbolic links"):
        find_file(tmp_path / "loop")


def test_paths_in_messages() -> None:
    """On one line, printable, short."""
    assert show_path("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\udcff"
    assert len(show_path("x" * 5000)) == 120


def test_a_fork_reads_files_too(tmp_path: Path) -> None:
    """The threads that read stay behind in the parent: nobody waits for them in the child."""
    file = tmp_path / "a"
    file.write_bytes(b"x")
    assert read_regular_file(file, 10).data == b"x"
    child = os.fork()
    if child == 0:
        os._exit(0 if read_regular_file(file, 10, patience=5.0).data == b"x" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_files_are_read_by_the_same_thread(tmp_path: Path) -> None:
    """One that is done reads the next; one that hangs is left behind, and holds up nobody."""
    file = tmp_path / "a"
    file.write_bytes(b"x")
    read_regular_file(file, 10)
    before = threading.active_count()
    for _ in range(20):
        read_regular_file(file, 10)
    assert threading.active_count() == before
