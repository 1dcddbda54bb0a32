"""Hostile answers of each foreign system through the real kinds: HOSTILE_SEED replays a run.

No traceback, no error of our own, no hang over the deadline, no false "down", bounded memory.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import UNREACHABLE, Status
from sentinel.core.model import Check, Result
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import (
    Kind,
    bus_canary,
    bus_delivery,
    bus_pending,
    http,
    postgres,
    redis_server,
    registry,
    task_assignment,
)
from tests.hostile import Script, greet_postgres, make_http, make_postgres, serve
from tests.hostile_redis import greet_redis, make_redis

DEADLINE = 0.6
SLACK = 10.0
"""Others of this process, and of a busy machine, have their turns: a hang is longer."""
AT_ONCE, ENDLESS_AT_ONCE = 25, 2
MOST_MEMORY = 300 << 20
"""What a run may take beside what the process has: 64 MiB of each reply without end, and what is read."""

KINDS: dict[str, list[tuple[Kind, dict[str, Any]]]] = {
    "redis": [
        (redis_server.KIND, {}),
        (bus_delivery.KIND, {}),
        (bus_pending.KIND, {}),
        (registry.KIND, {"heartbeats": {"key": "beats"}, "consumers": {"streams": "agent:*"}}),
        (bus_canary.KIND, {}),
        (registry.KIND, {"heartbeats": {"hash": "beats", "field": "at"}}),
    ],
    "http": [
        (
            http.KIND,
            {
                "redirects": 3,
                "contains": "ok",
                "assertions": [
                    {"path": "$.status", "matches": r"(\w+\s?)*$"},
                    {"path": "$..status", "min": 1},
                    {"path": "$..*..*"},
                ],
            },
        ),
    ],
    "postgres": [(postgres.KIND, {}), (registry.KIND, {}), (task_assignment.KIND, {})],
}


def make_client(system: str, port: int) -> Any:
    if system == "redis":
        return RedisClient("target", f"redis://127.0.0.1:{port}/0", timeout=0.4)
    if system == "http":
        return HttpClient("target", f"http://127.0.0.1:{port}")
    return PostgresClient(
        "target",
        f"postgresql://watch:pw@127.0.0.1:{port}/shop",
        connect_timeout=0.4,
        statement_timeout=0.3,
        grace=0.1,
    )


ROLES = {"redis": ("resource", "bus"), "http": ("resource",), "postgres": ("resource", "database")}
GREETINGS: dict[str, Callable[[random.Random], Callable[[bytes], bytes]]] = {
    "redis": greet_redis,
    "postgres": greet_postgres,
    "http": lambda _draw: lambda _request: b"",
}


def make_runner(client: Any) -> Runner:
    metrics, utcnow = Metrics(), lambda: datetime.now(UTC)
    guard = PauseGuard(time.monotonic, utcnow, metrics)
    return Runner({"target": client}, guard, metrics, utcnow, time.monotonic, lambda _name: None)


async def look(system: str, script: Script, which: int, faults: list[str]) -> None:
    """Two runs of a kind against a server that follows the script."""
    draw = random.Random(script.name)
    kind, document = KINDS[system][which % len(KINDS[system])]
    async with serve(script, GREETINGS[system](draw)) as port:
        client = make_client(system, port)
        roles = {role.rstrip("?"): "target" for role in kind.resources if role in ROLES[system]}
        runner = make_runner(client)
        runner.states["c"] = kind.load_state() if kind.load_state else None
        options = kind.options.model_validate(document)
        check = Check("c", kind.name, "part", 10.0, DEADLINE, options, roles)
        for _ in range(2):
            began = time.monotonic()
            result = await runner.run(check, kind)
            took = time.monotonic() - began
            faults += [f"{script.name} {kind.name}: {each}" for each in judge(script, result, took)]
        faults += [f"{script.name} {kind.name}: raised {each}" for each in runner.logged.values()]
        await client.close()
        if runner.states["c"] is not None:
            await runner.states["c"].close()


def judge(script: Script, result: Result, took: float) -> Iterator[str]:
    """What is wrong with the verdict on a hostile answer."""
    finding = result.finding
    if took > DEADLINE + SLACK:
        yield f"took {took:.1f} s"
    if finding.status is Status.UP and script.name.startswith("postgres"):
        yield "called up"
    told = {fault.key for fault in finding.faults if fault.status is Status.DOWN}
    if finding.status is Status.DOWN and not told <= {UNREACHABLE, *SAID}:
        yield f"down by {sorted(told)}: {finding.detail[:200]}"


SAID = {"wrong_status", "wrong_body", "wrong_value"}
"""What an answer that can be read says: the status 500 is down, and so is a body that is no JSON."""


async def assault(system: str, scripts: Iterator[Script]) -> list[str]:
    """All of them, some at a time; what went wrong."""
    faults: list[str] = []
    gate, endless = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(ENDLESS_AT_ONCE)
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            began = time.process_time()
            await asyncio.sleep(0.05)
            worst = max(worst, time.process_time() - began)

    async def one(n: int, script: Script) -> None:
        async with endless if script.forever else nullcontext(), gate:
            await look(system, script, n, faults)

    ticking = asyncio.create_task(tick())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    await asyncio.gather(*(one(n, script) for n, script in enumerate(scripts)))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
    ticking.cancel()
    if grown > MOST_MEMORY:
        faults.append(f"took {grown >> 20} MiB")
    if worst > 3:
        faults.append(f"the loop computed for {worst:.1f} s without a pause")
    return faults


MAKE = {"redis": make_redis, "http": make_http, "postgres": make_postgres}


async def run(system: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("HOSTILE_SEED") or random.SystemRandom().randrange(1 << 32))
    faults = await assault(system, MAKE[system](seed, count))
    said = "".join(capfd.readouterr())
    sys.stdout.write(f"HOSTILE_SEED={seed}: {count} hostile answers of {system}\n")
    assert not faults, (seed, len(faults), faults[:20])
    assert "Traceback" not in said, (seed, said[-3000:])


@pytest.mark.parametrize("system", MAKE)
async def test_hostile_answers(system: str, capfd: pytest.CaptureFixture[str]) -> None:
    await run(system, 100, capfd)


@pytest.mark.nightly
@pytest.mark.parametrize("system", MAKE)
async def test_hostile_answers_for_long(system: str, capfd: pytest.CaptureFixture[str]) -> None:
    await run(system, 3000, capfd)
