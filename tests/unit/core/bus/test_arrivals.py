"""What came to a dead-letter place lately is counted by the stream that it came from."""

from __future__ import annotations

import json

from sentinel.core.bus.arrivals import MAX_ORIGIN, Arrivals, count_arrivals


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
