"""Does the newest time of a column move as the clock does? Of a look alone nobody can tell an idle
platform from one whose times are hours behind; of two looks one can.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.core.moment.skew import QUARTER, TOLERANCE, find_arrival_offset

_AT_FIRST = QUARTER - 2 * TOLERANCE - 1
"""Seconds: at a first look a newest row is taken to be younger, so that one offset explains it."""


@dataclass(slots=True)
class NewestTime:
    """The newest time of a column over several looks. `off`: by how many seconds its clock is ahead
    (else behind), None as far as nothing tells that it is wrong; `zone`: in which it was read. Unix
    seconds.
    """

    newest: float | None = None
    looked: float | None = None
    off: float | None = None
    zone: str = ""

    def see(self, newest: float | None, now: float, zone: str = "") -> float | None:
        """Take in one look; `off` after it. Read in another zone than before, all begins anew."""
        if zone != self.zone:
            self.newest = self.looked = self.off = None
            self.zone = zone
        if newest is not None and newest != self.newest:
            # why: that the newest row was deleted tells nothing of the one before it
            if self.newest is None or newest > self.newest:
                self.off = self._judge(newest, now)
            self.newest = newest
        self.looked = now
        return self.off

    def _judge(self, newest: float, now: float) -> float | None:
        if newest > now + TOLERANCE:
            since = self.looked if self.looked is not None else now - _AT_FIRST
            return find_arrival_offset(newest, since, now) or newest - now
        return None if self.looked is None else find_arrival_offset(newest, self.looked, now)
