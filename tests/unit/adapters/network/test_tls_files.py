"""Files of certificates: no pipe and no device stands the daemon still or fills its memory."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.network.tls import MAX_FILE
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.errors import NotMeasurable


@pytest.fixture(params=["pipe", "device", "folder", "huge"])
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no file of certificates."""
    path = tmp_path / request.param
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        return Path("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(MAX_FILE + 1)
    return path


async def ask(client: object, system: str) -> None:
    if isinstance(client, HttpClient):
        await client.request("GET", "/", timeout=3)
    elif isinstance(client, RedisClient):
        await client.call("PING")
    elif isinstance(client, PostgresClient):
        await client.query("select 1")


CLIENTS = {
    "http ca_file": lambda path: HttpClient("x", "https://127.0.0.1:9", ca_file=str(path)),
    "http certificate_file": lambda path: HttpClient(
        "x", "https://127.0.0.1:9", certificate_file=str(path)
    ),
    "redis ssl_ca_certs": lambda path: RedisClient(
        "x", f"rediss://127.0.0.1:9/0?ssl_ca_certs={path}"
    ),
    "postgres sslrootcert": lambda path: PostgresClient(
        "x", f"postgresql://a@127.0.0.1:9/b?sslmode=verify-full&sslrootcert={path}"
    ),
}


@pytest.mark.parametrize("which", CLIENTS)
async def test_what_is_no_file_is_ours(which: str, bad: Path) -> None:
    """Unknown, with its name, at once, and the loop goes on meanwhile."""
    client = CLIENTS[which](bad)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    with pytest.raises(NotMeasurable) as refused:
        await ask(client, which)
    ticking.cancel()
    assert bad.name in refused.value.message
    assert "is no file" in refused.value.message or "larger" in refused.value.message
    assert time.monotonic() - began < 5
    assert ticks
    await client.close()
