"""How wrong a reported latency is while the loop is busy, beside a task that awaits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from benchmarks.harness import Benchmark, Report, Samples, apart
from sentinel.adapters.http.client import HttpClient
from sentinel.core.fault import Status
from sentinel.core.model import Check
from sentinel.engine.clock import SteadyClock
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes.http import KIND

ASKED = 300
TOOK = 0.01
"""Seconds for which the server thinks, at least; what it really took it says afterwards."""
TURN, SHARE = 0.005, 0.6
"""Seconds of a turn of the load, and the part of it in which the loop stands."""
GOAL = 0.6
"""ms"""


class _Thinker(asyncio.Protocol):
    """Answers each request late, and `/took` with how late it was."""

    took: list[str] = []  # noqa: RUF012 - of the process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if b"/took" in data:
            self._answer("\n".join(self.took))
        else:
            came = time.perf_counter()
            asyncio.get_running_loop().call_later(TOOK, self._think, came)

    def _think(self, came: float) -> None:
        self.took.append(str(time.perf_counter() - came))
        self._answer("ok")

    def _answer(self, text: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n"
        self._transport.write((head + text).encode())


async def _listen() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Thinker, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def _serve() -> Iterator[tuple[int, int]]:
    """Port and process of a server, until the block ends."""
    argv = [sys.executable, "-m", "benchmarks.latency_error"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def run(report: Report) -> None:
    """At rest and under load, ours and the plain way, each with a server of its own."""
    for loaded in (False, True):
        with _serve() as (port, pid), apart(pid):
            ours = asyncio.run(_measure(port, loaded=loaded))
        with _serve() as (port, pid), apart(pid):
            plain = asyncio.run(_await_plainly(port, loaded=loaded))
        _describe(report, f"{100 * SHARE * loaded:.0f} % of the loop in use", ours, plain, loaded)
    report.notes.append(
        f"{ASKED} requests, one after another, to a server that answers after {1000 * TOOK:g} ms and says itself how"
        f" long it took; the error is what the check reports beyond that, loopback included. Load: the loop stands for"
        f" {1000 * TURN * SHARE:g} of each {1000 * TURN:g} ms. Plainly: the time around a request by asyncio's streams."
    )


async def _stand() -> None:
    while True:
        until = time.perf_counter() + TURN * SHARE
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(TURN * (1 - SHARE))


async def _measure(port: int, *, loaded: bool) -> Samples:
    """Errors of the check's own figure, ms."""
    clock, metrics = SteadyClock(), Metrics()
    client = HttpClient("web", f"http://127.0.0.1:{port}")
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    runner = Runner(
        {"web": client}, guard, metrics, clock.utcnow, clock.monotonic, lambda _name: None
    )
    options = KIND.options.model_validate({"path": "/"})
    check = Check("web", KIND.name, "web", 10.0, 5.0, options, {"resource": "web"})
    if KIND.load_state is not None:
        runner.states[check.name] = KIND.load_state(None)
    load = asyncio.create_task(_stand()) if loaded else None
    found = []
    for _ in range(ASKED):
        finding = (await runner.run(check, KIND)).finding
        if finding.status is not Status.UP:
            raise RuntimeError(finding.detail)
        found += [row.values["seconds"] for row in finding.rows if "seconds" in row.values]
    if load is not None:
        load.cancel()
    took = (await client.request("GET", "/took", timeout=5)).body.decode()
    await client.close()
    return _compare(found, took)


async def _await_plainly(port: int, *, loaded: bool) -> Samples:
    load, found = asyncio.create_task(_stand()) if loaded else None, []
    for _ in range(ASKED):
        begin = time.perf_counter()
        await _ask(port, "/")
        found.append(time.perf_counter() - begin)
    if load is not None:
        load.cancel()
    return _compare(found, (await _ask(port, "/took")).decode())


async def _ask(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.rpartition(b"Content-Length: ")[2])
    body = await reader.readexactly(length)
    writer.close()
    return body


def _compare(found: Sequence[object], took: str) -> Samples:
    pairs = zip(found, took.split(), strict=True)
    return Samples.of([1000 * (float(cast("float", each)) - float(true)) for each, true in pairs])


def _describe(report: Report, when: str, ours: Samples, plain: Samples, loaded: bool) -> None:
    met, goal = (ours.quantile(0.99) <= GOAL, f"≤ {GOAL} ms") if loaded else (None, "")
    for who, samples, mark, aim in (("http", ours, met, goal), ("plainly", plain, None, "")):
        report.add(
            f"{when}: error of {who}, p99",
            f"{samples.quantile(0.99):.2f} ms",
            samples.spread("ms", 2),
            aim,
            mark,
        )


BENCHMARK = Benchmark("the error of a reported latency", run)
"""P4."""

if __name__ == "__main__":
    asyncio.run(_listen())
