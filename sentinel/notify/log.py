"""The channel that is always there: the log."""

from __future__ import annotations

import structlog

from sentinel.core.notice import Notice
from sentinel.notify import Channel, ChannelOptions, ChannelRoom


class LogOptions(ChannelOptions):
    """It has none."""


async def send(_options: LogOptions, room: ChannelRoom, notice: Notice) -> None:
    """Write one line, as a warning; log shippers take it from there."""
    structlog.get_logger().warning(
        "notification",
        channel=room.name,
        key=notice.key,
        told=str(notice.told),
        severity=str(notice.severity),
        subject=notice.component,
        title=notice.title,
        text=notice.text,
        runbook=notice.runbook,
        link=notice.link,
    )


CHANNEL = Channel(
    "log", "A warning in sentinel's own log", LogOptions, send, repeatable=True, keeps=True
)
