"""The pages beside the status page, over real HTTP: each route, whatever the platform is called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sentinel.cli import main
from sentinel.core.model import Incident, IncidentState, Status, Transition
from sentinel.core.tenants.trial import ACTION, Trial, TrialLedger
from sentinel.store import Changes, ComponentView
from sentinel.store.sqlite import SqliteStore
from sentinel.web.views import incidents as incident_views
from tests.site_rig import (
    KINDS,
    NOW,
    T0,
    Site,
    at,
    fill,
    list_queries,
    make_check,
    name_pages,
    serve,
)
from tests.site_walk import Walk, judge_page, list_paths

HOSTILE = {
    "odd": '<script>alert(1)</script><img src=x onerror="a()">\'\u202eÜ√ a\nb\r\n\tc a/b?c=1&d#e%2F;f+g',
    "long": "n" * 200,
}
PLAIN = "bus"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """One of everything, called `bus`."""
    store = SqliteStore(tmp_path)
    known = fill(store, PLAIN)
    async with serve(store, known) as made:
        yield made
    store.close()


async def test_an_empty_platform_has_every_page(tmp_path: Path) -> None:
    """Before the first look, and without anything configured."""
    store = SqliteStore(tmp_path)
    async with serve(store) as site:
        walk = Walk(site.session, site.base)
        for path in list_paths({}):
            await walk.visit(path)
    store.close()
    assert "\n".join(walk.problems) == ""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(PLAIN, id="plain", marks=pytest.mark.nightly),
        pytest.param(HOSTILE["odd"], id="odd"),
        pytest.param(HOSTILE["long"], id="long", marks=pytest.mark.nightly),
    ],
)
async def test_every_page_of_the_route_table(tmp_path: Path, name: str) -> None:
    """200, title, language, one heading, nothing inline, each link leads somewhere; markup in a name
    is text.
    """
    store = SqliteStore(tmp_path)
    known = fill(store, name)
    async with serve(store, known) as site:
        walk = Walk(site.session, site.base)
        for path in [*list_paths(name_pages(name)), *list_queries(name)]:
            text = await walk.visit(path)
            assert "<script>alert" not in text, path
            assert "<img src=x" not in text, path
            assert "\u202e" not in text, path
    store.close()
    assert "\n".join(walk.problems) == ""


def test_the_walk_sees_what_is_wrong() -> None:
    """A page with inline code, without language, title and heading is not taken for a good one."""
    bad = '<html><body onload="x" style="y"><style></style><script>a</script><p id="i"><p id="i">'
    assert judge_page(bad) == [
        "inline onload", "inline style", "inline style", "inline script", "no lang", "no title", "0 h1",
        "0 main", "id i stands 2 times",
    ]  # fmt: skip


async def test_the_walk_follows_links(site: Site) -> None:
    """To a page that is not there, to a place that is not on the page, away from here."""
    walk = Walk(site.session, site.base)
    for link in ("/check/nothing", "/checks#nowhere", "https://example.com/"):
        await walk.follow("/", link)
    assert walk.problems == [
        "/ leads to /check/nothing, which answers 404",
        "/ leads to /checks#nowhere, and there is no such place",
        "/ leads away: https://example.com/",
    ]


async def test_page_and_api_say_the_same(site: Site) -> None:
    """One reader for both: names, counts, filters."""
    found = await site.get_json("/api/v1/checks?status=degraded&text=flow")
    assert [each["name"] for each in found["checks"]] == [f"{PLAIN}flows"]
    _, page = await site.get("/checks?status=degraded&text=flow")
    assert f"/check/{PLAIN}flows" in page
    assert f"/check/{PLAIN}tcp" not in page
    one = await site.get_json(f"/api/v1/components/{PLAIN}")
    assert one["restarts_left"]["left"] == 2
    assert one["needed_by"][0]["name"] == f"{PLAIN}-1"
    assert "2 of 3 in this incident" in (await site.get(f"/component/{PLAIN}"))[1]


async def test_what_nobody_knows_is_refused(site: Site) -> None:
    """Everything that is wrong with an address at once; for a person with the way on."""
    status, text = await site.get("/checks?stauts=down&page=x")
    assert (status, text.count("400")) == (400, 1)
    assert "there is no filter 'stauts': known are status, component, kind, text, page" in text
    _, text = await site.get("/incidents?state=red&since=yesterday")
    assert "choose one of open, recovering, closed" in text
    assert "since='yesterday': write a day" in text
    status, page = await site.get("/check/nothing", Accept="text/html")
    assert status == 404
    assert "there is no check &#39;nothing&#39;" in page
    assert 'href="/checks"' in page
    assert (await site.get("/api/v1/checks/nothing"))[0] == 404
    assert (await site.get("/badge/component/nothing.svg"))[0] == 404


async def test_pages_of_a_long_list(site: Site) -> None:
    """A hundred a page, the worst first; behind the last page is the last page."""
    site.store.commit(Changes(checks=[make_check(f"c{n:03}", status="down") for n in range(220)]))
    found = await site.get_json("/api/v1/checks?page=3")
    assert (found["leaf"]["first"], found["leaf"]["last"], found["leaf"]["total"]) == (
        201,
        225,
        225,
    )
    assert [each["name"] for each in found["checks"]][-1] == f"{PLAIN}tenant_probe"
    assert (await site.get_json("/api/v1/checks?page=99"))["leaf"]["page"] == 3
    _, page = await site.get("/checks?status=down")
    assert 'href="?status=down&amp;page=2" rel="next"' in page


async def test_many_components_are_cut(site: Site) -> None:
    """Two hundred a page; of the picture what is not well, and what that needs."""
    views = [
        ComponentView(f"c{n}", "down" if n == 250 else "up", T0, "", ["c0"] * (n == 250), "", None, 0, "")
        for n in range(300)
    ]  # fmt: skip
    site.store.commit(Changes(components=views))
    found = await site.get_json("/api/v1/components?page=2")
    assert (found["leaf"]["first"], len(found["components"])) == (201, 102)
    assert {each["name"] for each in found["drawn"]} >= {"c0", "c250", PLAIN}
    assert "c1" not in {each["name"] for each in found["drawn"]}
    assert "is not drawn" in (await site.get("/components"))[1]


async def test_incidents_are_searched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By state, component, text and time; how far was looked is said."""
    opened = await site.get_json("/api/v1/incidents?open=1")
    assert [each["id"] for each in opened] == [PLAIN]
    assert [each["id"] for each in await site.get_json("/api/v1/incidents?state=closed")] == [
        f"{PLAIN}-0"
    ]
    assert await site.get_json("/api/v1/incidents?text=none") == []
    until = await site.get_json("/api/v1/incidents?until=2026-03-01T11:59")
    assert [each["id"] for each in until] == [f"{PLAIN}-0"]
    since = await site.get_json("/api/v1/incidents?since=2026-03-01T11:59:55")
    assert [each["id"] for each in since] == [PLAIN]
    monkeypatch.setattr(incident_views, "SEARCHED", 1)
    assert "Only the newest 1 were looked through" in (await site.get("/incidents"))[1]


async def test_an_incident_tells_everything(site: Site) -> None:
    """Who sees to it, the runbook with its values, diagnosis, notes, commands that can be typed."""
    _, page = await site.get(f"/incident/{PLAIN}")
    assert f"{PLAIN} sees to it since" in page
    assert f"/runbooks/bus-unreachable?incident={PLAIN}" in page
    assert '<h2 id="diagnosis">' in page
    document = await site.get_json(f"/api/v1/incidents/{PLAIN}")
    assert [len(document[each]) for each in ("notes", "diagnoses", "attempts")] == [1, 1, 1]
    assert document["commands"]["note"] == f"sentinel incident note {PLAIN} 'what you saw'"
    assert document["book"]["steps"][0]["act"] == PLAIN


async def test_a_long_timeline_has_both_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is counted."""
    monkeypatch.setattr(incident_views, "MAX_LINES", 2)
    _, page = await site.get(f"/incident/{PLAIN}")
    assert "1 of its 3 lines are left out" in page


async def test_uptime_counts_only_what_was_seen(site: Site) -> None:
    """Gaps, maintenance and the time before the watch are in no share; a bar opens its changes."""
    history = (await site.get_json(f"/api/v1/components/{PLAIN}"))["history"]
    day = history["windows"][0]
    assert (
        sum(day[each] for each in ("up", "degraded", "down", "maintenance", "unobserved")) == 86400
    )
    assert day["maintenance"] == 1000 + 10 + 100
    assert day["unobserved"] == pytest.approx(3600 + 86400 - 80000 - 100)
    assert day["down"] == 1000
    assert len(history["bars"]) == 24
    opened = f"/component/{PLAIN}?window=24h&bar=2026-03-01T11:00:00Z"
    _, page = await site.get(opened)
    assert "Changes of status in 01 Mar 11:00 UTC" in page
    shown = (await site.get_json(f"/api/v1{opened.replace('component', 'components', 1)}"))[
        "history"
    ]
    assert [each["after"] for each in shown["changes"]] == ["up", "down"]
    told = [(each["reason"], each["text"]) for each in shown["unseen"]]
    assert told == [("its status was not known", "1 h 45 min"), (PLAIN, "1 h")]


async def test_many_changes_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was before the newest so many changes counts as not seen, and that is said."""
    states = (Status.UP, Status.DOWN)
    flaps = [
        Transition("flappy", "check", states[n % 2], states[1 - n % 2], at(-5000 + n), "flap")
        for n in range(2100)
    ]
    view = make_check("flappy", status="up", component=PLAIN)
    site.store.commit(Changes(checks=[view], transitions=flaps))
    history = (await site.get_json("/api/v1/checks/flappy"))["history"]
    assert history["windows"][0]["up"] + history["windows"][0]["down"] < 5000
    assert any("more changes" in each["reason"] for each in history["unseen"])


async def test_curves_have_their_table(site: Site) -> None:
    """How long looks took: a picture, and behind it each reading for who can't see it."""
    _, page = await site.get(f"/check/{PLAIN}tcp")
    assert '<svg class="picture"' in page
    assert page.count('data-value="') == 5
    assert "took 2.6 s, ok" in page
    assert "every 5.0 s;" in page
    assert '<script src="/static/uplot.js" defer></script>' in page


@pytest.mark.parametrize("path", ["check/bustcp", "component/bus", "platform"])
async def test_badges(site: Site, path: str) -> None:
    """A picture that says in letters what it says by colour."""
    status, text = await site.get(f"/badge/{path}.svg")
    assert status == 200
    root = ElementTree.fromstring(text)
    words = [each.text for each in root.iter() if each.text and each.tag.endswith("}text")]
    assert words[1] in {"down", "degraded", "stale"}


async def test_the_feed_is_rss(site: Site) -> None:
    """Each incident with its link; a recovery is news of its own."""
    status, text = await site.get("/incidents.rss")
    assert status == 200
    items = ElementTree.fromstring(text).findall("./channel/item")
    assert [each.findtext("link") for each in items] == [
        f"{site.base}/incident/{PLAIN}", f"{site.base}/incident/{PLAIN}-0",
    ]  # fmt: skip
    before = items[0].findtext("guid")
    recovered = Incident(
        PLAIN, PLAIN, T0, IncidentState.RECOVERING, Status.DOWN, "x", recovered=NOW
    )
    site.store.commit(Changes(incidents=[recovered]))
    _, text = await site.get("/incidents.rss")
    assert ElementTree.fromstring(text).findtext("./channel/item/guid") != before


async def test_subjects_are_those_of_their_checks(site: Site) -> None:
    """Agents, flows and tenants: what their kinds found, with every subject, and nothing else."""
    for path, kinds in (("agents", {0}), ("flows", {1}), ("tenants", {2, 3})):
        found = await site.get_json(f"/api/v1/{path}")
        assert {each["check"] for each in found["faults"]} == {f"{PLAIN}{KINDS[n]}" for n in kinds}


async def test_audit_is_searched(site: Site) -> None:
    """By who, what and text."""
    site.store.add_audit(NOW + timedelta(seconds=1), "alice", "ack", "I9", "on it")
    found = await site.get_json("/api/v1/audit?actor=alice")
    assert [each["detail"] for each in found["rows"]] == ["on it"]
    assert (await site.get_json("/api/v1/audit?action=ack&text=none"))["rows"] == []


async def test_tries_of_tenants_are_told_in_words(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the page and by the command; the record itself is for programs."""
    trials = [Trial("other_tenant", "public.t", role="app")]
    (record,) = TrialLedger().take(trials, NOW)
    site.store.add_audit(NOW, "sentinel", ACTION, "tenants", record.write())
    (row,) = (await site.get_json("/api/v1/audit?actor=sentinel&text=tenants"))["rows"]
    assert (row["detail"], row["told"]) == (record.write(), record.describe())
    _, page = await site.get("/audit?actor=sentinel")
    assert "1 kept apart" in page
    assert "outcomes" not in page
    assert main(["--state", str(tmp_path), "audit", "list"]) == 0
    shown = capsys.readouterr().out
    assert "kept" in shown
    assert "outcomes" not in shown
