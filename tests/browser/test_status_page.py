"""The status page in a real browser: live without reload, stale when the daemon is gone, hostile
names inert.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, CheckView, ComponentView
from sentinel.store.sqlite import SqliteStore
from sentinel.web import page as web_page
from sentinel.web.app import make_app
from sentinel.web.guard import listen_hosts
from tests.conftest import require_tool

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


class Page:
    """One page of a headless Chromium, driven over the DevTools protocol."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket_
        self._numbers = itertools.count(1)
        self.session = ""
        self.problems: list[str] = []
        self.loads = 0

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its result; console errors are collected on the way."""
        number = next(self._numbers)
        await self._socket.send_json(
            {"id": number, "method": method, "params": params, **self._target()}
        )
        while True:
            message = await self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json()
        if message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.problems.append(json.dumps(message["params"]))
        self.loads += message.get("method") == "Page.loadEventFired"
        return message

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is loaded."""
        before = self.loads
        await self.send("Page.navigate", url=url)
        async with asyncio.timeout(30):
            while self.loads == before:
                await self._receive()

    def _target(self) -> dict[str, str]:
        return {"sessionId": self.session} if self.session else {}

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(30):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.1)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A blank page of a Chromium with a profile of its own; its whole process group is ended
    afterwards.
    """
    chromium = await asyncio.create_subprocess_exec(
        require_tool("chromium"),
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}", "about:blank",
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(await _address(chromium)) as devtools,
        ):
            made = Page(devtools)
            target = await made.send("Target.createTarget", url="about:blank")
            attached = await made.send(
                "Target.attachToTarget", targetId=target["targetId"], flatten=True
            )
            made.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                await made.send(f"{domain}.enable")
            yield made
    finally:
        with suppress(ProcessLookupError):
            os.killpg(chromium.pid, signal.SIGKILL)
        await chromium.wait()


async def _address(chromium: asyncio.subprocess.Process) -> str:
    assert chromium.stderr is not None
    async with asyncio.timeout(60):
        while line := (await chromium.stderr.readline()).decode(errors="replace"):
            if "DevTools listening on " in line:
                return line.split("DevTools listening on ")[1].strip()
    raise AssertionError("chromium ended without listening")


class Daemon:
    """The web application on a port that it can leave and take again."""

    def __init__(self, store: SqliteStore) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.store = store
        self._page: web_page.OpenPage | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        app = make_app(
            self.store,
            lambda _: iter(()),
            lambda: (True, ""),
            lambda: listen_hosts("127.0.0.1", self.port),
        )
        bound = socket.create_server(("127.0.0.1", self.port))
        self._page = await web_page.open_page(app, "127.0.0.1", [bound])

    async def stop(self) -> None:
        if self._page is not None:
            await self._page.close()
            self._page = None

    def show(self, name: str, status: str, *, detail: str = "", incident: str = "") -> None:
        """Put one component, its check and, when `incident` is given, an open incident into the
        store.
        """
        now = datetime.now(UTC)
        check = CheckView(
            f"{name}-check", "tcp", name, status, status, now, detail, ("key", name), "", {}, [], 1, 3600.0, now,
            0.1, "ok", "observed", "t", "", False,
        )  # fmt: skip
        component = ComponentView(name, status, now, detail, [], "", None, 0, "")
        changes = Changes(checks=[check], components=[component])
        if incident:
            changes.incidents = [
                Incident(f"I-{name}", name, now, IncidentState.OPEN, Status(status), incident)
            ]
        self.store.commit(changes)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon's web application on a store of its own."""
    store = SqliteStore(tmp_path)
    made = Daemon(store)
    await made.start()
    yield made
    await made.stop()
    store.close()


TEXT = "document.body.innerText"


async def test_page_is_live(page: Page, daemon: Daemon) -> None:
    """A new incident and a changed status appear without a reload; a dead daemon is marked stale,
    and un-marked.
    """
    daemon.show("orchestrator", "up")
    await page.open(daemon.url)
    await page.wait_for(f"{TEXT}.includes('orchestrator') && {TEXT}.includes('None.')")
    await page.evaluate("window.witness = 'not reloaded'")

    daemon.show("orchestrator", "down", incident="p99 of assignment is 850 ms")
    await page.wait_for(f"{TEXT}.includes('p99 of assignment is 850 ms')")
    assert await page.evaluate("document.querySelector('#overall').textContent") == "down"
    assert await page.evaluate("document.title.endsWith('down')")
    assert page.problems == []

    await daemon.stop()
    await page.wait_for("!document.querySelector('#alarm').hidden")
    assert "no answer from sentinel" in await page.evaluate(TEXT)
    await daemon.start()
    await page.wait_for("document.querySelector('#alarm').hidden")
    assert await page.evaluate("window.witness") == "not reloaded"


async def test_hostile_names_are_inert(page: Page, daemon: Daemon) -> None:
    """Markup in names is text, in the first paint and after an update; the page's policy is never
    violated.
    """
    daemon.show(HOSTILE, "degraded", detail=HOSTILE, incident=HOSTILE)
    await page.open(daemon.url)
    await page.wait_for(f"{TEXT}.includes('onerror')")
    count = "document.querySelectorAll('script, img').length"
    assert await page.evaluate(count) == 1
    daemon.show(f"second {HOSTILE}", "down", detail=HOSTILE, incident=HOSTILE)
    await page.wait_for(f"{TEXT}.includes('second <script>')")
    assert await page.evaluate(count) == 1
    assert "owned" not in (await page.evaluate("document.title")).split(":")[-1]
    assert page.problems == []


async def test_first_paint_needs_no_script(page: Page, daemon: Daemon) -> None:
    """Without JavaScript the page shows components, checks and incidents."""
    daemon.show("agent-1", "down", incident="process exits at once")
    await page.send("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(daemon.url)
    root = (await page.send("DOM.getDocument"))["root"]["nodeId"]
    html = (await page.send("DOM.getOuterHTML", nodeId=root))["outerHTML"]
    assert "process exits at once" in html
    assert "agent-1-check" in html
