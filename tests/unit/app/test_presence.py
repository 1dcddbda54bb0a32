"""What a state folder tells, whatever lies in the places of its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentinel.app.presence import MOST_OF_HALT, is_halted, read_halt
from sentinel.app.runbooks.hands import MAX_TAIL, read_log
from sentinel.errors import UsageError
from sentinel.store import HALT_FILE


def test_who_halted_is_read(tmp_path: Path) -> None:
    """When, and why."""
    (tmp_path / HALT_FILE).write_bytes(b"2026-01-02T03:04:05Z anna: r\xffelease\n")
    assert read_halt(tmp_path) == "2026-01-02 03:04:05Z anna: r\N{REPLACEMENT CHARACTER}elease"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ["pipe", "endless", "folder", "large"])
def test_what_can_not_be_read_halts_and_holds_up_nobody(tmp_path: Path, what: str) -> None:
    """It counts as halted; who asks why is not kept waiting, and memory has a limit."""
    place = tmp_path / HALT_FILE
    if what == "pipe":
        os.mkfifo(place)
    elif what == "endless":
        place.symlink_to("/dev/zero")
    elif what == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"x" * (MOST_OF_HALT + 1))
    assert (is_halted(tmp_path), read_halt(tmp_path)) == (True, "")


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_log_is_no_log(tmp_path: Path) -> None:
    """A component can make one of its own log: its diagnosis says so, and waits for nobody."""
    os.mkfifo(tmp_path / "worker.log")
    with pytest.raises(UsageError, match="no log of worker"):
        read_log(tmp_path, "worker")


@pytest.mark.timeout(20)
def test_an_endless_log_is_cut(tmp_path: Path) -> None:
    """So is one that grows faster than it is read."""
    (tmp_path / "worker.log").symlink_to("/dev/zero")
    assert len(read_log(tmp_path, "worker")) == MAX_TAIL
