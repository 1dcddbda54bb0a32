"""The `http` driver: a manager with an HTTP interface. Each request carries the name of the attempt
as its key.

A request is sent once. When its reply is lost, the status request says whether it happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from sentinel.adapters.http.arrival import may_have_arrived
from sentinel.adapters.http.client import HttpClient, HttpResponse
from sentinel.core.foreign.document import ForeignDocument, read_foreign_json
from sentinel.core.model import Component
from sentinel.errors import NotMeasurable, ReplyLost, TargetError
from sentinel.remediation import (
    DriverContext,
    DriverKind,
    DriverOptions,
    Observation,
    Outcome,
    OutsideDriver,
)
from sentinel.strict.field import Duration, HttpStatus, JsonPath

KEY = "Idempotency-Key"
_GATEWAY = {502, 504}
"""A proxy says that it got no good answer: the request may have arrived."""


def _is_path(path: str) -> str:
    if not re.fullmatch(r"/[^\s#]*", path):
        raise ValueError("must begin with / and have no blank and no #")
    return path


RequestPath = Annotated[str, AfterValidator(_is_path)]


class Request(DriverOptions):
    """One request that acts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    path: RequestPath = Field(description="path and query behind the resource's address")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method")
    document: Any = Field(None, alias="json", description="JSON document to send")
    expect: list[HttpStatus] = Field(
        [200, 201, 202, 204], min_length=1, description="status codes that mean: done"
    )


class StatusRequest(DriverOptions):
    """The request that tells whether it runs."""

    path: RequestPath = Field(description="path and query behind the resource's address")
    expect: list[HttpStatus] = Field(
        [200], min_length=1, description="status codes that mean: it runs"
    )
    stopped: list[HttpStatus] = Field([], description="status codes that mean: it does not run")
    running: JsonPath | None = Field(
        None, description="JSON path to true or false: whether it runs"
    )
    start_id: JsonPath | None = Field(
        None, description="JSON path to what is new at every start, such as $.started_at"
    )


class Requests(DriverOptions):
    """What is asked for each action."""

    restart: Request = Field(description="restarts it")
    start: Request | None = Field(None, description="starts it")
    stop: Request | None = Field(None, description="stops it")
    reload: Request | None = Field(None, description="has it read its configuration again")
    status: StatusRequest | None = Field(None, description="tells whether it runs")


class HttpDriverOptions(DriverOptions):
    """Whom to ask, and what."""

    via: str | None = Field(
        None, description="HTTP resource that takes the requests; default: the component's own"
    )
    requests: Requests = Field(
        description="a request for each action", examples=["{restart: {path: /restart}}"]
    )
    deadline: Duration = Field(10.0, gt=0, description="time for each request that acts")
    status_deadline: Duration = Field(3.0, gt=0, description="time for the status request")


class HttpManager:
    """One component behind an HTTP interface."""

    def __init__(self, options: HttpDriverOptions, context: DriverContext) -> None:
        self._options = options
        self._context = context
        self._requests: Mapping[str, Request] = {
            name: request for name, request in options.requests if isinstance(request, Request)
        }
        self.actions = frozenset(self._requests)

    async def look(self) -> Observation:
        """What the status request says."""
        status = self._options.requests.status
        if status is None:
            return Observation(None, detail="no status request is configured")
        response = await self._client().request(
            "GET", status.path, timeout=self._options.status_deadline
        )
        return observe(status, response)

    async def act(self, action: str, key: str) -> Outcome:
        """Send the request of this action once."""
        request = self._requests[action]
        try:
            response = await self._send(request, key)
        except TargetError as error:
            if may_have_arrived(error):
                raise ReplyLost(f"{action}: {error.message}", error.guidance) from error
            raise
        if response.status in request.expect:
            return Outcome(True, f"{action} answered with {response.status}")
        if response.status in _GATEWAY:
            raise ReplyLost(
                f"{action}: a gateway answered with {response.status}",
                "look at the service behind it",
            )
        return Outcome(
            False,
            f"{action} answered with {response.status}",
            guidance="look at the log of the service",
        )

    async def _send(self, request: Request, key: str) -> HttpResponse:
        headers = {KEY: key} if key else {}
        body = None
        if request.document is not None:
            body = json.dumps(request.document).encode()
            headers["Content-Type"] = "application/json"
        return await self._client().request(
            request.method, request.path, headers=headers, body=body, timeout=self._options.deadline
        )

    def _client(self) -> HttpClient:
        name = self._options.via or ""
        try:
            return self._context.http(name)
        except KeyError as error:
            raise NotMeasurable(
                f"there is no resource {name!r} any more", "name another one with `via`"
            ) from error

    def close(self) -> None:
        """The client belongs to its resource."""


def observe(status: StatusRequest, response: HttpResponse) -> Observation:
    """An answer to the status request in our words."""
    said = f"its status request answered with {response.status}"
    if response.status in status.stopped:
        return Observation(False, detail=f"does not run: {said}")
    if response.status not in status.expect:
        return Observation(
            None,
            detail=f"{said}, which tells nothing",
            guidance="name the code in expect or stopped",
        )
    try:
        asked = status.running or status.start_id
        document = ForeignDocument(read_foreign_json(response.body) if asked else None)
        running = _find(status.running, document) if status.running else True
        start_id = _find(status.start_id, document) if status.start_id else None
    except ValueError as error:
        return Observation(None, detail=f"{said}, and its body can't be read: {error}")
    if not isinstance(running, bool):
        return Observation(None, detail=f"{said}, and {status.running} is neither true nor false")
    if not running:
        return Observation(False, detail=f"does not run: {status.running} is false")
    return Observation(True, _text(start_id), detail=f"runs: {said}")


def _find(path: str, document: ForeignDocument) -> Any:
    """The first value at the path, None when nothing is there."""
    return next((value for _, value in document.find(path)), None)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return " ".join(text.split())[:200]


def _make(
    _component: Component, options: HttpDriverOptions, context: DriverContext
) -> OutsideDriver:
    return OutsideDriver(HttpManager(options, context), prompt=False)


DRIVER = DriverKind(
    name="http",
    summary=(
        "A manager with an HTTP interface; each request carries the name of the attempt as"
        " Idempotency-Key"
    ),
    options=HttpDriverOptions,
    make=_make,
    resources={"via": "http"},
    observes=lambda options: options.requests.status is not None,
)
