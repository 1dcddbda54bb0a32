"""Who is refused is counted one by one and said together."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from sentinel.web import refusals
from sentinel.web.refusals import DoorRefusal, RefusalBook


async def test_said_once_with_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd is one line, what comes later another one after a while, silence none; the end says
    what is left.
    """
    monkeypatch.setattr(refusals, "GATHER", 0.01)
    monkeypatch.setattr(refusals, "SAY_EVERY", 0.05)
    counted = Counter[str]()
    book = RefusalBook(lambda why: counted.update([why]))
    with capture_logs() as told:
        for _ in range(300):
            book.note(DoorRefusal.DISPLACED)
        book.note(DoorRefusal.LATE)
        await asyncio.sleep(0.03)
        assert [(line["displaced"], line["late"]) for line in told] == [(300, 1)]
        for _ in range(5):
            book.note(DoorRefusal.MALFORMED)
            await asyncio.sleep(0)
        assert len(told) == 1
        await asyncio.sleep(0.15)
        assert [line.get("malformed") for line in told] == [None, 5]
        book.note(DoorRefusal.STUCK)
        book.close()
        book.close()
    assert [line.get("stuck") for line in told] == [None, None, 1]
    assert counted == {"displaced": 300, "late": 1, "malformed": 5, "stuck": 1}
