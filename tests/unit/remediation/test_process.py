"""The process driver on real processes: noticed at once, never the wrong one, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sentinel.adapters.process import handle, output
from sentinel.adapters.process.handle import adopt, find_marked, open_log, read_start_id, spawn
from sentinel.core.model import Component, RestartPolicy
from sentinel.remediation import Observation
from sentinel.remediation.process import ProcessDriver, ProcessDriverOptions

AT_ONCE = 0.001
"""Seconds of patience of a driver that must run out of it."""
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def alive(pid):
    """Whether a process lives (a zombie does not)."""
    return read_start_id(pid) is not None


async def until(condition):
    """Wait for a condition."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Factory:
    """Makes drivers, and ends what they started."""

    def __init__(self, folder):
        self.folder = folder
        self.made = []

    def __call__(self, script="sleep 60", **settings):
        policy = RestartPolicy(
            stop_timeout=settings.pop("stop_timeout", 5.0),
            kill_safe=settings.pop("kill_safe", False),
        )
        command = list(settings.pop("command", ("/bin/sh", "-c", script)))
        component = Component("worker", driver="process", restart=policy)
        driver = ProcessDriver(
            component, ProcessDriverOptions(command=command, **settings), self.folder / "log"
        )
        self.made.append(driver)
        return driver

    def output(self):
        """What the components wrote."""
        path = self.folder / "log" / "worker.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
async def drivers(tmp_path):
    """A factory of drivers in a folder of the test's own."""
    factory = Factory(tmp_path)
    yield factory
    for driver in factory.made:
        if driver.pid is not None:
            os.killpg(driver.pid, signal.SIGKILL)
            await until(lambda pid=driver.pid: not alive(pid))
        driver.close()


async def test_start(drivers, tmp_path):
    """In a session of its own, output in its log, start id of its own."""
    driver = drivers("echo hello; echo trouble >&2; sleep 60")
    outcome = await driver.start()
    assert (outcome.done, outcome.detail) == (True, f"started (pid {driver.pid})")
    assert outcome.start_id == driver.start_id == read_start_id(driver.pid)
    assert os.getsid(driver.pid) == driver.pid
    await until(lambda: drivers.output() == "hello\ntrouble\n")


async def test_a_second_start_starts_nothing(drivers):
    """What runs is not started again."""
    driver = drivers()
    first = (await driver.start()).start_id
    again = await driver.start()
    assert (again.done, again.start_id) == (True, first)
    assert "already runs" in again.detail


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exit 0", "exited with status 0"),
        ("exit 3", "exited with status 3"),
        ("kill -9 $$", "killed by SIGKILL"),
    ],
)
async def test_a_death_is_noticed_without_asking(drivers, script, how):
    """By pidfd: how it ended is told once."""
    driver = drivers(script)
    told = []
    driver.watch(told.append)
    await driver.start()
    await until(lambda: told)
    assert (told, driver.how_ended, driver.pid) == ([how], how, None)


async def test_a_death_leaves_no_children(drivers):
    """What is left of its process group is asked to end."""
    driver = drivers("sleep 61 & echo $!; exit 1")
    await driver.start()
    await until(drivers.output)
    child = int(drivers.output())
    await until(lambda: not alive(child))


async def test_stop(drivers):
    """TERM, and waited for; the end is not reported as a failure; children go, too."""
    driver = drivers("sleep 61 & echo $!; wait")
    told = []
    driver.watch(told.append)
    await driver.start()
    await until(drivers.output)
    pid, child = driver.pid, int(drivers.output())
    outcome = await driver.stop()
    assert (outcome.done, outcome.detail) == (True, "stopped: killed by SIGTERM")
    assert not alive(pid)
    await until(lambda: not alive(child))
    assert (told, driver.how_ended) == ([], "")
    assert (await driver.stop()).detail == "was not running"


async def test_a_process_that_ignores_term_is_not_killed(drivers):
    """Without `kill_safe` the driver gives up after `stop_timeout`, and still notices a later
    death.
    """
    driver = drivers(STUBBORN, stop_timeout=AT_ONCE)
    told = []
    driver.watch(told.append)
    await driver.start()
    await until(drivers.output)
    pid = driver.pid
    outcome = await driver.stop()
    assert not outcome.done
    assert (
        outcome.detail == f"did not end within {AT_ONCE} s of SIGTERM and is not marked kill_safe"
    )
    assert driver.pid == pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: told)


async def test_kill_safe_allows_kill(drivers):
    """TERM first, then KILL, for the whole group."""
    driver = drivers(f'sh -c "{STUBBORN}" & {STUBBORN}', stop_timeout=AT_ONCE, kill_safe=True)
    await driver.start()
    await until(lambda: drivers.output().count("ready") == 2)
    pid = driver.pid
    outcome = await driver.stop()
    assert (outcome.done, outcome.detail) == (True, "stopped: killed by SIGKILL")
    await until(lambda: not _group(pid))


def _group(pgid):
    """Living members of a process group."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and alive(int(folder.name)):
            try:
                if os.getpgid(int(folder.name)) == pgid:
                    found.append(int(folder.name))
            except ProcessLookupError:
                continue
    return found


async def test_a_stopped_process_can_be_stopped(drivers):
    """SIGSTOPped: it gets TERM and is woken up to take it."""
    driver = drivers()
    await driver.start()
    os.kill(driver.pid, signal.SIGSTOP)
    assert (await driver.stop()).done


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"command": ("/no/such/program",)}, "No such file or directory: /no/such/program"),
        ({"command": ("no-such-program-anywhere",)}, "No such file or directory"),
        ({"command": ("/etc/passwd",)}, "Permission denied"),
        (
            {"command": ("/bin/true",), "cwd": "/no/such/folder"},
            "No such file or directory: /no/such/folder",
        ),
        ({"command": ("/bin/tr\0ue",)}, "embedded null byte"),
        ({"command": ("/bin/true",), "env": {"A": "b\0c"}}, "embedded null byte"),
    ],
)
async def test_what_can_not_be_started_is_an_outcome(drivers, settings, text):
    """Failed, with the reason; nothing is raised, nothing is running."""
    driver = drivers(**settings)
    outcome = await driver.start()
    assert not outcome.done
    assert text in outcome.detail
    assert driver.pid is None


async def test_nothing_of_sentinels_environment_leaks(drivers, monkeypatch):
    """PATH and locale, the component's own variables and the mark: no secret of sentinel."""
    monkeypatch.setenv("SENTINEL_TOKEN", "canary")
    monkeypatch.setenv("BUS_PASSWORD", "canary")
    driver = drivers("env", env={"MINE": "yes"})
    await driver.start()
    await until(lambda: "MINE=yes" in drivers.output())
    names = {line.split("=")[0] for line in drivers.output().splitlines()}
    assert "canary" not in drivers.output()
    assert {"PATH", "MINE", "SENTINEL_SUPERVISED"} <= names
    assert names <= {
        *handle._INHERITED,
        "MINE",
        "SENTINEL_SUPERVISED",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    }


async def test_no_descriptor_of_sentinel_leaks(drivers):
    """The child has standard streams and nothing else: no database, no lock, no socket."""
    with Path("/etc/hostname").open() as held:
        os.set_inheritable(held.fileno(), False)
        driver = drivers("ls /proc/$$/fd; sleep 60")
        await driver.start()
        await until(lambda: len(drivers.output().split()) >= 3)
    assert set(drivers.output().split()) <= {"0", "1", "2", "3", "255"}


async def test_adopt_by_start_id(drivers):
    """A new sentinel takes over what the old one left running, and notices its death."""
    old = drivers()
    await old.start()
    pid, start_id = old.pid, old.start_id
    new = drivers()
    told = []
    new.watch(told.append)
    assert new.adopt(start_id)
    assert new.pid == pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: told)
    assert told == ["ended (exit status unknown: it was adopted)"]


async def test_adopt_by_mark(drivers):
    """Started, but never noted: found by the mark in its environment."""
    old = drivers()
    await old.start()
    new = drivers()
    assert new.adopt("")
    assert new.pid == old.pid
    other = ProcessDriver(
        Component("other"), ProcessDriverOptions(command=["true"]), drivers.folder / "log"
    )
    assert not other.adopt("")


async def test_an_adopted_process_can_be_stopped(drivers):
    """As if it were a child of this sentinel."""
    popen = "subprocess.Popen(['/bin/sleep', '60'], start_new_session=True, stdout=-3, stderr=-3)"
    script = f"import subprocess; print({popen}.pid)"
    pid = int(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
    )
    driver = drivers()
    assert driver.adopt(read_start_id(pid))
    assert (await driver.stop()).done
    assert not alive(pid)


@pytest.mark.parametrize(
    "start_id", ["", "garbage", "boot/x/1", "boot/1/0", "unknown/1", "boot//", "boot/²/1"]
)
async def test_nobody_else_is_adopted(start_id):
    """A start id that does not fit the process with its number finds nobody."""
    assert adopt(start_id) is None


async def test_a_reused_pid_is_never_signalled(tmp_path):
    """After the end of a process its number belongs to somebody else: no signal goes there."""
    ours = spawn(["/bin/true"], {}, "", await open_log(tmp_path / "x.log"))
    await until(lambda: not ours.is_alive())
    waiting = ["/bin/sh", "-c", "read line; exit 7"]
    stranger = subprocess.Popen(waiting, start_new_session=True, stdin=subprocess.PIPE)
    ours.pid = stranger.pid
    ours.signal(signal.SIGKILL)
    ours.signal_group(signal.SIGKILL)
    stranger.communicate(b"go on\n", timeout=20)
    assert stranger.returncode == 7
    ours.close()


async def test_only_the_leader_carries_the_mark(drivers):
    """Children inherit the environment; the session's leader is the component."""
    driver = drivers("sleep 61 & echo $!; wait")
    await driver.start()
    await until(drivers.output)
    found = find_marked(driver._mark)
    assert found.pid == driver.pid
    found.close()


async def test_the_log_is_rotated(drivers, monkeypatch):
    """A log beyond the limit is put aside at the next start; the one before it goes."""
    monkeypatch.setattr(output, "MAX_LOG", 100)
    (drivers.folder / "log").mkdir()
    (drivers.folder / "log" / "worker.log").write_text("x" * 101)
    driver = drivers("echo fresh")
    await driver.start()
    await until(lambda: drivers.output() == "fresh\n")
    assert (drivers.folder / "log" / "worker.1.log").read_text() == "x" * 101


def _descriptors():
    """How many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_is_lost_over_many_restarts(drivers):
    """Pidfds and log files are closed: fifty lives cost nothing."""
    driver = drivers("exit 1")
    told = []
    driver.watch(told.append)
    before = 0
    for i in range(50):
        await driver.start()
        await until(lambda i=i: len(told) == i + 1)
        if i == 0:
            before = _descriptors()
    assert _descriptors() == before


async def test_observe(drivers):
    """Its pidfd tells: runs, or how it ended."""
    driver = drivers()
    assert await driver.observe() == Observation(False, detail="process does not run")
    await driver.start()
    pid = driver.pid
    assert await driver.observe() == Observation(True, driver.start_id, pid, f"runs (pid {pid})")
    os.kill(pid, signal.SIGKILL)
    await until(lambda: driver.how_ended)
    assert await driver.observe() == Observation(False, detail="process killed by SIGKILL")


async def test_restart(drivers):
    """Stopped, then started: another process, another start id, and no end is told."""
    driver = drivers()
    told = []
    driver.watch(told.append)
    await driver.start()
    pid, start_id = driver.pid, driver.start_id
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.start_id) == ("done", driver.start_id)
    assert (driver.pid != pid, driver.start_id != start_id, alive(pid), told) == (
        True,
        True,
        False,
        [],
    )


async def test_what_does_not_stop_is_not_started_a_second_time(drivers):
    """F6: it ignores TERM and is not kill_safe: the restart failed, and exactly one of it runs."""
    driver = drivers(STUBBORN, stop_timeout=AT_ONCE)
    await driver.start()
    await until(drivers.output)
    pid = driver.pid
    outcome = await driver.restart("7/1")
    assert (outcome.word, driver.pid, alive(pid)) == ("failed", pid, True)
    assert drivers.output() == "ready\n"


@pytest.fixture
def handled():
    """Handles a signal, as `sentinel run` does: what is ignored here (under nohup) would be ignored
    by every child.
    """
    before = {}

    def handle(signum):
        before[signum] = signal.signal(signum, lambda *_: None)

    yield handle
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("name", ["HUP", "USR1", "USR2"])
async def test_reload_is_a_signal(drivers, handled, name):
    """The one that is configured, to exactly this process, which goes on."""
    handled(signal.Signals[f"SIG{name}"])
    driver = drivers(
        f"trap 'echo got' {name}; echo ready; while :; do sleep 0.05; done", reload_signal=name
    )
    assert "reload" in driver.actions
    await driver.start()
    await until(drivers.output)
    pid = driver.pid
    outcome = await driver.reload("7/1")
    assert (outcome.word, outcome.detail, outcome.start_id) == (
        "done",
        f"sent SIG{name} (pid {pid})",
        driver.start_id,
    )
    await until(lambda: drivers.output() == "ready\ngot\n")
    assert driver.pid == pid


async def test_reload_is_refused(drivers):
    """Without a signal for it, any would end the process; what does not run can't reload."""
    driver = drivers()
    assert "reload" not in driver.actions
    await driver.start()
    assert (await driver.reload()).detail.startswith("refused: no reload_signal is configured")
    assert alive(driver.pid)
    ended = drivers("true", reload_signal="HUP")
    assert (await ended.reload()).detail == "does not run: nothing to reload"


async def test_who_was_let_go_is_waited_for(drivers):
    """A component that left the configuration goes on; when it ends, it stays no zombie."""
    driver = drivers()
    await driver.start()
    pid = driver.pid
    driver.close()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_a_pipe_in_the_place_of_the_log_blocks_nobody(drivers):
    """A component that turns its own log into a pipe would keep the loop in `open` for ever."""
    (drivers.folder / "log").mkdir()
    os.mkfifo(drivers.folder / "log" / "worker.log")
    async with asyncio.timeout(5):
        outcome = await drivers("sleep 5").start()
    assert not outcome.done
    assert "worker.log" in outcome.detail


async def test_a_disk_that_does_not_answer_holds_no_loop(drivers, monkeypatch):
    """Its log can't be opened: the start has failed, and the loop went on meanwhile."""
    blocked, plain = threading.Event(), os.open

    def hang(path, *args, **more):
        if str(path).endswith(".log"):
            blocked.wait(20)
        return plain(path, *args, **more)

    monkeypatch.setattr(os, "open", hang)
    monkeypatch.setattr(output, "PATIENCE", 0.05)
    async with asyncio.timeout(10):
        outcome = await drivers().start()
    assert not outcome.done
    assert "no answer of its disk within 0.05 s" in outcome.detail
    blocked.set()
