"""What people order about notices, before any daemon sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.app import notice_ordering
from sentinel.core.order import Answer
from sentinel.errors import UsageError
from sentinel.store import Changes, ComponentView
from sentinel.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path)
    made.commit(Changes(components=[ComponentView("bus", "up", None, "", [], "", None, 0, "")]))
    yield made
    made.close()


async def test_a_silence_of_everything_is_a_slip(store: SqliteStore) -> None:
    """Without a matcher nothing is ordered, and nothing stands in the audit log."""
    with pytest.raises(UsageError, match="needs matchers"):
        await notice_ordering.add_silence(store, {}, 60.0, "ann", "r")
    assert list(store.audit()) == []


async def test_two_orders_at_a_time_are_two(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A millisecond apart they have names of their own: none is refused, and none ends the other."""
    named, now = [], datetime(2026, 3, 1, 12, tzinfo=UTC)

    async def give(_store: object, _kind: object, name: str, _payload: object) -> Answer:
        named.append(name)
        return Answer.done("ordered")

    def tick() -> datetime:
        nonlocal now
        now += timedelta(milliseconds=1)
        return now

    given: tuple[Any, ...] = (60.0, "ann", "r")
    monkeypatch.setattr(notice_ordering, "give_order", give)
    monkeypatch.setattr(notice_ordering, "utcnow", tick)
    for _ in range(2):
        await notice_ordering.add_silence(store, {"component": ["bus"]}, *given)
        await notice_ordering.add_window(store, "", ["bus"], *given)
    assert len(set(named)) == 4
