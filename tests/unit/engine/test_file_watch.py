"""What a watch of files gets to see: replaced files, and paths that are away for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from watchfiles import Change

from sentinel.core.model import Component
from sentinel.core.order import Answer
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


def stand_in(folder: Path, answer: Answer) -> SimpleNamespace:
    """What a watch asks: nothing runs here, and each request has the same answer."""

    async def restart(_name: str, _reason: str, by: str) -> Answer:
        assert by == "watch"
        made.asked += 1
        return answer

    fleet = SimpleNamespace(drivers={}, notes={}, stopped=set())
    made = SimpleNamespace(
        asked=0,
        restart=restart,
        remediator=SimpleNamespace(
            automation=SimpleNamespace(halt_file=folder / "state" / "HALT", enabled=True),
            fleet=fleet,
            journal=SimpleNamespace(all=lambda _name: []),
            monotonic=time.monotonic,
            moment=lambda: None,
        ),
    )
    return made


async def test_what_sentinel_writes_is_no_change(tmp_path: Path) -> None:
    """The log of the component and the state, in a folder that is watched as a whole."""
    requests = stand_in(tmp_path, Answer.done("restarted"))
    component = Component("api", watch=(str(tmp_path),))
    watch = FileWatch(requests)
    await watch._react(component, {(Change.modified, str(tmp_path / "state" / "log" / "api.log"))})
    assert requests.asked == 0
    await watch._react(component, {(Change.modified, str(tmp_path / "app.py"))})
    assert requests.asked == 1


async def test_what_was_there_at_the_start_is_known(tmp_path: Path) -> None:
    """Files that changed before a restart by a change were read by it; a later one is news, and so
    is one that is gone.
    """
    requests, file = stand_in(tmp_path, Answer.done("restarted")), tmp_path / "app.py"
    component, watch = Component("api", watch=(str(tmp_path),)), FileWatch(requests)
    file.write_text("1")
    await asyncio.sleep(0.05)
    for _ in range(3):
        await watch._react(component, {(Change.modified, str(file))})
    assert requests.asked == 1
    file.write_text("2")
    await watch._react(component, {(Change.modified, str(file))})
    await watch._react(component, {(Change.deleted, str(tmp_path / "gone.py"))})
    assert requests.asked == 3


async def test_a_clock_that_was_set_proves_nothing(tmp_path: Path, monkeypatch) -> None:
    """Set back by an hour, every new file looks older than the start: it is news all the same."""
    requests, file = stand_in(tmp_path, Answer.done("restarted")), tmp_path / "app.py"
    component, watch = Component("api", watch=(str(tmp_path),)), FileWatch(requests)
    file.write_text("1")
    ahead = time.time() + 3600
    monkeypatch.setattr(file_watch, "utcnow", lambda: datetime.fromtimestamp(ahead, UTC))
    await watch._react(component, {(Change.modified, str(file))})
    monkeypatch.undo()
    await watch._react(component, {(Change.modified, str(file))})
    assert requests.asked == 2


async def test_what_was_refused_spends_nothing(tmp_path: Path) -> None:
    """Halted, observing: nothing was started, so nothing came soon after a start."""
    requests = stand_in(tmp_path, Answer.refused("halted"))
    component, watch = Component("api", watch=(str(tmp_path),)), FileWatch(requests)
    async with asyncio.timeout(4):
        for n in range(8):
            await watch._react(component, {(Change.deleted, str(tmp_path / f"{n}.py"))})
    assert (requests.asked, requests.remediator.fleet.notes) == (8, {})


async def test_what_is_raised_loses_no_change_and_ends_no_watch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error that nobody foresaw, while a change is taken over, and while files are watched: both
    are done again, said and counted.
    """
    monkeypatch.setattr(file_watch, "DEBOUNCE", 0.05)
    monkeypatch.setattr(file_watch, "TRY_AGAIN", 0.001)
    taken, begun = list[int](), list[int]()

    class Failing(Noted):
        async def _react(self, component, changes) -> None:
            taken.append(1)
            if len(taken) < 3:
                raise KeyError("canary")
            await super()._react(component, changes)

    def watch_files(*paths: Path, **options: object) -> AsyncIterator[object]:
        begun.append(1)
        if len(begun) == 1:
            raise TypeError("canary")
        return real(*paths, **options)

    real = file_watch.awatch
    monkeypatch.setattr(file_watch, "awatch", watch_files)
    watch = Failing(None)
    watch.seen = []
    file = tmp_path / "app.conf"
    with capture_logs() as lines:
        await watch.follow({"api": Component("api", watch=(str(file),))})
        await again_until(lambda: file.write_text("1") and None, lambda: watch.seen != [])
        await watch.close()
    assert watch.seen == [{"app.conf"}]
    said = [(line["part"], line["component"]) for line in lines if line["event"] == "part_failed"]
    assert said == [("file_watch", "api")] * 3
    assert watch.upkeep.metrics.swallowed.labels("file_watch").value == 3
