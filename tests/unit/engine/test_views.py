"""The sentence on a component is made anew when what it rests on has changed, and only then."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from sentinel.core.component.health import Health
from sentinel.core.component.incident import Cause
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Component, Finding, Incident, IncidentState
from sentinel.engine.picture import Picture
from sentinel.engine.runbooks import OwnRunbooks
from sentinel.engine.views import Views
from sentinel.metrics import Metrics
from tests.unit.engine.conftest import Clock
from tests.unit.engine.test_picture import KIND, check

STATUSES = (Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN)
PARTS = ("bus", "worker", "api")


def make_views(picture: Picture, scrub: Callable[[str], str] = str) -> Views:
    """Nobody is asked why nothing is done."""
    return Views(picture, None, OwnRunbooks(), scrub, time.monotonic)  # type: ignore[arg-type]


@pytest.fixture
def picture(metrics: Metrics, clock: Clock) -> Picture:
    """Three components with two checks each."""
    made = Picture(metrics, clock.utcnow)
    for component in PARTS:
        made.add_component(Component(component), None)
        for name in ("a", "b"):
            made.add_check(check(f"{component}-{name}", component), KIND, None)
    return made


class Fate:
    """Everything that may happen to a check or to its component."""

    def __init__(self, picture: Picture, clock: Clock, seed: int) -> None:
        self.picture, self.clock, self.chance = picture, clock, random.Random(seed)

    def strike(self) -> None:
        """One of them."""
        acts = (
            self.look, self.look, self.believe, self.stand, self.accept, self.complain,
            self.open, self.close, self.begin, self.step, self.come,
        )  # fmt: skip
        part = self.chance.choice(PARTS)
        self.chance.choice(acts)(part, f"{part}-{self.chance.choice('ab')}")

    def _watched(self, name: str):
        watched = self.picture.check(name)
        assert watched is not None
        return watched

    def look(self, _part: str, name: str) -> None:
        """It finds something."""
        status = self.chance.choice(STATUSES)
        watched = self._watched(name)
        watched.finding, watched.verdict = Finding(status, f"found {self.chance.random()}"), status

    def believe(self, _part: str, name: str) -> None:
        """Something else is believed of it."""
        self._watched(name).health = Health(self.chance.choice(STATUSES), self.clock.utcnow())

    def stand(self, part: str, name: str) -> None:
        """Other faults stand, some of them losses."""
        faults = [
            Fault(key, {}, self.chance.choice(STATUSES[1:3]), f"{key} {self.chance.random()}")
            for key in self.chance.sample(["slow", "lost", "odd"], self.chance.randrange(3))
        ]
        self._watched(name).standing = tuple(
            StandingFault(name, part, each, self.clock.utcnow(), each.status) for each in faults
        )

    def accept(self, _part: str, name: str) -> None:
        """Nobody need see to the worst one any more."""
        watched = self._watched(name)
        if watched.standing:
            watched.standing = watched.standing[1:]

    def complain(self, _part: str, name: str) -> None:
        """What was bad last."""
        self._watched(name).complaint = self.chance.choice(["", "refused", "too late"])

    def open(self, part: str, name: str) -> None:
        """An incident, or another word on it."""
        text = f"{part}: {self.chance.random()}"
        now = self.clock.utcnow()
        self.picture.keep_incident(
            Incident(part, part, now, IncidentState.OPEN, Status.DOWN, text, check=name)
        )

    def close(self, part: str, _name: str) -> None:
        """It ends."""
        if incident := self.picture.incidents.get(part):
            self.picture.keep_incident(replace(incident, state=IncidentState.CLOSED))

    def begin(self, part: str, _name: str) -> None:
        """The component was started."""
        self.picture.begin_anew(part)

    def step(self, _part: str, _name: str) -> None:
        """The clock was set."""
        self.picture.follow_clock(timedelta(seconds=3).total_seconds())

    def come(self, part: str, name: str) -> None:
        """A reload takes the check away and brings it again."""
        self.picture.remove_check(name)
        self.picture.add_check(check(name, part), KIND, None)


@pytest.mark.parametrize("seed", range(8))
def test_a_remembered_sentence_is_as_a_new_one(picture: Picture, clock: Clock, seed: int) -> None:
    """Whatever happens in whatever order: who remembers says what one says who does not."""
    remembers, fate, seen = make_views(picture), Fate(picture, clock, seed), set[Cause]()
    for _ in range(400):
        fate.strike()
        for part in PARTS:
            said = remembers.describe_cause(part)
            assert said == make_views(picture).describe_cause(part)
            seen.add(replace(said, fault=None))
    assert len(seen) > 40  # it was no comparison of nothing


def test_what_has_not_changed_is_not_told_anew(picture: Picture, clock: Clock) -> None:
    """With very many incidents that is what a turn of one check would cost."""
    told = list[str]()

    def scrub(text: str) -> str:
        told.append(text)
        return text

    views, fate = make_views(picture, scrub), Fate(picture, clock, 1)
    for part in PARTS:
        fate.look(part, f"{part}-a")
        fate.stand(part, f"{part}-a")
        fate.believe(part, f"{part}-a")
    for _ in range(10):
        for part in PARTS:
            views.describe_cause(part)
    assert len(told) == len(PARTS)
    fate.look("bus", "bus-a")
    for part in PARTS:
        views.describe_cause(part)
    assert len(told) == len(PARTS) + 1


def test_who_needs_a_component(metrics: Metrics, clock: Clock) -> None:
    """Everybody whose needs name it, also after a reload."""
    chance, made = random.Random(2), Picture(metrics, clock.utcnow)
    for _ in range(20):
        names = [f"c{n}" for n in range(12)]
        parts = [
            Component(
                name, depends_on=tuple(chance.sample(names[:n], chance.randint(0, min(n, 2))))
            )
            for n, name in enumerate(names)
        ]
        made.replace_components(parts)
        for name in names:
            assert made.dependents(name) == {each for each in names if name in made.needed(each)}
