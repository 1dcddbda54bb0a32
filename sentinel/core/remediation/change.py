"""When may a change of a component's own files be taken over? A budget of its own, beside that of
failures.

A component that writes into what is watched would be restarted by its own restart, for ever. Who
wrote can't be known of a file that was closed again; but a person does not save within seconds of
every start, so what comes so soon waits, longer each time, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class ChangePolicy:
    """`soon`: seconds after a start within which a change looks like the component's own. `free`
    of these in a row are taken over at once; then the wait begins at `first` seconds and grows by
    `factor` up to `longest`. `per_hour` holds for all changes.
    """

    soon: float = 30.0
    free: int = 3
    first: float = 5.0
    factor: float = 2.0
    longest: float = 300.0
    per_hour: int = 30


@dataclass(frozen=True, slots=True)
class ChangeDecision:
    """Seconds to wait before the change is taken over, and why, "" when at once."""

    wait: float
    why: str = ""


def count_streak(policy: ChangePolicy, streak: int, age: float | None) -> int:
    """How many changes in a row came soon after a start; `age` is that of the latest start by a
    change, None without one. A change that left it in peace for longer begins anew.
    """
    return streak + 1 if age is not None and age < policy.soon else 0


def decide_change(policy: ChangePolicy, streak: int, ages: Sequence[float]) -> ChangeDecision:
    """`ages`: seconds since each change that was taken over, of the last hour."""
    recent = sorted(age for age in ages if age < HOUR)
    if len(recent) >= policy.per_hour:
        wait = HOUR - recent[policy.per_hour - 1]
        return ChangeDecision(
            wait,
            f"{len(recent)} changes of its files within an hour were taken over: the next waits",
        )
    if streak < policy.free:
        return ChangeDecision(0.0)
    # Bounded before it is a power: a streak may be long.
    power = min(streak - policy.free, 32)
    wait = min(policy.first * policy.factor**power, policy.longest)
    since = recent[0] if recent else wait
    why = (
        f"its files changed within {policy.soon:g} s of each of its last {streak} starts: does it"
        f" write there by itself? the next change waits {wait:g} s"
    )
    return ChangeDecision(max(wait - since, 0.0), why)
