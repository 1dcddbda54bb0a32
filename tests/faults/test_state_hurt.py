"""E14: what is done to the files of a state beside a running sentinel. It goes on, under its own
process number, with its worker; what can't be journaled is not done, and people are told.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.real_daemon import RealDaemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RealDaemon]:
    """It runs, with its worker."""
    made = RealDaemon(tmp_path, tmp_path / "state")
    made.write(made.state)
    made.start()
    made.wait(lambda: made.worker() > 0)
    yield made
    made.end()


def test_an_index_that_is_cut_again_and_again(daemon: RealDaemon) -> None:
    """While it reads and writes: it may begin anew, and is there all the time."""
    worker, index = daemon.worker(), daemon.state / "sentinel.db-shm"
    for _ in range(8):
        os.truncate(index, 0)
        daemon.wait(lambda: index.stat().st_size > 0)
    daemon.wait(lambda: not daemon.held())
    assert "-shm was cut beside the running sentinel, and made anew" in daemon.log()
    os.kill(worker, signal.SIGKILL)
    daemon.wait(lambda: daemon.worker() not in {0, worker})
    assert daemon.run("status").returncode in {0, 1, 2, 3}
    assert "Traceback" not in daemon.log()


def test_sigbus_begins_anew(daemon: RealDaemon) -> None:
    """What no guard can see in time: the same process, the same worker, no attempt."""
    worker, process = daemon.worker(), daemon.daemons[-1]
    process.send_signal(signal.SIGBUS)
    daemon.wait(lambda: daemon.log().count('"event": "started"') == 2)
    daemon.wait(lambda: daemon.worker() == worker)
    assert process.poll() is None
    assert '"event": "began_anew"' in daemon.log()
    assert "attempt" not in daemon.run("status").stdout


def test_a_folder_that_is_swapped(daemon: RealDaemon) -> None:
    """For a copy of it from before, or that of another: said at once, nothing is done; with the
    right one back it goes on.
    """
    state, worker = daemon.state, daemon.worker()
    shutil.copytree(state, state.with_name("older"))
    state.rename(state.with_name("right"))
    state.with_name("older").rename(state)
    daemon.wait(lambda: "state folder" in daemon.held())
    assert "was replaced beside the running sentinel" in daemon.held()
    os.kill(worker, signal.SIGKILL)
    daemon.wait(lambda: '"worker"' in daemon.get("/api/v1/incidents"))
    assert daemon.worker() == 0
    state.rename(state.with_name("older"))
    state.with_name("right").rename(state)
    daemon.wait(lambda: daemon.worker() not in {0, worker})
    assert not daemon.held()
