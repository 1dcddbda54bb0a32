"""Faults in the store: each stands from one look to another, and none loses its subject."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Acceptance, Fault, StandingFault, Status
from sentinel.core.quantity import MANY, Bounds
from sentinel.store import Changes, Retention
from sentinel.store.faults import MAX_ENDED
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOST = Fault(
    "lost",
    {"stream": "orders", "group": "workers"},
    Status.DEGRADED,
    "stream orders, group workers: 3 lost",
    since=NOW,
    count=Bounds(3, MANY),
    cure=("XINFO GROUPS orders",),
    guidance="look at MAXLEN",
    parameters={"stream": "orders", "group": "workers"},
)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """An empty store."""
    return SqliteStore(tmp_path)


def stand(fault: Fault, check: str = "bus", began: datetime = NOW) -> StandingFault:
    """A fault as it is first seen."""
    return StandingFault(check, "messaging", fault, began, fault.status)


def test_a_fault_comes_back_as_it_was_written(store: SqliteStore) -> None:
    """Every field, also a count without an upper end, and who accepted it until when."""
    accepted = Acceptance("lost", {"stream": "ord*"}, "known", NOW + timedelta(days=1))
    standing = replace(stand(LOST), accepted=accepted)
    store.commit(Changes(faults=[standing]))
    assert store.faults() == [standing]
    assert store.faults("bus") == [standing]
    assert store.faults("other") == []


def test_labels_in_another_order_are_the_same_subject(store: SqliteStore) -> None:
    """A second write of the same fault replaces the first one."""
    turned = replace(LOST, subject={"group": "workers", "stream": "orders"}, text="now 4 lost")
    store.commit(Changes(faults=[stand(LOST)]))
    store.commit(Changes(faults=[stand(turned)]))
    assert [each.fault.text for each in store.faults()] == ["now 4 lost"]


def test_an_ended_fault_stays_for_reports_and_goes_with_retention(store: SqliteStore) -> None:
    """It no longer stands, and tells how long it stood."""
    ended = replace(stand(LOST), ended=NOW + timedelta(minutes=5))
    store.commit(Changes(faults=[stand(LOST)]))
    store.commit(Changes(faults=[ended]))
    assert store.faults() == []
    assert store.faults(since=NOW) == [ended]
    assert store.faults(since=NOW + timedelta(hours=1)) == []
    store.forget(Retention(*[NOW + timedelta(hours=1)] * 5))
    assert store.faults(since=NOW) == []


def test_faults_of_a_check_that_is_gone_end(store: SqliteStore) -> None:
    """The configuration no longer has it: nobody looks any more."""
    store.commit(Changes(faults=[stand(LOST), stand(LOST, check="gone")]))
    store.replace_configuration(["bus"], ["messaging"])
    assert [each.check for each in store.faults()] == ["bus"]
    assert {each.check for each in store.faults(since=NOW)} == {"bus", "gone"}


def test_subjects_that_come_and_go_do_not_fill_the_disk(store: SqliteStore) -> None:
    """The latest that ended stay, and everything that stands; another check loses nothing."""
    other = replace(stand(LOST, check="other"), ended=NOW)
    store.commit(Changes(faults=[stand(LOST), other]))
    for look in range(14):
        at = NOW + timedelta(seconds=look)
        gone = [replace(LOST, subject={"stream": f"{look}-{n}"}) for n in range(500)]
        store.commit(Changes(faults=[replace(stand(each), ended=at) for each in gone]))
    found = store.faults(since=NOW)
    ended = [each for each in found if each.ended is not None and each.check == "bus"]
    assert len(ended) == MAX_ENDED
    assert min(each.ended for each in ended) == NOW + timedelta(seconds=4)
    assert [each.fault for each in store.faults()] == [LOST]
    assert other in found


def test_hostile_subjects_are_stored(store: SqliteStore) -> None:
    """NUL, lone surrogates and quotes in a name of the platform."""
    hostile = replace(LOST, subject={"stream": "a\0b\udc80\"'", "group": "g"})
    store.commit(Changes(faults=[stand(hostile)]))
    (found,) = store.faults()
    assert found.fault.key == "lost"
    assert "␀" in found.fault.subject["stream"] or "\0" in found.fault.subject["stream"]
