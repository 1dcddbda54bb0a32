"""Slack, and what takes the same: an incoming webhook (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import json

from pydantic import Field, SecretStr

from sentinel.core.fault import Severity
from sentinel.core.notice import Notice, Tidings
from sentinel.notify import Channel, ChannelOptions, ChannelRoom

_COLOURS = {Severity.PAGE: "#c62828", Severity.TICKET: "#b26a00", Severity.INFO: "#546e7a"}
_GOOD = "#2e7d32"


class SlackOptions(ChannelOptions):
    """Which webhook; the address itself is the secret."""

    address: SecretStr = Field(
        description="address of the incoming webhook, from the environment; or address_file",
        examples=['"${SLACK_WEBHOOK}"'],
    )
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")


def escape(text: str) -> str:
    """The three signs by which Slack finds links, mentions and channels in a text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_body(notice: Notice) -> bytes:
    """One message: the title as text for the notification of the phone, the rest as attachment."""
    good = notice.is_over or notice.told is Tidings.ACKNOWLEDGED
    link = f"\n<{_plain(notice.link)}|open it>" if notice.link else ""
    attachment = {
        "color": _GOOD if good else _COLOURS[notice.severity],
        "fallback": escape(notice.title),
        "text": f"{escape(notice.text)}{link}",
        "mrkdwn_in": [],
    }
    document = {"text": escape(notice.title), "mrkdwn": False, "attachments": [attachment]}
    return json.dumps(document).encode()


def _plain(link: str) -> str:
    """An address inside of `<…|…>`: a sign that ends it there is written in percent."""
    return escape(link.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C"))


async def send(options: SlackOptions, room: ChannelRoom, notice: Notice) -> None:
    """Post one message."""
    address = options.address.get_secret_value()
    await room.deliver(address, write_body(notice), ca_file=options.ca_file)


async def prove(options: SlackOptions, room: ChannelRoom) -> None:
    """Any answer will do."""
    await room.ask("HEAD", options.address.get_secret_value(), ca_file=options.ca_file)


CHANNEL = Channel("slack", "A channel of Slack, by an incoming webhook", SlackOptions, send, prove)
