"""A look that fails between reading and feeding takes nothing with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sentinel.errors import TargetUnreachable
from sentinel.watch.delivery import BusWatch
from tests.integration.soundness.bench import Bench, open_bench
from tests.integration.soundness.look import RestlessClient, Watcher
from tests.integration.soundness.operations import RandomWorld
from tests.integration.soundness.world import NOTHING, Kind

QUIET = Kind("quiet", {"publish": 1})


@asynccontextmanager
async def watched(bench: Bench) -> AsyncIterator[tuple[RandomWorld, Watcher]]:
    """A stream of some entries, looked at once."""
    world = RandomWorld(bench, 1, QUIET)
    watcher = Watcher(world)
    yield world, watcher
    await watcher.client.close()


def fail_once(monkeypatch, place: type, name: str) -> None:
    """The connection breaks at the next call of this, and is well again."""
    whole = getattr(place, name)

    async def fail(*_: Any) -> None:
        monkeypatch.setattr(place, name, whole)
        raise TargetUnreachable("gone for a moment")

    monkeypatch.setattr(place, name, fail)


async def test_what_was_read_and_not_taken_in_is_counted_by_the_next_look(
    server_folder: Path, redis62_binary: Path, monkeypatch
):
    """Redis 6.2 tells no ranks: how much came is known by the calls of XADD since the last look."""
    with open_bench("redis62", server_folder, redis62_binary) as bench:
        async with watched(bench) as (world, watcher):
            assert await watcher.look()
            world.publish()
            world.send("XDEL", "s:a", "1-1")
            fail_once(monkeypatch, BusWatch, "_take_reading")
            assert not await watcher.look()
            world.publish()
            world.run(b"s:a", NOTHING, "XTRIM", "s:a", "MAXLEN", "=", 0)
            assert await watcher.look()
            claim, life = watcher.list_streams()[0][1], world.books[b"s:a"].life
            assert life is not None
            assert claim.size <= len(life.entries) <= claim.size + claim.unseen


async def test_an_experiment_that_failed_is_done_again(server_folder: Path, monkeypatch):
    """What the numbers of a server mean is found out at the next look, if not at the first."""
    with open_bench("valkey", server_folder) as bench:
        async with watched(bench) as (world, watcher):
            world.publish()
            fail_once(monkeypatch, RestlessClient, "transaction")
            assert not await watcher.look()
            assert await watcher.look()
            watch = watcher.state.open(watcher.options)
            assert watch.nature.capability.family == "rank-b"
