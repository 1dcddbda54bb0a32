"""The file HALT on a disk that does not answer: counted as there, and nobody waits for it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from sentinel.engine import halt_file
from sentinel.engine.halt_file import HaltFile


class BlockedPath:
    """A file that can't be looked at before the disk answers."""

    def __init__(self) -> None:
        self.answers, self.looks = threading.Event(), 0

    def lstat(self) -> None:
        """Hangs."""
        self.looks += 1
        self.answers.wait(20)
        raise FileNotFoundError


def test_it_is_there_or_not(tmp_path: Path) -> None:
    """Seen at once where it matters, and a moment later where it is only shown."""
    file, path = HaltFile(), tmp_path / "HALT"
    assert not file.is_there(path, now=True)
    path.symlink_to("nowhere")
    assert not file.is_there(path, now=False)
    assert file.is_there(path, now=True)
    assert file.is_there(path, now=False)
    assert HaltFile().is_there(tmp_path / ("x" * 300), now=True)


def test_a_disk_that_does_not_answer_halts(monkeypatch) -> None:
    """One thread waits, however often it is asked; when it answers, what it says counts."""
    monkeypatch.setattr(halt_file, "PATIENCE", 0.01)
    path, file = BlockedPath(), HaltFile()
    given: Any = path
    assert [file.is_there(given, now=True) for _ in range(3)] == [True] * 3
    assert path.looks == 1
    monkeypatch.setattr(halt_file, "PATIENCE", 20.0)
    path.answers.set()
    while file.is_there(given, now=True):
        path.answers.wait(0.01)
    assert path.looks >= 2
