"""Alertmanager, API v2: every alert to every member, each in a request of its own.

A batch with one bad alert is refused as a whole, and members tell each other what they sent, not
what they were told. An alert is known by its labels, so these are the same at its end as at its
beginning; where they changed, the former one is ended. `endsAt` is a lease: when sentinel dies,
Alertmanager forgets the alert by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from sentinel.core.model import ErrorClass
from sentinel.core.notice import PASSING, Notice, NoticeLabels
from sentinel.errors import NotDelivered
from sentinel.notify import Channel, ChannelOptions, ChannelRoom, WebAddress
from sentinel.strict.field import Duration, shaped

PATH = "/api/v2/alerts"
LabelName = Annotated[
    str,
    shaped(r"[a-zA-Z_][a-zA-Z0-9_]*", "name of a label", "use letters, digits and _"),
]
"""Alertmanager refuses every other one with the whole request."""


class AlertmanagerOptions(ChannelOptions):
    """Which members, and for how long an alert holds."""

    members: list[WebAddress] = Field(
        min_length=1,
        description="address of every member of the cluster",
        examples=["[http://127.0.0.1:9093]"],
    )
    lease: Duration = Field(
        300.0, ge=1, description="an alert that sentinel does not renew is over after so long"
    )
    labels: dict[LabelName, str] = Field(
        default_factory=dict, description="labels that every alert gets beside its own"
    )
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")


def write_alert(
    options: AlertmanagerOptions,
    notice: Notice,
    labels: NoticeLabels,
    now: datetime,
    *,
    over: bool,
) -> dict[str, Any]:
    """One alert. Alertmanager drops empty labels, so they are left out at the beginning, too."""
    given = {**options.labels, **labels}
    ends = now if over else now + timedelta(seconds=options.lease)
    annotations = {
        "summary": notice.title,
        "description": notice.text,
        "runbook": notice.runbook,
        "dependants": str(notice.dependants or ""),
    }
    alert = {
        "labels": {name: value for name, value in given.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _write_time(min(notice.began, now)),
        "endsAt": _write_time(ends),
    }
    return {**alert, "generatorURL": notice.link} if notice.link else alert


def _write_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


async def send(options: AlertmanagerOptions, room: ChannelRoom, notice: Notice) -> None:
    """Tell every member; one that takes it is enough, the others hear of it when it is renewed."""
    now = room.now()
    over = notice.is_over or notice.told in PASSING
    if notice.former and notice.former != notice.labels:
        await _post(options, room, write_alert(options, notice, notice.former, now, over=True))
    await _post(options, room, write_alert(options, notice, notice.labels, now, over=over))


async def _post(options: AlertmanagerOptions, room: ChannelRoom, alert: Mapping[str, Any]) -> None:
    body = json.dumps([alert]).encode()
    told = (
        room.deliver(f"{member.rstrip('/')}{PATH}", body, ca_file=options.ca_file)
        for member in options.members
    )
    outcomes = await asyncio.gather(*told, return_exceptions=True)
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    if len(errors) < len(outcomes):
        return
    raise min(errors, key=_is_permanent)  # a member that may take it later decides


def _is_permanent(error: BaseException) -> bool:
    return isinstance(error, NotDelivered) and error.error_class is ErrorClass.PERMANENT


CHANNEL = Channel(
    "alertmanager",
    "Prometheus' Alertmanager, API v2: every member of it",
    AlertmanagerOptions,
    send,
    repeatable=True,
    keeps=True,
    lease=lambda options: float(options.lease),
)
