"""A loop that stands still is noticed without it; what only waits is no standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from sentinel.engine import watchdog as watchdog_module
from sentinel.engine.watchdog import ASLEEP, STACKS, Vitals, Watchdog, read_thread_state
from sentinel.metrics import Metrics


class Body:
    """All that gives signs of life, moved by hand; a look is a second."""

    def __init__(self, folder: Path, limit: float = 3.0) -> None:
        self.now = 100.0
        self.late: list[str] = []
        self.guard = SimpleNamespace(latest=self.now, monotonic=lambda: self.now)
        self.scheduler = SimpleNamespace(
            ticked=self.now, finished=self.now, overdue=lambda: self.late
        )
        self.recorder = SimpleNamespace(asked=0, answered=0, thread_id=threading.get_native_id())
        self.pings = 0
        self.metrics = Metrics()
        vitals = Vitals(self.guard, self.scheduler, self.recorder)
        self.dog = Watchdog(vitals, limit, folder, self.metrics, self.ping)
        self.dog._alive_at = self.now

    def ping(self) -> None:
        self.pings += 1

    def live(self, seconds: int, *still: str) -> int:
        """So many looks, at which everything moves but what is named; how many pings."""
        before = self.pings
        for _ in range(seconds):
            self.now += 1
            if "loop" not in still:
                self.guard.latest = self.now
            if "loop" not in still and "scheduler" not in still:
                self.scheduler.ticked = self.now
            if not {"loop", "checks"} & set(still):
                self.scheduler.finished = self.now
            self.dog._look()
        return self.pings - before


@pytest.fixture
def body(tmp_path: Path) -> Body:
    """All is well."""
    return Body(tmp_path)


def test_a_ping_at_each_look(body: Body) -> None:
    """While everything moves, and while nothing is due."""
    assert body.live(5) == 5
    assert body.live(100, "checks") == 100  # checks of once an hour: none is overdue


@pytest.mark.parametrize("part", ["loop", "scheduler"])
def test_no_ping_without_a_sign_of_life(body: Body, part: str) -> None:
    """From the first look on, and again as soon as it moves."""
    body.live(1)
    assert body.live(10, part) <= 1
    assert body.live(3) == 3


def test_no_ping_when_no_check_ends_that_is_due(body: Body) -> None:
    """One that hangs is not all: the others end."""
    body.live(1)
    body.late = ["a"]
    assert body.live(10) == 10
    assert body.live(10, "checks") == 1
    body.late = []
    assert body.live(1, "checks") == 1


def test_a_standstill_is_told_once(body: Body) -> None:
    """With the stack of whoever stands, and when it goes on."""
    body.live(1)
    with capture_logs() as lines:
        body.live(2, "loop")
        assert lines == []
        body.live(20, "loop")
        body.live(1)
    stood, missed, goes = lines
    assert (stood["event"], stood["seconds"]) == ("loop_stands_still", 3.0)
    assert "test_a_standstill_is_told_once" in stood["stacks"]
    assert (missed["event"], missed["of"]) == ("no_sign_of_life", "the loop of events")
    assert (goes["event"], goes["stood_still_seconds"]) == ("loop_goes_on", 22.0)
    assert body.metrics.standstills.value == 1


def test_a_process_that_was_stopped_has_not_stood_still(body: Body) -> None:
    """SIGSTOP for ten minutes: nobody has looked meanwhile."""
    body.live(1)
    body.now += 600
    with capture_logs() as lines:
        body.live(1, "loop")
        body.live(2)
    assert lines == []


@pytest.mark.parametrize(("state", "lives"), [("D", True), ("R", True), ("", True), ("S", False)])
def test_a_store_that_does_not_answer(
    body: Body, monkeypatch: pytest.MonkeyPatch, state: str, lives: bool
) -> None:
    """A blocked disk is no reason for a new start, which would find the same disk; a thread that
    sleeps over its work for a minute is.
    """
    monkeypatch.setattr(watchdog_module, "read_thread_state", lambda _thread: state)
    body.live(1)
    body.recorder.asked, body.late = 1, ["all"]
    body.live(1)
    assert body.live(ASLEEP - 2, "checks") == ASLEEP - 2
    assert (body.live(60, "checks") > 50) == lives
    body.recorder.answered, body.late = 1, []
    assert body.live(2) == 2


def test_states_of_threads() -> None:
    """As proc(5) has them."""
    assert read_thread_state(threading.get_native_id()) == "R"
    asleep, ids = threading.Event(), list[int]()

    def sleep() -> None:
        ids.append(threading.get_native_id())
        asleep.wait(5)

    thread = threading.Thread(target=sleep)
    thread.start()
    while not ids or read_thread_state(ids[0]) == "R":
        time.sleep(0.001)
    assert read_thread_state(ids[0]) == "S"
    asleep.set()
    thread.join()
    while read_thread_state(ids[0]):  # joined before the system has forgotten it
        time.sleep(0.001)


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Body]:
    """A real thread that looks often."""
    made = Body(tmp_path, limit=0.1)
    made.dog.look_every = 0.02
    made.guard.monotonic = time.monotonic
    made.guard.latest = 0.0
    yield made
    made.dog.stop()


def test_what_holds_python_itself(hasty: Body, tmp_path: Path) -> None:
    """No thread of ours can run while a call keeps Python's lock: the stacks are written down by
    the interpreter, and told afterwards. Nothing is left behind.
    """
    with capture_logs() as lines:
        hasty.dog.start()
        end = time.monotonic() + 20
        while not any(line["event"] == "process_stood_still" for line in lines):
            assert time.monotonic() < end
            time.sleep(0.05)  # on a busy machine its thread may not have had its turn before
            hold_the_lock(0.4)
            time.sleep(0.05)
    (told, *_) = [line for line in lines if line["event"] == "process_stood_still"]
    assert "hold_the_lock" in told["stacks"]
    hasty.dog.stop()
    assert not (tmp_path / STACKS).exists()


def hold_the_lock(seconds: float) -> None:
    """One call into C that gives Python's lock to nobody."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pow(3, 10**6)


def test_what_the_process_before_wrote(hasty: Body, tmp_path: Path) -> None:
    """It was ended while it stood still."""
    (tmp_path / STACKS).write_text("Thread 0x1: in a plugin")
    with capture_logs() as lines:
        hasty.dog.start()
        while not lines:
            time.sleep(0.005)
    assert (lines[0]["event"], lines[0]["stacks"]) == (
        "stood_still_before",
        "Thread 0x1: in a plugin",
    )


def test_a_place_that_takes_no_stacks_does_not_end_it(body: Body, tmp_path: Path) -> None:
    """Without a file it watches all the same."""
    (tmp_path / STACKS).mkdir()
    body.dog.look_every = 0.01
    with capture_logs() as lines:
        body.dog.start()
        deadline = time.monotonic() + 5
        while not body.pings and time.monotonic() < deadline:
            time.sleep(0.01)
        body.dog.stop()
    assert body.pings
    assert [line["event"] for line in lines] == ["stacks_not_kept"]
