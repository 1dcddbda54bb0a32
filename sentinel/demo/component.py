"""What every process of the demo platform shares: its settings, stopping, backing off, and its two
clients.

Settings come from the environment: DEMO_FOLDER (ledgers and control files), DEMO_REDIS_URL,
DEMO_DATABASE_URL (complete, role worker), DEMO_APP_DATABASE_URL (complete, role app_user),
DEMO_API_PORT, DEMO_TENANT_A, DEMO_TENANT_B (uuids), DEMO_TOKEN_A, DEMO_TOKEN_B (bearer tokens),
DEMO_DIE_WITH_PARENT (a pid or 0). A control file `DEMO_FOLDER/control/<name>` holds JSON and
switches a fault on; see chaos.py.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sentinel.demo.servers import die_with_parent

Connection = psycopg.Connection[tuple[Any, ...]]
_SLICE = 0.1


class Away(Exception):
    """The database can't be reached now; the next try is not due before its backoff has passed."""


class Stop:
    """True once SIGTERM or SIGINT came: finish what is in hand, take nothing new, exit 0."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def __bool__(self) -> bool:
        return self._asked

    def sleep(self, seconds: float) -> None:
        """Sleep, but at most a tenth of a second beyond the request to stop."""
        until = time.monotonic() + seconds
        while not self._asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def _ask(self, _signum: int, _frame: object) -> None:
        self._asked = True


class Backoff:
    """Exponential delays in seconds: 0.1, 0.2, 0.4 … 2; `reset` after a success."""

    def __init__(self, initial: float = 0.1, factor: float = 2.0, longest: float = 2.0) -> None:
        self._initial, self._factor, self._longest = initial, factor, longest
        self._next = initial

    def reset(self) -> None:
        """Begin with the shortest delay again."""
        self._next = self._initial

    def next(self) -> float:
        """The delay to wait now."""
        delay, self._next = self._next, min(self._next * self._factor, self._longest)
        return delay


class Database:
    """One autocommit connection that is made when needed and made anew, with backoff, after it
    broke.
    """

    def __init__(self, dsn: str, name: str, *, listen: str = "") -> None:
        self._dsn, self._name, self._listen = dsn, name, listen
        self._connection: Connection | None = None
        self._backoff = Backoff()
        self._not_before = 0.0

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection; raises Away when the server is (still, or suddenly) unreachable."""
        if time.monotonic() < self._not_before:
            raise Away(self._name)
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
            self._backoff.reset()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            self._not_before = time.monotonic() + self._backoff.next()
            raise Away(self._name) from error

    @contextmanager
    def transaction(self, tenant: str) -> Iterator[Connection]:
        """A transaction that sees the rows of `tenant` only; raises Away like `connection`."""
        with self.connection() as connection, connection.transaction():
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
            yield connection

    def close(self) -> None:
        """Close; the next use connects again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connect(self) -> Connection:
        connection = psycopg.connect(
            self._dsn, autocommit=True, connect_timeout=3, application_name=self._name
        )
        if self._listen:
            connection.execute(f"LISTEN {self._listen}")
        return connection


class Frame:
    """Settings and tools of one process, named `name`."""

    def __init__(self, name: str) -> None:
        if parent := int(os.environ.get("DEMO_DIE_WITH_PARENT", "0")):
            die_with_parent(signal.SIGKILL)  # a stopped process would never act on SIGTERM
            if os.getppid() != parent:
                raise SystemExit("the demo ended before this process had begun")
        self.name = name
        self.folder = Path(os.environ["DEMO_FOLDER"])
        self.tenants = {os.environ["DEMO_TENANT_A"]: "A", os.environ["DEMO_TENANT_B"]: "B"}

    def redis(self) -> redis.Redis:
        """A client that sends each command once: a lost reply must not become a second publish."""
        return connect_redis(os.environ["DEMO_REDIS_URL"], self.name)

    def database(self, *, listen: str = "") -> Database:
        """The database as role worker."""
        return Database(os.environ["DEMO_DATABASE_URL"], self.name, listen=listen)

    def control(self, name: str) -> dict[str, Any] | None:
        """Content of the control file `name`, None when that fault is off."""
        return read_control(self.folder, name)


def connect_redis(url: str, name: str) -> redis.Redis:
    """A client without silent retries; replies as bytes, RESP2."""
    return redis.Redis.from_url(
        url,
        client_name=name,
        protocol=2,
        socket_timeout=3,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
    )


def read_control(folder: Path, name: str) -> dict[str, Any] | None:
    """Content of control file `name`, None when it is not there."""
    try:
        content: dict[str, Any] = json.loads((folder / "control" / name).read_text())
    except FileNotFoundError:
        return None
    return content


def write_control(folder: Path, name: str, content: dict[str, Any]) -> Path:
    """Switch a fault on, atomically; the file's path, to be unlinked to switch it off."""
    path = folder / "control" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content))
    return draft.replace(path)
