"""Channels stand on a shelf, as kinds do; the log is always among them."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from sentinel.notify import load_channels


async def test_the_log_tells() -> None:
    """One warning with the key, the subject and the payload."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        await load_channels()["log"].send("I-1/opened", "bus is down", {"a": 1})
    assert lines == [
        {
            "event": "notification",
            "key": "I-1/opened",
            "subject": "bus is down",
            "payload": {"a": 1},
            "log_level": "warning",
        }
    ]
