"""Reads dead-letter and retry places: a stream, a list or a sorted set, by key or by pattern.

Needs TIME, SCAN for patterns, and per type XINFO STREAM, XREVRANGE for arrivals; LLEN and LINDEX;
ZCARD, ZCOUNT and ZRANGEBYSCORE. All are O(1) or O(log n); of the entries at most two are read, for
arrivals the newest ones, and of their content nothing but the origin leaves this module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from sentinel.adapters.bus.entry_reader import parse_entries
from sentinel.adapters.bus.stream import parse_entry_id
from sentinel.adapters.redis import Command, RedisClient
from sentinel.adapters.redis.reply import display, is_missing, parse_map, parse_time
from sentinel.core.bus.age import SLACK
from sentinel.core.bus.arrivals import Arrivals, count_arrivals
from sentinel.core.bus.dead_letter import EARLIEST, LATEST_AHEAD, KeyReading, read_time
from sentinel.core.bus.delivery import format_id
from sentinel.core.bus.delivery.stream import OLDEST_PLAUSIBLE
from sentinel.errors import NotMeasurable, SubjectError, TargetError

SCAN_STEPS = 20
MAX_KEYS = 1000
NEWEST_KEYS, NEWEST_ENTRIES = 10, 100
"""Keys, and entries of each, that are read to count arrivals."""
PlaceType = Literal["stream", "list", "zset"]


@dataclass(frozen=True, slots=True)
class WatchedPlace:
    """What to read. `unit`: how many of a score make a second; `tolerance` seconds after which a
    due entry is late; `zone` of times without an offset; `arrivals_within` seconds, None: arrivals
    are not counted.
    """

    name: str
    type: PlaceType
    key: str
    unit: float = 1.0
    tolerance: float = 0.0
    time_field: str = ""
    zone: str = "UTC"
    origin: str = ""
    arrivals_within: float | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether the key is a glob."""
        return re.search(r"[*?\[]", self.key) is not None


@dataclass(slots=True)
class KeyScan:
    """Discovery of the keys of one pattern and type; goes on over several runs when the keyspace is
    large.
    """

    cursor: int = 0
    partial: set[bytes] = field(default_factory=set)
    found: set[bytes] = field(default_factory=set)
    passes: int = 0

    async def advance(self, client: RedisClient, place: WatchedPlace) -> bool:
        """Go a bounded number of steps; whether this ended a pass, so that `found` is everything."""
        for _ in range(SCAN_STEPS):
            command = ("SCAN", self.cursor, "MATCH", place.key, "COUNT", 1000, "TYPE", place.type)
            cursor, keys = await client.call(*command)
            self.cursor = int(cursor)
            self.partial.update(keys)
            if not self.cursor:
                self.found, self.partial = self.partial, set()
                self.passes += 1
                return True
        self.found |= self.partial
        return False


async def read_clock(client: RedisClient) -> float:
    """The server's time in seconds."""
    return parse_time(await client.call("TIME"))


async def find_keys(
    client: RedisClient, place: WatchedPlace, scan: KeyScan
) -> tuple[list[bytes], bool]:
    """Keys of a place, sorted, at most MAX_KEYS + 1; and whether these are all there are."""
    if not place.is_pattern:
        return [place.key.encode()], True
    complete = await scan.advance(client, place)
    return sorted(scan.found)[: MAX_KEYS + 1], complete


async def read_keys(
    client: RedisClient, place: WatchedPlace, keys: Sequence[bytes], now: float
) -> list[KeyReading]:
    """What each key holds at server time `now`. A key that isn't there holds nothing; one of
    another type says so.

    Raises TargetError when the server as a whole refuses (loading, no master …).
    """
    batches = [_COMMANDS[place.type](place, key, now) for key in keys]
    replies = iter(await client.pipeline([command for batch in batches for command in batch]))
    return [
        _read_key(place, display(key), [next(replies) for _ in batch], now)
        for key, batch in zip(keys, batches, strict=True)
    ]


def _read_key(place: WatchedPlace, key: str, replies: Sequence[Any], now: float) -> KeyReading:
    error = next((reply for reply in replies if isinstance(reply, TargetError)), None)
    if error is not None:
        return _explain(place, key, error)
    return _PARSERS[place.type](place, key, replies, now)


def _explain(place: WatchedPlace, key: str, error: TargetError) -> KeyReading:
    if is_missing(error):
        return KeyReading(key, added=0)
    if not isinstance(error, SubjectError | NotMeasurable):
        raise error
    wrong = f"this key is no {place.type}: correct type or key of this place"
    remedy = wrong if error.code == "WRONGTYPE" else error.guidance
    return KeyReading(key, problem=error.message, remedy=remedy, read=False)


async def read_arrivals(
    client: RedisClient,
    place: WatchedPlace,
    keys: Sequence[bytes],
    readings: Sequence[KeyReading],
    now: float,
) -> Arrivals | None:
    """Entries of a stream place that came lately, by their origin; None where nobody asks.

    `readings` are of these keys, in their order. Deleted entries are not seen. Raises TargetError
    when a key can't be read.
    """
    if place.arrivals_within is None:
        return None
    since = now - place.arrivals_within
    news = [(reading.newest, key) for key, reading in zip(keys, readings, strict=True)]
    moved = sorted((each for each in news if each[0] >= since), reverse=True)
    commands = [_ask_newest(key, since) for _, key in moved[:NEWEST_KEYS]]
    found = [_parse_newest(reply) for reply in await client.pipeline(commands)]
    cut = len(moved) > NEWEST_KEYS or any(len(each) >= NEWEST_ENTRIES for each in found)
    return count_arrivals(chain(*found), place.origin, place.arrivals_within, cut=cut)


def _ask_newest(key: bytes, since: float) -> Command:
    return ("XREVRANGE", key, "+", f"{int(since * 1000)}-0", "COUNT", NEWEST_ENTRIES)


def _parse_newest(reply: Any) -> list[dict[str, str]]:
    """The fields of each entry."""
    if isinstance(reply, TargetError):
        raise reply
    return [entry.fields for entry in parse_entries(reply)]


# -- streams --------------------------------------------------------------------------------------


def _ask_stream(_place: WatchedPlace, key: bytes, _now: float) -> list[Command]:
    return [("XINFO", "STREAM", key)]


def _parse_stream(place: WatchedPlace, key: str, replies: Sequence[Any], now: float) -> KeyReading:
    """Of a stream; how old its first entry is, its history tells (core/bus/dead_letter.py)."""
    info = parse_map(replies[0])
    entries = [info[end] for end in ("first-entry", "last-entry") if info.get(end)]
    ids = [parse_entry_id(entry[0]) for entry in entries]
    odd = bool(ids) and not OLDEST_PLAUSIBLE <= ids[-1][0] <= (now + SLACK) * 1000
    asked = odd and place.arrivals_within is not None
    return KeyReading(
        key,
        entries=info["length"],
        added=info.get("entries-added"),
        ends=tuple(dict.fromkeys(map(format_id, ids))),
        problem="its ids are no times: what came lately can't be known" if asked else "",
        remedy="let the server choose ids: XADD key *" if asked else "",
    )


# -- lists ----------------------------------------------------------------------------------------


def _ask_list(place: WatchedPlace, key: bytes, _now: float) -> list[Command]:
    ends: list[Command] = [("LINDEX", key, 0), ("LINDEX", key, -1)]
    return [("LLEN", key), *(ends if place.time_field else [])]


def _parse_list(place: WatchedPlace, key: str, replies: Sequence[Any], _now: float) -> KeyReading:
    """The oldest entry is at one end; at which depends on the producer, so both are looked at."""
    length, *ends = replies
    found = [entry for entry in ends if entry is not None]
    times = [read_time(entry, place.time_field, place.zone) for entry in found]
    known = [each for each in times if each is not None]
    lacking = bool(times) and len(known) < len(times)
    return KeyReading(
        key,
        entries=length,
        oldest=min(known, default=None),
        latest=max(known, default=None),
        problem=f"an entry has no time at {place.time_field}" if lacking else "",
        remedy="correct time_field: a dotted path into the JSON of an entry" if lacking else "",
    )


# -- sorted sets ----------------------------------------------------------------------------------


def _ask_zset(place: WatchedPlace, key: bytes, now: float) -> list[Command]:
    first, last, late = (
        value * place.unit for value in (EARLIEST, now + LATEST_AHEAD, now - place.tolerance)
    )
    return [
        ("ZCARD", key),
        ("ZCOUNT", key, repr(first), repr(last)),
        ("ZCOUNT", key, repr(first), f"({late!r}"),
        ("ZRANGEBYSCORE", key, repr(first), repr(last), "WITHSCORES", "LIMIT", 0, 1),
    ]


def _parse_zset(place: WatchedPlace, key: str, replies: Sequence[Any], _now: float) -> KeyReading:
    entries, timed, late, earliest = replies
    odd = entries - timed
    unit = "seconds" if place.unit == 1 else "milliseconds"
    return KeyReading(
        key,
        entries=entries,
        oldest=float(earliest[1]) / place.unit if earliest else None,
        overdue=late,
        problem=f"{odd:,} of {entries:,} scores are no epoch {unit}" if odd > 0 else "",
        remedy=(
            "correct score: seconds or milliseconds since 1970, when the entry is due"
            if odd > 0
            else ""
        ),
    )


_COMMANDS = {"stream": _ask_stream, "list": _ask_list, "zset": _ask_zset}
_PARSERS = {"stream": _parse_stream, "list": _parse_list, "zset": _parse_zset}
