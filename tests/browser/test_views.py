"""The pages beside the status page in a real browser: as narrow as a phone, under the strict policy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sentinel.store.sqlite import SqliteStore
from tests.browser.test_live_page import judge
from tests.site_rig import Site, fill, name_pages, serve
from tests.site_walk import list_paths
from tools.screenshots.browser import Page

NAME = "agent-" + "n" * 194
"""A long name without a place to break."""


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
OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"


async def walk(page: Page, site: Site, names: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What axe and a ruler find on each page, with everything on it open."""
    found = {}
    paths = [*list_paths(names), "/check/nothing", "/checks?status=red"]
    for path in (each for each in paths if not each.endswith((".rss", ".svg", ".md"))):
        await page.open(site.base + path)
        await page.evaluate(OPEN)
        wrong = await judge(page)
        if (by := await page.evaluate(WIDER)) > 0:
            wrong.append(f"{by} pixels too wide")
        if wrong:
            found[path[:40]] = wrong
    return found


async def test_everybody_can_read_every_page(page: Page, site: Site) -> None:
    """At 320 pixels and in the dark: no page scrolls sideways whatever the names, axe finds nothing,
    nothing violates the policy.
    """
    await page.show(320, dark=True)
    assert await walk(page, site, name_pages(NAME)) == {}
    problems = [each for each in page.problems if '"level": "error"' in each]
    assert [each for each in problems if "404" not in each and "400" not in each] == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("width", "dark"), [(1400, False), (1400, True), (390, False), (390, True)]
)
async def test_at_every_width(page: Page, site: Site, width: int, dark: bool) -> None:
    """The same, as wide as a desk and as a larger phone, in light and dark."""
    await page.show(width, dark=dark)
    assert await walk(page, site, name_pages(NAME)) == {}


@pytest.mark.nightly
async def test_an_empty_platform_is_readable(page: Page, tmp_path: Path) -> None:
    """Before the first look: nothing but sentences that say so."""
    (tmp_path / "state").mkdir()
    store = SqliteStore(tmp_path / "state")
    async with serve(store) as site:
        await page.show(1400)
        assert await walk(page, site, {}) == {}
    store.close()


async def test_a_curve_can_be_zoomed(page: Page, site: Site) -> None:
    """The button draws what the table says, and the policy lets it."""
    await page.show(800)
    await page.open(f"{site.base}/check/{NAME}tcp")
    readings = await page.evaluate("document.querySelectorAll('figure.trend tbody tr').length")
    assert readings == 5
    await page.evaluate("document.querySelector('figure.trend > button').click()")
    assert await page.evaluate("document.querySelector('figure.trend canvas').width") > 100
    assert await page.evaluate("document.querySelectorAll('figure.trend > button').length") == 0
    assert page.problems == []


async def test_a_command_can_be_copied(page: Page, site: Site) -> None:
    """By a button that says what it copies; where the clipboard is shut the command is selected."""
    await page.open(f"{site.base}/check/{NAME}tcp")
    await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    name = await page.evaluate("document.querySelector('.copier').getAttribute('aria-label')")
    assert name == f"copy sentinel check run {NAME}tcp"
    await page.evaluate("document.querySelector('.copier').click()")
    await page.wait("new Promise((done) => setTimeout(done))")
    assert await page.evaluate("getSelection().toString()") == f"sentinel check run {NAME}tcp"


async def test_bars_are_opened_with_the_keyboard(page: Page, site: Site) -> None:
    """Each bar is a link that says its time and what it was; the open one is marked."""
    await page.open(f"{site.base}/component/{NAME}?window=24h")
    bars = "document.querySelectorAll('ol.bars a')"
    assert await page.evaluate(f"{bars}.length") == 24
    text = await page.evaluate(f"{bars}[23].textContent")
    assert text.startswith("01 Mar 12:00 UTC: ")
    await page.open(await page.evaluate(f"{bars}[22].href"))
    assert (
        await page.evaluate("document.querySelector('ol.bars [aria-current]').textContent") != text
    )
    assert "01 Mar 11:00 UTC" in await page.evaluate("document.querySelector('#open').textContent")
