"""A paused monitor must not invent outages: gaps of our own event loop are remembered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from sentinel.metrics import Metrics
from sentinel.store import Gap

BEAT = 0.1
NOTICEABLE = 0.25
UNOBSERVED = 1.0


class PauseGuard:
    """A heartbeat every 0.1 s. `paused(t)` tells for how many seconds the loop stood still since
    t.
    """

    def __init__(
        self, monotonic: Callable[[], float], utcnow: Callable[[], datetime], metrics: Metrics
    ) -> None:
        self.monotonic = monotonic
        self._utcnow = utcnow
        self._metrics = metrics
        self._last = monotonic()
        self._gaps: deque[tuple[float, float]] = deque(maxlen=256)
        self._unsaved: list[Gap] = []

    async def run(self) -> None:
        """Beat for ever."""
        self._last = self.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            self.beat()

    def beat(self) -> None:
        """Note the time since the last beat; a gap is remembered."""
        now = self.monotonic()
        late = max(now - self._last - BEAT, 0.0)
        self._metrics.loop_lag.observe(late)
        if late > NOTICEABLE:
            self._gaps.append((self._last, now))
        if late > UNOBSERVED:
            ended = self._utcnow()
            self._metrics.unobserved.inc(late)
            self._unsaved.append(
                Gap(ended - timedelta(seconds=late), ended, "sentinel itself stood still")
            )
        self._last = now

    @property
    def latest(self) -> float:
        """Monotonic instant of the latest beat."""
        return self._last

    def paused(self, since: float) -> float:
        """Seconds of noticeable standstill since a monotonic instant, the present gap included."""
        now = self.monotonic()
        stands = now - self._last - BEAT > NOTICEABLE
        if not stands and (not self._gaps or self._gaps[-1][1] <= since):
            return 0.0  # asked after every run, and mostly so
        gaps = list(self._gaps)
        if stands:
            gaps.append((self._last, now))
        return sum(max(0.0, ended - max(began, since)) for began, ended in gaps)

    def longest(self, since: float) -> float:
        """The longest standstill that ended after a monotonic instant, seconds."""
        return max((ended - began for began, ended in self._gaps if ended > since), default=0.0)

    def take_gaps(self) -> list[Gap]:
        """Gaps that are not stored yet."""
        gaps, self._unsaved = self._unsaved, []
        return gaps
