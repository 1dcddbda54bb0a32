"""What of sentinel itself fails is said for ten minutes, by part."""

from __future__ import annotations

import pytest

from sentinel.app import own_troubles
from sentinel.app.own_troubles import OwnTroubles
from sentinel.metrics import Metrics


class World:
    """Everything by hand."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.now = self.seconds = 0.0
        self.dropped = 0
        self.troubles = OwnTroubles(
            self.metrics, lambda: self.dropped, lambda: self.seconds, lambda: self.now
        )

    def fail(self, part: str, times: int = 1) -> None:
        self.metrics.swallowed.labels(part).inc(times)


@pytest.fixture
def world() -> World:
    """All is well."""
    return World()


def test_nothing_fails(world: World) -> None:
    """What a probe raises is said by its check."""
    world.fail("runner", 7)
    assert world.troubles.look() == []


def test_parts_by_name_with_their_number(world: World) -> None:
    """Over the last ten minutes, and then no more."""
    world.fail("file_watch")
    first = "sentinel itself: its part file_watch failed once within 10 min; its log says what was raised"
    assert world.troubles.look() == [first]
    world.now = 300
    world.fail("file_watch", 2)
    world.fail("calendar", 1000)
    calendar, file_watch = world.troubles.look()
    assert "file_watch failed 3 times" in file_watch
    assert "calendar failed 1,000 times" in calendar
    world.now = 601
    assert "file_watch failed 2 times" in world.troubles.look()[1]
    world.now = 901
    assert world.troubles.look() == []


def test_families_that_are_not_exported(world: World) -> None:
    """As long as it is so."""
    world.metrics.left_out = {"bus_lag_entries": 120_000}
    (told,) = world.troubles.look()
    assert told.startswith(
        "sentinel itself: left out of /metrics: bus_lag_entries (120,000 series)"
    )
    world.metrics.left_out = {}
    assert world.troubles.look() == []


def test_lines_that_were_dropped(world: World) -> None:
    """Said, counted in the figures, and what is wrong now before all."""
    world.dropped, world.seconds = 1234, 65.0
    dropped, stuck = world.troubles.look()
    assert "1,234 lines of its log were dropped within 10 min" in dropped
    assert "nobody has taken a line of its log for 1 min 5 s" in stuck
    assert own_troubles.READER in dropped
    world.dropped, world.seconds = 1300, 0.0
    assert "1,300 lines" in world.troubles.look()[0]
    assert world.metrics.log_dropped.value == 1300


def test_runs_that_were_left_out_are_a_trouble_of_ours(world: World) -> None:
    """How many, whom it hit first, and what helps."""
    world.metrics.shed += 1234
    (said,) = world.troubles.look()
    assert said.startswith("sentinel itself: it does not keep up: 1,234 runs of checks")
    assert "longer intervals" in said
