"""Which shard a check or a component belongs to: fixed for ever, the same on every machine (scale.md §4.1)."""

from __future__ import annotations

import hashlib

SHARDS = 4096


def shard_of(name: str) -> int:
    """The shard of a name, 0 ≤ shard < 4096."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % SHARDS
