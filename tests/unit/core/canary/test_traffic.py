"""Canaries on their way: reports of hops, late comers, and whom a failure is charged to."""

from __future__ import annotations

import json

import pytest

from sentinel.core.canary.letter import Arrival, Outcome
from sentinel.core.canary.record import CanaryRecord
from sentinel.core.canary.traffic import MAX_PAST, CanaryTraffic


def make(*hops, past=None):
    return CanaryTraffic(CanaryRecord(hops=hops), hops, past)


def report(seq, *hops, final=False, intact=True):
    return Arrival(seq, intact, final, tuple((hop, 5_000_000_000) for hop in hops))


def test_a_report_counts_once_however_often_it_is_read():
    """The same entry again (after a reconnect) is no duplicate; another entry of the same hop is
    one.
    """
    traffic = make("a", "b")
    assert traffic.note_report(report("s", "a"), b"1-0", 1)
    assert traffic.note_report(report("s", "a"), b"1-0", 1)
    assert not traffic.note_report(report("s", "a"), b"2-0", 2)
    assert traffic.entries_of("s") == [b"1-0"]


def test_legs_begin_at_our_own_entry():
    """Publish at 1.0 s, a at 1.2, b at 1.5; a canary of another life has no beginning."""
    traffic = make("a", "b")
    traffic.depart("s", 0.0)
    traffic.confirm("s", 1000)
    traffic.note_report(report("s", "a"), b"1200-0", 1200)
    assert traffic.measure(report("s", "a", "b", final=True), 1500) == {"a": 0.2, "b": 0.3}
    assert traffic.measure(report("other", "b", final=True), 1500) == {}


@pytest.mark.parametrize(
    ("outcome", "legs", "hop"),
    [
        (Outcome.LOST, {}, "hop:b"),
        (Outcome.LATE, {"a": 0.1, "b": 0.2, "c": 1.5}, "hop:c"),
        (Outcome.CORRUPT, {}, "hop:a"),
    ],
)
def test_the_failing_hop(outcome, legs, hop):
    """a reported, changed: lost at b; late in the slowest; corrupt since a. A path without hops
    blames nobody.
    """
    traffic = make("a", "b", "c")
    traffic.note_report(report("s", "a", intact=False), b"1-0", 1)
    assert traffic.blame(outcome, "s", legs) == (hop,)
    assert make().blame(outcome, "s", legs) == ()
    assert traffic.blame(Outcome.OK, "s", legs) == ()


def test_a_later_report_vouches_for_the_hops_before_it():
    """b reported, a did not: what is lost then is lost at c."""
    traffic = make("a", "b", "c")
    traffic.note_report(report("s", "a", "b"), b"1-0", 1)
    assert traffic.blame(Outcome.LOST, "s", {}) == ("hop:c",)


def test_what_comes_after_the_end():
    """A copy is a duplicate; one that was given up resurfaces, once; an overtaken report is
    neither.
    """
    traffic = make("a", "b")
    traffic.ended(Outcome.OK, "fine", report("fine", "a", "b", final=True))
    assert traffic.explain_closed(report("fine", "a")) == ""
    assert traffic.explain_closed(report("fine", "a")) == "duplicates"
    assert traffic.explain_closed(report("fine", "a", "b", final=True)) == "duplicates"
    traffic.ended(Outcome.LOST, "gone")
    assert traffic.explain_closed(report("gone", "a")) == ""
    assert traffic.explain_closed(report("gone", "a", "b", final=True)) == "resurfaced"
    assert traffic.explain_closed(report("gone", "a", "b", final=True)) == "duplicates"
    assert traffic.explain_closed(report("never heard of", "a")) == "duplicates"


def test_losses_are_known_after_a_restart():
    """What was given up in another life resurfaces in this one; what ended well there is a
    duplicate.
    """
    before = make()
    before.ended(Outcome.LOST, "gone")
    before.ended(Outcome.OK, "fine", Arrival("fine", intact=True))
    after = make(past=json.loads(json.dumps(before.dump_past())))
    assert after.explain_closed(Arrival("gone", intact=True)) == "resurfaced"
    assert after.explain_closed(Arrival("fine", intact=True)) == "duplicates"


def test_an_answer_ends_a_row_of_losses():
    """Also when it comes too late: somebody is there again."""
    traffic = make("handler")
    for n in range(3):
        traffic.ended(Outcome.LOST, str(n))
    assert traffic.lost_in_a_row == 3
    traffic.explain_closed(Arrival("1", intact=True))
    assert traffic.lost_in_a_row == 0


def test_only_an_orphan_of_our_own_was_seen_by_nobody():
    """It is on its way, and our own stall voided it: blind. One of another life is not, nor a loss."""
    traffic = make()
    for outcome, seq in ((Outcome.ORPHAN, "ours"), (Outcome.LOST, "lost")):
        traffic.depart(seq, 0.0)
        traffic.ended(outcome, seq)
    traffic.ended(Outcome.ORPHAN, "another life")
    assert traffic.record.tally.total("blind") == 1
    assert "ours" not in traffic.flights


def test_memory_is_bounded():
    """A thousand ends are remembered, the oldest go first."""
    traffic = make()
    for n in range(MAX_PAST + 5):
        traffic.ended(Outcome.LOST, str(n))
    assert len(traffic.dump_past()) == MAX_PAST
    assert "4" not in traffic.past


def test_clocks_of_hops():
    """How far a hop's clock is ahead of the server's: 5 s of wall time at 4.9 s."""
    traffic = make("a")
    traffic.note_clock(report("s", "a"), 4900)
    assert traffic.offsets["a"] == pytest.approx(0.1)
