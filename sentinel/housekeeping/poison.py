"""Kind `poison`: entries that were delivered too often are copied to a dead-letter stream, then
acknowledged.

Both in one step on the server, so that a death in between neither loses nor doubles one: what was
moved is not pending any more.
"""

from __future__ import annotations

from pydantic import Field

from sentinel.adapters.bus.housekeeping import PendingView
from sentinel.core.bus.housekeeping import Done, Survey, Target
from sentinel.core.bus.naming import quote
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

MAX_PENDING = 10_000


class PoisonOptions(ChoreOptions):
    """Options of `poison`."""

    streams: ChoreStreams = Field(description="which streams")
    groups: ChoreGroups = Field(
        ChoreGroups(include=["*"], exclude=[]), description="which consumer groups"
    )
    more_than: int = Field(
        10,
        ge=1,
        description=(
            "deliveries; more than restarts, because reading the own history again counts as one"
        ),
    )
    handler_time: Duration = Field(
        60.0, description="entries delivered more lately than this may be in work: left"
    )
    dead_letter: str = Field(
        min_length=1,
        description="stream that gets the copy, with its origin",
        examples=["dead-letters"],
    )


def _is_poison(options: PoisonOptions, row: PendingView) -> bool:
    return row.deliveries > options.more_than and row.idle >= options.handler_time


async def survey(options: PoisonOptions, room: Room) -> Survey:
    """Per group: the entries that were delivered too often."""
    places = await room.find_groups(options.streams, options.groups, options.dead_letter)
    targets = []
    for key, group in places:
        rows = await room.cleaner.read_pending(key, group, MAX_PENDING)
        poison = [row for row in rows if _is_poison(options, row)]
        if poison:
            targets.append(_make_target(options, key, group, poison))
    return Survey(tuple(targets), (), len(places))


def _make_target(options: PoisonOptions, key: str, group: str, poison: list[PendingView]) -> Target:
    ids = [row.id for row in poison]
    words = f"{ids[0]}{' …' if len(ids) > 1 else ''}"
    command = (
        f"XADD {quote(options.dead_letter)} * <fields and origin>; XACK {quote(key)} {quote(group)}"
        f" {words}"
    )
    note = f"delivered up to {max(row.deliveries for row in poison):,} times"
    return Target(key, len(ids), command, samples_of(ids), group, tuple(ids), note=note)


async def recount(options: PoisonOptions, room: Room, target: Target) -> int:
    """How many of the same entries still are poison."""
    rows = await room.cleaner.read_rows(target.key, target.group, target.items)
    return sum(1 for row in rows if row is not None and _is_poison(options, row))


async def act(options: PoisonOptions, room: Room, target: Target) -> Done:
    """Quarantine one portion."""
    verdicts = await room.cleaner.dead_letter(
        target.key,
        target.group,
        options.dead_letter,
        target.items,
        idle=options.handler_time,
        deliveries=options.more_than,
        reason="poison",
    )
    return read_verdicts(target, verdicts, "moved")


KIND = ChoreKind(
    "poison",
    "copy entries that were delivered too often to a dead-letter stream with their origin, and"
    " acknowledge them",
    PoisonOptions,
    "entries",
    survey,
    recount,
    act,
    parameters=("more_than",),
)
