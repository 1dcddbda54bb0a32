"""Which limits of a dead-letter place are passed, told with the place and the command to look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.bus.arrivals import Arrivals, HeldArrivals
from sentinel.core.bus.dead_letter import KeyReading, PlaceLimits, PlaceStanding
from sentinel.core.bus.ledger_finding import find_excesses, find_place_faults, suggest_look
from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds

NOW = 1_700_000_000.0
ANYTHING = PlaceLimits(None, None, None, None)


def standing(type_: str, *readings: KeyReading, growth: float | None = None) -> PlaceStanding:
    return PlaceStanding("p", type_, readings, NOW, 0, growth)


FULL = standing("zset", KeyReading("a", 9, oldest=NOW - 70, overdue=3), growth=4.0)


def test_every_limit_is_told_apart():
    """Each limit is passed by its own figure only, and none when there is no limit."""
    assert find_excesses(FULL, ANYTHING) == []
    assert find_excesses(FULL, PlaceLimits(9, 70, 3, 4)) == []
    assert find_excesses(FULL, PlaceLimits(8, 69, 2, 3)) == [
        ("too_many", "9 entries, more than 8", 9),
        ("overdue", "3 overdue, more than 2", 3),
        ("too_old", "past due for 1 min 10 s, more than 1 min 9 s", None),
        ("growing", "grows by 4 entries a minute over the last 5 min, more than 3", None),
    ]


def test_a_fault_names_place_key_and_limit():
    """The place is the subject, the fullest key the parameter."""
    first, *_ = find_place_faults(FULL, PlaceLimits(8, None, None, None))
    assert (first.key, first.subject, first.count) == ("too_many", {"place": "p"}, Bounds(9, 9))
    assert first.text == "place p: 9 entries, more than 8"
    assert (first.parameters, first.status) == ({"queue": "a"}, Status.DEGRADED)
    assert "worker" in first.guidance


def test_the_oldest_of_a_stream_is_no_retry():
    """Only a sorted set is past due; a stream's entry is just old."""
    old = standing("stream", KeyReading("s", 1, oldest=NOW - 70))
    (fault,) = find_place_faults(old, PlaceLimits(None, 60, None, None))
    assert fault.text == "place p: oldest 1 min 10 s, more than 1 min"
    assert fault.parameters == {"stream": "s"}


def test_what_can_not_be_known_is_unknown_and_counted():
    """The first problem in full with its remedy, how many more there are, and no blame."""
    blind = [("k1: WRONGTYPE", "no list"), ("k2: NOPERM", "grant it")]
    (fault,) = find_place_faults(standing("list"), ANYTHING, blind)
    assert (fault.key, fault.status, fault.guidance) == ("unjudged", Status.UNKNOWN, "no list")
    assert fault.text == "place p: k1: WRONGTYPE; and 1 more"


def came(cut: bool = False, **counts: int) -> PlaceStanding:
    named = {"" if origin == "nobody" else origin: n for origin, n in counts.items()}
    letters = KeyReading("letters", 9, ends=("1700000000000-0", "1700000001000-0"))
    old = KeyReading("old", 1, ends=("1600000000000-0",))
    arrivals = Arrivals(20.0, named, cut)
    return PlaceStanding("dead", "stream", (old, letters), NOW, 0, None, arrivals)


def test_what_ends_in_a_place_is_a_fault_of_the_stream_it_came_from():
    """Stream and place are the subject, the runbook hears of both, the cure shows the newest."""
    (fault,) = find_place_faults(came(orders=3, chat=2), replace(ANYTHING, max_arrivals=2))
    assert (fault.key, fault.status, fault.count) == ("arrivals", Status.DEGRADED, Bounds(3, 3))
    assert fault.subject == {"place": "dead", "stream": "orders"}
    assert fault.text == "stream orders: 3 entries came to dead within the last 20.0 s, more than 2"
    assert fault.parameters == {"stream": "orders", "dead_letters": "letters"}
    assert fault.cure == ("XREVRANGE letters + - COUNT 10",)


def test_arrivals_without_origin_are_of_the_place():
    """Nobody is named; more than were read is said, and bounded from below."""
    (fault,) = find_place_faults(came(cut=True, nobody=100), replace(ANYTHING, max_arrivals=0))
    assert fault.subject == {"place": "dead"}
    assert fault.text.startswith("place dead: at least 100 entries came within the last 20.0 s")
    assert (fault.count, fault.parameters) == (Bounds(100, MANY), {"dead_letters": "letters"})


def test_what_came_before_stands_until_the_place_is_cleared():
    """With the window in which it came, and what would end it."""
    held = {"orders": HeldArrivals(5, False, 20.0, 1_700_000_001.0, 9, "1700000001000-0")}
    limits = replace(ANYTHING, max_arrivals=2)
    for seen in (came(chat=1), replace(came(), arrivals=None)):
        (fault,) = find_place_faults(replace(seen, held=held), limits)
        assert (fault.status, fault.count) == (Status.DEGRADED, Bounds(5, 5))
        assert fault.text == (
            "stream orders: 5 entries came to dead within the 20.0 s before 2023-11-14 22:13:21 UTC,"
            " more than 2; nobody has cleared the place since"
        )
    (fault,) = find_place_faults(replace(came(orders=3), held=held), limits)
    assert fault.count == Bounds(3, 3)


def test_arrivals_are_judged_only_where_there_is_a_limit():
    """Without one, and where nobody counted, nothing is wrong."""
    assert find_place_faults(came(orders=3), ANYTHING) == []
    assert find_place_faults(standing("stream"), replace(ANYTHING, max_arrivals=0)) == []


@pytest.mark.parametrize(
    ("type_", "command"),
    [
        ("stream", 'XRANGE "a b\\n" - + COUNT 10'),
        ("zset", 'ZRANGE "a b\\n" 0 9 WITHSCORES'),
        ("list", 'LRANGE "a b\\n" -10 -1'),
    ],
)
def test_the_look_is_at_the_fullest_key_in_quotes(type_, command):
    """A key with a space or a line break is one word of the command."""
    place = standing(type_, KeyReading("a b\n", 9), KeyReading("c", 1))
    assert suggest_look(place) == (command,)
    assert suggest_look(standing(type_)) == ()
