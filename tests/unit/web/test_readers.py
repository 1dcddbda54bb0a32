"""Reads of the page: few at a time, and one that hangs takes no place but its own."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sentinel.errors import StateError
from sentinel.web.readers import Readers
from sentinel.web.site import Shared


async def test_answers_and_errors() -> None:
    """What the call gives, or what it raises."""
    readers = Readers()
    assert await readers.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await readers.call(lambda: 1 // 0)
    assert await readers.call(lambda: 8) == 8


async def test_few_at_a_time() -> None:
    """Ten calls, and never more than two of them at a time."""
    readers, now, most = Readers(2), 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with guard:
            now -= 1

    await asyncio.gather(*(readers.call(work) for _ in range(10)))
    assert most == 2


async def test_a_hanging_read_keeps_its_place() -> None:
    """Whoever gives up waiting leaves the place taken: a disk that is away costs two threads, not
    two for every request.
    """
    readers, disk = Readers(1), threading.Event()
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await readers.call(disk.wait)
    assert threading.active_count() <= before + 1
    disk.set()
    async with asyncio.timeout(2):
        assert await readers.call(lambda: "back") == "back"


async def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread the page says so, and its place is free again."""
    readers = Readers(1)

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StateError):
            await readers.call(lambda: 1)
    async with asyncio.timeout(2):
        assert await readers.call(lambda: 2) == 2


async def test_an_error_that_nobody_waits_for_is_no_traceback() -> None:
    """All who waited have gone when the render fails: asyncio has nothing to complain about."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said["message"]))
    go_on = asyncio.Event()

    async def fail() -> int:
        await go_on.wait()
        raise StateError("the disk is gone")

    shared = Shared(fail, 0.0, time.monotonic)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shared.get()
    go_on.set()
    await asyncio.sleep(0.01)
    del shared
    await asyncio.sleep(0)
    assert told == []
