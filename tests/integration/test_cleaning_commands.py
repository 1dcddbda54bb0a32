"""`sentinel clean` as a person uses it: through a running daemon, else by itself, under the same
guards.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import redis

from sentinel.app import Daemon
from sentinel.cli import main
from sentinel.config import load
from sentinel.demo.servers import free_port
from sentinel.store.table import insert

KEY, GROUP = "agent:1", "g1"
CONFIG = """
state: {state}
listen: 127.0.0.1:{listen}
actions: {{enabled: {enabled}}}
resources: {{bus: {{redis: "redis://127.0.0.1:{port}/0"}}}}
components: {{bus: {{resource: bus}}}}
checks: [{{name: server, kind: redis_server, component: bus, every: 1h}}]
housekeeping:
  - {{name: poison, kind: poison, settle: 0s, streams: {{include: ["agent:*"]}}, more_than: 3,
     handler_time: 1s, dead_letter: dead{every}}}
  - {{name: drain, kind: drain, settle: 0s, streams: {{include: ["agent:*"]}}, handler_time: 1s}}
"""


class Place:
    """A configuration folder, and the bus."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.state, self.port = folder, folder / "state", port
        self.bus = redis.Redis(port=port)
        self.listen = free_port()
        self.write()

    def write(self, *, enabled: bool = True, every: str = "") -> None:
        """The configuration."""
        text = CONFIG.format(
            state=self.state,
            listen=self.listen,
            port=self.port,
            enabled=str(enabled).lower(),
            every=every,
        )
        (self.folder / "sentinel.yaml").write_text(text)

    def poison(self, count: int) -> None:
        """Entries that were delivered too often."""
        if not self.bus.exists(KEY):
            self.bus.xgroup_create(KEY, GROUP, "0", mkstream=True)
        for _ in range(count):
            self.bus.xadd(KEY, {"f": "v"})
        ids = [entry for entry, _ in self.bus.xreadgroup(GROUP, "c", {KEY: ">"}, count=count)[0][1]]
        self.bus.xclaim(KEY, GROUP, "c", 0, ids, idle=3_600_000, retrycount=9, justid=True)

    def pending(self) -> int:
        """Of the group."""
        return self.bus.xpending(KEY, GROUP)["pending"]

    async def run(self, *words: str) -> int:
        """A command, in a thread as in a process of its own."""
        return await asyncio.to_thread(main, ["--config", str(self.folder), *words])


@pytest.fixture
def place(valkey, tmp_path):
    """A place on Valkey whose state folder exists."""
    made = Place(tmp_path, valkey.port)
    made.state.mkdir()
    yield made
    made.bus.close()


async def plan_of(
    place: Place, capsys: pytest.CaptureFixture[str], *words: str
) -> dict[str, object]:
    """Plan; the document."""
    assert await place.run("clean", "plan", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


async def test_without_a_daemon_the_command_acts_itself_under_the_same_guards(place, capsys):
    """Plan, apply; halted, observe mode, an unknown plan: refused with 75 and a remedy; the audit
    log has it.
    """
    place.poison(4)
    assert await place.run("clean", "plan", "poison") == 0
    shown = capsys.readouterr().out
    assert "4 entries would be cleaned" in shown
    assert "XACK agent:1 g1" in shown
    plan = await plan_of(place, capsys, "poison")
    assert await place.run("halt", "--reason", "test") == 0
    assert await place.run("clean", "apply", str(plan["id"])) == 75
    assert "halted" in capsys.readouterr().err
    assert await place.run("resume") == 0
    place.write(enabled=False)
    assert await place.run("clean", "apply", str(plan["id"])) == 75
    said = capsys.readouterr().err
    assert "actions are not enabled" in said
    assert "remedy" in said
    assert place.pending() == 4
    place.write()
    assert await place.run("clean", "apply", str(plan["id"])) == 0
    assert "4 of 4 cleaned" in capsys.readouterr().out
    assert (place.pending(), place.bus.xlen("dead")) == (0, 4)
    assert await place.run("clean", "apply", str(plan["id"])) == 75
    assert await place.run("clean", "apply", "ffff") == 75
    assert await place.run("clean", "plan", "nothing") == 64
    assert await place.run("clean", "plan", "drain", "consumer") == 64
    assert await place.run("clean", "plan", "drain", "consumer=nobody") == 75
    assert await place.run("audit", "verify") == 0
    assert await place.run("clean", "list") == 0
    assert "done: 4 of 4" in capsys.readouterr().out


async def test_through_the_daemon_and_on_its_calendar(place, capsys):
    """The daemon plans and applies by order; a chore that gets `every` at a reload runs by itself;
    metrics tell.
    """
    place.poison(3)
    daemon = Daemon(load(place.folder))
    await daemon.start()
    try:
        plan = await plan_of(place, capsys, "poison")
        daemon.halt()
        assert await place.run("clean", "apply", str(plan["id"])) == 75
        assert await place.run("resume") == 0
        assert await place.run("clean", "apply", str(plan["id"])) == 0
        assert place.pending() == 0
        assert await place.run("clean", "plan", "drain", "consumer=nobody") == 75
        assert b'sentinel_housekeeping_removed_total{chore="poison"} 3.0' in daemon.metrics.render()
        place.poison(2)
        place.write(every=", every: 100ms, dry_run: false")
        assert await daemon.reload()
        async with asyncio.timeout(30):
            while place.pending():
                await asyncio.sleep(0.05)
        place.write()
        assert await daemon.reload()
        assert [
            job.id for job in daemon.calendar._jobs.get_jobs() if job.id.startswith("chore-")
        ] == []
        assert daemon.store.verify_audit().whole
    finally:
        await daemon.stop()
    assert place.bus.xlen("dead") == 5


async def test_nothing_is_cleaned_while_an_action_is_running(place, capsys):
    """One action at a time: a restart whose outcome is not known yet holds the apply back; reads go
    on.
    """
    place.poison(1)
    daemon = Daemon(load(place.folder))
    await daemon.start()
    try:
        plan = await plan_of(place, capsys, "poison")
        with daemon.store.database.act() as db:
            row = ("i-1", 1, "x", "2026-01-01", '{"outcome": "", "epoch": 1}')
            insert(db, "attempt", row)
        assert await place.run("clean", "apply", str(plan["id"])) == 75
        assert "an action on a component is running" in capsys.readouterr().err
        assert place.pending() == 1
        await plan_of(place, capsys, "poison")
    finally:
        await daemon.stop()
