"""What sentinel remembers: whole, atomic, once, and never silently lost."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.order import Answer, Order
from sentinel.engine.recorder import Recorder
from sentinel.errors import ActionRefused, StateError
from sentinel.metrics import Metrics
from sentinel.store import Changes, CheckView, ComponentView, Gap, ProcessRow, Retention, Sample
from sentinel.store.document import read, to_json, write, write_instant
from sentinel.store.folder import lock_state, prepare_folder
from sentinel.store.sqlite import SqliteStore
from sentinel.store.table import change

T0 = datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=UTC)
HOSTILE = [
    "plain",
    "",
    "snow ☃ 🙂",
    "nul\0",
    "\udcff\ud800",
    "line\nbreak\x1b[31m",
    "'; DROP TABLE attempt; --",
    "%s{0}",
]
INCIDENT = Incident(
    "i-1", "api", T0, IncidentState.OPEN, Status.DOWN, "exited", "api.process", last_unhealthy=T0
)
ATTEMPT = Attempt("i-1", 1, "api", "restart", "exited", T0)
HEALTH = Health(
    Status.DOWN, T0, (Status.UP, Status.DOWN), None, 0, 1, (True, False), True, 4, T0, restored=False
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    made = SqliteStore(tmp_path, owner=True)
    yield made
    made.close()


def check_view(**changes):
    """A view of a check."""
    values = {field.name: "" for field in fields(CheckView)}
    values |= {
        "name": "a",
        "since": T0,
        "key": ("acked", "99 %"),
        "evidence": {},
        "rows": [],
        "runs": 7,
        "every": 2.0,
    }
    return CheckView(
        **{
            **values,
            "last_run": T0,
            "looked": None,
            "noted": None,
            "duration": 0.5,
            "flapping": False,
            **changes,
        }
    )


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        INCIDENT,
        replace(
            INCIDENT,
            state=IncidentState.CLOSED,
            recovered=T0,
            closed=T0,
            exhausted=True,
            blocked_by="bus",
        ),
        ATTEMPT,
        replace(
            ATTEMPT,
            outcome="done",
            ended=T0,
            verdict="recovered",
            recovered_in=0.25,
            start_id="b/1/2",
        ),
        HEALTH,
        Health(),
        ProcessRow("api", 7, "boot/7/99", T0, True),
        check_view(
            evidence={"a": [1, {"b": None}]}, rows=[{"labels": {"q": "x"}, "values": {"lag": 1.5}}]
        ),
        check_view(key=None, since=None, last_run=None),
        ComponentView("api", "down", T0, "x", ["bus"], "process", None, 2, "waits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_comes_back_as_it_was(value):
    """A document is the value: instants, enums, tuples and Nones among it."""
    assert read(type(value), write(value)) == value


def test_fields_of_another_version_are_left_out():
    """A newer sentinel's field is ignored, an older one's missing field has its default."""
    assert read(ProcessRow, '{"component":"a","pid":1,"start_id":"s","started":"2026-01-05T00:00:00.000000Z",'
                            '"wanted":true,"invented_later":5}').pid == 1  # fmt: skip
    assert read(Health, "{}") == Health()


INSTANTS = st.floats(0, 2.5e11).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | INSTANTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.text()) | st.tuples(inner),
    max_leaves=20,
)  # fmt: skip


@given(
    st.one_of(
        JSON,
        st.text(st.characters(codec=None, categories=["Cs", "Cc", "Lu"])),
        st.sampled_from(HOSTILE),
    )
)
def test_any_value_becomes_a_document(value):
    """Whatever a kind puts into evidence or state: valid JSON in valid UTF-8."""
    text = write(value)
    text.encode()
    json.loads(text)


@given(INSTANTS, INSTANTS)
def test_text_order_is_time_order(one, other):
    """Instants compare as text as they compare as instants."""
    assert (write_instant(one) < write_instant(other)) == (one < other)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_everywhere(store, text):
    """Lone surrogates, NUL, escapes and SQL in every text column: stored, inert, and nothing else
    is lost.
    """
    store.commit(
        Changes(
            checks=[check_view(detail=text, evidence={text: text}, guidance=text)],
            components=[ComponentView("api", "down", T0, text, [], "", None, 0, text)],
            probe_state={"a": {text: [text]}},
            transitions=[Transition("a", "check", Status.UP, Status.DOWN, T0, text)],
            incidents=[replace(INCIDENT, summary=text)],
            events=[("i-1", T0, Event("opened", text), {text: text})],
            samples=[Sample(T0, "a", "lag", {text: text}, 1.0)],
            orders=[Order("notify", f"k{text}", text, {text: text})],
            gaps=[Gap(T0, T0, "x")],
            meta={"m": text},
        )
    )
    store.claim_attempt(replace(ATTEMPT, reason=text))
    store.add_audit(T0, text, "halt", text, text)
    store.add_report("progress", T0, [text], {text: text})
    clean = to_json(text)
    assert store.checks()[0].detail == clean
    assert store.components()[0].action == clean
    assert store.attempts()[0].reason == clean
    assert store.incident("i-1").summary == clean
    assert store.transitions(since=T0)[0].reason == store.meta("m") == clean.replace("\0", "␀")
    (order,) = store.take_orders()
    store.finish_order(order.key, Answer.done("sent"), T0)
    assert store.take_orders() == []


# -- transactions ---------------------------------------------------------------------------------


def test_all_or_nothing(store):
    """What can't be stored takes the rest of its turn with it, and the next turn is stored."""
    bad = Changes(
        meta={"before": "x"},
        transitions=[Transition("a", "check", Status.UP, Status.DOWN, T0, None)],
    )
    with pytest.raises((ValueError, AttributeError)):
        store.commit(bad)
    assert store.meta("before") is None
    store.commit(Changes(meta={"after": "x"}))
    assert store.meta("after") == "x"


def test_figures_that_are_no_numbers_are_left_out(store):
    """NaN and infinity are no figures of a report; they do not stand in the way of the others."""
    values = [1.0, float("nan"), float("inf"), 2.0]
    store.commit(Changes(samples=[Sample(T0, "a", "lag", {}, value) for value in values]))
    assert [sample.value for sample in store.samples(since=T0)] == [1.0, 2.0]


def test_an_attempt_is_claimed_once(store, tmp_path):
    """The primary key (incident, n) is the fence, also between two connections."""
    other = SqliteStore(tmp_path)
    store.claim_attempt(ATTEMPT)
    for again, attempt in ((store, ATTEMPT), (other, replace(ATTEMPT, reason="another"))):
        with pytest.raises(ActionRefused, match="already claimed"):
            again.claim_attempt(attempt)
    other.claim_attempt(replace(ATTEMPT, n=2))
    assert [attempt.n for attempt in store.attempts(incident="i-1")] == [1, 2]
    assert store.attempts()[0].reason == "exited"
    other.close()


def test_the_journal_is_synced_in_full(store):
    """`synchronous` is FULL where attempts and the audit log are written."""
    assert store.database.journal.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store.database.results.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_order_is_done_once(store):
    """The key is the identity: a second order with it is none, also after it was done."""
    order = Order("notify", "i-1/opened", "api", {"event": "opened"})
    assert store.add_order(order, T0)
    assert not store.add_order(order, T0)
    assert store.take_orders() == [order]
    assert store.order_outcome(order.key) is None
    store.finish_order(order.key, Answer.done("sent"), T0)
    assert store.take_orders() == []
    assert store.order_outcome(order.key) == Answer.done("sent")
    assert not store.add_order(order, T0)


def test_the_audit_log_is_chained(store):
    """Each line has the hash of the one before in its own: an edit breaks the chain from there on."""
    for i in range(3):
        store.add_audit(T0 + timedelta(seconds=i), "ops", "reset", "api", f"reason {i}")
    previous = ""
    for row in reversed(store.audit()):
        text = "\x1f".join(
            (previous, write_instant(row.at), row.actor, row.action, row.subject, row.detail)
        )
        assert row.hash == hashlib.sha256(text.encode()).hexdigest()
        previous = row.hash


def test_forgetting_keeps_open_incidents(store):
    """Retention drops what is closed and old, with timeline and attempts; what is open stays whole."""
    old, closed = T0 - timedelta(days=30), replace(INCIDENT, id="i-0", state=IncidentState.CLOSED)
    for incident in (
        replace(INCIDENT, opened=old),
        replace(closed, opened=old),
        replace(closed, id="i-2"),
    ):
        event = (incident.id, old, Event("opened", "x"), {})
        store.commit(Changes(incidents=[incident], events=[event]))
        store.claim_attempt(replace(ATTEMPT, incident=incident.id, intended=old))
    store.commit(
        Changes(
            transitions=[
                Transition("a", "check", Status.UP, Status.DOWN, at, "x") for at in (old, T0)
            ],
            gaps=[Gap(old, at, "x") for at in (old, T0)],
            samples=[Sample(at, "a", "lag", {}, 1.0) for at in (old, T0)],
        )
    )
    store.forget(Retention(*[T0 - timedelta(days=14)] * 5))
    assert {incident.id for incident in store.incidents()} == {"i-1", "i-2"}
    assert [bool(store.timeline(name)) for name in ("i-0", "i-1", "i-2")] == [False, True, True]
    assert {attempt.incident for attempt in store.attempts()} == {"i-1", "i-2"}
    assert (
        len(store.transitions(since=old))
        == len(store.gaps(since=old))
        == len(store.samples(since=old))
        == 1
    )


# -- the file -------------------------------------------------------------------------------------


def test_what_was_committed_survives(tmp_path):
    """Another process reads all of it back."""
    store = SqliteStore(tmp_path, owner=True)
    store.commit(
        Changes(
            health={"a": HEALTH},
            probe_state={"a": {"x": 1}},
            processes=[ProcessRow("api", 1, "s", T0, True)],
        )
    )
    store.close()
    again = SqliteStore(tmp_path, owner=True)
    assert (again.healths(), again.probe_states()) == ({"a": HEALTH}, {"a": {"x": 1}})
    assert again.processes() == [ProcessRow("api", 1, "s", T0, True)]
    again.close()


def test_a_newer_schema_is_refused(tmp_path):
    """Exit 78, with what to do; the file is left alone."""
    SqliteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "sentinel.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match=r"written by a newer sentinel \(schema 99") as caught:
        SqliteStore(tmp_path, owner=True)
    assert caught.value.exit_code == 78
    assert "upgrade" in caught.value.guidance
    assert [path.name for path in tmp_path.iterdir() if "corrupt" in path.name] == []


def damage(folder, how):
    """Damage the database."""
    path = folder / "sentinel.db"
    content = path.read_bytes()
    if how == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:4096] + bytes(byte ^ 0x55 for byte in content[4096:]))


@pytest.mark.parametrize("how", ["garbage", "truncated", "flipped"])
def test_a_damaged_file_is_moved_aside(tmp_path, how):
    """Kept under another name; a fresh one says that the journal was lost."""
    store = SqliteStore(tmp_path)
    for i in range(300):
        store.add_audit(T0, "ops", "halt", "", f"{i}" * 50)
    store.close()
    damage(tmp_path, how)
    again = SqliteStore(tmp_path, owner=True)
    assert again.meta("journal_lost") is not None
    assert again.audit() == []
    again.close()
    assert any(path.name.startswith("sentinel.db.corrupt-") for path in tmp_path.iterdir())


def test_damage_that_no_statement_meets_is_found_at_the_start(tmp_path):
    """A value where the schema allows none: only a look at the pages tells."""
    SqliteStore(tmp_path).close()
    plain, loose = "value TEXT NOT NULL", "value TEXT         "
    for text, instead in ((plain, loose), (loose, plain)):
        with closing(sqlite3.connect(tmp_path / "sentinel.db", isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")
            change = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'meta'"
            db.execute(change, (text, instead))
        if instead == loose:
            with closing(sqlite3.connect(tmp_path / "sentinel.db", isolation_level=None)) as db:
                db.execute("INSERT INTO meta VALUES ('odd', NULL, 5)")
    store = SqliteStore(tmp_path, owner=True)
    assert store.moved_aside == []
    assert store.trouble().damaged == {"meta": 1}
    assert store.meta("odd") is None
    assert store.meta("journal_lost")
    store.close()


def test_only_the_daemon_moves_a_damaged_file_aside(tmp_path):
    """A command beside a running daemon leaves the file where it is and says so."""
    SqliteStore(tmp_path).close()
    damage(tmp_path, "garbage")
    with pytest.raises(StateError, match="not a database") as caught:
        SqliteStore(tmp_path)
    assert "the daemon moves it aside" in caught.value.guidance
    assert [path.name for path in tmp_path.iterdir()] == ["sentinel.db"]


def test_one_daemon_for_a_state_folder(tmp_path):
    """The second is refused while the first lives, and not after."""
    held = lock_state(tmp_path)
    with pytest.raises(ActionRefused, match="another sentinel runs on the state folder") as caught:
        lock_state(tmp_path)
    assert caught.value.exit_code == 75
    os.close(held)
    os.close(lock_state(tmp_path))


def test_a_world_writable_folder_is_refused(tmp_path):
    """With the command that mends it."""
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="world-writable") as caught:
        prepare_folder(tmp_path)
    assert caught.value.guidance == f"chmod o-w {tmp_path}"


def test_a_new_folder_is_private(tmp_path):
    """Nobody else reads the state."""
    prepare_folder(tmp_path / "a" / "state")
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["file/state", "/proc/sentinel-state"])
def test_a_folder_that_can_not_be_written(tmp_path, name):
    """The message names it and the reason; the exit code is 78."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be written: ") as caught:
        prepare_folder(tmp_path / name)
    assert "change `state:`" in caught.value.guidance


def test_reading_where_no_daemon_ever_ran(tmp_path):
    """Said in plain words; nothing is created."""
    with pytest.raises(StateError, match="no sentinel has run on"):
        SqliteStore(tmp_path, writable=False)
    assert list(tmp_path.iterdir()) == []


# -- a full disk ----------------------------------------------------------------------------------


def recorder_for(store):
    """A recorder over a store."""
    return Recorder(store, Metrics(), lambda: datetime.now(UTC))


async def test_a_full_disk_loses_nothing(store):
    """What can't be written waits, in order; `writable` is False meanwhile; it is written when
    there is room.
    """
    (pages,) = store.database.results.execute("PRAGMA page_count").fetchone()
    store.database.results.execute(f"PRAGMA max_page_count = {pages}")
    recorder = recorder_for(store)
    for i in range(200):
        await recorder.record(Changes(meta={f"k{i}": "x" * 500, "last": str(i)}))
    assert not recorder.writable
    written = sum(store.meta(f"k{i}") is not None for i in range(200))
    assert 0 < written < 200
    assert store.meta("last") == str(written - 1)
    store.database.results.execute(f"PRAGMA max_page_count = {pages + 1000}")
    await recorder.record(Changes(meta={"room": "again"}))
    assert recorder.writable
    assert all(store.meta(f"k{i}") is not None for i in range(200))
    assert (store.meta("last"), store.meta("room")) == ("199", "again")
    recorder.close()


async def test_closing_writes_what_waits(store):
    """The last turns are not lost because the daemon ends."""
    (pages,) = store.database.results.execute("PRAGMA page_count").fetchone()
    store.database.results.execute(f"PRAGMA max_page_count = {pages}")
    recorder = recorder_for(store)
    await recorder.record(Changes(meta={"big": "x" * 100_000}))
    assert store.meta("big") is None
    store.database.results.execute(f"PRAGMA max_page_count = {pages + 1000}")
    recorder.close()
    assert store.meta("big") is not None


@pytest.mark.parametrize("deep", [False, True])
async def test_a_change_that_no_store_takes_does_not_stop_the_others(store, deep, monkeypatch):
    """It is counted and left out; the disk is not blamed."""
    recorder = recorder_for(store)
    with monkeypatch.context() as patch:
        if deep:  # a document that is nested too deeply
            patch.setattr(store, "commit", Mock(side_effect=RecursionError))
        await recorder.record(Changes(meta={"m": "x" if deep else object()}))
    await recorder.record(Changes(meta={"after": "x"}))
    assert store.meta("after") == "x"
    assert recorder.writable
    assert recorder._metrics.swallowed.labels("recorder").value == 1
    recorder.close()


def test_a_real_full_disk_costs_no_row(tmp_path):
    """With a file size limit of the system instead of SQLite's own: refused, then written, then all
    there.
    """
    script = textwrap.dedent(
        f"""
        import asyncio, resource, signal
        from datetime import UTC, datetime
        from pathlib import Path
        from sentinel.engine.recorder import Recorder
        from sentinel.metrics import Metrics
        from sentinel.store import Changes
        from sentinel.store.sqlite import SqliteStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = SqliteStore(Path({str(tmp_path)!r}), owner=True)
        recorder = Recorder(store, Metrics(), lambda: datetime.now(UTC))
        async def main():
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
            for i in range(100):
                await recorder.record(Changes(meta={{f"k{{i}}": "x" * 5000}}))
            assert not recorder.writable
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await recorder.record(Changes(meta={{"room": "again"}}))
            assert recorder.writable
        asyncio.run(main())
        recorder.close()
        store.close()
        """
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True)
    store = SqliteStore(tmp_path, owner=True)
    assert all(store.meta(f"k{i}") is not None for i in range(100))
    assert store.meta("journal_lost") is None
    store.close()


def test_an_answer_comes_back_as_it_was_given(store):
    """Word, text and document; the one line of an older sentinel is a text."""
    answer = Answer.refused("busy", {"reason": "busy", "exit_code": 75})
    for key in ("new", "old", "old-document"):
        store.add_order(Order("restart", key, "api"), T0)
    store.finish_order("new", answer, T0)
    with store.database.transaction() as db:
        for key, text in (("old", "restarted"), ("old-document", '{"removed": 3}')):
            change(db, "orders", "key = ?", (key,), outcome=text)
    assert store.order_outcome("new") == answer
    assert store.order_outcome("old") == Answer.done("restarted")
    assert store.order_outcome("old-document") == Answer.done('{"removed": 3}')


def test_a_schema_below_zero_is_damage(tmp_path):
    """No migration leads from there."""
    SqliteStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "sentinel.db")) as db:
        db.execute("PRAGMA user_version = -1")
    with pytest.raises(StateError, match="damaged header"):
        SqliteStore(tmp_path)


def test_nobody_sees_a_component_that_was_taken_out(store):
    """When it is back a week later, that week was none of its uptime: it was unknown from then on."""
    views = [
        ComponentView(name, status, T0, "", [], "", None, 0, "")
        for name, status in (("api", "up"), ("bus", "up"), ("db", "unknown"))
    ]
    store.commit(Changes(components=views))
    store.replace_configuration([], ["bus"])
    (lost,) = store.transitions(since=T0)
    assert (lost.subject, lost.before, lost.after) == ("api", Status.UP, Status.UNKNOWN)
    store.replace_configuration([], ["bus"])
    assert len(store.transitions(since=T0)) == 1
