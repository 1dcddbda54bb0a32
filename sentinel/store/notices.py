"""What the store remembers of notices, as documents under one word each; and what others may read of
them: channels, silences, maintenance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.core.notice.maintenance import Maintenance, MaintenanceWindow
from sentinel.core.notice.silence import Silence
from sentinel.store import Reader
from sentinel.store.document import read, read_plain

BOOK_KEY = "notices"
"""Who was told of what."""
SILENCES_KEY = "silences"
WINDOWS_KEY = "windows"
"""Maintenance windows that people ordered."""
MAINTENANCE_KEY = "maintenance"
"""Times of maintenance, as they were and are."""
CHANNELS_KEY = "channels"
"""The latest of every channel."""


@dataclass(frozen=True, slots=True)
class StandingSilences:
    """Every silence that is not over."""

    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderedWindows:
    """Every window that people ordered and that is not over: from, until, no cron line."""

    windows: tuple[MaintenanceWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedMaintenance:
    """Times of maintenance, oldest first."""

    times: tuple[Maintenance, ...] = ()


def read_silences(store: Reader) -> tuple[Silence, ...]:
    """Every silence that is not over, as the daemon knows them."""
    text = store.meta(SILENCES_KEY)
    return read(StandingSilences, text).silences if text else ()


def read_ordered_windows(store: Reader) -> tuple[MaintenanceWindow, ...]:
    """Every window that people ordered and that is not over."""
    text = store.meta(WINDOWS_KEY)
    return read(OrderedWindows, text).windows if text else ()


def read_maintenance(store: Reader) -> tuple[Maintenance, ...]:
    """Every remembered time of maintenance: `find_spans` makes of them what uptime and objectives
    leave out.
    """
    text = store.meta(MAINTENANCE_KEY)
    return read(PlannedMaintenance, text).times if text else ()


def present_maintenance(store: Reader, now: datetime) -> list[Maintenance]:
    """What is on now."""
    known = read_maintenance(store)
    return [each for each in known if each.ended is None and each.began <= now < each.until]


def read_channels(store: Reader) -> Sequence[Mapping[str, Any]]:
    """The latest of every channel: name, kind, waiting, outcome, at, error."""
    return list(read_plain(store.meta(CHANNELS_KEY) or "[]"))
