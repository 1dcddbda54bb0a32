"""Judging an HTTP answer: its status, its time, its certificate, and what its body says. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sentinel.core.fault import MAX_FAULTS, Fault, Status, sort_faults
from sentinel.core.foreign.expression import MAX_WORK, compile_expression
from sentinel.core.quantity import format_bytes, format_duration

SHOWN = 120
"""Characters of a foreign value that a sentence shows."""
_OURS = {401, 403, 407}
_PLAIN_NAME = re.compile(r"\['([A-Za-z_][A-Za-z0-9_]*)'\]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom the faults are about: the resource, and the path without its query, which may hold a
    secret.
    """

    resource: str
    path: str

    def fault(self, key: str, status: Status, text: str, guidance: str, where: str = "") -> Fault:
        """A fault of this endpoint, or of the place `where` in what it says."""
        place = {"assertion": where} if where else {}
        return Fault(
            key,
            {"path": self.path, **place},
            status,
            f"{self.path}: {text}",
            guidance=guidance,
            parameters={"resource": self.resource, "path": self.path},
        )


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a good answer is: status codes, and the time above which it is slow, by verdict, the
    worst first. `certificate` is how long it must be valid yet. Times in seconds.
    """

    expect: Sequence[int] = (200,)
    slow: Sequence[tuple[Status, float]] = ()
    certificate: float = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came, without its body. Times in seconds; `certificate_left` until it ends, None without
    one.
    """

    status: int
    seconds: float
    retry_after: float | None = None
    location: str = ""
    certificate_left: float | None = None


@dataclass(frozen=True, slots=True)
class BodyExpectation:
    """What the values at a JSON path must be; `equals` has one value or none."""

    path: str
    exists: bool | None = None
    equals: tuple[Any, ...] = ()
    one_of: Sequence[Any] | None = None
    matches: str | None = None
    min: float | None = None
    max: float | None = None
    status: Status = Status.DOWN

    def find_unmet(self, value: Any) -> Iterator[str]:
        """Conditions that a value does not fulfil, in words."""
        if self.equals and not is_same(value, self.equals[0]):
            yield f"not {show(self.equals[0])}"
        if self.one_of is not None and not any(is_same(value, good) for good in self.one_of):
            yield f"none of {show(self.one_of)}"
        if self.matches is not None and not _is_match(self.matches, value):
            yield f"does not match {self.matches}"
        if self.min is not None and not (_is_number(value) and value >= self.min):
            yield f"not at least {self.min:g}"
        if self.max is not None and not (_is_number(value) and value <= self.max):
            yield f"not at most {self.max:g}"


def judge_answer(endpoint: Endpoint, answer: HttpAnswer, limits: HttpLimits) -> Iterator[Fault]:
    """Certificate, status and time. The body of an answer of the wrong status is not judged."""
    left = answer.certificate_left
    if left is not None and left < limits.certificate:
        text = (
            f"TLS certificate expires in {format_duration(left)},"
            f" less than {format_duration(limits.certificate)}"
        )
        yield endpoint.fault("certificate", Status.DEGRADED, text, "renew the certificate")
    if answer.status not in limits.expect:
        yield _judge_status(endpoint, answer, limits)
    else:
        yield from _judge_time(endpoint, answer.seconds, limits)


def _judge_status(endpoint: Endpoint, answer: HttpAnswer, limits: HttpLimits) -> Fault:
    expected = ", ".join(map(str, limits.expect))
    text = f"status {answer.status}, expected {expected}"
    if answer.retry_after is not None:
        wait = format_duration(answer.retry_after)
        text = f"status {answer.status}: asked to stay away for {wait}"
        guidance = "give its checks longer intervals"
        return endpoint.fault("asks_for_rest", Status.DEGRADED, text, guidance)
    if answer.status in _OURS:
        guidance = "check the headers of this check and of its resource"
        text = f"{text}: credentials refused"
        return endpoint.fault("unjudged", Status.UNKNOWN, text, guidance)
    if answer.location:
        text += f" (redirects to {show(answer.location.partition('?')[0])})"
    guidance = (
        "read the target's own log of this request; its trace id is in the header traceparent"
    )
    return endpoint.fault("wrong_status", Status.DOWN, text, guidance)


def _judge_time(endpoint: Endpoint, seconds: float, limits: HttpLimits) -> Iterator[Fault]:
    for status, limit in limits.slow:
        if seconds > limit:
            text = f"answer took {format_duration(seconds)}, more than {format_duration(limit)}"
            guidance = "look at the target's load and at what it waits for"
            yield endpoint.fault("slow", status, text, guidance)
            return


def judge_text(endpoint: Endpoint, contains: str, body: bytes) -> Iterator[Fault]:
    """Whether a whole body has the text that it must contain."""
    if contains.encode() not in body:
        text = f"body does not contain {show(contains)}"
        guidance = "is it the right service that answers?"
        yield endpoint.fault("wrong_body", Status.DOWN, text, guidance)


def find_no_json(endpoint: Endpoint, error: Exception) -> Fault:
    """A body that can't be read as JSON."""
    text = f"body is not JSON ({type(error).__name__})"
    guidance = "is it the right service that answers?"
    return endpoint.fault("wrong_body", Status.DOWN, text, guidance)


def find_unreadable(endpoint: Endpoint, why: str) -> Fault:
    """A body that we can't read, for a reason of ours: it says nothing of the service."""
    text = f"body can't be read: {why}"
    guidance = "have the service answer sentinel plainly, or judge only its status"
    return endpoint.fault("unjudged", Status.UNKNOWN, text, guidance)


def find_too_long(endpoint: Endpoint, limit: int) -> Fault:
    """A body of which only `limit` bytes were read: what was not read can't be missing."""
    text = f"body is longer than {format_bytes(limit)}"
    guidance = "raise max_body (at most 1MiB)"
    return endpoint.fault("unjudged", Status.UNKNOWN, text, guidance)


def judge_values(
    endpoint: Endpoint, expected: BodyExpectation, found: Sequence[tuple[str, Any]]
) -> Iterator[Fault]:
    """Each value found, as (normalized path, value), that is not as expected: at most
    `MAX_FAULTS`.
    """
    if expected.matches is not None:
        cost = compile_expression(expected.matches).cost
        if sum(cost(value) for _, value in found if isinstance(value, str)) > MAX_WORK:
            yield find_unreadable(endpoint, "own limit: texts too long for `matches`")
            return
    yield from islice(_judge_values(endpoint, expected, found), MAX_FAULTS)


def _judge_values(
    endpoint: Endpoint, expected: BodyExpectation, found: Sequence[tuple[str, Any]]
) -> Iterator[Fault]:
    guidance = "the target says so itself: look at the part that it names"
    if expected.exists is not False and not found:
        text = f"{expected.path} is not there"
        yield endpoint.fault("wrong_value", expected.status, text, guidance, expected.path)
    for normalized, value in found:
        place = name_place(normalized)
        unmet = ["unwanted"] if expected.exists is False else list(expected.find_unmet(value))
        if unmet:
            text = f"{place} is {show(value)}, {' and '.join(unmet)}"
            yield endpoint.fault("wrong_value", expected.status, text, guidance, place)


def name_place(normalized: str) -> str:
    """`$['a']['b c'][0]` as `$.a['b c'][0]`: printable ASCII, short."""
    return _cut(ascii(_PLAIN_NAME.sub(r".\1", normalized))[1:-1])


def keep_worst(faults: Iterable[Fault]) -> list[Fault]:
    """The worst first, each subject once a key: two limits of one value are one fault."""
    kept: dict[Any, Fault] = {}
    for fault in sort_faults(faults):
        kept.setdefault(fault.identity, fault)
    return list(kept.values())


def show(value: Any) -> str:
    """A value of the target in a message: JSON, ASCII, short."""
    return _cut(json.dumps(value, default=str))


def is_same(value: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _is_match(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and compile_expression(pattern).starts(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
