"""Who may do what on the page: every route with every scope, tokens, sessions, proxies, and what
other sites have browsers send.
"""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sentinel.core.access import AccessRules, AccessScope, AccessToken, digest_secret
from sentinel.core.foreign.host import read_host
from sentinel.core.order import Answer
from sentinel.errors import StateError, UnknownName, UsageError
from sentinel.store.sqlite import SqliteStore
from sentinel.web.access import SESSION
from sentinel.web.app import ROUTES, make_app
from sentinel.web.guard import STREAM, listen_hosts
from sentinel.web.page import open_page

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SCOPES = (AccessScope.READ, AccessScope.ACK, AccessScope.ACT, AccessScope.ADMIN)
BODIES: Mapping[str, dict[str, Any]] = {
    "/api/v1/incidents/{id}/note": {"text": "looked"},
    "/api/v1/silences": {"matchers": {"component": ["bus"]}, "for": "30m", "reason": "r"},
    "/api/v1/maintenance": {"components": ["bus"], "for": "2h", "reason": "r"},
}
"""What a route needs beside a reason."""


class Desk:
    """Writes down what it is asked for, and gives the answer of the test."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Answer | Exception | None = Answer.done("done")

    def __getattr__(self, name: str) -> Any:
        async def take(*given: Any) -> Answer | None:
            self.asked.append((name, *given))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return take


class World:
    """A page with tokens of all scopes."""

    def __init__(self, folder: Path) -> None:
        self.store, self.desk = SqliteStore(folder), Desk()
        self.rules = AccessRules(exposed=True)
        self.clock, self.now = 0.0, T0
        self.tokens = [make_token(scope) for scope in SCOPES]
        self.broken = False
        self.refused: Counter[str] = Counter()
        self.session: aiohttp.ClientSession
        self.app = make_app(
            self.store,
            lambda _: iter([b"figures\n"]),
            lambda: (False, "the disk of /secret/path is full"),
            lambda: [*listen_hosts("127.0.0.1", self.port), read_host("status.example.org")],
            reports=folder,
            now=lambda: self.now,
            monotonic=lambda: self.clock,
            rules=lambda: self.rules,
            tokens=self.read_tokens,
            desk=self.desk,
        )

    def read_tokens(self) -> tuple[AccessToken, ...]:
        if self.broken:
            raise StateError("/secret/path is not its owner's alone")
        return tuple(self.tokens)

    async def open(self) -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        self.page = await open_page(
            self.app, "127.0.0.1", [bound], count=lambda why: self.refused.update([why])
        )

    async def ask(
        self, method: str, path: str, token: str = "", **more: Any
    ) -> tuple[aiohttp.ClientResponse, str]:
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **more
        ) as answer:
            return answer, await answer.text()

    async def status(self, method: str, path: str, token: str = "", **more: Any) -> int:
        return (await self.ask(method, path, token, **more))[0].status

    async def sign_in(self, scope: str = "ack", **headers: str) -> str:
        """The cookie of a session."""
        answer, _ = await self.ask(
            "POST", "/sign-in", data={"token": secret_of(scope), "next": "/faults"}, headers=headers
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/faults")
        return answer.headers["Set-Cookie"]


def secret_of(scope: str) -> str:
    return f"sentinel_{scope}-secret"


def make_token(scope: AccessScope, **more: Any) -> AccessToken:
    return AccessToken(f"{scope}-token", scope, digest_secret(secret_of(scope)), T0, **more)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A page that others can reach."""
    made = World(tmp_path)
    await made.open()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as made.session:
        yield made
    await made.page.close()
    made.store.close()


def fill(path: str) -> str:
    return re.sub(r"\{\w+\}", "nothing", path)


# -- the route table ------------------------------------------------------------------------------


def test_every_route_declares_its_scope(world: World) -> None:
    """The route table is the whole of the application: each route that is served stands in it with
    a scope; what acts needs more than reading, and what needs no scope is on this list.
    """
    declared = {(route.method, route.path): route.scope for route in ROUTES}
    assert len(declared) == len(ROUTES)
    served = {
        ("GET" if route.method == "HEAD" else route.method, resource.canonical)
        for resource in world.app.router.resources()
        for route in resource
    }
    assert served == declared.keys()
    opened = {path for (_, path), scope in declared.items() if scope is AccessScope.OPEN}
    assert opened == {"/static/{name}", "/-/healthy", "/-/ready", "/sign-in", "/sign-out"}
    for (method, path), scope in declared.items():
        if method != "GET" and path not in opened:
            assert scope.covers(AccessScope.ACK), path


async def test_every_route_with_every_scope(world: World) -> None:
    """Without a token 401, with a lower scope 403, with the declared one or a higher an answer;
    what was refused never came as far as the desk.
    """
    for route in ROUTES:
        path = fill(route.path)
        body = {"reason": "r", **BODIES.get(route.path, {})}
        more = {} if route.method == "GET" else {"json": body}
        if route.scope is AccessScope.OPEN:
            assert await world.status(route.method, path, **more) not in {403, 429}, path
            continue
        answer, text = await world.ask(route.method, path, **more)
        assert answer.status == 401, path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert f"scope {route.scope}" in text
        for scope in SCOPES:
            world.desk.asked.clear()
            status = await world.status(route.method, path, secret_of(scope), **more)
            allowed = scope.covers(route.scope)
            assert (status == 403) is not allowed, (route.method, path, scope, status)
            # Nobody tells here what changes: the stream is there, and has nothing to say.
            fine = {503} if path == STREAM else {200, 404}
            assert status in (fine if allowed else {403}), (path, scope, status)
            assert bool(world.desk.asked) == (allowed and route.method == "POST")


async def test_a_route_that_nobody_declared(tmp_path: Path) -> None:
    """A route beside the table is for an admin only, and a page that is not there tells a stranger
    nothing.
    """

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="undeclared")

    world = World(tmp_path)
    world.app.router.add_get("/undeclared", answer)
    await world.open()
    async with aiohttp.ClientSession() as world.session:
        assert await world.status("GET", "/undeclared", secret_of("act")) == 403
        assert await world.status("GET", "/undeclared", secret_of("admin")) == 200
        assert await world.status("GET", "/nothing") == 401
        assert await world.status("PUT", "/api/v1/status") == 401
        assert await world.status("GET", "/nothing", secret_of("read")) == 404
    await world.page.close()
    world.store.close()


async def test_a_stranger_learns_no_more_than_yes_or_no(world: World) -> None:
    """`/-/ready` names paths of the machine to who may read only."""
    answer, text = await world.ask("GET", "/-/ready")
    assert (answer.status, "/secret" in text) == (503, False)
    assert "/secret/path" in (await world.ask("GET", "/-/ready", secret_of("read")))[1]
    assert "/secret" not in (await world.ask("GET", "/-/ready", "sentinel_wrong"))[1]
    world.broken, world.clock = True, 2.0
    answer, text = await world.ask("GET", "/metrics", secret_of("read"))
    assert (answer.status, "/secret" in text) == (503, False)


# -- tokens ---------------------------------------------------------------------------------------


async def test_wrong_tokens(world: World) -> None:
    """A wrong one is 401, also where somebody on loopback needs none; after twenty from an address
    nobody listens to new ones from there for a minute, right or wrong, and who was known before
    goes on.
    """
    assert await world.status("GET", "/metrics", secret_of("read")) == 200
    world.rules = AccessRules()
    assert await world.status("GET", "/metrics") == 200
    for _ in range(20):
        assert await world.status("GET", "/metrics", "sentinel_wrong") == 401
    answer, text = await world.ask("GET", "/metrics", "sentinel_wrong")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert "wrong tokens" in text
    assert await world.status("GET", "/metrics", secret_of("act")) == 429
    assert await world.status("GET", "/metrics", secret_of("read")) == 200
    assert world.refused == {"wrong_token": 20, "throttled": 2}
    world.clock = 61.0
    assert await world.status("GET", "/metrics", secret_of("act")) == 200


async def test_tokens_that_are_over_or_revoked(world: World) -> None:
    """One that is over is none; one that was taken away is none a second later, with its sessions."""
    cookie = (await world.sign_in("read")).partition(";")[0]
    world.tokens.append(
        AccessToken("short", AccessScope.READ, digest_secret("s"), T0, T0 + timedelta(seconds=9))
    )
    world.clock = 2.0
    assert await world.status("GET", "/metrics", "s") == 200
    world.now += timedelta(seconds=9)
    assert await world.status("GET", "/metrics", "s") == 401
    assert await world.status("GET", "/metrics", headers={"Cookie": cookie}) == 200
    del world.tokens[0]
    world.clock = 4.0
    assert await world.status("GET", "/metrics", secret_of("read")) == 401
    assert await world.status("GET", "/metrics", headers={"Cookie": cookie}) == 401


async def test_who_one_is(world: World) -> None:
    """The API tells who one is, and when a token was used is kept to the minute."""
    world.now += timedelta(seconds=75)
    _, text = await world.ask("GET", "/api/v1/caller", secret_of("ack"))
    assert json.loads(text) == {"name": "ack-token", "scope": "ack", "known_by": "token"}
    assert world.page.used == {"ack-token": "2026-03-01T12:01:00.000000Z"}


async def test_other_schemes_and_several(world: World) -> None:
    """Another scheme is no token, in any case of letters `Bearer` is one, two headers are none."""
    basic = {"Authorization": "Basic dTpw"}
    assert await world.status("GET", "/metrics", headers=basic) == 401
    lower = {"Authorization": f"bearer  {secret_of('read')}"}
    assert await world.status("GET", "/metrics", headers=lower) == 200
    async with world.session.get(
        f"http://127.0.0.1:{world.port}/metrics",
        headers=[("Authorization", f"Bearer {secret_of('read')}"), ("Authorization", "Basic x")],
    ) as answer:
        assert answer.status == 400
    assert await world.status("GET", f"/metrics?token={secret_of('read')}") == 401


# -- loopback -------------------------------------------------------------------------------------


async def test_loopback(world: World) -> None:
    """Where only this machine can connect, reading needs no token and acting does; the
    configuration may give more, or nothing. A page that others reach knows no loopback.
    """
    ack, reason = "/api/v1/incidents/I1/ack", {"json": {}}
    world.rules = AccessRules()
    assert await world.status("GET", "/metrics") == 200
    assert await world.status("POST", ack, **reason) == 401
    assert world.desk.asked == []
    world.rules = AccessRules(loopback=AccessScope.ACK)
    assert await world.status("POST", ack, **reason) == 200
    assert world.desk.asked == [("acknowledge", "I1", "somebody on loopback", "")]
    assert await world.status("POST", "/api/v1/halt", json={"reason": "r"}) == 401
    world.rules = AccessRules(loopback=AccessScope.OPEN)
    assert await world.status("GET", "/metrics") == 401
    world.rules = AccessRules(exposed=True, loopback=AccessScope.ADMIN)
    assert await world.status("GET", "/metrics") == 401


# -- sessions, and what other sites send ----------------------------------------------------------


async def test_a_browser_signs_in(world: World) -> None:
    """Who is not known is shown the form, which leads back; the cookie is for this page only, and
    is over in time; a wrong token says so.
    """
    answer, text = await world.ask("GET", "/incident/I1?a=b", headers={"Accept": "text/html"})
    assert (answer.status, answer.content_type) == (401, "text/html")
    assert 'value="/incident/I1?a=b"' in text
    answer, text = await world.ask("POST", "/sign-in", data={"token": "x"})
    assert (answer.status, "no such token" in text) == (401, True)
    cookie = await world.sign_in("ack")
    name, value = cookie.partition(";")[0].split("=")
    assert name == f"sentinel-{world.port}"
    assert secret_of("ack") not in value
    for word in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={SESSION.seconds}"):
        assert word in cookie
    assert "Secure" not in cookie  # this is no TLS
    mine = {"Cookie": f"{name}={value}"}
    _, text = await world.ask("GET", "/api/v1/caller", headers=mine)
    assert json.loads(text) == {"name": "ack-token", "scope": "ack", "known_by": "session"}
    expiry, _, signature = value.partition(".")
    for forged in (
        f"{int(expiry) + 1}.{signature}",
        f"{expiry}.{signature[:-1]}0",
        f"{expiry}.",
        "x",
    ):
        assert await world.status("GET", "/metrics", headers={"Cookie": f"{name}={forged}"}) == 401
    world.now += SESSION
    assert await world.status("GET", "/metrics", headers=mine) == 401


@pytest.mark.parametrize(
    "wanted", ["//evil.example/", "/\\evil.example", "https://evil", "", "/\t/e"]
)
async def test_sign_in_leads_nowhere_else(world: World, wanted: str) -> None:
    """No form leads to another site."""
    given = {"token": secret_of("read"), "next": wanted}
    answer, _ = await world.ask("POST", "/sign-in", data=given)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_sign_out(world: World) -> None:
    """The cookie is taken away."""
    cookie = (await world.sign_in("ack")).partition(";")[0]
    origin = f"http://127.0.0.1:{world.port}"
    answer, _ = await world.ask("POST", "/sign-out", headers={"Cookie": cookie, "Origin": origin})
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


CROSS = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://evil.example@127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://\u00e9.example"},
    {"Origin": "http://["},
]


@pytest.mark.parametrize("headers", CROSS)
async def test_other_sites_send_nothing(world: World, headers: dict[str, str]) -> None:
    """G8: a POST that a page of somebody else has a browser send is 403, with a session, with a
    token, on loopback, and for signing in; it is counted, and does nothing.
    """
    sent = {name: value.format(port=world.port) for name, value in headers.items()}
    cookie = {"Cookie": (await world.sign_in("admin")).partition(";")[0]}
    form = {"data": {"reason": "r"}}
    path = "/api/v1/halt"
    assert await world.status("POST", path, headers=sent | cookie, **form) == 403
    assert await world.status("POST", path, secret_of("admin"), headers=sent, **form) == 403
    world.rules = AccessRules(loopback=AccessScope.ADMIN)
    assert await world.status("POST", path, headers=sent, **form) == 403
    given = {"token": secret_of("admin")}
    assert await world.status("POST", "/sign-in", headers=sent, data=given) == 403
    assert world.desk.asked == []
    assert world.refused == {"cross_site": 4}


async def test_own_pages_send(world: World) -> None:
    """A form of our own page, by address or by a trusted name, is taken and leads back; a session
    that does not say from which page it comes is refused.
    """
    cookie = {"Cookie": (await world.sign_in("act")).partition(";")[0]}
    form = {"data": {"reason": "it burns", "next": "/incident/I1"}}
    for said in (
        {"Origin": f"http://127.0.0.1:{world.port}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://status.example.org"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        answer, _ = await world.ask("POST", "/api/v1/halt", headers=cookie | said, **form)
        assert (answer.status, answer.headers["Location"]) == (303, "/incident/I1")
    assert world.desk.asked == [("halt", "act-token (token)", "it burns")] * 3
    assert await world.status("POST", "/api/v1/halt", headers=cookie, **form) == 403


# -- proxies --------------------------------------------------------------------------------------


async def test_a_trusted_proxy_says_who_it_is(world: World) -> None:
    """Its header is the user, into the audit log; without one nobody is known, also on loopback;
    its `Authorization` is its own matter; https as it says makes the cookie Secure.
    """
    world.rules = AccessRules(
        proxies=(ip_network("127.0.0.0/8"),), user_scope=AccessScope.ACK, user_header="X-User"
    )
    jwt = {"Authorization": "Bearer eyJ"}
    sent = {"X-User": "ann@example.org", "Origin": "https://status.example.org", **jwt}
    assert await world.status("POST", "/api/v1/incidents/I1/ack", headers=sent, json={}) == 200
    assert world.desk.asked == [("acknowledge", "I1", "ann@example.org (by proxy)", "")]
    assert await world.status("POST", "/api/v1/halt", headers=sent, json={"reason": "r"}) == 403
    assert await world.status("GET", "/") == 401
    assert await world.status("GET", "/", headers={"X-User": " "}) == 401
    assert await world.status("GET", "/", headers={"X-User": "x" * 200}) == 400
    assert await world.status("GET", "/", headers={"X-User": "b\u202ea"}) == 200
    cookie = await world.sign_in("read", **{"X-Forwarded-Proto": "https"})
    assert cookie.startswith(f"__Host-sentinel-{world.port}=")
    assert "Secure" in cookie
    no_origin = {"X-User": "ann@example.org"}
    assert await world.status("POST", "/api/v1/silences/x/end", headers=no_origin) == 403


async def test_a_feed_leads_back_by_the_way_it_came(world: World) -> None:
    """Behind a proxy that speaks TLS its links begin with https; nobody else says so."""
    said = {"Host": "status.example.org", "X-Forwarded-Proto": "https"}
    for proxies, scheme in (((ip_network("127.0.0.0/8"),), "https"), ((), "http")):
        world.rules = AccessRules(exposed=True, proxies=proxies)
        _, text = await world.ask("GET", "/incidents.rss", secret_of("read"), headers=said)
        assert f"<link>{scheme}://status.example.org/incidents</link>" in text


async def test_others_are_no_proxy(world: World) -> None:
    """Who names a user and is no trusted proxy is refused and counted; where no proxy is trusted
    the header means nothing. What says where somebody comes from counts nowhere.
    """
    world.rules = AccessRules(proxies=(ip_network("10.0.0.0/8"),))
    forged = {
        "X-Forwarded-User": "root",
        "X-Forwarded-For": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
    }
    answer, text = await world.ask("GET", "/", headers=forged)
    assert (answer.status, "trusted_proxies" in text) == (403, True)
    assert world.refused == {"forged_user": 1}
    world.rules = AccessRules(exposed=True)
    assert await world.status("GET", "/", headers=forged) == 401
    world.rules = AccessRules()
    _, text = await world.ask("GET", "/api/v1/caller", headers=forged)
    assert json.loads(text)["name"] == ""
    cookie = await world.sign_in("read", **{"X-Forwarded-Proto": "https"})
    assert "Secure" not in cookie


async def test_without_tls_only_proxies_connect(tmp_path: Path) -> None:
    """A page that others can reach, without TLS, hears nobody but its proxies and this machine."""
    rules = AccessRules(exposed=True, proxies=(ip_network("10.1.0.7"),))
    assert rules.may_connect("10.1.0.7")
    assert rules.may_connect("::ffff:10.1.0.7")
    assert rules.may_connect("127.0.0.1")
    for stranger in ("10.1.0.8", "::ffff:10.1.0.8", "fd00::1", "", "10.1.0.7.evil"):
        assert not rules.may_connect(stranger)
    assert AccessRules(exposed=True, encrypted=True).may_connect("10.1.0.8")


# -- orders ---------------------------------------------------------------------------------------

ORDERS: Sequence[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("incidents/I%201/ack", {"reason": "mine"}, ("acknowledge", "I 1", "mine")),
    ("incidents/I1/note", {"text": "a\u202e  b\n"}, ("note", "I1", "a\\u202e b")),
    ("silences", {"matchers": ["component=b*", "component=c"], "for": "30m", "reason": "r"},
     ("silence", {"component": ["b*", "c"]}, 1800.0, "r")),
    ("silences", {"matchers": {"component": "b* c"}, "for": "30m", "reason": "r"},
     ("silence", {"component": ["b*", "c"]}, 1800.0, "r")),
    ("silences/s-1/end", {}, ("end_silence", "s-1")),
    ("maintenance", {"components": ["bus", "api"], "for": "2h", "reason": "r"},
     ("maintain", "", ["bus", "api"], 7200.0, "r")),
    ("maintenance/m-1/end", {}, ("end_maintenance", "m-1")),
    ("halt", {"reason": "r"}, ("halt", "r")),
    ("resume", {}, ("resume", "")),
    ("components/api/restart", {"reason": "r"}, ("restart", "api", "r")),
    ("breaker/close", {"reason": "r"}, ("close_breaker", "r")),
    ("reload", {}, ("reload", "")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "asked"), ORDERS)
async def test_orders(
    world: World, path: str, body: dict[str, Any], asked: tuple[Any, ...]
) -> None:
    """Each order comes to the desk as it was sent, in the name of who sent it."""
    status = await world.status("POST", f"/api/v1/{path}", secret_of("admin"), json=body)
    assert status == 200
    [given] = world.desk.asked
    assert "admin-token (token)" in given
    assert tuple(each for each in given if each != "admin-token (token)") == asked


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "`matchers` is no list"),
        ({"matchers": [], "for": "1h", "reason": "r"}, "0 entries"),
        ({"matchers": ["x"], "for": "1h", "reason": "r"}, "no matcher"),
        ({"matchers": ["a=b"] * 21, "for": "1h", "reason": "r"}, "21 entries"),
        ({"matchers": ["a=b"], "for": "soon", "reason": "r"}, "`for`"),
        ({"matchers": ["a=b"], "for": "1h"}, "`reason` is missing"),
        ({"matchers": ["a=b"], "for": "1h", "reason": " "}, "`reason` says nothing"),
        ({"matchers": ["a=b"], "for": "1h", "reason": 7}, "`reason` is no text"),
        ({"matchers": ["a=b"], "for": "1h", "reason": "r" * 501}, "more than 500"),
    ],
)
async def test_orders_that_make_no_sense(world: World, body: dict[str, Any], said: str) -> None:
    """What is missing or wrong is 400 and named, and nothing is done."""
    answer, text = await world.ask("POST", "/api/v1/silences", secret_of("ack"), json=body)
    assert (answer.status, said in json.loads(text)["error"]) == (400, True), text
    assert world.desk.asked == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer.done("halted"), 200),
        (Answer.refused("busy"), 409),
        (Answer.failed("it died"), 500),
        (Answer.unknown("who?"), 404),
        (None, 202),
        (UnknownName("no such thing"), 404),
        (UsageError("no"), 400),
        (StateError("disk full"), 503),
    ],
)
async def test_what_became_of_it(
    world: World, answer: Answer | Exception | None, status: int
) -> None:
    """Each outcome has its status, for a program as JSON; a form leads back only when it was taken."""
    world.desk.answer = answer
    mine = secret_of("act")
    got, text = await world.ask("POST", "/api/v1/halt", mine, json={"reason": "r"})
    assert got.status == status
    assert ("outcome" in json.loads(text)) == (status < 300)
    form = {"data": {"reason": "r"}, "headers": {"Accept": "text/html"}}
    assert await world.status("POST", "/api/v1/halt", mine, **form) == (
        303 if status < 300 else status
    )


async def test_bodies(world: World) -> None:
    """Another type, what is no JSON object, what is too deep or too large is refused."""
    mine = secret_of("act")

    async def send(data: bytes, kind: str) -> int:
        headers = {"Content-Type": kind}
        return await world.status("POST", "/api/v1/halt", mine, data=data, headers=headers)

    assert await send(b'{"reason": "r"}', "text/plain") == 415
    assert await send(b"reason=r", "multipart/form-data; boundary=x") == 415
    for charset in ("nonsense", "undefined", "zlib", "idna", "punycode", "utf-7"):
        form = f"application/x-www-form-urlencoded; charset={charset}"
        assert await send(b"reason=r", form) == 400
    assert await send(b"reason=\xff", "application/x-www-form-urlencoded") == 400
    for data in (b"", b"[]", b"{", b"[" * 9000, b"\xff"):
        assert await send(data or b" ", "application/json") == 400
    assert await send(b" " * 70_000, "application/json") == 413
    assert world.desk.asked == []
    large = json.dumps({"reason": "r", "more": "x" * 60_000}).encode()
    assert await send(large, "application/json") == 200
