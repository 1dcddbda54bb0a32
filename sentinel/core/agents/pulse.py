"""Signs of life from heartbeats, whose clocks may be wrong (platforms.md R11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sentinel.core.agents.census import Census, CensusRules, Vitals
from sentinel.core.agents.suspects import ANOTHER_BEAT


class Pulse:
    """Reads heartbeats with the memory of the looks before.

    A beat in the future is no sign of life in itself: a dead agent would look alive for hours. Nor
    is one that says to be old a sign of death, when it was not there at the look before. Both are
    judged by when we saw them change.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float, bool]] = {}
        self._looked: dict[str, float] = {}

    def see(self, census: Census, rules: CensusRules) -> Vitals:
        """Take one reading."""
        found: dict[str, list[float]] = {}
        wrong: dict[str, set[str]] = {"ahead": set(), "behind": set()}
        seen: dict[tuple[str, str], tuple[float, float, bool]] = {}
        for source, now, beats in _beats_of(census):
            for name, beat in beats.items():
                seen[source, name] = state = self._note((source, name), beat, now, rules)
                age, how = _age(state, now, rules)
                found.setdefault(name, []).append(age)
                if how:
                    wrong[how].add(name)
            self._looked[source] = now
        self._seen = seen
        ages = {name: min(mine) for name, mine in found.items()}
        return Vitals(ages, frozenset(wrong["ahead"]), frozenset(wrong["behind"]))

    def _note(
        self, key: tuple[str, str], beat: float, now: float, rules: CensusRules
    ) -> tuple[float, float, bool]:
        """(beat, when we saw it first, whether it was older then than the look before that did not
        have it).
        """
        known = self._seen.get(key)
        if known is None:
            return beat, now, False
        if abs(beat - known[0]) < ANOTHER_BEAT:
            return known
        gap = now - self._looked.get(key[0], now)
        return beat, now, now - beat > gap + rules.ahead


def _age(state: tuple[float, float, bool], now: float, rules: CensusRules) -> tuple[float, str]:
    """Seconds since the beat, and how its clock is wrong, if it is."""
    beat, first_seen, came_old = state
    nominal = now - beat
    if nominal < -rules.ahead:
        return now - first_seen, "ahead"
    if came_old and nominal > rules.ttl:
        return now - first_seen, "behind" if now - first_seen <= rules.ttl else ""
    return nominal, ""


def _beats_of(census: Census) -> Iterator[tuple[str, float, Mapping[str, float]]]:
    if census.beats is not None:
        yield "beats", census.beats.now, census.beats.at
    rows = {
        name: agent.beat for name, agent in (census.agents or {}).items() if agent.beat is not None
    }
    yield "registry", census.now, rows
