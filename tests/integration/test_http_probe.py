"""Kind `http`: judging answers of a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from pydantic import ValidationError

from sentinel.adapters.http.client import HttpClient, HttpResponse
from sentinel.core.fault import Status
from sentinel.core.model import Histogram
from sentinel.core.servers.http import Endpoint
from sentinel.core.servers.pace import RequestBudget
from sentinel.demo.servers import free_port
from sentinel.errors import NotMeasurable, TargetRejected
from sentinel.probes.http import BOUNDS, KIND, HttpProbeOptions, HttpState, _finding

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def look(make_context):
    """`look(answer, **options)`: serve this body (or handler), run the kind once."""
    clients, runners = [], []

    async def once(answer, state=None, budget=None, status: int = 200, **options):
        async def fixed(_request: web.Request) -> web.Response:
            return web.Response(
                body=answer if isinstance(answer, bytes) else json.dumps(answer), status=status
            )

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer if callable(answer) else fixed)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        client = HttpClient("api", f"http://127.0.0.1:{port}", budget=budget)
        clients.append(client)
        runners.append(runner)
        context = make_context({"resource": client}, state=state or HttpState(), check="api-health")
        return await KIND.run(HttpProbeOptions.model_validate(options), context)

    yield once
    for client in clients:
        await client.close()
    for runner in runners:
        await runner.cleanup()


def asserting(**assertion) -> dict:
    return {"assertions": [assertion]}


BODY = {
    "status": "unhealthy",
    "n": 3,
    "ok": True,
    "components": {"a": {"s": "up"}, "b": {"s": "down"}},
    "none": None,
}


@pytest.mark.parametrize(
    ("assertion", "good"),
    [
        ({"path": "$.status", "equals": "unhealthy"}, True),
        ({"path": "$.status", "equals": "healthy"}, False),
        ({"path": "$.ok", "equals": True}, True),
        ({"path": "$.ok", "equals": 1}, False),
        ({"path": "$.n", "equals": 3}, True),
        ({"path": "$.none", "equals": None}, True),
        ({"path": "$.n", "equals": None}, False),
        ({"path": "$.components.*.s", "one_of": ["up", "down"]}, True),
        ({"path": "$.components.*.s", "one_of": ["up"]}, False),
        ({"path": "$.status", "matches": "un"}, True),
        ({"path": "$.status", "matches": "healthy"}, False),
        ({"path": "$.n", "matches": "3"}, False),
        ({"path": "$.n", "min": 3.0, "max": 3.0}, True),
        ({"path": "$.n", "min": 3.5}, False),
        ({"path": "$.n", "max": 2.5}, False),
        ({"path": "$.status", "min": 0.0}, False),
        ({"path": "$.ok", "min": 0.0}, False),
        ({"path": "$.n"}, True),
        ({"path": "$.missing"}, False),
        ({"path": "$.missing", "equals": "x"}, False),
        ({"path": "$.missing", "exists": False}, True),
        ({"path": "$.metadata.error", "exists": False}, True),
        ({"path": "$.status", "exists": False}, False),
        ({"path": "$.components[?@.s == 'down'].s", "exists": True}, True),
    ],
)
async def test_assertions_on_the_body(look, assertion, good):
    """Each condition holds for the values it means, and 200 with a wrong body is down (R9)."""
    finding = await look(BODY, assertions=[assertion])
    assert finding.status is (Status.UP if good else Status.DOWN), finding.detail


async def test_assertion_may_mean_degraded(look):
    """The check says what a wrong value means."""
    finding = await look(BODY, assertions=[{"path": "$.n", "max": 1.0, "status": "degraded"}])
    assert finding.status is Status.DEGRADED
    assert "/: $.n is 3, not at most 1" in finding.detail


async def test_each_wrong_value_is_a_fault_at_its_own_place(look):
    """A wildcard names the parts that are wrong, and only those; the query of the path is kept to
    ourselves.
    """
    assertions = [{"path": "$.components.*.s", "equals": "ok"}, {"path": "$.n", "max": 1.0}]
    finding = await look(BODY, path="/health?token=s3cret", assertions=assertions)
    assert [dict(fault.subject) for fault in finding.faults] == [
        {"path": "/health", "assertion": "$.components.a.s"},
        {"path": "/health", "assertion": "$.components.b.s"},
        {"path": "/health", "assertion": "$.n"},
    ]
    assert {fault.key for fault in finding.faults} <= KIND.fault_kinds.keys()
    assert "s3cret" not in repr(finding)


async def test_hostile_value_is_shown_harmlessly(look):
    """What the body says is quoted in printable ASCII and cut."""
    finding = await look(
        {"s": "\x1b[2J" + "é" * 1000}, assertions=[{"path": "$.s", "equals": "ok"}]
    )
    assert finding.detail.replace("…", "").isascii()
    assert finding.detail.isprintable()
    assert len(finding.detail) < 250


@pytest.mark.parametrize("body", [b"not json", b"\xff\xfe", b""])
async def test_body_that_is_no_json_is_down(look, body):
    """Assertions on what can't be parsed fail with that reason."""
    finding = await look(body, assertions=[{"path": "$.a"}])
    assert finding.status is Status.DOWN
    assert "not JSON" in finding.detail


async def test_content(look):
    """The expected text decides; without it 200 is down."""
    assert (await look(b"welcome to acme", contains="acme")).status is Status.UP
    assert (await look(b"parked domain", contains="acme")).status is Status.DOWN


async def test_body_over_the_limit_is_not_judged(look):
    """What was not read can't be said to be missing."""
    finding = await look(b"x" * 2000 + b"acme", contains="acme", max_body="1kB")
    assert finding.status is Status.UNKNOWN
    finding = await look(b"[" + b"1," * 1000 + b"1]", max_body="1kB", **asserting(path="$"))
    assert finding.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("status", "expect", "verdict"),
    [
        (200, [200], Status.UP),
        (204, [200, 204], Status.UP),
        (500, [200], Status.DOWN),
        (404, [200], Status.DOWN),
        (503, [200], Status.DOWN),
        (429, [200], Status.DEGRADED),
        (401, [200], Status.UNKNOWN),
        (403, [200], Status.UNKNOWN),
        (401, [401], Status.UP),
    ],
)
async def test_status_codes(look, status, expect, verdict):
    """Expected is up; refused credentials are ours; asked to stay away is degraded; anything else
    is down.
    """
    assert (await look(b"", status=status, expect=expect)).status is verdict


async def test_latency_levels(look):
    """Over a level it is what the level says, the worse one alone."""
    assert (await look(b"", latency={"degraded": "10s"})).status is Status.UP
    assert (await look(b"", latency={"degraded": "0.001ms"})).status is Status.DEGRADED
    finding = await look(b"", latency={"degraded": "0.001ms", "down": "0.002ms"})
    assert finding.status is Status.DOWN
    assert finding.detail.count("answer took") == 1


async def test_trace_context_travels(look):
    """The run's trace id is in a well-formed traceparent with a parent id of its own."""
    seen = []

    async def keep(request: web.Request) -> web.Response:
        seen.append(request.headers["traceparent"])
        return web.Response()

    await look(keep)
    await look(keep)
    assert all(
        re.fullmatch(r"00-0123456789abcdef0123456789abcdef-[0-9a-f]{16}-01", text) for text in seen
    )
    assert seen[0] != seen[1]


async def test_method_headers_and_body(look):
    """The check's own request is sent, and secrets in headers are not shown."""
    seen = {}

    async def keep(request: web.Request) -> web.Response:
        seen.update(
            method=request.method, token=request.headers["X-Token"], body=await request.text()
        )
        return web.Response(status=500)

    options = {"method": "POST", "headers": {"X-Token": "s3cret"}, "body": "{}", "path": "/x?a=b"}
    finding = await look(keep, **options)
    assert seen == {"method": "POST", "token": "s3cret", "body": "{}"}
    assert "s3cret" not in repr(finding) + repr(HttpProbeOptions.model_validate(options))


async def test_spent_budget_is_unknown(look):
    """A redirect over a budget of one request is our side."""

    async def away(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/x"})

    with pytest.raises(NotMeasurable, match="budget spent"):
        await look(away, budget=RequestBudget(1, 60.0), redirects=2)


async def test_backing_off_is_degraded(look, make_context):
    """The run after a 429 is not sent and not down."""
    clients = []

    async def once(_request: web.Request) -> web.Response:
        clients.append(1)
        return web.Response(status=429, headers={"Retry-After": "60"})

    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/", once)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    client = HttpClient("api", f"http://127.0.0.1:{port}")
    context = make_context({"resource": client}, state=HttpState())
    assert (await KIND.run(HttpProbeOptions(), context)).status is Status.DEGRADED
    with pytest.raises(TargetRejected):
        await KIND.run(HttpProbeOptions(), context)
    await client.close()
    await runner.cleanup()
    assert len(clients) == 1
    assert sum(context.state.requests.values()) == 0  # nobody was served badly


def counted(finding) -> dict[str, float]:
    """Requests by outcome, as the rows have them."""
    rows = [row for row in finding.rows if "requests" in row.values]
    return {row.labels["outcome"]: row.values["requests"] for row in rows}


async def test_each_request_is_an_event_once(look):
    """Right and in time, right and late, wrong, no HTTP; over a restart. What we may not see is
    none.
    """

    async def slowly(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response()

    async def nonsense(_request: web.Request) -> web.Response:
        return web.Response(status=999)

    state = HttpState()
    assert counted(await look(b"", state=state)) == {"good": 1, "slow": 0, "bad": 0}
    latency = {"latency": {"degraded": "1ms", "down": "1m"}}
    assert counted(await look(slowly, state=state, **latency))["slow"] == 1
    assert counted(await look(b"", state=state, status=500))["bad"] == 1
    assert counted(await look(b"", state=state, status=401)) == {"good": 1, "slow": 1, "bad": 1}
    with pytest.raises(TargetRejected, match="no status"):
        await look(nonsense, state=state)
    state = HttpState(state.dump())
    assert counted(await look(b"x", state=state, contains="y")) == {"good": 1, "slow": 1, "bad": 3}


async def test_the_rate_limit_is_read(look):
    """Of the headers that tell it, for the report's risks."""

    async def limited(_request: web.Request) -> web.Response:
        return web.Response(headers={"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "6"})

    (row,) = (each for each in (await look(limited)).rows if "rate_limit" in each.values)
    assert (row.values["rate_limit_used"], row.values["rate_limit"]) == (54, 60)
    assert not any("rate_limit" in each.values for each in (await look(b"")).rows)


async def test_measurements(look):
    """All declared ones come but for what the target does not have, with exactly their labels; the histogram counts
    over a restart.
    """
    state = HttpState()
    await look(b"", state=state)
    finding = await look(b"", state=HttpState(state.dump()))
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert {n for row in finding.rows for n in row.values} == set(labels) - {
        "certificate_remaining_seconds", "rate_limit", "rate_limit_used",
    }  # fmt: skip
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)
    histogram = finding.rows[0].values["duration_seconds"]
    assert isinstance(histogram, Histogram)
    assert histogram.total == 2


def test_histogram_is_cumulative():
    """Each bucket counts what is not above its bound; bounds are inclusive."""
    state = HttpState()
    for seconds in (0.005, 0.1, 99.0):
        histogram = state.observe(seconds)
    assert dict(zip(BOUNDS, histogram.counts, strict=True))[0.1] == 2
    assert histogram.counts[0] == 1
    assert (histogram.total, histogram.sum) == (3, pytest.approx(99.105))


async def test_nobody_there_is_down_with_target_up_zero(make_context):
    """Refused: down, and the gauge is 0, not missing; what was counted stays."""
    client = HttpClient("api", f"http://127.0.0.1:{free_port()}")
    finding = await KIND.run(
        HttpProbeOptions(), make_context({"resource": client}, state=HttpState())
    )
    await client.close()
    assert finding.status is Status.DOWN
    values = [dict(row.values) for row in finding.rows]
    assert values[0] == {"target_up": 0.0}
    assert values[1]["duration_seconds"].total == 0
    assert counted(finding) == {"good": 0, "slow": 0, "bad": 1}
    (fault,) = finding.faults
    assert (fault.key, fault.parameters) == ("unreachable", {"resource": "api"})


@pytest.mark.parametrize(("days", "status"), [(13.9, Status.DEGRADED), (14.1, Status.UP)])
def test_certificate_near_its_end_is_degraded(days, status):
    """14 days before its end it is time to renew (C6)."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    response = HttpResponse(
        200, {}, b"", 0.1, False, certificate_expires=now + timedelta(days=days)
    )
    endpoint = Endpoint("api", "/")
    assert _finding(HttpProbeOptions(), endpoint, response, [], now).status is status


@pytest.mark.parametrize(
    "options",
    [
        {"path": "x"},
        {"path": "/a b"},
        {"assertions": [{"path": "not a path"}]},
        {"assertions": [{"path": "$.a", "matches": "("}]},
        {"headers": {"A": "b\r\nC: d"}},
        {"method": "BREW"},
        {"expect": []},
        {"expect": [999]},
        {"expect": [0]},
        {"max_body": "2MB"},
        {"deadline": 5},
    ],
)
def test_bad_options_are_refused(options):
    """Each is a problem of the configuration, not of a run."""
    with pytest.raises(ValidationError):
        HttpProbeOptions.model_validate(options)


def plainly(body: bytes, **headers: str) -> Handler:
    """Answers with this body and these headers."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (plainly(b"\x8b\x02", Content_Encoding="br"), 'packed as "br"'),
        (plainly(b"\x28\xb5", Content_Encoding="zstd"), 'packed as "zstd"'),
        (plainly(b'{"n": ' + b"9" * 5000 + b"}"), "own limit: an integer of too many digits"),
        (plainly(b"[" * 60_000), "own limit: it is nested too deep"),
        (plainly(b"{}", Content_Type="application/json; charset=klingon"), "charset"),
        (plainly(b"9" * 60_000, Content_Type="text/plain; charset=punycode"), "charset"),
    ],
)
async def test_body_that_we_can_not_read_is_unknown(look, answer, text):
    """An encoding, a limit, a charset of ours: never down; and it is named."""
    finding = await look(answer, max_body="1MiB", **asserting(path="$.n"))
    assert (finding.status, finding.faults[0].key) == (Status.UNKNOWN, "unjudged")
    assert text in finding.faults[0].text


async def test_packed_body_that_nobody_wants_is_up(look):
    """Who judges the status alone needs no body."""
    assert (await look(plainly(b"\x8b", Content_Encoding="br"))).status is Status.UP


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"s": "größe"}'.encode("latin-1"), "application/json; charset=ISO-8859-1"),
        ('{"s": "größe"}'.encode("utf-16"), "application/json"),
        ('{"s": "größe"}'.encode("utf-8-sig"), "application/json; charset=latin-1"),
        ('{"s": "größe"}'.encode(), "application/json"),
    ],
)
async def test_charset_is_taken_as_browsers_take_it(look, body, content_type):
    """By its mark, else by its name, else as UTF-8: for texts and for values."""
    answer = plainly(body, Content_Type=content_type)
    wanted = asserting(path="$.s", equals="größe")
    assert (await look(answer, contains="größe", **wanted)).status is Status.UP
