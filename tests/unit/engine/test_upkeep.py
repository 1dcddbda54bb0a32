"""Whatever a task raises is said, counted, and ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from sentinel.engine import upkeep as upkeep_module
from sentinel.engine.upkeep import LONGEST, Upkeep, is_told_to_end
from sentinel.metrics import Metrics


class Panic(BaseException):
    """What a library in Rust raises."""


RAISED = [
    RuntimeError("x"),
    MemoryError(),
    RecursionError(),
    SystemExit(3),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    ExceptionGroup("x", [ValueError()]),
    Panic(),
]


def count(owner: Upkeep, part: str) -> float:
    return owner.metrics.swallowed.labels(part).value


@pytest.fixture
async def owner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upkeep]:
    """Its pauses are noted, not waited for."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    made = Upkeep(Metrics(), sleep=sleep)
    monkeypatch.setattr(upkeep_module, "pauses", pauses, raising=False)
    yield made
    await made.close()


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_what_is_kept_is_begun_anew(owner: Upkeep, error: BaseException) -> None:
    """Everything but the word to end; what is begun again works."""
    lives: list[int] = []

    async def work() -> None:
        lives.append(1)
        if len(lives) <= 2:
            raise error
        await asyncio.Event().wait()

    with capture_logs() as lines:
        task = owner.keep("part", work, component="c")
        while len(lives) < 3:
            await asyncio.sleep(0)
    assert not task.done()
    assert count(owner, "part") == 2
    assert [(line["event"], line["part"], line["component"]) for line in lines] == [
        ("part_failed", "part", "c")
    ] * 2


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_what_is_done_once_says_what_it_raised(owner: Upkeep, error: BaseException) -> None:
    """And is not begun again."""

    async def work() -> None:
        raise error

    with capture_logs() as lines:
        await asyncio.wait({owner.once("part", work())})
    assert count(owner, "part") == len(lines) == 1


async def test_who_returns_though_it_has_no_end(owner: Upkeep) -> None:
    """That is a failure, too; the pauses grow to a minute, and not beyond."""
    lives: list[int] = []

    async def work() -> None:
        lives.append(1)

    with capture_logs():
        owner.keep("part", work)
        while len(lives) < 12:
            await asyncio.sleep(0)
    pauses = upkeep_module.pauses
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == pauses[10] == LONGEST


async def test_a_part_that_worked_for_long_begins_soon(owner: Upkeep) -> None:
    """What failed yesterday does not count."""
    lives: list[int] = []
    owner.monotonic = lambda: 100.0 * len(lives)

    async def work() -> None:
        lives.append(1)

    with capture_logs():
        owner.keep("part", work)
        while len(lives) < 5:
            await asyncio.sleep(0)
    assert set(upkeep_module.pauses) == {0.5}


async def test_the_end_is_no_failure(owner: Upkeep) -> None:
    """A task that is cancelled ends, is not counted, and is waited for."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("kept")

    tasks = [owner.keep("part", work), owner.once("part", work())]
    await asyncio.sleep(0)
    with capture_logs() as lines:
        await owner.close()
    assert [task.cancelled() for task in tasks] == [True, True]
    assert len(ended) == 2
    assert lines == []
    assert count(owner, "part") == 0


async def test_who_is_told_to_end() -> None:
    """A cancellation from within is an error, one from outside is not."""
    assert is_told_to_end(GeneratorExit())
    assert is_told_to_end(KeyboardInterrupt())
    assert not is_told_to_end(asyncio.CancelledError())
    assert not is_told_to_end(SystemExit())
    asyncio.current_task().cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.sleep(0)
    assert is_told_to_end(caught.value)
    asyncio.current_task().uncancel()
