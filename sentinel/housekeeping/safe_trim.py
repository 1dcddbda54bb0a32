"""Kind `safe_trim`: shorten streams by what every group has acknowledged, and nothing else
(measurement.md §9).
"""

from __future__ import annotations

from pydantic import Field, field_validator

from sentinel.adapters.bus.housekeeping import StreamShape, TrimOrder
from sentinel.core.bus.delivery import ZERO, parse_id
from sentinel.core.bus.housekeeping import Done, Refusal, Survey, Target, is_time
from sentinel.core.bus.naming import matches, quote
from sentinel.housekeeping import ChoreKind, ChoreOptions, ChoreStreams, Room
from sentinel.strict.field import Duration

MAX_LOOK = 10_000


class RequiredGroups(ChoreOptions):
    """Groups without which a stream is not trimmed."""

    required: list[str] = Field(
        ["*"],
        min_length=1,
        description="glob patterns; each must match a group of the stream, or it is not trimmed",
    )


class SafeTrimOptions(ChoreOptions):
    """Options of `safe_trim`."""

    streams: ChoreStreams = Field(description="which streams")
    groups: RequiredGroups = Field(
        RequiredGroups(required=["*"]), description="which groups have to have read it"
    )
    keep: Duration = Field(
        86400.0, description="entries younger than this stay, also when they are acknowledged"
    )
    keep_entries: int = Field(
        1000, ge=1, description="so many of the newest entries stay, whatever their age"
    )
    at_least: int = Field(
        100, ge=1, description="fewer entries than this to trim are not worth a command"
    )
    below: str = Field(
        "",
        description="for a plan: trim below this id; refused beyond the oldest unacknowledged one",
    )

    @field_validator("below")
    @classmethod
    def _is_id(cls, text: str) -> str:
        try:
            known = not text or parse_id(text) > ZERO
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"{text!r} is no entry id: write milliseconds-sequence")
        return text


async def survey(options: SafeTrimOptions, room: Room) -> Survey:
    """Per stream: how many entries every group is done with, and who holds back the rest."""
    targets, refusals = [], []
    keys = await room.find_streams(options.streams)
    for key in keys:
        found = await _look(options, room, key)
        if isinstance(found, Target):
            targets.append(found)
        elif found is not None:
            refusals.append(found)
    return Survey(tuple(targets), tuple(refusals), len(keys))


async def _look(options: SafeTrimOptions, room: Room, key: str) -> Target | Refusal | None:
    shape = await room.shape(key)
    if shape is None:
        return None
    refusal = _judge(options, key, shape, await room.cleaner.read_clock())
    if refusal is not None:
        return refusal
    names = tuple(group.name for group in shape.groups)
    seen = await room.cleaner.trim(_order(options, key, MAX_LOOK, names, options.below), go=False)
    if seen.refused:
        return _refuse(key, seen.refused, seen.floor, seen.holder)
    if seen.below < (1 if options.below else options.at_least) and not seen.more:
        return None
    command = f"XTRIM {quote(key)} MINID ~ {seen.floor} LIMIT {seen.below}"
    note = (
        f"held by {seen.holder}; {seen.length:,} entries; whole nodes only, so up to 99 of these"
        " stay"
    )
    return Target(key, seen.below, command, bound=seen.floor, note=note, needs=names)


def _judge(options: SafeTrimOptions, key: str, shape: StreamShape, now: float) -> Refusal | None:
    """What must hold before anything is asked of the server."""
    names = [group.name for group in shape.groups]
    for pattern in options.groups.required:
        if not any(matches(name, [pattern]) for name in names):
            text = f"no group matches {pattern!r}: a group was lost, or never made"
            return Refusal("group_missing", key, text, "make the group, or correct groups.required")
    if parse_id(shape.last) > ZERO and not is_time(parse_id(shape.last), int(now * 1000)):
        text = f"its ids are no times (last {shape.last}): how old an entry is can't be known"
        return Refusal(
            "no_time",
            key,
            text,
            "trim it by hand with XTRIM MINID, below what every group has acknowledged",
        )
    return None


_REFUSED = {
    "no_group": (
        "it has no group: nobody can have acknowledged anything",
        "exclude it, or make its groups",
    ),
    "group_missing": (
        "a group that was there is gone",
        "look for who destroyed it; make a new plan",
    ),
    "unacknowledged": (
        "beyond what every group has acknowledged, or younger than `keep`",
        "name a lower id",
    ),
    "limit": ("it would leave nothing", "keep at least one entry"),
}


def _refuse(key: str, reason: str, floor: str, holder: str) -> Refusal:
    text, remedy = _REFUSED[reason]
    where = (
        f" ({floor}, held by {holder})"
        if reason == "unacknowledged"
        else f" ({holder})"
        if holder
        else ""
    )
    return Refusal(reason, key, text + where, remedy)


def _order(
    options: SafeTrimOptions, key: str, most: int, groups: tuple[str, ...], bound: str
) -> TrimOrder:
    return TrimOrder(key, most, options.keep, options.keep_entries, groups, bound)


async def recount(options: SafeTrimOptions, room: Room, target: Target) -> int:
    """Entries below the planned id, while it still is safe; else none."""
    seen = await room.cleaner.trim(
        _order(options, target.key, MAX_LOOK, target.needs, target.bound), go=False
    )
    return 0 if seen.refused else seen.below


async def act(options: SafeTrimOptions, room: Room, target: Target) -> Done:
    """Trim one portion below the planned id."""
    report = await room.cleaner.trim(
        _order(options, target.key, target.count, target.needs, target.bound), go=True
    )
    if report.refused:
        return Done(0, (_refuse(target.key, report.refused, report.floor, report.holder),))
    return Done(report.removed)


KIND = ChoreKind(
    "safe_trim",
    "shorten streams by what every group has acknowledged and nobody needs any more",
    SafeTrimOptions,
    "entries",
    survey,
    recount,
    act,
    portion=1000,
    parameters=("keep", "keep_entries", "below"),
)
