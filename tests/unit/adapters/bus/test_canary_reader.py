"""When a canary that was not seen counts as lost: only a reader that was there, and read all there
was, can tell.
"""

from __future__ import annotations

from typing import Any

from sentinel.adapters.bus.canary_ledger import CanaryLedger, CanaryPlace
from sentinel.adapters.bus.canary_reader import BATCH, CanaryReader, Clock, Rules
from sentinel.core.canary.letter import OwnLetter
from sentinel.core.canary.record import CanaryRecord
from sentinel.core.canary.traffic import CanaryTraffic


class Server:
    """Answers each read after three seconds, with so many foreign entries."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting = 0

    async def call(self, *command: Any) -> Any:
        if command[0] != "XREADGROUP":
            return None
        self.now += 3
        found, self.waiting = min(BATCH, self.waiting), max(0, self.waiting - BATCH)
        return [[b"s", [(b"1-%d" % n, [b"f", b"v"]) for n in range(found)]]] if found else None

    async def transaction(self, commands: list[Any]) -> list[Any]:
        return [1] * len(commands)


def make(server: Server) -> CanaryReader:
    record = CanaryRecord()
    ledger = CanaryLedger(server, CanaryPlace.own("t"), record.tally)  # type: ignore[arg-type]
    clock = Clock(lambda: server.now, lambda _since: 0.0)
    return CanaryReader(ledger, OwnLetter(), CanaryTraffic(record, ()), Rules(1.0, 5.0), clock)


async def test_a_read_vouches_for_the_instant_at_which_it_was_issued():
    """An entry may come in right behind the answer: the time of the answer proves nothing."""
    server = Server()
    reader = make(server)
    await reader._open_group()
    await reader._read_new()
    assert (reader.caught_up, server.now) == (100.0, 103.0)


async def test_a_full_batch_does_not_vouch_for_what_is_behind_it():
    """After a flood there is more to read; only a read that was not full has seen it all."""
    server = Server()
    reader = make(server)
    await reader._open_group()
    server.waiting = BATCH + 1
    before = reader.caught_up
    await reader._read_new()
    assert reader.caught_up == before
    await reader._read_new()
    assert reader.caught_up == 103.0


async def test_a_canary_is_overdue_only_since_the_reader_is_connected():
    """Sent at 90, but nobody read before 100: lost at 105 at the earliest, not at 95."""
    server = Server()
    reader = make(server)
    reader.booted = 0.0
    assert not reader.is_overdue(90.0)
    await reader._open_group()
    reader.caught_up = 104.0
    assert not reader.is_overdue(90.0)
    reader.caught_up = 105.0
    assert reader.is_overdue(90.0)
