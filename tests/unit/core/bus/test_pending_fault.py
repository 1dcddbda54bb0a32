"""From the standing of a group to faults: whom they name, what they count, what would cure them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.bus.pending import ConsumerRoster, ConsumerView, PendingRow, at_least, exactly
from sentinel.core.bus.pending_fault import (
    PendingLimits,
    PendingStanding,
    find_absent_groups,
    find_cases,
    find_crowded,
)
from sentinel.core.fault import Status
from sentinel.core.quantity import MANY, Bounds

LIMITS = PendingLimits(
    deadline=60.0,
    max_overdue=0,
    poison_after=5,
    min_idle=2.0,
    dead_after=100.0,
    ghost_after=3600.0,
    max_ghosts=1,
    dead_letter="dlq",
)
CALM = PendingStanding("s", "g")
LIVE = ConsumerView("live", 0, 1.0)
ROSTER = ConsumerRoster(active=1, alive="live")


def row(n: int, consumer: str = "c1", deliveries: int = 1) -> PendingRow:
    return PendingRow((n, 0), consumer, 5.0, deliveries)


def only(standing: PendingStanding, limits: PendingLimits = LIMITS):
    (case,) = find_cases([standing], limits)
    return case


THREE = exactly(3)


def late(count: Bounds = THREE) -> PendingStanding:
    rows = [row(1), row(2), row(9)]
    return replace(CALM, pending=4, overdue=count, oldest=90.0, rows=rows, bound=(5, 0))


def test_a_calm_group_has_no_fault():
    """Nothing pending, nobody listed who is dead, unknown or a ghost."""
    assert find_cases([CALM, replace(CALM, roster=ROSTER)], LIMITS) == []


def test_overdue_names_place_figure_and_limit():
    """The oldest ids are claimed for a living consumer, the holder of the oldest is named."""
    case = only(replace(late(), roster=ROSTER))
    fault = case.fault
    assert fault.text == (
        "stream s, group g: 3 not acknowledged 1 min after publishing, oldest 1 min 30 s"
    )
    assert fault.subject == {"stream": "s", "group": "g"}
    assert fault.parameters == {"stream": "s", "group": "g", "consumer": "c1"}
    assert fault.cure == ("XCLAIM s g live 2000 1-0 2-0",)
    assert (fault.count, fault.status) == (exactly(3), Status.DEGRADED)
    assert [sample["id"] for sample in case.samples] == ["1-0", "2-0"]


def test_without_a_living_consumer_there_is_no_claim():
    """No placeholder stands in a command: what is missing is said in words."""
    for roster in (None, ConsumerRoster()):
        fault = only(replace(late(), roster=roster)).fault
        assert fault.cure == ()
        assert "no living consumer is known" in fault.guidance


def test_so_many_overdue_are_tolerated():
    """At the limit nothing is wrong, one more is."""
    assert find_cases([late()], replace(LIMITS, max_overdue=3)) == []
    fault = only(late(), replace(LIMITS, max_overdue=2)).fault
    assert fault.text.endswith("; tolerated: 2")


def test_a_lower_bound_says_or_more():
    """What no page proves is at least so many, in the text and in the count."""
    case = only(late(at_least(3)))
    assert "3 or more not acknowledged" in case.fault.text
    assert case.fault.count == Bounds(3, MANY)
    assert case.describe()["exact"] is False


def test_missing_payloads_are_acknowledged_after_a_look():
    """Only ids below the first live entry are in the command."""
    standing = replace(CALM, pending=3, missing=exactly(2), rows=[row(1), row(2), row(9)])
    fault = only(replace(standing, gone=(5, 0))).fault
    assert fault.key == "payload_missing"
    assert fault.cure == ("XACK s g 1-0 2-0",)
    assert "recover the work elsewhere" in fault.guidance


def test_poison_is_looked_at_entry_by_entry():
    """The commands show the entries; to move them takes their fields, which is said in words."""
    poison = {(7, 0): 9, (3, 0): 6}
    standing = replace(CALM, pending=9, poison=exactly(2), poison_ids=poison, rows=[row(3, "c2")])
    case = only(standing)
    assert case.fault.text == "stream s, group g: 2 delivered more than 5 times"
    assert case.fault.cure == ("XRANGE s 3-0 3-0", "XRANGE s 7-0 7-0")
    assert "to dlq, then acknowledge" in case.fault.guidance
    assert [sample["consumer"] for sample in case.samples] == ["c2", ""]
    vague = replace(standing, poison=at_least(2), coverage=0.25)
    assert only(vague).fault.text.endswith("counts of 25% of the pending were read")


def test_a_dead_consumer_is_the_subject():
    """What it holds is claimed; without ids the command lists them. Never is it deleted blindly."""
    dead = ConsumerView("gone", 6, 250.0)
    roster = replace(ROSTER, dead=(dead,))
    fault = only(replace(CALM, roster=roster, owned={"gone": [(1, 0)]})).fault
    assert fault.subject == {"stream": "s", "group": "g", "consumer": "gone"}
    assert fault.parameters == fault.subject
    assert fault.cure == ("XCLAIM s g live 2000 1-0",)
    assert "silent, 4 min 10 s after its last successful read; tolerated: 1 min 40 s" in (
        fault.text
    )
    assert "only when it holds nothing" in fault.guidance
    blind = only(replace(CALM, roster=roster)).fault
    assert blind.cure == ("XPENDING s g - + 10 gone",)


def test_two_dead_consumers_are_two_faults():
    """Each with what it holds itself."""
    roster = ConsumerRoster(dead=(ConsumerView("a", 6, 250.0), ConsumerView("b", 2, 250.0)))
    faults = [case.fault for case in find_cases([replace(CALM, roster=roster)], LIMITS)]
    assert [fault.subject["consumer"] for fault in faults] == ["a", "b"]
    assert [fault.count for fault in faults] == [exactly(6), exactly(2)]


def test_unknown_consumers_are_named_the_greatest_holder_first():
    """Three names and how many more; only those that hold something are listed."""
    names = [("e", 0), ("a", 0), ("b", 5), ("c", 1), ("d", 0)]
    strangers = tuple(ConsumerView(name, held, 1.0) for name, held in names)
    fault = only(replace(CALM, roster=ConsumerRoster(unknown=strangers))).fault
    assert fault.text == (
        "stream s, group g: 5 consumers match no known name and hold 6: b, c, a and 2 more"
    )
    assert fault.cure == (
        "XINFO CONSUMERS s g",
        "XPENDING s g - + 10 b",
        "XPENDING s g - + 10 c",
    )
    single = only(replace(CALM, roster=ConsumerRoster(unknown=strangers[:1]))).fault
    assert "1 consumer matches no known name and hold 0: e" in single.text


def test_ghosts_are_named_from_the_limit_on():
    """One is tolerated; of two both are named, longest silent first, and deleted one by one."""
    ghosts = (ConsumerView("young", 0, 4000.0), ConsumerView("old", 0, 9000.0))
    assert find_cases([replace(CALM, roster=ConsumerRoster(ghosts=ghosts[:1]))], LIMITS) == []
    fault = only(replace(CALM, roster=ConsumerRoster(ghosts=ghosts))).fault
    assert ": old, young; tolerated: 1" in fault.text
    assert fault.cure == (
        "XINFO CONSUMERS s g",
        "XGROUP DELCONSUMER s g old",
        "XGROUP DELCONSUMER s g young",
    )


def test_the_worst_kind_comes_first_then_the_most_entries():
    """Of several groups: payload gone before overdue, many before few."""
    few, many = late(exactly(2)), replace(late(exactly(4)), stream="t")
    gone = replace(CALM, stream="u", pending=1, missing=exactly(1))
    cases = find_cases([few, many, gone], LIMITS)
    assert [(case.fault.key, case.fault.subject["stream"]) for case in cases] == [
        ("payload_missing", "u"),
        ("overdue", "t"),
        ("overdue", "s"),
    ]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("plain:{7}", "plain:{7}"),
        ("a b", '"a b"'),
        ('say "x"', '"say \\"x\\""'),
        ("x\ny", '"x\\ny"'),
        ("\x07", '"\\x07"'),
        ("tür", "tür"),
        ("🙂 x", '"🙂 x"'),
        ("", '""'),
    ],
)
def test_names_are_one_word_of_a_command(name, word):
    """As redis-cli reads them."""
    standing = replace(CALM, group=name, pending=1, missing=exactly(1), rows=[row(1)])
    fault = only(replace(standing, gone=(5, 0))).fault
    assert fault.cure == (f"XACK s {word} 1-0",)


def test_more_consumers_than_can_be_listed():
    """The group is named with their number."""
    case = find_crowded("s", "g", 20_001, 20_000)
    assert (
        case.fault.text
        == "stream s, group g: 20,001 consumers, more than the 20,000 that can be listed"
    )
    assert case.count == exactly(20_001)


def test_groups_that_no_stream_has_are_unknown():
    """Named groups only; whoever is there is not missing."""
    (fault,) = find_absent_groups(["g", "absent"], [CALM])
    assert (fault.key, fault.subject, fault.status) == (
        "group_missing",
        {"group": "absent"},
        Status.UNKNOWN,
    )


def test_ids_that_are_no_times_say_at_least():
    """Where an age counts from the first look, the text says so."""
    text = only(replace(late(), oldest=44.0, timed=False)).fault.text
    assert "oldest at least 44.0 s (ids of this stream are no times)" in text
