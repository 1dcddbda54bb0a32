"""Reliability catalogue, A2: the verdict on a frozen server comes within the timeout ± 10 %.

Counted on a clock that stands still while anything happens and jumps to the next timer when nothing
does: the machine may be as busy as it likes.
"""

from __future__ import annotations

import asyncio
import selectors
import signal
from datetime import UTC, datetime

import pytest

from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.core.model import Check
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import bus_delivery, bus_pending, redis_server
from tests.bus_bench import OPTIONS, Awake, Product

KINDS = {kind.name: kind for kind in (bus_delivery.KIND, bus_pending.KIND, redis_server.KIND)}


class JumpingSelector(selectors.DefaultSelector):
    """Once `frozen`, nobody is waited for: what is not there at once will never come."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.jumped = False, 0.0

    def select(self, timeout=None):
        if not self.frozen or timeout is None:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.jumped += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its time is the sum of the jumps once the world is frozen."""

    def __init__(self) -> None:
        self.selector = JumpingSelector()
        super().__init__(self.selector)
        self.began = 0.0

    def time(self) -> float:
        return self.began + self.selector.jumped if self.selector.frozen else super().time()

    def freeze(self) -> None:
        self.began = super().time()
        self.selector.frozen = True


async def judge_frozen(server, name: str, timeout: float):
    """The verdict on a server that is stopped between two runs, and the seconds it took."""
    kind, client = KINDS[name], RedisClient("bus", server.url, timeout=timeout)
    runner = Runner(
        {"bus": client},
        Awake(),  # type: ignore[arg-type]
        Metrics(),
        lambda: datetime.now(UTC),
        asyncio.get_running_loop().time,
        lambda _component: None,
    )
    if kind.load_state is not None:
        runner.states[name] = kind.load_state(None)
    options = kind.options.model_validate(
        OPTIONS.get(name) or {"streams": {"include": ["agent_messages:*"]}}
        if name != "redis_server"
        else {}
    )
    check = Check(name, name, "bus", 1.0, 60.0, options, {"resource": "bus"})
    assert "in time" not in (await runner.run(check, kind)).finding.detail
    loop = asyncio.get_running_loop()
    server.process.send_signal(signal.SIGSTOP)
    try:
        loop.freeze()
        result = await runner.run(check, kind)
        took = loop.time() - loop.began
    finally:
        server.process.send_signal(signal.SIGCONT)
        await client.close()
    return result.finding, took


@pytest.mark.parametrize("timeout", [0.5, 3.0])
@pytest.mark.parametrize("name", KINDS)
def test_a2_the_verdict_on_a_frozen_server_comes_within_its_timeout(own_valkey, name, timeout):
    """A2: down, and the timeout of the resource alone says when."""
    with Product(own_valkey.port), asyncio.Runner(loop_factory=JumpingLoop) as runner:
        finding, took = runner.run(judge_frozen(own_valkey, name, timeout))
    assert (finding.status, "no answer in time" in finding.detail) == (Status.DOWN, True), finding
    assert timeout * 0.9 <= took <= timeout * 1.1
