"""Pings through a product's own handlers, on real servers: who answers, who does not, and where it
stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from sentinel.adapters.redis import RedisClient
from sentinel.config import shipped_folder
from sentinel.core.fault import Status
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes.bus_canary import KIND, CanaryOptions

FIRST, SECOND = "agent_messages:a", "agent_messages:b"
ENVELOPE = {
    "type": "sentinel.ping",
    "message_id": "{id}",
    "reply_to": "{reply_to}",
    "payload": '{"ping": {body}}',
    "traceparent": "{traceparent}",
}
both = pytest.mark.parametrize("rig", ["valkey", "redis7"], indirect=True)


def document(**handler):
    handler = {"stream": FIRST, "envelope": ENVELOPE, **handler}
    return {"path": "p", "deadline": "10s", "loss_after": "40s", "handler": handler}


def options(**handler):
    """Patient: on a busy machine, too, nothing is late or lost that is not meant to be."""
    return CanaryOptions(**document(**handler))


def hasty(**handler):
    """What is not answered is lost soon."""
    return CanaryOptions(**{**document(**handler), "loss_after": "600ms"})


class Handler:
    """One consumer of the product: reads its stream through its group, reports, passes on,
    acknowledges.
    """

    def __init__(self, port, name, stream, onward=""):
        self.raw = redis.Redis(port=port)
        self.name, self.stream, self.onward = name, stream, onward
        self.mute = self.delay = 0.0
        self.spoil = self.twice = False
        self.read = []
        with contextlib.suppress(redis.ResponseError):
            self.raw.xgroup_create(stream, "group", id="0", mkstream=True)

    def turn(self):
        reply = self.raw.xreadgroup("group", self.name, {self.stream: ">"}, 10, 20)
        for entry, fields in reply[0][1] if reply else ():
            self.read.append(fields)
            if fields.get(b"type") == b"sentinel.ping" and not self.mute:
                self.answer(fields)
            self.raw.xack(self.stream, "group", entry)

    def answer(self, fields):
        time.sleep(self.delay)
        hops = [*json.loads(fields.get(b"hops", b"[]")), [self.name, time.time_ns()]]
        payload = json.loads(fields[b"payload"])
        if self.spoil:
            payload["ping"]["vectors"]["booleans"] = None
        answer = {**fields, b"payload": json.dumps(payload), b"hops": json.dumps(hops)}
        for _ in range(1 + self.twice):
            self.raw.xadd(fields[b"reply_to"], answer, maxlen=1000)
        if self.onward:
            self.raw.xadd(self.onward, answer)

    async def live(self):
        while True:
            await asyncio.to_thread(self.turn)


class Rig:
    """The probe with handlers at work."""

    def __init__(self, server, make_context, chosen):
        self.options, self.make, self.server = chosen, make_context, server
        self.client = RedisClient("bus", server.url)
        self.raw = redis.Redis(port=server.port)
        self.state = KIND.load_state(None)
        self.handlers, self.tasks = {}, []

    def employ(self, name, stream, onward=""):
        self.handlers[name] = handler = Handler(self.server.port, name, stream, onward)
        self.tasks.append(asyncio.create_task(handler.live()))
        return handler

    async def run(self, timeout=80.0):
        return await KIND.run(
            self.options, self.make({"resource": self.client}, self.state, timeout=timeout)
        )

    async def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition((finding := await self.run(timeout=0.2)).evidence["canary"]):
            assert time.monotonic() < end, finding
            await asyncio.sleep(0.03)
        return finding

    async def dismiss(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def close(self):
        await self.dismiss()
        for handler in self.handlers.values():
            handler.raw.close()
        await self.state.close()
        await self.client.close()
        self.raw.close()


@pytest.fixture
async def rig(request, make_context):
    made = Rig(
        request.getfixturevalue(getattr(request, "param", "valkey")), make_context, options()
    )
    yield made
    await made.close()


def conserved(counts):
    return counts["sent"] == sum(
        counts[name] for name in ("ok", "orphan", "late", "lost", "corrupt", "open")
    )


def legs(finding):
    rows = [row for row in finding.rows if "leg" in row.labels]
    return {row.labels["leg"]: row.values["latency_seconds"].total for row in rows}


@both
async def test_pings_come_back_through_the_handler(rig):
    """Five pings: five answers, unchanged in meaning although encoded anew; each is one entry of
    the product's stream and acknowledged there by its own group; sentinel has no group on it, and
    the reply stream is empty again."""
    rig.employ("a", FIRST)
    for _ in range(5):
        finding = await rig.run()
    assert finding.status is Status.UP, finding
    counts = finding.evidence["canary"]
    assert (counts["sent"], counts["ok"], counts["open"], counts["foreign"]) == (5, 5, 0, 0)
    assert legs(finding) == {"publish": 5, "deliver": 5, "total": 5, "handler": 5}
    assert rig.raw.xinfo_stream(FIRST)["entries-added"] == 5
    (group,) = rig.raw.xinfo_groups(FIRST)
    assert (group["name"], group["pending"]) == (b"group", 0)
    assert {fields[b"type"] for fields in rig.handlers["a"].read} == {b"sentinel.ping"}
    assert rig.raw.xlen(f"sentinel:canary:reply:{{{FIRST}}}:p") == 0


async def test_a_silent_handler_loses_pings_and_is_named(rig):
    """It reads and acknowledges but does not answer: every ping is lost, the path is down, the
    handler is named.
    """
    rig.options = hasty()
    rig.employ("a", FIRST).mute = 1.0
    finding = await rig.until(lambda c: c["lost"] >= 3)
    assert finding.status is Status.DOWN
    assert "failing hop: handler" in finding.detail
    assert finding.evidence["hops"]["failures"]["handler"] == finding.evidence["canary"]["lost"]
    assert conserved(finding.evidence["canary"])


async def test_a_handler_that_changes_or_doubles(rig):
    """A changed payload is corrupt, a second answer a duplicate; both to the unit."""
    handler = rig.employ("a", FIRST)
    await rig.run()
    handler.spoil = True
    for _ in range(3):
        await rig.run()
    handler.spoil, handler.twice = False, True
    for _ in range(4):
        await rig.run()
    handler.twice = False
    counts = (await rig.until(lambda c: c["open"] == 0 and c["duplicate"] >= 4)).evidence["canary"]
    assert (counts["corrupt"], counts["duplicate"], counts["lost"]) == (3, 4, 0)
    assert conserved(counts)


async def test_a_late_answer_is_charged_to_the_slowest_hop(rig):
    """The second of two handlers takes longer than the deadline: late, in its leg."""
    rig.options = CanaryOptions(
        path="p",
        deadline="1s",
        loss_after="40s",
        handler={"stream": FIRST, "envelope": ENVELOPE, "hops": ["a", "b"]},
    )
    rig.employ("a", FIRST, SECOND)
    slow = rig.employ("b", SECOND)
    slow.delay = 1.5
    finding = await rig.until(lambda c: c["late"] >= 1)
    slow.delay = 0.0
    counts = finding.evidence["canary"]
    assert counts["lost"] == counts["corrupt"] == 0
    assert finding.evidence["hops"]["failures"] == {"a": 0, "b": counts["late"]}
    assert set(legs(finding)) == {"publish", "deliver", "total", "a", "b"}


async def test_each_hop_has_a_leg_and_the_failing_one_is_named(rig):
    """Two handlers: a leg for each ping and hop; then the second falls silent, later the first:
    each loss is charged to the first hop of which nothing was heard."""
    rig.options = options(hops=["a", "b"])
    first, second = rig.employ("a", FIRST, SECOND), rig.employ("b", SECOND)
    for _ in range(4):
        finding = await rig.run()
    assert finding.status is Status.UP, finding
    assert legs(finding) == dict.fromkeys(("publish", "deliver", "total", "a", "b"), 4)
    assert set(finding.evidence["hops"]["clock_ahead_seconds"]) == {"a", "b"}
    rig.options = hasty(hops=["a", "b"], pause_after=200)
    second.mute = 1.0
    finding = await rig.until(lambda c: c["lost"] >= 3)
    silent = finding.evidence["hops"]["failures"]
    assert silent["a"] == 0
    assert silent["b"] == finding.evidence["canary"]["lost"]
    first.mute = 1.0
    finding = await rig.until(lambda c: rig.state.paths["p"].traffic.hop_failures()["a"] >= 3)
    failures = finding.evidence["hops"]["failures"]
    assert sum(failures.values()) == finding.evidence["canary"]["lost"]
    assert "failing hop" in finding.detail
    assert conserved(finding.evidence["canary"])


async def test_hops_may_change_in_a_running_sentinel(rig):
    """A reload with other hops: totals go on, the new hop gets its leg."""
    rig.employ("a", FIRST)
    await rig.run()
    rig.options = options(hops=["a"])
    finding = await rig.run()
    assert finding.evidence["canary"]["ok"] == 2
    assert legs(finding) == {"publish": 2, "deliver": 2, "total": 2, "a": 1}


async def test_reports_wait_for_the_end_over_a_restart(rig):
    """A first hop's report was read before sentinel was killed: the next life still knows that it
    was the second.
    """
    rig.options = hasty(hops=["a", "b"])
    rig.employ("a", FIRST, SECOND)
    await rig.run(timeout=0.1)
    path = rig.state.paths["p"]
    while not path.traffic.reports:
        await asyncio.sleep(0.01)
    await rig.state.close()
    rig.state = KIND.load_state(None)
    (pending,) = rig.raw.xinfo_groups(f"sentinel:canary:reply:{{{FIRST}}}:p")
    assert pending["pending"] == 1
    rig.options = hasty(hops=["a", "b"], while_running="nobody")
    finding = await rig.until(lambda c: c["open"] == 0)
    assert finding.evidence["hops"]["failures"] == {"a": 0, "b": 1}


async def test_a_dead_consumer_gets_no_flood_and_its_return_is_seen(rig):
    """Nobody reads: after three losses in a row sentinel holds back. The consumer comes back and
    answers all: they resurface, no duplicate is counted, and pings go on."""
    handler = Handler(rig.server.port, "a", FIRST)
    rig.handlers["a"] = handler
    rig.options = hasty(pause_after=3, pause="300s")
    finding = await rig.until(lambda c: c["lost"] >= 3 and c["open"] == 0)
    sent = finding.evidence["canary"]["sent"]
    for _ in range(20):
        finding = await rig.run(timeout=0.1)
    assert finding.evidence["canary"]["sent"] == sent == rig.raw.xlen(FIRST)
    assert finding.status is Status.DOWN
    assert "holding back" in finding.detail
    rig.options = options(pause_after=3, pause="300s")
    rig.tasks.append(asyncio.create_task(handler.live()))
    counts = (await rig.until(lambda c: c["ok"] >= 2)).evidence["canary"]
    assert (counts["resurfaced"], counts["duplicate"], counts["lost"]) == (sent, 0, sent)
    assert conserved(counts)


async def test_nothing_is_sent_while_the_component_is_away(rig):
    """`while_running`: no ping into a stream whose reader was stopped on purpose; such time is not
    covered.
    """
    rig.options = options(while_running="agent")
    rig.employ("a", FIRST)
    context = rig.make({"resource": rig.client}, rig.state, timeout=80.0)
    finding = await KIND.run(rig.options, context)
    assert finding.status is Status.UNKNOWN
    assert "agent is not running" in finding.detail
    assert rig.raw.xlen(FIRST) == 0
    running = type(context)(
        **{**{k: getattr(context, k) for k in context.__slots__}, "supervised": lambda _name: 7}
    )
    for _ in range(2):
        finding = await KIND.run(rig.options, running)
    assert finding.status is Status.UP
    assert finding.evidence["canary"]["ok"] == 2
    finding = await KIND.run(rig.options, context)
    assert finding.status is Status.UP
    assert "agent is not running" in finding.detail


async def test_a_stream_of_the_product_is_never_made_nor_trimmed(rig):
    """Without its stream: a finding about it, no promise, no key. With 1200 entries: all are still
    there afterwards.
    """
    with pytest.raises(SubjectError, match="does not exist"):
        await rig.run()
    assert not rig.raw.exists(FIRST)
    pipe = rig.raw.pipeline(transaction=False)
    for _ in range(1200):
        pipe.xadd(FIRST, {"type": "task"})
    pipe.execute()
    rig.employ("a", FIRST)
    counts = (await rig.until(lambda c: c["ok"] >= 1)).evidence["canary"]
    assert rig.raw.xlen(FIRST) == 1200 + counts["sent"]
    assert conserved(counts)


async def test_a_hostile_handler_harms_nobody(rig):
    """Foreign entries, nonsense for hops and ids, a flood of copies: counted, bounded, and the
    pings are still fine.
    """
    rig.options = options(hops=["a"])
    rig.employ("a", FIRST)
    await rig.run()
    reply = f"sentinel:canary:reply:{{{FIRST}}}:p"
    for fields in (
        {"x": "y"},
        {"message_id": b"\xff"},
        {"message_id": "ab:1", "hops": "[["},
        {"message_id": "ab:1"},
    ):
        rig.raw.xadd(reply, fields)
    rig.raw.xadd(reply, {"message_id": "ab:1", "hops": '[["a", 1]]'})
    counts = (await rig.until(lambda c: c["foreign"] == 4 and c["duplicate"] == 1)).evidence[
        "canary"
    ]
    assert counts["lost"] == counts["corrupt"] == 0
    assert conserved(counts)


async def test_rights_on_the_product_are_one_selector(rig, make_context):
    """The shipped user may not publish to the product, and says which rule is missing; with the
    selector that checks/acl/README.md names it can, and still may not read with a group or trim
    there."""
    lines = (shipped_folder("checks") / "acl" / "redis.acl").read_text().splitlines()
    words = re.findall(
        r"\([^)]*\)|\S+", next(line for line in lines if line.startswith("user sentinel off"))[18:]
    )
    selector = f"(~{FIRST} -@all +xadd)"
    rig.employ("a", FIRST)
    for extra, allowed in (([], False), ([selector], True)):
        rig.raw.execute_command(
            "ACL", "SETUSER", "sentinel", "reset", *words, *extra, "on", ">secret"
        )
        client = RedisClient("bus", f"redis://sentinel:secret@127.0.0.1:{rig.server.port}/0")
        state = KIND.load_state(None)
        context = make_context({"resource": client}, state, timeout=80.0)
        if allowed:
            assert (await KIND.run(rig.options, context)).evidence["canary"]["ok"] == 1
        else:
            with pytest.raises(NotMeasurable, match=r"permission.*(xadd|key)"):
                await KIND.run(rig.options, context)
        await state.close()
        await client.close()
    assert (
        "(~agent_messages:agent-1 -@all +xadd)"
        in (shipped_folder("checks") / "acl" / "README.md").read_text()
    )
    with redis.Redis(port=rig.server.port, username="sentinel", password="secret") as user:
        for command in (
            ("XTRIM", FIRST, "MAXLEN", "0"),
            ("XREADGROUP", "GROUP", "group", "s", "STREAMS", FIRST, ">"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*command)
    rig.raw.execute_command("ACL", "DELUSER", "sentinel")


@pytest.mark.parametrize(
    "wrong",
    [
        {"handler": {"stream": "s", "envelope": {"id": "x"}}},
        {"handler": {"stream": "s", "hops": ["a", "a"]}},
        {"handler": {"stream": "s", "hops": ["total"]}},
        {"handler": {"stream": ""}},
        {"handler": {"stream": "s"}, "per_shard": True},
    ],
)
def test_options_that_can_not_work_are_refused(wrong):
    """Before anything is sent."""
    with pytest.raises(ValueError, match="validation error"):
        CanaryOptions(**wrong)


RUNNER = Path(__file__).with_name("canary_runner.py")


async def test_kills_invent_nothing_on_the_way_through_a_handler(rig):
    """3 × kill -9 of sentinel while two handlers work: every ping ends once, none is lost or
    doubled, the law holds, and the product's stream has exactly the pings that were counted as
    sent."""
    rig.employ("a", FIRST, SECOND)
    rig.employ("b", SECOND)
    given = {**document(hops=["a", "b"]), "loss_after": "30s"}
    rig.options = CanaryOptions(**given)
    environment = {**os.environ, "CANARY_OPTIONS": json.dumps(given)}
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(RUNNER), rig.server.url, "0.01", "30"], env=environment
        )
        held = rig.raw.xlen(FIRST)
        end = time.monotonic() + 20
        while rig.raw.xlen(FIRST) < held + 15:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    counts = (await rig.until(lambda c: c["open"] == 0)).evidence["canary"]
    assert counts["sent"] == rig.raw.xlen(FIRST) == rig.raw.xlen(SECOND) >= 45
    assert (counts["lost"], counts["duplicate"], counts["corrupt"], counts["foreign"]) == (
        0,
        0,
        0,
        0,
    )
    assert conserved(counts)
