"""One canary per master of a real cluster of three Valkeys: what one shard suffers is not
another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
import time
from pathlib import Path

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.canary.hash_tag import slot_of
from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer, free_port
from sentinel.errors import NotMeasurable
from sentinel.probes.bus_canary import KIND, CanaryOptions

SHARDS = CanaryOptions(path="s", deadline="5s", loss_after="20s", per_shard=True)
RANGES = ((0, 5460), (5461, 10922), (10923, 16383))


class ValkeyCluster:
    """Three masters without replicas; a lost one takes only its own slots away."""

    def __init__(self, folder):
        self.servers = [self._make(folder / str(n)) for n in range(3)]
        self.raw, self.names = [], []

    @staticmethod
    def _make(folder):
        settings = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]
        settings += ["--cluster-allow-replica-migration", "no"]
        settings += ["--cluster-node-timeout", "600000", "--cluster-port", str(free_port())]
        return ValkeyServer(folder, *settings)

    def start(self):
        for server in self.servers:
            server.start()
        self.raw = [redis.Redis(port=server.port, socket_timeout=10) for server in self.servers]
        self.names = [raw.execute_command("CLUSTER", "MYID").decode() for raw in self.raw]
        for raw, (first, last) in zip(self.raw, RANGES, strict=True):
            raw.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for raw, server in zip(self.raw[1:], self.servers[1:], strict=True):
            bus = server._arguments[-1]
            self.raw[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
            assert raw.ping()
        self.wait(lambda slots: len(slots) == 3)
        while not all(
            b"cluster_state:ok" in raw.execute_command("CLUSTER", "INFO") for raw in self.raw
        ):
            time.sleep(0.05)

    def wait(self, holds, seconds=20):
        """Until every node sees the slots so."""
        end = time.monotonic() + seconds
        while not all(holds(raw.execute_command("CLUSTER", "SLOTS")) for raw in self.raw):
            assert time.monotonic() < end
            time.sleep(0.02)

    def name(self, index):
        return self.names[index]

    def label(self, index):
        return f"s.{self.name(index)[:8]}"

    def move(self, first, last, source, target):
        """Hand a range over, the way redis-cli does it, keys included."""
        giver, taker = self.raw[source], self.raw[target]
        slots = range(first, last + 1)
        found = self.send(giver, [("CLUSTER", "GETKEYSINSLOT", slot, 100) for slot in slots])
        for slot, keys in [(slot, keys) for slot, keys in zip(slots, found, strict=True) if keys]:
            taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.name(source))
            giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.name(target))
            giver.execute_command(
                "MIGRATE", "127.0.0.1", self.servers[target].port, "", 0, 5000, "KEYS", *keys
            )
        self.give(slots, target)

    def give(self, slots, target):
        """Tell every node that the slots are the target's, until none of them has heard otherwise
        from another.
        """
        name, end = self.name(target), time.monotonic() + 30
        while True:
            self.raw[target].execute_command("CLUSTER", "BUMPEPOCH")
            for raw in sorted(self.raw, key=lambda raw: raw is not self.raw[target]):
                self.send(raw, [("CLUSTER", "SETSLOT", slot, "NODE", name) for slot in slots])
            with contextlib.suppress(AssertionError):
                self.wait(
                    lambda found: {self.owner(found, slot) for slot in slots} <= {name}, seconds=2
                )
                return
            assert time.monotonic() < end

    @staticmethod
    def send(raw, commands):
        pipe = raw.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return pipe.execute()

    @staticmethod
    def owner(slots, slot):
        return next((each[2][2].decode() for each in slots if each[0] <= slot <= each[1]), "nobody")

    def restore(self):
        """As it was in the beginning, and empty."""
        for server in self.servers:
            server.process.send_signal(signal.SIGCONT)
        for raw in self.raw:
            raw.flushall()
        for target, (first, last) in enumerate(RANGES):
            slots = self.raw[target].execute_command("CLUSTER", "SLOTS")
            strayed = [
                slot
                for slot in range(first, last + 1)
                if self.owner(slots, slot) != self.name(target)
            ]
            if strayed:
                self.give(strayed, target)
        self.wait(
            lambda slots: all(self.owner(slots, r[0]) == self.name(n) for n, r in enumerate(RANGES))
        )

    def stop(self):
        for raw in self.raw:
            raw.close()
        for server in self.servers:
            with contextlib.suppress(ProcessLookupError):
                server.process.send_signal(signal.SIGCONT)
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def started(server_folder):
    made = ValkeyCluster(Path(tempfile.mkdtemp(dir=server_folder)))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def cluster(started):
    """Three masters with their ranges, empty."""
    started.restore()
    return started


class Rig:
    """The probe on a cluster, by the address of its first node."""

    def __init__(self, cluster, make_context, options=SHARDS, timeout=1.0):
        self.make, self.options = make_context, options
        self.client = RedisClient("bus", cluster.servers[0].url, timeout=timeout)
        self.state = KIND.load_state(None)

    async def run(self, **context):
        return await KIND.run(
            self.options, self.make({"resource": self.client}, self.state, timeout=8.0, **context)
        )

    async def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition(finding := await self.run()):
            assert time.monotonic() < end, finding
            await asyncio.sleep(0.05)
        return finding

    async def close(self):
        await self.state.close()
        await self.client.close()


@pytest.fixture
async def rig(cluster, make_context):
    rig = Rig(cluster, make_context)
    yield rig
    await rig.close()


def conserved(counts):
    return counts["sent"] == sum(
        counts[name] for name in ("ok", "orphan", "late", "lost", "corrupt", "open")
    )


async def test_each_master_has_a_path_of_its_own(cluster, rig):
    """Three runs: three canaries on each master, on its own slots, with its own label, and totals
    that add up.
    """
    for _ in range(3):
        finding = await rig.run()
    assert finding.status is Status.UP, finding
    paths = finding.evidence["paths"]
    assert (
        set(paths)
        == {cluster.label(n) for n in range(3)}
        == {row.labels["path"] for row in finding.rows}
    )
    assert {
        name: (counts["sent"], counts["ok"]) for name, counts in paths.items()
    } == dict.fromkeys(paths, (3, 3))
    assert finding.evidence["canary"]["sent"] == 9
    for n, (first, last) in enumerate(RANGES):
        assert first <= slot_of(rig.state.paths[cluster.label(n)].tag) <= last
        assert all(
            cluster.name(n)[:8].encode() in key
            for key in cluster.raw[n].scan_iter("sentinel:canary:*")
        )


async def test_a_frozen_master_fails_alone(cluster, rig):
    """The second master and then the one whose address is configured stand still: only that path is
    down, the others go on counting; thawed, everything is settled."""
    await rig.run()
    for frozen in (1, 0):
        cluster.servers[frozen].process.send_signal(signal.SIGSTOP)
        before = rig.state.paths[cluster.label(2)].record.tally.total("ok")
        finding = await rig.run()
        assert finding.status is Status.DOWN
        assert cluster.label(frozen) in finding.detail
        assert not any(cluster.label(n) in finding.detail for n in range(3) if n != frozen)
        finding = await rig.run()
        assert finding.evidence["paths"][cluster.label(2)]["ok"] >= before + 2
        cluster.servers[frozen].process.send_signal(signal.SIGCONT)
        await rig.until(lambda f: f.status is not Status.DOWN)
    counts = (await rig.until(lambda f: f.evidence["canary"]["open"] == 0)).evidence["paths"]
    assert all(conserved(each) for each in counts.values())
    assert {each["lost"] + each["late"] + each["corrupt"] for each in counts.values()} == {0}


async def test_a_moved_slot_range_is_followed(cluster, rig):
    """The range with the first master's canary goes to the second: a new tag, nothing lost, no
    total goes back, and the old keys are gone."""
    for _ in range(3):
        before = await rig.run()
    path = rig.state.paths[cluster.label(0)]
    old = path.tag
    slot = slot_of(old)
    first = max(0, slot - 20)
    await asyncio.to_thread(cluster.move, first, slot, 0, 1)
    finding = await rig.until(
        lambda f: f.evidence["paths"].get(cluster.label(0), {}).get("ok", 0) >= 5
    )
    assert finding.status is Status.UP, finding
    assert path.tag != old
    assert slot_of(path.tag) not in range(first, slot + 1)
    for name, counts in finding.evidence["paths"].items():
        assert conserved(counts), counts
        assert counts["lost"] == counts["duplicate"] == counts["publish_error"] == 0
        assert counts["sent"] > before.evidence["paths"][name]["sent"]
    assert not list(cluster.raw[1].scan_iter(f"*{old}*"))


async def test_a_slot_that_moves_under_an_open_canary(cluster, rig):
    """A canary that nobody read yet moves with its slot: it is settled at the new owner, not lost."""
    await rig.run()
    path = rig.state.paths[cluster.label(0)]
    await path.close()
    stream, slot = f"sentinel:canary:{{{path.tag}}}", slot_of(path.tag)
    letter = SHARDS.letter.write("old:1", "t", "now")
    cluster.raw[0].xadd(stream, dict(zip(letter[::2], letter[1::2], strict=True)))
    cluster.raw[0].zadd(f"{stream}:ledger", {"old:1": 1.0})
    cluster.raw[0].hincrby(f"{stream}:totals", "sent", 1)
    await asyncio.to_thread(cluster.move, slot, slot, 0, 2)
    finding = await rig.until(
        lambda f: f.evidence["paths"].get(cluster.label(0), {}).get("ok", 0) >= 2
    )
    counts = finding.evidence["paths"][cluster.label(0)]
    assert (counts["orphan"], counts["lost"]) == (1, 0)
    assert conserved(counts)


async def test_a_master_without_slots_is_a_path_no_more(cluster, rig):
    """All its slots go to another: its path is settled and dropped, the others stay; after a
    restart as well.
    """
    await rig.run()
    gone = cluster.label(2)
    document = json.loads(json.dumps(rig.state.dump()))
    await asyncio.to_thread(cluster.move, *RANGES[2], 2, 1)
    finding = await rig.until(lambda f: len(f.evidence["paths"]) == 2)
    assert finding.status is Status.UP
    assert gone not in rig.state.dump()["paths"]
    await rig.state.close()
    rig.state = KIND.load_state(document)
    finding = await rig.until(lambda f: len(f.evidence["paths"]) == 2 and f.status is Status.UP)
    assert gone not in rig.state.dump()["paths"]


async def test_totals_and_tags_survive_a_restart(cluster, rig):
    """The document has every path; the same tags are used again, so that nothing has to move."""
    for _ in range(2):
        await rig.run()
    tags = {label: path.tag for label, path in rig.state.paths.items()}
    document = json.loads(json.dumps(rig.state.dump()))
    await rig.state.close()
    rig.state = KIND.load_state(document)
    finding = await rig.run()
    assert {label: path.tag for label, path in rig.state.paths.items()} == tags
    assert {counts["sent"] for counts in finding.evidence["paths"].values()} == {3}


async def test_without_per_shard_a_cluster_says_what_to_do(cluster, make_context):
    """A plain canary on a node that has not its slot: unknown, with the option's name; nothing is
    counted.
    """
    path = next(f"p{n}" for n in range(99) if slot_of(f"p{n}") > RANGES[0][1])
    plain = Rig(cluster, make_context, CanaryOptions(path=path))
    with pytest.raises(NotMeasurable, match="another node") as caught:
        await plain.run()
    assert "per_shard" in caught.value.guidance
    await plain.close()


async def test_per_shard_on_a_single_server(valkey, make_context):
    """No cluster: unknown, with the way out."""
    client = RedisClient("bus", valkey.url)
    state = KIND.load_state(None)
    with pytest.raises(NotMeasurable, match="no cluster"):
        await KIND.run(SHARDS, make_context({"resource": client}, state))
    await state.close()
    await client.close()
