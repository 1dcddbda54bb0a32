"""Kind `drain`: before a consumer is taken away, what it holds goes to another healthy one of the
same group.

What waits undelivered stays in the stream: the others read it. Where there is no other healthy
consumer, the whole drain is refused (reliability.md F13).
"""

from __future__ import annotations

from pydantic import Field

from sentinel.adapters.bus.housekeeping import StreamShape
from sentinel.core.bus.delivery import parse_id
from sentinel.core.bus.housekeeping import Done, Member, Refusal, Survey, Target, choose_heir
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

MAX_PENDING = 10_000


class DrainOptions(ChoreOptions):
    """Options of `drain`."""

    streams: ChoreStreams = Field(description="which streams")
    groups: ChoreGroups = Field(
        ChoreGroups(include=["*"], exclude=[]), description="which consumer groups"
    )
    handler_time: Duration = Field(
        description="entries delivered more lately than this may be in work: they stay"
    )
    consumer: str = Field(
        "", description="who is drained: `sentinel clean plan NAME consumer=agent-1`"
    )
    to: str = Field(
        "",
        description=(
            "who gets its entries; default: the healthy consumer of the group that holds least"
        ),
    )
    alive_within: Duration = Field(
        60.0, description="a consumer is healthy that was heard of within this time"
    )


async def survey(options: DrainOptions, room: Room) -> Survey:
    """Per group that the consumer is in: what it holds, and who would take it."""
    if not options.consumer:
        text = "who is to be drained was not said"
        return Survey((), (Refusal("consumer", "", text, "add consumer=NAME to the plan"),))
    targets, refusals, looked = [], [], 0
    for key in await room.find_streams(options.streams):
        shape = await room.shape(key)
        for group in _groups_of(options, shape):
            members = await room.cleaner.read_members(key, group)
            if any(member.name == options.consumer for member in members):
                looked += 1
                found = await _look(options, room, (key, group), shape, members)
                targets += [found] if isinstance(found, Target) else []
                refusals += [found] if isinstance(found, Refusal) else []
    if not looked:
        text = f"no group in scope has a consumer {options.consumer!r}"
        refusals.append(Refusal("consumer", "", text, "look at its name with XINFO CONSUMERS"))
    return Survey(tuple(targets), tuple(refusals), looked)


def _groups_of(options: DrainOptions, shape: StreamShape | None) -> list[str]:
    names = [group.name for group in shape.groups] if shape else []
    return [
        name
        for name in names
        if matches(name, options.groups.include) and not matches(name, options.groups.exclude)
    ]


async def _look(
    options: DrainOptions,
    room: Room,
    place: tuple[str, str],
    shape: StreamShape | None,
    members: list[Member],
) -> Target | Refusal | None:
    key, group = place
    rows = await room.cleaner.read_pending(key, group, MAX_PENDING, options.consumer)
    waits = _has_waiting(shape, group)
    if not rows and not waits:
        return None
    heir = choose_heir(members, options.consumer, options.alive_within, options.to)
    if not heir:
        wanted = (
            f"consumer {options.to!r} is not healthy"
            if options.to
            else "there is no other healthy consumer"
        )
        text = (
            f"{wanted}: {len(rows):,} pending{' and what waits' if waits else ''} would stay with"
            " nobody"
        )
        return Refusal(
            "no_heir", f"{key} {group}", text, "start another consumer of this group first"
        )
    idle = [row.id for row in rows if row.idle >= options.handler_time]
    if not idle:
        text = f"{len(rows):,} in work: delivered less than {options.handler_time:g} s ago"
        return (
            Refusal("in_work", f"{key} {group}", text, "wait until they are done", len(rows))
            if rows
            else None
        )
    words = f"{idle[0]}{' …' if len(idle) > 1 else ''}"
    command = (
        f"XCLAIM {quote(key)} {quote(group)} {quote(heir)} {int(options.handler_time * 1000)}"
        f" {words}"
    )
    note = f"{len(rows) - len(idle):,} in work stay; what waits is read by the others"
    return Target(
        key, len(idle), command, samples_of(idle), group, tuple(idle), bound=heir, note=note
    )


def _has_waiting(shape: StreamShape | None, group: str) -> bool:
    """Whether entries were not delivered to the group yet."""
    groups = shape.groups if shape else ()
    return any(
        each.name == group and shape and parse_id(each.delivered) < parse_id(shape.last)
        for each in groups
    )


async def recount(options: DrainOptions, room: Room, target: Target) -> int:
    """How many of the same entries the consumer still holds, idle; none when the heir is healthy no
    more.
    """
    members = await room.cleaner.read_members(target.key, target.group)
    if not choose_heir(members, options.consumer, options.alive_within, target.bound):
        return 0
    rows = await room.cleaner.read_rows(target.key, target.group, target.items)
    return sum(
        1
        for r in rows
        if r is not None and r.consumer == options.consumer and r.idle >= options.handler_time
    )


async def act(options: DrainOptions, room: Room, target: Target) -> Done:
    """Move one portion to the heir."""
    verdicts = await room.cleaner.reclaim(
        target.key,
        target.group,
        target.bound,
        target.items,
        idle=options.handler_time,
        alive_within=options.alive_within,
        owner=options.consumer,
    )
    return read_verdicts(target, verdicts, "moved")


KIND = ChoreKind(
    "drain",
    "move what a consumer holds to another healthy one of its group, before it is taken away",
    DrainOptions,
    "entries",
    survey,
    recount,
    act,
    parameters=("consumer", "to"),
    by_hand=True,
    whole=True,
)
