"""The systemd driver against a service with systemd's interface on a private dbus-daemon."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from sentinel.adapters.systemd import Systemd, Unit
from sentinel.core.model import Component
from sentinel.remediation import DriverContext, OutsideDriver
from sentinel.remediation.systemd import DRIVER, SystemdManager, SystemdOptions, observe, refuse
from tests.systemd_double import Double, PrivateBus, private_systemd

UNIT = "orders.service"


@pytest.fixture
async def stand(tmp_path) -> AsyncIterator[tuple[PrivateBus, Double]]:
    """A bus and one running unit."""
    async with private_systemd(tmp_path) as made:
        yield made


def make_driver(bus: PrivateBus, deadline: float = 20.0, patience: float = 10.0) -> OutsideDriver:
    """The driver of the unit; `patience` seconds for what only reads."""
    manager = SystemdManager(
        SystemdOptions.model_construct(unit=UNIT, bus=bus.address, deadline=deadline)
    )
    manager._systemd = Systemd(bus.address, patience)
    return OutsideDriver(manager)


async def test_a_running_unit_is_observed(stand):
    """ActiveState, SubState and MainPID; the start id is the invocation and when it became active."""
    bus, _ = stand
    options = SystemdOptions(unit=UNIT, bus=bus.address)
    driver = DRIVER.make(Component("orders"), options, DriverContext(log_folder=None))
    seen = await driver.observe()
    assert (seen.running, seen.pid, seen.busy) == (True, 4242, False)
    assert seen.detail == "active (running), pid 4242"
    assert driver.start_id == seen.start_id == f"{'01' * 16}/1000"
    driver.close()


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("start", "StartUnit"),
        ("stop", "StopUnit"),
        ("restart", "RestartUnit"),
        ("reload", "ReloadUnit"),
    ],
)
@pytest.mark.parametrize("end", ["before", "after"])
async def test_an_action_is_a_job_that_is_waited_for(stand, method, asked, end):
    """One job in mode "replace"; its end counts, also when it is told before the reply that names
    the job.
    """
    bus, double = stand
    double.job_ends = end
    driver = make_driver(bus)
    outcome = await getattr(driver, method)("7/1")
    assert (outcome.done, outcome.known) == (True, True), outcome
    assert double.asked == [(asked, UNIT, "replace")]
    driver.close()


async def test_a_restart_gives_a_new_start_id(stand):
    """What ran before and what runs after are told apart."""
    bus, _ = stand
    driver = make_driver(bus)
    before = (await driver.observe()).start_id
    outcome = await driver.restart("7/1")
    assert outcome.start_id == driver.start_id != before
    assert driver.pid == 4243
    driver.close()


@pytest.mark.parametrize("result", ["failed", "canceled", "timeout", "dependency", "skipped"])
async def test_a_job_that_fails_is_a_failed_action(stand, result):
    """The job's result is the reason, and the journal of the unit the next step."""
    bus, double = stand
    double.job_result, double.acts = result, False
    driver = make_driver(bus)
    outcome = await driver.restart("7/1")
    assert (outcome.done, outcome.known, outcome.word) == (False, True, "failed")
    assert outcome.detail == f"systemd could not restart it: job {result}"
    assert outcome.guidance == f"journalctl -u {UNIT}"
    driver.close()


@pytest.mark.parametrize(
    ("end", "acts", "word"), [("never", True, "done"), ("lost", False, "unknown")]
)
async def test_what_became_of_a_lost_reply_is_told_by_the_start_id(stand, end, acts, word):
    """F17: no end of the job within the deadline; a new incarnation means that it happened, else
    nothing is known.
    """
    bus, double = stand
    double.job_ends, double.acts = end, acts
    driver = make_driver(bus, deadline=1.5 if acts else 0.2)
    outcome = await driver.restart("7/1")
    assert outcome.word == word, outcome
    assert len(double.asked) <= 1
    driver.close()


async def test_what_systemd_restarts_by_itself_is_not_acted_upon(stand):
    """auto-restart: no job is asked for, and it is neither down nor up; a stop is allowed."""
    bus, double = stand
    double.active, double.sub, double.pid, double.restarts = "activating", "auto-restart", 0, 5
    driver = make_driver(bus)
    seen = await driver.observe()
    assert (seen.running, seen.busy) == (False, True)
    assert (
        seen.detail == "systemd is at work: activating (auto-restart), restarted 5 times by systemd"
    )
    for action in (driver.start, driver.restart, driver.reload):
        outcome = await action("7/1")
        assert (outcome.done, outcome.known) == (False, True)
        assert outcome.detail.startswith("refused: systemd restarts it by itself")
    assert double.asked == []
    assert (await driver.stop("7/2")).done
    driver.close()


async def test_a_unit_with_a_job_is_left_alone(stand):
    """Somebody else has just asked for something: no second job that replaces his."""
    bus, double = stand
    double.job = 99
    driver = make_driver(bus)
    outcome = await driver.restart("7/1")
    assert outcome.detail == "refused: systemd has a job of its own for it (systemctl list-jobs)"
    assert double.asked == []
    driver.close()


async def test_a_unit_that_can_not_reload_is_refused(stand):
    """Without ExecReload= nothing is asked."""
    bus, double = stand
    double.can_reload = False
    driver = make_driver(bus)
    assert (await driver.reload()).detail == "refused: the unit has no ExecReload="
    assert double.asked == []
    driver.close()


@pytest.mark.parametrize(
    "error",
    [
        "org.freedesktop.DBus.Error.AccessDenied",
        "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    ],
)
async def test_polkit_says_no(stand, error):
    """Our own rights: the action failed for certain, with the remedy; what is seen stays seen."""
    bus, double = stand
    double.refuse = error
    driver = make_driver(bus)
    outcome = await driver.restart("7/1")
    assert outcome.word == "failed"
    assert outcome.detail == "systemd refuses RestartUnit: permission denied"
    assert "polkit" in outcome.guidance
    assert (await driver.observe()).running is True
    driver.close()


async def test_another_refusal_keeps_systemds_words(stand):
    """What systemd says is the reason."""
    bus, double = stand
    double.refuse = "org.freedesktop.systemd1.UnitMasked"
    driver = make_driver(bus)
    outcome = await driver.start()
    assert outcome.detail == "systemd refuses StartUnit: Interactive authentication required."
    driver.close()


async def test_no_systemd_on_the_bus(tmp_path):
    """A bus without a service manager: unknown, as nothing can be seen; nothing is done."""
    bus = PrivateBus(tmp_path)
    bus.start()
    try:
        driver = make_driver(bus)
        seen = await driver.observe()
        assert (seen.running, seen.detail) == (None, "no systemd answers on this bus")
        assert (await driver.restart("7/1")).word == "failed"
        driver.close()
    finally:
        bus.stop()


async def test_no_bus(tmp_path):
    """No bus at all: unknown, with the reason."""
    driver = make_driver(PrivateBus(tmp_path))
    seen = await driver.observe()
    assert seen.running is None
    assert "No such file or directory" in seen.detail
    assert driver.how_ended == ""


async def test_a_frozen_bus_and_a_silent_systemd(stand):
    """Bounded: what does not answer is unknown, not down, and not for longer than it is given."""
    bus, double = stand
    driver, fresh = make_driver(bus), make_driver(bus, patience=0.2)
    assert (await driver.observe()).running is True
    driver._manager._systemd._seconds = 0.2
    double.silent = True
    seen = await driver.observe()
    assert (seen.running, seen.detail) == (None, "systemd did not answer within 200 ms")
    double.silent = False
    bus.process.send_signal(signal.SIGSTOP)
    try:
        assert (await fresh.observe()).running is None
        assert (await driver.observe()).running is None
    finally:
        bus.process.send_signal(signal.SIGCONT)
    driver.close()
    fresh.close()


async def test_a_bus_that_breaks_is_opened_again(stand):
    """A connection that broke while a job was waited for: unknown at once; the next look connects
    anew.
    """
    bus, double = stand
    double.job_ends = "never"
    driver = make_driver(bus, deadline=60.0)
    work = asyncio.create_task(driver.restart("7/1"))
    async with asyncio.timeout(20):
        while not double.asked:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    bus.stop()
    async with asyncio.timeout(20):
        outcome = await work
    assert (outcome.word, "broke" in outcome.detail) == ("unknown", True), outcome
    bus.start()
    again = Double()
    connection = await again.serve(bus.address)
    assert (await driver.observe()).running is True
    connection.disconnect()
    driver.close()


async def test_an_end_is_noticed_by_the_next_look(stand):
    """How it ended is told once; a stop that was asked for is no end."""
    bus, double = stand
    driver = make_driver(bus)
    told = []
    driver.watch(told.append)
    await driver.observe()
    double.active, double.sub, double.pid, double.result = "failed", "failed", 0, "exit-code"
    await driver.observe()
    await driver.observe()
    assert told == ["unit failed (failed), result exit-code"]
    assert (driver.how_ended, driver.pid) == (told[0], None)
    await driver.restart("7/1")
    assert driver.how_ended == ""
    await driver.stop()
    assert (len(told), driver.how_ended) == (1, "")
    driver.close()


def unit(**values):
    """A unit that runs, but for these values."""
    plain = {
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "invocation": "ab",
        "active_since": 5,
    }
    rest = {"main_pid": 7, "restarts": 0, "result": "success", "has_job": False, "can_reload": True}
    return Unit(**{**plain, **rest, **values})


@pytest.mark.parametrize(
    ("values", "running", "busy", "text"),
    [
        ({}, True, False, "active (running), pid 7"),
        ({"sub": "exited", "main_pid": 0}, True, False, "active (exited)"),
        ({"active": "reloading", "sub": "reload"}, True, False, "reloading (reload), pid 7"),
        ({"load": "masked"}, True, False, "active (running), pid 7"),
        ({"active": "activating", "sub": "start"}, False, True, "systemd is at work: activating (start)"),
        ({"active": "deactivating", "sub": "stop"}, True, True, "systemd is at work: deactivating (stop)"),
        ({"active": "inactive", "sub": "dead"}, False, False, "unit inactive (dead)"),
        ({"active": "failed", "sub": "failed", "result": "oom"}, False, False, "unit failed (failed), result oom"),
        ({"load": "not-found", "active": "inactive", "sub": "dead"}, False, False, "unit orders.service: not-found"),
        ({"load": "masked", "active": "inactive", "sub": "dead"}, False, False, "unit orders.service: masked"),
    ],
)  # fmt: skip
def test_states_in_our_words(values, running, busy, text):
    """Active states run, what systemd is at work on is busy, the rest does not run."""
    seen = observe(UNIT, unit(**values))
    assert (seen.running, seen.busy, seen.detail) == (running, busy, text)


def test_a_start_id_belongs_to_an_invocation():
    """A unit that never ran has none."""
    assert observe(UNIT, unit(invocation="", active="inactive", sub="dead")).start_id == ""
    assert refuse("stop", unit(has_job=True, sub="auto-restart")) == ""


@pytest.mark.parametrize(
    "name", ["orders", "orders.service/../x", "a b.service", "", "orders.servicex", "x\n.service"]
)
def test_names_that_are_no_units_are_refused(name):
    """A unit has its suffix, and no character that systemd would not take."""
    with pytest.raises(ValueError, match="unit"):
        SystemdOptions(unit=name)


def test_without_its_library_the_driver_says_what_to_install():
    """The extra is named, and everything else works."""
    script = (
        "import sys; sys.modules['dbus_fast'] = None\n"
        "from sentinel.remediation import load_drivers\n"
        "print(load_drivers()['systemd'].unavailable)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "install its library: pip install 'sentinel-sre[systemd]'"
