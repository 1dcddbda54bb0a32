"""What a watch of files gets to see: replaced files, and paths that are away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sentinel.core.model import Component
from sentinel.engine import file_watch
from sentinel.engine.file_watch import FileWatch


class Noted(FileWatch):
    """A watch that notes instead of acting."""

    seen: list[set[str]]

    async def _react(self, component, changes) -> None:
        self.seen.append({Path(path).name for _, path in changes})


@pytest.fixture
async def watch(monkeypatch) -> AsyncIterator[Noted]:
    """It looks again soon."""
    monkeypatch.setattr(file_watch, "DEBOUNCE", 0.05)
    monkeypatch.setattr(file_watch, "TRY_AGAIN", 0.05)
    made = Noted(None)
    made.seen = []
    yield made
    await made.close()


async def again_until(act: Callable[[], None], true: Callable[[], bool]) -> None:
    """A watcher needs a moment to begin: change until it was seen."""
    for _ in range(100):
        act()
        for _ in range(20):
            await asyncio.sleep(0.02)
            if true():
                return
    raise AssertionError("never seen")


async def test_a_file_that_is_replaced_is_seen_every_time(watch: Noted, tmp_path: Path) -> None:
    """As editors and deployments write: a new file is moved over the old one. Its neighbours are of
    no interest.
    """
    file, fresh = tmp_path / "app.conf", tmp_path / "app.conf.new"
    file.write_text("0")

    def replace() -> None:
        (tmp_path / "neighbour").write_text("x")
        fresh.write_text("1")
        fresh.replace(file)

    await watch.follow({"api": Component("api", watch=(str(file),))})
    for n in (1, 2, 3):
        await again_until(replace, lambda n=n: len(watch.seen) >= n)
    assert set().union(*watch.seen) == {"app.conf"}


async def test_a_path_that_is_away_is_watched_when_it_is_back(watch: Noted, tmp_path: Path) -> None:
    """A folder that is replaced by a deployment ends no watch."""
    folder = tmp_path / "source"
    file = folder / "app.conf"
    await watch.follow({"api": Component("api", watch=(str(file),))})
    await asyncio.sleep(0.2)
    folder.mkdir()
    await again_until(lambda: file.write_text("1") and None, lambda: watch.seen != [])
