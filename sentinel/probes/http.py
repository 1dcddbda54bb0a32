"""Kind `http`: does an address answer rightly and in time?

A status of 200 is not health (platforms.md R9): assertions on the body and on its content judge
what the answer says. One request per run, within one deadline and the resource's request budget;
what the budget or the target's own limit (429, Retry-After) holds back is never an outage.
"""

from __future__ import annotations

import encodings
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from email import message
from encodings.aliases import aliases
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from sentinel.adapters.http.client import HttpResponse
from sentinel.core.fault import Fault, FaultKind, Severity, Status, headline, judge
from sentinel.core.foreign.document import ForeignDocument, OwnLimit, read_foreign_json
from sentinel.core.model import Finding, Histogram, Margin, Measurement, Row, Sli, Term
from sentinel.core.quantity import format_duration
from sentinel.core.servers.http import (
    BodyExpectation,
    Endpoint,
    HttpAnswer,
    HttpLimits,
    find_no_json,
    find_too_long,
    find_unreadable,
    judge_answer,
    judge_text,
    judge_values,
    keep_worst,
    show,
)
from sentinel.core.servers.rate_limit import read_rate_limit
from sentinel.errors import AskedToRest, TargetRejected, TargetUnreachable
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, HttpStatus, JsonPath, RegularExpression, Size

_PARENTS = random.Random(os.urandom(16))  # noqa: S311 - a name, no secret: no system call each
GOOD, SLOW, BAD = "good", "slow", "bad"
OUTCOMES = (GOOD, SLOW, BAD)
"""What becomes of a request: answered rightly and in time, rightly and too late, else."""
_NO_EVENT = frozenset({"asks_for_rest", "unjudged"})
"""Nobody was served badly: sentinel asked too often, or could not judge."""
_NO_FAILURE = frozenset({"slow", "certificate"})
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Assertion(Options):
    """One expectation of the JSON body; without a condition the path must exist. All values found
    must fit.
    """

    path: JsonPath = Field(description="JSON path (RFC 9535), such as $.components.*.status")
    exists: bool | None = Field(None, description="whether the path must lead to anything")
    equals: str | int | float | bool | None = Field(None, description="the value")
    one_of: list[str | int | float | bool] | None = Field(
        None, description="the values that are good"
    )
    matches: RegularExpression | None = Field(
        None, description="regular expression (RE2) that a text must match from its start"
    )
    min: float | None = Field(None, description="the number must be at least this")
    max: float | None = Field(None, description="the number must be at most this")
    status: Literal["degraded", "down"] = Field("down", description="what a wrong value means")

    @property
    def expectation(self) -> BodyExpectation:
        """The same, for the judgement."""
        return BodyExpectation(
            path=self.path,
            exists=self.exists,
            equals=(self.equals,) if "equals" in self.model_fields_set else (),
            one_of=self.one_of,
            matches=self.matches,
            min=self.min,
            max=self.max,
            status=Status(self.status),
        )


class Latency(Options):
    """How long the whole answer may take."""

    degraded: Duration | None = Field(None, description="slower than this is degraded")
    down: Duration | None = Field(None, description="slower than this is down")

    @property
    def levels(self) -> tuple[tuple[Status, float], ...]:
        """Those that are set, the worst first."""
        every = ((Status.DOWN, self.down), (Status.DEGRADED, self.degraded))
        return tuple((status, limit) for status, limit in every if limit is not None)


class HttpProbeOptions(Options):
    """Options of `http`."""

    resource: str | None = Field(None, description="HTTP resource to ask")
    path: str = Field(
        "/", pattern=r"^/[^\s#]*$", description="path and query behind the resource's address"
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        "GET", description="HTTP method"
    )
    headers: dict[str, SecretStr] = Field(
        {}, description="headers to send; their values are never shown"
    )
    body: str | None = Field(None, description="body to send")
    expect: list[HttpStatus] = Field([200], min_length=1, description="status codes that are good")
    latency: Latency = Field(Latency(), description="how long the whole answer may take")
    contains: str | None = Field(None, description="text that the body must contain")
    assertions: list[Assertion] = Field([], description="what the JSON body must say")
    deadline: Duration | None = Field(
        None, description="time for the whole exchange; default: the check's timeout"
    )
    max_body: Size = Field(65536, gt=0, le=1048576, description="how much of the body is read")
    connection: Literal["new", "kept"] = Field(
        "new",
        description=(
            "`new`: one for each run, as each user has one; `kept`: the one before, for a minute at"
            " most: cheaper, and blind for so long to a full backlog or another certificate"
        ),
    )
    redirects: int = Field(0, ge=0, le=10, description="redirects to follow on the same host")
    certificate_warning: Duration = Field(
        14 * 86400.0, description="warn when the certificate ends within this time"
    )

    @property
    def limits(self) -> HttpLimits:
        """What a good answer is, for the judgement."""
        return HttpLimits(tuple(self.expect), self.latency.levels, self.certificate_warning)

    @model_validator(mode="after")
    def _headers_are_sound(self) -> HttpProbeOptions:
        for name, value in self.headers.items():
            if re.search(r"[\r\n\0]", name + value.get_secret_value()):
                raise ValueError(f"header {name!r} holds a line break")
        return self


class HttpState:
    """Durations since sentinel began to watch, as a histogram, and requests by outcome."""

    __slots__ = ("counts", "requests", "sum", "total")

    def __init__(self, document: Any = None) -> None:
        document = document or {}
        self.counts = list(document.get("counts") or [0] * len(BOUNDS))
        self.total = int(document.get("total", 0))
        self.sum = float(document.get("sum", 0.0))
        known = document.get("requests") or {}
        self.requests = {each: int(known.get(each, 0)) for each in OUTCOMES}

    @property
    def histogram(self) -> Histogram:
        """The durations so far."""
        return Histogram(BOUNDS, tuple(self.counts), self.total, self.sum)

    def judge(self, finding: Finding, target: str) -> Finding:
        """Count what became of a request, where somebody can tell; the finding with the counts."""
        keys = {fault.key for fault in finding.faults}
        if finding.status is not Status.UNKNOWN and not keys & _NO_EVENT:
            outcome = BAD if keys - _NO_FAILURE else SLOW if SLOW in keys else GOOD
            self.requests[outcome] += 1
        rows = [
            Row({"target": target, "outcome": each}, {"requests": float(count)})
            for each, count in self.requests.items()
        ]
        return replace(finding, rows=[*finding.rows, *rows])

    def observe(self, seconds: float) -> Histogram:
        """Count one answer; the histogram so far."""
        self.counts = [
            count + (seconds <= bound) for count, bound in zip(self.counts, BOUNDS, strict=True)
        ]
        self.total += 1
        self.sum += seconds
        return self.histogram

    def dump(self) -> Any:
        """What must survive a restart."""
        known = {"counts": self.counts, "total": self.total, "sum": self.sum}
        return {**known, "requests": self.requests}

    async def close(self) -> None:
        """Nothing is held."""


async def run(options: HttpProbeOptions, context: Context) -> Finding:
    """Ask once and judge the answer."""
    client = context.http()
    target = {"target": client.name, "target_type": "http"}
    labels = {"target": client.name}
    try:
        response = await client.request(
            options.method,
            options.path,
            headers=_headers(options, context.trace_id),
            body=options.body.encode() if options.body is not None else None,
            timeout=options.deadline or 0.95 * context.timeout,
            max_body=options.max_body,
            redirects=options.redirects,
            keep=options.connection == "kept",
        )
    except TargetUnreachable as error:
        fault = error.as_fault(client.name)
        rows = [Row(target, {"target_up": 0.0})]
        rows.append(Row(labels, {"duration_seconds": context.state.histogram}))
        found = Finding(fault.status, fault.text, rows, guidance=fault.guidance, faults=[fault])
        return _count(context, found, client.name)
    except TargetRejected as error:  # no answer that HTTP knows: told at the next one
        if not isinstance(error, AskedToRest):
            context.state.requests[BAD] += 1
        raise
    rows = _rows(response, labels, target, context)
    endpoint = Endpoint(client.name, options.path.partition("?")[0])
    found = _finding(options, endpoint, response, rows, context.read_wall())
    return _count(context, found, client.name)


def _count(context: Context, finding: Finding, target: str) -> Finding:
    state: HttpState = context.state
    return state.judge(finding, target)


def _headers(options: HttpProbeOptions, trace_id: str) -> dict[str, str]:
    """The configured headers, and a W3C trace context (trace-id of this run, a new parent-id,
    sampled).
    """
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    parent = f"{_PARENTS.getrandbits(64):016x}"
    return {"traceparent": f"00-{trace_id}-{parent}-01", **headers}


def _finding(
    options: HttpProbeOptions,
    endpoint: Endpoint,
    response: HttpResponse,
    rows: list[Row],
    now: datetime,
) -> Finding:
    faults = keep_worst(_judge(options, endpoint, response, now))
    figures = f"{response.status} in {format_duration(response.seconds)}"
    return Finding(
        judge(faults),
        f"{headline(faults)}; answered {figures}" if faults else figures,
        rows,
        {
            "status_code": response.status,
            "seconds": response.seconds,
            "phases": {name: round(took, 6) for name, took in response.phases.items()},
            "complaints": [fault.text for fault in faults[:20]],
        },
        faults[0].guidance if faults else "",
        ("answer", figures),
        faults,
    )


def _judge(
    options: HttpProbeOptions, endpoint: Endpoint, response: HttpResponse, now: datetime
) -> Iterator[Fault]:
    ends = response.certificate_expires
    answer = HttpAnswer(
        response.status,
        response.seconds,
        response.retry_after,
        response.headers.get("Location", ""),
        (ends - now).total_seconds() if ends else None,
    )
    yield from judge_answer(endpoint, answer, options.limits)
    if response.status in options.expect:
        yield from _judge_body(options, endpoint, response)


def _judge_body(
    options: HttpProbeOptions, endpoint: Endpoint, response: HttpResponse
) -> Iterator[Fault]:
    wanted = options.contains
    if wanted is None and not options.assertions:
        return
    try:
        text = _read_text(response)
    except LookupError as error:
        yield find_unreadable(endpoint, str(error))
        return
    contained = wanted is not None and wanted in text
    if response.truncated and (options.assertions or not contained):
        yield find_too_long(endpoint, options.max_body)
        return
    if wanted is not None:
        yield from judge_text(endpoint, wanted, text.encode())
    if options.assertions:
        yield from _judge_assertions(options.assertions, endpoint, text)


def _read_text(response: HttpResponse) -> str:
    """The body as a browser reads it: by its mark, else its charset, else as UTF-8; LookupError for
    what we can't.
    """
    if response.packed:
        raise LookupError(f"it is packed as {show(response.packed)}")
    marked = json.detect_encoding(response.body) == "utf-8-sig" or response.body[:2] in _MARKS
    sent = message.Message()
    sent["Content-Type"] = response.headers.get("Content-Type", "")
    charset = "" if marked else str(sent.get_content_charset("") or "")
    try:
        if charset and encodings.normalize_encoding(charset) not in _CHARSETS:
            raise LookupError
        return response.body.decode(charset or json.detect_encoding(response.body), "replace")
    except (LookupError, ValueError) as error:
        raise LookupError(f"its charset {show(charset)} is not known here") from error


_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CHARSETS = {*aliases.keys(), *aliases.values(), "utf_8_sig", "cp874", "koi8_u", "koi8_t"}
"""What a foreign word may name. Python looks for a module of any other name, and remembers each in
vain; its codecs of domain names take seconds for a long body.
"""


def _judge_assertions(
    assertions: Sequence[Assertion], endpoint: Endpoint, text: str
) -> Iterator[Fault]:
    try:
        document = ForeignDocument(read_foreign_json(text))
        for assertion in assertions:
            found = document.find(assertion.path)
            yield from judge_values(endpoint, assertion.expectation, found)
    except OwnLimit as error:
        yield find_unreadable(endpoint, f"own limit: {error}")
    except ValueError as error:
        yield find_no_json(endpoint, error)


def _rows(
    response: HttpResponse, labels: dict[str, str], target: dict[str, str], context: Context
) -> list[Row]:
    values: dict[str, float | Histogram] = {
        "status_code": float(response.status),
        "seconds": response.seconds,
        "duration_seconds": context.state.observe(response.seconds),
    }
    if response.certificate_expires is not None:
        left = (response.certificate_expires - context.read_wall()).total_seconds()
        values["certificate_remaining_seconds"] = left
    if (limit := read_rate_limit(response.headers)) is not None:
        values |= {"rate_limit_used": float(limit.used), "rate_limit": float(limit.whole)}
    return [Row(labels, values), Row(target, {"target_up": 1.0})]


def _fault(key: str, severity: Severity, meaning: str) -> FaultKind:
    return FaultKind(key, severity, "api-failing", meaning, ("resource", "path"))


FAULTS = (
    *faults_of_target("api-failing"),
    _fault("wrong_status", Severity.PAGE, "it answers with another status code"),
    _fault("wrong_body", Severity.PAGE, "the body is not what this service says"),
    _fault("wrong_value", Severity.PAGE, "a value in the body is not as expected"),
    _fault("slow", Severity.TICKET, "the answer takes too long"),
    _fault("asks_for_rest", Severity.TICKET, "it asks sentinel to stay away for a time"),
    _fault("certificate", Severity.TICKET, "its TLS certificate ends soon, or has ended"),
    FaultKind(
        "unjudged",
        Severity.INFO,
        "sentinel-blind",
        "refused credentials, or a body too long to judge",
        ("resource", "path"),
    ),
)

KIND = Kind(
    name="http",
    summary="An HTTP answer: status, latency, content, JSON assertions, certificate",
    options=HttpProbeOptions,
    run=run,
    faults=FAULTS,
    resources={"resource": "http"},
    requests=lambda options: 1 + int(options.redirects),
    load_state=HttpState,
    patient=True,
    measurements=(
        Measurement(
            "status_code",
            "Status code of the last answer",
            "sentinel_http_status_code",
            labels=("target",),
        ),
        Measurement("seconds", "Time of the last whole answer", unit="seconds", labels=("target",)),
        Measurement(
            "duration_seconds",
            "Time of whole answers",
            "sentinel_http_duration_seconds",
            "histogram",
            "seconds",
            ("target",),
        ),
        Measurement(
            "certificate_remaining_seconds",
            "Time until the TLS certificate expires",
            "sentinel_http_certificate_remaining_seconds",
            unit="seconds",
            labels=("target",),
        ),
        Measurement(
            "requests",
            "Requests by what became of them: answered rightly and in time, too late, or not so",
            "sentinel_http_requests_total",
            "counter",
            labels=("target", "outcome"),
        ),
        Measurement(
            "rate_limit_used",
            "Requests of the target's rate limit that are used up, where its headers tell",
            labels=("target",),
        ),
        Measurement(
            "rate_limit",
            "Requests that the target's rate limit allows, where its headers tell",
            labels=("target",),
        ),
        Measurement(
            "target_up",
            "Whether the target answers at all",
            "sentinel_target_up",
            labels=("target", "target_type"),
        ),
    ),
    slis=(
        Sli(
            "in_time",
            "requests that were answered rightly, and no later than the latency of the check says",
            (Term("requests"),),
            (Term("requests", {"outcome": GOOD}),),
        ),
        Sli(
            "answered",
            "requests that were answered rightly, however late",
            (Term("requests"),),
            bad=(Term("requests", {"outcome": BAD}),),
        ),
    ),
    margins=(
        Margin("certificate", "certificate_remaining_seconds", 30 * 86400.0, unit="seconds"),
        Margin("rate limits", "rate_limit_used", 0.8, "rate_limit"),
    ),
)
