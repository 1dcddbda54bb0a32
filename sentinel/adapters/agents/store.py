"""Registries and heartbeats in Redis: one hash, a hash or JSON text for each agent, a sorted set,
keys that expire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sentinel.adapters.redis import RedisClient
from sentinel.adapters.redis.reply import display, parse_time
from sentinel.core.agents.census import Beats
from sentinel.core.agents.registration import Registration, read_registration
from sentinel.core.foreign.expression import Expression
from sentinel.core.moment import is_time, is_wall_time, read_instant
from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.errors import SubjectError, TargetError

MAX_AGENTS = 20_000

Names = Mapping[str, str | None]
Troubles = dict[str, tuple[str, str]]
"""Subject → (problem, remedy), where one subject can't be judged."""


@dataclass(frozen=True, slots=True)
class AgentStore:
    """Where a registry is: `hash` with a field for each agent, or `keys`, a glob with a key for
    each.

    `names`: fields of status, last_heartbeat, capabilities, registered_at, boot_id, name, and of
    the id where keys hold it; `zone`: as declared, of texts without an offset.
    """

    names: Names
    hash: str | None = None
    keys: str | None = None
    zone: str | None = None

    @property
    def place(self) -> str:
        """How people know its times."""
        return f"{self.names['last_heartbeat']} of {self.hash or self.keys}"


@dataclass(frozen=True, slots=True)
class BeatStore:
    """Where heartbeats are: sorted set `zset`, `hash`, or `keys` that expire `lifetime` seconds
    after each beat.

    `member` reads agent, and boot where it has that group, from the name; `scale`: seconds per unit
    of a number;
    `field`: of JSON in a hash; `zone`: as declared, of texts without an offset.
    """

    member: Expression
    zset: str | None = None
    hash: str | None = None
    keys: str | None = None
    lifetime: float = 0.0
    scale: float = 1.0
    field: str | None = None
    zone: str | None = None

    @property
    def place(self) -> str:
        """How people know its times."""
        return f"heartbeats of {self.zset or self.hash or self.keys}"


def clock_of_texts(place: str, zone: str | None) -> ColumnClock:
    """The clock of times that are texts without an offset."""
    if zone is not None:
        return ColumnClock(place, Basis.DECLARED, zone, source="`zone:` of the mapping")
    return ColumnClock(place, Basis.ASSUMED, source="texts without an offset")


async def read_store(
    client: RedisClient, store: AgentStore
) -> tuple[list[Registration], float, Troubles]:
    """(registrations, Unix seconds of the server, what of it can't be read)."""
    now = parse_time(await client.call("TIME"))
    troubles: Troubles = {}
    if store.hash is not None:
        entries = [
            (display(name), _read_text(value))
            for name, value in (await _scan_hash(client, store.hash)).items()
        ]
    else:
        entries = await _read_keys(client, store, troubles)
    rows = []
    for name, fields in entries:
        if fields is None:
            troubles[f"agent {name:.60}"] = (
                "its entry is no JSON object",
                "mend the entry, or correct the mapping",
            )
        else:
            rows.append(read_registration(name, fields, store.names, zone=store.zone))
    return rows, now, troubles


async def _scan_hash(client: RedisClient, key: str) -> dict[bytes, bytes]:
    """A hash in pieces: no reply blocks the server, and at most 20,000 fields are kept."""
    found: dict[bytes, bytes] = {}
    cursor = b"0"
    while len(found) < MAX_AGENTS:
        cursor, flat = await client.call("HSCAN", key, cursor, "COUNT", 1000)
        found.update(zip(flat[::2], flat[1::2], strict=True))
        if cursor == b"0":
            break
    return found


async def scan_keys(client: RedisClient, pattern: str) -> list[bytes]:
    """Keys of any type that match a glob, sorted; at most 20,000."""
    found: set[bytes] = set()
    cursor = b"0"
    while len(found) < MAX_AGENTS:
        cursor, keys = await client.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        found.update(keys)
        if cursor == b"0":
            break
    return sorted(found)


async def _read_keys(
    client: RedisClient, store: AgentStore, troubles: Troubles
) -> list[tuple[str, Mapping[str, Any] | None]]:
    keys = await scan_keys(client, store.keys or "")
    kinds = await client.pipeline([("TYPE", key) for key in keys])
    commands = {b"hash": "HGETALL", b"string": "GET"}
    known = [
        (key, commands[kind]) for key, kind in zip(keys, kinds, strict=True) if kind in commands
    ]
    for key, kind in zip(keys, kinds, strict=True):
        if kind not in commands and kind != b"none":
            text = kind if isinstance(kind, TargetError) else display(kind)
            troubles[f"key {display(key):.60}"] = (
                f"is no hash or JSON text but: {text}",
                "correct agents.keys",
            )
    replies = await client.pipeline([(command, key) for key, command in known])
    return list(_entries(store, [key for key, _ in known], replies))


def _entries(
    store: AgentStore, keys: list[bytes], replies: list[Any]
) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """An agent is named by its field of the id, else by what the glob's * stands for. A key that is
    gone is passed.
    """
    head, _, tail = (store.keys or "").partition("*")
    for key, reply in zip(keys, replies, strict=True):
        if isinstance(reply, TargetError):
            raise reply
        if not reply:
            continue
        fields = _read_hash(reply) if isinstance(reply, list) else _read_text(reply)
        named = (fields or {}).get(store.names.get("id") or "")
        yield str(named or display(key).removeprefix(head).removesuffix(tail)), fields


def _read_hash(flat: list[bytes]) -> dict[str, Any]:
    return {
        display(name): display(value) for name, value in zip(flat[::2], flat[1::2], strict=True)
    }


def _read_text(value: bytes) -> Mapping[str, Any] | None:
    """A JSON object, or a bare word, which is the status; None for what is meant as JSON and is
    none.
    """
    text = display(value)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None if text.lstrip()[:1] in ("{", "[") else {"status": text}
    return found if isinstance(found, dict) else {"status": text}


# --- heartbeats ---------------------------------------------------------------------------------


async def read_beats(client: RedisClient, store: BeatStore) -> Beats:
    """All heartbeats. Raises SubjectError when the key is of another type."""
    if store.keys is not None:
        return await _read_expiring(client, store)
    now = parse_time(await client.call("TIME"))
    if store.zset is not None:
        flat = await client.call("ZREVRANGE", store.zset, 0, MAX_AGENTS - 1, "WITHSCORES")
    else:
        flat = [
            part for item in (await _scan_hash(client, store.hash or "")).items() for part in item
        ]
    pairs = (
        (display(name), display(value)) for name, value in zip(flat[::2], flat[1::2], strict=True)
    )
    values = [(name, _find_value(store, text), text) for name, text in pairs]
    beats = _collect(store, now, [(name, _read_time(store, at), text) for name, at, text in values])
    if not any(is_wall_time(at) for _, at, _ in values):
        return beats
    clock = clock_of_texts(store.place, store.zone)
    return replace(beats, basis=clock.basis, zone=clock.zone)


def _find_value(store: BeatStore, text: str) -> Any:
    """What stands for the time: the text, or a field of JSON in it."""
    if store.field is None:
        return text
    return (_read_text(text.encode(errors="backslashreplace")) or {}).get(store.field)


def _read_time(store: BeatStore, value: Any) -> float | None:
    zone = store.zone or "UTC"
    if store.field is not None:
        return read_instant(value, zone)
    try:
        seconds = float(value) * store.scale
    except ValueError:
        return read_instant(value, zone)
    return seconds if is_time(seconds) else None


async def _read_expiring(client: RedisClient, store: BeatStore) -> Beats:
    """A beat sets the key's time to live anew: what is left of it tells when that was."""
    keys = await scan_keys(client, store.keys or "")
    clock, *left = await client.pipeline([("TIME",), *[("PTTL", key) for key in keys]])
    error = next((reply for reply in [clock, *left] if isinstance(reply, TargetError)), None)
    if error is not None:
        raise error
    now = parse_time(clock)
    beats = [
        (
            display(key),
            now + ttl / 1000 - store.lifetime if ttl >= 0 else None,
            "a key that never expires",
        )
        for key, ttl in zip(keys, left, strict=True)
        if ttl != _GONE
    ]
    return _collect(store, now, beats)


_GONE = -2


def _collect(store: BeatStore, now: float, beats: list[tuple[str, float | None, str]]) -> Beats:
    """By agent, the newest; a name that `member` does not match is none of an agent."""
    at: dict[str, float] = {}
    boots: dict[str, dict[str, float]] = {}
    unreadable: dict[str, str] = {}
    for name, beat, text in beats:
        if (match := store.member.fullmatch(name)) is None:
            continue
        agent = match["agent"]
        if beat is None:
            unreadable[agent] = text[:80]
            continue
        at[agent] = max(beat, at.get(agent, beat))
        if match.get("boot"):
            boots.setdefault(agent, {})[match["boot"]] = beat
    return Beats(
        at, now, boots, {agent: text for agent, text in unreadable.items() if agent not in at}
    )


def refuse_type(error: SubjectError, option: str) -> tuple[str, str]:
    """(problem, remedy) of a key that holds another type."""
    return (
        error.message,
        f"correct {option}: the key holds another type" if error.code == "WRONGTYPE" else "",
    )
