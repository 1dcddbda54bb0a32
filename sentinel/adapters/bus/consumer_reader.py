"""Who listens on the streams that match a pattern: consumers, and how long the oldest unread entry
waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, parse_map, parse_time
from sentinel.core.agents.census import Consumer, Listeners
from sentinel.core.bus.age import SLACK
from sentinel.core.foreign.expression import Expression
from sentinel.core.moment import is_time
from sentinel.errors import SubjectError, TargetError

MAX_STREAMS = 20_000

_WRONG_TYPE = "the key holds another type: correct consumers.streams, or rename the key"
_NO_TIME = (
    "entries with ids of their own tell no time: whether its agent listens can't be judged by them"
)
_NO_GROUP = "create the group, or correct consumers.groups"


async def find_streams(client: RedisClient, pattern: str) -> list[bytes]:
    """Keys of type stream that match a glob, sorted; read with SCAN, so it blocks nobody."""
    if not any(mark in pattern for mark in "*?["):
        return [pattern.encode()]
    found: set[bytes] = set()
    cursor = b"0"
    while len(found) < MAX_STREAMS:
        cursor, keys = await client.call(
            "SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "stream"
        )
        found.update(keys)
        if cursor == b"0":
            break
    return sorted(found)


@dataclass(frozen=True, slots=True)
class ListenerPlaces:
    """Which consumers are agents. Both patterns have a group `agent`; a name that doesn't match is
    skipped.

    `has_group`: whether a group counts; `required`: groups that every stream of an agent must have.
    """

    streams: str
    agent_of_stream: Expression
    agent_of_consumer: Expression
    has_group: Callable[[str], bool] = lambda _name: True
    required: Sequence[str] = ()


@dataclass(slots=True)
class _Found:
    consumers: list[Consumer] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, tuple[str, str]] = field(default_factory=dict)

    def doubt(self, places: ListenerPlaces, stream: str, problem: str, remedy: str) -> None:
        """A stream that can't be judged, and its agent with it."""
        self.troubles[f"stream {stream:.80}"] = (problem, remedy)
        if owner := places.agent_of_stream.fullmatch(stream):
            self.unjudged[owner["agent"]] = problem


Place = tuple[bytes, dict[str, Any]]


async def read_listeners(
    client: RedisClient, streams: Sequence[bytes], places: ListenerPlaces
) -> tuple[Listeners, Mapping[str, tuple[str, str]]]:
    """(consumers of all groups of `streams`, stream → what of it can't be judged).

    A stream that vanished meanwhile has no consumers. Raises TargetError when the server can't be
    asked.
    """
    found = _Found()
    groups = await client.pipeline([("XINFO", "GROUPS", stream) for stream in streams])
    chosen: list[Place] = []
    for stream, reply in zip(streams, groups, strict=True):
        listed = [parse_map(row) for row in _rows(reply, found, places, stream)]
        _require(found, places, stream, listed, reply)
        chosen += [(stream, group) for group in listed if places.has_group(display(group["name"]))]
    clock, *listing = await client.pipeline(
        [("TIME",), *[("XINFO", "CONSUMERS", s, g["name"]) for s, g in chosen]]
    )
    if isinstance(clock, TargetError):
        raise clock
    now = parse_time(clock)
    unread = await client.pipeline(
        [("XRANGE", s, b"(" + g["last-delivered-id"], "+", "COUNT", 1) for s, g in chosen]
    )
    for (stream, group), listed, entries in zip(chosen, listing, unread, strict=True):
        rows = _rows(listed, found, places, stream)
        found.consumers += _consumers(
            display(stream), display(group["name"]), rows, places.agent_of_consumer
        )
        _note_waiting(found, places, stream, _rows(entries, found, places, stream), now)
    owned = _find_owned(chosen, places)
    listeners = Listeners(tuple(found.consumers), found.waiting, now, found.unjudged, owned)
    return listeners, found.troubles


def _find_owned(chosen: Sequence[Place], places: ListenerPlaces) -> dict[str, tuple[str, str]]:
    """Agent → stream and group of its own; of several the first."""
    owned: dict[str, tuple[str, str]] = {}
    for stream, group in chosen:
        if owner := places.agent_of_stream.fullmatch(display(stream)):
            owned.setdefault(owner["agent"], (display(stream), display(group["name"])))
    return owned


def _rows(reply: Any, found: _Found, places: ListenerPlaces, stream: bytes) -> list[Any]:
    """The rows of a reply; a stream that is none is noted, one that is gone has none, anything else
    is raised.
    """
    if isinstance(reply, list):
        return reply
    if not isinstance(reply, SubjectError):
        raise reply
    if reply.code == "WRONGTYPE":
        found.doubt(places, display(stream), reply.message, _WRONG_TYPE)
    return []


def _require(
    found: _Found, places: ListenerPlaces, stream: bytes, listed: Sequence[Any], reply: Any
) -> None:
    name = display(stream)
    if not isinstance(reply, list) or not places.agent_of_stream.fullmatch(name):
        return
    there = {display(group["name"]) for group in listed}
    if missing := [group for group in places.required if group not in there]:
        found.doubt(places, name, f"has no group {missing[0]:.80}", _NO_GROUP)


def _note_waiting(
    found: _Found, places: ListenerPlaces, stream: bytes, oldest: Sequence[Any], now: float
) -> None:
    owner = places.agent_of_stream.fullmatch(display(stream))
    if owner is None or not oldest:
        return
    published = int(oldest[0][0].partition(b"-")[0]) / 1000
    # why the future too: a clock that was fast would hide for how long an entry waits
    if not is_time(published) or published > now + SLACK:
        found.doubt(
            places, display(stream), f"entry id {display(oldest[0][0])} is no time", _NO_TIME
        )
        return
    found.waiting[owner["agent"]] = max(found.waiting.get(owner["agent"], 0.0), now - published)


def _consumers(stream: str, group: str, rows: Sequence[Any], names: Expression) -> list[Consumer]:
    found = []
    for row in rows:
        info = parse_map(row)
        name = display(info["name"])
        if match := names.fullmatch(name):
            attempts = "inactive" in info
            idle, pending = info["idle"] / 1000, info["pending"]
            found.append(Consumer(match["agent"], stream, name, idle, pending, attempts, group))
    return found


async def find_other_keys(
    client: RedisClient, streams: Sequence[bytes], pattern: str, agents: Sequence[str]
) -> dict[str, str]:
    """Agent → type of the key that should be its stream and is of another type; for a pattern with
    one `*` only.
    """
    head, star, tail = pattern.partition("*")
    if not star or any(mark in head + tail for mark in "*?["):
        return {}
    known = set(streams)
    keys = {agent: key for agent in agents if (key := f"{head}{agent}{tail}".encode()) not in known}
    kinds = await client.pipeline([("TYPE", key) for key in keys.values()])
    found = {
        agent: kind
        for agent, kind in zip(keys, kinds, strict=True)
        if kind not in (b"none", b"stream")
    }
    error = next((kind for kind in found.values() if isinstance(kind, TargetError)), None)
    if error is not None:
        raise error
    return {agent: display(kind) for agent, kind in found.items()}
