"""Sign in, acknowledge and note in a real browser; what a page of another site sends is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes
from tests.integration.test_web_access import T0, World, secret_of
from tools.screenshots.browser import Page

TEXT = "document.body.innerText"
INCIDENT = Incident("I1", "bus", T0, IncidentState.OPEN, Status.DOWN, "nobody answers", "port")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A page that others can reach, with one incident."""
    made = World(tmp_path)
    made.store.commit(Changes(incidents=[INCIDENT]))
    await made.open()
    async with aiohttp.ClientSession() as made.session:
        yield made
    await made.page.close()
    made.store.close()


async def submit(page: Page, form: str, **fields: str) -> None:
    """Fill a form and send it, as its button does."""
    await page.evaluate("window.here = true")
    chosen = f"document.querySelector('form[action={form!r}]')".replace("'/", '"/').replace(
        "']", '"]'
    )
    for name, value in fields.items():
        await page.evaluate(f"{chosen}.elements[{name!r}].value = {value!r}")
    await page.evaluate(f"{chosen}.requestSubmit()")
    await page.wait_for("window.here === undefined && document.readyState === 'complete'")


async def test_a_person_signs_in_and_acts(page: Page, world: World) -> None:
    """A deep link shows the form, a wrong token says so, the right one leads to the page; its forms
    are taken, in the name of the token; after signing out nothing is shown.
    """
    home = f"http://127.0.0.1:{world.port}"
    await page.open(f"{home}/incident/I1")
    assert "Sign in" in await page.evaluate(TEXT)
    await submit(page, "/sign-in", token="wrong")
    assert "no such token" in await page.evaluate(TEXT)
    await submit(page, "/sign-in", token=secret_of("ack"))
    assert await page.evaluate("location.pathname") == "/incident/I1"
    assert "nobody answers" in await page.evaluate(TEXT)
    assert await page.evaluate("document.cookie") == ""
    await submit(page, "/api/v1/incidents/I1/ack", reason="mine")
    await submit(page, "/api/v1/incidents/I1/note", text="it's the cable")
    assert world.desk.asked == [
        ("acknowledge", "I1", "ack-token (token)", "mine"),
        ("note", "I1", "ack-token (token)", "it's the cable"),
    ]
    assert await page.evaluate("location.pathname + location.hash") == "/incident/I1#notes"
    await submit(page, "/sign-out")
    await page.open(f"{home}/incident/I1")
    assert "nobody answers" not in await page.evaluate(TEXT)


async def test_another_site_sends_nothing(page: Page, world: World) -> None:
    """A form of another site, sent while somebody is signed in: refused by the browser's own word,
    and the cookie does not come along.
    """
    await page.open(f"http://127.0.0.1:{world.port}/sign-in")
    await submit(page, "/sign-in", token=secret_of("admin"))
    target = f"http://127.0.0.1:{world.port}/api/v1/halt"
    form = f'<form method="post" action="{target}"><input name="reason" value="ha"></form>'

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=form, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0)
    await site.start()
    port = runner.addresses[0][1]
    await page.open(f"http://localhost:{port}/")
    await page.evaluate("document.forms[0].submit()")
    async with asyncio.timeout(20):
        while not world.refused["cross_site"]:
            await asyncio.sleep(0.02)
    assert world.desk.asked == []
    await runner.cleanup()
