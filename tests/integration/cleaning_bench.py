"""A housekeeper on a real server, with a clock and switches in the hands of the test, and the
platform's side.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.housekeeping import Chore
from sentinel.core.moment import Moment
from sentinel.engine.housekeeper import Housekeeper
from sentinel.housekeeping import load_chores
from sentinel.metrics import Metrics
from sentinel.store.sqlite import SqliteStore
from tests.exposition import read_sample

KEY, GROUP, DLQ = "agent:1", "g1", "agent:dlq"
DAY = 86_400_000
STREAMS = {"include": ["agent:*"], "exclude": ["*:dlq"]}
KINDS = load_chores()
T0 = datetime(2026, 3, 1, tzinfo=UTC)
OPTIONS: dict[str, dict[str, Any]] = {
    "safe_trim": {"streams": STREAMS, "keep": "1h", "keep_entries": 1, "at_least": 1},
    "idle_consumers": {"streams": STREAMS, "silent_for": "1s"},
    "keys_without_ttl": {"prefixes": ["cache:"], "unused_for": "0s"},
    "reclaim": {
        "streams": STREAMS,
        "handler_time": "30s",
        "min_idle": "60s",
        "to_consumer": "live",
    },
    "poison": {"streams": STREAMS, "more_than": 3, "handler_time": "30s", "dead_letter": DLQ},
    "drain": {"streams": STREAMS, "handler_time": "30s"},
}


def make_chore(kind: str, **changes: Any) -> Chore:
    """A chore named after its kind; unknown keys are options of the kind."""
    own = {key: changes.pop(key) for key in list(changes) if key in Chore.__dataclass_fields__}
    settings = {**OPTIONS[kind], **changes}
    values = {"dry_run": False, "settle": 0.0, "max_per_hour": 100_000, **own}
    return Chore(
        kind, kind, "bus", KINDS[kind].options.model_validate(settings), settings, **values
    )


class Bench:
    """`moment` and `refusal` are what the housekeeper sees; move and set them."""

    def __init__(self, port: int, folder: Path, user: str = "") -> None:
        self.port, self.folder = port, folder
        self.redis = redis.Redis(port=port)
        self.client = RedisClient("bus", f"redis://{user}127.0.0.1:{port}/0", timeout=10.0)
        self.store = SqliteStore(folder, owner=True)
        self.moment = Moment(T0, "boot", 1000.0)
        self.refusal = ""
        self.metrics = Metrics()
        self.keeper = self.make_keeper()

    def make_keeper(self, *chores: Chore) -> Housekeeper:
        """A housekeeper anew, as after a restart."""

        async def call(function: Any) -> Any:
            return function()

        clients = {"bus": self.client}
        keeper = Housekeeper(
            self.store, call, clients, self.metrics, lambda: self.moment, lambda: self.refusal
        )
        keeper.configure(chores or [make_chore(kind) for kind in KINDS])
        return keeper

    def use(self, *chores: Chore) -> Housekeeper:
        """Configure these chores."""
        self.keeper.configure(chores)
        return self.keeper

    def later(self, seconds: float, *, wall: float | None = None) -> None:
        """Let time pass; `wall` when the wall clock says something else."""
        at = self.moment.at + timedelta(seconds=seconds if wall is None else wall)
        self.moment = Moment(at, self.moment.boot, (self.moment.uptime or 0.0) + seconds)

    def audit(self) -> list[tuple[str, str, str]]:
        """Who did what, oldest first."""
        return [(row.actor, row.action, row.detail) for row in reversed(self.store.audit(10_000))]

    def count(self, metric: str, **labels: str) -> float:
        """A figure of /metrics."""
        return read_sample(self.metrics, metric, **labels) or 0.0

    # -- the platform -----------------------------------------------------------------------------

    def publish(self, count: int, key: str = KEY, *, age_ms: int = 10 * DAY) -> list[str]:
        """Entries of this age, one millisecond apart; their ids."""
        newest = (
            self.redis.xinfo_stream(key)["last-generated-id"].decode()
            if self.redis.exists(key)
            else "0-0"
        )
        first = max(int(time.time() * 1000) - age_ms, int(newest.split("-")[0]) + 1)
        ids = [f"{first + i}-0" for i in range(count)]
        with self.redis.pipeline(transaction=False) as pipe:
            for i, entry in enumerate(ids):
                pipe.xadd(key, {"n": str(i), "payload": "x" * 20}, id=entry)
            pipe.execute()
        return ids

    def group(self, name: str = GROUP, key: str = KEY) -> None:
        """A group that wants everything."""
        self.redis.xgroup_create(key, name, "0", mkstream=True)

    def read(
        self, count: int, consumer: str = "c", group: str = GROUP, key: str = KEY
    ) -> list[str]:
        """Deliver; the ids."""
        found = self.redis.xreadgroup(group, consumer, {key: ">"}, count=count)
        return [entry.decode() for entry, _ in found[0][1]] if found else []

    def ack(self, ids: list[str], group: str = GROUP, key: str = KEY) -> None:
        """Acknowledge."""
        if ids:
            self.redis.xack(key, group, *ids)

    def age(
        self, ids: list[str], consumer: str = "c", *, idle: float = 3600, deliveries: int = 1
    ) -> None:
        """Make pending entries look as if they had been delivered so long ago, so often."""
        self.redis.xclaim(
            KEY, GROUP, consumer, 0, ids, idle=int(idle * 1000), retrycount=deliveries, justid=True
        )

    def pending(self, group: str = GROUP, key: str = KEY) -> dict[str, str]:
        """Pending entries and who holds them."""
        rows = self.redis.xpending_range(key, group, "-", "+", 100_000)
        return {row["message_id"].decode(): row["consumer"].decode() for row in rows}

    def consumers(self, group: str = GROUP, key: str = KEY) -> set[str]:
        """Names."""
        return {row["name"].decode() for row in self.redis.xinfo_consumers(key, group)}

    def dead_letters(self) -> list[str]:
        """Ids of the entries that were copied, in order."""
        return [fields[b"origin_id"].decode() for _, fields in self.redis.xrange(DLQ)]

    def live(self) -> set[str]:
        """Ids of the entries that the stream still has."""
        return {entry.decode() for entry, _ in self.redis.xrange(KEY)}


@asynccontextmanager
async def opened(port: int, folder: Path, user: str = "") -> AsyncIterator[Bench]:
    """A bench that is closed in the end."""
    bench = Bench(port, folder, user)
    try:
        yield bench
    finally:
        await bench.client.close()
        bench.redis.close()
        bench.store.close()
