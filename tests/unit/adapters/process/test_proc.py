"""Reading /proc: a made-up root for exact numbers, the real one for this very process."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from sentinel.adapters.process.proc import ProcReader
from sentinel.errors import NotMeasurable

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A /proc with process 1 and process 42."""
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1700000000\nprocesses 9\n")
    (tmp_path / "1").mkdir()
    add(tmp_path, 42, name="a) (b", state="S")
    return tmp_path


def add(root: Path, pid: int, name: str, state: str) -> None:
    folder = root / str(pid)
    (folder / "fd").mkdir(parents=True)
    parents, times, rest = (
        ["1"] * 10,
        ["150", "50", "0", "0", "20", "0"],
        ["7", "0", "1000", "0", "33"],
    )
    fields = [state, *parents, *times, *rest]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)} 0 0\n")
    (folder / "cmdline").write_bytes(b"python\0-m\0agent\0")
    (folder / "limits").write_text(
        "Limit  Soft Limit  Hard Limit  Units\nMax open files  64  4096  files\n"
    )
    for number in range(3):
        (folder / "fd" / str(number)).touch()


def test_figures_of_a_process(root):
    """Every field comes from its place, also with brackets in the name."""
    process = ProcReader(root).process(42)
    assert (process.pid, process.name, process.state, process.threads) == (42, "a) (b", "S", 7)
    assert process.cpu_seconds == 200 / TICKS
    assert process.resident_bytes == 33 * PAGE
    assert process.started == 1700000000 + 1000 / TICKS
    assert process.start_ticks == 1000


def test_descriptors_and_limit(root):
    """Open files are counted, the limit is the soft one."""
    found = ProcReader(root).descriptors(42)
    assert (found.open, found.limit) == (3, 64)


def test_unlimited_descriptors(root):
    """unlimited is no number."""
    (root / "42" / "limits").write_text("Max open files  unlimited  unlimited  files\n")
    assert ProcReader(root).descriptors(42).limit is None


def test_a_process_that_is_gone_is_none(root):
    """No such number: None, not an error."""
    assert ProcReader(root).process(7) is None
    assert ProcReader(root).descriptors(7) is None


def test_command_lines(root):
    """Arguments are joined by spaces; a process without any (a kernel thread) is left out."""
    assert list(ProcReader(root).commands()) == [(42, "python -m agent")]


def test_hidden_processes_are_not_absent_ones(root):
    """Where process 1 can't be seen (hidepid), the list of processes is not believed."""
    (root / "1").rmdir()
    with pytest.raises(NotMeasurable, match="hidepid"):
        list(ProcReader(root).commands())


def test_this_process_is_told_as_the_kernel_tells_it():
    """Against the real /proc: open files and limit of this process, exactly."""
    reader = ProcReader()
    before = reader.descriptors(os.getpid())
    with Path("/dev/null").open() as one, Path("/dev/null").open() as two:
        assert not one.closed
        assert not two.closed
        after = reader.descriptors(os.getpid())
    assert after.open - before.open == 2
    assert after.limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert reader.process(os.getpid()).state == "R"


def test_missing_privilege_is_named():
    """Another user's descriptors: unknown, with the privilege that is missing."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(NotMeasurable, match="privilege missing") as caught:
            ProcReader().descriptors(1)
    finally:
        os.seteuid(me)
    assert caught.value.code == "CAP_SYS_PTRACE"
