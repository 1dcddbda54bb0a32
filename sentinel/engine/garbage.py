"""Garbage that refers to itself: looked for among what is young, and seldom among everything.

Python looks through all that lives whenever a quarter more has come. With ten thousand checks that
takes some tenths of a second, every few seconds, for nothing: what a check remembers is replaced at
its next run, and goes with its last reference. So what has lived for a while is frozen, and only
when there is much more of it than before all of it is looked through.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

YOUNG, MIDDLE, NEVER = 10_000, 20, 1_000_000
"""New objects between two looks at the young, such looks between two at those that stayed, and
those between two at everything.
"""
FREEZE_EVERY = 30.0
LOOK_EVERY = 600.0
"""Seconds between two looks at whether there is much more."""
GROWN = 1.25
"""Times as much as when it was looked through last."""


@dataclass(slots=True)
class Garbage:
    """`begin` when everything is there, `tend` every few seconds."""

    monotonic: Callable[[], float] = time.monotonic
    _froze: float = 0.0
    _looked: float = 0.0
    _count: int = 0

    def begin(self) -> None:
        """All that is here now stays."""
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._froze = self._looked = self.monotonic()
        self._look_through()

    def tend(self) -> None:
        """Freeze what has lived for a while; look through everything when it has grown."""
        now = self.monotonic()
        if now - self._froze < FREEZE_EVERY:
            return
        self._froze = now
        gc.collect(1)
        gc.freeze()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            if gc.get_freeze_count() > GROWN * self._count:
                self._look_through()

    def _look_through(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._count = gc.get_freeze_count()
