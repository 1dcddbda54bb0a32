"""The platform as a whole: its servers, its environment, and the commands of its components.

`Platform` starts and stops the two servers only. The components are started by whoever supervises
them, in the order of `commands()`, with `environment()`:

    DEMO_PYTHON                   the interpreter
    DEMO_FOLDER                   ledgers and control files
    DEMO_REDIS_URL                Valkey
    DEMO_DATABASE_URL             PostgreSQL as role worker (orchestrator, agents)
    DEMO_APP_DATABASE_URL         PostgreSQL as role app_user (API)
    DEMO_SENTINEL_DATABASE_URL    PostgreSQL as role sentinel (schema watch; may SET ROLE app_user)
    DEMO_API_PORT, DEMO_API_URL   the HTTP API
    DEMO_TENANT_A, DEMO_TENANT_B  tenant uuids;  DEMO_TOKEN_A, DEMO_TOKEN_B  their bearer tokens
    DEMO_RATE                     tasks a second
    DEMO_DIE_WITH_PARENT          the pid of this process: a component ends with the thread that
    started it; or 0
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sys
import tempfile
import uuid
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import psycopg

from sentinel.demo.bus import AGENTS, group_of, stream_of
from sentinel.demo.component import connect_redis, write_control
from sentinel.demo.servers import PostgresServer, ValkeyServer, free_port

DATABASE = "platform"
TENANT_A = "a0000000-0000-4000-8000-00000000000a"
TENANT_B = "b0000000-0000-4000-8000-00000000000b"
DEPENDS_ON: dict[str, tuple[str, ...]] = {
    "orchestrator": ("bus", "database"),
    **dict.fromkeys(AGENTS, ("bus", "database", "orchestrator")),
    "api": ("bus", "database"),
    "load": ("api",),
}
_PLACE = "sentinel-demo-"


class Platform:
    """Valkey, PostgreSQL and the plan of the rest.

    Everything lives in a new folder below `folder`, by default the system's temporary one. As root,
    PostgreSQL runs as `nobody`, who must be able to reach it. `rate` is tasks a second. Use it in
    the main thread: servers end with the thread that started them.
    """

    def __init__(
        self, folder: Path | None = None, *, rate: float = 20.0, die_with_parent: bool = True
    ) -> None:
        self._given = folder
        self._rate, self._die = rate, die_with_parent
        self._tokens = {"A": secrets.token_hex(16), "B": secrets.token_hex(16)}
        self._api_port = free_port()

    def __enter__(self) -> Self:
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def prepare(self) -> None:
        """Start both servers, load the schema, make each agent's stream and group (from id 0)."""
        self._place = Path(tempfile.mkdtemp(prefix=_PLACE, dir=self._given))
        self._place.chmod(0o755)
        self._lock = _hold(self._place)
        _sweep(self._place.parent)
        for name in ("ledgers", "control"):
            (self.folder / name).mkdir(parents=True)
        holds = (self._lock.fileno(),)  # until the last of them has ended
        settings = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
        self.valkey = ValkeyServer(self._place / "valkey", *settings, holds=holds)
        self.postgres = PostgresServer(self._place / "postgres", holds=holds)
        self.valkey.start()
        self.postgres.start()
        load_schema(self.postgres, DATABASE, {TENANT_A: "Tenant A", TENANT_B: "Tenant B"})
        self._make_groups()
        write_control(self.folder, "no-canaries", {})  # until the load opens the doors

    @property
    def folder(self) -> Path:
        """Where ledgers and control files are."""
        return self._place / "run"

    @property
    def admin_dsn(self) -> str:
        """The database as superuser: for chaos and tests, never for a component."""
        return self.postgres.dsn(DATABASE)

    def environment(self) -> dict[str, str]:
        """Every DEMO_ variable that components and check packs need."""
        return {
            "DEMO_PYTHON": sys.executable,
            "DEMO_FOLDER": str(self.folder),
            "DEMO_REDIS_URL": self.valkey.url,
            "DEMO_REDIS_ADDRESS": f"127.0.0.1:{self.valkey.port}",
            "DEMO_DATABASE_URL": self.postgres.dsn(DATABASE, "worker"),
            "DEMO_APP_DATABASE_URL": self.postgres.dsn(DATABASE, "app_user"),
            "DEMO_SENTINEL_DATABASE_URL": self.postgres.dsn(DATABASE, "sentinel"),
            "DEMO_API_PORT": str(self._api_port),
            "DEMO_API_URL": f"http://127.0.0.1:{self._api_port}",
            "DEMO_TENANT_A": TENANT_A,
            "DEMO_TENANT_B": TENANT_B,
            "DEMO_TOKEN_A": self._tokens["A"],
            "DEMO_TOKEN_B": self._tokens["B"],
            "DEMO_RATE": f"{self._rate:g}",
            "DEMO_DIE_WITH_PARENT": str(os.getpid() if self._die else 0),
        }

    def commands(self) -> dict[str, list[str]]:
        """Argument vector of each component, in dependency order (DEPENDS_ON has the edges)."""
        agents = {
            name: _module("agent", "--name", name, "--capabilities", ",".join(capabilities))
            for name, capabilities in AGENTS.items()
        }
        return {
            "orchestrator": _module("orchestrator"),
            **agents,
            "api": _module("api"),
            "load": _module("load", "--rate", f"{self._rate:g}"),
        }

    def close(self) -> None:
        """Stop the servers and delete everything; ledgers too, so read the truth before."""
        for server in (getattr(self, "postgres", None), getattr(self, "valkey", None)):
            if server is not None:
                server.stop()
        if hasattr(self, "_place"):
            shutil.rmtree(self._place, ignore_errors=True)
        if hasattr(self, "_lock"):
            self._lock.close()

    def _make_groups(self) -> None:
        with connect_redis(self.valkey.url, "prepare") as client:
            for agent in AGENTS:
                client.xgroup_create(stream_of(agent), group_of(agent), id="0", mkstream=True)


def _hold(place: Path) -> TextIO:
    """The open lock of a run's folder; the kernel lets go of it however the run ends."""
    draft = place / "lock.new"
    held = draft.open("w")
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.rename(place / "lock")
    return held


def _sweep(parent: Path) -> None:
    """Delete the folders of runs that were killed: nobody holds their lock, which goes last."""
    for lock in parent.glob(f"{_PLACE}*/lock"):
        with suppress(OSError), lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in lock.parent.iterdir():
                if part.is_dir():
                    shutil.rmtree(part)
            shutil.rmtree(lock.parent)


def load_schema(server: PostgresServer, database: str, tenants: dict[str, str]) -> None:
    """Create `database` with the demo schema and `tenants` (uuid → name) in it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}"')
    with psycopg.connect(server.dsn(database)) as connection:
        connection.execute(files("sentinel.demo").joinpath("schema.sql").read_bytes())
        for tenant, name in tenants.items():
            connection.execute("INSERT INTO tenants VALUES (%s, %s)", (uuid.UUID(tenant), name))


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"sentinel.demo.{name}", *arguments]
