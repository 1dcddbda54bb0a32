"""The web application over real HTTP: routes, hosts, headers, limits, hostile names."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

import aiohttp
import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Acceptance, Fault, StandingFault, Status
from sentinel.core.foreign.host import HostName, read_host
from sentinel.core.model import Attempt, Incident, IncidentState
from sentinel.core.objective import Counts, Objective, Slice, judge_slices
from sentinel.errors import StateError
from sentinel.store import Changes, CheckView, ComponentView, Gap
from sentinel.store.sqlite import SqliteStore
from sentinel.web import guard
from sentinel.web.answer import SECURITY_HEADERS
from sentinel.web.app import ROUTES, make_app
from sentinel.web.document import status_document
from sentinel.web.guard import STREAM, is_served, listen_hosts
from sentinel.web.page import open_page
from sentinel.web.site import SITE, TURNS, Site
from sentinel.web.views.known import Known

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def check(name: str, **changes: Any) -> CheckView:
    fields: dict[str, Any] = {
        "name": name, "kind": "tcp", "component": "bus", "status": "up", "soft": "up", "since": T0, "detail": "fine",
        "key": ("acked", "99 %"), "guidance": "", "evidence": {}, "rows": [], "runs": 3, "every": 5.0,
        "last_run": at(97), "duration": 0.5, "outcome": "ok", "quality": "observed", "trace_id": "t", "runbook": "",
        "flapping": False,
    }  # fmt: skip
    return CheckView(**{**fields, **changes})


def make_book(name: str) -> dict[str, Any]:
    """A runbook as the daemon shows it."""
    return {
        "name": name, "title": "Nobody answers", "command": f"sentinel runbook run {name}", "problem": "",
        "sections": [{"heading": "Meaning", "text": "<b>Nobody answers</b>"}], "parameters": [], "steps": [],
    }  # fmt: skip


class World:
    """A running application and what it serves."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder)
        self.reports = folder / "reports"
        self.reports.mkdir()
        self.renders = 0
        self.ready = (True, "watching")
        self.clock = 0.0
        self.port = 0
        self.trusted: list[HostName] = []
        self.site: Site
        self.session: aiohttp.ClientSession

    def metrics(self, _openmetrics: bool) -> Iterator[bytes]:
        self.renders += 1
        yield f"renders {self.renders}\n".encode()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        async with self.session.get(
            self.url(path), headers=headers, allow_redirects=False
        ) as answer:
            return answer, await answer.text()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The application on a free port, with one component, one check and one incident."""
    made = World(tmp_path)
    made.store.commit(
        Changes(
            meta={"platform": "demo"},
            checks=[check("bus-port")],
            components=[
                ComponentView("bus", "down", T0, "gone", [], "", None, 2, "halted by an operator")
            ],
            incidents=[
                Incident(
                    "I1",
                    "bus",
                    T0,
                    IncidentState.OPEN,
                    Status.DOWN,
                    "connection refused",
                    "bus-port",
                ),
                Incident(
                    "I0", "api", at(-99), IncidentState.CLOSED, Status.DOWN, "old", closed=at(-9)
                ),
            ],
            events=[("I1", T0, Event("opened", "bus is down"), {"port": 6379})],
        )
    )
    made.store.claim_attempt(Attempt("I1", 1, "bus", "restart", "down", at(5)))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    made.port = sock.getsockname()[1]
    app = make_app(
        made.store,
        made.metrics,
        lambda: made.ready,
        lambda: [*listen_hosts("127.0.0.1", made.port), *made.trusted],
        reports=made.reports,
        runbooks={"bus-unreachable": "# <b>Nobody answers</b>\n"}.get,
        known=Known(
            runbooks=lambda: {"bus-unreachable": "Nobody answers"},
            show_runbook=lambda name, _: make_book(name) if name == "bus-unreachable" else None,
        ),
        now=lambda: at(100),
        monotonic=lambda: made.clock,
    )
    made.site = app[SITE]
    page = await open_page(app, "127.0.0.1", [sock])
    async with aiohttp.ClientSession() as made.session:
        yield made
    await page.close()
    made.store.close()


async def test_every_route_answers_with_security_headers(world: World) -> None:
    """Each route of the table that reads answers a GET, with the headers of the specification, and
    refuses to be written to.
    """
    (world.reports / "r.md").write_text("text")
    names = {"/reports/{name}": "r.md", "/static/{name}": "page.css"}
    names |= dict.fromkeys(("/check/{name}", "/api/v1/checks/{name}"), "bus-port")
    names |= dict.fromkeys(("/component/{name}", "/api/v1/components/{name}"), "bus")
    names |= {"/badge/check/{name}.svg": "bus-port", "/badge/component/{name}.svg": "bus"}
    books = ("/runbooks/{name}", "/runbooks/{name}.md", "/api/v1/runbooks/{name}")
    names |= dict.fromkeys(books, "bus-unreachable")
    acting = {route.path for route in ROUTES if route.method == "POST"}
    for route in ROUTES:
        if route.path in acting:
            continue
        path = route.path.replace("{id}", "I1").replace("{name}", names.get(route.path, ""))
        answer, _ = await world.get(path)
        assert answer.status == (503 if route.path == STREAM else 200), path
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "script-src 'unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Server"] == "sentinel"
        assert "Set-Cookie" not in answer.headers
        async with world.session.head(world.url(path)) as head:
            assert (head.status, await head.read()) == (answer.status, b"")
            assert head.headers["Content-Security-Policy"] == policy
        async with world.session.post(world.url(path), json={}) as refused:
            assert refused.status == 405
            for name, value in SECURITY_HEADERS.items():
                assert refused.headers[name] == value
            assert "GET" in refused.headers["Allow"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", "x@127.0.0.1:{port}"],
)
async def test_foreign_host_is_refused(world: World, host: str) -> None:
    """Any Host but the exact ones gets 421, on every path, and no data."""
    for path in ("/", "/metrics", "/api/v1/status", "/-/healthy", "/nothing"):
        answer, text = await world.get(path, Host=host.format(port=world.port))
        assert answer.status == 421
        assert "bus" not in text


async def test_known_hosts_are_served(world: World) -> None:
    """Loopback under its names with the port is served, in any case of letters."""
    for host in (f"127.0.0.1:{world.port}", f"LocalHost:{world.port}", f"[::1]:{world.port}"):
        answer, _ = await world.get("/-/healthy", Host=host)
        assert answer.status == 200


async def test_trusted_hosts(world: World) -> None:
    """What a proxy that keeps Host passes on is served once it is trusted, in each of its
    spellings, and nothing else; loopback stays; a reload can take it away again.
    """
    names = ["status.example.com", "Status.Example.Com.", "status.example.com:443"]
    others = ["evil.status.example.com", "status.example.com.evil", "status.example.com:8080"]
    for name in names:
        assert (await world.get("/", Host=name))[0].status == 421
    world.trusted = [read_host("status.example.com"), read_host("[fd00::1]:8443")]
    for name in [*names, "[FD00:0::1]:8443", f"127.0.0.1:{world.port}"]:
        assert (await world.get("/", Host=name))[0].status == 200, name
    for name in [*others, "[fd00::1]", "status.example.com, evil", "status.example.com@evil"]:
        answer, text = await world.get("/", Host=name)
        assert (answer.status, "trusted_hosts" in text) == (421, True), name
    world.trusted = []
    assert (await world.get("/", Host=names[0]))[0].status == 421


def test_usual_port_is_left_out() -> None:
    """A page on port 80 is asked for without a port."""
    assert is_served("127.0.0.1", listen_hosts("127.0.0.1", 80))
    assert is_served("LOCALHOST.:80", listen_hosts("127.0.0.1", 80))
    assert not is_served("127.0.0.1", listen_hosts("127.0.0.1", 9130))
    assert is_served("[0:0::1]:9130", listen_hosts("127.0.0.1", 9130))


async def test_errors_are_json_for_programs(world: World) -> None:
    """404 and 405 under /api are JSON with the status, elsewhere one line of text."""
    for path in ("/api/v1/nothing", "/api/v1/incidents/nope"):
        answer, text = await world.get(path)
        assert (answer.status, json.loads(text)["status"]) == (404, 404)
    async with world.session.delete(world.url("/api/v1/status")) as answer:
        assert answer.status == 405
        assert (await answer.json())["status"] == 405
    answer, text = await world.get("/incident/nope")
    assert (answer.status, text) == (404, "404: no such incident\n")


async def test_store_that_cannot_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken store is 503 with its reason, and the next request works again."""

    def broken(**_kwargs: Any) -> list[Incident]:
        raise StateError("disk gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "incidents", broken)
        for path in ("/", "/api/v1/status", "/api/v1/incidents"):
            answer, text = await world.get(path)
            assert answer.status == 503
            assert "disk gone" in text
    answer, _ = await world.get("/api/v1/status")
    assert answer.status == 200


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing meanwhile."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    setrlimit(RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_NOFILE, (soft, hard))


async def test_without_a_descriptor_the_page_says_why(world: World) -> None:
    """When this process can open nothing more, whoever is in reads every page, also for the first
    time; what lies in a file is 503 with what the system says, and is there again later.
    """
    (world.reports / "w1.md").write_text("fine")
    await world.get("/-/healthy")  # the connection is there
    with no_descriptors():
        for path in ("/", "/faults", "/incident/I1", "/reports/", "/static/page.css", "/metrics",
                     "/api/v1/status", "/api/v1/incidents", "/api/v1/faults"):  # fmt: skip
            assert (await world.get(path))[0].status == 200, path
        answer, text = await world.get("/reports/w1.md")
        assert (answer.status, text) == (503, "503: the system refuses: Too many open files\n")
    assert (await world.get("/reports/w1.md"))[1] == "fine"


async def test_metrics_are_rendered_once_a_second(world: World) -> None:
    """Fifty scrapes within a second share one render; the next second has the next."""
    answers = await asyncio.gather(*(world.get("/metrics") for _ in range(50)))
    assert {text for _, text in answers} == {"renders 1\n"}
    assert answers[0][0].headers["Content-Type"].startswith("text/plain; version=")
    world.clock = 0.9
    assert (await world.get("/metrics"))[1] == "renders 1\n"
    world.clock = 1.1
    assert (await world.get("/metrics"))[1] == "renders 2\n"


async def test_readiness(world: World) -> None:
    """/-/ready is 503 with the reason while the daemon is not ready; /-/healthy only says that it
    answers.
    """
    assert (await world.get("/-/ready"))[0].status == 200
    world.ready = (False, "configuration is being loaded")
    answer, text = await world.get("/-/ready")
    assert (answer.status, text) == (503, "configuration is being loaded\n")
    assert (await world.get("/-/healthy"))[0].status == 200


async def test_incident_api(world: World) -> None:
    """Incidents newest first, `open=1` only the open ones; one incident with timeline and attempts."""
    every = json.loads((await world.get("/api/v1/incidents"))[1])
    assert [item["id"] for item in every] == ["I1", "I0"]
    opened = json.loads((await world.get("/api/v1/incidents?open=1"))[1])
    assert [item["id"] for item in opened] == ["I1"]
    one = json.loads((await world.get("/api/v1/incidents/I1"))[1])
    assert one["timeline"][0]["text"] == "bus is down"
    assert one["attempts"][0]["n"] == 1
    assert one["why"] == "halted by an operator"


async def test_reports_are_served_sandboxed(world: World) -> None:
    """Files of the report folder are listed and served by name, in a sandbox without scripts."""
    (world.reports / "recovery-1.html").write_text("<p>hi</p>")
    (world.reports / "recovery-1.json").write_text("{}")
    world.store.add_report(
        "recovery", T0, [str(world.reports / "recovery-1.html"), "/gone/x.md"], {"headline": "hm"}
    )
    answer, text = await world.get("/reports/recovery-1.html")
    assert (answer.content_type, text) == ("text/html", "<p>hi</p>")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (await world.get("/reports/recovery-1.json"))[0].content_type == "application/json"
    listed = json.loads((await world.get("/api/v1/reports"))[1])
    assert listed[0]["files"] == ["recovery-1.html"]
    assert "/reports/recovery-1.html" in (await world.get("/reports/"))[1]


async def test_runbooks_are_shown(world: World) -> None:
    """Where alerts and dashboards lead is a page; beside it the Markdown as it is; a name that is
    not there is 404.
    """
    answer, text = await world.get("/runbooks/bus-unreachable.md")
    assert (answer.content_type, text) == ("text/plain", "# <b>Nobody answers</b>\n")
    answer, text = await world.get("/runbooks/bus-unreachable")
    assert answer.content_type == "text/html"
    assert "<p>&lt;b&gt;Nobody answers&lt;/b&gt;</p>" in text
    for name in ("bus", "bus.md", "..%2f..%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd.md"):
        answer, _ = await world.get(f"/runbooks/{name}")
        assert answer.status == 404


@pytest.mark.parametrize(
    "name",
    ["..%2fsentinel.db", "%2e%2e/sentinel.db", "..%5csentinel.db", "%2fetc%2fpasswd", "link.md", ".hidden.md", "x.py",
     "sub%2fx.md", "a%00.md", "sub.md", "..", "x.md%0a"],
)  # fmt: skip
async def test_no_path_leaves_the_report_folder(world: World, name: str) -> None:
    """No traversal, no link, no hidden file, no folder, no other kind of file."""
    secret = world.reports.parent / "secret.md"
    secret.write_text("secret")
    (world.reports / "link.md").symlink_to(secret)
    for file in (".hidden.md", "x.py", "x.md"):
        (world.reports / file).write_text("secret")
    (world.reports / "sub.md").mkdir()
    (world.reports / "sub").mkdir()
    (world.reports / "sub" / "x.md").write_text("secret")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    request = (
        f"GET /reports/{name} HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nConnection: close\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    assert answer.split()[1] in {b"404", b"400"}
    assert b"secret" not in answer.split(b"\r\n\r\n", 1)[1]


async def test_hostile_names_are_inert(world: World) -> None:
    """Markup in any name is text on every page."""
    incident = Incident(
        HOSTILE, HOSTILE, T0, IncidentState.OPEN, Status.DOWN, HOSTILE, HOSTILE, blocked_by=HOSTILE
    )
    view = ComponentView(HOSTILE, "down", T0, HOSTILE, [], "", None, 0, HOSTILE)
    event = (HOSTILE, T0, Event(HOSTILE, HOSTILE), {HOSTILE: HOSTILE})
    hostile = check(
        HOSTILE, detail=HOSTILE, key=(HOSTILE, HOSTILE), kind=HOSTILE, component=HOSTILE
    )
    world.store.commit(
        Changes(
            meta={"platform": HOSTILE},
            checks=[hostile],
            components=[view],
            incidents=[incident],
            events=[event],
        )
    )
    world.store.add_report("recovery", T0, [], {"headline": HOSTILE})
    for path in ("/", "/incident/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/reports/"):
        answer, text = await world.get(path)
        assert answer.status == 200, path
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text


async def test_nothing_invisible_is_shown(world: World) -> None:
    """NUL, escapes and direction marks in names reach neither page nor API: every byte of JSON is
    printable ASCII, and what is read from it can't act, either.
    """
    odd = "a\0b\x1b[31m\u202ec\x7f\u2066"
    shown = "a\\u0000b\\u001b[31m\\u202ec\\u007f\\u2066"
    incident = Incident("I2", odd, T0, IncidentState.OPEN, Status.DOWN, odd, odd)
    view = ComponentView(odd, "down", T0, odd, [], "", None, 0, odd)
    world.store.commit(
        Changes(
            meta={"platform": odd},
            checks=[check(odd, detail=odd, key=(odd, odd), component=odd)],
            components=[view],
            incidents=[incident],
            events=[("I2", T0, Event(odd, odd), {odd: {odd: [odd]}})],
            faults=[stand(odd, odd)],
        )
    )
    world.store.add_report("recovery", T0, [], {"headline": odd})
    pages = {
        "/": "/api/v1/status",
        "/incident/I2": "/api/v1/incidents/I2",
        "/faults": "/api/v1/faults",
        "/reports/": "/api/v1/reports",
    }
    for pair in pages.items():
        for served in pair:
            answer, text = await world.get(served)
            assert answer.status == 200, served
            assert all(letter.isprintable() or letter in "\n\t" for letter in text), served
            if answer.content_type == "application/json":
                assert text.isascii()
                assert shown in json.dumps(json.loads(text), ensure_ascii=False).replace(
                    "\\\\", "\\"
                )
            else:
                assert shown in text.replace("␀", "\\u0000"), served


def stand(component: str, text: str, accepted: Acceptance | None = None) -> StandingFault:
    cure = (f"XLEN {text}", "sentinel faults")
    fault = Fault("lost", {"stream": text}, Status.DEGRADED, text, cure=cure)
    return StandingFault(f"{component}-port", component, fault, T0, fault.status, accepted=accepted)


async def test_faults_of_one_component(world: World) -> None:
    """The card of an incident leads to its faults; the page says that it shows only these."""
    borne = Acceptance("lost", {}, "known", at(86400))
    faults = [stand("bus", "mine"), stand("bus", "borne", borne), stand("a&b", "other")]
    views = [check("bus-port"), check("a&b-port", component="a&b")]
    world.store.commit(Changes(checks=views, faults=faults))
    link = "/faults?component=bus"
    assert link in (await world.get("/"))[1]
    assert link in (await world.get("/incident/I1"))[1]
    page = (await world.get(link))[1]
    assert "Only component bus." in page
    assert "other" not in page
    assert "redis&gt;</span> <code>XLEN mine</code>" in page
    assert "$</span> <code>sentinel faults</code>" in page
    assert "Accepted until 2026-03-02 12:00 UTC: known" in page
    assert f"/api/v1{link}" in page
    document = json.loads((await world.get("/api/v1/faults?component=a%26b"))[1])
    assert (document["open"], document["only"]) == (1, {"component": "a&b"})
    assert "component=a%26b" in (await world.get("/faults?component=a%26b"))[1]
    assert (await world.get("/faults?component=none"))[0].status == 404
    everything = (await world.get("/faults"))[1]
    assert "other" in everything
    assert "Only" not in everything


async def test_pages_have_no_inline_code(world: World) -> None:
    """Pages load their own files and nothing else: no inline script, style or handler."""
    for path in ("/", "/incident/I1", "/reports/", "/faults?check=bus-port"):
        text = (await world.get(path))[1]
        assert "<style" not in text
        assert "style=" not in text
        assert text.count("<script") == text.count('<script src="/static/')
        assert "http" not in text.replace("HTTP", "").replace("http-equiv", "")
        assert " on" not in "".join(
            part.split(">")[0] for part in text.split("<")[1:] if "=" in part.split(">")[0]
        )


async def test_answers_have_a_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be made in time is 503."""
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.0)
    assert (await world.get("/"))[0].status == 503


async def test_a_flood_waits_for_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few answers are made at a time; who waits too long for a turn is told so."""
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.1)
    for _ in range(TURNS):
        await world.site.turns.acquire()
    assert (await world.get("/-/healthy"))[0].status == 503
    world.site.turns.release()
    assert (await world.get("/-/healthy"))[0].status == 200


def test_document(tmp_path: Path) -> None:
    """The document: causes first, stale checks by age, why nothing is done, the last blindness."""
    store = SqliteStore(tmp_path)
    store.commit(
        Changes(
            checks=[
                check("fresh"),
                check("old", last_run=at(87.9), component="api", key=None),
                check("edge", last_run=at(88.1), component="bus"),
                check("never", last_run=None, status="unknown", detail="", component="db"),
            ],
            components=[
                ComponentView("bus", "up", T0, "", ["host"], "process", 42, 0, ""),
                ComponentView("api", "up", T0, "", [], "", None, 0, ""),
            ],
            incidents=[
                Incident(
                    "B", "api", at(50), IncidentState.OPEN, Status.DOWN, "x", blocked_by="bus"
                ),
                Incident(
                    "A", "bus", at(10), IncidentState.OPEN, Status.DEGRADED, "y", exhausted=True
                ),
                Incident(
                    "R", "db", at(20), IncidentState.RECOVERING, Status.DOWN, "z", recovered=at(60)
                ),
            ],
            gaps=[Gap(at(1), at(4), "stalled")],
        )
    )
    document = status_document(store, at(100))
    assert json.loads(json.dumps(document)) == document
    assert {item["name"]: item["status"] for item in document["checks"]} == {
        "fresh": "up", "old": "stale", "edge": "up", "never": "unknown",
    }  # fmt: skip
    by_name = {item["name"]: item for item in document["checks"]}
    assert by_name["fresh"]["next_text"] == "in 2.0 s"
    assert by_name["old"]["next_text"] == "overdue 7.1 s"
    assert by_name["never"]["age_text"] == "never"
    assert {item["name"]: item["status"] for item in document["components"]} == {
        "api": "stale",
        "bus": "up",
    }
    assert [item["id"] for item in document["incidents"]] == ["A", "B", "R"]
    why = {item["id"]: item["why"] for item in document["incidents"]}
    assert "`sentinel reset bus --reason repaired`" in why["A"]
    assert why["B"] == "blocked by bus: repair that first"
    assert document["incidents"][1]["root_cause"] == "bus"
    told = {item["id"]: item["state_text"] for item in document["incidents"]}
    assert told["B"] == "open for 50.0 s"
    assert told["R"] == "recovered 40.0 s ago, was bad for 40.0 s"
    assert document["blind"]["text"] == "saw nothing for 3.0 s"
    store.close()


def test_document_of_an_empty_store(tmp_path: Path) -> None:
    """Nothing watched is unknown, not up."""
    store = SqliteStore(tmp_path)
    assert status_document(store, T0)["status"] == "unknown"
    store.close()


async def test_objectives_are_shown_with_what_nobody_measured(world: World) -> None:
    """Page and API have each objective: only what was measured has a share and a budget."""
    aim = Objective(
        "late<b>", "bus-port", "bus", "up", 0.99, 30 * 86400.0, title="Bus <i>is</i> up"
    )
    counted = Slice(aim.source, at(-300), at(0), Counts(985, 1000, 300))
    standings = [
        judge_slices(aim, [counted], at(1)),
        judge_slices(replace(aim, name="nothing"), [], at(1)),
    ]
    world.store.commit(Changes(standings={each.objective.name: each for each in standings}))
    late, nothing = json.loads((await world.get("/api/v1/objectives"))[1])
    assert (late["state"], late["ratio"]) == ("missed", 0.985)
    assert late["budget_left"] == pytest.approx(-0.5)
    assert late["budget_text"] == "-50 %"
    assert (late["forecast_text"], late["events_text"]) == ("used up", "985 of 1,000")
    assert (nothing["state"], nothing["status"], nothing["ratio"]) == ("no_data", "unknown", None)
    _, page = await world.get("/")
    assert "Bus &lt;i&gt;is&lt;/i&gt; up" in page
    assert "98.5 %" in page
    assert "observed 5 min of 30 d" in page
