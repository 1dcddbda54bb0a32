"""What was attempted: numbers, budgets after a reset, ages by uptime, what an interruption leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sentinel.coordination import Refused
from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Component, Incident, IncidentState, RestartPolicy
from sentinel.core.moment import Moment, read_moment, write_moment
from sentinel.core.remediation.brake import Recent
from sentinel.engine.journal import Journal, name_by_hand
from sentinel.errors import StateError
from sentinel.metrics import Metrics
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from tests.exposition import read_samples
from tests.unit.engine.conftest import Clock

WORKER = Component("worker", restart=RestartPolicy(max_attempts=3))


class Ledger:
    """A coordinator that grants everything, or what the test wants."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked: list[tuple[Attempt, Any, str]] = []
        self.finished: list[tuple[Attempt, tuple[Event, ...]]] = []

    async def claim_attempt(
        self, attempt: Attempt, _shard: int, policy: Any, events: list[Event]
    ) -> Attempt | Refused:
        self.asked.append((attempt, policy, events[0].text))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or replace(attempt, epoch=7)

    async def finish_attempt(self, attempt: Attempt, events: tuple[Event, ...]) -> None:
        self.finished.append((attempt, tuple(events)))


@pytest.fixture
def ledger() -> Ledger:
    """That of the test."""
    return Ledger()


@pytest.fixture
def journal(ledger: Ledger, store: SqliteStore, metrics: Metrics, clock: Clock) -> Journal:
    """Nothing was attempted yet."""
    return Journal(ledger, store, metrics, clock.moment)  # type: ignore[arg-type]


async def attempt(journal: Journal, incident: str = "i1", **facts: Any) -> Attempt:
    """One more, claimed."""
    n = journal.next_number(incident, "worker")
    made = replace(journal.intend(WORKER, incident, n, "down"), **facts)
    claimed = await journal.claim(made, WORKER)
    assert isinstance(claimed, Attempt)
    return claimed


async def test_numbers_count_within_an_incident(journal: Journal) -> None:
    """From one on; what was claimed is what the ledger wrote."""
    assert [(await attempt(journal)).n for _ in range(3)] == [1, 2, 3]
    assert (await attempt(journal, "i2")).n == 1
    assert [each.epoch for each in journal.all("worker")] == [7, 7, 7, 7]
    assert journal.all("nobody") == []


async def test_the_intent_has_its_moment(journal: Journal, clock: Clock) -> None:
    """By wall and by uptime, and who asked."""
    made = journal.intend(WORKER, "i1", 1, "down", "start")
    assert made.began == clock.moment()
    assert (made.action, made.reason, made.by) == ("start", "down", "sentinel")


async def test_no_cap_of_an_incident_holds_by_hand(journal: Journal, ledger: Ledger) -> None:
    """The number at a time does; the line says who asked."""
    journal.concurrent = 2
    await attempt(journal)
    await attempt(journal, name_by_hand("worker"), by="operator")
    await attempt(journal, name_by_hand("other"))
    policies = [(policy.max_attempts, policy.concurrent) for _, policy, _ in ledger.asked]
    assert policies == [(3, 2), (0, 2), (3, 2)]
    assert [text for _, _, text in ledger.asked][:2] == [
        "attempt 1: restart of worker",
        "attempt 1: restart of worker (operator)",
    ]


async def test_what_is_refused_is_no_attempt(journal: Journal, ledger: Ledger) -> None:
    """Nor what can't be written: then nothing is done until it can."""
    made = journal.intend(WORKER, "i1", 1, "down")
    ledger.answer = Refused("the cap")
    assert await journal.claim(made, WORKER) == Refused("the cap")
    assert journal.writable
    ledger.answer = StateError("disk full")
    refused = await journal.claim(made, WORKER)
    assert refused == Refused("the journal can't be written: disk full")
    assert not journal.writable
    assert journal.all("worker") == []
    journal.note_writable()
    assert journal.writable


async def test_attempts_of_an_incident_by_number(journal: Journal, clock: Clock) -> None:
    """In order, whatever order they are known in."""
    for n in (2, 1):
        await attempt(journal, n=n)
    await attempt(journal, "i2")
    incident = Incident("i1", "worker", clock.utcnow(), IncidentState.OPEN, Status.DOWN, "x")
    assert [each.n for each in journal.of_incident(incident)] == [1, 2]


async def test_a_reset_gives_a_full_budget(journal: Journal, clock: Clock) -> None:
    """By uptime within one boot, whatever the wall clock says; over a reboot by the wall."""
    await attempt(journal)
    clock.now += 1
    journal.reset("worker", clock.moment())
    assert journal.since_reset("worker") == []
    clock.now += 1
    clock.set_back = 100.0
    later = await attempt(journal)
    assert journal.since_reset("worker") == [later]
    other = await attempt(journal, boot="another")
    assert other not in journal.since_reset("worker")


async def test_ages_of_what_was_done_automatically(journal: Journal, clock: Clock) -> None:
    """An operator's and a watch's are not counted; a runbook's is."""
    for by in ("sentinel", "operator", "watch", "runbook"):
        await attempt(journal, by=by)
        clock.now += 10
    assert journal.recent() == [Recent("worker", 40.0), Recent("worker", 10.0)]


async def test_verdicts_of_our_own(journal: Journal, clock: Clock) -> None:
    """Oldest first, after an instant, also when the clock was set back in between; without a verdict
    there is nothing to judge.
    """
    for verdict, by in (("failed", "sentinel"), ("recovered", "operator"), ("", "sentinel")):
        await attempt(journal, verdict=verdict, by=by)
        clock.now += 1
    since = clock.moment()
    clock.now += 1
    await attempt(journal, verdict="recovered")
    early = clock.utcnow() - timedelta(hours=1)
    await attempt(journal, verdict="odd", intended=early)
    assert journal.verdicts(None) == ["failed", "recovered", "odd"]
    assert journal.verdicts(since) == ["recovered", "odd"]
    assert journal.verdicts(clock.moment()) == []


async def test_what_became_of_an_attempt_is_counted_once_known(
    journal: Journal, ledger: Ledger, metrics: Metrics
) -> None:
    """A verdict, or a failure at once; that it was done is none."""
    first, second = await attempt(journal), await attempt(journal)
    await journal.finish(replace(first, outcome="done"))
    await journal.finish(replace(first, outcome="done", verdict="recovered"), Event("e", "text"))
    await journal.finish(replace(second, outcome="failed"))
    samples = read_samples(metrics.render().decode()).items()
    counted = {
        dict(labels)["outcome"]: count
        for (name, labels), count in samples
        if name == "sentinel_restart_attempts_total"
    }
    assert {word: n for word, n in counted.items() if n} == {"recovered": 1.0, "failed": 1.0}
    assert [each.outcome for each in journal.all("worker")] == ["done", "failed"]
    assert ledger.finished[1][1] == (Event("e", "text"),)


@pytest.mark.parametrize(
    ("target", "start_id", "told"),
    [
        ("old", "old", "and nothing was done"),
        ("old", "new", "and it was restarted"),
        ("", "new", "outcome unknown"),
        ("old", "", "outcome unknown"),
    ],
)
async def test_an_attempt_in_which_sentinel_ended(
    journal: Journal, ledger: Ledger, target: str, start_id: str, told: str
) -> None:
    """Spent; the start id tells what happened. One that has an outcome is left."""
    await attempt(journal, outcome="done")
    await attempt(journal, target=target)
    await journal.settle_interrupted("worker", start_id)
    ((settled, (event,)),) = ledger.finished
    assert (settled.n, settled.outcome) == (2, "unknown")
    assert settled.detail == f"sentinel ended during this attempt: spent, {told}"
    assert event.text == f"attempt 2: {settled.detail}"
    assert settled.finished == journal.moment()


async def test_a_journal_from_before_a_restart(
    journal: Journal, store: SqliteStore, clock: Clock
) -> None:
    """Attempts and reset are read again."""
    moment = clock.moment()
    store.commit(Changes(meta={"reset/worker": write_moment(moment)}))
    store.claim_attempt(journal.intend(WORKER, "i1", 1, "down"))
    assert [each.n for each in journal.load("worker")] == [1]
    assert journal.resets == {"worker": moment}
    assert journal.since_reset("worker") == []
    assert journal.load("other") == []
    assert "other" not in journal.resets


def test_a_moment_is_one_word(clock: Clock) -> None:
    """Read as it was written; an instant alone has no boot."""
    moment = clock.moment()
    assert read_moment(write_moment(moment)) == moment
    assert read_moment(moment.at.isoformat()) == Moment(moment.at, "", None)


@pytest.mark.parametrize(
    ("facts", "watched"),
    [
        ({}, True),
        ({"outcome": "done"}, True),
        ({"outcome": "failed"}, False),
        ({"outcome": "done", "verdict": "recovered"}, False),
        ({"outcome": "done", "verdict": "failed"}, False),
    ],
)
async def test_a_restart_is_watched_until_it_is_judged(
    journal: Journal, clock: Clock, facts: dict[str, str], watched: bool
) -> None:
    """The latest of an incident counts; one without a restart is watched by nobody."""
    now = clock.utcnow()
    incident = Incident("i1", "worker", now, IncidentState.OPEN, Status.DOWN, "refused")
    assert not journal.is_watched(incident)
    await attempt(journal, outcome="done", verdict="failed")
    await attempt(journal, **facts)
    assert journal.is_watched(incident) is watched
