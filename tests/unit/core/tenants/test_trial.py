"""Records of tries: nothing is left out, and a period is added up from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Fault, Status
from sentinel.core.tenants.memory import name_results
from sentinel.core.tenants.period import add_up
from sentinel.core.tenants.trial import (
    ACTION,
    MAX_PLACES,
    Trial,
    TrialLedger,
    TrialRecord,
    describe_detail,
)
from sentinel.redaction import Redaction, tells_secret

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASS = [Trial("other_tenant", "public.t", None, "app")]
LEAK = [Trial("other_tenant", "public.t", Fault("leak", {}, Status.DOWN, "x"), "app")]
BLIND = [Trial("other_tenant", "public.t", Fault("unjudged", {}, Status.UNKNOWN, "x"), "app")]


def at(seconds: float) -> datetime:
    """So long after noon."""
    return T0 + timedelta(seconds=seconds)


def watch(looks, ledger: TrialLedger | None = None) -> list[TrialRecord]:
    """The records of looks at (seconds, trials); the ledger goes over a restart at each."""
    found, ledger = [], ledger or TrialLedger()
    for seconds, trials in looks:
        found += ledger.take(trials, at(seconds))
        ledger = TrialLedger.load(ledger.dump())
    return found


def test_the_first_look_is_recorded_at_once():
    """Else a daemon that dies leaves no trace of it."""
    (record,) = watch([(0, PASS)])
    assert (record.began, record.ended, record.looks) == (T0, T0, 1)
    assert list(record.list_places()) == [("other_tenant app", "public.t", "pass")]


def test_a_record_is_read_as_it_was_written_also_without_secrets():
    """The words of results and ways sound like names of secrets; hiding them cost the whole report."""
    tried = [*PASS, Trial("no_token", "/api/tasks"), *LEAK]
    (record,) = watch([(0, tried)])
    clean = Redaction(["s3cret-word"])
    assert TrialRecord.read(clean.scrub(record.write())) == record
    assert clean.scrub(name_results(tried))["kept_apart"]
    assert not any(map(tells_secret, name_results(tried)))


def test_a_record_of_before_is_read():
    """Its word for what was kept apart was another one."""
    (record,) = watch([(0, PASS)])
    assert TrialRecord.read(record.write().replace("kept_apart", "pass")) == record


def test_a_record_is_told_in_words():
    """How often, when, and which got through; what is no record stays as it is."""
    found = watch([(0, BLIND), (60, [*PASS, *LEAK * 7]), (360, [*PASS, *LEAK * 7]), (400, PASS)])
    told = [describe_detail(ACTION, record.write()) for record in found]
    assert told[0] == (
        "1 tries from 2026-03-01 12:00:00 UTC on; 1 could not be judged: other_tenant app at public.t"
    )
    assert told[1].startswith(
        "8 tries from 2026-03-01 12:01:00 UTC on; 7 got at another tenant's: other_tenant app at"
    )
    assert told[1].endswith("public.t, 2 more; 1 kept apart")
    (_, record) = watch([(0, PASS), (60, PASS), (360, PASS), (900, PASS)])
    assert record.describe() == (
        "3 tries from 2026-03-01 12:00:00 UTC on in 3 looks until 12:15:00; 3 kept apart;"
        " longest pause 9 min"
    )
    (record,) = watch([(0, [Trial("other_tenant", f"t{n}") for n in range(MAX_PLACES + 5)])])
    assert record.describe().endswith("1,000 kept apart; 5 places more that are not named")
    assert describe_detail("ack", record.write()) == record.write()
    assert describe_detail(ACTION, "{") == "{"


def test_every_look_is_in_exactly_one_record():
    """Sixty a quarter of an hour, with their longest pause."""
    records = watch([(60.0 * n + (20 if n == 7 else 0), PASS) for n in range(31)])
    assert [record.looks for record in records] == [1, 15, 15]
    assert [record.pause for record in records] == [0.0, 80.0, 60.0]
    assert records[1].ended == records[2].began


def test_a_result_that_changes_is_recorded_at_once():
    """With what was before it."""
    records = watch([(0, PASS), (60, PASS), (120, LEAK), (180, LEAK), (240, PASS)])
    assert [(r.looks, r.count("pass"), r.count("leak")) for r in records] == [
        (1, 1, 0), (1, 1, 0), (1, 0, 1), (1, 0, 1), (1, 1, 0),
    ]  # fmt: skip


def test_a_clock_that_went_back_begins_anew():
    """No record ends before it begins."""
    records = watch([(0, PASS), (60, PASS), (-600, PASS)])
    assert all(record.began <= record.ended for record in records)
    assert sum(record.looks for record in records) == 3


def test_places_are_named_up_to_a_bound():
    """More are counted."""
    trials = [Trial("other_tenant", f"t{n}") for n in range(MAX_PLACES + 5)]
    (record,) = TrialLedger().take(trials, T0)
    assert len(record.outcomes["pass"]["other_tenant"]) == MAX_PLACES
    assert record.cut == 5
    assert TrialRecord.read(record.write()) == record


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"outcomes": 1}', '{"outcomes": {"pass": []}}', "[" * 9999]
)
def test_what_is_no_record_is_refused(text):
    """The audit log may have been written by anybody."""
    with pytest.raises(ValueError):  # noqa: PT011 - also of the JSON
        TrialRecord.read(text)


def test_a_broken_memory_begins_anew():
    """And a look after it is recorded."""
    for document in (None, {}, {"record": "x", "last": "y"}, {"record": 1}):
        assert TrialLedger.load(document) == TrialLedger()


def test_a_period_is_the_sum_of_its_records():
    """Passes, leaks and what was not judged; the longest time without a try that could be."""
    looks = [(n * 60.0, PASS) for n in range(10)] + [
        (600, LEAK),
        (660, LEAK),
        (720, PASS),
        (3600, BLIND),
    ]
    records = [("c", each) for each in watch(looks)]
    (found,) = add_up(records, at(-100), at(4000))
    assert (found.passed, found.leaked, found.unjudged) == (11, 2, 1)
    assert found.leaks == ((at(600), at(660)),)
    assert found.blind == 3280.0
    assert add_up(records, at(5000), at(6000)) == []
