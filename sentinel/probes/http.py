"""Kind `http`: does an address answer rightly and in time?

A status of 200 is not health (platforms.md R9): assertions on the body and on its content judge
what the answer says. One request per run, within one deadline and the resource's request budget;
what the budget or the target's own limit (429, Retry-After) holds back is never an outage.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from jsonpath import JSONPathEnvironment, JSONPathError
from pydantic import Field, SecretStr, field_validator, model_validator

from sentinel.adapters.http import HttpResponse
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Histogram, Measurement, Row
from sentinel.core.quantity import format_bytes, format_duration
from sentinel.errors import NotMeasurable, TargetUnreachable
from sentinel.probes import Context, Kind, Options
from sentinel.strict.field import Duration, Size

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_PATHS = JSONPathEnvironment(strict=True)
_OURS = {401, 403, 407}
_SHOWN = 120


class Assertion(Options):
    """One expectation of the JSON body; without a condition the path must exist. All values found
    must fit.
    """

    path: str = Field(description="JSON path (RFC 9535), such as $.components.*.status")
    exists: bool | None = Field(None, description="whether the path must lead to anything")
    equals: str | int | float | bool | None = Field(None, description="the value")
    one_of: list[str | int | float | bool] | None = Field(
        None, description="the values that are good"
    )
    matches: str | None = Field(
        None, description="regular expression that a text must match from its start"
    )
    min: float | None = Field(None, description="the number must be at least this")
    max: float | None = Field(None, description="the number must be at most this")
    status: Literal["degraded", "down"] = Field("down", description="what a wrong value means")

    @field_validator("path")
    @classmethod
    def _is_json_path(cls, path: str) -> str:
        try:
            _PATHS.compile(path)
        except JSONPathError as error:
            raise ValueError(f"{path!r} is no JSON path: {error}") from error
        return path

    @field_validator("matches")
    @classmethod
    def _is_expression(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        return text

    def complaints(self, body: Any) -> Iterator[str]:
        """What is wrong with the body, in words; at most a few."""
        found = _PATHS.findall(self.path, body)
        if self.exists is False:
            if found:
                yield f"{self.path} is there: {_shown(found[0])}"
        elif not found:
            yield f"{self.path} is not there"
        else:
            yield from [
                f"{self.path} is {_shown(value)}, {want}"
                for value in found
                for want in self._unmet(value)
            ][:3]

    def _unmet(self, value: Any) -> Iterator[str]:
        if "equals" in self.model_fields_set and not _same(value, self.equals):
            yield f"not {_shown(self.equals)}"
        if self.one_of is not None and not any(_same(value, good) for good in self.one_of):
            yield f"none of {_shown(self.one_of)}"
        if self.matches is not None and not (
            isinstance(value, str) and re.match(self.matches, value[:4096])
        ):
            yield f"does not match {self.matches}"
        if self.min is not None and not (_is_number(value) and value >= self.min):
            yield f"not at least {self.min:g}"
        if self.max is not None and not (_is_number(value) and value <= self.max):
            yield f"not at most {self.max:g}"


class Latency(Options):
    """How long the whole answer may take."""

    degraded: Duration | None = Field(None, description="slower than this is degraded")
    down: Duration | None = Field(None, description="slower than this is down")


class HttpOptions(Options):
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
    expect: list[int] = Field([200], min_length=1, description="status codes that are good")
    latency: Latency = Field(Latency(), description="how long the whole answer may take")
    contains: str | None = Field(None, description="text that the body must contain")
    assertions: list[Assertion] = Field([], description="what the JSON body must say")
    deadline: Duration | None = Field(
        None, description="time for the whole exchange; default: the check's timeout"
    )
    max_body: Size = Field(65536, gt=0, le=1048576, description="how much of the body is read")
    redirects: int = Field(0, ge=0, le=10, description="redirects to follow on the same host")
    certificate_warning: Duration = Field(
        14 * 86400.0, description="warn when the certificate ends within this time"
    )

    @model_validator(mode="after")
    def _headers_are_sound(self) -> HttpOptions:
        for name, value in self.headers.items():
            if re.search(r"[\r\n\0]", name + value.get_secret_value()):
                raise ValueError(f"header {name!r} holds a line break")
        return self


class HttpState:
    """Durations since sentinel began to watch, as a histogram."""

    def __init__(self, document: Any = None) -> None:
        document = document or {}
        self.counts = list(document.get("counts") or [0] * len(BOUNDS))
        self.total = int(document.get("total", 0))
        self.sum = float(document.get("sum", 0.0))

    def observe(self, seconds: float) -> Histogram:
        """Count one answer; the histogram so far."""
        self.counts = [
            count + (seconds <= bound) for count, bound in zip(self.counts, BOUNDS, strict=True)
        ]
        self.total += 1
        self.sum += seconds
        return Histogram(BOUNDS, tuple(self.counts), self.total, self.sum)

    def dump(self) -> Any:
        """What must survive a restart."""
        return {"counts": self.counts, "total": self.total, "sum": self.sum}

    async def close(self) -> None:
        """Nothing is held."""


Verdict = tuple[Status, str, str]
"""Status, what is wrong, next step."""


async def run(options: HttpOptions, context: Context) -> Finding:
    """Ask once and judge the answer."""
    client = context.http()
    target = {"target": client.name, "target_type": "http"}
    try:
        response = await client.request(
            options.method,
            options.path,
            headers=_headers(options, context.trace_id),
            body=options.body.encode() if options.body is not None else None,
            timeout=options.deadline or 0.95 * context.timeout,
            max_body=options.max_body,
            redirects=options.redirects,
        )
    except TargetUnreachable as error:
        return Finding(
            error.status, error.message, [Row(target, {"target_up": 0.0})], guidance=error.guidance
        )
    labels = {"check": context.check, "target": client.name}
    return _finding(options, response, _rows(response, labels, target, context), context.utcnow())


def _headers(options: HttpOptions, trace_id: str) -> dict[str, str]:
    """The configured headers, and a W3C trace context (trace-id of this run, a new parent-id,
    sampled).
    """
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    return {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01", **headers}


def _finding(
    options: HttpOptions, response: HttpResponse, rows: list[Row], now: datetime
) -> Finding:
    verdicts = sorted(_judge(options, response, now), key=lambda verdict: -verdict[0].rank)
    took = format_duration(response.seconds)
    return Finding(
        worst([Status.UP, *(status for status, _, _ in verdicts)]),
        "; ".join(text for _, text, _ in verdicts[:3]) or f"{response.status} in {took}",
        rows,
        {
            "status_code": response.status,
            "seconds": response.seconds,
            "complaints": [v[1] for v in verdicts[:20]],
        },
        verdicts[0][2] if verdicts else "",
        ("answer", f"{response.status} in {took}"),
    )


def _judge(options: HttpOptions, response: HttpResponse, now: datetime) -> Iterator[Verdict]:
    yield from _judge_certificate(response.certificate_expires, options.certificate_warning, now)
    if response.status not in options.expect:
        yield _wrong_status(options, response)
        return
    yield from _judge_latency(options.latency, response.seconds)
    yield from _judge_content(options, response)
    if options.assertions:
        yield from _judge_assertions(options, response)


def _wrong_status(options: HttpOptions, response: HttpResponse) -> Verdict:
    expected = ", ".join(str(status) for status in options.expect)
    text = f"status {response.status}, expected {expected}"
    if response.retry_after is not None:
        wait = format_duration(response.retry_after)
        return (
            Status.DEGRADED,
            f"status {response.status}: asked to stay away for {wait}",
            "give its checks longer intervals",
        )
    if response.status in _OURS:
        return (
            Status.UNKNOWN,
            f"{text}: credentials refused",
            "check the headers of this check and of its resource",
        )
    if location := response.headers.get("Location"):
        text += f" (redirects to {_shown(location)})"
    return (
        Status.DOWN,
        text,
        "read the target's own log of this request; its trace id is in the header traceparent",
    )


def _judge_latency(latency: Latency, seconds: float) -> Iterator[Verdict]:
    for status, limit in ((Status.DOWN, latency.down), (Status.DEGRADED, latency.degraded)):
        if limit is not None and seconds > limit:
            text = f"answer took {format_duration(seconds)}, more than {format_duration(limit)}"
            yield status, text, "look at the target's load and at what it waits for"
            return


def _judge_content(options: HttpOptions, response: HttpResponse) -> Iterator[Verdict]:
    if options.contains is None or options.contains.encode() in response.body:
        return
    if response.truncated:
        yield _too_long(options)
    else:
        yield (
            Status.DOWN,
            f"body does not contain {_shown(options.contains)}",
            "is it the right service that answers?",
        )


def _judge_assertions(options: HttpOptions, response: HttpResponse) -> Iterator[Verdict]:
    if response.truncated:
        yield _too_long(options)
        return
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError) as error:
        yield (
            Status.DOWN,
            f"body is not JSON ({type(error).__name__})",
            "is it the right service that answers?",
        )
        return
    for assertion in options.assertions:
        try:
            for text in assertion.complaints(body):
                yield (
                    Status(assertion.status),
                    text,
                    "the target says so itself: look at the part that it names",
                )
        except JSONPathError as error:
            raise NotMeasurable(
                f"{assertion.path} can't be followed in this body: {error}"
            ) from error


def _too_long(options: HttpOptions) -> Verdict:
    return (
        Status.UNKNOWN,
        f"body is longer than {format_bytes(options.max_body)}",
        "raise max_body (at most 1MiB)",
    )


def _judge_certificate(
    expires: datetime | None, warning: float, now: datetime
) -> Iterator[Verdict]:
    if expires is not None and (left := (expires - now).total_seconds()) < warning:
        yield (
            Status.DEGRADED,
            f"TLS certificate expires in {format_duration(left)}",
            "renew the certificate",
        )


def _rows(
    response: HttpResponse, labels: dict[str, str], target: dict[str, str], context: Context
) -> list[Row]:
    values: dict[str, float | Histogram] = {
        "status_code": float(response.status),
        "seconds": response.seconds,
        "duration_seconds": context.state.observe(response.seconds),
    }
    if response.certificate_expires is not None:
        left = (response.certificate_expires - context.utcnow()).total_seconds()
        values["certificate_remaining_seconds"] = left
    return [Row(labels, values), Row(target, {"target_up": 1.0})]


def _shown(value: Any) -> str:
    """A value of the target in a message: JSON, ASCII, short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


KIND = Kind(
    name="http",
    summary="An HTTP answer: status, latency, content, JSON assertions, certificate",
    options=HttpOptions,
    run=run,
    resources={"resource": "http"},
    load_state=HttpState,
    measurements=(
        Measurement(
            "status_code", "Status code of the last answer", "sentinel_http_status_code", labels=("check", "target")
        ),
        Measurement("seconds", "Time of the last whole answer", unit="seconds", labels=("check", "target")),
        Measurement(
            "duration_seconds", "Time of whole answers", "sentinel_http_duration_seconds", "histogram", "seconds",
            ("check", "target"),
        ),
        Measurement(
            "certificate_remaining_seconds", "Time until the TLS certificate expires",
            "sentinel_http_certificate_remaining_seconds", unit="seconds", labels=("check", "target"),
        ),
        Measurement(
            "target_up", "Whether the target answers at all", "sentinel_target_up", labels=("target", "target_type")
        ),
    ),
)  # fmt: skip
