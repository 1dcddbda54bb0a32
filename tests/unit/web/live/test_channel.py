"""Who follows is told everything once, however slow; nothing piles up, and many cost as one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.notice.silence import Silence
from sentinel.engine.hub import Hub
from sentinel.store import Changes
from sentinel.store.document import write
from sentinel.store.notices import SILENCES_KEY, StandingSilences
from sentinel.store.sqlite import SqliteStore
from sentinel.web.live import channel as channel_of
from sentinel.web.live.channel import RESET, LiveChannel
from sentinel.web.live.piece import Piece
from sentinel.web.readers import Readers
from tests.unit.web.live.world import at, check, incident, make_platform

NAMES = ["bus", "agent"]


class Desk:
    """A channel with everything around it, and a clock in the hands of the test."""

    def __init__(self, folder: Path) -> None:
        self.store, self.hub, self.clock = SqliteStore(folder), Hub(), at(0)
        self.store.commit(make_platform(NAMES))
        self.rendered: list[str] = []
        self.channel = LiveChannel(self.store, Readers(), self.hub, self.render, lambda: self.clock)

    def render(self, piece: Piece, _now: datetime) -> str:
        self.rendered.append(piece.id)
        return f"{piece.id} {getattr(piece.model, 'detail', '')}"

    def change(self, detail: str, name: str = "bus/0", *, patient: bool = False) -> Changes:
        """One turn of a check: told, and not written at all."""
        changes = Changes(checks=[check(name, detail=detail)])
        self.hub.tell(lambda: changes, patient=patient)
        return changes


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A channel that nobody follows yet."""
    made = Desk(tmp_path)
    yield made
    await made.channel.close()
    made.store.close()


def parse(message: bytes) -> dict[str, Any]:
    """What one message says."""
    data = next(line for line in message.decode().splitlines() if line.startswith("data: "))
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


def mark_of(message: bytes) -> str:
    """What whoever has seen a message comes back with."""
    return message.decode().splitlines()[0].removeprefix("id: ")


async def soon(following: AsyncGenerator[bytes, None]) -> bytes:
    """The next message that changes something."""
    async with asyncio.timeout(20):
        while "put" not in parse(message := await anext(following)) and message != RESET:
            pass
    return message


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def test_what_is_told_is_sent_before_any_disk_has_it(desk: Desk) -> None:
    """From the hub, not from the store; sentences of what happens come with it."""
    _, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(following))
    await asyncio.sleep(0)
    desk.change("refused")
    told = parse(await waiting)
    assert told["put"] == [["checks", "check:bus/0", "check:bus/0 refused"]]
    assert told["now"] == int(at(0).timestamp() * 1000)
    desk.hub.tell(lambda: Changes(incidents=[incident("bus")]))
    told = parse(await soon(following))
    assert told["say"] == ["bus is down: bus does not answer"]
    await following.aclose()


async def test_between_page_and_stream_nothing_is_lost(desk: Desk) -> None:
    """What changes after the page was made and before its stream is asked for comes first."""
    _, mark = await desk.channel.show()
    desk.change("meanwhile")
    following = desk.channel.follow(mark)
    assert parse(await soon(following))["put"] == [
        ["checks", "check:bus/0", "check:bus/0 meanwhile"]
    ]
    await following.aclose()


async def test_while_the_board_is_read_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told while the store is read is newer than what was read."""
    plain, loop = desk.store.checks, asyncio.get_running_loop()

    def checks() -> Any:
        found = plain()
        loop.call_soon_threadsafe(desk.change, "newer")
        return found

    monkeypatch.setattr(desk.store, "checks", checks)
    page, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    shown = {line.name: line.detail for line in page.checks}["bus/0"]
    if shown != "newer":
        assert parse(await soon(following))["put"] == [
            ["checks", "check:bus/0", "check:bus/0 newer"]
        ]
    await following.aclose()


async def test_a_slow_one_is_told_what_is_then(desk: Desk) -> None:
    """500 changes that nobody takes are one piece, rendered once, and no queue grows."""
    _, mark = await desk.channel.show()
    slow = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(slow))
    await asyncio.sleep(0)
    desk.change("first")
    behind = mark_of(await waiting)
    quick = desk.channel.follow(behind)
    for n in range(500):
        desk.change(f"figure {n}")
        if n % 100 == 99:
            await soon(quick)
    told = parse(await soon(slow))
    assert told["put"] == [["checks", "check:bus/0", "check:bus/0 figure 499"]]
    for each in (slow, quick):
        await each.aclose()


async def test_many_share_one_rendering(desk: Desk) -> None:
    """50 who have seen the same are told by the same bytes."""
    _, mark = await desk.channel.show()
    all_of_them = [desk.channel.follow(mark) for _ in range(50)]
    waiting = [asyncio.create_task(soon(each)) for each in all_of_them]
    await asyncio.sleep(0)
    desk.change("refused")
    messages = await asyncio.gather(*waiting)
    assert len({id(message) for message in messages}) == 1
    assert desk.rendered == ["check:bus/0"]
    for each in all_of_them:
        await each.aclose()


async def test_who_comes_back_is_told_what_he_missed(desk: Desk) -> None:
    """By the mark of what he saw last, without the whole page."""
    _, mark = await desk.channel.show()
    first = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(first))
    await asyncio.sleep(0)
    desk.change("one")
    seen = mark_of(await waiting)
    stays = desk.channel.follow(seen)
    await first.aclose()
    desk.change("two", "agent/0")
    await soon(stays)
    again = desk.channel.follow(seen)
    assert parse(await soon(again))["put"] == [["checks", "check:agent/0", "check:agent/0 two"]]
    for each in (stays, again):
        await each.aclose()


@pytest.mark.parametrize("mark", ["", "x", "0-0", "abc-99999999999999999999", "-1", "é-²"])
async def test_an_unknown_mark_begins_anew(desk: Desk, mark: str) -> None:
    """Of another daemon, or made up."""
    assert [message async for message in desk.channel.follow(mark)] == [RESET]


async def test_others_are_watched_than_before(desk: Desk) -> None:
    """After a reload the page is asked for anew, and has what is there then."""
    _, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(following))
    await asyncio.sleep(0)
    desk.store.commit(Changes(checks=[check("late/0")]))
    desk.hub.tell_anew()
    assert await waiting == RESET
    page, _ = await desk.channel.show()
    assert "late/0" in [line.name for line in page.checks]


async def test_what_nobody_looks_at_costs_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some time after the last one has left nobody listens, and nothing is kept."""
    monkeypatch.setattr(channel_of, "LINGER", 0.02)
    monkeypatch.setattr(channel_of, "PATIENT", 0.01)
    await desk.channel.show()
    assert desk.hub._listeners
    await until(lambda: not desk.hub._listeners)
    assert desk.channel._kept is None


async def test_too_much_is_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody takes it, what is told does not fill the memory."""
    monkeypatch.setattr(channel_of, "MAX_HEARD", 10)
    _, mark = await desk.channel.show()
    for n in range(50):
        desk.store.commit(desk.change(f"figure {n}"))
    assert len(desk.channel._heard) <= 10
    assert await soon(desk.channel.follow(mark)) == RESET
    page, _ = await desk.channel.show()
    assert {line.name: line.detail for line in page.checks}["bus/0"] == "figure 49"


async def test_patience_has_an_end_before_memory_has(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many words that say the same are taken before their time: the board is not read again."""
    monkeypatch.setattr(channel_of, "MAX_HEARD", 40)
    monkeypatch.setattr(channel_of, "PATIENT", 3600.0)
    _, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(following))
    await asyncio.sleep(0)
    desk.change("first")
    await waiting
    await asyncio.sleep(0.05)  # longer than two rounds are apart
    waiting = asyncio.create_task(soon(following))
    for n in range(5):
        desk.change(f"figure {n}", patient=True)
        await asyncio.sleep(0.02)
    assert not waiting.done()
    for n in range(5, 15):
        desk.change(f"figure {n}", patient=True)
    assert parse(await waiting)["put"][0][1] == "check:bus/0"
    await following.aclose()


async def test_a_silence_is_seen_and_its_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word of the store is asked for when somebody has changed it, and when its time is up."""
    monkeypatch.setattr(channel_of, "PATIENT", 0.01)
    _, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    waiting = asyncio.create_task(soon(following))
    await asyncio.sleep(0)
    silence = Silence("s1", {"component": ("bus",)}, at(0), at(60), "deploy", "eve")
    word = Changes(
        meta={SILENCES_KEY: write(StandingSilences((silence,)))}, incidents=[incident("bus")]
    )
    desk.store.commit(word)
    desk.hub.tell(lambda: word)
    await waiting
    page, _ = await desk.channel.show()
    assert page.cards[0].untold == ("silenced until 12:01 UTC by eve (deploy)",)
    assert len(page.notices.silences) == 1
    desk.clock = at(61)
    await soon(following)
    page, _ = await desk.channel.show()
    assert (page.cards[0].untold, page.notices.silences) == ((), ())
    await following.aclose()


async def test_silence_of_the_engine_is_no_silence_of_sentinel(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing changes everybody hears that we live."""
    monkeypatch.setattr(channel_of, "BEAT", 0.01)
    _, mark = await desk.channel.show()
    following = desk.channel.follow(mark)
    assert parse(await anext(following)).keys() == {"now"}
    await following.aclose()


async def test_without_a_feed_each_page_is_read(tmp_path: Path) -> None:
    """As commands and tests do that have a store and no engine."""
    store = SqliteStore(tmp_path)
    store.commit(make_platform(NAMES))
    channel = LiveChannel(store, Readers(), None, lambda *_: "", lambda: at(0))
    page, mark = await channel.show()
    assert (len(page.checks), mark, channel.is_live) == (4, "", False)
    store.close()
