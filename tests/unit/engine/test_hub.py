"""Who listens hears of a change in the moment in which it happens, before any disk has it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from sentinel.engine.hub import Hub
from sentinel.engine.recorder import Paces, Recorder
from sentinel.metrics import Metrics
from sentinel.store import Changes, CheckView
from sentinel.store.sqlite import SqliteStore


async def test_a_blocked_disk_delays_no_word(
    store: SqliteStore, metrics: Metrics, clock: Any
) -> None:
    """At each pace it is told at once: what presses, what can wait, and what is held."""
    hub, told = Hub(), list[tuple[Any, bool]]()
    recorder = Recorder(store, metrics, clock.utcnow, paces=Paces(5.0, 30.0), hub=hub)
    leave = hub.listen(lambda make, patient: told.append((make, patient)))
    blocked = threading.Event()
    running = asyncio.create_task(recorder.call(lambda: blocked.wait(20)))
    first, second = Changes(meta={"a": "1"}), Changes(meta={"b": "2"})
    writing = asyncio.create_task(recorder.record(first))
    await asyncio.sleep(0)
    await recorder.later(second)
    held, made = Changes(meta={"c": "3"}), list[int]()

    def make() -> Changes:
        made.append(1)
        return held

    await recorder.hold((CheckView, "lag"), make)
    assert [patient for _, patient in told] == [False, False, True]
    assert not made, "nobody has asked what it says"
    assert [each() for each, _ in told] == [first, second, held]
    recorder.held()
    assert len(made) == 1, "who writes it later takes what was made"
    assert store.meta("a") is None
    leave()
    await recorder.later(Changes(meta={"d": "4"}))
    assert len(told) == 3
    blocked.set()
    await asyncio.gather(running, writing)
    recorder.close()


def test_who_keeps_something_begins_anew() -> None:
    """When others are watched than before; and who has left hears nothing of it."""
    hub, told = Hub(), list[object]()
    leave = hub.listen(lambda make, _patient: told.append(make))
    hub.tell_anew()
    leave()
    leave()
    hub.tell_anew()
    assert told == [None]
