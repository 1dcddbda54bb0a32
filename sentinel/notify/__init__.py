"""One file per channel: how people are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Channel(Protocol):
    """Tells people one thing. `key` is the same for the same thing, so a second send can be
    recognised.
    """

    async def send(self, key: str, subject: str, payload: Mapping[str, Any]) -> None:
        """Deliver, or raise."""
        ...
