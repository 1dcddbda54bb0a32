"""The load on the demo platform: `python -m sentinel.demo.load --rate 20`.

Creates tasks and flows for both tenants through the API, `rate` tasks a second on average with
random gaps, and half as many messages from agent to agent straight on the bus. On SIGTERM it stops
at once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import time
from typing import Any

import redis

from sentinel.demo.bus import AGENTS, HEARTBEATS, Publisher, envelope, stream_of
from sentinel.demo.component import Backoff, Frame, Stop
from sentinel.demo.ledger import Ledger

_CAPABILITIES = sorted({part for parts in AGENTS.values() for part in parts})
_TASKS_PER_ROUND = 4
_STEPS_PER_ROUND = 3


class Gate:
    """Closed for an exponentially growing time after each failure."""

    def __init__(self) -> None:
        self._backoff, self._opens = Backoff(), 0.0

    def is_open(self) -> bool:
        """Whether to try now."""
        return time.monotonic() >= self._opens

    def passed(self) -> None:
        """It worked."""
        self._backoff.reset()

    def failed(self) -> None:
        """It did not: stay away for a while."""
        self._opens = time.monotonic() + self._backoff.next()


class Load:
    """Steps of load; what can't be done now is left out, never caught up."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._publisher = Publisher(frame.redis(), Ledger(frame.folder, frame.name))
        self._tokens = {
            os.environ[f"DEMO_TENANT_{name}"]: os.environ[f"DEMO_TOKEN_{name}"] for name in "AB"
        }
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", int(os.environ["DEMO_API_PORT"]), timeout=5
        )
        self._api, self._bus = Gate(), Gate()

    def step(self, number: int) -> None:
        """One request for work and two messages a round."""
        if self._api.is_open():
            self._ask(number)
        if number % _STEPS_PER_ROUND and self._bus.is_open():
            self._chat()

    def _ask(self, number: int) -> None:
        tenant = sorted(self._frame.tenants)[number % 2]
        if number % _STEPS_PER_ROUND:
            path, body = "/api/tasks", _task(number)
        else:
            path, body = (
                "/api/flows",
                {"flow_type": "delivery", "tasks": [_task(number), _task(number + 1)]},
            )
        try:
            status = self._post(path, tenant, body)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            status = 0
        if status == http.client.CREATED:
            self._api.passed()
        else:
            self._api.failed()

    def _post(self, path: str, tenant: str, body: dict[str, Any]) -> int:
        headers = {"Authorization": f"Bearer {self._tokens[tenant]}", "X-Tenant-Id": tenant}
        headers["Content-Type"] = "application/json"
        self._connection.request("POST", path, json.dumps(body), headers)
        response = self._connection.getresponse()
        response.read()
        return response.status

    def _chat(self) -> None:
        sender, receiver = random.sample(sorted(AGENTS), 2)
        message = envelope("chat", sender, receiver, {"text": "status?", "nonce": random.random()})  # noqa: S311
        try:
            self._publisher.publish(stream_of(receiver), [message])
            self._bus.passed()
        except redis.RedisError:
            self._bus.failed()


def _task(number: int) -> dict[str, Any]:
    required = [_CAPABILITIES[number % len(_CAPABILITIES)]]
    return {"type": "report", "required_capabilities": required, "payload": {"number": number}}


def wait_for_agents(frame: Frame, stop: Stop) -> None:
    """Nobody opens the doors before the staff is there: begin when every agent's heart beats (at
    most 15 s).
    """
    deadline = time.monotonic() + 15
    while not stop and time.monotonic() < deadline:
        try:
            with frame.redis() as client:
                if client.zcard(HEARTBEATS) >= len(AGENTS):
                    stop.sleep(1.0)
                    return
        except redis.RedisError:
            pass
        stop.sleep(0.2)


def main() -> int:
    """Run the load."""
    parser = argparse.ArgumentParser(description="Load on the demo platform")
    parser.add_argument("--rate", type=float, default=20.0, help="tasks a second")
    rate = parser.parse_args().rate
    stop = Stop()
    frame = Frame("load")
    wait_for_agents(frame, stop)
    (frame.folder / "control" / "no-canaries").unlink(missing_ok=True)
    load = Load(frame)
    number = 0
    while not stop:
        load.step(number)
        number += 1
        stop.sleep(random.expovariate(rate * _STEPS_PER_ROUND / _TASKS_PER_ROUND))
    return 0


if __name__ == "__main__":
    sys.exit(main())
