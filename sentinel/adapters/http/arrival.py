"""Whether a request that failed may have reached its target: only then may it have had an effect."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from sentinel.errors import TargetError


@dataclass(slots=True)
class Way:
    """How far one request came."""

    connected: bool = False


def make_tracing() -> aiohttp.TraceConfig:
    """Has each request's `Way` note that it found a connection: before, nothing can be sent."""
    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(_note_connected)
    return config


async def _note_connected(_session: Any, context: SimpleNamespace, _params: Any) -> None:
    way = context.trace_request_ctx
    if way is not None:
        way.connected = True


class NeverSent(TimeoutError):
    """The time was over before there was a connection."""


def may_have_arrived(error: TargetError) -> bool:
    """Whether the request behind this error may have reached the target.

    What the budget or a back-off held back has no cause; what found no connection was never sent.
    """
    cause = error.__cause__
    return cause is not None and not isinstance(
        cause, aiohttp.ClientConnectorError | aiohttp.InvalidURL | NeverSent
    )
