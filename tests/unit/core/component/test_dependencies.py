"""What needs what: walked in one place."""

from __future__ import annotations

import pytest

from sentinel.core.component.dependencies import (
    find_circle,
    find_needed,
    find_root_cause,
    lay_out,
    put_in_order,
    turn_round,
)
from sentinel.core.fault import Status

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN

EDGES = {"api": ("orchestrator", "database"), "orchestrator": ("bus",), "database": (), "bus": ()}


@pytest.mark.parametrize(
    ("bad", "root"),
    [
        ({}, ""),
        ({"bus": DOWN}, "bus"),
        ({"bus": DOWN, "orchestrator": DOWN}, "bus"),
        ({"orchestrator": DOWN}, "orchestrator"),
        ({"database": DOWN}, "database"),
        ({"bus": UNKNOWN}, ""),
        ({"api": DOWN}, ""),
    ],
)
def test_the_root_cause_is_the_deepest_failure(bad, root):
    """The transitive dependency that is down and has nothing below it that is down."""
    statuses = {name: bad.get(name, UP) for name in EDGES}
    assert find_root_cause("api", EDGES, statuses) == root


def test_needed_are_all_below_each_once():
    """Two ways lead to the bus, and it is needed once; who is not known is not needed."""
    edges = {**EDGES, "database": ("bus", "elsewhere")}
    assert sorted(find_needed("api", edges)) == ["bus", "database", "orchestrator"]
    assert find_needed("bus", edges) == find_needed("nobody", edges) == []


def test_order_has_what_is_needed_first():
    """Whoever comes has everything below it before it, in whatever order they were named."""
    for names in (list(EDGES), list(EDGES)[::-1]):
        order = put_in_order(names, EDGES)
        for name in names:
            assert all(order.index(each) < order.index(name) for each in find_needed(name, EDGES))


@pytest.mark.parametrize(
    ("edges", "circle"),
    [
        (EDGES, set()),
        ({"a": ("a",)}, {"a"}),
        ({"a": ("b",), "b": ("c",), "c": ("b",)}, {"b", "c"}),
        ({"a": ("b", "c"), "b": (), "c": ("d",), "d": ("a",)}, {"a", "c", "d"}),
    ],
)
def test_a_circle_is_found(edges, circle):
    """Only those that go round are named, each needs the next."""
    found = find_circle(edges)
    assert set(found) == circle
    assert len(found) == len(circle)
    for name, following in zip(found, (*found[1:], *found[:1]), strict=True):
        assert following in edges[name]


def test_who_needs_it() -> None:
    """Directly or not; an unknown dependency is nobody."""
    graph = {"bus": (), "api": ("bus",), "web": ("api", "gone"), "other": ()}
    turned = turn_round(graph)
    assert turned == {"bus": ("api",), "api": ("web",), "web": (), "other": ()}
    assert sorted(find_needed("bus", turned)) == ["api", "web"]


def test_a_picture_has_few_crossings() -> None:
    """Right of all that is needed, beside it, no two at one place; what nobody knows takes none."""
    needs = {"db": (), "bus": (), "b": ("bus", "gone"), "a": ("db",), "web": ("a", "db")}
    assert lay_out(needs) == {
        "db": (0, 0), "bus": (0, 1), "a": (1, 0), "b": (1, 1), "web": (2, 0),
    }  # fmt: skip
    assert lay_out({}) == {}
