"""Real servers for every test that needs one: Valkey 9 and PostgreSQL 18 from wheels, Redis 7.0 from Debian."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sentinel.demo.servers import PostgresServer, ValkeyServer


def require_tool(name: str) -> str:
    """Path of a Debian program; missing is a failure in CI and a skip with its reason elsewhere."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed (.ci/run installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


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
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL 18, shared by the session: make your own database or schema, don't stop it."""
    server = PostgresServer(server_folder / "postgres")
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
