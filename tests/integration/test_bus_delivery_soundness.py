"""The accountant against the truth: random life on a real server, every interval must contain what
happened.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
import redis

from sentinel.adapters.bus.stream import (
    find_survivors,
    probe_capability,
)
from sentinel.adapters.bus.stream_reader import StreamReader, StreamRequest
from sentinel.adapters.redis import RedisClient
from sentinel.core.bus.delivery import (
    Capability,
    Deadlines,
    Settlement,
    begin_account,
    dump_account,
    load_account,
    parse_id,
)
from sentinel.core.bus.delivery.legacy import Marks, complete_view, count_new

KEY = b"agent_messages:a"
GROUPS = ("g1", "g2")


class World:
    """A stream with two groups, and the truth of every entry."""

    def __init__(self, server, seed: int, kinds: dict[str, float]) -> None:
        self.redis = redis.Redis(port=server.port)
        self.random = random.Random(seed)
        self.kinds = kinds
        self.published: list[tuple[int, int]] = []
        self.live: set[tuple[int, int]] = set()
        self.state: dict[str, dict[tuple[int, int], str]] = {g: {} for g in GROUPS}
        self.serial = 0
        self.deletions = 0
        for group in GROUPS:
            self.redis.xgroup_create(KEY, group, "0", mkstream=True)

    def act(self) -> None:
        getattr(self, self.random.choices(list(self.kinds), list(self.kinds.values()))[0])()

    def publish(self) -> None:
        for _ in range(self.random.randint(1, 12)):
            entry = parse_id(self.redis.xadd(KEY, {"f": "v"}).decode())
            self.published.append(entry)
            self.live.add(entry)
            for group in GROUPS:
                self.state[group][entry] = "waiting"

    def read(self) -> None:
        group = self.random.choice(GROUPS)
        consumer = f"c{self.random.randint(1, 2)}"
        reply = self.redis.xreadgroup(group, consumer, {KEY: ">"}, count=self.random.randint(1, 15))
        for raw, _ in reply[0][1] if reply else []:
            self.state[group][parse_id(raw.decode())] = f"pending:{consumer}"

    def ack(self) -> None:
        group = self.random.choice(GROUPS)
        mine = [e for e, s in self.state[group].items() if s.startswith("pending")]
        for entry in self.random.sample(mine, min(len(mine), self.random.randint(1, 15))):
            self.redis.xack(KEY, group, f"{entry[0]}-{entry[1]}")
            self.state[group][entry] = "acked"

    def finish(self) -> None:
        for group in GROUPS:
            self.read_all(group)
            mine = [e for e, s in self.state[group].items() if s.startswith("pending")]
            if mine:
                self.redis.xack(KEY, group, *(f"{a}-{b}" for a, b in mine))
                self.state[group].update(dict.fromkeys(mine, "acked"))

    def read_all(self, group: str) -> None:
        reply = self.redis.xreadgroup(group, "c1", {KEY: ">"}, count=10_000)
        for raw, _ in reply[0][1] if reply else []:
            self.state[group][parse_id(raw.decode())] = "pending:c1"

    def trim(self) -> None:
        keep = self.random.randint(0, 40)
        self.redis.xtrim(KEY, maxlen=keep, approximate=False)
        self.remove(set(sorted(self.live)[: max(0, len(self.live) - keep)]))

    def trim_read(self) -> None:
        """Remove only what every group had read, as of the last snapshot, and never all of it."""
        safe = [e for e in sorted(self.live) if e <= self.read_at_snapshot][:-1]
        if safe:
            self.redis.xtrim(KEY, maxlen=len(self.live) - len(safe), approximate=False)
            self.remove(set(safe))

    def delete(self) -> None:
        chosen = self.random.sample(
            sorted(self.live), min(len(self.live), self.random.randint(1, 3))
        )
        if chosen:
            self.redis.xdel(KEY, *(f"{a}-{b}" for a, b in chosen))
            self.remove(set(chosen))

    def remove(self, gone: set[tuple[int, int]]) -> None:
        self.live -= gone
        for group in GROUPS:
            for entry in gone:
                if self.state[group][entry] == "waiting":
                    self.state[group][entry] = "lost"

    def drop_consumer(self) -> None:
        group, consumer = self.random.choice(GROUPS), f"c{self.random.randint(1, 2)}"
        self.redis.xgroup_delconsumer(KEY, group, consumer)
        for entry, state in self.state[group].items():
            if state == f"pending:{consumer}":
                self.state[group][entry] = "dropped"

    def claim(self) -> None:
        """XAUTOCLAIM drops pending entries whose payload is gone; Redis 6.2 keeps them, and does
        not say which.
        """
        group = self.random.choice(GROUPS)
        _, claimed, *deleted = self.redis.execute_command(
            "XAUTOCLAIM", KEY, group, "c1", 0, "0-0", "COUNT", 100
        )
        if not deleted:
            mine = sorted(e for e, s in self.state[group].items() if s.startswith("pending"))
            self.state[group].update(dict.fromkeys(mine[:100], "pending:c1"))
            return
        for raw in deleted[0]:
            self.state[group][parse_id(raw.decode())] = "dropped"
        for raw, _ in claimed:
            self.state[group][parse_id(raw.decode())] = "pending:c1"

    read_at_snapshot: tuple[int, int] = (0, 0)

    def note_snapshot(self) -> None:
        unread = [e for g in GROUPS for e, s in self.state[g].items() if s == "waiting"]
        self.read_at_snapshot = max(
            [e for e in self.published if not unread or e < min(unread)], default=(0, 0)
        )

    def count(self, group: str, after=(0, 0), upto=None) -> Counter[str]:
        inside = (
            s for e, s in self.state[group].items() if e > after and (upto is None or e <= upto)
        )
        return Counter(s.split(":")[0] for s in inside)


class Poller:
    """What a run of the probe does, by hand, with a clock of one second per poll."""

    def __init__(
        self, client: RedisClient, capability: Capability, world: World, *, legacy: bool
    ) -> None:
        self.client, self.world, self.capability = client, world, capability
        self.deadlines = Deadlines(1.0, 2.0)
        self.account = begin_account(self.deadlines, capability)
        self.now = 1000.0
        self.reader = StreamReader()
        self.touched = 0
        self.birth = True
        self.legacy, self.mark, self.listed = legacy, None, 1000

    async def begin(self) -> Poller:
        """What came and went before the first look is not told: take it at the empty stream."""
        await self.poll()
        return self

    async def poll(self) -> list[Settlement]:
        self.now += 1
        await self.feed([])
        due = self.account.list_due()
        questions = self.account.ask(due, 1000)
        answers = await self.feed(questions) if questions else {}
        self.world.note_snapshot()
        return self.account.settle(due, answers)

    async def feed(self, questions):
        view = self.account.view
        pending = (
            [name for name, group in view.groups.items() if group.pending]
            if view is not None
            else []
        )
        since = view.last if self.legacy and view is not None else None
        request = StreamRequest(KEY, pending, questions, since, self.listed)
        haul = await self.reader.read(self.client, [request])
        calls = self.reader.drops.calls
        if KEY in haul.same and self.legacy:
            self.mark = self.look_at_traffic()
        if KEY in haul.same:
            fed = dump_account(self.fed_instead(request, calls))
            if self.account.touch(self.now, calls):
                self.touched += 1
                self.account.view = replace(self.account.view, now=self.now, **calls._asdict())
                assert dump_account(self.account) == fed
                return {}
            reading = self.reader.parse_same(request, self.now)
        else:
            reading = haul.readings[KEY]
        view = replace(self.complete(reading) if self.legacy else reading.view, now=self.now)
        survivors = None
        if self.account.needs_survivors(view):
            survivors = await find_survivors(self.client, KEY, [a.id for a in self.account.anchors])
        broken, _ = self.account.feed(view, watched_from_birth=self.birth, survivors=survivors)
        assert broken is None
        self.reader.accept(KEY)
        return reading.answers

    def complete(self, reading):
        """The ranks that an old server does not tell."""
        traffic, before = self.reader.traffic, self.account.view
        removed = self.mark is None or self.mark.removals != traffic.removals
        new = (
            count_new(reading.view, before, reading.fresh, removed=removed)
            if before is not None
            else 0
        )
        spare = (
            None
            if self.mark is None or new is None
            else traffic.published[1] - self.mark.publishes - new
        )
        swapped = self.mark is None or self.mark.swaps != traffic.swaps
        self.mark = self.look_at_traffic()
        return complete_view(
            reading.view, before, new, removed=removed, swapped=swapped, spare=spare
        )

    def look_at_traffic(self) -> Marks:
        traffic = self.reader.traffic
        return Marks(traffic.removals, traffic.swaps, traffic.published[0])

    def fed_instead(self, request, calls):
        """What the account would be if it were fed the equal numbers."""
        other = load_account(dump_account(self.account), self.deadlines, self.capability)
        reading = self.reader.parse_same(request, self.now)
        view = reading.view
        if self.legacy:
            view = complete_view(view, other.view, 0, removed=False, swapped=False, spare=0)
        other.feed(replace(view, now=self.now, **calls._asdict()))
        return other

    def restart(self) -> None:
        document = json.loads(json.dumps(dump_account(self.account)))
        self.account = load_account(document, self.deadlines, self.capability)


def check(settlement: Settlement, world: World) -> bool:
    """The truth lies in every interval; gives whether all of them are points."""
    truth = world.count(settlement.group, settlement.start, settlement.end)
    assert settlement.size <= sum(truth.values()) <= settlement.size + settlement.unseen
    good = truth["acked"] + (
        truth["pending"] + truth["dropped"] if settlement.stage == "deliver" else 0
    )
    context = (settlement, truth)
    assert settlement.waiting.lo <= truth["waiting"] <= settlement.waiting.hi, context
    unseen = settlement.unseen
    assert settlement.lost.lo <= truth["lost"] <= settlement.lost.hi + unseen, context
    if settlement.stage == "ack":
        assert settlement.pending.lo <= truth["pending"] <= settlement.pending.hi + unseen, context
        assert truth["dropped"] <= settlement.dropped + unseen, context
    assert settlement.good.lo <= good <= settlement.good.hi, context
    assert sum(settlement.outcomes.values()) == settlement.size + unseen
    return settlement.good.exact and settlement.waiting.exact


def check_account(poller: Poller, world: World) -> None:
    unseen = poller.account.unseen
    for group in GROUPS:
        account, truth = poller.account.account_of(group), world.count(group)
        assert account.published <= len(world.published) <= account.published + unseen
        assert account.waiting.lo <= truth["waiting"] <= account.waiting.hi
        assert account.pending.lo <= truth["pending"] <= account.pending.hi + unseen
        assert account.lost.lo <= truth["lost"] <= account.lost.hi + unseen, (account, truth)
        assert truth["dropped"] <= account.dropped + unseen
        assert account.acknowledged.lo <= truth["acked"] <= account.acknowledged.hi + unseen, (
            account,
            truth,
        )


ALL = {
    "publish": 10, "read": 10, "ack": 8, "finish": 1, "trim": 1, "delete": 1, "drop_consumer": 0.5, "claim": 0.7,
}  # fmt: skip
TRIMS = {"publish": 10, "read": 12, "ack": 8, "finish": 1, "trim": 1.5}
GENTLE = {"publish": 10, "read": 12, "ack": 10, "finish": 1, "trim_read": 3}


async def run(
    server,
    kinds: dict[str, float],
    settlements: int,
    seed: int,
    capability: Capability | None = None,
):
    """Live at random until so many settlements are checked; gives (settled, points, poller, world)."""
    client = RedisClient("bus", server.url)
    touched = 0
    redis.Redis(port=server.port).flushall()
    found = await probe_capability(client, "sentinel:probe:test")
    legacy = found.family == "no counters"
    settled = points = 0
    world = World(server, seed, kinds)
    poller = await Poller(
        client, found if capability is None else capability, world, legacy=legacy
    ).begin()
    while settled < settlements:
        for _ in range(world.random.randint(0, 6)):
            world.act()
        if world.random.random() < 0.05:
            poller.restart()
        for settlement in await poller.poll():
            settled += 1
            points += check(settlement, world)
        check_account(poller, world)
        assert len(poller.account.anchors) <= 65
        if len(world.published) > 800:  # the truth is looked up linearly: begin another life
            redis.Redis(port=server.port).flushall()
            world = World(server, seed + settled, kinds)
            touched += poller.touched
            poller = await Poller(client, poller.capability, world, legacy=legacy).begin()
    await client.close()
    assert touched + poller.touched > settlements / 50, "the short way was hardly taken"
    return settled, points, poller, world


SERVERS = ["valkey", "redis7", "redis62"]


@pytest.fixture(params=SERVERS)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("kinds", [ALL, TRIMS], ids=["all", "trims"])
async def test_truth_lies_in_every_interval(server, kinds):
    """Publishes, reads, acks, trims, XDEL, DELCONSUMER, claims, restarts: no interval ever misses
    the truth.
    """
    settled, points, _, _ = await run(server, kinds, 1000, seed=1)
    assert settled >= 1000
    assert points > settled * 0.3


async def test_truth_lies_in_every_interval_without_any_capability(server):
    """When nothing is known of lag and entries-read, anchors alone still give sound intervals."""
    await run(server, ALL, 500, seed=2, capability=Capability())


@pytest.mark.parametrize("known", [True, False], ids=["capability", "anchors only"])
async def test_everything_is_exact_when_nothing_unread_was_removed(server, known):
    """Trimming what was read makes no figure vague: every settlement and every account is a point."""
    settled, points, poller, world = await run(
        server, GENTLE, 600, seed=3, capability=None if known else Capability()
    )
    assert points == settled
    for group in GROUPS:
        account = poller.account.account_of(group)
        assert account.acknowledged.exact
        assert account.acknowledged.lo == world.count(group)["acked"]


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
async def test_truth_lies_in_every_interval_for_long(server, seed):
    """The same over 20,000 settlements per server."""
    for kinds in (ALL, TRIMS):
        await run(server, kinds, 4000, seed=100 + seed)
