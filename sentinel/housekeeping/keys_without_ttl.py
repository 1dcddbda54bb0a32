"""Kind `keys_without_ttl`: keys under allowed prefixes that would stay for ever get a time to live,
or go.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from sentinel.core.bus.housekeeping import Done, Survey, Target
from sentinel.core.bus.naming import quote
from sentinel.housekeeping import ChoreKind, ChoreOptions, Room, read_verdicts, samples_of
from sentinel.strict.field import Duration

MAX_KEYS = 10_000
_CHUNK = 500
Type = Literal["string", "hash", "list", "set", "zset", "stream"]


class KeysOptions(ChoreOptions):
    """Options of `keys_without_ttl`."""

    prefixes: list[str] = Field(
        min_length=1,
        description="only keys that begin with one of these, such as `cache:`",
        examples=['["cache:"]'],
    )
    action: Literal["expire", "unlink"] = Field(
        "expire", description="give them `ttl`, or unlink them at once"
    )
    ttl: Duration = Field(86400.0, description="time to live that they get")
    unused_for: Duration = Field(
        3600.0,
        description=(
            "only keys that nobody read or wrote for this time: SET and EXPIRE often are two"
            " commands"
        ),
    )
    types: list[Type] = Field(
        ["string", "hash", "list", "set", "zset"],
        min_length=1,
        description="a stream with groups is never touched",
    )

    @field_validator("prefixes")
    @classmethod
    def _are_prefixes(cls, prefixes: list[str]) -> list[str]:
        for prefix in prefixes:
            if (
                len(prefix) < 2
                or re.search(r"[*?\[\]\\]", prefix)
                or prefix.startswith("sentinel:")
            ):
                raise ValueError(
                    f"{prefix!r} is no prefix to clean: at least two characters, no wildcard, not"
                    " our own"
                )
        return prefixes

    @field_validator("ttl")
    @classmethod
    def _not_now(cls, seconds: float) -> float:
        if seconds < 1:
            raise ValueError("must be at least 1s: less is `action: unlink`")
        return seconds


async def survey(options: KeysOptions, room: Room) -> Survey:
    """Per prefix: the keys without a TTL that nobody used for long."""
    targets, looked = [], 0
    for prefix in options.prefixes:
        found: set[str] = set()
        async for keys in room.cleaner.scan(f"{prefix}*"):
            looked += len(keys)
            found.update(await _find(options, room, keys))
            if len(found) >= MAX_KEYS:
                break
        if found:
            targets.append(_make_target(options, prefix, sorted(found)[:MAX_KEYS]))
    return Survey(tuple(targets), (), looked)


def _make_target(options: KeysOptions, prefix: str, keys: list[str]) -> Target:
    sent = f"PEXPIRE {quote(keys[0])} {int(options.ttl * 1000)}"
    command = sent if options.action == "expire" else f"UNLINK {quote(keys[0])}"
    command += (
        f" (and {len(keys) - 1:,} more), each only while it has no TTL" if len(keys) > 1 else ""
    )
    return Target(f"{prefix}*", len(keys), command, samples_of(keys), items=tuple(keys))


async def _find(options: KeysOptions, room: Room, keys: list[str]) -> list[str]:
    verdicts = await _send(options, room, keys, "look")
    return [key for key, verdict in zip(keys, verdicts, strict=True) if verdict == "gone"]


async def _send(options: KeysOptions, room: Room, keys: list[str], mode: str) -> list[str]:
    return await room.cleaner.expire(keys, mode, options.ttl, options.unused_for, options.types)


async def recount(options: KeysOptions, room: Room, target: Target) -> int:
    """How many of the same keys still have no TTL and are unused."""
    keys = list(target.items)
    return sum(
        [len(await _find(options, room, keys[i : i + _CHUNK])) for i in range(0, len(keys), _CHUNK)]
    )


async def act(options: KeysOptions, room: Room, target: Target) -> Done:
    """Expire or unlink one portion."""
    return read_verdicts(
        target, await _send(options, room, list(target.items), options.action), "gone"
    )


KIND = ChoreKind(
    "keys_without_ttl",
    "give keys under allowed prefixes a time to live, or unlink them, when they have none and"
    " nobody uses them",
    KeysOptions,
    "keys",
    survey,
    recount,
    act,
)
