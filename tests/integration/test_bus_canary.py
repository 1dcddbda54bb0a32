"""The canary against real servers: what is injected is counted, exactly, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.core.canary.letter import encode
from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer
from sentinel.errors import SubjectError, TargetUnreachable
from sentinel.probes.bus_canary import KIND, CanaryOptions

STREAM = "sentinel:canary:{t}"
FAST = CanaryOptions(path="t", deadline="200ms", loss_after="400ms")


class Rig:
    """A probe on one server: client, state, and runs."""

    def __init__(self, server, make_context, options=FAST):
        self.server, self.make, self.options = server, make_context, options
        self.client = RedisClient("bus", server.url, timeout=0.5)
        self.raw = redis.Redis(port=server.port)
        self.state = KIND.load_state(None)

    @property
    def path(self):
        return next(iter(self.state.paths.values()))

    async def run(self, **context):
        return await KIND.run(
            self.options, self.make({"resource": self.client}, self.state, timeout=2.0, **context)
        )

    async def until(self, condition, seconds=10):
        """Run again and again until a finding satisfies."""
        end = time.monotonic() + seconds
        while True:
            finding = await self.run()
            if condition(finding.evidence.get("canary", {})):
                return finding
            assert time.monotonic() < end, finding
            await asyncio.sleep(0.05)

    async def settled(self):
        """Wait until a read that began now has come back, so that everything published is settled."""
        begun = time.monotonic()
        while self.path.reader.caught_up < begun:
            await asyncio.sleep(0.01)

    async def close(self):
        await self.state.close()
        await self.client.close()
        self.raw.close()


@pytest.fixture
async def rig(valkey, make_context):
    rig = Rig(valkey, make_context)
    yield rig
    await rig.close()


def conserved(counts):
    outcomes = ("ok", "orphan", "late", "lost", "corrupt", "open")
    return counts["sent"] == sum(counts[name] for name in outcomes)


async def test_a_healthy_path(rig):
    """Ten runs: ten ok, legs measured, a verdict that does not claim too much."""
    for _ in range(10):
        finding = await rig.run()
    assert finding.status is Status.UP
    assert finding.key == ("canary", "100 % of 10")
    assert "insufficient data" in finding.detail
    counts = finding.evidence["canary"]
    assert (counts["sent"], counts["ok"], counts["open"]) == (10, 10, 0)
    legs = {
        row.labels["leg"]: row.values["latency_seconds"].total
        for row in finding.rows
        if "leg" in row.labels
    }
    assert legs == {"publish": 10, "deliver": 10, "total": 10}
    assert rig.raw.xlen(STREAM) == 0


async def test_every_result_has_a_series_from_the_start(rig):
    """Label sets are created at zero, and every row fits its declaration."""
    finding = await rig.run()
    results = {row.labels["result"] for row in finding.rows if "result" in row.labels}
    assert results == {"ok", "late", "lost", "corrupt", "orphan_ok", "publish_error"}
    declared = {measurement.name: set(measurement.labels) for measurement in KIND.measurements}
    assert all(declared[name] <= set(row.labels) for row in finding.rows for name in row.values)


async def test_a_burst(rig):
    """`burst` canaries in one run."""
    rig.options = FAST.model_copy(update={"burst": 25})
    assert (await rig.run()).evidence["canary"]["ok"] == 25


async def steal(raw, count, give=lambda _entry: None):
    """Take `count` entries away from sentinel's group as another consumer, and acknowledge them:
    real loss.
    """
    taken = 0
    while taken < count:
        reply = await asyncio.to_thread(raw.xreadgroup, "sentinel", "thief", {STREAM: ">"}, 1, 100)
        for entry, fields in reply[0][1] if reply else ():
            raw.xack(STREAM, "sentinel", entry)
            give(fields)
            taken += 1


async def test_a_stolen_canary_is_lost_and_three_in_a_row_are_down(rig):
    """Each theft is one loss, no more."""
    await rig.run()
    with redis.Redis(port=rig.server.port) as raw:
        thief = asyncio.create_task(steal(raw, 3))
        finding = await rig.until(lambda c: c["lost"] == 3)
        await thief
    assert conserved(finding.evidence["canary"])
    await rig.settled()
    after = (await rig.until(lambda c: c["open"] == 0)).evidence["canary"]
    assert after["lost"] == 3


async def test_all_lost_is_down(rig):
    """When nothing arrives any more the path is down, with a next step."""
    await rig.run()
    with redis.Redis(port=rig.server.port) as raw:
        thief = asyncio.create_task(steal(raw, 10**6))
        # the thief wins only while our reader does not wait: freeze the reader's side by many
        # thieves
        thieves = [
            asyncio.create_task(steal(redis.Redis(port=rig.server.port), 10**6)) for _ in range(4)
        ]
        rig.options = FAST.model_copy(update={"down_after": 1})
        end = time.monotonic() + 15
        while (finding := await rig.run()).status is not Status.DOWN:
            assert time.monotonic() < end
        for task in (thief, *thieves):
            task.cancel()
        await asyncio.wait([thief, *thieves])
    assert finding.guidance


async def test_duplicate_reordered_corrupt_and_foreign(rig):
    """A copy is a duplicate, a changed one corrupt, a stranger foreign; nothing is lost twice."""
    rig.options = CanaryOptions(path="t", deadline="100ms", loss_after="10s")
    await rig.run()
    kept = []
    with redis.Redis(port=rig.server.port) as raw:
        thief = asyncio.create_task(steal(raw, 1, kept.append))
        while not thief.done():
            await rig.run()
    await rig.run()
    changed = {**kept[0], b"body": kept[0][b"body"].replace(b"1.10", b"1.1")}
    rig.raw.xadd(STREAM, changed)
    rig.raw.xadd(STREAM, kept[0])
    rig.raw.xadd(STREAM, {"hello": "world"})
    await rig.settled()
    counts = (await rig.until(lambda c: c["open"] == 0)).evidence["canary"]
    assert (counts["corrupt"], counts["duplicate"], counts["foreign"], counts["lost"]) == (
        1,
        1,
        1,
        0,
    )
    assert counts["reordered"] == 1
    assert conserved(counts)


async def test_a_late_canary_and_our_own_stall(rig, make_context):
    """A canary held back beyond its deadline is late; with our own loop stalled it is not judged."""
    rig.options = CanaryOptions(
        path="t", deadline="1ms", loss_after="2s", failures_of={"failures": 1}
    )
    await rig.run()
    rig.raw.execute_command("CLIENT", "PAUSE", "30", "WRITE")
    finding = await rig.until(lambda c: c["late"] >= 1)
    assert finding.status is Status.DEGRADED
    await rig.state.close()
    rig.raw.execute_command("CLIENT", "PAUSE", "30", "WRITE")
    finding = await rig.run(stalled=lambda _since: 1.0)
    end = time.monotonic() + 5
    while finding.evidence["canary"]["blind"] == 0:
        rig.raw.execute_command("CLIENT", "PAUSE", "30", "WRITE")
        finding = await rig.run(stalled=lambda _since: 1.0)
        assert time.monotonic() < end
    assert conserved(finding.evidence["canary"])


async def test_a_flush_loses_no_total_and_no_canary_silently(rig):
    """FLUSHALL with one canary on its way: the group is made again, that one is lost and said so,
    totals stay.
    """
    for _ in range(5):
        await rig.run()
    with redis.Redis(port=rig.server.port) as raw:
        thief = asyncio.create_task(steal(raw, 1))
        while not thief.done():
            before = await rig.run()
    rig.raw.flushall()
    finding = await rig.run()
    assert "wiped" in finding.detail
    assert finding.evidence["canary"]["lost"] == 1
    after = (await rig.until(lambda c: c["ok"] >= before.evidence["canary"]["ok"] + 3)).evidence[
        "canary"
    ]
    assert conserved(after)
    assert after["lost"] == 1
    assert after["sent"] > before.evidence["canary"]["sent"]


async def test_totals_survive_a_restart_with_a_flush_in_between(rig):
    """The state document carries the totals over FLUSHALL and a restart."""
    for _ in range(5):
        await rig.run()
    document = json.loads(json.dumps(rig.state.dump()))
    await rig.state.close()
    rig.raw.flushall()
    rig.state = KIND.load_state(document)
    counts = (await rig.run()).evidence["canary"]
    assert counts["sent"] == 6
    assert conserved(counts)


async def test_a_lost_group_invents_no_duplicates(rig):
    """XGROUP DESTROY: settled canaries are not read again as duplicates."""
    for _ in range(5):
        await rig.run()
    rig.raw.xgroup_destroy(STREAM, "sentinel")
    counts = (await rig.until(lambda c: c["ok"] >= 8)).evidence["canary"]
    assert counts["duplicate"] == 0
    assert conserved(counts)


async def test_what_was_published_before_boot_is_an_orphan(rig):
    """A canary that nobody read before the restart arrives after it: delivered, latency not judged."""
    await rig.run()
    await rig.state.close()
    rig.raw.xadd(STREAM, {"seq": "gone:1"})
    rig.raw.zadd(f"{STREAM}:ledger", {"old:1": 1.0, "old:2": 2.0})
    rig.raw.hincrby(f"{STREAM}:totals", "sent", 2)
    fields = encode("old:1", "t")
    rig.raw.xadd(STREAM, dict(zip(fields[::2], fields[1::2], strict=True)))
    rig.state = KIND.load_state(None)
    first = (await rig.until(lambda c: c["orphan"] == 1)).evidence["canary"]
    assert first["lost"] == 0
    last = (await rig.until(lambda c: c["open"] == 0 and c["lost"])).evidence["canary"]
    assert (last["orphan"], last["lost"], last["late"], last["duplicate"]) == (1, 1, 0, 1)
    assert conserved(last)


async def test_the_reader_survives_a_server_restart(own_valkey, make_context):
    """Down while the server is away, then the reader is back by itself, and the law holds."""
    rig = Rig(own_valkey, make_context)
    await rig.run()
    own_valkey.stop()
    with pytest.raises(TargetUnreachable):
        await rig.run()
    own_valkey.start()
    end = time.monotonic() + 15
    finding = None
    while finding is None or finding.evidence["canary"]["ok"] < 4:
        assert time.monotonic() < end, finding
        with contextlib.suppress(TargetUnreachable):
            finding = await rig.run()
        await asyncio.sleep(0.05)
    assert conserved(finding.evidence["canary"])
    await rig.close()


async def test_a_refused_publish_is_degraded(own_valkey, make_context):
    """Out of memory: PING works, but the canary is refused; counted as publish_error, not as sent,
    no reason to act.
    """
    rig = Rig(own_valkey, make_context)
    await rig.run()
    rig.raw.config_set("maxmemory", "1")
    finding = await rig.run()
    assert finding.status is Status.DEGRADED
    assert "publish refused" in finding.detail
    assert "maxmemory" in finding.guidance
    assert finding.evidence["canary"]["publish_error"] == 1
    assert finding.evidence["canary"]["sent"] == 1
    rig.raw.config_set("maxmemory", "0")
    assert conserved((await rig.until(lambda c: c["ok"] >= 3)).evidence["canary"])
    await rig.close()


async def test_an_unanswered_publish_is_counted_once(own_valkey, make_context):
    """A frozen server: sent or not is decided later, from the ledger; each canary ends once."""
    rig = Rig(own_valkey, make_context)
    await rig.run()
    own_valkey.process.send_signal(19)
    with pytest.raises(TargetUnreachable):
        await rig.run()
    own_valkey.process.send_signal(18)
    end = time.monotonic() + 15
    counts = {"ok": 0, "open": 1}
    while counts["ok"] < 4 or counts["open"] or rig.path.traffic.doubtful:
        assert time.monotonic() < end, counts
        with contextlib.suppress(TargetUnreachable):
            counts = (await rig.run()).evidence["canary"]
        await asyncio.sleep(0.05)
    assert conserved(counts)
    assert counts["duplicate"] == 0
    await rig.close()


async def test_a_key_of_another_type(rig):
    """Somebody's string in our place: one clear message, and the promise is taken back."""
    rig.raw.set(STREAM, "mine")
    with pytest.raises(SubjectError):
        await rig.run()
    assert rig.raw.zcard(f"{STREAM}:ledger") == 0
    rig.raw.delete(STREAM)
    assert conserved((await rig.until(lambda c: c["ok"] >= 1)).evidence["canary"])


async def test_a_swallowed_cancellation_does_not_keep_the_reader(rig, monkeypatch):
    """The client library may turn a cancellation into an error of its own: closing ends the reader
    all the same.
    """
    await rig.run()
    blocked = asyncio.Event()

    async def swallow(*_command):
        blocked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TargetUnreachable("cancelled") from None

    monkeypatch.setattr(rig.path.reader._client, "call", swallow)
    await blocked.wait()
    await asyncio.wait_for(rig.state.close(), 2)


async def test_two_sentinels_on_one_path(rig):
    """The second one sends nothing and says who holds the path; a dead holder's lease is free."""
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    rig.raw.set(f"{STREAM}:lease", f"{socket.gethostname()}:{sleeper.pid}", px=60_000)
    finding = await rig.run()
    assert finding.status is Status.UNKNOWN
    assert str(sleeper.pid) in finding.detail
    assert rig.raw.xlen(STREAM) == 0
    sleeper.communicate(b"\n")
    assert (await rig.run()).evidence["canary"]["sent"] == 1
    rig.raw.set(f"{STREAM}:lease", "elsewhere:1", px=60_000)
    assert (await rig.run()).status is Status.UNKNOWN


async def test_a_fault_of_our_own_reader_is_raised_in_the_next_run(rig, monkeypatch):
    """A bug never dies silently in the background: the next run raises it, the one after works
    again.
    """
    await rig.run()
    monkeypatch.setattr(rig.path.reader, "_receive", None)
    await rig.run()
    with pytest.raises(TypeError):
        await rig.run()
    monkeypatch.undo()
    assert (await rig.run()).evidence["canary"]["ok"] >= 2


async def test_a_hardened_server(server_folder, make_context):
    """DEL, KEYS, CONFIG, EVAL and FLUSHALL renamed away: the canary needs none of them."""
    renamed = [
        word
        for name in ("DEL", "KEYS", "CONFIG", "EVAL", "FLUSHALL")
        for word in ("--rename-command", name, "")
    ]
    server = ValkeyServer(server_folder / "hardened", *renamed)
    server.start()
    try:
        rig = Rig(server, make_context)
        assert (await rig.run()).status is Status.UP
        await rig.close()
    finally:
        server.stop()


async def test_time_that_was_not_seen_is_not_covered(rig):
    """Of 100 s: 30 with three runs 10 s apart, less 4 of standstill; 40 without a run, of which 20
    count; 20 in which another sentinel had the path, and the run after it: 46 % are covered, and
    the verdict says so."""
    ahead = 0.0

    async def later(seconds, stalled=0.0):
        nonlocal ahead
        ahead += seconds
        return await rig.run(
            interval=10.0,
            monotonic=lambda: time.monotonic() + ahead,
            utcnow=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=ahead),
            stalled=lambda _since: stalled,
        )

    await later(0)
    for stalled in (0.0, 4.0, 0.0):
        await later(10, stalled)
    await later(40)
    rig.raw.set(f"{STREAM}:lease", "elsewhere:1", px=60_000)
    assert (await later(20)).status is Status.UNKNOWN
    rig.raw.delete(f"{STREAM}:lease")
    finding = await later(10)
    (seen,) = [row.values["coverage"] for row in finding.rows if row.labels.get("window") == "1h"]
    assert seen == pytest.approx(0.46, abs=0.02)
    assert "46 % of the time seen" in finding.detail


RUNNER = Path(__file__).with_name("canary_runner.py")


class Saboteur:
    """Steals entries and drops, doubles or corrupts them, no canary twice; keeps the ground truth."""

    def __init__(self, port, each):
        self.raw = redis.Redis(port=port)
        self.plan = random.sample(["drop", "double", "corrupt"] * each, 3 * each)
        self.truth = dict.fromkeys(("drop", "double", "corrupt"), 0)
        self.spoilt = set()

    def act(self, seconds, most=99):
        """Sabotage now and then for so long, at most so often."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1 * random.random())
            if self.plan and most and (entry := self.steal()):
                most -= 1
                self.spoil(self.plan.pop(), *entry)

    def steal(self):
        """One entry, before sentinel reads it. One that it had in hand before (its own copy) goes
        back as it is: to corrupt one of two copies, or to drop it, would be no corruption and no
        loss."""
        try:
            reply = self.raw.xreadgroup("sentinel", "thief", {STREAM: ">"}, 1, 20)
        except redis.ResponseError:  # the group is not there yet
            return None
        if not reply:
            return None
        entry, fields = reply[0][1][0]
        if fields[b"seq"] not in self.spoilt:
            return entry, fields
        self.raw.pipeline(transaction=True).xack(STREAM, "sentinel", entry).xadd(
            STREAM, fields
        ).execute()
        return None

    def spoil(self, how, entry, fields):
        self.truth[how] += 1
        self.spoilt.add(fields[b"seq"])
        pipe = self.raw.pipeline(transaction=True).xack(STREAM, "sentinel", entry)
        if how == "double":
            pipe.xadd(STREAM, fields).xadd(STREAM, fields)
        elif how == "corrupt":
            pipe.xadd(STREAM, {**fields, b"raw": b"\x00" + fields[b"raw"]})
        pipe.execute()


@pytest.mark.parametrize("server", ["valkey", "redis7"])
async def test_eight_kills_and_a_saboteur(server, request, make_context):
    """8 × kill -9 at random moments; every injected drop, duplicate and corruption counted once,
    none invented.
    """
    server = request.getfixturevalue(server)
    saboteur = Saboteur(server.port, each=8)
    argv = [sys.executable, str(RUNNER), server.url, "0.005", "0.8"]
    for _ in range(8):
        process = subprocess.Popen(argv)
        await asyncio.to_thread(saboteur.act, 0.45 + 0.5 * random.random(), 3)
        process.kill()
        process.wait()
    rig = Rig(server, make_context, CanaryOptions(path="t", deadline="1s", loss_after="800ms"))
    while saboteur.plan:
        rest = asyncio.create_task(asyncio.to_thread(saboteur.act, 0.3))
        while not rest.done():
            await rig.run()
    await rig.run()
    await rig.settled()
    counts = (await rig.until(lambda c: c["open"] == 0)).evidence["canary"]
    truth = saboteur.truth
    assert truth == {"drop": 8, "double": 8, "corrupt": 8}
    assert (counts["lost"], counts["duplicate"], counts["corrupt"]) == (8, 8, 8)
    assert counts["sent"] > 50
    assert counts["foreign"] == 0
    assert conserved(counts)
    await rig.close()
