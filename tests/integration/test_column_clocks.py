"""What the catalog of a real PostgreSQL tells of the clocks by which columns are written."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.postgres import PostgresClient
from sentinel.core.moment.skew import Basis
from sentinel.errors import SubjectError

TABLE = """
CREATE TABLE public.tasks (id bigserial, created_at timestamp DEFAULT now(), assigned_at timestamptz,
                           done_at timestamp DEFAULT (now() AT TIME ZONE 'utc'), day date);
CREATE VIEW public.seen AS SELECT id, created_at, created_at AT TIME ZONE 'Asia/Tokyo' AS at FROM public.tasks;
"""
COLUMNS = ("created_at", "assigned_at", "done_at", "day", None, "data->at", "missing")


class Place:
    """A database of its own with roles that write, and a role that only monitors."""

    def __init__(self, server):
        self.server, self.mark = server, uuid.uuid4().hex[:8]
        self.name, self.roles = f"zones_{self.mark}", []
        with psycopg.connect(server.dsn(), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {self.name}")
        self.execute(TABLE)
        self.monitor = self.add_role("monitor")
        dsn = server.dsn(self.name).replace("//postgres@", f"//{self.monitor}@")
        self.client = PostgresClient("database", dsn)

    def execute(self, sql):
        with psycopg.connect(self.server.dsn(self.name), autocommit=True) as db:
            db.execute(sql)

    def add_role(self, name, grant="", zone=None, where=""):
        role = f"{name}_{self.mark}"
        self.roles.append(role)
        self.execute(f"CREATE ROLE {role} LOGIN")
        if grant:
            self.execute(f"GRANT {grant} ON public.tasks TO {role}")
        if zone:
            self.execute(f"ALTER ROLE {role} {where} SET timezone TO '{zone}'")
        return role

    async def clocks(self, table="tasks", declared=None, columns=COLUMNS):
        return await find_clocks(self.client.query, table, columns, declared)

    async def close(self):
        await self.client.close()
        with psycopg.connect(self.server.dsn(), autocommit=True) as db:
            db.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
            for role in self.roles:
                db.execute(f"DROP ROLE {role}")


@pytest.fixture
async def place(postgres):
    place = Place(postgres)
    yield place
    await place.close()


async def test_the_types_tell_first(place):
    """A type with a zone is certain; a default that names its zone comes before any role's; keys
    inside JSON and columns that are not there are passed over.
    """
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO 'Asia/Tokyo'")
    clocks = await place.clocks()
    assert set(clocks) == {"created_at", "assigned_at", "done_at", "day"}
    assert clocks["assigned_at"].basis is Basis.TYPED
    assert (clocks["done_at"].basis, clocks["done_at"].zone) == (Basis.DISCOVERED, "UTC")
    assert (clocks["day"].zone, clocks["created_at"].zone) == ("Asia/Tokyo", "Asia/Tokyo")
    assert clocks["created_at"].describe() == (
        f"tasks.created_at is read as Asia/Tokyo (TimeZone of database {place.name})"
    )


async def test_roles_that_write_come_before_the_database(place):
    """The role's own setting, in this database before everywhere; who only reads has no say; several
    zones are a disagreement, several names of one clock are none.
    """
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO 'UTC'")
    place.add_role("reader", "SELECT", "Asia/Tokyo")
    app = place.add_role("app", "INSERT", "Europe/Athens")
    place.execute(f"ALTER TABLE public.tasks OWNER TO {app}")
    clock = (await place.clocks())["created_at"]
    assert (clock.basis, clock.zone, clock.others) == (Basis.DISCOVERED, "Europe/Athens", ("UTC",))
    assert f"TimeZone of role {app}" in clock.source
    place.add_role("twin", "UPDATE", "Asia/Nicosia")
    assert (await place.clocks())["created_at"].basis is Basis.DISCOVERED
    far = place.add_role("far", "UPDATE (assigned_at)", "Europe/Athens")
    place.execute(
        f"ALTER ROLE {far} IN DATABASE {place.name} SET timezone TO 'America/Los_Angeles'"
    )
    plain = place.add_role("plain", "INSERT")
    clock = (await place.clocks())["created_at"]
    assert clock.basis is Basis.DISAGREED
    assert clock.zone == "UTC", plain
    assert {"Europe/Athens", "America/Los_Angeles"} <= set(clock.others)


async def test_a_zone_by_a_rule_is_none_that_is_known(place):
    """PostgreSQL takes `<+09>-09`, which is no name: nobody then says in which zone times are."""
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO '<+09>-09'")
    clock = (await place.clocks())["created_at"]
    assert (clock.basis, clock.is_certain) == (Basis.DISAGREED, False)
    assert "<+09>-09" in clock.describe()


async def test_a_view_is_written_below_it(place):
    """Roles that write the table count, although none may write the view; a cast makes a type."""
    place.add_role("app", "INSERT", "Europe/Athens")
    place.execute(
        f"ALTER TABLE public.tasks OWNER TO {place.add_role('owner', zone='Europe/Athens')}"
    )
    clocks = await place.clocks("seen", columns=("created_at", "at"))
    assert clocks["created_at"].zone == "Europe/Athens"
    assert clocks["at"].basis is Basis.TYPED


async def test_a_declared_zone_holds_or_is_refused(place):
    """It comes before the catalog for columns without a zone; where all have one it is a mistake."""
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO 'Asia/Tokyo'")
    clocks = await place.clocks(declared="Europe/Athens")
    assert {clock.zone for clock in clocks.values() if clock.is_naive} == {"Europe/Athens"}
    assert clocks["created_at"].basis is Basis.DECLARED
    with pytest.raises(SubjectError, match="zone: Europe/Athens` has no effect"):
        await place.clocks(declared="Europe/Athens", columns=("assigned_at",))


async def test_the_server_s_own_zone_is_seen(place):
    """Without any setting of database and role: what a session gets, not what ours is set to."""
    clock = (await place.clocks())["created_at"]
    with psycopg.connect(place.server.dsn(place.name)) as db:
        zone = db.execute("SHOW timezone").fetchone()[0]
    assert clock.basis is Basis.DISCOVERED
    assert (clock.zone, "of the server" in clock.source) == (zone, True)


async def test_a_domain_is_as_naive_as_the_type_below_it(place):
    """A name of the platform's own for `timestamp` must not count as a type with a zone."""
    place.execute(
        "CREATE DOMAIN public.wall AS timestamp; CREATE DOMAIN public.ours AS public.wall;"
        " ALTER TABLE public.tasks ADD ours public.ours"
    )
    clocks = await place.clocks(declared="Europe/Athens", columns=("ours",))
    assert clocks["ours"].basis is Basis.DECLARED
    assert clocks["ours"].zone == "Europe/Athens"


async def test_what_holds_no_instant_is_refused_by_its_name(place):
    """A date would be an age of hours; a text or a number is no time at all."""
    place.execute("ALTER TABLE public.tasks ADD label text, ADD hour time, ADD span tstzrange")
    for name in ("label", "hour", "span"):
        with pytest.raises(SubjectError, match=rf"no time: {name} of public.tasks is of type"):
            await prove_columns(place.client.query, "tasks", (), (name,))
    assert await prove_columns(place.client.query, "tasks", (), ("day", None))
    with pytest.raises(SubjectError, match=r"no time: day of public.tasks is of type date"):
        await prove_columns(place.client.query, "tasks", (), ("day",), to_the_second=True)


async def test_a_zone_that_only_we_know_is_no_fault_of_the_server(place):
    """Such as a name that is newer than the server."""
    with pytest.raises(SubjectError, match=r"time zone .* not recognized") as refused:
        await place.client.query("SELECT now() AT TIME ZONE 'right/Europe/Athens'")
    assert "pg_timezone_names" in refused.value.guidance
