"""The statements about agents' progress: their rows, their tasks, their steps in a table or in a
stream.

Identifiers are quoted into the text, values are parameters; instants are Unix seconds by the
server's clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.agents.queries import Clocks, since_lookback
from sentinel.adapters.columns import as_instant
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.relation import Relation, Statement, fill, texts_of, value_of
from sentinel.core.agents.progress import AgentStep
from sentinel.core.moment import is_time
from sentinel.errors import SubjectError

_AGENTS = """
SELECT {id}::text AS id, left({name}::text, 200) AS name, lower({status}::text) AS status,
       {beat} AS beat, {open}::text AS open,
       {counters} AS counters, {spend} AS spend, extract(epoch FROM clock_timestamp())::float8 AS now
FROM {table} AS f ORDER BY {id} LIMIT %(limit)s"""
_TASKS = """
SELECT {agent}::text AS agent, count(*) FILTER (WHERE lower({status}::text) = ANY (%(open)s)) AS open,
       count(*) FILTER (WHERE lower({status}::text) = ANY (%(finished)s)) AS finished,
       extract(epoch FROM max({at}) FILTER (WHERE lower({status}::text) = ANY (%(finished)s)))::float8 AS last_finish
FROM {table} AS f WHERE {agent} IS NOT NULL AND {recent} GROUP BY 1"""
_STEPS = """
SELECT agent, digest, text, at FROM (
  SELECT {agent}::text AS agent, md5({step}::text) AS digest, left({step}::text, 120) AS text,
         {seconds} AS at,
         row_number() OVER (PARTITION BY {agent} ORDER BY {at} DESC) AS age
  FROM {table} AS f WHERE {step} IS NOT NULL AND {recent}) AS s
WHERE age <= %(count)s ORDER BY agent, age"""


def select_agents(
    table: str,
    columns: Mapping[str, str | None],
    counters: Sequence[str],
    spend: Sequence[str],
    limit: int,
    clocks: Clocks,
) -> Statement:
    """Rows of agents; `columns`: id, name, status, last_heartbeat, open_work, where all but the id
    may be missing. `beat` and `now` in Unix seconds.
    """
    status, work, name = columns["status"], columns["open_work"], columns["name"]
    beat = columns["last_heartbeat"]
    names = {
        "id": value_of("f", columns["id"] or ""),
        "name": value_of("f", name) if name else "NULL",
        "status": value_of("f", status) if status else "NULL",
        "beat": _seconds(beat, clocks) if beat else "NULL::float8",
        "open": value_of("f", work) if work else "NULL",
        "counters": texts_of("f", counters),
        "spend": texts_of("f", spend),
        "table": str(Relation.of(table)),
    }
    return Statement(fill(_AGENTS, names), {"limit": limit})


def select_tasks(
    table: str,
    columns: Mapping[str, str | None],
    statuses: Mapping[str, Sequence[str]],
    lookback: float,
    clocks: Clocks,
) -> Statement:
    """Open and finished tasks by agent; `columns`: agent, status, created_at and finished_at, which
    may be missing.
    """
    created, finished = columns["created_at"], columns["finished_at"]
    names = {
        "agent": value_of("f", columns["agent"] or ""),
        "status": value_of("f", columns["status"] or ""),
        "at": _instant(finished, clocks) if finished else "NULL::timestamptz",
        "table": str(Relation.of(table)),
        "recent": since_lookback(created, value_of("f", created or ""), clocks),
    }
    lowered = {name: [status.lower() for status in known] for name, known in statuses.items()}
    return Statement(fill(_TASKS, names), {**lowered, "lookback": lookback})


def select_steps(
    table: str, columns: Mapping[str, str], count: int, lookback: float, clocks: Clocks
) -> Statement:
    """The newest `count` steps of each agent, newest first; `columns`: agent, step, at."""
    at = columns["at"]
    parts = {
        "agent": value_of("f", columns["agent"]),
        "step": value_of("f", columns["step"]),
        "at": value_of("f", at),
        "seconds": _seconds(at, clocks),
        "table": str(Relation.of(table)),
        "recent": since_lookback(at, value_of("f", at), clocks),
    }
    return Statement(fill(_STEPS, parts), {"count": count, "lookback": lookback})


def _instant(name: str, clocks: Clocks) -> str:
    return as_instant(value_of("f", name), clocks.get(name))


def _seconds(name: str, clocks: Clocks) -> str:
    return f"extract(epoch FROM {_instant(name, clocks)})::float8"


@dataclass(frozen=True, slots=True)
class StepStream:
    """Where steps are in a stream: its key, the fields of agent and step (`field->key->key` inside
    JSON).
    """

    key: str
    agent: str
    step: str
    entries: int


async def read_stream_steps(
    client: RedisClient, stream: StepStream, count: int
) -> dict[str, tuple[AgentStep, ...]]:
    """The newest `count` steps of each agent among the newest entries of the stream; entries
    without one are passed.

    Raises SubjectError when the key is no stream, or the ids of its entries are no times.
    """
    found: dict[str, list[AgentStep]] = {}
    for entry, fields in await client.call(
        "XREVRANGE", stream.key, "+", "-", "COUNT", stream.entries
    ):
        at = int(entry.split(b"-")[0]) / 1000
        if not is_time(at):
            raise SubjectError(
                f"entry id {_text(entry)} of {stream.key} is no time",
                "let the server choose ids, or name a table of steps",
            )
        values = {
            _text(name): _text(value) for name, value in zip(fields[::2], fields[1::2], strict=True)
        }
        agent, step = _field(values, stream.agent), _field(values, stream.step)
        steps = found.setdefault(agent, []) if agent and step else None
        if steps is not None and len(steps) < count:
            digest = hashlib.blake2b(
                step.encode("utf-8", "backslashreplace"), digest_size=8
            ).hexdigest()
            steps.append(AgentStep(digest, step[:120], at))
    return {agent: tuple(steps) for agent, steps in found.items()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _field(values: Mapping[str, str], path: str) -> str:
    """A field's text, or what JSON in it has at the path; empty when there is none."""
    name, *keys = path.split("->")
    text = values.get(name, "")
    if not keys:
        return text
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return (
        ""
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True)
    )
