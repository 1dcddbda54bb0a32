"""HTTP targets: one session per resource, a request budget, total deadlines, a limit on the body."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer: status code, headers, at most `max_body` bytes of body, seconds until it was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    truncated: bool


class HttpClient:
    """One HTTP target by base address."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        budget: tuple[int, float] | None = None,
        user_agent: str = "sentinel",
        headers: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.base_url = base_url
