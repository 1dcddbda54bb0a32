"""A daemon that tells people, and every command about it: with it, and without one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sentinel.app import Daemon
from sentinel.cli import main
from sentinel.config import load
from tests.unit.notify.rig import HttpSink, http_sink

CONFIGURATION = """
platform: trial
listen: 127.0.0.1:0
state: {folder}/state
components: {{web: {{restart: {{close_after: 1s}}}}, other: {{}}}}
channels:
  hook: {{kind: webhook, address: "{url}/hook", secret: "${{HOOK_KEY}}"}}
  alive: {{kind: ping, address: "${{ALIVE}}", every: 1s}}
routes:
  - {{channels: [hook]}}
checks:
  - {{name: web, kind: tcp, component: web, every: 200ms, address: "127.0.0.1:{port}", failures: 1,
      recoveries: 1, recovery_time: 0s}}
  - {{name: other, kind: tcp, component: other, every: 10s, address: "127.0.0.1:{port}"}}
"""

WORKED_UPON = """
objectives:
  - {name: web-up, check: web, sli: up, target: 90%, window: 1h}
  - {name: other-up, check: other, sli: up, target: 90%, window: 1h}
maintenance:
  - {name: move, components: [web], reason: new racks, from: "2020-01-01T00:00Z", until: "2099-01-01T00:00Z"}
"""


class Trial:
    """A daemon, a receiver, and a port that nobody listens on at first."""

    def __init__(self, folder: Path, sink: HttpSink) -> None:
        self.folder, self.sink = folder, sink
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = folder / "config"
        self.config.mkdir()
        text = CONFIGURATION.format(folder=folder, url=sink.url, port=self.port)
        (self.config / "a.yaml").write_text(text)

    async def start(self) -> None:
        """Begin to watch."""
        self.daemon = Daemon(load(self.config))
        await self.daemon.start()

    async def run(self, *words: str) -> int:
        """A command, as another process would give it."""
        return await asyncio.to_thread(main, ["--config", str(self.config), *words])

    @property
    def told(self) -> list[str]:
        """What the webhook was told of the component."""
        documents = [json.loads(body) for _, path, _, body in self.sink.got if path == "/hook"]
        return [each["event"] for each in documents if each["component"] == "web"]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something real."""
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def trial(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trial]:
    """Everything, and its end."""
    async with http_sink() as sink:
        monkeypatch.setenv("HOOK_KEY", "k3y-of-the-hook")
        monkeypatch.setenv("ALIVE", f"{sink.url}/alive")
        yield Trial(folder, sink)


async def test_people_are_told_and_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told, acknowledged, recovered; silences and maintenance begin and end by command."""
    async with trial(tmp_path, monkeypatch) as given:
        assert await given.run("notify", "test", "hook") == 0  # without a daemon
        assert "delivered" in capsys.readouterr().out
        assert await given.run("notify", "test", "hok") == 64
        assert "did you mean `hook`?" in capsys.readouterr().err
        await given.start()
        try:
            await given.until(lambda: given.told == ["opened"])
            await given.until(lambda: any(path == "/alive" for _, path, _, _ in given.sink.got))
            incident = given.daemon.engine.picture.incidents["web"].id
            assert await given.run("incident", "ack", incident, "--reason", "mine") == 0
            await given.until(lambda: given.told == ["opened", "acknowledged"])
            assert await given.run("incident", "ack", "no-such") == 64

            assert await given.run("notify", "test", "hook") == 0  # by the daemon
            assert await given.run("notify", "list") == 0
            shown = capsys.readouterr().out
            assert "hook: delivered" in shown
            assert "webhook" in shown

            wrong = ("silence", "add", "component=other", "--for", "1h", "--reason", "known")
            assert await given.run(*wrong) == 64
            words = ("silence", "add", "component=w?b", "--for", "1h", "--reason", "known")
            assert await given.run(*words) == 0
            capsys.readouterr()
            assert await given.run("silence", "list", "--json") == 0
            (silence,) = json.loads(capsys.readouterr().out)
            assert silence["matchers"] == {"component": ["w?b"]}
            assert await given.run("status") in {1, 2, 3}
            shown = capsys.readouterr().out
            assert "silence of component=w?b until" in shown
            assert "sees to it" in shown
            assert await given.run("silence", "end", silence["id"]) == 0
            assert await given.run("silence", "end", silence["id"]) == 64
            assert (
                await given.run("silence", "add", "colour=red", "--for", "1h", "--reason", "x")
                == 64
            )
            assert (
                await given.run("silence", "add", "component", "--for", "1h", "--reason", "x") == 64
            )
            assert await given.run("silence", "add", "check=a", "--for", "1", "--reason", "x") == 64

            words = ("maintenance", "add", "web", "--for", "1h", "--name", "m", "--reason", "move")
            assert await given.run(*words) == 0
            assert await given.run("status") in {1, 2, 3}
            assert "maintenance of web until" in capsys.readouterr().out
            async with aiohttp.ClientSession() as session:
                page = await (await session.get(f"{given.daemon.url}/")).text()
                figures = await (await session.get(f"{given.daemon.url}/metrics")).text()
            assert "maintenance of web until" in page
            assert ">hook<" in page
            assert 'sentinel_maintenance{window="m"} 1' in figures
            assert 'sentinel_notifications_total{channel="hook",outcome="delivered"} 2' in figures
            with socket.create_server(("127.0.0.1", given.port)):
                await given.until(lambda: given.told[-1:] == ["recovered"])
            assert await given.run("maintenance", "list") == 0
            assert await given.run("maintenance", "end", "m") == 0
            await given.until(lambda: "opened" in given.told[3:] or "relapsed" in given.told[3:])
            assert await given.run("audit", "list") == 0
            audit = capsys.readouterr().out
            assert all(word in audit for word in ("acknowledge", "silence", "maintenance"))
        finally:
            await given.daemon.stop()


async def test_a_dead_channel_leaves_checks_and_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One never answers: the other is told at once, checks are on time, and people are told so."""
    async with trial(tmp_path, monkeypatch) as given:
        file = given.config / "a.yaml"
        text = file.read_text().replace("channels: [hook]", "channels: [dead, hook]")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            dead = (
                f'  dead: {{kind: webhook, address: "http://127.0.0.1:{silent.getsockname()[1]}/",'
            )
            file.write_text(
                text.replace("channels:\n", f'channels:\n{dead} secret: "${{HOOK_KEY}}"}}\n', 1)
            )
            await given.start()
            try:
                await given.until(lambda: given.told == ["opened"])
                runs = given.daemon.engine.picture.check("web").runs
                await given.until(lambda: given.daemon.engine.picture.check("web").runs >= runs + 5)
                courier = given.daemon.notifying.dispatcher.couriers["dead"]
                assert courier.view.waiting == 1
                courier.room.patience = 0.1
                assert not given.daemon.engine.scheduler.overdue()
            finally:
                await given.daemon.stop(within=3.0)


async def test_no_secret_comes_back_in_what_a_receiver_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A receiver may echo what it was sent: state, page, log and terminal show none of it."""
    async with trial(tmp_path, monkeypatch) as given:
        given.sink.answer = lambda _: web.Response(status=401, text="no such key: k3y-of-the-hook")
        assert await given.run("notify", "test", "hook") == 75
        await given.start()
        try:
            await given.until(lambda: given.told)
            courier = given.daemon.notifying.dispatcher.couriers["hook"]
            await given.until(lambda: courier.view.error)
            assert "no such key: ***" in courier.view.error
            assert await given.run("notify", "list") == 1
        finally:
            await given.daemon.stop()
        said = capsys.readouterr()
        files = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert "k3y-of-the-hook" not in said.out + said.err
    assert not [each for each in files if b"k3y-of-the-hook" in each]


async def test_a_reload_takes_channels_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was wrong is mended: what waited arrives."""
    async with trial(tmp_path, monkeypatch) as given:
        given.sink.answer = lambda _: web.Response(status=401)
        await given.start()
        try:
            await given.until(lambda: given.told == ["opened"])
            given.sink.answer = lambda _: web.Response()
            monkeypatch.setenv("HOOK_KEY", "another-k3y-of-the-hook")
            assert await given.daemon.reload()
            await given.until(lambda: given.told == ["opened", "opened"])
            keys = {
                json.loads(body)["key"] for _, path, _, body in given.sink.got if path == "/hook"
            }
            assert len(keys) == 1
        finally:
            await given.daemon.stop()


async def test_what_is_worked_upon_is_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the very first look on: a window of the configuration leaves out one component, not both."""
    async with trial(tmp_path, monkeypatch) as given:
        path = given.config / "a.yaml"
        path.write_text(path.read_text().replace("10s", "500ms") + WORKED_UPON)
        await given.start()
        try:
            watched = given.daemon.engine.picture
            await given.until(lambda: watched.check("web").runs > 2 and watched.check("other").runs)
        finally:
            await given.daemon.stop()
        capsys.readouterr()
        await given.run("objectives", "--json")
        found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["objectives"]}
        assert (found["web-up"]["events"], found["other-up"]["events"] > 0) == (0, True)
        assert found["other-up"]["maintenance"] == 0
        assert found["web-up"]["maintenance"] == 3600
        await given.run("objectives")
        assert "1 h of maintenance left out" in capsys.readouterr().out


async def test_a_restart_that_is_watched_holds_its_recovery_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back, and may die again: people hear of it when the attempt is judged."""
    async with trial(tmp_path, monkeypatch) as given:
        file = given.config / "a.yaml"
        file.write_text(file.read_text().replace("close_after: 1s", "close_after: 60s"))
        await given.start()
        try:
            await given.until(lambda: given.told == ["opened"])
            engine, component = given.daemon.engine, given.daemon.engine.picture.components["web"]
            incident = engine.picture.incidents["web"]
            intent = engine.journal.intend(component, incident.id, 1, "down")
            attempt = await engine.journal.claim(intent, component)
            with socket.create_server(("127.0.0.1", given.port)):
                await given.until(lambda: engine.picture.incidents["web"].recovered)
                book = given.daemon.notifying.notifier
                await given.until(lambda: book.state.book.entries[incident.id].owed)
                assert given.told == ["opened"]
                await engine.journal.finish(replace(attempt, outcome="done", verdict="recovered"))
                await given.until(lambda: given.told[1:])
            assert given.told[:2] == ["opened", "recovered"]
        finally:
            await given.daemon.stop()
