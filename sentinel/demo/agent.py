"""An agent of the demo platform: `python -m sentinel.demo.agent --name agent-1 --capabilities
python,review`.

Registers, beats its heart once a second, reads its stream through its group, and acknowledges
*after* processing. Delivery is at least once: after a start or a lost connection it first takes up
its own pending entries. Processing is idempotent by task. A handler that fails is tried three times
with exponential backoff, then the message goes to the dead letters and is acknowledged.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

import redis

from sentinel.demo.bus import (
    DEAD_LETTERS,
    HEARTBEATS,
    PING,
    Publisher,
    answer_ping,
    envelope,
    group_of,
    stream_of,
)
from sentinel.demo.component import Away, Backoff, Frame, Stop
from sentinel.demo.ledger import Ledger

_TRIES = 3
_BLOCK_MS = 250
_BATCH = 10
_HEARTBEAT_SECONDS = 1.0
_RETRY_SECONDS = 0.2
_AWAY_SECONDS = 0.3
_MOST_RETRIES = 200

_START = """
UPDATE tasks SET status = 'in_progress', started_at = coalesce(started_at, clock_timestamp())
WHERE id = %s AND status IN ('assigned', 'in_progress') RETURNING id"""
_COMPLETE = """
UPDATE tasks SET status = 'completed', completed_at = clock_timestamp(), result = jsonb_build_object('echo', payload)
WHERE id = %s AND status = 'in_progress'"""
_FAIL = """
UPDATE tasks SET status = 'failed', retry_count = %s WHERE id = %s AND status IN ('assigned', 'in_progress')"""
_REGISTER = """
INSERT INTO agents (id, status, capabilities, last_heartbeat, boot_id, registered_at)
VALUES (%(id)s, 'active', %(capabilities)s, clock_timestamp(), %(boot)s, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET status = 'active', capabilities = excluded.capabilities,
  last_heartbeat = excluded.last_heartbeat, boot_id = excluded.boot_id, registered_at = excluded.registered_at"""


class HandlerFailed(Exception):
    """The message could not be processed; trying again may help."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry in hand: tried `tries` times, next at `due` (monotonic s); `ack_sent`: its XACK may
    have run.
    """

    id: str
    fields: dict[str, str]
    tries: int = 0
    due: float = 0.0
    processed: bool = False
    ack_sent: bool = False

    @property
    def facts(self) -> dict[str, str]:
        """What the ledger says about it."""
        return {"id": self.id, "publication": self.fields.get("publication", "")}


class Agent:
    """The loop of one agent."""

    def __init__(self, frame: Frame, capabilities: list[str], stop: Stop) -> None:
        self._frame, self._stop, self._capabilities = frame, stop, capabilities
        self._name, self._stream, self._group = (
            frame.name,
            stream_of(frame.name),
            group_of(frame.name),
        )
        self._ledger = Ledger(frame.folder, frame.name)
        self._redis, self._database = frame.redis(), frame.database()
        self._publisher = Publisher(self._redis, self._ledger)
        self._boot = str(uuid.uuid4())
        self._in_hand: dict[str, Entry] = {}
        self._recover, self._registered, self._next_beat = True, False, 0.0

    def run(self) -> None:
        """Work until asked to stop, then deregister."""
        backoff = Backoff()
        while not self._stop:
            try:
                self._turn()
                backoff.reset()
            except redis.ResponseError as error:
                self._on_refusal(error, backoff)
            except (redis.ConnectionError, redis.TimeoutError):
                self._recover = True  # a reply may be lost: what it delivered is pending and unseen
                self._stop.sleep(backoff.next())
        self._leave()

    def _turn(self) -> None:
        self._beat()
        if self._recover:
            self._take_up_pending()
        for entry in [entry for entry in self._in_hand.values() if entry.due <= time.monotonic()]:
            self._advance(entry)
        if len(self._in_hand) < _MOST_RETRIES:
            self._read(">", self._block_ms())
        else:
            self._stop.sleep(_AWAY_SECONDS)

    def _block_ms(self) -> int:
        """How long to wait for news: until the next heartbeat or retry, at most a quarter of a
        second.
        """
        due = min([self._next_beat, *(entry.due for entry in self._in_hand.values())])
        return max(1, min(_BLOCK_MS, int((due - time.monotonic()) * 1000)))

    def _on_refusal(self, error: redis.ResponseError, backoff: Backoff) -> None:
        text = str(error)
        if "NOGROUP" in text or "UNBLOCKED" in text or "no longer exists" in text:
            self._make_group()
        else:
            self._stop.sleep(backoff.next())

    def _make_group(self) -> None:
        """The stream was evicted and its group with it: begin again at its first entry, to miss
        nothing new.
        """
        try:
            self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
            self._ledger.write("group_recreated", stream=self._stream, group=self._group)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    # --- registry ---------------------------------------------------------------------------------

    def _beat(self) -> None:
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + _HEARTBEAT_SECONDS
        try:
            self._register()
        except Away:
            self._registered = False
        self._redis.zadd(HEARTBEATS, {self._name: time.time()})

    def _register(self) -> None:
        with self._database.connection() as connection:
            if self._registered:
                connection.execute(
                    "UPDATE agents SET last_heartbeat = clock_timestamp() WHERE id = %s",
                    (self._name,),
                )
            else:
                facts = {"id": self._name, "capabilities": self._capabilities, "boot": self._boot}
                connection.execute(_REGISTER, facts)
                self._registered = True

    def _leave(self) -> None:
        try:
            self._redis.zrem(HEARTBEATS, self._name)
            with self._database.connection() as connection:
                connection.execute(
                    "UPDATE agents SET status = 'inactive' WHERE id = %s", (self._name,)
                )
        except (redis.RedisError, Away):
            return  # who can't be told will notice the missing heartbeat

    # --- reading ----------------------------------------------------------------------------------

    def _take_up_pending(self) -> None:
        """Entries that were delivered to this consumer and never acknowledged, oldest first."""
        last = "0"
        while last and not self._stop:
            last = self._read(last, None)
        self._recover = bool(last)

    def _read(self, start: str, block_ms: int | None) -> str:
        """Read a batch and work on it; the last id read, "" when there was nothing."""
        reply: Any = self._redis.xreadgroup(
            self._group, self._name, {self._stream: start}, count=_BATCH, block=block_ms
        )
        raw = reply[0][1] if reply else []
        fresh = [entry for entry in map(_entry, raw) if entry.id not in self._in_hand]
        if fresh:
            pairs = [(entry.id, entry.fields.get("publication", "")) for entry in fresh]
            self._ledger.write("received", stream=self._stream, group=self._group, entries=pairs)
        self._in_hand.update({entry.id: entry for entry in fresh})
        for entry in fresh:
            self._advance(entry)
        return raw[-1][0].decode() if raw else ""

    # --- processing -------------------------------------------------------------------------------

    def _advance(self, entry: Entry) -> None:
        """One step for an entry in hand: process it, or set its next try, or give it up; then
        acknowledge.
        """
        if not entry.processed:
            outcome = self._try(entry)
            if outcome is None:
                return
            self._ledger.write(
                "processed",
                stream=self._stream,
                message_id=entry.fields.get("message_id", ""),
                outcome=outcome,
                **entry.facts,
            )
            entry = self._keep(replace(entry, processed=True))
        self._acknowledge(entry)

    def _try(self, entry: Entry) -> str | None:
        """How it ended, or None when it is to be tried again later."""
        try:
            return self._handle(entry.fields)
        except Away:
            self._keep(replace(entry, due=time.monotonic() + _AWAY_SECONDS))
        except HandlerFailed as error:
            return self._failed(replace(entry, tries=entry.tries + 1), str(error))
        return None

    def _failed(self, entry: Entry, reason: str) -> str | None:
        if entry.tries < _TRIES:
            self._keep(
                replace(entry, due=time.monotonic() + _RETRY_SECONDS * 2 ** (entry.tries - 1))
            )
            return None
        self._keep(entry)
        return self._bury(entry, reason)

    def _bury(self, entry: Entry, reason: str) -> str | None:
        task = _task_of(entry.fields)
        try:
            if task is not None:
                with self._database.transaction(task["tenant_id"]) as connection:
                    connection.execute(_FAIL, (entry.tries, task["task_id"]))
        except Away:
            self._keep(replace(entry, tries=entry.tries - 1, due=time.monotonic() + _AWAY_SECONDS))
            return None
        facts = {
            "stream": self._stream,
            "id": entry.id,
            "tries": entry.tries,
            "error": reason,
            "fields": entry.fields,
        }
        letter = envelope(
            "dead_letter", self._name, "", facts, entry.fields.get("correlation_id", "")
        )
        self._publisher.publish(DEAD_LETTERS, [letter])
        return "dead_letter"

    def _handle(self, fields: dict[str, str]) -> str:
        """Process a message. Raises HandlerFailed, or Away when the database can't be reached."""
        if not fields:
            return "payload_gone"
        payload = _payload(fields)
        if payload.get("poison"):
            raise HandlerFailed("the handler can't digest this message")
        if fields.get("type") == PING:
            return self._answer(fields, payload)
        if fields.get("type") != "task":
            return "done"
        return self._do_task(payload["task_id"], payload["tenant_id"])

    def _answer(self, fields: dict[str, str], payload: dict[str, Any]) -> str:
        """Answer the monitor through the same reading, decoding and handling as every message."""
        try:
            answer_ping(self._redis, self._name, fields, payload)
        except (redis.ResponseError, KeyError, ValueError) as error:
            raise HandlerFailed(f"the ping can't be answered: {error}") from error
        return "done"

    def _do_task(self, task: str, tenant: str) -> str:
        with self._database.transaction(tenant) as connection:
            if connection.execute(_START, (task,)).fetchone() is None:
                return "skipped"
        time.sleep(random.uniform(0.002, 0.02))  # noqa: S311 - the length of pretended work
        with self._database.transaction(tenant) as connection:
            connection.execute(_COMPLETE, (task,))
        return "done"

    def _acknowledge(self, entry: Entry) -> None:
        facts = {"stream": self._stream, "group": self._group, **entry.facts}
        if not entry.ack_sent:
            self._ledger.write("ack_intent", **facts)
        self._keep(replace(entry, ack_sent=True))
        removed = int(self._redis.xack(self._stream, self._group, entry.id))
        again = entry.ack_sent  # an earlier XACK may have removed it although its reply was lost
        self._ledger.write("acked", **facts, removed=removed, again=again)
        del self._in_hand[entry.id]

    def _keep(self, entry: Entry) -> Entry:
        self._in_hand[entry.id] = entry
        return entry


def _entry(raw: tuple[bytes, dict[bytes, bytes] | None]) -> Entry:
    fields = {key.decode(): value.decode() for key, value in (raw[1] or {}).items()}
    return Entry(raw[0].decode(), fields)


def _payload(fields: dict[str, str]) -> dict[str, Any]:
    try:
        payload = json.loads(fields["payload"])
        return {**payload}
    except (KeyError, ValueError, TypeError) as error:
        raise HandlerFailed(f"payload is not a JSON object: {error}") from error


def _task_of(fields: dict[str, str]) -> dict[str, Any] | None:
    try:
        payload = _payload(fields)
    except HandlerFailed:
        return None
    return payload if fields.get("type") == "task" and "task_id" in payload else None


def main() -> int:
    """Run one agent; 1 at once while the control file `die-<name>` exists."""
    parser = argparse.ArgumentParser(description="An agent of the demo platform")
    parser.add_argument("--name", required=True)
    parser.add_argument("--capabilities", default="")
    arguments = parser.parse_args()
    stop = Stop()
    frame = Frame(arguments.name)
    if frame.control(f"die-{arguments.name}") is not None:
        return 1
    Agent(frame, [part for part in arguments.capabilities.split(",") if part], stop).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
