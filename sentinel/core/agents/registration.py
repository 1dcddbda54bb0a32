"""Registry rows as agents, whatever keeps them; which of them registered again, and which run
twice.

A life is one registration: its time and its boot id. A restart begins a new life, and the old one
is over; two lives of one name that both go on are two processes (measurement.md §4). Instants in
Unix seconds of the source's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.agents.capability import read_capabilities
from sentinel.core.moment import is_wall_time, read_instant
from sentinel.core.moment.skew import TOLERANCE, find_offset
from sentinel.core.quantity import format_duration

ACTIVE = "active"
SLEEPING = "sleeping"
UNMAPPED = "unmapped"
INACTIVE = "inactive"
_PREFERENCE = {ACTIVE: 3, SLEEPING: 2, UNMAPPED: 1, INACTIVE: 0}

HOUR = 3600.0
_KEPT_EVENTS = 2000
_KEPT_BOOTS = 8

Life = tuple[float | None, str]


@dataclass(frozen=True, slots=True)
class Registration:
    """One row of a registry as read. `problem` tells what of it can't be read; `name`: what people
    call it; `is_wall`: its times are texts that don't tell their offset.
    """

    id: str
    status: str
    beat: float | None = None
    capabilities: frozenset[str] = frozenset()
    registered: float | None = None
    boot: str = ""
    problem: str = ""
    name: str = ""
    is_wall: bool = False


@dataclass(frozen=True, slots=True)
class RegisteredAgent:
    """An agent of the registry. `status` is canonical; `boots`: active boot ids with their beats.

    `rows`: active rows of the same boot id, of which there should be one. `problem`: why its
    heartbeat is no time; `name`: what people call it, "" where nothing tells.
    """

    id: str
    status: str
    beat: float | None = None
    capabilities: frozenset[str] = frozenset()
    registered: float | None = None
    rows: int = 1
    boot: str = ""
    boots: Mapping[str, float | None] = field(default_factory=dict)
    lives: frozenset[Life] = frozenset()
    problem: str = ""
    name: str = ""

    @property
    def life(self) -> Life:
        """The registration that counts."""
        return self.registered, self.boot


def merge(rows: Iterable[Registration], statuses: Mapping[str, str]) -> dict[str, RegisteredAgent]:
    """Agents by id: of several rows the active one with the newest beat counts. `statuses`: lower
    text → canonical.
    """
    grouped: dict[str, list[Registration]] = {}
    for row in rows:
        grouped.setdefault(row.id, []).append(row)
    return {name: _merge_one(mine, statuses) for name, mine in grouped.items()}


def _merge_one(rows: Sequence[Registration], statuses: Mapping[str, str]) -> RegisteredAgent:
    def preference(row: Registration) -> tuple[int, float, float]:
        return (
            _PREFERENCE[statuses.get(row.status, UNMAPPED)],
            row.beat or 0.0,
            row.registered or 0.0,
        )

    best = max(rows, key=preference)
    active = [row for row in rows if statuses.get(row.status) == ACTIVE]
    boots = {
        row.boot: row.beat for row in sorted(active, key=lambda row: row.beat or 0.0) if row.boot
    }
    same = [sum(other.boot == row.boot for other in active) for row in active]
    return RegisteredAgent(
        best.id,
        statuses.get(best.status, UNMAPPED),
        best.beat,
        best.capabilities,
        best.registered,
        max(same, default=1),
        best.boot,
        boots,
        frozenset((row.registered, row.boot) for row in rows),
        next((row.problem for row in rows if row.problem), ""),
        best.name,
    )


class Arrivals:
    """Counts registrations: lives that were not there before. The first reading is the baseline.

    After a restart of sentinel, registrations since the last look still count where their time is
    known.
    """

    def __init__(self, total: int = 0, looked: float | None = None) -> None:
        self.total = total
        self.looked = looked
        self._known: dict[str, frozenset[Life]] | None = None
        self._events: deque[tuple[float, str]] = deque(maxlen=_KEPT_EVENTS)

    def see(self, agents: Iterable[RegisteredAgent], now: float, *, is_zoned: bool = True) -> int:
        """Take one reading at `now`; the total so far. `is_zoned`: times tell which instants they
        are; of others nothing is known of what happened while sentinel was away.
        """
        here = {agent.id: agent.lives or frozenset({agent.life}) for agent in agents}
        for name, lives in here.items():
            for _ in range(self._count_new(name, lives, now if is_zoned else float("-inf"))):
                self.total += 1
                self._events.append((now, name))
        known = self._known or {}
        self._known = {
            name: _newest(lives | known.get(name, frozenset()), lives)
            for name, lives in here.items()
        }
        self.looked = now
        return self.total

    def _count_new(self, name: str, lives: frozenset[Life], now: float) -> int:
        if self._known is not None:
            return len(lives - self._known.get(name, frozenset()))
        if self.looked is None:
            return 0
        # A time that is still to come is one of another zone or clock.
        latest = now + TOLERANCE
        times = [registered for registered, _ in lives if registered is not None]
        return sum(self.looked < registered <= latest for registered in times)

    def last_hour(self, now: float) -> dict[str, int]:
        """Registrations by agent in the last hour, as far as sentinel saw them."""
        while self._events and self._events[0][0] < now - HOUR:
            self._events.popleft()
        found: dict[str, int] = {}
        for _, name in self._events:
            found[name] = found.get(name, 0) + 1
        return found


def _newest(lives: frozenset[Life], present: frozenset[Life]) -> frozenset[Life]:
    """The present ones, and of the others the latest: a life that comes back is no new one."""
    others = sorted(lives - present, key=lambda life: life[0] or 0.0, reverse=True)
    return present | frozenset(others[:_KEPT_BOOTS])


class Takeovers:
    """Finds two processes that write one row in turns: a boot id that comes back after another one
    took its place.

    After a restart the old boot id never comes back; it must do so within `ttl` seconds, for a boot
    id may be a host name, to which an agent can move back on another day.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[str, float]]] = {}
        self._returned: dict[str, tuple[float, tuple[str, ...]]] = {}

    def see(
        self, agents: Mapping[str, RegisteredAgent], now: float, ttl: float
    ) -> dict[str, tuple[str, ...]]:
        """Take one reading; agents with a return in the last `ttl` seconds, with their boot ids."""
        for name, agent in agents.items():
            if agent.boot and agent.status == ACTIVE:
                self._note(name, agent.boot, now, ttl)
        self._seen = {name: boots for name, boots in self._seen.items() if name in agents}
        self._returned = {
            n: found for n, found in self._returned.items() if n in agents and now - found[0] <= ttl
        }
        return {name: boots for name, (_, boots) in self._returned.items()}

    def _note(self, name: str, boot: str, now: float, ttl: float) -> None:
        seen = self._seen.setdefault(name, [])
        before = next((at for other, at in seen if other == boot), None)
        if seen and seen[0][0] != boot and before is not None and now - before <= ttl:
            self._returned[name] = (now, (boot, seen[0][0]))
        self._seen[name] = [(boot, now), *(item for item in seen if item[0] != boot)][:_KEPT_BOOTS]


@dataclass(frozen=True, slots=True)
class FileAge:
    """Times of a registry file: last modified, as it claims, and when it promised to be written
    again; Unix seconds. `is_vague`: what it claims has no offset, and nobody declared its zone.
    """

    modified: float
    claimed: float | None = None
    next_update: float | None = None
    is_vague: bool = False

    def find_offset(self) -> float | None:
        """By how many seconds the clock that wrote vague claims is ahead (else behind) of the
        file's own time of writing, where they look like another zone's.
        """
        if not self.is_vague:
            return None
        off = None if self.claimed is None else find_offset(self.claimed - self.modified)
        if off is None and self.next_update is not None and self.next_update < self.modified:
            # Nobody promises an update that should have been before.
            off = self.next_update - self.modified
        return off

    def find_faults(self, now: float, fresh: float | None, tolerance: float) -> tuple[str, ...]:
        """What is wrong with the file's age, in words; `fresh`: longest time without a write, None:
        any.
        """
        found = []
        if fresh is not None and now - self.modified > fresh:
            found.append(f"not written for {format_duration(now - self.modified)}")
        if self.claimed is not None and fresh is not None and self.modified - self.claimed > fresh:
            found.append(
                f"written with a time of {format_duration(self.modified - self.claimed)} before"
            )
        if self.claimed is not None and self.claimed - self.modified > tolerance:
            found.append(
                f"claims a time {format_duration(self.claimed - self.modified)} after it was"
                " written"
            )
        if self.next_update is not None and now - self.next_update > tolerance:
            found.append(f"its next update is overdue by {format_duration(now - self.next_update)}")
        return tuple(found)


def read_registration(
    id_: str,
    fields: Mapping[str, Any],
    names: Mapping[str, str | None],
    problem: str = "",
    zone: str | None = None,
) -> Registration:
    """A registry entry that is no table row. `names`: status, last_heartbeat, capabilities,
    registered_at, boot_id, name; `zone`: of texts without an offset.
    """

    def get(what: str) -> Any:
        name = names.get(what)
        return fields.get(name) if name else None

    beat = get("last_heartbeat")
    at, registered = read_instant(beat, zone or "UTC"), get("registered_at")
    if beat is not None and at is None:
        problem = f"{names['last_heartbeat']} is no time: {str(beat)!r:.60}"
    boot, name = get("boot_id"), get("name")
    return Registration(
        id_,
        str(get("status") or "").lower(),
        at,
        read_capabilities(get("capabilities")),
        read_instant(registered, zone or "UTC"),
        "" if boot is None else str(boot),
        problem,
        "" if name is None else str(name),
        is_wall_time(beat) or is_wall_time(registered),
    )
