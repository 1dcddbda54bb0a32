"""What came to a dead-letter place lately is counted by the stream that it came from."""

from __future__ import annotations

import json

from sentinel.core.bus.arrivals import (
    MAX_HELD,
    MAX_ORIGIN,
    Arrivals,
    HeldArrivals,
    count_arrivals,
    hold_arrivals,
)


def letter(stream: object) -> dict[str, str]:
    return {"payload": json.dumps({"stream": stream})}


def test_origins_are_read_from_json_and_counted():
    """One count for each stream; what tells none, or no text, counts for nobody."""
    letters = [letter("a"), letter("b"), letter("a"), {"payload": "no json"}, letter(["a"])]
    found = count_arrivals(letters, "payload.stream", 20.0, cut=False)
    assert found == Arrivals(20.0, {"a": 2, "b": 1, "": 2})
    assert count_arrivals(letters, "", 20.0, cut=True) == Arrivals(20.0, {"": 5}, cut=True)


def test_an_origin_is_bounded():
    """It is a word of somebody's payload."""
    (name,) = count_arrivals([letter("x" * 1000)], "payload.stream", 20.0, cut=False).counts
    assert len(name) == MAX_ORIGIN


def test_those_above_the_limit_come_by_their_number():
    """At the limit nobody is above it; among equals by name."""
    arrivals = Arrivals(20.0, {"b": 2, "c": 3, "a": 2, "d": 1})
    assert arrivals.list_above(1) == [("c", 3), ("a", 2), ("b", 2)]
    assert arrivals.list_above(3) == []


KEYS = [(9, ("5-0", "9-1"))]
"""The one key of the place: how many entries it has, its oldest and its newest."""


def test_what_came_is_held_while_it_is_there():
    """The window slides on, and nothing is cleared by that; the most that came is remembered."""
    came = Arrivals(20.0, {"orders": 3, "chat": 1})
    held = hold_arrivals({}, came, 1, KEYS, 100.0)
    assert held == {"orders": HeldArrivals(3, False, 20.0, 100.0, 9, "9-1")}
    held = hold_arrivals(held, Arrivals(20.0, {"orders": 2}), 1, KEYS, 101.0)
    assert held["orders"] == HeldArrivals(3, False, 20.0, 101.0, 9, "9-1")
    assert hold_arrivals(held, Arrivals(20.0, {}), 1, KEYS, 500.0) == held
    assert hold_arrivals(held, None, 1, KEYS, 500.0) == held


def test_what_is_taken_out_is_over():
    """Nothing as old is there any more: emptied, or only younger ones are left; or no limit is."""
    held = {"orders": HeldArrivals(3, False, 20.0, 100.0, 9, "9-1")}
    quiet = Arrivals(20.0, {})
    assert hold_arrivals(held, quiet, 1, [], 500.0) == {}
    assert hold_arrivals(held, quiet, 1, [(9, ("9-2", "9-3"))], 500.0) == {}
    assert hold_arrivals(held, quiet, 1, [(8, ("9-2", "9-3")), (1, ("9-1", "9-1"))], 500.0) == held
    assert hold_arrivals(held, quiet, None, KEYS, 500.0) == {}
    assert hold_arrivals(held, quiet, 1, [(8, ("5-0", "9-1"))], 500.0) == held
    assert hold_arrivals(held, quiet, 1, [(7, ("5-0", "9-1"))], 500.0) == {}  # 1 can be left


def test_origins_that_are_held_are_bounded():
    """They are words of somebody's payload."""
    many = Arrivals(20.0, {f"s{n}": 2 for n in range(MAX_HELD + 5)})
    assert len(hold_arrivals({}, many, 1, KEYS, 100.0)) == MAX_HELD
