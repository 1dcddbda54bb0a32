"""The bus of the demo platform: names, the envelope, and publishing with a ledger."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from sentinel.demo.ledger import Ledger

HEARTBEATS = "agent_heartbeats"
DEAD_LETTERS = "dead_letter_queue"
PREFIX = "agent_messages:"
AGENTS = {
    "agent-1": ("python", "analysis"),
    "agent-2": ("python", "review"),
    "agent-3": ("sql", "analysis"),
    "agent-4": ("sql", "review"),
}
MAX_LENGTH = 10_000
MAX_REPLIES = 1000
PING = "sentinel.ping"
"""Type of the monitor's pings: an agent answers them to the stream that they name."""
PING_PUBLICATION = "sentinel#"
"""How the publications of pings begin: no ledger of the platform promised them, but they are
messages like all.
"""
Fields = dict[str, str]


def stream_of(agent: str) -> str:
    """The stream an agent reads."""
    return f"{PREFIX}{agent}"


def group_of(agent: str) -> str:
    """The group through which an agent reads its stream."""
    return f"group_{agent}"


def envelope(
    kind: str, sender: str, receiver: str, payload: dict[str, Any], correlation: str = ""
) -> Fields:
    """The fields of a message; the payload is one JSON string, the time an aware ISO instant."""
    return {
        "message_id": str(uuid.uuid4()),
        "from_agent": sender,
        "to_agent": receiver,
        "type": kind,
        "payload": json.dumps(payload),
        "correlation_id": correlation or str(uuid.uuid4()),
        "timestamp": datetime.now(UTC).isoformat(),
    }


def answer_ping(client: redis.Redis, name: str, fields: Fields, payload: dict[str, Any]) -> None:
    """Send a ping's fields back as this handler has understood them, its name and clock added to
    `hops`.

    Raises redis.RedisError; the stream of answers is bounded.
    """
    hops = [*json.loads(fields.get("hops", "[]")), [name, time.time_ns()]]
    reply: Any = {**fields, "payload": json.dumps(payload), "hops": json.dumps(hops)}
    client.xadd(fields["reply_to"], reply, maxlen=MAX_REPLIES, approximate=True)


class Publisher:
    """Publishes batches and keeps the ledger about them."""

    def __init__(self, client: redis.Redis, ledger: Ledger) -> None:
        self._client, self._ledger = client, ledger

    def publish(self, stream: str, messages: Sequence[Fields]) -> list[str | None]:
        """Add `messages` in order; their stream ids, None where the server refused one.

        Raises redis.ConnectionError or TimeoutError when the fate of the batch is not known: its
        publications stay in doubt in the ledger, and whoever tries again publishes anew.
        """
        names = [self._ledger.next_publication() for _ in messages]
        ids = [message["message_id"] for message in messages]
        self._ledger.write(
            "publish_intent", stream=stream, publications=list(zip(names, ids, strict=True))
        )
        pipeline = self._client.pipeline(transaction=False)
        for name, message in zip(names, messages, strict=True):
            fields: dict[Any, Any] = {**message, "publication": name}
            pipeline.xadd(stream, fields, maxlen=MAX_LENGTH, approximate=True)
        return self._confirm(stream, names, pipeline.execute(raise_on_error=False))

    def _confirm(self, stream: str, names: list[str], replies: list[Any]) -> list[str | None]:
        added = [
            (name, reply.decode())
            for name, reply in zip(names, replies, strict=True)
            if isinstance(reply, bytes)
        ]
        if added:
            self._ledger.write("published", stream=stream, entries=added)
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, redis.ResponseError):
                self._ledger.write("publish_refused", publication=name, error=str(reply))
        return [reply.decode() if isinstance(reply, bytes) else None for reply in replies]
