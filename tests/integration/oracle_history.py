"""Random histories of a platform, written into a real state by the ways of the daemon.

Everything is in whole seconds before `NOW`, so that what is computed of it is exact.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.core.moment import Moment, write_moment
from sentinel.core.notice.maintenance import Maintenance
from sentinel.store import BEAT, Changes, CheckView, ComponentView, Gap, Retention, Sample, sqlite
from sentinel.store.document import write, write_instant
from sentinel.store.notices import MAINTENANCE_KEY, PlannedMaintenance
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 10, 6, 30, tzinfo=UTC)
LENGTH = 172_800
"""Seconds that a history lasts."""
SHOWN = ("up", "degraded", "down", "unknown")
PHASES = ("running", "quiet", "stopped")
CLOCK_STEP = 5000
"""Seconds by which the wall clock is set while faults stand."""
Span = tuple[int, int]


def instant(second: int) -> datetime:
    """An instant of a history: second 0 is its begin, second LENGTH is now."""
    return NOW + timedelta(seconds=second - LENGTH)


@dataclass(slots=True)
class Life:
    """A component: from when to when it is configured, and its statuses, each since a second."""

    name: str
    began: int
    ended: int | None
    statuses: list[tuple[int, str]]


@dataclass(slots=True)
class Episode:
    """An incident as the daemon keeps it: seconds, None for what has not come yet."""

    id: str
    component: str
    opened: int
    first_sign: int | None
    attempts: list[tuple[int, str]]
    recovered: int | None
    closed: int | None


@dataclass(slots=True)
class StoodFault:
    """A fault of the check of a component."""

    component: str
    subject: str
    began: int
    ended: int | None


@dataclass(slots=True)
class Counted:
    """A total of a check as it went: (second, certain, possible), each a reading of a minute."""

    readings: list[tuple[int, int, int]]


@dataclass(slots=True)
class History:
    """All of it, and which period is asked for."""

    seed: int
    watched: int
    """From which second on sentinel watched."""
    phase: str
    beat: int
    gaps: list[Span]
    lives: list[Life]
    episodes: list[Episode]
    faults: list[StoodFault]
    counted: Counted
    period: Span
    worked: list[tuple[str, int, int]]
    """Maintenance: of whom, from when to when."""
    forgotten: int | None
    """Before which second the retention has forgotten."""

    def is_steady(self, which: int) -> bool:
        """Whether a total never went back."""
        totals = [reading[which] for reading in self.counted.readings]
        return totals == sorted(totals)


class Author:
    """Makes one history of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.dice = seed, random.Random(seed)
        self.edges: list[int] = []
        """Seconds at which something happens: periods like to begin and end there."""

    def write(self) -> History:
        """The whole of it."""
        dice = self.dice
        watched = dice.choice([0, 0, dice.randrange(LENGTH // 2)])
        phase = dice.choice(PHASES)
        beat = LENGTH if phase == "running" else dice.randrange(LENGTH // 2 + 1, LENGTH - 120)
        gaps = self._make_gaps(watched, beat)
        lives = [
            self._make_life(f"part-{n}", watched, beat, gaps) for n in range(dice.randint(1, 4))
        ]
        episodes = [
            self._make_episode(n, dice.choice(lives).name, watched, beat)
            for n in range(dice.randint(0, 6))
        ]
        faults = [
            self._make_fault(n, dice.choice(lives), watched, beat)
            for n in range(dice.randint(0, 5))
        ]
        counted = self._make_counts(watched, beat)
        forgotten = dice.choice([None, None, dice.randrange(watched, LENGTH // 2 + 1)])
        return History(
            self.seed, watched, phase, beat, gaps, lives, episodes, faults, counted,
            self._make_period(), self._make_maintenance(lives), forgotten,
        )  # fmt: skip

    def _make_maintenance(self, lives: list[Life]) -> list[tuple[str, int, int]]:
        found = []
        for _ in range(self.dice.choice([0, 0, 1, 3])):
            began = self.dice.randrange(LENGTH)
            ended = min(LENGTH, began + self.dice.choice([1, 600, 30_000]))
            found.append((self.dice.choice(lives).name, began, ended))
            self.edges += [began, ended]
        return found

    def _make_gaps(self, watched: int, beat: int) -> list[Span]:
        found = []
        for _ in range(self.dice.randint(0, 5)):
            began = self.dice.randrange(watched, beat - 1)
            ended = min(beat, began + self.dice.choice([1, 30, 900, 20_000]))
            found.append((began, ended))
            self.edges += [began, ended]
        return found

    def _make_life(self, name: str, watched: int, beat: int, gaps: list[Span]) -> Life:
        dice = self.dice
        began = dice.choice([watched, watched, dice.randrange(watched, beat)])
        ended = dice.choice([None, None, None, dice.randrange(began, beat + 1)])
        at, statuses = began, []
        while at < (beat if ended is None else ended):
            others = [each for each in SHOWN if not statuses or each != statuses[-1][1]]
            if not any(low <= at < high for low, high in gaps) or not statuses:
                statuses.append((at, dice.choice(others)))
                self.edges.append(at)
            at += dice.choice([1, 60, 3600, 40_000]) * dice.randint(1, 5)
        return Life(name, began, ended, statuses)

    def _make_episode(self, n: int, component: str, watched: int, beat: int) -> Episode:
        dice = self.dice
        opened = dice.randrange(watched, beat)
        sign = dice.choice([None, max(watched, opened - dice.choice([0, 3, 40]))])
        recovered = closed = None
        end = opened + dice.choice([0, 20, 600, 30_000])
        if end <= beat and dice.random() < 0.8:
            recovered = end
            if end + 600 <= beat and dice.random() < 0.8:
                closed = end + 600
        latest = recovered if recovered is not None else beat
        attempts = [
            (at, dice.choice(["succeeded", "failed", ""]))
            for at in sorted(
                dice.sample(range(opened, latest + 1), min(latest + 1 - opened, dice.randint(0, 3)))
            )
        ]
        self.edges += [each for each in (opened, recovered, closed) if each is not None]
        return Episode(f"I{n}", component, opened, sign, attempts, recovered, closed)

    def _make_fault(self, n: int, life: Life, watched: int, beat: int) -> StoodFault:
        began = self.dice.randrange(watched, beat)
        ended = self.dice.choice([None, self.dice.randrange(began, beat + 1)])
        self.edges += [began] if ended is None else [began, ended]
        return StoodFault(life.name, f"s{n}", began, ended)

    def _make_counts(self, watched: int, beat: int) -> Counted:
        """Each minute that moved, and the minute before it: as roll-ups are written."""
        dice, found = self.dice, dict[int, tuple[int, int]]()
        at, certain, possible = watched, 0, 0
        while at <= beat:
            found[at] = certain, possible
            quiet = dice.choice([0, 0, 29, 359])
            found[min(at + 60 * quiet, at + (beat - at) // 60 * 60)] = certain, possible
            if dice.random() < 0.03:
                certain, possible = 0, 0
            certain += dice.choice([0, 0, 1, 7])
            possible += dice.choice([0, 0, 0, 3])
            at += 60 * (quiet + 1)
        self.edges += dice.sample(sorted(found), min(3, len(found)))
        return Counted([(second, *found[second]) for second in sorted(found)])

    def _make_period(self) -> Span:
        dice = self.dice
        near = [edge + shift for edge in self.edges for shift in (-1, 0, 1)]
        pick = lambda: dice.choice([dice.choice(near), dice.randrange(LENGTH)])  # noqa: E731
        began, ended = sorted((pick(), pick()))
        began = min(max(began, -10), LENGTH - 1)
        return began, min(max(ended, began + 1), LENGTH)


def keep(history: History, store: SqliteStore) -> None:
    """Write it, and forget what the retention takes."""
    store.commit(
        Changes(
            meta=_meta(history),
            components=[_view(life, history) for life in history.lives],
            checks=[_check(history)],
            transitions=sorted(_transitions(history), key=lambda each: each.at),
            gaps=[Gap(instant(a), instant(b), "stood still") for a, b in history.gaps],
            incidents=[_incident(each) for each in history.episodes],
            events=[event for each in history.episodes for event in _events(each)],
            samples=list(_samples(history)),
            faults=[_fault(each) for each in history.faults],
        )
    )
    # The clock is set: what stands has stood as long as before, by the new one.
    store.commit(Changes(clock_step=timedelta(seconds=CLOCK_STEP)))
    for each in history.episodes:
        for n, (at, verdict) in enumerate(each.attempts, 1):
            store.claim_attempt(
                Attempt(
                    each.id,
                    n,
                    each.component,
                    "restart",
                    "down",
                    instant(at),
                    "started",
                    verdict=verdict,
                )
            )
    living = [life.name for life in history.lives]
    for life in sorted(history.lives, key=lambda each: each.ended or LENGTH):
        if life.ended is not None:
            living.remove(life.name)
            with patch.object(sqlite, "utcnow", partial(instant, life.ended)):
                store.replace_configuration(["canary"], living)
    if history.forgotten is not None:
        before = instant(history.forgotten)
        while store.forget(Retention(before, before, before, before, before)).more:
            pass


def _meta(history: History) -> dict[str, str]:
    times = [
        Maintenance("work", (name,), "new disk", instant(a), instant(b), instant(b))
        for name, a, b in history.worked
    ]
    beat = instant(history.beat)
    stopped = beat.isoformat() if history.phase == "stopped" else ""
    return {
        "platform": "oracle",
        "watching_since": write_instant(instant(history.watched)),
        "started": write_instant(instant(history.watched)),
        BEAT: write_moment(Moment(beat, "", None)),
        "stopped": stopped,
        MAINTENANCE_KEY: write(PlannedMaintenance(tuple(times))),
    }


def _view(life: Life, history: History) -> ComponentView:
    at, status = life.statuses[-1] if life.statuses else (life.began, "unknown")
    return ComponentView(life.name, status, instant(at), "", [], "", None, 0, "")


def _check(history: History) -> CheckView:
    at, certain, possible = history.counted.readings[-1]
    rows = [{"labels": {"path": "0", "result": "late"}, "values": {"results": float(certain)}}]
    rows.append({"labels": {"path": "0"}, "values": {"duplicates": float(possible)}})
    last = instant(max(history.beat - 1, at))
    return CheckView(
        "canary", "bus_canary", history.lives[0].name, "up", "up", instant(history.watched), "fine",
        None, "", {}, rows, 10, 5.0, last, 0.01, "ok", "observed", "t", "", False,
    )  # fmt: skip


def _transitions(history: History) -> list[Transition]:
    found = []
    for life in history.lives:
        before = Status.UNKNOWN
        for at, word in life.statuses:
            after = Status(word)
            if after is not before:
                found.append(Transition(life.name, "component", before, after, instant(at), "so"))
            before = after
    return found


def _incident(each: Episode) -> Incident:
    state = IncidentState.OPEN if each.recovered is None else IncidentState.RECOVERING
    return Incident(
        each.id, each.component, instant(each.opened),
        IncidentState.CLOSED if each.closed is not None else state, Status.DOWN, "it died",
        recovered=None if each.recovered is None else instant(each.recovered),
        closed=None if each.closed is None else instant(each.closed),
    )  # fmt: skip


def _events(each: Episode) -> list[tuple[str, datetime, Event, dict[str, Any]]]:
    sign = (
        {}
        if each.first_sign is None
        else {"failing_since": write_instant(instant(each.first_sign))}
    )
    found = [(each.id, instant(each.opened), Event("opened", "it is down"), sign)]
    found += [(each.id, instant(at), Event("attempt", "restart"), {}) for at, _ in each.attempts]
    if each.recovered is not None:
        found.append((each.id, instant(each.recovered), Event("recovered", "healthy"), {}))
    if each.closed is not None:
        found.append((each.id, instant(each.closed), Event("closed", "closed"), {}))
    return found


def _samples(history: History) -> list[Sample]:
    late, twice = {"path": "0", "result": "late"}, {"path": "0"}
    return [
        sample
        for at, certain, possible in history.counted.readings
        for sample in (
            Sample(instant(at), "canary", "results", late, certain),
            Sample(instant(at), "canary", "duplicates", twice, possible),
        )
    ]


def _fault(each: StoodFault) -> StandingFault:
    began = instant(each.began - (CLOCK_STEP if each.ended is None else 0))
    fault = Fault("lost", {"path": each.subject}, Status.DOWN, "lost")
    ended = None if each.ended is None else instant(each.ended)
    return StandingFault("canary", each.component, fault, began, Status.DOWN, ended)
