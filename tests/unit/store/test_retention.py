"""Forgetting: every table, a little at a time, and the file shrinks."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.moment import Moment
from sentinel.core.objective import Counts, Slice
from sentinel.core.order import Answer, Order
from sentinel.reports.paper.write import forget_reports
from sentinel.store import FORGOTTEN, PLEDGE, Changes, Gap, Retention, Sample
from sentinel.store.audit import CUT, HEADS
from sentinel.store.document import read_instant
from sentinel.store.folder import FILE
from sentinel.store.retention import MAX_EVENTS
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
OLD = T0 - timedelta(days=30)
INCIDENT = Incident("i-1", "api", OLD, IncidentState.CLOSED, Status.DOWN, "x", closed=OLD)
ATTEMPT = Attempt("i-1", 1, "api", "restart", "down", OLD)
WEEK = T0 - timedelta(days=7)
ALL = Retention(WEEK, WEEK, WEEK, WEEK, WEEK)
KEPT = {"meta", "member", "shard", "sqlite_sequence"}


@pytest.fixture
def store(tmp_path):
    """A state of a daemon."""
    store = SqliteStore(tmp_path, owner=True)
    yield store
    store.close()


def fill(store, at, name):
    """Something in every table that grows."""
    standing = StandingFault("c", "api", Fault("f", {}, Status.DOWN, name), at, Status.DOWN, at)
    store.claim_attempt(replace(ATTEMPT, incident=name, intended=at))
    store.claim_attempt(replace(ATTEMPT, incident="by-hand-api", n=len(name), intended=at))
    store.commit(
        Changes(
            incidents=[replace(INCIDENT, id=name, opened=at, closed=at)],
            events=[(key, at, Event("x", name), {}) for key in (name, "by-hand-api")],
            transitions=[Transition(name, "check", Status.UP, Status.DOWN, at, "x")],
            gaps=[Gap(at, at, name)],
            samples=[Sample(at, name, "m", {}, 1.0)],
            faults=[standing],
        )
    )
    store.add_order(Order("notify", name, "x"), at)
    store.finish_order(name, Answer.done("sent"), at)
    store.add_report("status", at, [name], {})
    store.cleaning.reserve(name, 1, 5, Moment(at, "b", 1.0))
    store.add_audit(at, "ops", "x", name, "")
    with store.database.transaction() as db:
        for sql in (
            "INSERT INTO damaged (at, source, why, content, lost) VALUES (?, 'x', 'x', x'00', '')",
            "INSERT INTO clean_plan VALUES (?2, 'c', ?1, 's', '{}', 0)",
            "INSERT INTO runbook_run VALUES (?2, ?1, 's', '{}', 0)",
        ):
            db.execute(sql, (f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", name)[: sql.count("?")])


def count(store):
    """Rows of every table that has any."""
    tables = store.database.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
    found = {n: store.database.query(f"SELECT count(*) FROM {n}")[0][0] for (n,) in tables}
    return {name: rows for name, rows in found.items() if rows and name not in KEPT}


def forget(store, retention=ALL):
    """Step by step to the end; the durations."""
    took, more = [], True
    while more:
        began = time.perf_counter()
        more = store.forget(retention).more
        took.append(time.perf_counter() - began)
    return took


def test_every_table_forgets(store):
    """What is old goes, what is young stays: twice as much becomes half of it."""
    fill(store, T0, "young")
    young = count(store)
    fill(store, OLD, "old")
    assert set(count(store)) == set(young)
    assert all(rows > young[name] for name, rows in count(store).items())
    forget(store)
    left = count(store)
    assert left.pop("audit") == 2  # and the row that says so
    assert left == {name: rows for name, rows in young.items() if name != "audit"}


def test_it_is_said_from_when_on_all_is_there(store):
    """With the first row that goes, and never back again: a longer retention brings nothing back."""
    fill(store, T0, "young")
    forget(store)
    assert store.meta(FORGOTTEN) is None
    fill(store, OLD, "old")
    forget(store)
    assert read_instant(store.meta(FORGOTTEN)) == WEEK
    fill(store, OLD, "oldest")
    forget(store, Retention(*[T0 - timedelta(days=20)] * 5))
    assert read_instant(store.meta(FORGOTTEN)) == WEEK


def test_a_step_is_short_and_the_file_shrinks(store):
    """80,000 rows: no step holds a writer up; what was taken is given back."""
    rows = [Sample(OLD, f"check-{n % 90}", "lag", {"stream": f"s{n}"}, 1.0) for n in range(80_000)]
    store.commit(Changes(samples=rows))
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = store.path.stat().st_size
    took = sorted(forget(store))
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert before > 8_000_000
    assert store.path.stat().st_size < 1_500_000
    assert len(took) > 40
    assert took[len(took) * 9 // 10] < 0.05


def test_what_budgets_are_counted_by_stays(store):
    """However short the retention is: the attempts of the last days and their incident."""
    store.claim_attempt(replace(ATTEMPT, intended=T0))
    store.commit(Changes(incidents=[replace(INCIDENT, opened=T0, closed=T0)]))
    later = T0 + timedelta(hours=5)
    forget(store, Retention(later, T0 - timedelta(days=2), WEEK, WEEK, WEEK))
    assert len(store.attempts()) == 1
    assert store.incident("i-1") is not None


def test_an_incident_is_kept_from_its_end(store):
    """It was open for long, and ended yesterday."""
    store.commit(Changes(incidents=[replace(INCIDENT, closed=T0)]))
    forget(store)
    assert store.incident("i-1") is not None


def test_an_incident_that_stands_open_keeps_its_latest_lines(store):
    """Its timeline is bounded, too."""
    lines = [("i-1", OLD, Event("x", str(n)), {}) for n in range(MAX_EVENTS + 500)]
    standing = replace(INCIDENT, state=IncidentState.OPEN, closed=None)
    store.commit(Changes(incidents=[standing], events=lines))
    forget(store)
    kept = store.timeline("i-1")
    assert (len(kept), kept[0].text, kept[-1].text) == (MAX_EVENTS, "500", str(MAX_EVENTS + 499))


def test_an_audit_log_that_was_cut_is_whole(store, tmp_path):
    """It says itself where it begins; nobody else can cut it."""
    for n in range(1200):
        store.add_audit(OLD + timedelta(seconds=n), "ops", "x", "", str(n))
    first = store.verify_audit().head
    store.add_audit(T0, "ops", "x", "", "young")
    forget(store)
    verdict = store.verify_audit()
    assert verdict.whole, verdict.text
    assert verdict.forgotten == 1200
    assert [row.action for row in store.audit()] == [CUT, CUT, CUT, "x"]
    assert store.verify_audit((1200, first.partition(":")[2])).whole
    assert not store.verify_audit((1200, "0" * 64)).whole
    assert len((tmp_path / HEADS).read_text().splitlines()) < 10
    store.add_audit(T0, "ops", "x", "", "after")
    assert store.verify_audit().whole


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM audit WHERE id <= 1201",
        "DELETE FROM audit WHERE actor = 'sentinel'",
        "UPDATE audit SET detail = '7:' || substr(detail, 6) WHERE actor = 'sentinel'",
    ],
)
def test_a_beginning_that_was_cut_by_somebody_else_is_broken(store, sql):
    """Whatever they do to the row that says so."""
    for n in range(1200):
        store.add_audit(OLD, "ops", "x", "", str(n))
    store.add_audit(T0, "ops", "x", "", "young")
    forget(store)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute(sql)
    assert not store.verify_audit().whole


def test_report_files_go_with_their_age(tmp_path):
    """By their names; nothing else in the folder is touched."""
    names = [
        "status-20261101T080000Z.md",
        "status-20261101T080000Z-2.json",
        ".a-20261101T080000Z.md.draft",
    ]
    others = ["status-20261130T080000Z.md", "notes.md", "status.html", "x-20261101T080000Z.txt"]
    for name in [*names, *others]:
        (tmp_path / name).write_text("x")
    (tmp_path / "link-20261101T080000Z.md").symlink_to(tmp_path / "notes.md")
    assert forget_reports(tmp_path, WEEK, most=2) == 2
    assert forget_reports(tmp_path, WEEK) == 1
    assert forget_reports(tmp_path, WEEK) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*others, "link-20261101T080000Z.md"]
    )
    assert forget_reports(tmp_path / "none", WEEK) == 0


def test_a_file_of_before_learns_to_shrink(tmp_path):
    """It is written anew once."""
    SqliteStore(tmp_path, owner=True).close()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    SqliteStore(tmp_path, owner=True).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_what_was_counted_for_objectives_is_kept_for_their_windows(tmp_path: Path) -> None:
    """By an instant of its own: however short the retention, as long as the longest window."""
    store = SqliteStore(tmp_path)
    ends = [T0 - timedelta(days=days) for days in (100, 40, 1)]
    counts = Counts(1, 2, 3.0)
    slices = [Slice("c/up", end - timedelta(minutes=5), end, counts) for end in ends]
    store.commit(Changes(slices=slices))
    forget(store, Retention(T0, T0, T0, T0, T0 - timedelta(days=90)))
    assert [each.ended for each in store.slices("c/up", since=ends[0])] == ends[1:]
    assert store.slices("c/up", since=ends[2]) == slices[2:]
    store.close()


def test_a_check_that_is_gone_for_long_is_forgotten(store):
    """What was believed of it and what it remembered; not of one that left just now, or is there,
    nor before the store knows who is there.
    """
    ages = {"gone": OLD, "left": T0, "here": OLD}
    store.commit(
        Changes(
            health={name: Health(Status.UP, at, last_observed=at) for name, at in ages.items()},
            probe_state={name: {"x": 1} for name in ages},
            meta={f"{PLEDGE}{name}": "{}" for name in ages},
        )
    )
    while store.forget(ALL).more:
        pass
    assert store.healths().keys() == ages.keys()
    store.replace_configuration(["here"], ["api"])
    while store.forget(ALL).more:
        pass
    assert store.healths().keys() == store.probe_states().keys() == {"left", "here"}
    assert [bool(store.meta(PLEDGE + name)) for name in ages] == [False, True, True]
