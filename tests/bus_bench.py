"""The bench of the bus: one probe run by hand with its state (`ProbeBench`), or the kinds that
watch the bus run by the real runner (`Bench`), with what must hold in every case; and the platform
beside them (`Product`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Fault, Status, worst
from sentinel.core.model import Check, Finding
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import Context, Kind, bus_canary, bus_delivery, redis_server

SECRET = "hunter2-canary"
KEY = "agent_messages:agent-2"
GROUP = "group_2"
OPTIONS: dict[str, dict[str, Any]] = {
    "bus_delivery": {
        "streams": {"include": ["agent_messages:*"], "exclude": ["*:dlq"]},
        "groups": {"required": ["group_*"]},
        "deadline": "20ms",
    },
    "bus_canary": {"path": "t", "deadline": "500ms", "loss_after": "1s"},
    "redis_server": {},
}
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (bus_delivery.KIND, bus_canary.KIND, redis_server.KIND)
}


def require_facts(finding: Finding, kind: Kind) -> None:
    """What holds for every finding of a kind: labels and faults are declared, each bad verdict
    names a fault with its subject, and no command has a placeholder or a line break in it.
    """
    declared = {measurement.name: set(measurement.labels) for measurement in kind.measurements}
    for row in finding.rows:
        assert all(set(row.labels) == declared[name] for name in row.values), row
    statuses = [fault.status for fault in finding.faults]
    if finding.status in {Status.DEGRADED, Status.DOWN}:
        assert worst(statuses) is finding.status, finding
    identities = [fault.identity for fault in finding.faults]
    assert len(set(identities)) == len(identities), identities
    for fault in finding.faults:
        known = kind.fault_kinds[fault.key]
        assert set(fault.parameters) <= set(known.parameters), fault
        assert all(fault.subject.values()), fault
        assert "\n" not in fault.text, fault
        assert not any(sign in command for command in fault.cure for sign in "<>;\n"), fault
    json.dumps([finding.evidence])


def value(finding: Finding, name: str, **labels: str) -> float:
    """The one value of this measurement with these labels."""
    found = [
        row.values[name]
        for row in finding.rows
        if name in row.values and labels.items() <= row.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def fault_of(finding: Finding, key: str, **subject: str) -> Fault:
    """The one fault of this kind whose subject has these labels."""
    found = [
        fault
        for fault in finding.faults
        if fault.key == key and subject.items() <= fault.subject.items()
    ]
    assert len(found) == 1, (key, subject, finding.faults)
    return found[0]


class ProbeBench:
    """One probe of the bus on one server, with its state from run to run, and a product's client.

    `defaults` are options that hold unless a test gives others.
    """

    kind: Kind
    defaults: Mapping[str, Any] = {}
    client_type: type[RedisClient] = RedisClient

    def __init__(
        self,
        server: Any,
        make_context: Callable[..., Context],
        options: Mapping[str, Any] | None = None,
        url: str | None = None,
    ) -> None:
        self.client = self.client_type("bus", url or server.url)
        self.redis = redis.Redis(port=server.port)
        self.state = self._load(None)
        self.make_context = make_context
        self.configure(**(options or {}))

    def _load(self, document: Any) -> Any:
        assert self.kind.load_state is not None
        return self.kind.load_state(document)

    def configure(self, **options: Any) -> None:
        """Other options from now on."""
        self.options = self.kind.options.model_validate({**self.defaults, **options})

    async def run(self) -> Finding:
        """One run; what must hold of every finding and every document is required."""
        context = self.make_context({"resource": self.client}, self.state, check="delivery")
        finding = await self.kind.run(self.options, context)
        require_facts(finding, self.kind)
        json.dumps(self.state.dump())
        return finding

    def restart(self) -> None:
        """As after a restart of sentinel: what was written is read."""
        self.state = self._load(json.loads(json.dumps(self.state.dump())))


class Awake:
    """A stall guard that saw no stall, unless a test says so: a busy machine must not blind a test."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def paused(self, _since: float) -> float:
        """Seconds of standstill."""
        return self.seconds


class Bench:
    """One address, one user whose password must never show, the state of each kind between runs."""

    def __init__(
        self,
        port: int,
        user: str = "default",
        *,
        password: str = SECRET,
        timeout: float = 2.0,
        utcnow: Callable[[], datetime] = lambda: datetime.now(UTC),
        options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self._ahead = 0.0
        credentials = f"{user}:{password}@" if password else ""
        self.client = RedisClient(
            "bus", f"redis://{credentials}127.0.0.1:{port}/0", timeout=timeout, monotonic=self._now
        )
        self.options = {
            name: {**OPTIONS[name], **(options or {}).get(name, {})} for name in OPTIONS
        }
        self.guard = Awake()
        self.runner = Runner(
            clients={"bus": self.client},
            guard=self.guard,  # type: ignore[arg-type]
            metrics=Metrics(),
            utcnow=utcnow,
            monotonic=time.monotonic,
            supervised=lambda _component: None,
        )
        for name, kind in KINDS.items():
            self.runner.states[name] = kind.load_state(None)

    def _now(self) -> float:
        return time.monotonic() + self._ahead

    def forgive(self) -> None:
        """Let the back-off of our own reconnects pass."""
        self._ahead += 60

    async def run(self, name: str, timeout: float = 20.0) -> Finding:
        """One run of a kind, as the daemon does it; no secret, no error of our own, documents that
        survive JSON.
        """
        kind = KINDS[name]
        options = kind.options.model_validate(self.options[name])
        result = await self.runner.run(
            Check(name, name, "bus", 1.0, timeout, options, {"resource": "bus"}), kind
        )
        assert "sentinel's own error" not in result.finding.detail, result.finding.detail
        if name != "redis_server":
            require_facts(result.finding, kind)
        said = repr(result) + json.dumps([result.finding.evidence, result.state])
        assert SECRET not in said
        return result.finding

    async def judge(self) -> dict[str, Finding]:
        """One run of every kind."""
        return {name: await self.run(name) for name in KINDS}

    async def until_up(self, name: str) -> Finding:
        """Run until it is up again; the back-off of our own does not count."""
        end = time.monotonic() + 20
        while (finding := await self.run(name)).status is not Status.UP:
            assert time.monotonic() < end, finding
            self.forgive()
        return finding

    async def close(self) -> None:
        """End readers and connections."""
        for state in self.runner.states.values():
            await state.close()
        await self.client.close()


def statuses(findings: dict[str, Finding]) -> dict[str, str]:
    """The verdict of each kind."""
    return {name: finding.status.value for name, finding in findings.items()}


def count_descriptors() -> int:
    """Open descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@asynccontextmanager
async def opened(
    port: int, user: str = "default", *, inner: bool = False, **settings: Any
) -> AsyncIterator[Bench]:
    """A bench; at its end no task is left, no exception was dropped, and every descriptor is back.

    `inner`: another bench is open around it, so that only the outer one can tell.
    """
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: unhandled.append(context)
    )
    tasks, descriptors = asyncio.all_tasks(), count_descriptors()
    bench = Bench(port, user, **settings)
    try:
        yield bench
    finally:
        await bench.close()
    gc.collect()
    assert unhandled == []
    end = time.monotonic() + 10
    while not inner and (asyncio.all_tasks() - tasks or count_descriptors() > descriptors):
        assert time.monotonic() < end, (
            asyncio.all_tasks() - tasks,
            count_descriptors(),
            descriptors,
        )
        await asyncio.sleep(0.02)


class Product:
    """The platform's side of the bus: publishes, reads, acknowledges, directly at the server."""

    def __init__(self, port: int) -> None:
        self.redis = redis.Redis(port=port)
        if not self.redis.exists(KEY):
            self.redis.xgroup_create(KEY, GROUP, "0", mkstream=True)

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *_error: object) -> None:
        self.redis.close()

    def publish(self, count: int) -> list[bytes]:
        """Entries with one field; their ids."""
        return [self.redis.xadd(KEY, {"f": "v"}) for _ in range(count)]

    def consume(self, count: int) -> None:
        """Read and acknowledge."""
        for entry, _ in self.redis.xreadgroup(GROUP, "c", {KEY: ">"}, count=count)[0][1]:
            self.redis.xack(KEY, GROUP, entry)

    def calls(self, *commands: str) -> int:
        """How often the server ran these commands since the last reset of its statistics."""
        stats = self.redis.info("commandstats")
        return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in commands)
