"""What a canary is, and how each one ends."""

from __future__ import annotations

import json

import pytest

from sentinel.core.canary import letter as canary
from sentinel.core.canary.letter import Outcome, OwnLetter, decide_delivered


def decide(**facts):
    known = {"intact": True, "ours": True, "age": 0.1, "deadline": 1.0, "stalled": 0.0}
    return decide_delivered(**{**known, **facts})


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({}, Outcome.OK),
        ({"age": 1.0}, Outcome.OK),
        ({"age": 1.01}, Outcome.LATE),
        ({"age": 1.01, "stalled": 0.25}, Outcome.LATE),
        ({"age": 1.01, "stalled": 0.26}, Outcome.ORPHAN),
        ({"age": 0.9, "stalled": 0.8}, Outcome.OK),
        ({"ours": False, "age": 99.0}, Outcome.ORPHAN),
        ({"ours": False, "intact": False}, Outcome.CORRUPT),
        ({"intact": False, "age": 9.0, "stalled": 9.0}, Outcome.CORRUPT),
    ],
)
def test_every_arrival_has_one_outcome(facts, outcome):
    """Corrupt before orphan before late; our own stall voids lateness, never delivery."""
    assert decide(**facts) is outcome


def test_lost_needs_a_reader_that_looked_after_the_time_was_up():
    """A read that was issued before loss_after ended proves nothing."""
    assert not canary.is_lost(since=10.0, caught_up=13.9, loss_after=4.0)
    assert canary.is_lost(since=10.0, caught_up=14.0, loss_after=4.0)
    assert not canary.is_lost(since=10.0, caught_up=float("-inf"), loss_after=4.0)


def test_a_canary_arrives_as_it_was_sent():
    """Encode, carry, decode: intact, with its sequence name."""
    fields = canary.encode("abc:7", "00-x-y-01")
    assert canary.sequence_of(fields) == "abc:7"
    assert canary.is_intact(fields)


def test_the_letter_of_our_own_stream_reads_what_it_writes():
    """Written, read: its name, intact and final; an entry of somebody else is none."""
    letter = OwnLetter()
    arrival = letter.read(letter.write("abc:7", "t", "now"))
    assert arrival == canary.Arrival("abc:7", intact=True)
    assert arrival.reporter == ""
    assert letter.read([b"hello", b"world"]) is None


@pytest.mark.parametrize("place", range(10))
def test_any_changed_field_is_corruption(place):
    """One flipped byte in any name or value is seen."""
    fields = canary.encode("abc:7", "00-x-y-01")
    fields[place] = bytes([fields[place][0] ^ 1]) + fields[place][1:]
    assert not canary.is_intact(fields)


def test_a_body_that_means_something_else_is_corruption_even_with_a_right_checksum():
    """A codec that turns True into 1 and sums the result itself is found by the typed comparison."""
    fields = canary.encode("abc:7", "t")
    body = json.loads(fields[5])
    body["vectors"]["booleans"] = [1, 0, 1, 0]
    fields[5] = json.dumps(body).encode()
    fields[-1] = canary._checksum(fields[:-2])
    assert not canary.is_intact(fields)


@pytest.mark.parametrize(
    "fields", [[], [b"seq"], [b"sum", b"x"], [b"a", b"b"], [b"seq", b"\xff"], [b"seq", b"a:b"]]
)
def test_strange_entries_are_no_canaries(fields):
    """Foreign entries neither crash nor pass."""
    assert canary.sequence_of(fields) is None
    assert not canary.is_intact(fields)


@pytest.mark.parametrize(
    ("a", "b"), [(True, 1), (1, 1.0), (0.0, -0.0), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (None, 0)]
)
def test_equality_has_types(a, b):
    """What JSON round trips confuse is not the same."""
    assert not canary.is_same(a, b)
