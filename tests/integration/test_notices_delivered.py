"""Notices at real receivers: an Alertmanager, HTTP servers that are down, refuse, lose or never answer."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, RestartPolicy, Result
from sentinel.engine.assembly import Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.recorder import Recorder
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore
from tests.conftest import require_tool
from tests.unit.engine.conftest import Clock
from tests.unit.engine.house import AT_ONCE
from tests.unit.engine.notices import Desk, Real, Receiver, make_dispatcher
from tests.unit.notify.rig import HttpSink, http_sink


class Now:
    """The clock of the machine."""

    now = 0.0

    def utcnow(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Now."""
        return time.monotonic()


@pytest.fixture
def metrics() -> Metrics:
    """Fresh metrics."""
    return Metrics()


@pytest.fixture
def clock() -> Clock:
    """A clock in the hands of the test."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    made = SqliteStore(tmp_path, owner=True)
    yield made
    made.close()


@pytest.fixture
def recorder(store, metrics) -> Iterator[Recorder]:
    """A recorder on it."""
    made = Recorder(store, metrics, lambda: datetime.now(UTC))
    yield made
    made.close()


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something real."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


# -- HTTP receivers -------------------------------------------------------------------------------


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    """An HTTP receiver."""
    async with http_sink() as made:
        yield made


def hook(url: str, patience: float = 5.0) -> Real:
    """A webhook there."""
    return Real("webhook", patience, address=url, secret="s3cret")


def keys(sink: HttpSink) -> list[str]:
    """Of the notices that came in, as often as they did."""
    return [json.loads(body)["key"] for body in sink.posts]


async def test_a_receiver_that_is_down_for_five_minutes(store, recorder, metrics, clock) -> None:
    """Nothing is lost, nothing is doubled, and it is not hammered meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    desk = Desk(store, recorder, metrics, clock, hook=hook(f"http://127.0.0.1:{port}/"))
    await desk.open()
    incident = await desk.fall("bus")
    await desk.turn()
    for _ in range(60):
        await desk.after(5.0)
    await desk.recover(incident)
    tries = metrics.notifications.labels("hook", "again").value
    assert 5 <= tries <= 12
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append((await request.json())["key"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    for _ in range(70):
        await desk.after(5.0)
    assert got == [f"{incident.id}/opened/1@hook", f"{incident.id}/recovered/2@hook"]
    await desk.close()
    await runner.cleanup()


async def test_a_receiver_that_asks_for_rest(store, recorder, metrics, clock, sink) -> None:
    """It is asked again when it said, and not before."""
    sink.answer = lambda _: web.Response(status=429, headers={"Retry-After": "240"})
    desk = Desk(store, recorder, metrics, clock, hook=hook(sink.url))
    await desk.open()
    incident = await desk.fall("bus")
    await desk.turn()
    sink.answer = lambda _: web.Response()
    for _ in range(23):
        await desk.after(10.0)
    assert len(sink.posts) == 1
    await desk.close()
    # The client keeps a clock of its own, which the test does not move: another sentinel goes on.
    await desk.open()
    await desk.turn()
    await desk.after(11.0)
    await until(lambda: len(sink.posts) == 2)
    assert set(keys(sink)) == {f"{incident.id}/opened/1@hook"}
    await desk.close()


async def test_a_receiver_that_loses_what_it_took(store, recorder, metrics, clock, sink) -> None:
    """Who says 200 has it: it is not told again, and what comes next arrives."""
    desk = Desk(store, recorder, metrics, clock, hook=hook(sink.url))
    await desk.open()
    incident = await desk.fall("bus")
    for _ in range(20):
        await desk.after(30.0)
    assert keys(sink) == [f"{incident.id}/opened/1@hook"]
    await desk.close()


async def test_a_receiver_that_never_answers(store, recorder, metrics, clock, sink) -> None:
    """It has the notice, or gets it once more when it answers again; nothing is doubled beyond."""
    frozen = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await frozen.wait()
        return web.Response()

    sink.answer = hang
    desk = Desk(store, recorder, metrics, clock, hook=hook(sink.url, patience=0.1))
    await desk.open()
    incident = await desk.fall("bus")
    await desk.turn()
    for _ in range(12):
        await desk.after(301.0)
    assert keys(sink) == [f"{incident.id}/opened/1@hook"]
    assert len(sink.got) > 5  # it was asked for a sign of life, without a notice
    sink.answer = lambda _: web.Response()
    desk.dispatcher.couriers["hook"].room.patience = 5.0
    await desk.after(301.0)
    assert keys(sink) == [f"{incident.id}/opened/1@hook"] * 2
    assert store.take_orders() == []
    await desk.close()


# -- Alertmanager ---------------------------------------------------------------------------------


class Alertmanager:
    """A real one, alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it."""
        file = self.folder / "alertmanager.yml"
        file.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        program = require_tool("prometheus-alertmanager")
        self.process = subprocess.Popen(
            [
                program, f"--config.file={file}", f"--storage.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "alertmanager.log").open("w"),
        )  # fmt: skip

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)

    async def read(self, **query: str) -> list[dict]:
        """Its alerts."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v2/alerts", params=query) as answer,
        ):
            found: list[dict] = await answer.json()
            return found

    async def is_up(self) -> bool:
        """Whether it answers."""
        try:
            await self.read()
        except aiohttp.ClientError:
            return False
        return True


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    """An Alertmanager of this test's own."""
    made = Alertmanager(tmp_path)
    made.start()
    await until(made.is_up)
    yield made
    made.stop()


async def test_alertmanager_keeps_an_alert_while_sentinel_renews_it(
    store, recorder, metrics, alertmanager
) -> None:
    """Its lease is lost with sentinel, and back with it; its end has the name of its beginning."""
    given = {"members": [alertmanager.url], "lease": "3s", "labels": {"team": "sre"}}
    desk = Desk(store, recorder, metrics, Now(), alerts=Real("alertmanager", **given))
    await desk.open()
    incident = await desk.fall("bus", Status.DEGRADED)
    await desk.dispatcher.drain()
    seen: set[tuple[str, str]] = set()

    async def renewed() -> bool:
        seen.update(
            (each["labels"]["severity"], each["endsAt"]) for each in await alertmanager.read()
        )
        return len(seen) > 1

    await until(renewed)
    assert {severity for severity, _ in seen} == {"ticket"}
    await desk.close()  # as if it were killed

    async def gone() -> bool:
        return not await alertmanager.read()

    await until(gone)
    await desk.open()
    await until(alertmanager.read)
    worse = await desk.change(  # a page: it has another name now
        type(incident)(
            **{**{n: getattr(incident, n) for n in incident.__slots__}, "status": Status.DOWN}
        )
    )
    await desk.dispatcher.drain()
    await desk.dispatcher.drain()

    async def is_page() -> bool:
        return [each["labels"]["severity"] for each in await alertmanager.read()] == ["page"]

    await until(is_page)
    await desk.recover(worse)
    await desk.dispatcher.drain()
    await until(gone)
    await desk.close()


async def test_alertmanager_that_has_lost_everything_hears_of_it_again(
    store, recorder, metrics, alertmanager
) -> None:
    """It answered 200 and came back with an empty disk: the next renewal tells what is not over."""
    given = {"members": [alertmanager.url], "lease": "2s"}
    desk = Desk(store, recorder, metrics, Now(), alerts=Real("alertmanager", **given))
    await desk.open()
    await desk.fall("bus")
    await desk.dispatcher.drain()
    await until(alertmanager.read)
    alertmanager.stop()
    shutil.rmtree(alertmanager.folder / "data")
    alertmanager.start()
    await until(alertmanager.is_up)
    await until(alertmanager.read)
    assert metrics.notifications.labels("alerts", "delivered").value == 1
    await desk.close()


# -- one page for one dead dependency -------------------------------------------------------------


async def test_200_dependents_of_one_dead_dependency_are_one_page(
    tmp_path, store, metrics, clock
) -> None:
    """Their checks come before and after that of the cause; the notice has their number."""
    restraint = Restraint(enabled=False)
    engine = make_engine(Surroundings(store, metrics, clock, tmp_path, restraint))
    picture, receiver = engine.picture, Receiver()

    async def run(*_):
        raise AssertionError

    kind = Kind("plain", "", Options, run, ())
    policy = RestartPolicy(close_after=60.0)
    names = [f"api-{n}" for n in range(200)]
    parts = [Component("bus", restart=policy)]
    parts += [Component(name, depends_on=("bus",), restart=policy) for name in names]
    for part in parts:
        picture.add_component(part, None)
        check = Check(f"{part.name}-check", "plain", part.name, 2.0, 5.0, None, health=AT_ONCE)
        picture.add_check(check, kind, None)
    picture.replace_components(parts)
    dispatcher = make_dispatcher(store, engine.recorder, metrics, clock, None, picture)
    desk = Desk.__new__(Desk)
    desk.store, desk.recorder, desk.metrics, desk.clock = store, engine.recorder, metrics, clock
    desk.picture, desk.dispatcher, desk.receivers = picture, dispatcher, {"rig": receiver}
    desk.notifier = dispatcher.notifier
    desk.notifier.rules = type(desk.notifier.rules)(everybody=("rig",))
    await desk.open()

    async def see(name: str, status: Status) -> None:
        finding = Finding(status, str(status))
        result = Result(f"{name}-check", finding, clock.utcnow(), 0.01, "0" * 32)
        await engine.pipeline.take(result)

    for part in parts:
        await see(part.name, Status.UP)
    clock.now += 10
    for name in [*names[:100], "bus", *names[100:]]:
        clock.now += 0.01
        await see(name, Status.DOWN)
    await desk.turn()
    for _ in range(4):
        clock.now += 10
        for name in ("bus", *names[:3]):
            await see(name, Status.DOWN)
        await desk.turn()
    assert receiver.told == ["bus opened"]
    assert "needed by 200 components, 200 of them bad by now" in receiver.sent[0].text
    assert receiver.sent[0].dependants == 200
    for part in parts[:4]:
        clock.now += 1
        await see(part.name, Status.UP)
    await desk.turn()
    assert receiver.told == ["bus opened", "bus recovered"]
    await desk.close()
    engine.recorder.close()
