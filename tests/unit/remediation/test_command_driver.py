"""The command driver on real programs: bounded, clean, ended at their deadline, and never believed
too much.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sentinel.adapters.process.handle import read_start_id
from sentinel.adapters.process.program import MAX_OUTPUT
from sentinel.core.model import Component
from sentinel.remediation import DriverContext, OutsideDriver
from sentinel.remediation.command import DRIVER, CommandOptions


class Bench:
    """Writes programs into a folder, and makes drivers of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def program(self, name: str, script: str) -> str:
        """A shell program; its absolute path."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def driver(self, **scripts) -> OutsideDriver:
        """A driver; keys are actions and their scripts, `options` the other keys."""
        options = scripts.pop("options", {})
        commands = {
            name: [self.program(name, script), "--", "orders"] for name, script in scripts.items()
        }
        commands.setdefault("restart", ["true"])
        made = CommandOptions.model_validate(
            {"commands": commands, "deadline": "60s", "status_deadline": "30s", **options}
        )
        return DRIVER.make(Component("orders"), made, DriverContext(self.folder / "log"))

    @property
    def log(self) -> str:
        """What the programs printed."""
        return (self.folder / "log" / "orders.log").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A folder for programs."""
    return Bench(tmp_path)


async def until(condition) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("action", ["start", "stop", "restart", "reload"])
async def test_an_action_runs_its_program(bench, action):
    """With its arguments, once; exit code 0 is done."""
    driver = bench.driver(**{action: f'echo "$0 $@" >> {bench.folder}/ran'})
    assert driver.actions == {"restart", action}
    outcome = await getattr(driver, action)("7/1")
    assert (outcome.word, outcome.detail) == ("done", f"its {action} program exited with status 0")
    assert (bench.folder / "ran").read_text() == f"{bench.folder}/{action} -- orders\n"


async def test_an_action_without_a_program_is_refused(bench):
    """What is not configured can't be done."""
    driver = bench.driver()
    assert driver.actions == {"restart"}
    for action in (driver.start, driver.stop, driver.reload):
        assert (await action()).word == "failed"


async def test_a_failing_program_is_a_failed_action(bench):
    """The exit code is the reason; what it printed is in the log, not in the outcome."""
    driver = bench.driver(restart="echo password=hunter2; echo more >&2; exit 3")
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.detail) == ("failed", "its restart program exited with status 3")
    assert "hunter2" not in str(outcome)
    assert outcome.guidance == "what it printed is in orders.log"
    assert bench.log == "--- restart 7/1: exited with status 3\npassword=hunter2\nmore\n\n"


async def test_a_killed_program_is_a_failed_action(bench):
    """By which signal is told."""
    assert (
        await bench.driver(restart="kill -9 $$").restart()
    ).detail == "its restart program was killed by signal 9"


async def test_the_attempt_is_named_in_the_environment_and_nothing_leaks(bench, monkeypatch):
    """SENTINEL_ATTEMPT, the configured variables, PATH and locale; no variable of sentinel's own,
    no key in argv.
    """
    monkeypatch.setenv("SENTINEL_TOKEN", "canary")
    monkeypatch.setenv("BUS_PASSWORD", "canary")
    driver = bench.driver(
        restart="env; tr '\\0' ' ' < /proc/$$/cmdline", options={"env": {"MINE": "yes"}}
    )
    await driver.restart("7/1")
    assert "SENTINEL_ATTEMPT=7/1\n" in bench.log
    assert "MINE=yes\n" in bench.log
    assert "canary" not in bench.log
    lines = bench.log.splitlines()[1:-1]
    assert {line.split("=")[0] for line in lines} <= {
        "PATH",
        "LANG",
        "LC_ALL",
        "MINE",
        "SENTINEL_ATTEMPT",
        "PWD",
    }
    await driver.restart("")
    assert bench.log.count("SENTINEL_ATTEMPT") == 1


async def test_a_program_that_hangs_forks_and_ignores_term_is_ended(bench):
    """F6: at its deadline the whole session is ended, and what it did is unknown; it is not run
    again.
    """
    script = "(trap '' TERM; sleep 600) & echo $! > %s/child; echo x >> %s/ran; sleep 600"
    driver = bench.driver(
        restart=script % (bench.folder, bench.folder), options={"deadline": "1.5s"}
    )
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.known) == ("unknown", False)
    assert outcome.detail == "its restart program did not end within 1.5 s and was ended"
    child = int((bench.folder / "child").read_text())
    await until(lambda: read_start_id(child) is None)
    assert (bench.folder / "ran").read_text() == "x\n"


async def test_what_a_program_leaves_running_goes_on(bench):
    """A program that ends in time may leave what it has started, even with its output still held."""
    driver = bench.driver(restart=f"sleep 600 & echo $! > {bench.folder}/child")
    outcome = await driver.restart()
    child = int((bench.folder / "child").read_text())
    assert outcome.done
    assert read_start_id(child) is not None
    os.kill(child, 9)


async def test_output_is_bounded(bench):
    """A program that prints for ever fills neither memory nor disk, and is not stopped by it."""
    driver = bench.driver(restart="head -c 3000000 /dev/zero | tr '\\0' x")
    assert (await driver.restart()).done
    assert MAX_OUTPUT < len(bench.log) < MAX_OUTPUT + 200
    assert bench.log.endswith("[cut]\n")


async def test_a_log_that_can_not_be_written_changes_nothing(bench):
    """A full or read-only disk must not turn a restart that worked into one that failed."""
    (bench.folder / "log").write_text("a file where the folder should be")
    assert (await bench.driver(restart="echo x").restart()).done


async def test_a_program_that_is_gone_is_a_failed_action(bench):
    """Removed after the configuration was read: known not to have happened."""
    driver = bench.driver(restart="true")
    (bench.folder / "restart").unlink()
    outcome = await driver.restart()
    assert (outcome.word, "any more" in outcome.detail) == ("failed", True)


async def test_a_program_that_can_not_be_run_is_a_failed_action(bench):
    """No interpreter of that name: the reason is told."""
    driver = bench.driver(restart="true")
    path = bench.folder / "restart"
    path.write_text("#!/no/such/interpreter\n")
    outcome = await driver.restart()
    assert outcome.word == "failed"
    assert outcome.detail == f"{path} can't be started: No such file or directory"


@pytest.mark.parametrize(
    ("script", "running", "text"),
    [
        ("exit 0", True, "its status program says that it runs"),
        ("exit 1", False, "its status program says that it does not run (status 1)"),
        ("exit 3", False, "its status program says that it does not run (status 3)"),
        ("exit 2", None, "its status program exited with status 2"),
        ("exit 4", None, "its status program exited with status 4"),
        ("exit 127", None, "its status program exited with status 127"),
        ("kill -9 $$", None, "its status program was killed by signal 9"),
    ],
)
async def test_status(bench, script, running, text):
    """0 runs, 1 and 3 do not; any other code, or an end by a signal, says nothing about the
    component.
    """
    seen = await bench.driver(status=script).observe()
    assert (seen.running, seen.detail) == (running, text)


async def test_a_status_program_that_hangs_says_nothing(bench):
    """Ended at its deadline: unknown, never down."""
    seen = await bench.driver(
        status="trap '' TERM; sleep 600", options={"status_deadline": "200ms"}
    ).observe()
    assert (seen.running, seen.detail) == (
        None,
        "its status program did not end within 200 ms and was ended",
    )


@pytest.mark.parametrize(
    ("script", "start_id", "pid"),
    [
        ("echo start_id=boot/7; echo pid=42", "boot/7", 42),
        ("echo noise; echo ' pid=x '; echo start_id= a=b", "a=b", None),
        ("echo", "", None),
        ("echo pid=-1; echo pid=99999999999999", "", None),
        ("yes | head -n 70; echo start_id=late", "", None),
    ],
)
async def test_status_names_what_runs(bench, script, start_id, pid):
    """Lines of the form name=value, among the first; anything else is noise."""
    driver = bench.driver(status=script)
    seen = await driver.observe()
    assert (seen.running, seen.start_id, seen.pid) == (True, start_id, pid)
    assert (driver.start_id, driver.pid) == (start_id, pid)


async def test_without_a_status_program_nothing_is_known(bench):
    """And the component has no check of its own by its driver."""
    driver = bench.driver()
    assert (await driver.observe()).running is None
    assert not DRIVER.observes(CommandOptions.model_validate({"commands": {"restart": ["true"]}}))
    assert DRIVER.observes(
        CommandOptions.model_validate({"commands": {"restart": ["true"], "status": ["true"]}})
    )


async def test_what_became_of_a_program_past_its_deadline_is_told_by_the_start_id(bench):
    """F17: ended at its deadline; a new start id means that it happened."""
    (bench.folder / "id").write_text("1")
    restart = f"echo 2 > {bench.folder}/id; sleep 600"
    driver = bench.driver(
        restart=restart,
        status=f"echo start_id=$(cat {bench.folder}/id)",
        options={"deadline": "1.5s"},
    )
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.start_id) == ("done", "2"), outcome


@pytest.mark.parametrize(
    "argv",
    [[], ["no-such-program-anywhere"], ["./relative"], ["/no/such/program"], ["/etc/passwd"]],
)
def test_a_program_that_can_not_be_found_is_refused_at_load(argv):
    """An absolute path of a program, or a name in the system's folders."""
    with pytest.raises(ValueError, match=r"commands\.restart"):
        CommandOptions.model_validate({"commands": {"restart": argv}})


def test_a_program_that_everyone_can_change_is_refused_at_load(bench):
    """Whoever writes it would act as sentinel."""
    path = bench.program("open", "true")
    Path(path).chmod(0o755 | stat.S_IWOTH)
    with pytest.raises(ValueError, match="chmod o-w"):
        CommandOptions.model_validate({"commands": {"restart": [path]}})
