"""Components that put themselves into the background, or call themselves what they like: no second
copy of one, no end of the daemon by the other.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sentinel.adapters.process.handle import read_start_id
from sentinel.adapters.process.marked import list_marked, list_written
from sentinel.core.model import Component, RestartPolicy
from sentinel.remediation.process import ProcessDriver, ProcessDriverOptions

DAEMONIZES = "setsid sleep 63 & sleep 0.2; exit 0"
CYRILLIC = """
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, sys.argv[1].encode("koi8-r"), 0, 0, 0)
print("renamed", flush=True)
time.sleep(60)
"""
"""PR_SET_NAME with bytes that are no UTF-8."""


@pytest.fixture
async def drive(tmp_path: Path) -> AsyncIterator[Callable[..., ProcessDriver]]:
    """Makes drivers of one component; ends all that carries its mark."""
    made: list[ProcessDriver] = []

    def make(*command: str) -> ProcessDriver:
        component = Component("worker", driver="process", restart=RestartPolicy(stop_timeout=5.0))
        options = ProcessDriverOptions(command=list(command))
        made.append(ProcessDriver(component, options, tmp_path / "log"))
        return made[-1]

    yield make
    for driver in made:
        for each in list_marked(driver._mark):
            os.kill(each.pid, signal.SIGKILL)
        driver.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something real."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_daemonizes_is_noticed_and_not_multiplied(drive) -> None:
    """D4: its end says what it left; no further start makes a second copy, until that has ended."""
    driver = drive("/bin/sh", "-c", DAEMONIZES)
    await driver.start()
    await until(lambda: driver.how_ended)
    (left,) = list_marked(driver._mark)
    told = f"left processes of its own: sleep (pid {left.pid}); does it daemonize?"
    assert driver.how_ended == f"exited with status 0 and {told}"
    seen = await driver.observe()
    assert (seen.running, "foreground" in seen.guidance) == (False, True)
    for _ in range(4):
        again = await driver.restart("7/1")
        assert (again.word, again.futile) == ("failed", True)
        assert again.detail == f"not started again: it {told}"
    assert list_marked(driver._mark) == [left]
    os.kill(left.pid, signal.SIGKILL)
    await until(lambda: not list_marked(driver._mark))
    assert (await driver.start()).done


async def test_who_cleans_its_environment_is_known_by_its_output(drive) -> None:
    """Without the mark, and still no second copy: it holds the log that it was given."""
    driver = drive("/bin/sh", "-c", "env -i setsid sleep 3 & sleep 0.2; exit 0")
    await driver.start()
    await until(lambda: driver.how_ended)
    assert "left processes of its own: sleep" in driver.how_ended
    assert not (await driver.restart("7/1")).done
    assert not (await driver.start()).done


async def test_who_leaves_no_trace_is_asked_for(drive) -> None:
    """Neither mark nor output: nobody can know, and the end right after the start says so."""
    driver = drive("/bin/sh", "-c", "env -i setsid sleep 1 > /dev/null 2>&1 & sleep 0.2; exit 0")
    await driver.start()
    await until(lambda: driver.how_ended)
    assert driver.how_ended == "exited with status 0"
    assert "into the background" in (await driver.observe()).guidance
    crashes = drive("/bin/sh", "-c", "exit 3")
    await crashes.start()
    await until(lambda: crashes.how_ended)
    assert (await crashes.observe()).guidance == ""


ANEW = 'setsid sh -c "touch $0.anew; exec sleep 63" & until [ -e $0.anew ]; do sleep 0.01; done'
"""Its own session has begun before the one who started it ends, who takes its group along."""
RESPAWNS = f"trap '{ANEW}; exit 0' TERM; touch \"$0\"; while :; do sleep 0.05; done"


async def test_who_starts_itself_anew_when_it_is_told_to_end(drive, tmp_path: Path) -> None:
    """A restart does not make a second one of it; what it does in its last moments is no fault."""
    driver = drive("/bin/sh", "-c", RESPAWNS, str(tmp_path / "up"))
    await driver.start()
    await until((tmp_path / "up").exists)
    outcome = await driver.restart("7/1")
    (left,) = list_marked(driver._mark)
    assert (outcome.word, outcome.futile) == ("failed", True)
    assert f"it ended, and left processes of its own: sleep (pid {left.pid})" in outcome.detail
    assert not (await driver.start()).done
    os.kill(left.pid, signal.SIGKILL)
    await until(lambda: not list_marked(driver._mark))
    (tmp_path / "up").unlink()
    driver = drive("/bin/sh", "-c", RESPAWNS.replace("63", "0.2"), str(tmp_path / "up"))
    await driver.start()
    await until((tmp_path / "up").exists)
    assert (await driver.stop()).done


async def test_the_next_sentinel_does_not_multiply_it_either(drive) -> None:
    """A grandchild that leads no session is nobody to adopt, and still no reason to start."""
    background = "os.fork() and (time.sleep(0.3), os._exit(0)); os.setsid()"
    script = f"import os, time; {background}; os.fork() and os._exit(0)"
    old = drive(sys.executable, "-c", f"{script}; time.sleep(63)")
    start_id = (await old.start()).start_id
    await until(lambda: old.how_ended)
    await until(lambda: [not each.is_leader for each in list_marked(old._mark)] == [True])
    new = drive(sys.executable, "-c", script)
    assert not new.adopt(start_id)
    assert "does it daemonize?" in (await new.start()).detail
    assert len(list_marked(old._mark)) == 1


async def test_who_crashed_is_started_whatever_it_left(drive) -> None:
    """A helper in a session of its own (an agent of ssh or gpg) holds back nobody who fell."""
    driver = drive("/bin/sh", "-c", "setsid sleep 63 & sleep 0.2; exit 1")
    await driver.start()
    await until(lambda: driver.how_ended)
    assert driver.how_ended == "exited with status 1"
    assert (await driver.start()).done


async def test_names_are_bytes(drive, tmp_path: Path) -> None:
    """D5: a process with a name in KOI8-R is found, adopted and stopped, by id and by mark."""
    old = drive(sys.executable, "-c", CYRILLIC, "демон) S 1")
    start_id = (await old.start()).start_id
    await until((tmp_path / "log" / "worker.log").read_bytes)
    assert read_start_id(old.pid) == start_id
    for sought in (start_id, ""):
        new = drive("true")
        assert new.adopt(sought)
        assert new.pid == old.pid
        new.close()
    (seen,) = list_marked(old._mark)
    assert str(seen).isprintable()
    assert (await old.stop()).done


async def test_an_adoption_that_fails_is_a_finding(drive, monkeypatch) -> None:
    """Nothing is raised; it can't be told what runs, so nothing is started beside it; and as soon as
    it can be told, it is taken over.
    """
    old = drive("/bin/sleep", "63")
    start_id = (await old.start()).start_id
    new = drive("/bin/sleep", "63")

    def fail(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"\xc4", 0, 1, "invalid continuation byte")

    with monkeypatch.context() as broken:
        broken.setattr("sentinel.remediation.process.adopt", fail)
        assert not new.adopt(start_id)
        seen = await new.observe()
        assert (seen.running, "can't tell whether it still runs" in seen.detail) == (None, True)
        outcome = await new.start()
        assert (outcome.word, outcome.futile) == ("failed", False)
    assert (await new.observe()).pid == old.pid


async def test_two_that_may_be_it_are_a_question(drive) -> None:
    """Started and not noted, with a daemon beside it: neither is taken, and no third is started."""
    old = drive("/bin/sh", "-c", "setsid sleep 63 & sleep 63")
    await old.start()
    await until(lambda: sum(each.is_leader for each in list_marked(old._mark)) == 2)
    new = drive("/bin/sleep", "63")
    assert not new.adopt("")
    seen = await new.observe()
    assert (seen.running, seen.detail.endswith("carry its mark: which is it?")) == (None, True)
    assert not (await new.start()).done


def test_a_proc_that_tells_nothing(tmp_path: Path) -> None:
    """Files that are empty, cut, or away: processes that are ending, and none of them a trouble."""
    for number, stat in (("1", b""), ("2", b"2 (x"), ("3", b"3 (\xc4\xe5) S 1 3 3")):
        folder = tmp_path / number
        folder.mkdir()
        (folder / "stat").write_bytes(stat)
        (folder / "environ").write_bytes(b"\xff=1\0MARK=x\0")
        assert read_start_id(int(number), tmp_path) is None
    (tmp_path / "4").mkdir()
    assert list_marked(("MARK", "x"), tmp_path) == []
    assert list_written(1, tmp_path) == set()


async def test_what_it_holds_open_for_writing(drive, tmp_path: Path) -> None:
    """By itself or by a child; what it only reads is not its own."""
    for name in ("read", "written", "child"):
        (tmp_path / name).write_text("x")
    script = f"exec 4<{tmp_path}/read 5>>{tmp_path}/written; sleep 60 6>{tmp_path}/child & wait"
    driver = drive("/bin/sh", "-c", script)
    await driver.start()
    await until(lambda: tmp_path / "child" in list_written(driver.pid))
    mine = {path.name for path in list_written(driver.pid) if path.parent == tmp_path}
    assert mine == {"written", "child"}
