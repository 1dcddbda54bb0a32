"""The channel that is always there: the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog


class LogChannel:
    """Writes a notification as a warning; log shippers take it from there."""

    async def send(self, key: str, subject: str, payload: Mapping[str, Any]) -> None:
        """Write one line."""
        structlog.get_logger().warning(
            "notification", key=key, subject=subject, payload=dict(payload)
        )
