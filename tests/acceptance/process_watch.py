"""Looks at the processes of a machine again and again, as `ps axww -o args` and /proc show them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
EVERY = 0.05


@dataclass
class Seen:
    """Command lines of all processes, and environments of those that descend from the watched ones,
    each once.
    """

    command_lines: set[str] = field(default_factory=set)
    environments: set[tuple[str, str]] = field(default_factory=set)
    """(command line, environment)"""


class ProcessWatch(threading.Thread):
    """Watches until it is told to stop; `roots` are processes whose children are looked into."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen, self.roots = Seen(), set[int]()
        self._over = threading.Event()

    def run(self) -> None:
        """Who is gone when it is looked at has been seen before, or was too fast."""
        while not self._over.wait(EVERY):
            self._look()

    def stop(self) -> Seen:
        """What was seen."""
        self._look()
        self._over.set()
        self.join()
        return self.seen

    def _look(self) -> None:
        numbers = [int(path.name) for path in PROC.iterdir() if path.name.isdecimal()]
        parents = {pid: _read_parent(pid) for pid in numbers}
        lines = {pid: _read(pid, "cmdline") for pid in numbers}
        self.seen.command_lines.update(lines.values())
        for pid in numbers:
            # a child that has not begun its program yet is its parent's copy
            if self._descends(pid, parents) and lines[pid] != lines.get(parents[pid]):
                self.seen.environments.add((lines[pid], _read(pid, "environ")))

    def _descends(self, pid: int, parents: dict[int, int]) -> bool:
        above = parents.get(pid, 0)
        while above and above not in self.roots:
            above = parents.get(above, 0)
        return above in self.roots


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _read_parent(pid: int) -> int:
    stat = _read(pid, "stat")
    return int(stat.rpartition(")")[2].split()[1]) if ")" in stat else 0
