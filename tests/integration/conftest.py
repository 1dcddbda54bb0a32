"""A context by hand: one run of a probe against real servers, without the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinel.probes import Context


def make_run_context(
    clients: Mapping[str, Any],
    state: Any = None,
    check: str = "x",
    interval: float = 1.0,
    timeout: float = 5.0,
    stalled: Callable[[float], float] = lambda _since: 0.0,
    utcnow: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
) -> Context:
    """The Context of one run; pass the same `state` again for the next run."""
    return Context(
        check=check,
        component="component",
        trace_id="0123456789abcdef0123456789abcdef",
        interval=interval,
        timeout=timeout,
        clients=clients,
        state=state,
        utcnow=utcnow,
        monotonic=monotonic,
        stalled=stalled,
    )


@pytest.fixture
def make_context() -> Callable[..., Context]:
    """Builds the Context of one run."""
    return make_run_context
