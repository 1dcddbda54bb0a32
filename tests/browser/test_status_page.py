"""The status page in a real browser: live without reload, stale when the daemon is gone, hostile
names inert.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.engine.hub import Hub
from sentinel.store import Changes, CheckView, ComponentView
from sentinel.store.sqlite import SqliteStore
from sentinel.web import page as web_page
from sentinel.web.app import make_app
from sentinel.web.guard import listen_hosts
from tests.chromium import Page, open_chromium

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A blank page."""
    async with open_chromium(tmp_path) as made:
        yield made


class Daemon:
    """The web application on a port that it can leave and take again."""

    def __init__(self, store: SqliteStore) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.store, self.hub = store, Hub()
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
            feed=self.hub,
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
        self.hub.tell(lambda: changes)


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
LIVE = "document.querySelector('#fresh').dataset.state === 'live'"


async def test_page_is_live(page: Page, daemon: Daemon) -> None:
    """A new incident and a changed status appear without a reload; a dead daemon is marked stale,
    and un-marked.
    """
    daemon.show("orchestrator", "up")
    await page.open(daemon.url)
    await page.wait_for(f"{TEXT}.includes('orchestrator') && {TEXT}.includes('Nothing is wrong')")
    await page.evaluate("window.witness = 'not reloaded'")

    daemon.show("orchestrator", "down", incident="p99 of assignment is 850 ms")
    await page.wait_for(f"{TEXT}.includes('p99 of assignment is 850 ms')")
    assert await page.evaluate("document.querySelector('#overall').textContent") == "down"
    assert await page.evaluate("document.title.endsWith('down')")
    assert page.problems == []

    await daemon.stop()
    await page.wait_for("document.querySelector('#fresh').dataset.state === 'reconnecting'")
    await page.evaluate("lastWord -= 60000; showFreshness()")  # as if a minute had gone
    assert not await page.evaluate("document.querySelector('#alarm').hidden")
    assert "no word from sentinel" in await page.evaluate(TEXT)
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
