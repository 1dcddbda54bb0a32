"""Critical path and forecast of generated projects, against computations of another kind."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from sentinel.core.progress.forecast import MAX_DRAWS, RemainingWork, forecast
from sentinel.core.progress.network import find_critical_path
from sentinel.core.progress.throughput import Pace, measure_pace

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def generate(seed: int, count: int = 9) -> dict[str, tuple[str, ...]]:
    """A project: each milestone may need some of those before it, in a shuffled order."""
    dice = random.Random(seed)
    names = [f"m{n}" for n in range(count)]
    needs = {
        name: tuple(other for other in names[:i] if dice.random() < 0.35)
        for i, name in enumerate(names)
    }
    return {name: needs[name] for name in dice.sample(names, count)}


def list_chains(needs: dict[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Every chain of milestones, each needed by the next: by trying all of them."""

    @cache
    def ending_in(name: str) -> tuple[tuple[str, ...], ...]:
        before = [chain for need in needs[name] for chain in ending_in(need)]
        return ((name,), *((*chain, name) for chain in before))

    return [chain for name in needs for chain in ending_in(name)]


@pytest.mark.parametrize("seed", range(20))
def test_critical_path_is_the_longest_chain(seed: int) -> None:
    """Of all chains, tried one by one; and a milestone without slack is on one of the longest."""
    needs, dice = generate(seed), random.Random(-seed - 1)
    durations = {name: dice.choice([0.0, 1.0, 2.5, dice.uniform(1, 9)]) for name in needs}
    path = find_critical_path(needs, durations)
    lengths = {chain: sum(durations[n] for n in chain) for chain in list_chains(needs)}
    longest = max(lengths.values())
    assert path.seconds == pytest.approx(longest)
    assert sum(durations[name] for name in path.names) == pytest.approx(longest)
    for name in needs:
        through = max(length for chain, length in lengths.items() if name in chain)
        assert path.slack[name] == pytest.approx(longest - through)


def test_a_duration_that_nobody_knows_is_named() -> None:
    """It takes no time here, so the end is only a least one."""
    path = find_critical_path({"a": (), "b": ("a",)}, {"a": None, "b": 5.0})
    assert (path.names, path.seconds, path.unknown) == (("b",), 5.0, ("a",))


def test_nothing_left_is_no_path() -> None:
    """All is over, or nothing was planned."""
    assert find_critical_path({"a": ()}, {"a": 0.0}).names == ()
    assert find_critical_path({}, {}).seconds == 0


def simulate(
    needs: dict[str, tuple[str, ...]], work: dict[str, RemainingWork], trials: int
) -> list[float]:
    """The same model by other means: Python's own dice, and time that is walked second by second."""
    dice, ends = random.Random(99), []
    for _ in range(trials):
        end: dict[str, float] = {}
        while len(end) < len(needs):
            for name, needed in needs.items():
                if name not in end and all(need in end for need in needed):
                    begin = max([0.0, *(end[need] for need in needed)])
                    end[name] = begin + walk(work[name], dice)
        ends.append(max(end.values()))
    return sorted(ends)


def walk(work: RemainingWork, dice: random.Random) -> float:
    if work.pace is None:
        return dice.uniform(*work.estimate) if work.estimate and work.rest > 0 else 0.0
    done, seconds = 0.0, 0.0
    while done < work.rest:
        rate = dice.choice(work.pace.done) / work.pace.stretch
        for _ in range(int(work.pace.stretch)):
            done += rate
            seconds += 1
            if done >= work.rest:
                break
    return seconds


@pytest.mark.parametrize("seed", range(3))
def test_forecast_is_that_of_another_simulation(seed: int) -> None:
    """Its three ranks lie where those of an independent one lie, within what chance allows."""
    needs, dice = generate(seed, 6), random.Random(seed + 50)
    work = {}
    for name in needs:
        paces = (*(dice.choice([0.0, 2.0, 5.0, 9.0]) for _ in range(5)), 4.0)
        known = RemainingWork(dice.uniform(5, 40), Pace(20.0, paces))
        work[name] = known if dice.random() < 0.7 else RemainingWork(1.0, None, (30.0, 90.0))
    mine = forecast(needs, work, 7, 2000)
    other = simulate(needs, work, 1200)
    assert mine.unknown == ()
    for value, rank in ((mine.whole.low, 0.1), (mine.whole.middle, 0.5), (mine.whole.high, 0.9)):
        low = other[int(len(other) * (rank - 0.05))]
        high = other[min(int(len(other) * (rank + 0.05)), len(other) - 1)]
        assert low - 1 <= value <= high + 1


def test_a_steady_pace_has_no_range() -> None:
    """Work that always went the same way ends when division says; twice the same is the same."""
    steady = RemainingWork(30.0, Pace(10.0, (5.0, 5.0, 5.0)))
    needs = {"a": (), "b": ("a",), "c": ()}
    work = {"a": steady, "b": steady, "c": RemainingWork(0.0)}
    found = forecast(needs, work, 3, 200)
    assert (found.whole.low, found.whole.middle, found.whole.high) == (120.0, 120.0, 120.0)
    assert found == forecast(needs, work, 3, 200)
    assert found.critical == {"a": 1.0, "b": 1.0}
    assert work["a"].seconds == 60.0


def test_a_long_way_is_drawn_in_bounded_steps() -> None:
    """A million stretches are no million draws, and the mean stays the mean."""
    pace = Pace(1.0, (0.5, 1.5))
    found = forecast({"a": ()}, {"a": RemainingWork(1e6, pace)}, 1, 1000)
    assert found.whole.middle == pytest.approx(1e6, rel=0.1)
    assert found.trials * MAX_DRAWS <= 300_000


def test_of_what_nobody_knows_the_forecast_says_so() -> None:
    """Neither seen at work nor estimated."""
    found = forecast({"a": ()}, {"a": RemainingWork(1.0)}, 1, 100)
    assert found.unknown == ("a",)


def points(*values: float, every: float = 10.0) -> list[tuple[datetime, float]]:
    return [(NOW + timedelta(seconds=i * every), value) for i, value in enumerate(values)]


def test_pace_is_what_was_done_in_equal_stretches() -> None:
    """From the first move on: what had not begun tells no pace."""
    pace = measure_pace(points(0, 0, 0, 2, 6, 6))
    assert pace == Pace(10.0, (2.0, 4.0, 0.0))
    assert pace.mean == pytest.approx(0.2)


@pytest.mark.parametrize("values", [(), (1,), (1, 1, 1, 1), (0, 5), (5, 4, 3)])
def test_no_pace_without_moves(values: tuple[float, ...]) -> None:
    """Too few points, or nothing done: nobody knows."""
    assert measure_pace(points(*values)) is None


def test_work_that_was_taken_back_is_no_pace() -> None:
    """It counts as nothing done, never as less."""
    assert measure_pace(points(0, 4, 2, 6)) == Pace(10.0, (4.0, 0.0, 4.0))
