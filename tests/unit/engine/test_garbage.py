"""What refers to itself goes, though what lives for long is not looked through all the time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sentinel.engine import garbage
from sentinel.engine.garbage import FREEZE_EVERY, LOOK_EVERY, Garbage


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def plain() -> Iterator[None]:
    """Python's own ways come back."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize("grows", [True, False])
def test_what_is_frozen_is_looked_through_when_it_has_grown(plain, monkeypatch, grows) -> None:
    """A ring that was frozen while somebody held it, and that nobody holds any more."""
    monkeypatch.setattr(garbage, "GROWN", 0.5 if grows else 100.0)
    now = 0.0
    keeper = Garbage(lambda: now)
    keeper.begin()
    assert gc.get_threshold()[2] == garbage.NEVER
    ring = Ring()
    gone = weakref.ref(ring)
    now = FREEZE_EVERY
    before = gc.get_freeze_count()
    keeper.tend()
    assert gc.get_freeze_count() > before
    del ring
    now = LOOK_EVERY - 1.0
    keeper.tend()
    assert gone() is not None
    now = LOOK_EVERY + FREEZE_EVERY
    keeper.tend()
    assert (gone() is None) is grows


def test_young_rings_go(plain) -> None:
    """What was let go before it was frozen."""
    now = 0.0
    keeper = Garbage(lambda: now)
    keeper.begin()
    gone = weakref.ref(Ring())
    now = FREEZE_EVERY
    keeper.tend()
    assert gone() is None
