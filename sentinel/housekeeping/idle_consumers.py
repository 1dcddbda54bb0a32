"""Kind `idle_consumers`: remove consumers that hold nothing and were silent for long.

With one entry pending the entry would silently leave the pending list (reliability.md A25): the
script looks again in the moment of the removal, and without scripts nothing is removed.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from sentinel.core.bus.housekeeping import Done, Member, Survey, Target
from sentinel.core.bus.naming import matches, quote
from sentinel.housekeeping import (
    ChoreGroups,
    ChoreKind,
    ChoreOptions,
    ChoreStreams,
    Room,
    read_verdicts,
    samples_of,
)
from sentinel.strict.field import Duration

LEAST_SILENCE = 1.0


class IdleConsumersOptions(ChoreOptions):
    """Options of `idle_consumers`."""

    streams: ChoreStreams = Field(description="which streams")
    groups: ChoreGroups = Field(
        ChoreGroups(include=["*"], exclude=[]), description="which consumer groups"
    )
    silent_for: Duration = Field(
        86400.0, description="longer than any BLOCK and any pause between two messages"
    )
    spare: list[str] = Field([], description="glob patterns of consumer names that always stay")

    @field_validator("silent_for")
    @classmethod
    def _not_zero(cls, seconds: float) -> float:
        if seconds < LEAST_SILENCE:
            raise ValueError(
                "must be at least 1s: a consumer that works is silent between two messages"
            )
        return seconds


def _is_ghost(options: IdleConsumersOptions, member: Member) -> bool:
    silent = member.pending == 0 and member.quiet >= options.silent_for
    return silent and bool(member.name) and not matches(member.name, options.spare)


async def survey(options: IdleConsumersOptions, room: Room) -> Survey:
    """Per group: the consumers that would go."""
    places = await room.find_groups(options.streams, options.groups)
    targets = []
    for key, group in places:
        names = [
            m.name for m in await room.cleaner.read_members(key, group) if _is_ghost(options, m)
        ]
        if names:
            command = f"XGROUP DELCONSUMER {quote(key)} {quote(group)} {quote(names[0])}"
            command += (
                f" (and {len(names) - 1:,} more), each only while it holds nothing"
                if len(names) > 1
                else ""
            )
            targets.append(Target(key, len(names), command, samples_of(names), group, tuple(names)))
    return Survey(tuple(targets), (), len(places))


async def recount(options: IdleConsumersOptions, room: Room, target: Target) -> int:
    """How many of the same consumers still hold nothing and are silent."""
    planned = set(target.items)
    members = await room.cleaner.read_members(target.key, target.group)
    return sum(1 for member in members if member.name in planned and _is_ghost(options, member))


async def act(options: IdleConsumersOptions, room: Room, target: Target) -> Done:
    """Remove one portion."""
    verdicts = await room.cleaner.remove_consumers(
        target.key, target.group, options.silent_for, target.items
    )
    return read_verdicts(target, verdicts, "gone")


KIND = ChoreKind(
    "idle_consumers",
    "remove consumers that hold nothing and were silent for long",
    IdleConsumersOptions,
    "consumers",
    survey,
    recount,
    act,
    parameters=("silent_for",),
)
