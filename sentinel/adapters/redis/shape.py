"""Whether a reply can be one to its command: a server that answers otherwise is none of Redis, and
what its words would mean is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel.errors import TargetError, WrongTarget

Shape = Callable[[Any], bool]

_ID = re.compile(rb"\d{1,20}(?:-\d{1,20})?")
_INSTANT = re.compile(rb"\d{1,15}")
_FIGURES = (
    "aof_delayed_fsync|evicted_keys|rejected_connections|used_memory|maxmemory|blocked_clients"
    "|total_connections_received|connected_clients|uptime_in_seconds|second_repl_offset"
    "|master_repl_offset|loading|total_eviction_exceeded_time|expired_keys|connected_slaves"
)
_ODD_LINE = re.compile(
    rf"\n(?:(?:{_FIGURES}):(?!-?\d{{1,19}}\r?(?:\n|\Z))"
    r"|cmdstat_[^:\r\n]{1,80}:(?!calls=\d{1,19},))".encode()
)
"""Each begins with a line break: so the search goes from one to the next, and not by letters."""
_ODD_CALLS = re.compile(rb"failed_calls=(?!\d{1,19}(?:\r?$|,))", re.MULTILINE)


def find_shape(command: Sequence[Any]) -> tuple[str, Shape | None]:
    """The name of a command, and what its reply looks like; None when that is not known."""
    words = [_word(part) for part in command[:2]]
    shape = _SHAPES.get(" ".join(words)) or _SHAPES.get(words[0])
    if shape is _is_sum and len(command) != 3:  # it is asked for by stream and group alone
        shape = _ROWS
    return words[0], shape


def find_odd(command: Sequence[Any], reply: Any) -> str:
    """Why this can't be the reply to a command, for after "answers"; "" when it can."""
    name, shape = find_shape(command)
    return "" if shape is None else _find_misfit(name, shape, reply)


def judge_reply(command: Sequence[Any], reply: Any) -> Any:
    """The reply; a TargetError in its place when no Redis would give it."""
    odd = "" if isinstance(reply, TargetError) else find_odd(command, reply)
    return _refuse(odd) if odd else reply


def judge_shaped(name: str, shape: Shape | None, reply: Any) -> Any:
    """As `judge_reply`, of a command whose shape was found before."""
    if shape is None or isinstance(reply, TargetError) or shape(reply):
        return reply
    return _refuse(_find_misfit(name, shape, reply))


def judge_evaluated(reply: Any, shape: Shape) -> Any:
    """What a script gave, likewise, by the shape that it gives."""
    odd = "" if isinstance(reply, TargetError) else _find_misfit("EVAL", shape, reply)
    return _refuse(odd) if odd else reply


def _find_misfit(name: str, shape: Shape, reply: Any) -> str:
    return "" if shape(reply) else f"{name} with what no Redis would say ({type(reply).__name__})"


def _refuse(odd: str) -> WrongTarget:
    return WrongTarget(
        f"not a Redis server: it answers {odd}",
        "check the address: another kind of server answers there",
    )


def _word(part: Any) -> str:
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
    return text[:20].upper()


def _is_number(reply: Any) -> bool:
    return type(reply) is int


def _is_text(reply: Any) -> bool:
    return isinstance(reply, bytes)


def _is_id(reply: Any) -> bool:
    return isinstance(reply, bytes) and _ID.fullmatch(reply) is not None


def _maybe(shape: Shape) -> Shape:
    return lambda reply: reply is None or shape(reply)


def _list_of(shape: Shape) -> Shape:
    return lambda reply: isinstance(reply, list) and all(map(shape, reply))


_TEXTS = _list_of(_is_text)


def _is_pairs(reply: Any) -> bool:
    return _TEXTS(reply) and len(reply) % 2 == 0


def _is_time(reply: Any) -> bool:
    return (
        isinstance(reply, list)
        and len(reply) == 2
        and all(isinstance(part, bytes) and _INSTANT.fullmatch(part) for part in reply)
    )


def _scan_of(rows: Shape) -> Shape:
    return lambda reply: (
        isinstance(reply, list) and len(reply) == 2 and _is_cursor(reply[0]) and rows(reply[1])
    )


def _is_cursor(reply: Any) -> bool:
    return isinstance(reply, bytes) and len(reply) <= 20 and reply.isdigit()


def _is_entry(reply: Any) -> bool:
    return _is_kept(reply) and reply[1] is not None


def _is_kept(reply: Any) -> bool:
    """An entry of a pending list: its id is left when it was trimmed."""
    if not isinstance(reply, list) or len(reply) != 2 or not _is_id(reply[0]):
        return False
    return _maybe(_is_pairs)(reply[1])


_ENTRIES, _KEPT = _list_of(_is_entry), _list_of(_is_kept)


def _is_read(reply: Any) -> bool:
    return isinstance(reply, list) and all(
        isinstance(row, list) and len(row) == 2 and _is_text(row[0]) and _KEPT(row[1])
        for row in reply
    )


def _is_sum(reply: Any) -> bool:
    """XPENDING of a group: how many, from which id to which, and who has them."""
    if not isinstance(reply, list) or len(reply) != 4 or not _is_number(reply[0]):
        return False
    ends = _maybe(_is_id) if reply[0] == 0 else _is_id
    return ends(reply[1]) and ends(reply[2])


_ROWS = _list_of(
    lambda row: (
        isinstance(row, list)
        and len(row) == 4
        and _is_id(row[0])
        and _maybe(_is_text)(row[1])
        and _is_number(row[2])
        and _is_number(row[3])
    )
)


_FIELDS: Mapping[bytes, Shape] = {
    b"name": _is_text,
    b"consumers": _is_number,
    b"pending": _is_number,
    b"idle": _is_number,
    b"inactive": _is_number,
    b"last-delivered-id": _is_id,
    b"entries-read": _maybe(_is_number),
    b"lag": _maybe(_is_number),
    b"length": _is_number,
    b"groups": _is_number,
    b"last-generated-id": _is_id,
    b"max-deleted-entry-id": _is_id,
    b"recorded-first-entry-id": _is_id,
    b"entries-added": _is_number,
    b"first-entry": _maybe(_is_entry),
    b"last-entry": _maybe(_is_entry),
}


_Plan = tuple[tuple[int, Shape], ...] | None
_MANY_PLANS, _LONG = 256, 1024
"""A server names the fields of a kind of reply in one order: so many orders are remembered, of names
that are so long together.
"""


def _map_with(*needed: bytes) -> Shape:
    plans: dict[tuple[Any, ...], _Plan] = {}

    def check(reply: Any) -> bool:
        if not isinstance(reply, list) or len(reply) % 2:
            return False
        names = tuple(reply[::2])
        try:
            plan = plans[names]
        except KeyError:
            plan = _make_plan(names, needed)
            if plan is not None and len(plans) < _MANY_PLANS and sum(map(len, names)) < _LONG:
                plans[names] = plan
        except TypeError:  # a name that is a list
            return False
        return plan is not None and all(shape(reply[place]) for place, shape in plan)

    return check


def _make_plan(names: Sequence[Any], needed: Sequence[bytes]) -> _Plan:
    """What is looked at where in a map with these names; None when no Redis would name them so."""
    known = {name for name in names if _is_text(name)}
    if len(known) != len(names) or not known.issuperset(needed):
        return None
    places = enumerate(names)
    return tuple((2 * n + 1, _FIELDS[name]) for n, name in places if name in _FIELDS)


def _is_slots(reply: Any) -> bool:
    """CLUSTER SLOTS: of each range the nodes, the master first; one may know no address of its own."""
    return isinstance(reply, list) and all(
        isinstance(row, list)
        and len(row) >= 3
        and all(map(_is_number, row[:2]))
        and all(map(_is_node, row[2:]))
        for row in reply
    )


def _is_node(reply: Any) -> bool:
    return (
        isinstance(reply, list)
        and len(reply) >= 3
        and _maybe(_is_text)(reply[0])
        and _is_number(reply[1])
        and _is_text(reply[2])
    )


def _is_info(reply: Any) -> bool:
    if not isinstance(reply, bytes) or _ODD_LINE.search(b"\n" + reply) is not None:
        return False
    return b"failed_calls=" not in reply or _ODD_CALLS.search(reply) is None


_SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(
        ("XLEN", "XDEL", "XTRIM", "XACK", "ZCARD", "ZADD", "ZREM", "LLEN", "HLEN", "EXPIRE",
         "PEXPIRE", "TTL", "PTTL", "EXISTS", "DEL", "HINCRBY", "UNLINK"), _is_number,
    ),
    **dict.fromkeys(("GET", "SET", "HGET", "LINDEX", "ZSCORE"), _maybe(_is_text)),
    **dict.fromkeys(("ZRANGE", "ZREVRANGE", "LRANGE"), _TEXTS),
    "HGETALL": _is_pairs,
    "CONFIG GET": _is_pairs,
    "TYPE": _is_text,
    "OBJECT IDLETIME": _maybe(_is_number),
    "CLUSTER SLOTS": _is_slots,
    "INFO": _is_info,
    "TIME": _is_time,
    "SCAN": _scan_of(_list_of(_is_text)),
    "HSCAN": _scan_of(_is_pairs),
    "EXEC": lambda _reply: False,
    "XADD": _maybe(_is_id),
    "XRANGE": _ENTRIES,
    "XREVRANGE": _ENTRIES,
    "XREAD": _maybe(_is_read),
    "XREADGROUP": _maybe(_is_read),
    "XCLAIM": _list_of(_maybe(_is_kept)),
    "XPENDING": _is_sum,
    "XINFO GROUPS": _list_of(_map_with(b"name", b"consumers", b"pending", b"last-delivered-id")),
    "XINFO CONSUMERS": _list_of(_map_with(b"name", b"pending", b"idle")),
    "XINFO STREAM": _map_with(b"length", b"last-generated-id"),
}  # fmt: skip
