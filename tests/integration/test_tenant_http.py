"""Kind `tenant_http` against a real server that makes each of the known mistakes."""

from __future__ import annotations

import itertools
import json

import pytest
from aiohttp import web

from sentinel.adapters.http.client import HttpClient
from sentinel.core.fault import Status
from sentinel.demo.servers import free_port
from sentinel.probes.tenant_http import KIND, TenantHttpOptions

TOKENS = {"Bearer of-a": "a", "Bearer of-b": "b"}
ROWS = {who: [{"id": f"row-{who}-1", "text": f"marker-of-{who}", "owner": f"owner-of-{who}"}]
        for who in "ab"}  # fmt: skip
OPTIONS = {
    "tenant_a": {
        "headers": {"Authorization": "Bearer of-a", "X-Tenant-Id": "a"},
        "marker": "marker-of-a",
    },
    "tenant_b": {
        "headers": {"Authorization": "Bearer of-b", "X-Tenant-Id": "b"},
        "marker": "marker-of-b",
        "ids": ["row-b-1"],
    },
    "requests": ["/tasks?limit=5", "/search?q=marker"],
    "objects": ["/tasks/{id}"],
    "tenant_header": "x-tenant-id",
}


class Api:
    """A sound one, but for its `mistake`."""

    def __init__(self) -> None:
        self.mistake = ""
        self.asked: list[dict[str, str]] = []
        self._cached: web.Response | None = None
        self._ticks = itertools.count()

    def who(self, request: web.Request) -> str:
        """Whose request it is, or an HTTP error."""
        self.asked.append(dict(request.headers))
        owner = TOKENS.get(request.headers.get("Authorization", ""))
        asked = request.headers.get("X-Tenant-Id", "")
        if owner is None:
            if self.mistake == "anonymous":
                return "b"
            if self.mistake == "error in 200":
                raise web.HTTPOk(text='{"error": "who are you, please?"}')
            raise web.HTTPUnauthorized
        if asked and asked != owner:
            if self.mistake == "trusts the header":
                return asked
            raise web.HTTPForbidden(text=json.dumps({"error": f"tenant {asked} is not yours"}))
        return owner

    async def rows(self, request: web.Request) -> web.Response:
        """A list."""
        who = self.who(request)
        if self.mistake == "shared cache" and self._cached is not None:
            return web.json_response(self._cached)
        rows = ROWS["a"] + ROWS["b"] if self.mistake == "lists all" else ROWS[who]
        if self.mistake == "hides the marker" and "limit" in request.query:
            forged = request.headers["Authorization"] == "Bearer of-a" and who == "b"
            rows = [{k: v for k, v in row.items() if not forged or k != "text"} for row in rows]
        self._cached = {"rows": rows, "at": f"tick-{next(self._ticks)}-of-the-server"}
        return web.json_response(self._cached)

    async def row(self, request: web.Request) -> web.Response:
        """One row; somebody else's is not there."""
        who, wanted = self.who(request), request.match_info["id"]
        of = "ab" if self.mistake == "any id" else who
        for row in (row for each in of for row in ROWS[each]):
            if row["id"] == wanted:
                return web.json_response(row)
        if self.mistake == "breaks":
            raise web.HTTPInternalServerError
        return web.json_response({"error": "not found", "id": wanted}, status=404)


@pytest.fixture
async def api():
    """The server, and a look at it."""
    mistakes = Api()
    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/tasks", mistakes.rows)
    app.router.add_get("/search", mistakes.rows)
    app.router.add_get("/tasks/{id}", mistakes.row)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    yield mistakes, HttpClient("api", f"http://127.0.0.1:{port}", headers={"X-Key": "resource"})
    await runner.cleanup()


async def look(api, make_context, mistake: str = "", **changes):
    """One look while the server makes a mistake."""
    api[0].mistake = mistake
    options = TenantHttpOptions.model_validate(OPTIONS | changes)
    context = make_context({"resource": api[1]}, state=KIND.load_state(), timeout=20.0)
    finding = await KIND.run(options, context)
    for fault in finding.faults:
        assert set(fault.parameters) <= set(KIND.fault_kinds[fault.key].parameters)
    assert "of-a" not in repr(finding).replace("marker-of-a", "")
    return finding


async def test_a_sound_api_passes(api, make_context):
    """Refused is a pass, although it repeats what it was asked for; without a token nothing that
    says who asks is sent.
    """
    finding = await look(api, make_context)
    assert finding.status is Status.UP, finding.detail
    assert "11 probes, nothing of another tenant" in finding.detail
    assert KIND.requests(TenantHttpOptions.model_validate(OPTIONS)) == len(api[0].asked)
    bare = [each for each in api[0].asked if "Authorization" not in each]
    assert len(bare) == 3
    assert not [each for each in bare if "X-Key" in each or "X-Tenant-Id" in each]


MISTAKES = {
    "lists all": ("leak", "/tasks", "as tenant A"),
    "any id": ("leak", "/tasks/{id}", "an id of B with the token of A"),
    "trusts the header": ("leak", "/tasks", "the header of B with the token of A"),
    "anonymous": ("leak", "/tasks/{id}", "not signed in"),
    "shared cache": ("leak", "/search", "as tenant A"),
    "breaks": ("unjudged", "/tasks/{id}", "an id of B with the token of A"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_each_mistake_is_found(api, make_context, mistake):
    """By the path and the way in; an error of the server is no refusal."""
    finding = await look(api, make_context, mistake)
    key, path, way = MISTAKES[mistake]
    assert (key, path, way) in {(f.key, *f.subject.values()) for f in finding.faults}
    assert finding.status is (Status.DOWN if key == "leak" else Status.UNKNOWN)


async def test_an_error_in_a_200_is_no_leak(api, make_context):
    """It holds nothing of B."""
    assert (await look(api, make_context, "error in 200")).status is Status.UP


async def test_values_of_b_are_a_leak_without_the_marker(api, make_context):
    """What only B is shown in all three baselines; what changes by itself is none of that."""
    api[0].who = _believe
    finding = await look(
        api, make_context, "hides the marker", requests=["/tasks?limit=5"], objects=[]
    )
    (fault,) = finding.faults
    assert "values that only tenant B is shown" in fault.text


def _believe(request: web.Request) -> str:
    """The header, whatever the token."""
    if "Authorization" not in request.headers:
        raise web.HTTPUnauthorized
    return request.headers["X-Tenant-Id"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tenant_b": {"headers": {}, "marker": "marker-of-b", "ids": ["row-b-1"]}, "tenant_header": None},
         "control failed"),
        ({"tenant_a": OPTIONS["tenant_a"] | {"marker": "never-shown"}}, "without the marker of tenant A"),
    ],
)  # fmt: skip
async def test_without_control_nothing_is_proved(api, make_context, changes, words):
    """Who is not shown its own rows shows nothing."""
    finding = await look(api, make_context, **changes)
    assert finding.status is Status.UNKNOWN
    assert words in " ".join(fault.text for fault in finding.faults)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objects": ["/tasks/1"]}, "has {id} in it"),
        ({"requests": [], "objects": []}, "nothing to try"),
        ({"tenant_b": OPTIONS["tenant_b"] | {"marker": "marker-of-a-b"}}, "must differ"),
        ({"tenant_b": OPTIONS["tenant_b"] | {"ids": []}}, "need `ids`"),
        ({"tenant_header": "X-Org"}, "one of the `headers`"),
        ({"requests": ["tasks"]}, "begins with /"),
    ],
)
def test_what_can_not_work_is_refused(changes, words):
    """At validation, with what is wrong."""
    with pytest.raises(ValueError, match=words):
        TenantHttpOptions.model_validate(OPTIONS | changes)
