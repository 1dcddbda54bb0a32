"""The status page in a real browser: live without reload, stale when the daemon is gone, hostile
names inert.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentinel.store.sqlite import SqliteStore
from tests.browser.daemon import Daemon
from tools.screenshots.browser import Page

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


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
    await page.wait_for(
        f"{TEXT}.includes('orchestrator') && {TEXT}.includes('Nothing is wrong now')"
    )
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
