"""Which runs are begun when sentinel can't keep up. Pure; monotonic seconds.

Begun all the same they would be late together, end after their timeouts, and tell nothing of
anybody. So there is an age that a check must have: whoever was seen more lately than that is left
out for one slot, and counted. It grows while the schedule is late. So whoever runs most often is left
out first, nobody for ever, and what others rest on last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sentinel.core.schedule.fixed_rate import phase

LATE = 0.1
"""Seconds: a schedule that is later than this does not keep up with its runs."""
AFTER = 3.0
"""Seconds for which it has to last: a standstill is caught up with in less."""
_UP, _DOWN = 1.1, 0.5
"""By what the age is multiplied in a second of being that late, and of being in time."""
_STEEP = 3.0
"""Whoever is later grows faster, by up to so much."""
_LEAST, _MOST = 0.25, 3600.0
_WEIGHT = 10.0
"""What others rest on counts as so many times as old."""
_TURN = 60.0
"""Seconds in which each check has had its turn to be older and younger than it is: else all checks of
one interval would be left out together, or none.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """How the schedule fares: the age that a check must have, and since when it is late."""

    age: float = 0.0
    at: float = 0.0
    late_since: float | None = None

    def see(self, now: float, late: float) -> Load:
        """The load after a look at which the oldest due run was so many seconds late."""
        passed = min(max(now - self.at, 0.0), 1.0)
        if late <= LATE:
            age = self.age * _DOWN**passed
            return Load(age if age >= _LEAST else 0.0, now)
        since = now if self.late_since is None else self.late_since
        if not self.age and now - since < AFTER:
            return replace(self, at=now, late_since=since)
        grown = max(self.age, _LEAST) * _UP ** (passed * min(late / LATE, _STEEP))
        return Load(min(grown, _MOST), now, since)

    def admits(self, name: str, unseen: float, *, critical: bool) -> bool:
        """Whether a check that was not seen for so long is run now."""
        if not self.age:
            return True
        turn = 0.5 + (phase(name) + self.at / _TURN) % 1.0
        return unseen * (_WEIGHT if critical else 1.0) >= self.age * turn
