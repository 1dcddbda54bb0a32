"""The truth about a run, from the platform's own ledgers: what sentinel's figures are compared
with.

Ledgers alone leave acts in doubt whose process died between intent and confirmation (ledger.py). A
look at the bus and the database decides them, so give `redis_url` and `database_url` while the
servers still run; without them such acts are counted in `in_doubt` and nowhere else.

Shapes (counts of stream entries of `agent_messages:*` against the groups `group_*`, and of tasks):

    delivery    published = acknowledged + pending + waiting + dropped + lost
                pending   delivered to a consumer and not acknowledged
                waiting   not delivered, still in the stream
                lost      [n, n] removed before delivery; dropped: left the pending list
                unacknowledged (eviction)
                in_doubt  what only a look could decide;  foreign: live entries that no ledger
                promised
                ratio     [acknowledged within the deadline, … within deadline + blur] / published;
                [0, 1] of none
    assignment  total, within_100ms, unassigned, p99_seconds: nearest rank over latencies and the
    ages of open tasks
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from sentinel.demo.bus import PING_PUBLICATION, PREFIX
from sentinel.demo.component import connect_redis
from sentinel.demo.ledger import Record, microseconds, read_ledgers

_TARGET_US = 100_000


@dataclass(frozen=True, slots=True)
class Look:
    """What is on the bus now: publication → (stream, id) of live entries, (stream, id) of pending
    ones.
    """

    live: dict[str, tuple[str, str]]
    pending: frozenset[tuple[str, str]]


@dataclass(slots=True)
class Fate:
    """What the ledgers say of one publication. `acked` is the interval of the acknowledgement,
    epoch seconds.
    """

    stream: str
    id: str = ""
    refused: bool = False
    received: bool = False
    lost: bool = False
    dropped: bool = False
    acked: tuple[float, float] | None = None
    ack_sent: float | None = None

    @property
    def published_at(self) -> float:
        """Epoch seconds, from the stream id (a whole millisecond, rounded down)."""
        return int(self.id.partition("-")[0]) / 1000


@dataclass(slots=True)
class Tasks:
    """Created and assigned microseconds of tasks, and tasks of which only an intent is known."""

    created: dict[str, int] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)


def read_truth(
    folder: Path,
    *,
    deadline_seconds: float,
    blur_seconds: float = 0.0,
    since: float | None = None,
    until: float | None = None,
    redis_url: str | None = None,
    database_url: str | None = None,
) -> dict[str, Any]:
    """{"delivery": …, "assignment": …} of the entries published and tasks created in [since,
    until).

    `blur_seconds` is how much later than at the deadline a monitor may judge: cohort width plus
    poll interval. `since` and `until` are epoch seconds. Exact while the platform runs, too: the
    ledgers are read before and after the look at the bus, and only what was known before is judged
    by the look.
    """
    window = (since if since is not None else -math.inf, until if until is not None else math.inf)
    before = follow(read_ledgers(folder)) if redis_url else {}
    look = look_at_bus(redis_url) if redis_url else None
    records = read_ledgers(folder)
    fates = follow(records)
    if look is not None:
        add_pings(fates, look)
        decide(fates, before, look)
    tasks = gather_tasks(records)
    if database_url:
        resolve_tasks(tasks, database_url)
    return {
        "delivery": delivery(fates, look, deadline_seconds, blur_seconds, window),
        "assignment": assignment(tasks, window, time.time()),
    }


def look_at_bus(url: str) -> Look:
    """Every live and every pending entry of the agents' streams."""
    live: dict[str, tuple[str, str]] = {}
    pending: set[tuple[str, str]] = set()
    with connect_redis(url, "truth") as client:
        for key in client.scan_iter(match=f"{PREFIX}*", _type="stream"):
            stream = key.decode()
            pending.update((stream, name) for name in _pending(client, key))
            entries: Any = client.xrange(key)
            for name, fields in entries:
                live[fields.get(b"publication", b"?" + name).decode()] = (stream, name.decode())
    return Look(live, frozenset(pending))


def _pending(client: redis.Redis, key: bytes) -> Iterable[str]:
    groups: Any = client.xinfo_groups(key)
    for group in groups:
        entries: Any = client.xpending_range(key, group["name"], "-", "+", count=1_000_000)
        yield from (entry["message_id"].decode() for entry in entries)


# --- messages -------------------------------------------------------------------------------------


def follow(records: Sequence[Record]) -> dict[str, Fate]:
    """Publication → its fate, for the agents' streams, as far as the ledgers know it."""
    fates: dict[str, Fate] = {}
    mine = [record for record in records if record.get("stream", PREFIX).startswith(PREFIX)]
    for record in mine:
        if (step := _STEPS.get(record["event"])) is not None:
            step(fates, record)
    names = {(fate.stream, fate.id): fate for fate in fates.values()}
    for record in mine:
        if record["event"] in {"ack_intent", "acked"} and (record["stream"], record["id"]) in names:
            _on_acknowledgement(names[record["stream"], record["id"]], record)
    return fates


def _fate(fates: dict[str, Fate], record: Record, publication: str, name: str = "") -> Fate:
    fate = fates.setdefault(publication, Fate(record.get("stream", "")))
    fate.id = name or fate.id
    return fate


def _on_intent(fates: dict[str, Fate], record: Record) -> None:
    for publication, _message in record["publications"]:
        _fate(fates, record, publication)


def _on_published(fates: dict[str, Fate], record: Record) -> None:
    for publication, name in record["entries"]:
        _fate(fates, record, publication, name)


def _on_refused(fates: dict[str, Fate], record: Record) -> None:
    if record["publication"] in fates:
        fates[record["publication"]].refused = True


def _on_received(fates: dict[str, Fate], record: Record) -> None:
    for name, publication in record["entries"]:
        if publication:  # a trimmed payload names none; its first reception did
            _fate(fates, record, publication, name).received = True


def _on_acknowledgement(fate: Fate, record: Record) -> None:
    if record["event"] == "ack_intent":
        fate.ack_sent = record["t"]
    elif record["removed"] or record["again"]:
        fate.acked = (fate.ack_sent or record["t"], record["t"])
    else:
        fate.dropped = True


def _on_lost(fates: dict[str, Fate], record: Record) -> None:
    for name, publication in record["entries"]:
        _fate(fates, record, publication, name).lost = True


def _on_dropped(fates: dict[str, Fate], record: Record) -> None:
    for name, publication in record["entries"]:
        _fate(fates, record, publication, name).dropped = True


_STEPS = {
    "publish_intent": _on_intent,
    "published": _on_published,
    "publish_refused": _on_refused,
    "received": _on_received,
    "lost": _on_lost,
    "dropped": _on_dropped,
}


def delivery(
    fates: dict[str, Fate],
    look: Look | None,
    deadline: float,
    blur: float,
    window: tuple[float, float],
) -> dict[str, Any]:
    """The figures of delivery; see the module."""
    known = [
        fate for fate in fates.values() if fate.id and window[0] <= fate.published_at < window[1]
    ]
    outcomes = [_outcome(fate) for fate in known]
    in_time = sum(
        fate.acked is not None and fate.acked[1] - fate.published_at <= deadline for fate in known
    )
    perhaps = sum(
        fate.acked is not None and fate.acked[0] - fate.published_at - 0.001 <= deadline + blur
        for fate in known
    )
    lost = outcomes.count("lost")
    return {
        "published": len(known),
        "acknowledged": outcomes.count("acknowledged"),
        "pending": outcomes.count("pending"),
        "waiting": outcomes.count("waiting"),
        "dropped": outcomes.count("dropped"),
        "lost": [lost, lost],
        "ratio": [in_time / len(known), perhaps / len(known)] if known else [0.0, 1.0],
        "deadline_seconds": deadline,
        "in_doubt": 0 if look is not None else sum(_is_doubtful(fate) for fate in fates.values()),
        "foreign": len(set(look.live) - set(fates)) if look is not None else 0,
    }


def _outcome(fate: Fate) -> str:
    if fate.acked is not None:
        return "acknowledged"
    if fate.lost:
        return "lost"
    if fate.dropped:
        return "dropped"
    return "pending" if fate.received else "waiting"


def _is_doubtful(fate: Fate) -> bool:
    return (not fate.id and not fate.refused) or (fate.ack_sent is not None and fate.acked is None)


def add_pings(fates: dict[str, Fate], look: Look) -> None:
    """The monitor's pings that wait: those that were read, or lost, are in the ledgers of whoever
    did that.
    """
    for publication, (stream, name) in look.live.items():
        if publication.startswith(PING_PUBLICATION):
            fates.setdefault(publication, Fate(stream, name))


def decide(fates: dict[str, Fate], before: dict[str, Fate], look: Look) -> None:
    """Settle what was in doubt `before` the look by the look. An intent that left nothing was never
    carried out.
    """
    now = time.time()
    for publication, fate in fates.items():
        if not fate.id and publication in look.live:
            fate.id = look.live[publication][1]
        if (fate.stream, fate.id) in look.pending:
            fate.received = True
        elif publication in before and fate.acked is None and not fate.lost:
            _decide_gone(fate, before[publication], publication in look.live, now)


def _decide_gone(fate: Fate, before: Fate, is_live: bool, now: float) -> None:
    """Not pending at the look, and no ledger says acknowledged or lost."""
    if before.ack_sent is not None and not fate.dropped:
        fate.acked = (
            before.ack_sent,
            now,
        )  # its XACK ran, and its process died before it could say so
    elif before.received and fate.ack_sent is None:
        fate.dropped = True
    elif before.id and not is_live and not fate.received:
        fate.lost = True


# --- tasks ----------------------------------------------------------------------------------------


def gather_tasks(records: Iterable[Record]) -> Tasks:
    """Created and assigned instants of every task of which the ledgers are sure, and the rest."""
    tasks = Tasks()
    for record in records:
        if record["event"] == "task_intent":
            tasks.doubtful.update(record["tasks"])
        elif record["event"] == "assign_intent":
            tasks.doubtful.update(task for task, _created, _assigned in record["tasks"])
        elif record["event"] == "task_created":
            tasks.created.update(dict(record["tasks"]))
        elif record["event"] == "assigned":
            tasks.created.update({task: created for task, created, _assigned in record["tasks"]})
            tasks.assigned.update({task: assigned for task, _created, assigned in record["tasks"]})
    tasks.doubtful -= tasks.assigned.keys()
    return tasks


def resolve_tasks(tasks: Tasks, database_url: str) -> None:
    """Ask the database about tasks of which only an intent is known. A task it lacks was never
    created.
    """
    query = "SELECT id::text, created_at, assigned_at FROM watch.tasks WHERE id = ANY(%s::uuid[])"
    with psycopg.connect(database_url) as connection:
        for task, created, assigned in connection.execute(
            query, (sorted(tasks.doubtful),)
        ).fetchall():
            tasks.created[task] = microseconds(created)
            if assigned is not None:
                tasks.assigned[task] = microseconds(assigned)
    tasks.doubtful.clear()


def assignment(tasks: Tasks, window: tuple[float, float], now: float) -> dict[str, Any]:
    """The figures of assignment; see the module. `now` in epoch seconds gives open tasks their age."""
    created = {task: at for task, at in tasks.created.items() if window[0] <= at / 1e6 < window[1]}
    latencies = [
        tasks.assigned[task] - at for task, at in created.items() if task in tasks.assigned
    ]
    ages = [int(now * 1e6) - at for task, at in created.items() if task not in tasks.assigned]
    return {
        "total": len(created),
        "within_100ms": sum(latency <= _TARGET_US for latency in latencies),
        "unassigned": len(ages),
        "p99_seconds": _p99(latencies + ages),
        "in_doubt": len(tasks.doubtful - tasks.created.keys()),
    }


def _p99(values: list[int]) -> float | None:
    """Nearest rank, in seconds; None of nothing."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] / 1e6 if values else None
