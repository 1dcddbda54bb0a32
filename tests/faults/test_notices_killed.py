"""Sentinel is killed at random points between a decision and its delivery: everybody hears of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from sentinel.store.sqlite import SqliteStore
from tests.unit.notify.rig import HttpSink, http_sink

VICTIM = Path(__file__).with_name("notice_victim.py")


async def kill_often(folder: Path, sink: HttpSink, rounds: int, seed: int) -> int:
    """The rounds; how many victims were killed before their work was done."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(VICTIM), str(folder), sink.url, str(rounds), str(seed),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(VICTIM.parents[2])},
    )  # fmt: skip
    out, _ = await child.communicate()
    assert child.returncode == 0
    return int(out)


def slow(dice: random.Random):
    """A receiver that takes its time: then a kill falls between taking and answering, too."""

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(dice.uniform(0, 0.02))
        return web.Response()

    return answer


async def hold_promise(folder: Path, rounds: int, seed: int) -> None:
    """Each notice at least once, at most twice, with one key; no order is left."""
    async with http_sink() as sink:
        sink.answer = slow(random.Random(seed))
        killed = await kill_often(folder, sink, rounds, seed)
        documents = [json.loads(body) for body in sink.posts]
    counts = Counter(document["key"] for document in documents)
    by_affair = {document["affair"]: document["key"] for document in documents}
    assert killed >= rounds // 3
    assert len(by_affair) == 3 * rounds
    assert len(counts) == 3 * rounds
    assert set(counts.values()) <= {1, 2}, (seed, counts)
    store = SqliteStore(folder)
    assert store.take_orders() == []
    store.close()


async def test_ten_kills_between_decision_and_delivery(tmp_path: Path) -> None:
    """Ten random points."""
    await hold_promise(tmp_path, 10, 20261130)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
async def test_fifty_kills_between_decision_and_delivery(tmp_path: Path, seed: int) -> None:
    """Fifty random points."""
    await hold_promise(tmp_path, 50, seed)
