"""The parts of an engine without a daemon: metrics, guard, store, recorder."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from sentinel.core.moment import Moment
from sentinel.engine.pause import PauseGuard
from sentinel.engine.recorder import Paces, Recorder
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore


class Clock:
    """A monotonic clock and a wall clock that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.set_back = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def utcnow(self) -> datetime:
        """The same instant on the wall."""
        return datetime.fromtimestamp(1_800_000_000 + self.now - self.set_back, UTC)

    def wall(self) -> datetime:
        """What the wall shows."""
        return self.utcnow()

    def moment(self) -> Moment:
        """The same instant by wall and by uptime."""
        return Moment(self.utcnow(), "boot", self.now)


@pytest.fixture
def clock():
    """A clock in the hands of the test."""
    return Clock()


@pytest.fixture
def metrics():
    """Fresh metrics."""
    return Metrics()


@pytest.fixture
def guard(metrics):
    """A pause guard on the real clock."""
    return PauseGuard(time.monotonic, lambda: datetime.now(UTC), metrics)


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    made = SqliteStore(tmp_path, owner=True)
    yield made
    made.close()


@pytest.fixture
def recorder(store, metrics):
    """A recorder on it."""
    made = Recorder(store, metrics, lambda: datetime.now(UTC), paces=Paces(0.0, 0.0))
    yield made
    made.close()
