"""The live page in a real browser: what changes is put in place, and what is in the visitor's hands
stays; everybody can use it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.access import AccessScope
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, Gap
from sentinel.store.sqlite import SqliteStore
from sentinel.web.guard import STREAM
from sentinel.web.live import board as board_of
from sentinel.web.live.line import show_age
from sentinel.web.live.worst_first import WorstFirst
from sentinel.web.visitor import VisitorStage
from tests.browser.daemon import LIVE, Daemon
from tests.unit.web.live.world import check, component, incident, make_platform, stand, wander
from tools.screenshots.browser import Page

NAMES = [f"part-{n}" for n in range(6)]
HERE = "document.activeElement.closest('[id]')?.id"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon's pages, with a platform on which all is well just now."""
    store = SqliteStore(tmp_path)
    made = Daemon(store)
    store.commit(fresh(make_platform(NAMES)))
    await made.start()
    yield made
    await made.stop()
    store.close()


def fresh(changes: Changes) -> Changes:
    """The same, run just now."""
    now = datetime.now(UTC)
    changes.checks = [replace(each, last_run=now, every=3600.0) for each in changes.checks]
    return changes


async def follow(page: Page, daemon: Daemon) -> None:
    """Open the page and wait until it is live."""
    await page.open(daemon.url)
    await page.wait_for(LIVE)


async def catch_up(page: Page, daemon: Daemon) -> None:
    """Wait until the page has seen everything."""
    _, mark = await daemon.site.live.show()
    await page.wait_for(f"mark === {json.dumps(mark)}")


BARE = """(live) => {
  const bare = live.cloneNode(true);
  for (const id of ["fresh", "alarm", "said"]) bare.querySelector("#" + id).remove();
  for (const time of bare.querySelectorAll("time, [data-t]")) time.textContent = "";
  for (const each of bare.querySelectorAll("[open]")) each.removeAttribute("open");
  delete bare.dataset.mark; delete bare.dataset.now;
  return bare.innerHTML.replace(/\\s*\\n\\s*/g, "");
}"""
DIFFERENCE = f"""fetch("/").then((answer) => answer.text()).then((text) => {{
  const bare = {BARE}, anew = bare(new DOMParser().parseFromString(text, "text/html").querySelector("#live"));
  const shown = bare(document.querySelector("#live"));
  if (shown === anew) return "";
  let n = 0; while (shown[n] === anew[n]) n++;
  return "shown: " + shown.slice(n - 80, n + 160) + "\\nanew: " + anew.slice(n - 80, n + 160);
}})"""


@pytest.mark.parametrize("most", [2000, 4])
async def test_what_followed_is_what_is_printed(
    page: Page, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """After random changes the page that followed them is, node by node, the page that the server
    prints anew; also where only the worst four lines are shown.
    """
    monkeypatch.setattr(board_of, "MAX_CHECKS", most)
    monkeypatch.setattr(board_of, "MAX_COMPONENTS", most)
    await follow(page, daemon)
    now = datetime.now(UTC)
    for n, changes in enumerate(wander(NAMES, seed=most, rounds=120, began=now)):
        daemon.tell(fresh(changes))
        if n % 9 == 0:
            await asyncio.sleep(0)
        if n % 30 == 29:
            await catch_up(page, daemon)
            assert await page.wait(DIFFERENCE) == ""
    assert page.problems == []


async def test_what_is_in_the_visitors_hands_stays(page: Page, daemon: Daemon) -> None:
    """Focus, what is selected, what is open, what is typed and how far it was scrolled stay while
    everything around it changes 200 times and changes places.
    """
    daemon.store.commit(Changes(incidents=[incident("part-0", summary="it is slow")]))
    daemon.tell(Changes(incidents=[incident(f"part-{n}", blocked_by="part-0") for n in (1, 2)]))
    await page.show(1000, 500)
    await follow(page, daemon)
    await page.evaluate("""
      document.querySelector('.dependants').open = true;
      document.querySelector('#live').classList.add('may-act');
      document.querySelector('.act').open = true;
      document.querySelector('.act input[name=text]').value = 'I look';
      scrollTo(0, 333);
      document.getElementById('check:part-3/1').querySelector('a').focus({ preventScroll: true });
      getSelection().selectAllChildren(document.getElementById('check:part-3/1').lastElementChild);
    """)
    kept = """JSON.stringify([document.activeElement.textContent, getSelection().toString().trim(),
      document.querySelector('.dependants').open, document.querySelector('.act').open,
      document.querySelector('.act input[name=text]').value])"""
    before = json.loads(await page.evaluate(kept))
    assert before == ["part-3/1", "answered in 8 ms", True, True, "I look"]
    draw = random.Random(7)
    for n in range(200):
        name, status = f"part-{draw.randrange(6)}", draw.choice(["up", "down", "degraded"])
        changes = Changes(
            checks=[check(f"{name}/0", status, detail=f"figure {n}")],
            components=[component(name, status, detail=f"figure {n}")],
            incidents=[incident("part-0", summary=f"it is slow, {n}")],
        )
        daemon.tell(fresh(changes))
        if n % 20 == 0:
            daemon.tell(fresh(Changes(checks=[check("part-3/1", draw.choice(["up", "down"]))])))
            await catch_up(page, daemon)
    await catch_up(page, daemon)
    assert json.loads(await page.evaluate(kept)) == before
    assert "it is slow, 199" in await page.evaluate(
        "document.querySelector('#incidents').innerText"
    )
    assert page.problems == []


async def test_who_stood_in_what_goes_stands_at_its_head(page: Page, daemon: Daemon) -> None:
    """The focus does not fall back to the top when an incident is closed."""
    daemon.store.commit(Changes(incidents=[incident("part-0")]))
    await follow(page, daemon)
    await page.evaluate("document.querySelector('#incidents a').focus()")
    daemon.tell(Changes(incidents=[incident("part-0", state=IncidentState.CLOSED)]))
    await page.wait_for("!document.querySelector('#incidents article')")
    assert await page.evaluate("document.activeElement.id") == "incidents-title"


async def test_only_changes_are_said(page: Page, daemon: Daemon) -> None:
    """One region speaks, and of what happens only: not of figures."""
    await follow(page, daemon)
    speaking = "[...document.querySelectorAll('[aria-live], [role=status], [role=alert], output')].map(e => e.id)"
    assert await page.evaluate(speaking) == ["said"]
    said = "document.querySelector('#said').textContent"
    daemon.tell(fresh(Changes(checks=[check("part-1/0", detail="another figure")])))
    await catch_up(page, daemon)
    assert await page.evaluate(said) == ""
    daemon.tell(Changes(incidents=[incident("part-1")]))
    await catch_up(page, daemon)
    assert await page.evaluate(said) == "part-1 is down: part-1 does not answer"


async def test_who_may_acknowledges_on_the_page(page: Page, daemon: Daemon) -> None:
    """The form is there for them alone; what they do is seen at once, and what they type stays
    until it is sent.
    """
    daemon.store.commit(Changes(incidents=[incident("part-0")]))
    await follow(page, daemon)
    shown = "document.querySelector('.act').checkVisibility()"
    assert await page.evaluate(shown) is False
    daemon.scope = AccessScope.ACK
    await follow(page, daemon)
    assert await page.evaluate(shown) is True
    await page.evaluate("""
      document.querySelector('.act').open = true;
      document.querySelector('.act input[name=text]').value = 'I restart it';
      document.querySelector('.act button[formaction]').click();
    """)
    await page.wait_for("document.querySelector('#incidents').innerText.includes('sees to it')")
    await page.wait_for("document.querySelector('output').textContent.includes('I restart it')")
    assert await page.evaluate("document.querySelector('.act button[formaction]')") is None
    await page.evaluate("""
      document.querySelector('.act input[name=text]').value = 'it was the disk';
      document.querySelector('.act button').click();
    """)
    await page.wait_for("document.querySelector('output').textContent.includes('noted')")
    assert daemon.notes == [("I-part-0", "it was the disk")]
    assert page.problems == []


async def test_a_cut_stream_loses_nothing(page: Page, daemon: Daemon) -> None:
    """It is asked for again with what was seen last, and the page is not."""
    await follow(page, daemon)
    await page.evaluate("window.fetched = 0; fetch = () => { fetched++; return Promise.reject() }")
    (following,) = [each for each in daemon.door if each.stage is VisitorStage.FOLLOWING]
    following.leave()
    daemon.tell(fresh(Changes(checks=[check("part-2/0", "down", detail="while nobody heard")])))
    await page.wait_for("document.body.innerText.includes('while nobody heard')")
    await page.wait_for(LIVE)
    assert await page.evaluate("fetched") == 0


async def test_on_paper_every_age_is_that_of_now(page: Page, daemon: Daemon) -> None:
    """A row that was out of view did not grow older; before it is printed it does."""
    await page.show(1000, 200)
    await follow(page, daemon)
    told = "document.querySelector('#checks tr:last-child [data-t]').textContent"
    await page.evaluate("clockOffset += 3600000; tick()")
    assert await page.evaluate(told) == "0 s"
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (await page.evaluate(told)).startswith("1 h")


async def test_without_a_stream_the_page_asks(page: Page, daemon: Daemon) -> None:
    """Where too many are open, or a proxy lets no stream through, it is fetched now and then."""
    await page.send("Network.enable")
    await page.send("Network.setBlockedURLs", urls=[f"*{STREAM}*"])
    await page.open(daemon.url)
    await page.wait_for("heldUp.startsWith('No live channel')")
    daemon.tell(fresh(Changes(checks=[check("part-2/0", detail="asked for")])))
    await page.wait_for("document.body.innerText.includes('asked for')")
    assert "reconnecting" in await page.evaluate("document.querySelector('#fresh').dataset.state")


async def test_ages_are_told_alike(page: Page, daemon: Daemon) -> None:
    """By the server and by the script."""
    seconds = [0, 0.9, 1, 59.99, 60, 119, 3599, 3600, 3660, 7199, 86399, 86400, 90000, 1e6, -3]
    await page.open(daemon.url)
    assert await page.evaluate(f"{seconds}.map(age)") == [show_age(each) for each in seconds]


def test_order_is_that_of_a_browser() -> None:
    """Names that only differ beyond the 16-bit plane stand as JavaScript puts them."""
    order = WorstFirst(9)
    for name in ("\uffee", "\U0001f600", "a"):
        order.put(name, "up", name)
    assert order.shown() == ["a", "\U0001f600", "\uffee"]


# -- for everybody ---------------------------------------------------------------------------------


def _read_axe() -> str:
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None, "axe-playwright-python is in requirements-dev.lock: `make setup`"
    assert found.origin is not None
    return Path(found.origin).with_name("axe.min.js").read_text()


async def judge(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and its own good practice."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_read_axe())
    found = await page.wait("""axe.run(document, {resultTypes: ['violations']}).then((result) =>
      JSON.stringify(result.violations.map((each) => each.id + ': ' + each.help + ' at '
        + each.nodes.slice(0, 3).map((n) => n.target + ' ' + n.failureSummary).join(' | '))))""")
    told: list[str] = json.loads(found)
    return told


def make_trouble(now: datetime) -> Changes:
    """Everything that a page can have to say, at once."""
    long = "a-component-with-a-name-that-somebody-thought-of-without-a-phone-in-mind" * 2
    return Changes(
        meta={
            "held": json.dumps([["halted", "no action: halted by eve (deploy)"]]),
            "own": json.dumps(["the report of today could not be written"]),
        },
        gaps=[Gap(now - timedelta(seconds=60), now - timedelta(seconds=50), "the loop stood")],
        components=[
            component("part-0", "down", action="2 of 3 attempts are used: waits until 12:00"),
            component("part-1", "degraded", "part-0"),
            component("part-2", "unknown", "part-0"),
            component(long, "down", "part-0"),
        ],
        checks=[
            check("part-0/0", "down", last_run=now),
            check("part-1/0", "degraded", soft="down", last_run=now, detail="x" * 300),
            check("part-2/0", "unknown", last_run=now),
            check("part-3/0", last_run=now - timedelta(hours=3)),
            check(f"{long}/0", "down", last_run=now),
        ],
        incidents=[
            incident("part-0", opened=now, runbook="process-down"),
            incident("part-1", "degraded", blocked_by="part-0", opened=now),
            incident("part-4", opened=now, acknowledged=now, acknowledged_by="eve"),
            incident("part-5", "degraded", opened=now, state=IncidentState.RECOVERING, recovered=now),
            Incident(
                "I-long", long, now, IncidentState.OPEN, Status.DOWN, long, runbook="process-down"
            ),
        ],
        faults=[stand("part-0", f"stream-{n}") for n in range(7)],
    )  # fmt: skip


async def test_everybody_can_use_it(page: Page, daemon: Daemon) -> None:
    """No finding of axe when all is well, in all trouble, and stale; light and dark, wide and
    narrow. At 320 pixels nothing is scrolled sideways.
    """
    for state in ("well", "trouble", "stale"):
        if state == "trouble":
            daemon.tell(make_trouble(datetime.now(UTC)))
        for width, dark in ((1400, False), (320, True)):
            await page.show(width, dark=dark)
            await page.open(daemon.url)
            await page.evaluate("document.querySelector('#live').classList.add('may-act')")
            await page.evaluate(
                "for (const each of document.querySelectorAll('details')) each.open = true"
            )
            if state == "stale":
                await page.evaluate("lastWord -= 60000; showFreshness()")
            assert await judge(page) == [], (state, width)
            sizes = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert sizes[0] <= width, (state, sizes)
    await page.send("Emulation.setEmulatedMedia", media="print")
    assert (
        await page.evaluate("getComputedStyle(document.querySelector('.copy')).display") == "none"
    )


async def test_the_keyboard_reaches_everything(page: Page, daemon: Daemon) -> None:
    """By Tab alone, in the order of the page, each stop visible, and out again at the end."""
    daemon.tell(make_trouble(datetime.now(UTC)))
    await page.open(daemon.url)
    stops = "a[href], button, summary, input:not([type=hidden])"
    wanted = await page.evaluate(
        f"[...document.querySelectorAll('{stops}')].filter((e) => e.checkVisibility()).length"
    )
    walked: list[Any] = []
    for _ in range(wanted):
        await page.press("Tab")
        walked.append(
            await page.evaluate(
                f"[[...document.querySelectorAll('{stops}')].indexOf(document.activeElement),"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    places = [place for place, _ in walked]
    assert len(set(places)) == wanted
    assert places == sorted(places)
    assert {outline for _, outline in walked} <= {"solid", "auto"}
    await page.evaluate("document.querySelector('.dependants summary').focus()")
    await page.press("Enter")
    assert await page.evaluate("document.querySelector('.dependants').open")
    await page.evaluate("document.querySelector('.copy').focus()")
    await page.press(" ")
    await page.wait_for("document.querySelector('#said').textContent !== ''")
