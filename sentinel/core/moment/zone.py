"""Zones by their IANA names: wall times to instants and back, also where an hour occurs twice.

A wall time is naive, an instant is Unix seconds. The data are those of the host, else of the
package `tzdata`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_DAY = 86_400.0
_SAMPLES = tuple(day * 30 * _DAY for day in range(-12, 13))


_NO_PLACES = frozenset({"factory", "localtime", "posixrules"})
_COPIES = ("posix/", "right/")
"""Files beside the zones that are none: a machine that was never set up, whatever this one has, a
rule for others, copies (those of `right/` count leap seconds).
"""


@lru_cache(maxsize=512)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone of that name, in any case as PostgreSQL takes it; None where there is none."""
    return _open(name) or _open(_by_lower().get(name.lower(), ""))


def _open(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


@lru_cache(maxsize=1)
def _by_lower() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def find_zone_fault(name: str) -> str:
    """What is wrong with the name of a zone, or ""."""
    is_place = name.lower() not in _NO_PLACES and not name.lower().startswith(_COPIES)
    return "" if is_place and find_zone(name) else f"unknown time zone {name[:60]!r}"


def offset_at(zone: str, at: float) -> float:
    """Seconds by which the clocks of a zone are ahead of UTC at an instant; unknown zones are UTC."""
    known = find_zone(zone) or UTC
    return _offset(datetime.fromtimestamp(at, known))


def wall_of(at: float, zone: str) -> datetime:
    """What the clocks of a zone show at an instant."""
    return datetime.fromtimestamp(at, find_zone(zone) or UTC).replace(tzinfo=None)


def read_wall(wall: datetime, zone: str) -> tuple[float, ...]:
    """The instants at which the clocks of a zone show a wall time: one, or two where the hour
    occurs twice, the earlier first. Of an hour that is left out: as if clocks had not been set yet
    (as PostgreSQL has it).
    """
    known = find_zone(zone) or UTC
    found = [wall.replace(tzinfo=known, fold=fold).timestamp() for fold in (0, 1)]
    return (found[0],) if found[0] >= found[1] else (found[0], found[1])


def are_alike(zones: Iterable[str], at: float) -> bool:
    """Whether clocks of these zones show the same, a year before an instant to a year after it."""
    names = set(zones)
    return all(len({offset_at(name, at + step) for name in names}) <= 1 for step in _SAMPLES)


def name_offset(seconds: float) -> str:
    """`UTC`, `UTC+2`, `UTC-3:30`."""
    minutes = round(seconds / 60)
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02}" if rest else "")


def _offset(at: datetime) -> float:
    return (at.utcoffset() or timedelta()).total_seconds()
