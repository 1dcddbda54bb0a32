"""Tasks on which database and bus disagree, by name, and when most of them do."""

from __future__ import annotations

from sentinel.core.bus.crosscheck import (
    MAX_FOUND,
    PROCESSED,
    PUBLISHED,
    SampleLedger,
    SampleVerdict,
)
from sentinel.core.bus.crosscheck_finding import (
    CrosscheckDoubt,
    CrosscheckRules,
    find_crosscheck_faults,
)
from sentinel.core.fault import Status, judge

RULES = CrosscheckRules("tasks", 300.0, 10.0, 30.0, down_share=0.5, min_samples=4)
NOW = 1_700_000_000.0


def missing(task: str) -> dict[str, str]:
    return {
        "task": task,
        "agent": "7",
        "stream": "s:7",
        "assigned_at": "2026-01-01T00:00:00Z",
        "look": "XRANGE s:7 1 2 COUNT 1000",
    }


def effectless(task: str) -> dict[str, str]:
    entry = {"entry": "5-0", "group": "g", "message": "m", "look": "XRANGE s:7 5-0 5-0"}
    return {"task": task, "agent": "", "stream": "s:7", **entry}


def ledgers(published=(), processed=()) -> dict[str, SampleLedger]:
    found = {PUBLISHED: SampleLedger(), PROCESSED: SampleLedger()}
    found[PUBLISHED].add(NOW, published, 300.0)
    found[PROCESSED].add(NOW, processed, 300.0)
    return found


def good(count: int):
    return [(SampleVerdict.GOOD, {})] * count


def bad(*samples):
    return [(SampleVerdict.BAD, sample) for sample in samples]


def test_each_missing_task_is_named_newest_first():
    """Agent, stream, when it was assigned, and the command that looks for it."""
    faults = find_crosscheck_faults(RULES, ledgers(bad(missing("t1"), missing("t2")) + good(9)), ())
    assert [fault.subject["task"] for fault in faults] == ["t2", "t1"]
    assert faults[0].key == "producer_missing"
    assert faults[0].text == (
        "task t2 (agent 7), stream s:7: assigned at 2026-01-01T00:00:00Z and not published within"
        " 10.0 s"
    )
    assert faults[0].parameters == {"task": "t2", "agent": "7", "stream": "s:7"}
    assert faults[0].cure == ("XRANGE s:7 1 2 COUNT 1000",)
    assert judge(faults) is Status.DEGRADED


def test_an_acknowledgement_without_effect_names_entry_and_group():
    """No agent is known: none is invented."""
    (fault,) = find_crosscheck_faults(RULES, ledgers((), bad(effectless("t1")) + good(9)), ())
    assert fault.key == "acked_without_effect"
    assert fault.text == (
        "task t1, stream s:7, group g: its entry 5-0 was acknowledged, and it is still assigned"
        " 30.0 s later"
    )
    assert fault.subject == {"flow": "tasks:bus-db", "task": "t1", "stream": "s:7"}


def test_most_of_enough_samples_are_down():
    """Half of four is down, half of three is not, and less than half never is."""
    worst = find_crosscheck_faults(RULES, ledgers(bad(missing("t1"), missing("t2")) + good(2)), ())
    assert (worst[0].key, worst[0].status) == ("mostly_unpublished", Status.DOWN)
    assert worst[0].subject == {"flow": "tasks:db-bus"}
    assert "2 of 4 samples of the last 5 min" in worst[0].text
    few = find_crosscheck_faults(RULES, ledgers(bad(missing("t1"), missing("t2")) + good(1)), ())
    less = find_crosscheck_faults(RULES, ledgers(bad(missing("t1"), missing("t2")) + good(3)), ())
    assert judge(few) is judge(less) is Status.DEGRADED


def test_a_task_that_is_bad_twice_is_one_fault():
    """The same task again is the same subject."""
    faults = find_crosscheck_faults(RULES, ledgers(bad(missing("t1"), missing("t1")) + good(9)), ())
    assert len(faults) == 1


def test_nothing_measured_is_unknown_with_a_reason():
    """Only when nothing at all was measured; one sample elsewhere is enough to know something."""
    hidden = [(SampleVerdict.UNMEASURABLE, {})] * 3
    (fault,) = find_crosscheck_faults(RULES, ledgers(hidden), ["trimmed", "a: no stream"])
    assert (fault.key, fault.status) == ("unjudged", Status.UNKNOWN)
    assert fault.text == "flow tasks: 3 samples of the last 5 min not measurable (a: no stream)"
    assert find_crosscheck_faults(RULES, ledgers(hidden, good(1)), ["trimmed"]) == []
    assert find_crosscheck_faults(RULES, ledgers(), ()) == []


def test_remembered_samples_are_bounded_and_leave_with_the_window():
    """At most so many by name; the count goes on."""
    ledger = SampleLedger()
    many = [(SampleVerdict.BAD, missing(f"t{n}")) for n in range(MAX_FOUND + 5)]
    ledger.add(NOW, many, 300.0)
    assert len(ledger.found) == MAX_FOUND
    assert ledger.window().bad == MAX_FOUND + 5
    ledger.add(NOW + 300, good(1), 300.0)
    assert (ledger.found, ledger.window().bad, ledger.total.bad) == ([], 0, MAX_FOUND + 5)


def test_a_task_is_lost_as_badly_as_its_flow_was():
    """Most were lost together: each of them is down, and stays so when the window has slid on."""
    seen = find_crosscheck_faults(RULES, ledgers(bad(*map(missing, "abcd"))), ())
    assert {fault.status for fault in seen} == {Status.DOWN}
    (mostly, *tasks) = seen
    assert (mostly.key, len(tasks)) == ("mostly_unpublished", 4)


def skewed(count: int):
    return [(SampleVerdict.SKEWED, {})] * count


def test_skewed_tasks_are_unknown():
    """One of them may be one that was not published; what is missing is told all the same."""
    doubt = CrosscheckDoubt("times of tasks.created_at are 9 h ahead", "declare `zone:`")
    faults = find_crosscheck_faults(
        RULES, ledgers([*bad(missing("t1")), *good(9), *skewed(3)]), (), doubt
    )
    assert [(fault.key, fault.status) for fault in faults] == [
        ("producer_missing", Status.DEGRADED),
        ("skewed", Status.UNKNOWN),
    ]
    assert faults[1].text == (
        "flow tasks: times of tasks.created_at are 9 h ahead (3 tasks in the last 5 min); these are"
        " not compared"
    )
    assert faults[1].guidance == "declare `zone:`"
    untold = find_crosscheck_faults(RULES, ledgers([*good(9), *skewed(1)]), ())[0]
    assert "times of some tasks are of another zone or clock (1 task in" in untold.text


def test_blind_times_are_unknown():
    """Nothing is compared, and that is said, also before any task came."""
    doubt = CrosscheckDoubt("tasks.created_at is read as UTC, or Asia/Tokyo", "x", is_blind=True)
    (fault,) = find_crosscheck_faults(RULES, ledgers(), (), doubt)
    assert (fault.status, fault.text.endswith("nothing is compared")) == (Status.UNKNOWN, True)
    assert find_crosscheck_faults(RULES, ledgers(good(4)), (), CrosscheckDoubt()) == []
