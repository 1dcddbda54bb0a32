"""Slots and tags, against the client library's own arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sentinel.core.canary.hash_tag import SLOTS, Master, find_owner, find_tag, slot_of, tag_of

A = Master("a" * 40, "h", 1, ((0, 99), (16000, 16383)))
B = Master("b" * 40, "h", 2, ((100, 15999),))


@given(st.text(alphabet="ab{}:é", max_size=12))
def test_slots_are_those_of_the_server(key):
    """CRC16 of the tag, whatever the braces."""
    assert slot_of(key) == key_slot(key.encode())


@pytest.mark.parametrize(
    ("key", "tag"), [("a{b}c", "b"), ("a", "a"), ("{}a", "{}a"), ("a{b", "a{b"), ("{a}{b}", "a")]
)
def test_the_tag_decides(key, tag):
    """Between the first pair of braces, unless empty."""
    assert tag_of(key) == tag


@pytest.mark.parametrize("master", [A, B, Master("c", "h", 3, ((7, 7),))])
def test_a_tag_for_each_master(master):
    """Found even for a single slot, the same every time, and no key of the path leaves it."""
    tag = find_tag(f"0.{master.name}", master)
    assert master.owns(slot_of(f"sentinel:canary:{{{tag}}}:ledger"))
    assert find_tag(f"0.{master.name}", master) == tag


def test_every_slot_has_at_most_one_owner():
    """The owner of a key, or nobody while its slot is not served."""
    assert {find_owner([A, B], f"{{{n}}}") for n in range(500)} == {A, B}
    assert find_owner([B], f"{find_tag('x', A)}") is None
    assert sum(master.owns(slot) for slot in range(SLOTS) for master in (A, B)) == SLOTS
