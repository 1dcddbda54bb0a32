"""Outcomes, conservation and confidence of canaries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import canary
from sentinel.core.canary import Latencies, Outcome, Record, Tally, Windows, decide_delivered, judge, judge_recent
from sentinel.core.model import Status


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


@pytest.mark.parametrize("fields", [[], [b"seq"], [b"sum", b"x"], [b"a", b"b"], [b"seq", b"\xff"], [b"seq", b"a:b"]])
def test_strange_entries_are_no_canaries(fields):
    """Foreign entries neither crash nor pass."""
    assert canary.sequence_of(fields) is None
    assert not canary.is_intact(fields)


@pytest.mark.parametrize(("a", "b"), [(True, 1), (1, 1.0), (0.0, -0.0), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (None, 0)])
def test_equality_has_types(a, b):
    """What JSON round trips confuse is not the same."""
    assert not canary.is_same(a, b)


NEEDED = [(0.995, 0, 539), (0.995, 1, 894), (0.995, 2, 1206), (0.995, 3, 1499)]
NEEDED += [(0.999, 0, 2703), (0.999, 1, 4480), (0.999, 3, 7504)]


@pytest.mark.parametrize(("target", "failures", "n"), NEEDED)
def test_the_smallest_sample_that_proves_a_target(target, failures, n):
    """The numbers of measurement.md §1.11 (Wilson, one-sided 95 %), to the unit."""
    assert judge(n, failures, target).verdict == "met"
    assert judge(n - 1, failures, target).verdict == "insufficient data"


def test_verdicts():
    """Ten of ten proves nothing; a really bad path is missed; nothing is insufficient."""
    assert judge(10, 0, 0.995).verdict == "insufficient data"
    assert judge(0, 0, 0.995).verdict == "insufficient data"
    assert judge(600, 20, 0.995).verdict == "missed"
    assert judge(0, 0, 0.995).lower == 0.0


@given(st.integers(0, 5000), st.data())
def test_bounds_surround_the_ratio(n, data):
    """0 ≤ lower ≤ observed ≤ upper ≤ 1."""
    failures = data.draw(st.integers(0, n))
    ratio = (n - failures) / n if n else 0.5
    assert 0 <= canary.wilson_lower(n, failures) <= ratio + 1e-12
    assert ratio - 1e-12 <= canary.wilson_upper(n, failures) <= 1


def test_windows_count_by_minute_and_forget_after_a_day():
    """An hour has its minutes only; memory is bounded to a day; the document restores everything."""
    windows = Windows()
    for minute in range(3000):
        windows.add(minute, failed=minute % 10 == 0)
    assert windows.count(2999, 60) == (60, 6)
    assert windows.count(2999, 1440) == (1440, 144)
    assert len(windows.dump()) <= Windows.SPAN + 1
    assert Windows(json.loads(json.dumps(windows.dump()))).count(2999, 60) == (60, 6)


def test_totals_survive_a_flush():
    """The server starts again from nothing; the total does not."""
    tally = Tally()
    for count in range(1, 8):
        tally.absorb("sent", count, 1)
    tally.absorb("sent", 1, 1)
    assert tally.total("sent") == 8
    tally.absorb("sent", 0)
    assert tally.total("sent") == 8


def test_an_unconfirmed_change_is_taken_from_the_server():
    """A transaction whose reply was lost shows in the next total, and only once."""
    tally = Tally()
    tally.absorb("ok", 1, 1)
    tally.absorb("ok", 3, 1)
    assert tally.total("ok") == 3


def test_wiped_promises_become_lost_and_revived_ones_are_sent_again():
    """The conservation law holds after a wipe and after a rollback."""
    tally = Tally({"sent": 10, "ok": 7})
    assert tally.imbalance(3) == 0
    assert tally.rebalance(1) == 2
    assert tally.total("lost") == 2
    assert tally.rebalance(4) == -3
    assert tally.total("sent") == 13
    assert tally.imbalance(4) == 0


@given(st.lists(st.sampled_from([*canary.SETTLED, "send", "flush", "audit"]), max_size=80))
def test_conservation_and_monotony_under_any_history(history):
    """Whatever is settled and flushed: totals never go back, and the audit restores the law."""
    server, still_open, tally, seen = {}, 0, Tally(), {}
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


@pytest.mark.parametrize(
    ("recent", "status"),
    [
        ([], Status.UNKNOWN),
        (["ok"], Status.UP),
        (["ok"] * 18 + ["late"], Status.UP),
        (["late", "corrupt"] + ["ok"] * 18, Status.DEGRADED),
        (["late", "corrupt"] + ["ok"] * 19, Status.UP),
        (["ok"] * 9 + ["lost"] * 2, Status.DEGRADED),
        (["ok"] * 9 + ["lost", "publish_error", "lost"], Status.DEGRADED),
        (["ok"] * 9 + ["lost", "publish_error", "lost", "lost"], Status.DOWN),
        (["publish_error"] * 20, Status.DEGRADED),
        (["ok"] * 9 + ["lost", "late", "lost"], Status.DEGRADED),
    ],
)
def test_k_of_the_last_m(recent, status):
    """2 of 20 are degraded, 3 in a row sent and never arrived are down, refused ones are not, none is unknown."""
    assert judge_recent(recent, failures=2, of=20, down_after=3)[0] is status


def test_an_orphan_is_not_judged():
    """It arrived, but says nothing of latency: neither window nor last-m rule sees it."""
    record = Record()
    record.ended(Outcome.ORPHAN, 5)
    record.ended(Outcome.LOST, 5, times=2)
    assert record.last(9) == ["lost", "lost"]
    assert Record(json.loads(json.dumps(record.dump()))).windows.count(5, 60) == (2, 2)
