"""Who is refused is counted one by one and said together."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from sentinel.redaction import Redaction
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
        assert [line["refused"] for line in told] == ["300 displaced, 1 late"]
        for _ in range(5):
            book.note(DoorRefusal.MALFORMED)
            await asyncio.sleep(0)
        assert len(told) == 1
        await asyncio.sleep(0.15)
        assert [line["refused"] for line in told[1:]] == ["5 malformed"]
        book.note(DoorRefusal.STUCK)
        book.close()
        book.close()
    assert [line["refused"] for line in told[2:]] == ["1 stuck"]
    assert counted == {"displaced": 300, "late": 1, "malformed": 5, "stuck": 1}


async def test_wrong_tokens_are_said_with_their_number() -> None:
    """No reason is taken for a secret: who guesses tokens is seen in the log."""
    book = RefusalBook(lambda _why: None)
    with capture_logs() as told:
        for why in DoorRefusal:
            book.note(why)
        book.close()
    [line] = [Redaction()(None, "warning", dict(each)) for each in told]
    assert all(f"1 {why.value}" in line["refused"] for why in DoorRefusal)
