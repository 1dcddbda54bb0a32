"""Kind `reclaim`: stuck pending entries go to a named consumer that lives, or to a dead-letter
stream.

The consumer must read its own history (`XREADGROUP … 0`) to see what it was given; many do so at
their start only.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from sentinel.adapters.bus.housekeeping import PendingView
from sentinel.core.bus.housekeeping import Done, Refusal, Survey, Target, choose_heir
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
ANY = -1


class ReclaimOptions(ChoreOptions):
    """Options of `reclaim`."""

    streams: ChoreStreams = Field(description="which streams")
    groups: ChoreGroups = Field(
        ChoreGroups(include=["*"], exclude=[]), description="which consumer groups"
    )
    handler_time: Duration = Field(description="the longest time a handler works on one entry")
    min_idle: Duration = Field(
        description="only entries delivered longer ago than this; not below handler_time"
    )
    to_consumer: str = Field(
        "", description="name of the consumer that gets them: it must exist and live"
    )
    dead_letter: str = Field(
        "",
        description="or the stream that gets a copy, and the entry is acknowledged",
        examples=["dead-letters"],
    )
    alive_within: Duration = Field(
        60.0, description="a consumer lives that was heard of within this time"
    )

    @model_validator(mode="after")
    def _is_safe(self) -> ReclaimOptions:
        if self.min_idle < self.handler_time:
            raise ValueError(
                "min_idle is below handler_time: entries in work would be handed out a second time"
            )
        if bool(self.to_consumer) == bool(self.dead_letter):
            raise ValueError("needs exactly one of to_consumer and dead_letter")
        return self


async def survey(options: ReclaimOptions, room: Room) -> Survey:
    """Per group: the entries that are stuck."""
    places = await room.find_groups(options.streams, options.groups, options.dead_letter)
    targets, refusals = [], []
    for key, group in places:
        rows = await room.cleaner.read_pending(key, group, MAX_PENDING)
        stuck = [row for row in rows if _is_stuck(options, row)]
        if not stuck:
            continue
        refusal = await _find_refusal(options, room, key, group)
        if refusal is None:
            targets.append(_make_target(options, key, group, stuck))
        else:
            refusals.append(refusal)
    return Survey(tuple(targets), tuple(refusals), len(places))


def _is_stuck(options: ReclaimOptions, row: PendingView) -> bool:
    return row.idle >= options.min_idle and row.consumer != options.to_consumer


async def _find_refusal(
    options: ReclaimOptions, room: Room, key: str, group: str
) -> Refusal | None:
    if options.dead_letter:
        return None
    members = await room.cleaner.read_members(key, group)
    if choose_heir(members, "", options.alive_within, options.to_consumer):
        return None
    text = (
        f"consumer {options.to_consumer!r} is not there, or was not heard of within"
        f" {options.alive_within:g} s"
    )
    return Refusal(
        "no_heir", f"{key} {group}", text, "start it, or name another one with to_consumer"
    )


def _make_target(options: ReclaimOptions, key: str, group: str, stuck: list[PendingView]) -> Target:
    ids = [row.id for row in stuck]
    owners = ", ".join(sorted({quote(row.consumer) for row in stuck})[:5])
    words, place = f"{ids[0]}{' …' if len(ids) > 1 else ''}", f"{quote(key)} {quote(group)}"
    if options.dead_letter:
        command = f"XADD {quote(options.dead_letter)} * <fields and origin>; XACK {place} {words}"
    else:
        command = (
            f"XCLAIM {place} {quote(options.to_consumer)} {int(options.min_idle * 1000)} {words}"
        )
    return Target(
        key, len(ids), command, samples_of(ids), group, tuple(ids), note=f"held by {owners}"
    )


async def recount(options: ReclaimOptions, room: Room, target: Target) -> int:
    """How many of the same entries still are stuck; none when nobody could take them."""
    if await _find_refusal(options, room, target.key, target.group) is not None:
        return 0
    rows = await room.cleaner.read_rows(target.key, target.group, target.items)
    return sum(1 for row in rows if row is not None and _is_stuck(options, row))


async def act(options: ReclaimOptions, room: Room, target: Target) -> Done:
    """Move one portion."""
    if options.dead_letter:
        verdicts = await room.cleaner.dead_letter(
            target.key,
            target.group,
            options.dead_letter,
            target.items,
            idle=options.min_idle,
            deliveries=ANY,
            reason="stuck",
        )
    else:
        verdicts = await room.cleaner.reclaim(
            target.key,
            target.group,
            options.to_consumer,
            target.items,
            idle=options.min_idle,
            alive_within=options.alive_within,
        )
    return read_verdicts(target, verdicts, "moved")


KIND = ChoreKind(
    "reclaim",
    "give stuck pending entries to a named consumer that lives, or put them into a dead-letter"
    " stream",
    ReclaimOptions,
    "entries",
    survey,
    recount,
    act,
    parameters=("to_consumer", "min_idle"),
)
