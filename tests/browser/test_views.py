"""The pages beside the status page in a real browser: as narrow as a phone, under the strict policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentinel.store.sqlite import SqliteStore
from tests.conftest import require_tool
from tests.site_rig import Site, fill, name_pages, serve
from tests.site_walk import list_paths
from tools.screenshots.browser import Screen, open_screen

NAME = "agent-" + "n" * 194
"""A long name without a place to break."""


@pytest.fixture
async def screen(tmp_path: Path) -> AsyncIterator[Screen]:
    """A blank page."""
    require_tool("chromium")
    async with open_screen(tmp_path / "profile") as made:
        yield made


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """One of everything, under a long name."""
    (tmp_path / "state").mkdir()
    store = SqliteStore(tmp_path / "state")
    known = fill(store, NAME)
    async with serve(store, known) as made:
        yield made
    store.close()


WIDER = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"


async def test_no_page_scrolls_sideways_on_a_phone(screen: Screen, site: Site) -> None:
    """At 320 pixels, whatever the names; nothing violates the policy, no script fails."""
    await screen.resize(320)
    wide = {}
    paths = [*list_paths(name_pages(NAME)), "/check/nothing"]
    for path in (each for each in paths if not each.endswith((".rss", ".svg", ".md"))):
        await screen.go(site.base + path)
        if (by := await screen.ask(WIDER)) > 0:
            wide[path[:40]] = by
    assert wide == {}
    assert [each for each in screen.complaints if "404" not in each] == []


async def test_a_curve_can_be_zoomed(screen: Screen, site: Site) -> None:
    """The button draws what the table says, and the policy lets it."""
    await screen.resize(800)
    await screen.go(f"{site.base}/check/{NAME}tcp")
    readings = await screen.ask("document.querySelectorAll('figure.trend tbody tr').length")
    assert readings == 5
    await screen.ask("document.querySelector('figure.trend > button').click()")
    assert await screen.ask("document.querySelector('figure.trend canvas').width") > 100
    assert await screen.ask("document.querySelectorAll('figure.trend > button').length") == 0
    assert screen.complaints == []


async def test_a_command_can_be_copied(screen: Screen, site: Site) -> None:
    """By a button that says what it copies; where the clipboard is shut the command is selected."""
    await screen.go(f"{site.base}/check/{NAME}tcp")
    await screen.ask("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    name = await screen.ask("document.querySelector('.copier').getAttribute('aria-label')")
    assert name == f"copy sentinel check run {NAME}tcp"
    await screen.ask("document.querySelector('.copier').click()")
    await screen.ask("new Promise((done) => setTimeout(done))")
    assert await screen.ask("getSelection().toString()") == f"sentinel check run {NAME}tcp"


async def test_bars_are_opened_with_the_keyboard(screen: Screen, site: Site) -> None:
    """Each bar is a link that says its time and what it was; the open one is marked."""
    await screen.go(f"{site.base}/component/{NAME}?window=24h")
    bars = "document.querySelectorAll('ol.bars a')"
    assert await screen.ask(f"{bars}.length") == 24
    text = await screen.ask(f"{bars}[23].textContent")
    assert text.startswith("01 Mar 12:00 UTC: ")
    await screen.go(await screen.ask(f"{bars}[22].href"))
    assert await screen.ask("document.querySelector('ol.bars [aria-current]').textContent") != text
    assert "01 Mar 11:00 UTC" in await screen.ask("document.querySelector('#open').textContent")
