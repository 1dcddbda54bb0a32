"""One file per channel: how people are told. A channel is a value, as a check kind is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.shelf import LazyShelf


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to tell people one thing.

    `send(key, subject, payload)` delivers, or raises. `key` is the same for the same thing, so a
    second send can be recognised.
    """

    name: str
    summary: str
    send: Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


def load_channels() -> Mapping[str, Channel]:
    """Every channel of this folder by name: a new file is a new channel, nothing else is edited."""
    return LazyShelf(__name__, Channel, "CHANNEL")
