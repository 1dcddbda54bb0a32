"""PagerDuty, Events API v2, and what takes the same. `dedup_key` is the affair: whatever is repeated
is one incident there, and its end resolves it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field, SecretStr

from sentinel.core.fault import Severity
from sentinel.core.notice import PASSING, Notice, Tidings
from sentinel.notify import Channel, ChannelOptions, ChannelRoom, WebAddress

MAX_KEY, MAX_SUMMARY = 255, 1024
_SEVERITIES = {Severity.PAGE: "critical", Severity.TICKET: "warning", Severity.INFO: "info"}
_ACTIONS = {
    Tidings.ACKNOWLEDGED: "acknowledge",
    Tidings.RECOVERED: "resolve",
    Tidings.CLOSED: "resolve",
}


class PagerDutyOptions(ChannelOptions):
    """Which service."""

    routing_key: SecretStr = Field(
        description="integration key of the service, from the environment; or routing_key_file",
        examples=['"${PAGERDUTY_KEY}"'],
    )
    address: WebAddress = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="where events go; another one for the service region of the EU",
    )
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")


def name_affair(affair: str) -> str:
    """The key of an affair: as it is, or its hash where it is too long."""
    if len(affair.encode()) <= MAX_KEY:
        return affair
    return hashlib.sha256(affair.encode()).hexdigest()


def write_event(options: PagerDutyOptions, notice: Notice) -> dict[str, Any]:
    """One event. What is told again of an open affair triggers it again, which PagerDuty merges."""
    event: dict[str, Any] = {
        "routing_key": options.routing_key.get_secret_value(),
        "event_action": _ACTIONS.get(notice.told, "trigger"),
        "dedup_key": name_affair(notice.affair),
    }
    if event["event_action"] != "trigger":
        return event
    links = [{"href": notice.link, "text": "sentinel"}] if notice.link else []
    details = {
        "text": notice.text,
        "runbook": notice.runbook,
        "dependants": notice.dependants,
        "key": notice.key,
    }
    payload = {
        "summary": notice.title[:MAX_SUMMARY],
        "source": notice.platform,
        "severity": _SEVERITIES[notice.severity],
        "component": notice.component,
        "timestamp": notice.began.isoformat(),
        "custom_details": details,
    }
    return {**event, "payload": payload, "links": links}


async def send(options: PagerDutyOptions, room: ChannelRoom, notice: Notice) -> None:
    """Post one event; what does not last is resolved at once."""
    event = write_event(options, notice)
    await room.deliver(options.address, json.dumps(event).encode(), ca_file=options.ca_file)
    if notice.told in PASSING:
        end = {key: event[key] for key in ("routing_key", "dedup_key")} | {
            "event_action": "resolve"
        }
        await room.deliver(options.address, json.dumps(end).encode(), ca_file=options.ca_file)


CHANNEL = Channel(
    "pagerduty",
    "PagerDuty, Events API v2",
    PagerDutyOptions,
    send,
    repeatable=True,
    keeps=True,
)
