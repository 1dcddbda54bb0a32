"""A few entries of a stream, spread over the time since the last look: cheap, and nobody's part is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.adapters.bus.stream import parse_entry_id, parse_snapshot, snapshot_commands
from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.delivery import Id, format_id
from sentinel.core.bus.smell import refill, stratify
from sentinel.errors import TargetError

RawFields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may still be read of a stream: `tokens` entries at server time `at`, from after `last`
    on.
    """

    tokens: float
    at: float
    last: Id = (0, 0)


async def sample_entries(
    client: RedisClient, stream: bytes, allowance: Allowance | None, per_hour: int
) -> tuple[list[RawFields], Allowance]:
    """Up to the allowed number of entries since the last look, and what is left of the allowance.

    Raises SubjectError when the key is no stream, another TargetError when the server can't be
    asked.
    """
    view = parse_snapshot(await client.transaction(snapshot_commands(stream, ())), ())
    known = allowance or Allowance(per_hour, view.now)
    tokens = refill(known.tokens, view.now - known.at, per_hour)
    start = max(known.last, view.first)
    if tokens < 1 or not view.length or view.last <= known.last:
        return [], Allowance(tokens, view.now, known.last)
    few = view.length <= tokens
    found = await _read(
        client, stream, start, view.last, int(tokens), skip=known.last, spread=not few
    )
    return found, Allowance(tokens - len(found), view.now, view.last)


async def _read(
    client: RedisClient, stream: bytes, start: Id, end: Id, count: int, *, skip: Id, spread: bool
) -> list[RawFields]:
    """Entries in (skip, end]: all of a few, else the same number from each of up to ten stretches
    of time.
    """
    strata = stratify(start[0], end[0], count if spread else 1)
    share = max(1, count // len(strata))
    first = f"({format_id(skip)}" if skip >= start else format_id(start)
    commands = [
        ("XRANGE", stream, first if n == 0 else low, high, "COUNT", share)
        for n, (low, high) in enumerate(strata)
    ]
    replies = await client.pipeline(commands)
    rows = {parse_entry_id(row[0]): row[1] for reply in replies for row in _rows(reply)}
    return [_pairs(rows[entry] or []) for entry in sorted(rows) if entry <= end][:count]


def _rows(reply: object) -> list[tuple[bytes, list[bytes] | None]]:
    if isinstance(reply, TargetError):
        raise reply
    return reply if isinstance(reply, list) else []


def _pairs(flat: Sequence[bytes]) -> RawFields:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
