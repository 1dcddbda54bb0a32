"""Whoever writes a line never waits for who takes it, whatever that is."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sentinel.adapters.own_process import outlet
from sentinel.adapters.own_process.outlet import Outlet

LINE = "x" * 99 + "\n"
MOST = 50_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A reading and a writing end, of 4 KiB."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def read_all(end: int, until: bytes) -> bytes:
    """Everything until a line that is the last."""
    data = b""
    while until not in data:
        data += os.read(end, 65536)
    return data


def fill(lines: Outlet, count: int = 2000) -> None:
    """More than it takes, numbered; it must not take a second."""
    began = time.monotonic()
    for n in range(count):
        lines.write(f"{n:06} {LINE}")
    assert time.monotonic() - began < 1


def test_a_full_pipe(pipe: tuple[int, int]) -> None:
    """What was not dropped comes in order and whole, each dropped line is counted, and that is told
    once when it flows again.
    """
    told: list[tuple[int, float]] = []
    lines = Outlet(pipe[1], lambda count, seconds: told.append((count, seconds)), MOST)
    fill(lines)
    assert lines.dropped > 1000
    assert not told
    reader = threading.Thread(target=lambda: got.append(read_all(pipe[0], b"last\n")))
    got: list[bytes] = []
    reader.start()
    assert lines.drain(5)
    lines.write("last\n")
    reader.join(5)
    kept = got[0].decode().splitlines()[:-1]
    assert kept == sorted(set(kept))
    assert {len(each) for each in kept} == {len(LINE) + 6}
    assert len(kept) + lines.dropped == 2000
    assert [count for count, _ in told] == [lines.dropped]
    lines.close(1)


def test_it_says_that_nothing_flows(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once: a reader may be slow."""
    lines = Outlet(pipe[1])
    assert lines.stuck_for() == 0
    fill(lines, 500)
    assert lines.stuck_for() == 0
    monkeypatch.setattr(outlet, "STUCK", 0.01)
    time.sleep(0.02)
    assert lines.stuck_for() > 0.01
    assert not lines.drain(0.01)
    read_all(pipe[0], b"000499")
    assert lines.drain(5)
    assert lines.stuck_for() == 0


def test_a_terminal_that_is_stopped() -> None:
    """Ctrl-S, and nobody looks."""
    leader, terminal = pty.openpty()
    try:
        lines = Outlet(terminal, most=MOST)
        fill(lines)
        assert lines.dropped
    finally:
        os.close(leader)
        os.close(terminal)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that did not fit is completed when there is room, not torn."""
    monkeypatch.setattr(outlet, "RETRY", 0.01)
    file = tmp_path / "log"
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with file.open("ab") as opened:
        lines = Outlet(opened.fileno(), most=MOST)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1050, limits[1]))
        try:
            fill(lines, 100)
            assert not lines.drain(0.05)
            assert file.stat().st_size == 1050
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert lines.drain(5)
    assert file.read_text() == "".join(f"{n:06} {LINE}" for n in range(100))
    assert not lines.dropped


def test_a_closed_pipe(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will ever read: it is no error of who writes, nor does it fill memory."""
    monkeypatch.setattr(outlet, "RETRY", 0.01)
    lines = Outlet(pipe[1], most=MOST)
    os.close(pipe[0])
    fill(lines)
    assert not lines.drain(0.05)
    assert lines.dropped > 1000
    lines.close()


def test_a_descriptor_that_does_not_block(pipe: tuple[int, int]) -> None:
    """It says "again" instead: nothing is lost, nothing torn."""
    os.set_blocking(pipe[1], False)
    lines = Outlet(pipe[1])
    fill(lines, 500)
    data = read_all(pipe[0], b"000499 " + LINE.encode())
    assert data.decode() == "".join(f"{n:06} {LINE}" for n in range(500))
    assert lines.drain(5)


def test_a_line_that_is_larger_than_the_bound(pipe: tuple[int, int]) -> None:
    """It is taken when nothing else waits."""
    lines = Outlet(pipe[1], most=10)
    lines.write(LINE)
    assert read_all(pipe[0], b"\n").decode() == LINE
    assert lines.drain(5)
    assert not lines.dropped


def test_what_was_lost_is_told_before_the_end(pipe: tuple[int, int]) -> None:
    """However long it takes to put that into words: the end waits for it."""
    reading, writing = pipe

    def tell(lines: int, _seconds: float) -> None:
        time.sleep(0.1)  # as on a machine that is busy
        made.write(f"lost {lines}\n")

    made = Outlet(writing, tell, 4096)
    for _ in range(200):
        made.write(LINE)
    dropped = made.dropped
    assert dropped
    reader = threading.Thread(target=lambda: seen.append(read_all(reading, b"lost ")))
    seen: list[bytes] = []
    reader.start()
    made.close(20)
    reader.join(20)
    assert seen[0].endswith(f"lost {dropped}\n".encode())
