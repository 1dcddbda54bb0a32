"""A long work on the event loop in pieces, between which others have their turn."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

HELD_FOR = 0.005
"""Seconds for which the loop is held at most."""


@dataclass(slots=True)
class Breath:
    """One for each long work: `draw` after each step of it."""

    _since: float = field(default_factory=time.monotonic)

    async def draw(self) -> None:
        """Let the others have their turn, when it is time."""
        if time.monotonic() - self._since > HELD_FOR:
            await asyncio.sleep(0)
            self._since = time.monotonic()
