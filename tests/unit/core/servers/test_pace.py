"""F7: a budget of requests is spread over its window, and kept in every window."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sentinel.core.servers.pace import Asker, Pacer, RequestBudget


def send(budget: RequestBudget, every: float, seconds: float) -> list[float]:
    """The instants at which somebody who asks `every` seconds is allowed to."""
    pacer = Pacer(budget)
    instants = [every * n for n in range(int(seconds / every))]
    return [at for at in instants if pacer.take(at) == 0.0]


def test_what_comes_too_fast_is_spread() -> None:
    """25 in 15 min asked for every 10 s: not spent within 4 minutes, but all over it: it is
    never blind for more than two shares.
    """
    budget = RequestBudget(25, 900.0).share([Asker("api", 1, 36.5)])
    sent = send(budget, 10.0, 3600.0)
    gaps = [later - former for former, later in pairwise(sent)]
    assert max(gaps) <= 80.0
    assert sum(at < 240.0 for at in sent) <= 8


@pytest.mark.parametrize("seed", range(20))
def test_no_window_has_more_than_the_budget(seed: int) -> None:
    """Whoever asks, whenever: no window of its length has more, and what waited long enough goes."""
    dice = random.Random(seed)
    requests, together = dice.randint(1, 30), dice.randint(0, 9)
    budget = RequestBudget(requests, 60.0, min(together, requests), dice.randint(0, 40))
    pacer, now, sent = Pacer(budget), 1000.0, []
    for _ in range(400):
        now += dice.choice((0.0, 0.01, 0.5, 3.0, 20.0)) * dice.random()
        wait = pacer.take(now)
        if wait == 0.0:
            sent.append(now)
        elif dice.random() < 0.2:
            now += wait + 1e-6
            assert pacer.take(now) == 0.0
            sent.append(now)
    assert all(sum(at - 60.0 < each <= at for each in sent) <= requests for at in sent)


@pytest.mark.parametrize("seed", range(20))
def test_who_was_planned_is_never_held_back(seed: int) -> None:
    """Checks that fit, at whatever phase they fell, with a jitter: not one request is refused."""
    dice = random.Random(seed)
    window = dice.choice((60.0, 900.0))
    askers = [
        Asker(f"c{n}", dice.randint(1, 3), dice.uniform(2.0, window))
        for n in range(dice.randint(1, 6))
    ]
    need = sum(each.need(window) for each in askers)
    pacer = Pacer(RequestBudget(need, window).share(askers))
    phases = {each.name: dice.uniform(0, each.every) * dice.choice((0, 1)) for each in askers}
    asked = sorted(
        phases[each.name] + each.every * n + dice.uniform(0, 0.01)
        for each in askers
        for n in range(int(4 * window / each.every))
        for _ in range(each.requests)
    )
    assert [at for at in asked if pacer.take(at) > 0.0] == []


@pytest.mark.parametrize(
    ("requests", "every", "need"), [(1, 36.0, 26), (1, 10.0, 91), (3, 300.0, 12), (1, 1e6, 1)]
)
def test_need(requests: int, every: float, need: int) -> None:
    """Into a window of 900 s: one more than whole intervals, for a run may come a little late."""
    assert Asker("x", requests, every).need(900.0) == need


def test_an_interval_that_lasts() -> None:
    """What is advised fits; who needs more at once than there is gets no such advice."""
    askers = [Asker("a", 1, 10.0), Asker("b", 2, 10.0)]
    budget = RequestBudget(25, 900.0)
    interval = budget.find_interval(askers)
    assert interval is not None
    assert sum(Asker(a.name, a.requests, interval).need(900.0) for a in askers) <= 25
    assert RequestBudget(2, 900.0).find_interval(askers) is None


def test_another_budget_gives_nothing_back() -> None:
    """What was sent under the former one counts."""
    pacer = Pacer(RequestBudget(2, 60.0))
    assert [pacer.take(0.0), pacer.take(0.0)] == [0.0, 0.0]
    pacer.follow(RequestBudget(3, 60.0))
    assert [pacer.take(1.0), pacer.take(1.0)] == [0.0, 59.0]
