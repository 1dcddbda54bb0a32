"""Since when sentinel watches."""

from __future__ import annotations

from datetime import datetime

from sentinel.store import Reader
from sentinel.store.document import read_instant


def watch_began(store: Reader) -> datetime | None:
    """When sentinel began to watch, as far as the store knows."""
    try:
        at = read_instant(store.meta("watching_since") or store.meta("started") or "")
    except ValueError:
        return None
    return at if at.tzinfo else None
