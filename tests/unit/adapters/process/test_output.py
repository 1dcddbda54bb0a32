"""D7: what components print is bounded while they run, and nobody who prints is stopped."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sentinel.adapters.process import output
from sentinel.adapters.process.output import OutputBound, put_aside

LIMIT = 100_000


@pytest.fixture
def bound(monkeypatch) -> Iterator[OutputBound]:
    """Small limits, and a thread that ends."""
    monkeypatch.setattr(output, "MAX_LOG", LIMIT)
    monkeypatch.setattr(output, "TAIL", 5_000)
    made = OutputBound(every=0.005)
    yield made
    for log in list(made._logs):
        made.leave(log)
    until(lambda: made._thread is None)


def until(condition: Callable[[], object]) -> None:
    """Wait for something real."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_within_its_limit_stays(tmp_path: Path) -> None:
    """Nothing is cut, and nothing is made."""
    log = tmp_path / "a.log"
    assert put_aside(log, 10, 20) == 0
    log.write_bytes(b"x" * 10)
    assert put_aside(log, 10, 20) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


@pytest.mark.parametrize(("keep", "kept", "lost"), [(20, b"0123456789ab", 0), (4, b"89ab", 8)])
def test_a_log_is_cut_in_place(tmp_path: Path, keep: int, kept: bytes, lost: int) -> None:
    """Who appends goes on at its new beginning; the tail stands beside it; what is lost is told."""
    log = tmp_path / "a.log"
    (tmp_path / "a.1.log").write_bytes(b"older" * 100)
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789ab")
        assert put_aside(log, 10, keep) == lost
        writer.write(b"next")
    assert (log.read_bytes(), (tmp_path / "a.1.log").read_bytes()) == (b"next", kept)


def test_without_room_for_a_copy_it_is_cut_all_the_same(tmp_path: Path) -> None:
    """Space comes first: a copy that can't be written holds nothing back."""
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 20)
    (tmp_path / "a.1.log").mkdir()
    assert put_aside(log, 10, 20) == 20
    assert log.stat().st_size == 0


def test_a_hole_is_no_output(tmp_path: Path) -> None:
    """Who opened /dev/stdout anew writes at his own place: the hole before it is not cut again and
    again.
    """
    log = tmp_path / "a.log"
    with log.open("wb") as writer:
        writer.seek(2**20)
        writer.write(b"now")
    assert put_aside(log, 2**18, 2**18) == 0
    assert log.stat().st_size == 2**20 + 3


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """A FIFO, a link out of the folder, a folder: not ours to cut."""
    os.mkfifo(tmp_path / "fifo.log")
    victim = tmp_path / "victim"
    victim.write_bytes(b"x" * 20)
    (tmp_path / "link.log").symlink_to(victim)
    (tmp_path / "folder.log").mkdir()
    for name in ("fifo", "link", "folder"):
        assert put_aside(tmp_path / f"{name}.log", 10, 20) == 0
    assert victim.stat().st_size == 20


def test_a_flood_is_bounded_and_told(bound: OutputBound, tmp_path: Path) -> None:
    """400 limits of output at once: it ends well, the disk never holds but a few of them, and the
    end of it is there to read.
    """
    log = tmp_path / "a.log"
    bound.follow(log)
    most = 0
    with log.open("ab") as stream:
        script = "i=0; while [ $i -lt 400 ]; do head -c 100000 /dev/zero; i=$((i+1)); done"
        child = subprocess.Popen(["/bin/sh", "-c", script + "; echo the end"], stdout=stream)
        while child.poll() is None:
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
            time.sleep(0.002)
    until(lambda: log.stat().st_size <= LIMIT)
    tails = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert (child.returncode, b"the end" in tails) == (0, True)
    assert 20_000_000 < bound.dropped(log) <= 40_000_008
    assert most < 20_000_000


def test_steady_output_loses_nothing(bound: OutputBound, tmp_path: Path) -> None:
    """Rotated, not cut: every byte of the last limit is in one of the two."""
    log = tmp_path / "a.log"
    bound.follow(log)
    with log.open("ab", buffering=0) as writer:
        for n in range(110):
            writer.write(b"%999d\n" % n)
            time.sleep(0.001)
        until(lambda: (tmp_path / "a.1.log").exists() and log.stat().st_size <= LIMIT)
    lines = ((tmp_path / "a.1.log").read_bytes() + log.read_bytes()).split()
    assert lines == [b"%d" % n for n in range(110)] or bound.dropped(log) > 0


def test_on_a_disk_that_is_nearly_full_the_journal_comes_first(
    bound: OutputBound, tmp_path: Path, monkeypatch
) -> None:
    """Far below its limit a log is cut to its tail."""
    monkeypatch.setattr(output, "_is_scarce", lambda _folder: True)
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 50_000)
    bound.follow(log)
    until(lambda: log.stat().st_size == 0)
    assert (tmp_path / "a.1.log").stat().st_size == 5_000
    assert bound.dropped(log) == 45_000


def test_its_thread_ends_with_the_last_log(bound: OutputBound, tmp_path: Path) -> None:
    """Two drivers of one component (a reload) are one log; what is told ends with it."""
    log = tmp_path / "a.log"
    bound.follow(log)
    bound.follow(log)
    bound.leave(log)
    assert bound._thread is not None
    bound.leave(log)
    until(lambda: bound._thread is None)
    assert bound.dropped(log) == 0


def test_what_is_raised_at_one_log_leaves_the_others_bounded(
    bound: OutputBound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread goes on, and says it once."""
    seen: list[Path] = []

    def look(log: Path) -> None:
        seen.append(log)
        if log.name == "bad.log":
            raise RuntimeError("canary")

    monkeypatch.setattr(type(bound), "_look", lambda _self, log: look(log))
    with capture_logs() as lines:
        for name in ("bad.log", "good.log"):
            bound.follow(tmp_path / name)
        end = time.monotonic() + 5
        while len(seen) < 10 and time.monotonic() < end:
            time.sleep(0.005)
    assert {path.name for path in seen} == {"bad.log", "good.log"}
    assert [line["log"] for line in lines] == ["bad.log"]
