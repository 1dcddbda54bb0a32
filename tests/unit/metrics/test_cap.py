"""Which families are left out when all together would be too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel.metrics.cap import ROOM, decide_left_out, describe_left_out

SIZES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100))


def test_the_largest_goes() -> None:
    """What grew out of bounds, whole; of two of one size the later name."""
    assert decide_left_out({"a": 60, "b": 30, "c": 20}, set(), 100) == {"a": 60}
    assert decide_left_out({"a": 60, "b": 60}, set(), 100) == {"b": 60}
    assert decide_left_out({"a": 60, "b": 40}, set(), 100) == {}


def test_it_comes_back_when_there_is_room_for_good() -> None:
    """One at the edge does not come and go."""
    assert decide_left_out({"a": 60, "b": 31}, {"a"}, 100) == {"a": 60}
    assert decide_left_out({"a": 60, "b": 30}, {"a"}, 100) == {}


@given(SIZES, st.sets(st.sampled_from("abcdefgh")), st.integers(1, 300))
def test_what_is_exported_fits(sizes: dict[str, int], before: set[str], most: int) -> None:
    """Never more than the cap; nothing goes without need; nothing larger stays than what goes."""
    left_out = decide_left_out(sizes, before, most)
    kept = {name: size for name, size in sizes.items() if name not in left_out}
    assert sum(kept.values()) <= most
    assert {name: sizes[name] for name in left_out} == left_out
    if sum(sizes.values()) <= ROOM * most:
        assert not left_out
    fresh = {name: size for name, size in left_out.items() if name not in before}
    assert all(sum(kept.values()) + size > most or not kept for size in fresh.values())


def test_people_are_told_what_is_missing() -> None:
    """The names of some, the number of all, and what to do; nothing when nothing is."""
    assert describe_left_out({}) == ""
    text = describe_left_out({"b": 1200, "a": 7, "c": 8, "d": 9, "e": 1}, 1000)
    assert text.startswith(
        "left out of /metrics: a (7 series), b (1,200 series), c (8 series), 2 more"
    )
    assert "more than 1,000 series" in text
