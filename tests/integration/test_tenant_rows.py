"""Kind `tenant_rows`: rows of nobody are counted, and what can't be seen is not 0."""

from __future__ import annotations

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable
from sentinel.probes.tenant_rows import KIND, TenantRowsOptions
from tests.integration import tenant_rig as rig

A, B = rig.TENANTS["uuid"]
NOBODY = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def db(postgres):
    """Tenants A and nobody's fallback; a table that sentinel may read one column of."""
    with psycopg.connect(rig.make_database(postgres, "owners"), autocommit=True) as db:
        db.execute(
            f"""create schema o; grant usage on schema o to th_watch;
            create table o.tenants(id uuid primary key); insert into o.tenants values ('{A}');
            create table o.t(id serial, tenant_id uuid, secret text);
            create table o.part(tenant_id uuid) partition by list (tenant_id);
            create table o.part_1 partition of o.part default;
            insert into o.t (tenant_id) values ('{A}'), (null), (null), ('{NOBODY}'), ('{B}');
            grant select on o.tenants, o.part to th_watch;
            grant select (tenant_id) on o.t to th_watch"""
        )
        yield db


@pytest.fixture
async def look(postgres, make_context, db):
    """One look as a role with few rights."""
    client = PostgresClient("main", postgres.dsn("owners", "th_watch"))

    async def once(**options):
        return await KIND.run(
            TenantRowsOptions.model_validate(options), make_context({"resource": client})
        )

    yield once
    await client.close()


async def test_each_row_of_nobody_is_counted(look):
    """By table and by why; a fallback tenant that has no row of its own is both."""
    finding = await look(fallback=[NOBODY.upper()], tenants={"table": "o.tenants"})
    counted = {(f.key, f.subject["table"]): f.count.lo for f in finding.faults}
    assert counted == {
        ("tenant_missing", "o.t"): 2, ("tenant_fallback", "o.t"): 1, ("tenant_unknown", "o.t"): 2,
    }  # fmt: skip
    assert finding.status is Status.DEGRADED
    assert NOBODY not in repr(finding)
    assert finding.evidence["tables"] == ["o.part", "o.t"]


async def test_rows_of_known_tenants_are_well(look, db):
    """Without a word of tenants nothing is looked up."""
    db.execute("delete from o.t where tenant_id is null")
    finding = await look()
    assert finding.status is Status.UP
    assert [row.labels["why"] for row in finding.rows] == ["missing"]


async def test_hidden_rows_are_not_zero(look, db):
    """Policies hold for sentinel, too: it is blind, and says so."""
    db.execute("alter table o.t enable row level security; create policy p on o.t using (false)")
    finding = await look(tables=["o.t"])
    assert finding.status is Status.UNKNOWN
    assert "row-level security hides rows of o.t from th_watch" in finding.detail


async def test_a_missing_right_is_told_as_a_statement(look, db):
    """And it is enough."""
    db.execute("revoke select (tenant_id) on o.t from th_watch")
    finding = await look(tables=["o.t"])
    assert finding.status is Status.UNKNOWN
    db.execute(finding.guidance)
    assert (await look(tables=["o.t"])).status is Status.DEGRADED


async def test_nothing_to_count_is_unknown(look):
    """A wrong column, and a table that is not there."""
    with pytest.raises(NotMeasurable, match="no table has a column org_id"):
        await look(column="org_id")
    assert (await look(tables=["o.nowhere"])).status is Status.UNKNOWN
