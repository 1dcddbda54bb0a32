"""Signs of life from heartbeats, whose clocks and zones may be wrong (platforms.md R11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sentinel.core.agents.census import Census, CensusRules, Vitals
from sentinel.core.agents.registration import Life
from sentinel.core.agents.suspects import ANOTHER_BEAT
from sentinel.core.moment.skew import LEAST_OFFSET, MOST_OFFSET, QUARTER, Basis


class BeatDoubt(StrEnum):
    """Why a heartbeat's own time does not tell its age."""

    AHEAD = "ahead"
    """Later than the clock of its source."""
    BEHIND = "behind"
    """We saw it come, and it says to be old."""
    OFFSET = "offset"
    """Old by quarters of an hour, and not seen to change yet."""
    UNZONED = "unzoned"
    """Its writers have several zones: only its change tells."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """A heartbeat as the looks saw it: its instant, when it was seen first, whether it was older
    then than the look before that did not have it, whether it took the place of another one.
    """

    beat: float
    first_seen: float
    came_old: bool = False
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _FirstSight:
    """When a registration was seen first; whether it was not there at a look before."""

    life: Life
    at: float
    is_new: bool


@dataclass(slots=True)
class _Reading:
    """What one look finds: ages by name of every source, and by name why they are doubted."""

    ages: dict[str, list[float]] = field(default_factory=dict)
    doubts: dict[BeatDoubt, set[str]] = field(
        default_factory=lambda: {doubt: set() for doubt in BeatDoubt}
    )
    sure: set[str] = field(default_factory=set)
    unsure: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, sign: _Sign, now: float, rules: CensusRules, basis: Basis) -> None:
        """Take in one heartbeat."""
        age, doubt = _judge(sign, now, rules, basis)
        self.ages.setdefault(name, []).append(age)
        if doubt is not None:
            self.doubts[doubt].add(name)
        # What was never seen to change may be of a dead agent, whatever its time says.
        if doubt is not None and not sign.moved and now - sign.first_seen <= rules.ttl:
            self.unsure[name] = sign.beat - now
        elif age <= rules.ttl:
            self.sure.add(name)


class Pulse:
    """Reads heartbeats with the memory of the looks before.

    A beat in the future is no sign of life in itself: a dead agent would look alive for hours. Nor
    is one that says to be old a sign of death, when it was not there at the look before, or when it
    is old by quarters of an hour, as in another zone. These are judged by when we saw them change;
    until then, for a time to live at most, they are neither life nor death.
    """

    def __init__(self) -> None:
        self._signs: dict[tuple[str, str], _Sign] = {}
        self._looked: dict[str, float] = {}
        self._lives: dict[str, _FirstSight] = {}

    def see(self, census: Census, rules: CensusRules) -> Vitals:
        """Take one reading."""
        reading = _Reading()
        signs: dict[tuple[str, str], _Sign] = {}
        for source, now, basis, beats in _beats_of(census):
            for name, beat in beats.items():
                key = source, name
                signs[key] = self._note(key, beat, now, rules)
                reading.note(name, signs[key], now, rules, basis)
            self._looked[source] = now
        self._signs = signs
        unsure = {**self._find_newcomers(census, rules), **reading.unsure}
        by_change = set().union(*reading.doubts.values()) - reading.doubts[BeatDoubt.OFFSET]
        return Vitals(
            {name: min(mine) for name, mine in reading.ages.items()},
            frozenset(reading.doubts[BeatDoubt.AHEAD]),
            frozenset(reading.doubts[BeatDoubt.BEHIND]),
            {name: off for name, off in unsure.items() if name not in reading.sure},
            frozenset(by_change),
        )

    def _note(self, key: tuple[str, str], beat: float, now: float, rules: CensusRules) -> _Sign:
        known = self._signs.get(key)
        if known is None:
            return _Sign(beat, now)
        if abs(beat - known.beat) < ANOTHER_BEAT:
            return known
        gap = now - self._looked.get(key[0], now)
        return _Sign(beat, now, now - beat > gap + rules.ahead, moved=True)

    def _find_newcomers(self, census: Census, rules: CensusRules) -> dict[str, float]:
        """Agents that may have registered within the last time to live, whatever their time says:
        they may not have beaten yet. With the seconds by which that time is ahead.
        """
        known, now, found = self._lives, census.now, {}
        self._lives = {}
        for name, agent in (census.agents or {}).items():
            first = known.get(name)
            if first is None or first.life != agent.life:
                # why: at the first look of all a registration that says to be old is believed
                first = _FirstSight(agent.life, now, is_new=bool(known))
            self._lives[name] = first
            if agent.registered is not None and now - first.at <= rules.ttl:
                ahead = agent.registered - now
                if _may_be_new(ahead, first, rules, census.registered_basis):
                    found[name] = ahead
        return found


def _may_be_new(ahead: float, first: _FirstSight, rules: CensusRules, basis: Basis) -> bool:
    """Whether the time of a registration, so far in the future, does not tell its age."""
    if basis is Basis.DISAGREED or ahead > rules.ahead:
        return True
    is_vague = basis in {Basis.ASSUMED, Basis.DISCOVERED}
    return first.is_new and is_vague and ahead < -rules.ttl


def _judge(
    sign: _Sign, now: float, rules: CensusRules, basis: Basis
) -> tuple[float, BeatDoubt | None]:
    """Seconds since the beat, and why its time does not tell them, if so."""
    nominal, seen = now - sign.beat, now - sign.first_seen
    if basis is Basis.DISAGREED:
        return seen, BeatDoubt.UNZONED
    if nominal < -rules.ahead:
        return seen, BeatDoubt.AHEAD
    if nominal <= rules.ttl:
        return nominal, None
    if sign.came_old:
        return seen, BeatDoubt.BEHIND if seen <= rules.ttl else None
    is_open = not sign.moved and seen <= rules.ttl
    return nominal, BeatDoubt.OFFSET if is_open and _may_be_offset(nominal, rules) else None


def _may_be_offset(age: float, rules: CensusRules) -> bool:
    """Whether a beat that is so old may be a fresh one of another zone."""
    offset = age // QUARTER * QUARTER
    return LEAST_OFFSET <= offset <= MOST_OFFSET and age - offset <= rules.ttl


def _beats_of(census: Census) -> Iterator[tuple[str, float, Basis, Mapping[str, float]]]:
    if census.beats is not None:
        beats = census.beats
        yield f"beats {beats.zone}", beats.now, beats.basis, beats.at
    rows = {
        name: agent.beat for name, agent in (census.agents or {}).items() if agent.beat is not None
    }
    # why the zone: read in another one, every beat differs, and none has come
    yield f"registry {census.zone}", census.now, census.beat_basis, rows
