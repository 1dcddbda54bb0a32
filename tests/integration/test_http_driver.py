"""The http driver against real servers: asked once, believed by the start id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sentinel.adapters.http.client import HttpClient, HttpResponse
from sentinel.core.model import Component
from sentinel.core.servers.pace import Pacer, RequestBudget
from sentinel.demo.servers import free_port
from sentinel.remediation import DriverContext, OutsideDriver
from sentinel.remediation.http import DRIVER, HttpDriverOptions, StatusRequest, observe

REQUESTS = {
    "restart": {"path": "/restart?fast=1", "json": {"reason": "sentinel"}},
    "start": {"path": "/start", "method": "PUT", "expect": [202]},
    "status": {
        "path": "/status",
        "stopped": [404],
        "running": "$.running",
        "start_id": "$.started_at",
    },
}


class Service:
    """A manager with an HTTP interface. `lose` says what becomes of the next request that acts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.started = 1
        self.running = True
        self.lose = ""
        self.code = 202

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Status, or an act."""
        if request.path == "/status":
            return web.json_response({"running": self.running, "started_at": self.started})
        text = await request.text()
        self.asked.append(
            (
                request.method,
                request.path_qs,
                dict(request.headers),
                json.loads(text) if text else None,
            )
        )
        if self.lose != "before":
            self.started, self.running = self.started + 1, request.path != "/stop"
        if self.lose:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=self.code)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[HttpClient]:
    """The service on a free port, and the client of its resource."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", service.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = HttpClient("manager", f"http://127.0.0.1:{port}", headers={"X-Key": "canary-secret"})
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def make_driver(client: HttpClient | None, requests=None, **keys) -> OutsideDriver:
    """The driver of a component behind this client."""
    document = {
        "via": "manager",
        "requests": requests or REQUESTS,
        "deadline": "60s",
        "status_deadline": "60s",
        **keys,
    }
    context = DriverContext(Path("/nowhere"), {"manager": client} if client else {})
    return DRIVER.make(Component("orders"), HttpDriverOptions.model_validate(document), context)


@pytest.fixture
async def service() -> Service:
    """A manager whose component runs."""
    return Service()


async def test_a_request_for_each_action(service):
    """Method, path, body, the key of the attempt, the secret of the resource; an expected code is
    done.
    """
    async with serving(service) as client:
        driver = make_driver(client)
        assert driver.actions == {"restart", "start"}
        outcome = await driver.restart("7/1")
        assert (outcome.word, outcome.start_id, outcome.detail) == (
            "done",
            "2",
            "restart answered with 202",
        )
        (method, path, headers, body) = service.asked[0]
        assert (method, path, body) == ("POST", "/restart?fast=1", {"reason": "sentinel"})
        assert (headers["Idempotency-Key"], headers["X-Key"]) == ("7/1", "canary-secret")
        assert headers["Content-Type"] == "application/json"
        assert (await driver.start("")).done
        assert service.asked[1][:2] == ("PUT", "/start")
        assert "Idempotency-Key" not in service.asked[1][2]
        assert "canary-secret" not in f"{outcome}{driver._manager.__dict__}"


@pytest.mark.parametrize(
    ("code", "word"),
    [(400, "failed"), (500, "failed"), (302, "failed"), (502, "done"), (504, "done")],
)
async def test_another_code(service, code, word):
    """The service's own word is a failure; a gateway's word leaves it open, and the start id tells."""
    service.code = code
    async with serving(service) as client:
        outcome = await make_driver(client).restart("7/1")
    assert outcome.word == word
    assert len(service.asked) == 1


@pytest.mark.parametrize(("lose", "word"), [("before", "unknown"), ("after", "done")])
async def test_a_lost_reply_is_not_asked_again(service, lose, word):
    """F17: sent once; a new start id says that it happened, the old one leaves it open."""
    service.lose = lose
    async with serving(service) as client:
        outcome = await make_driver(client).restart("7/1")
    assert outcome.word == word, outcome
    assert len(service.asked) == 1


async def test_without_a_status_request_a_lost_reply_stays_open(service):
    """Nothing can tell what became of it."""
    service.lose = "after"
    async with serving(service) as client:
        driver = make_driver(client, {"restart": REQUESTS["restart"]})
        outcome = await driver.restart("7/1")
        assert (outcome.word, outcome.known) == ("unknown", False)
        assert (await driver.observe()).running is None
    assert not DRIVER.observes(driver._manager._options)


async def test_a_request_that_hangs_is_unknown():
    """Past its deadline: it may have arrived."""

    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    client = HttpClient("manager", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    driver = make_driver(client, {"restart": REQUESTS["restart"]}, deadline="300ms")
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.detail) == ("unknown", "restart: no whole answer within 300 ms")
    await client.close()
    server.close()


async def test_nobody_listens():
    """No connection: certain not to have happened; and whether the component runs is unknown, not
    down.
    """
    client = HttpClient("manager", f"http://127.0.0.1:{free_port()}")
    driver = make_driver(client)
    outcome = await driver.restart("7/1")
    assert (outcome.word, outcome.known) == ("failed", True)
    assert (await driver.observe()).running is None
    await client.close()


async def test_a_spent_budget_holds_the_request_back(service):
    """What was never sent has not happened."""
    async with serving(service) as client:
        client._pacer = Pacer(RequestBudget(1, 3600.0))
        driver = make_driver(client)
        assert (await driver.observe()).running is True
        outcome = await driver.restart("7/1")
    assert (outcome.word, service.asked) == ("failed", [])
    assert "request budget spent" in outcome.detail


async def test_a_resource_that_is_gone():
    """Removed at a reload: unknown, with what to do."""
    seen = await make_driver(None).observe()
    assert (seen.running, seen.detail) == (None, "there is no resource 'manager' any more")


async def test_a_replaced_client_is_used(service):
    """A reload of the configuration makes new clients: the driver takes the present one."""
    async with serving(service) as client:
        driver = make_driver(client)
        clients = driver._manager._context.clients
        clients["manager"] = HttpClient("manager", client.base_url)
        assert (await driver.observe()).running is True
        await clients["manager"].close()
        assert client._connections.opened == 0


STATUS = StatusRequest(path="/s", expect=[200], stopped=[404], running="$.up", start_id="$.id")


@pytest.mark.parametrize(
    ("code", "body", "running", "start_id"),
    [
        (200, '{"up": true, "id": "a"}', True, "a"),
        (200, '{"up": true, "id": 17}', True, "17"),
        (200, '{"up": true, "id": "' + "x" * 900 + '"}', True, "x" * 200),
        (200, '{"up": true}', True, ""),
        (200, '{"up": false}', False, ""),
        (200, '{"up": "yes"}', None, ""),
        (200, '{"up": 1}', None, ""),
        (200, "{}", None, ""),
        (200, "[", None, ""),
        (200, "[" * 100_000, None, ""),
        (404, "", False, ""),
        (500, '{"up": true}', None, ""),
        (503, '{"up": false}', None, ""),
    ],
)
def test_status(code, body, running, start_id):
    """Expected code and `true` runs, `false` or a named code does not; everything else tells
    nothing.
    """
    seen = observe(STATUS, HttpResponse(code, {}, body.encode(), 0.1, False))
    assert (seen.running, seen.start_id) == (running, start_id)


def test_status_by_code_alone():
    """Without paths the body is not looked at."""
    plain = StatusRequest(path="/s")
    assert observe(plain, HttpResponse(200, {}, b"\xff", 0.1, False)).running is True


@pytest.mark.parametrize(
    "requests",
    [
        {},
        {"restart": {"path": "restart"}},
        {"restart": {"path": "/a b"}},
        {"restart": {"path": "/", "method": "GET"}},
        {"restart": {"path": "/", "expect": []}},
        {"restart": {"path": "/"}, "status": {"path": "/", "start_id": "$["}},
        {"restart": {"path": "/", "header": {}}},
    ],
)
def test_requests_that_are_refused_at_load(requests):
    """A path begins with a slash, an act is no GET, a JSON path is one."""
    with pytest.raises(ValueError, match="requests"):
        HttpDriverOptions.model_validate({"requests": requests})
