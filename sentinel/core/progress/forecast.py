"""When it will be done: a simulation that draws the pace of each milestone from the pace observed.

Each trial lets every milestone begin when all that it needs is done, and draws stretches of its own
past (with replacement) until the rest of its work is done. What was never seen at work takes its
estimate, evenly between low and high. Assumed: each goes on as it went, and nobody is shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.component.dependencies import put_in_order
from sentinel.core.progress.dice import Dice
from sentinel.core.progress.network import Needs
from sentinel.core.progress.throughput import Pace

MAX_DRAWS = 40
"""Draws for one milestone in one trial: of a long way a draw stands for several stretches."""
MAX_WORK = 300_000
"""Draws in all: fewer trials are made of a large plan, and the forecast says how many."""
MIN_TRIALS = 50
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """What is left of a milestone: `rest` of work at the observed `pace`, else an estimate in
    seconds; neither: nobody knows. `rest` 0 is over.
    """

    rest: float
    pace: Pace | None = None
    estimate: tuple[float, float] | None = None

    @property
    def seconds(self) -> float | None:
        """How long it takes at the mean pace, or in the middle of the estimate."""
        if self.rest <= 0:
            return 0.0
        if self.pace is not None:
            return self.rest / self.pace.mean
        return sum(self.estimate) / 2 if self.estimate is not None else None


@dataclass(frozen=True, slots=True)
class EndRange:
    """Seconds from now: one in ten trials ends before `low`, half before `middle`, nine in ten
    before `high`.
    """

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class EndForecast:
    """When each milestone, and all of them, will be done. `unknown`: milestones of which nobody
    knows, and which take no time here: then all is at least so late.
    """

    seed: int
    trials: int
    whole: EndRange
    milestones: Mapping[str, EndRange]
    critical: Mapping[str, float]
    """Share of the trials in which a milestone ended last before the end, or led to what did."""
    unknown: tuple[str, ...]


def forecast(
    needs: Needs, work: Mapping[str, RemainingWork], seed: int, trials: int
) -> EndForecast:
    """The ends of milestones that need each other (no circle)."""
    order = put_in_order(list(work), needs)
    made = _bound_trials(work, trials)
    dice = Dice(seed)
    ends: dict[str, list[float]] = {name: [] for name in order}
    wholes, last = [], dict.fromkeys(order, 0)
    for _ in range(made):
        end = _try_once(order, needs, work, dice)
        for name in order:
            ends[name].append(end[name])
        wholes.append(max(end.values(), default=0.0))
        for name in _walk_critical(order, needs, end):
            last[name] += 1
    return EndForecast(
        seed,
        made,
        _rank(wholes),
        {name: _rank(found) for name, found in ends.items()},
        {name: count / made for name, count in last.items() if count},
        tuple(name for name in order if work[name].seconds is None),
    )


def _try_once(
    order: Sequence[str], needs: Needs, work: Mapping[str, RemainingWork], dice: Dice
) -> dict[str, float]:
    end: dict[str, float] = {}
    for name in order:
        begin = max((end[need] for need in needs[name] if need in end), default=0.0)
        end[name] = begin + _draw(work[name], dice)
    return end


def _draw(work: RemainingWork, dice: Dice) -> float:
    """Seconds that a milestone takes in one trial."""
    if work.rest <= 0:
        return 0.0
    pace = work.pace
    if pace is None:
        low, high = work.estimate or (0.0, 0.0)
        return low + (high - low) * dice.roll()
    stands_for = max(1.0, math.ceil(_expected_draws(work) / MAX_DRAWS))
    rest, seconds = work.rest, 0.0
    while rest > 0:
        done = pace.done[dice.choose(len(pace.done))] * stands_for
        if done >= rest:
            return seconds + pace.stretch * stands_for * rest / done
        rest -= done
        seconds += pace.stretch * stands_for
    return seconds


def _expected_draws(work: RemainingWork) -> float:
    if work.rest <= 0 or work.pace is None:
        return 1.0
    return work.rest / (work.pace.mean * work.pace.stretch)


def _bound_trials(work: Mapping[str, RemainingWork], trials: int) -> int:
    draws = sum(min(_expected_draws(each), MAX_DRAWS) + 1 for each in work.values())
    return max(MIN_TRIALS, min(trials, int(MAX_WORK / max(draws, 1.0))))


def _walk_critical(order: Sequence[str], needs: Needs, end: Mapping[str, float]) -> list[str]:
    """The chain that ended last, from its end back."""
    if not order:
        return []
    name = max(order, key=lambda each: end[each])
    path = []
    while end[name] > 0:
        path.append(name)
        before = [need for need in needs[name] if need in end]
        if not before:
            break
        name = max(before, key=lambda each: end[each])
    return path


def _rank(found: Sequence[float]) -> EndRange:
    """Nearest ranks: each is a number that a trial gave."""
    ordered = sorted(found)
    low, middle, high = (
        ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (LOW, MIDDLE, HIGH)
    )
    return EndRange(low, middle, high)
