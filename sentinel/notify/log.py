"""The channel that is always there: the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from sentinel.notify import Channel


async def send(key: str, subject: str, payload: Mapping[str, Any]) -> None:
    """Write one line, as a warning; log shippers take it from there."""
    structlog.get_logger().warning("notification", key=key, subject=subject, payload=dict(payload))


CHANNEL = Channel("log", "A warning in sentinel's own log", send)
