"""A long work lets others have their turn."""

from __future__ import annotations

import asyncio

import pytest

from sentinel.engine import breath
from sentinel.engine.breath import Breath


@pytest.mark.parametrize(("held_for", "turns"), [(-1.0, 10), (60.0, 0)])
async def test_others_have_their_turn(monkeypatch, held_for: float, turns: int) -> None:
    """After each step that came too late, and after no other."""
    monkeypatch.setattr(breath, "HELD_FOR", held_for)
    had = 0

    async def other() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    task, drawn = asyncio.create_task(other()), Breath()
    for _ in range(10):
        await drawn.draw()
    task.cancel()
    assert had == turns
