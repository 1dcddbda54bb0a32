"""Redis and Valkey: one server or cluster, what its addresses say, and how replies are read."""

from sentinel.adapters.redis.client import (
    Command,
    RedisClient,
)

__all__ = [
    "Command",
    "RedisClient",
]
