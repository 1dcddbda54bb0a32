"""Which hash tag brings a canary to a given master of a Redis cluster (measurement.md §2.1)."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

SLOTS = 16384
SHORT = 8


@dataclass(frozen=True, slots=True)
class Master:
    """A master of a cluster: node id, address, and its slots as inclusive ranges."""

    id: str
    host: str
    port: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        """The short form of its id."""
        return self.id[:SHORT]

    def owns(self, slot: int) -> bool:
        """Whether the slot is its own."""
        return any(first <= slot <= last for first, last in self.ranges)


def tag_of(key: str) -> str:
    """The part of a key that decides its slot: between the first { and the next }, unless empty;
    else all of it.
    """
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


def slot_of(key: str) -> int:
    """The slot of a key: CRC16 (XMODEM) of its tag."""
    return binascii.crc_hqx(tag_of(key).encode(), 0) % SLOTS


def find_tag(prefix: str, master: Master) -> str:
    """The first of `prefix`-0, `prefix`-1 … in a slot of this master, which must have one."""
    return next(tag for n in count() if master.owns(slot_of(tag := f"{prefix}-{n}")))


def find_owner(masters: Sequence[Master], key: str) -> Master | None:
    """The master of a key's slot; None while nobody serves it."""
    slot = slot_of(key)
    return next((master for master in masters if master.owns(slot)), None)
