"""Totals, latencies and the last outcomes of a path: nothing goes back, nothing is counted twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.canary import letter as canary
from sentinel.core.canary.letter import Outcome
from sentinel.core.canary.record import CanaryRecord, CanaryTally, Latencies


def test_totals_survive_a_flush():
    """The server starts again from nothing; the total does not."""
    tally = CanaryTally()
    for count in range(1, 8):
        tally.absorb("sent", count, 1)
    tally.absorb("sent", 1, 1)
    assert tally.total("sent") == 8
    tally.absorb("sent", 0)
    assert tally.total("sent") == 8


def test_an_unconfirmed_change_is_taken_from_the_server():
    """A transaction whose reply was lost shows in the next total, and only once."""
    tally = CanaryTally()
    tally.absorb("ok", 1, 1)
    tally.absorb("ok", 3, 1)
    assert tally.total("ok") == 3


def test_wiped_promises_become_lost_and_revived_ones_are_sent_again():
    """The conservation law holds after a wipe and after a rollback."""
    tally = CanaryTally({"sent": 10, "ok": 7})
    assert tally.imbalance(3) == 0
    assert tally.rebalance(3) == 0
    assert tally.base == {}, "what is balanced is credited nothing"
    assert tally.rebalance(1) == 2
    assert tally.total("lost") == 2
    assert tally.rebalance(4) == -3
    assert tally.total("sent") == 13
    assert tally.imbalance(4) == 0


@given(st.lists(st.sampled_from([*canary.SETTLED, "send", "flush", "audit"]), max_size=80))
def test_conservation_and_monotony_under_any_history(history):
    """Whatever is settled and flushed: totals never go back, and the audit restores the law."""
    server, still_open, tally, seen = {}, 0, CanaryTally(), {}
    for step in history:
        if step == "send":
            server["sent"], still_open = server.get("sent", 0) + 1, still_open + 1
            tally.absorb("sent", server["sent"], 1)
        elif step == "flush":
            server, still_open = {}, 0
        elif step == "audit":
            for name in {*tally.mirror, *server}:
                tally.absorb(name, server.get(name, 0))
            tally.rebalance(still_open)
            assert tally.imbalance(still_open) == 0
        elif still_open:
            server[step], still_open = server.get(step, 0) + 1, still_open - 1
            tally.absorb(step, server[step], 1)
        for name, before in seen.items():
            assert tally.total(name) >= before
        seen = {name: tally.total(name) for name in ("sent", *canary.SETTLED)}


def test_what_was_forgotten_around_a_kill_is_not_judged():
    """The memory may be older than the kill: what was on its way then has arrived since, perhaps.
    Later the law is that of one life again.
    """
    tally = CanaryTally()
    tally.absorb("sent", 5, 1)
    tally.absorb("ok", 4, 1)
    record = CanaryRecord({"mirror": dict(tally.mirror), "base": dict(tally.base)})
    again = record.tally
    for name in again.mirror:  # one more arrived, sentinel was killed, the server forgot everything
        again.absorb(name, 0)
    assert again.rebalance(0) == 0
    assert (again.total("orphan_ok"), again.total("lost"), again.imbalance(0)) == (1, 0, 0)
    again.absorb("sent", 1, 1)
    again.absorb("sent", 0)
    assert again.rebalance(0) == 1
    assert again.total("lost") == 1


def test_latencies_are_cumulative():
    """Buckets are ≤ their edge; +Inf is the total; the document restores them."""
    latencies = Latencies()
    for seconds in (0.001, 0.0011, 0.5, 99.0):
        latencies.add(seconds)
    histogram = Latencies(json.loads(json.dumps(latencies.dump()))).histogram()
    assert histogram.counts[:2] == (1, 2)
    assert histogram.counts[-1] == 3
    assert histogram.total == 4
    assert histogram.sum == pytest.approx(99.5021)


def test_an_orphan_is_not_judged():
    """It arrived, but says nothing of latency: neither window nor last-m rule sees it."""
    record = CanaryRecord()
    record.ended(Outcome.ORPHAN, 5)
    record.ended(Outcome.LOST, 5, times=2)
    assert record.last(9) == ["lost", "lost"]
    assert CanaryRecord(json.loads(json.dumps(record.dump()))).windows.count(5, 60) == (2, 2)


def test_totals_of_a_place_that_is_left_stay():
    """fold: the server's totals become ours, and a new place counts on from zero."""
    tally = CanaryTally({"sent": 5, "ok": 4}, {"sent": 2})
    tally.fold()
    tally.absorb("sent", 1, 1)
    assert (tally.total("sent"), tally.total("ok")) == (8, 4)


def test_losses_in_a_row_end_with_anything_else():
    """Only the losses since the last other outcome count."""
    record = CanaryRecord()
    assert record.lost_in_a_row() == 0
    for outcome in (Outcome.LOST, Outcome.OK, Outcome.LOST, Outcome.LOST):
        record.ended(outcome, 5)
    assert record.lost_in_a_row() == 2
    assert CanaryRecord(json.loads(json.dumps(record.dump()))).lost_in_a_row() == 2


def test_hops_have_latencies_of_their_own():
    """Legs of the product stand beside those that every path has, and survive."""
    record = CanaryRecord(hops=("a", "b"))
    record.latency["b"].add(0.2)
    again = CanaryRecord(json.loads(json.dumps(record.dump())), ("a", "b"))
    assert list(again.latency) == ["publish", "deliver", "total", "a", "b"]
    assert again.latency["b"].histogram().total == 1
