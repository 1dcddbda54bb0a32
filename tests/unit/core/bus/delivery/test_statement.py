"""Accounts as the JSON that people and tests read, and their sums."""

from __future__ import annotations

import json

import pytest

from sentinel.core.bus.delivery.balance import NO_BALANCE, Account
from sentinel.core.bus.delivery.statement import (
    describe_figures,
    dump_figures,
    find_ratio,
    load_figures,
    sum_accounts,
)
from sentinel.core.quantity import Bounds

EXACT = Account(100, Bounds(5, 5), Bounds(10, 10), Bounds(0, 0), 0)
VAGUE = Account(50, Bounds(0, 3), Bounds(2, 4), Bounds(1, 6), 7, unseen=2)


@pytest.mark.parametrize(
    ("account", "acknowledged"), [(EXACT, Bounds(85, 85)), (VAGUE, Bounds(30, 49))]
)
def test_what_was_acknowledged(account, acknowledged):
    """All that was published and is nowhere else; unseen ones may have been, too."""
    assert account.acknowledged == acknowledged


def test_acknowledged_is_never_negative():
    """Bounds that are wider than what was published."""
    assert Account(3, Bounds(0, 9), Bounds(0, 0), Bounds(0, 0), 0).acknowledged == Bounds(0, 3)


def test_sums():
    """Figure by figure; of none it is nothing."""
    total = sum_accounts([EXACT, VAGUE])
    assert (total.published, total.dropped, total.unseen) == (150, 7, 2)
    assert (total.waiting, total.pending, total.lost) == (
        Bounds(5, 8),
        Bounds(12, 14),
        Bounds(1, 6),
    )
    assert sum_accounts([]) == NO_BALANCE


@pytest.mark.parametrize(
    ("settled", "ratio"),
    [
        ({"acked": 90, "lost": 5, "uncertain": 5}, [0.9, 0.95]),
        ({"acked": 3, "uncertain": 0}, [1.0, 1.0]),
        ({"acked": 0, "uncertain": 0}, [0.0, 1.0]),
        ({}, [0.0, 1.0]),
    ],
)
def test_ratio_of_what_was_good(settled, ratio):
    """At least what is certain, at most with all that is not; of nothing anything."""
    assert find_ratio(settled) == ratio


def test_figures_for_people():
    """A number where it is exact, both ends where it is not; what is unseen may be lost."""
    assert describe_figures(EXACT) == {
        "published": 100, "acknowledged": [85, 85], "pending": 10, "waiting": 5, "lost": [0, 0],
        "dropped": [0, 0],
        "unaccounted": [0, 0],
    }  # fmt: skip
    vague = describe_figures(VAGUE)
    assert (vague["waiting"], vague["pending"], vague["lost"]) == ([0, 3], [2, 4], [1, 8])


@pytest.mark.parametrize("account", [EXACT, VAGUE, NO_BALANCE])
def test_figures_survive_a_restart(account):
    """As JSON."""
    assert load_figures(json.loads(json.dumps(dump_figures(account)))) == account
