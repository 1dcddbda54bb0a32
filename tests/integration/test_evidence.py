"""Evidence of milestones, read where it lies: real PostgreSQL, real Prometheus, files, the store."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.app.evidence import KnownEvidence, read_evidence, read_known
from sentinel.core.progress.plan import (
    Claim,
    Evidence,
    EvidenceKind,
    Milestone,
    Plan,
    Reading,
    Requirement,
)
from sentinel.demo.servers import PostgresServer, free_port
from sentinel.errors import TargetError
from sentinel.reports.figures.milestone import name_requirement, read_readings
from sentinel.store import BEAT, Changes
from sentinel.store.sqlite import SqliteStore
from tests.conftest import require_tool
from tests.unit.reports.conftest import check

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[PostgresClient]:
    client = PostgresClient("database", postgres.dsn())
    yield client
    await client.close()


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[HttpClient]:
    """One that scrapes nothing: it can calculate."""
    config, address = tmp_path / "prometheus.yml", f"127.0.0.1:{free_port()}"
    config.write_text("global: {}\n")
    words = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    process = subprocess.Popen(
        [require_tool("prometheus"), *words, f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = HttpClient("prometheus", f"http://{address}")
    try:
        await wait_until_ready(client)
        yield client
    finally:
        await client.close()
        process.kill()
        process.wait()


async def wait_until_ready(client: HttpClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await client.request("GET", "/-/ready", timeout=1)).status == 200:
                    return
            except TargetError:
                pass
            await asyncio.sleep(0.05)


async def look(
    evidence: Evidence,
    clients: Mapping[str, Any] | None = None,
    known: KnownEvidence | None = None,
    store: SqliteStore | None = None,
) -> Reading:
    """One look at one milestone."""
    plan = Plan(milestones={"m": Milestone("m", "t", evidence=evidence)})
    known = known or (read_known(store, NOW) if store else KnownEvidence({}, {}, None))
    changes = await read_evidence(plan, known, clients or {}, NOW)
    return next(iter(parse(changes).values()))


def parse(changes: Changes) -> dict[str, Reading]:
    """The readings as the next one who asks the store gets them."""

    class Kept:
        def meta(self, key: str) -> str:
            return changes.meta[key]

    return read_readings(Kept())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "done", "total", "why"),
    [
        ("select count(*) filter (where n < 4), count(*) from generate_series(1, 8) n", 3, 8, ""),
        ("select 0.25", 0.25, 1, ""),
        ("select true", 1, 1, ""),
        ("with w as (select 3 a) select a, 4 from w -- done", 3, 4, ""),
        ("select 1;", 1, 1, ""),
        ("select 1, 2, 3", None, None, "at most 2 numbers"),
        ("select n from generate_series(1, 3) n", None, None, "gives several rows"),
        ("select 1 where false", None, None, "gives no row"),
        ("select 'a,1'", None, None, "at most 2 numbers"),
        ("select null", None, None, "at most 2 numbers"),
        ("select 0, 0", None, None, "nothing to do"),
        ("select 1 from no_such_table", None, None, "no_such_table"),
        ("delete from pg_class", None, None, "syntax error"),
        ("select count(*) filter (where 'a' like 'a%'), 7 % 4", 1, 3, ""),
        ("select 1) as q; drop table x; select (1", None, None, "multiple commands"),
        ("select setval('s', 1)", None, None, '"s" does not exist'),
        ("select pg_sleep(60)", None, None, "timeout"),
    ],
)
async def test_sql(
    database: PostgresClient, query: str, done: float | None, total: float | None, why: str
) -> None:
    """One row of one or two numbers; anything else is not measured, and nothing is written."""
    reading = await look(Evidence(EvidenceKind.SQL, "database", query), {"database": database})
    assert (reading.done, reading.total) == (done, total)
    assert why in reading.why


async def test_promql(prometheus: HttpClient) -> None:
    """One number; no series, several, an error or another server are not measured."""
    clients = {"prometheus": prometheus}

    async def ask(query: str) -> Reading:
        return await look(Evidence(EvidenceKind.PROMQL, "prometheus", query, 10.0), clients)

    assert (await ask("vector(7)")).ratio == 0.7
    assert (await ask("scalar(vector(25))")).ratio == 1.0
    for query, why in (
        ("sum(work_done_total)", "no series"),
        ('label_replace(vector(1), "a", "b", "", "") or vector(2)', "2 series"),
        ("vector(1) / 0", "gives inf"),
        ("sum(", "refuses the expression (400)"),
    ):
        reading = await ask(query)
        assert reading.ratio is None
        assert why in reading.why


async def test_checklist(tmp_path: Path) -> None:
    """Boxes below a heading, and when the file was written; what is missing is said."""
    file = tmp_path / "plan.md"
    file.write_text("# Schema\n- [x] one\n- [ ] two\n# Later\n- [ ] three\n")
    reading = await look(Evidence(EvidenceKind.CHECKLIST, str(file), "Schema"))
    assert (reading.done, reading.total) == (1, 2)
    assert reading.written is not None
    for path, heading, why in (
        (file, "Nowhere", "has no heading"),
        (tmp_path / "gone.md", "", "gone.md"),
        (tmp_path, "", "is no file but a folder"),
    ):
        assert why in (await look(Evidence(EvidenceKind.CHECKLIST, str(path), heading))).why


REGISTRY = """{"timestamp": "2026-03-09T00:00:00Z", "next_update": "2026-03-09T12:00:00Z",
 "agents": [{"name": "a", "status": "COMPLETE", "progress": 100},
            {"name": "b", "status": "working", "progress": "45%"}], "odd": [1, "x"]}"""


async def test_json(tmp_path: Path) -> None:
    """The mean of numbers, or words that mean done; the times that the file claims are kept."""
    file = tmp_path / "agents.json"
    file.write_text(REGISTRY)

    def at(path: str, *done: str) -> Evidence:
        times = {"written": "$.timestamp", "next_update": "$.next_update"}
        return Evidence(EvidenceKind.JSON, str(file), path, 100.0, done, **times)

    reading = await look(at("$.agents[*].progress"))
    assert (reading.done, reading.total) == (1.45, 2)
    assert (reading.written, reading.overdue) == (
        datetime(2026, 3, 9, tzinfo=UTC),
        datetime(2026, 3, 9, 12, tzinfo=UTC),
    )
    assert (await look(at("$.agents[*].status", "complete"))).ratio == 0.5
    assert "leads nowhere" in (await look(at("$.nothing"))).why
    assert "is no number" in (await look(at("$.odd[*]"))).why
    file.write_text("{")
    assert "agents.json" in (await look(at("$.agents"))).why


async def test_what_sentinel_knows(store: SqliteStore) -> None:
    """A check that is up, a fault that is not there; nothing is known of what tells nothing."""
    views = [
        check("up", "tcp", "api"),
        check("bad", "tcp", "api", status="degraded", faults={"slow": 2}),
        check("blind", "tcp", "api", status="unknown", detail="no rights"),
    ]
    store.commit(Changes(checks=views))

    async def ask(kind: EvidenceKind, name: str, fault: str = "") -> Reading:
        return await look(Evidence(kind, name, fault), store=store)

    assert (await ask(EvidenceKind.CHECK, "up")).ratio == 1
    assert (await ask(EvidenceKind.CHECK, "bad")).ratio == 0
    assert (await ask(EvidenceKind.NO_FAULT, "bad", "slow")).ratio == 0
    assert (await ask(EvidenceKind.NO_FAULT, "bad", "late")).ratio == 1
    assert (await ask(EvidenceKind.CHECK, "blind")).why == "check blind tells nothing: no rights"
    assert "not run yet" in (await ask(EvidenceKind.CHECK, "new")).why
    store.commit(Changes(meta={BEAT: (NOW - timedelta(hours=1)).isoformat()}))
    assert "sentinel does not run" in (await ask(EvidenceKind.CHECK, "up")).why


async def test_a_requirement_follows_its_milestone(tmp_path: Path) -> None:
    """What is only claimed is no evidence for a gate."""
    file = tmp_path / "plan.md"
    file.write_text("- [x] one\n")
    boxes = Evidence(EvidenceKind.CHECKLIST, str(file))
    plan = Plan(
        milestones={
            "m": Milestone("m", "t", evidence=boxes),
            "said": Milestone("said", "t", claim=Claim(1.0, NOW)),
        },
        requirements=(
            Requirement("one", Evidence(EvidenceKind.MILESTONE, "m")),
            Requirement("two", Evidence(EvidenceKind.MILESTONE, "said")),
        ),
    )
    found = parse(await read_evidence(plan, KnownEvidence({}, {}, None), {}, NOW))
    assert found[name_requirement("one")].ratio == 1
    assert "only claimed" in found[name_requirement("two")].why


async def test_what_a_query_sets_goes_with_it(database: PostgresClient) -> None:
    """Whoever asks on the same connection afterwards has the settings of before."""
    loose = "select set_config('default_transaction_read_only', 'off', false)::bool"
    await look(Evidence(EvidenceKind.SQL, "database", loose), {"database": database})
    slow = "select set_config('statement_timeout', '0', false)::int"
    await look(Evidence(EvidenceKind.SQL, "database", slow), {"database": database})
    ask = "select current_setting('{}') as value"
    (written,) = await database.query(ask.format("default_transaction_read_only"))
    (patient,) = await database.query(ask.format("statement_timeout"))
    assert (written["value"], patient["value"]) == ("on", "2s")


async def test_one_look_costs_no_other(tmp_path: Path) -> None:
    """A number that no float holds is no time, and what nobody foresaw is why one is not measured:
    the others are.
    """
    (tmp_path / "a.json").write_text(f'{{"a": 50, "t": {"9" * 400}}}')
    kept = Evidence(EvidenceKind.JSON, str(tmp_path / "a.json"), "$.a", 100.0, written="$.t")
    gone = Evidence(EvidenceKind.SQL, "gone", "select 1")
    plan = Plan(
        milestones={
            "gone": Milestone("gone", "t", evidence=gone),
            "kept": Milestone("kept", "t", evidence=kept),
        }
    )
    found = parse(await read_evidence(plan, KnownEvidence({}, {}, None), {}, NOW))
    assert found["kept"].ratio == 0.5
    assert found["gone"].ratio is None
    assert "sentinel itself failed: KeyError" in found["gone"].why


async def test_a_step_stays_a_step(tmp_path: Path) -> None:
    """A history has a point before each move and one after it, and none while nothing moves."""
    file = tmp_path / "plan.md"
    file.write_text("- [x] one\n- [ ] two\n")
    plan = Plan(
        milestones={"m": Milestone("m", "t", evidence=Evidence(EvidenceKind.CHECKLIST, str(file)))}
    )
    known, points = KnownEvidence({}, {}, None), []
    for minute in range(5):
        if minute == 3:
            file.write_text("- [x] one\n- [x] two\n")
        changes = await read_evidence(plan, known, {}, NOW + timedelta(minutes=minute))
        known = KnownEvidence({}, parse(changes), None)
        points += [(s.at, s.value) for s in changes.samples if s.measurement == "done"]
    assert points == [
        (NOW, 1),
        (NOW + timedelta(minutes=2), 1),
        (NOW + timedelta(minutes=3), 2),
    ]


async def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    """For less than a minute; what is reached, what is new and what is gone is, at once; a count that
    moves is when the one before is 20 s old.
    """
    file = tmp_path / "plan.md"
    file.write_text("- [x] one\n- [ ] two\n- [ ] three\n")
    made = Milestone("m", "t", evidence=Evidence(EvidenceKind.CHECKLIST, str(file)))
    plan = Plan(milestones={"m": made})
    known = KnownEvidence(
        {}, parse(await read_evidence(plan, KnownEvidence({}, {}, None), {}, NOW)), None
    )
    for seconds, writes in ((5, False), (59, False), (60, True), (-1, True)):
        changes = await read_evidence(plan, known, {}, NOW + timedelta(seconds=seconds))
        assert bool(changes) is writes, seconds
    soon = NOW + timedelta(seconds=5)
    assert await read_evidence(Plan(milestones={"m": made, "n": made}), known, {}, soon)
    assert await read_evidence(Plan(), known, {}, soon)
    file.write_text("- [x] one\n- [x] two\n- [ ] three\n")
    for seconds, writes in ((5, False), (19, False), (20, True)):
        changes = await read_evidence(plan, known, {}, NOW + timedelta(seconds=seconds))
        assert bool(changes) is writes, seconds
    assert parse(changes)["m"].done == 2
    file.write_text("- [x] one\n- [x] two\n- [x] three\n")
    assert parse(await read_evidence(plan, known, {}, soon))["m"].done == 3
    file.unlink()
    assert "plan.md" in parse(await read_evidence(plan, known, {}, soon))["m"].why
