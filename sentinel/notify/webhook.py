"""Any HTTP receiver: one signed JSON document a notice.

`X-Sentinel-Signature: t=UNIX,v1=HEX` is the HMAC-SHA256 over `UNIX.BODY` by the shared secret: the
receiver computes it anew, compares in constant time and refuses what is older than some minutes.
`Idempotency-Key` is the same at every repetition.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from pydantic import Field, SecretStr

from sentinel.core.notice import Notice
from sentinel.notify import Channel, ChannelOptions, ChannelRoom, WebAddress

SIGNATURE, KEY = "X-Sentinel-Signature", "Idempotency-Key"


class WebhookOptions(ChannelOptions):
    """Where it goes, and by which secret it is signed."""

    address: WebAddress = Field(
        description="where the document is posted", examples=["https://hooks.example.org/sentinel"]
    )
    secret: SecretStr = Field(
        description="signs every document, from the environment; or secret_file",
        examples=['"${SENTINEL_WEBHOOK_KEY}"'],
    )
    ca_file: str = Field("", description="issuers to trust beside the system's, as PEM")


def write_document(notice: Notice) -> dict[str, Any]:
    """A notice as JSON; `version` grows when a key changes its meaning."""
    return {
        "version": 1,
        "key": notice.key,
        "event": str(notice.told),
        "affair": notice.affair,
        "over": notice.is_over,
        "platform": notice.platform,
        "component": notice.component,
        "severity": str(notice.severity),
        "title": notice.title,
        "text": notice.text,
        "dependants": notice.dependants,
        "runbook": notice.runbook,
        "link": notice.link,
        "labels": dict(notice.labels),
        "lines": list(notice.lines),
        "began": notice.began.isoformat(),
        "at": notice.at.isoformat(),
    }


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the header."""
    signed = b"%d.%s" % (timestamp, body)
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def send(options: WebhookOptions, room: ChannelRoom, notice: Notice) -> None:
    """Post one document."""
    body = json.dumps(write_document(notice)).encode()
    signature = sign(options.secret.get_secret_value(), int(room.now().timestamp()), body)
    headers = {SIGNATURE: signature, KEY: _in_header(notice.key)}
    await room.deliver(options.address, body, headers, ca_file=options.ca_file)


def _in_header(key: str) -> str:
    """Names are foreign: no header takes a line break, and some take ASCII only."""
    return key.encode("ascii", "backslashreplace").decode().translate({10: " ", 13: " ", 0: " "})


async def prove(options: WebhookOptions, room: ChannelRoom) -> None:
    """Any answer will do."""
    await room.ask("HEAD", options.address, ca_file=options.ca_file)


CHANNEL = Channel(
    "webhook", "A signed JSON document to any HTTP receiver", WebhookOptions, send, prove
)
