"""The one place that wires the engine, for the daemon and for tests: everything is an argument."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from sentinel.coordination import Coordinator
from sentinel.coordination.local import LocalCoordinator
from sentinel.core.moment import Moment
from sentinel.engine.automation import Automation, Restraint
from sentinel.engine.conductor import Conductor
from sentinel.engine.coverage import Coverage
from sentinel.engine.faults import Faults
from sentinel.engine.file_watch import FileWatch
from sentinel.engine.fleet import Fleet
from sentinel.engine.hub import Hub
from sentinel.engine.incidents import Incidents
from sentinel.engine.journal import Journal
from sentinel.engine.objectives import Objectives
from sentinel.engine.pause import PauseGuard
from sentinel.engine.picture import Picture
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import USUAL, Paces, Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.requests import OperatorRequests
from sentinel.engine.runbooks import OwnRunbooks, RunbookGuide
from sentinel.engine.runner import Runner
from sentinel.engine.scheduler import Scheduler, WantedChecks
from sentinel.engine.situation import Circumstances
from sentinel.engine.supervision import make_kind
from sentinel.engine.turn import Turn
from sentinel.engine.upkeep import Upkeep
from sentinel.engine.views import Views
from sentinel.metrics import Metrics
from sentinel.probes import Kind
from sentinel.store import HALT_FILE, Store


class EngineClock(Protocol):
    """Time as the engine needs it: monotonic for durations, the wall for people, both for rows."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def utcnow(self) -> datetime:
        """Aware UTC."""
        ...

    def wall(self) -> datetime:
        """What the wall shows: it may have been set since `utcnow` took it over last."""
        ...

    def moment(self) -> Moment:
        """Now, as another process of this machine can compare it."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that an engine is made from; to the `kinds` it adds `supervision`."""

    store: Store
    metrics: Metrics
    clock: EngineClock
    folder: Path
    restraint: Restraint
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    clients: Mapping[str, Any] = field(default_factory=dict)
    runbooks: RunbookGuide = field(default_factory=OwnRunbooks)
    scrub: Callable[[Any], Any] = lambda value: value
    quiet: float = 0.0
    """Seconds from now without an automatic action."""
    journal_lost: Moment | None = None
    paces: Paces = USUAL


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts, for those who start, stop and ask them."""

    kinds: Mapping[str, Kind]
    guard: PauseGuard
    hub: Hub
    recorder: Recorder
    fleet: Fleet
    automation: Automation
    coordinator: Coordinator
    journal: Journal
    picture: Picture
    circumstances: Circumstances
    incidents: Incidents
    objectives: Objectives
    views: Views
    pipeline: Pipeline
    remediator: Remediator
    turn: Turn
    runner: Runner
    coverage: Coverage
    wanted: WantedChecks
    scheduler: Scheduler
    requests: OperatorRequests
    conductor: Conductor
    file_watch: FileWatch


@dataclass(frozen=True, slots=True)
class _Ground:
    """What knows no part above it."""

    guard: PauseGuard
    hub: Hub
    recorder: Recorder
    fleet: Fleet
    automation: Automation
    coordinator: Coordinator
    journal: Journal
    picture: Picture
    wanted: WantedChecks


def make_engine(given: Surroundings) -> Engine:
    """Make the parts in the order in which they need each other; nothing runs yet."""
    clock, metrics, ground = given.clock, given.metrics, _lay_ground(given)
    circumstances = _make_circumstances(given, ground)
    views = Views(ground.picture, circumstances, given.runbooks, given.scrub, given.clock.monotonic)
    incidents = _make_incidents(given, ground, circumstances, views)
    objectives = Objectives(metrics, clock.utcnow, clock.monotonic)
    pipeline = _make_pipeline(given, ground, incidents, objectives, views)
    remediator = _make_remediator(given, ground, circumstances, incidents)
    # Read one by one, when a check of theirs comes.
    kinds = ChainMap({"supervision": make_kind(ground.fleet)}, cast("dict[str, Kind]", given.kinds))
    runner = _make_runner(given, ground)
    coverage = Coverage(clock.monotonic)
    turn = Turn(kinds, runner, coverage, pipeline, remediator)
    skipped, wanted = coverage.note_skipped, ground.wanted
    requests = OperatorRequests(remediator)
    return Engine(
        kinds=kinds,
        guard=ground.guard,
        hub=ground.hub,
        recorder=ground.recorder,
        fleet=ground.fleet,
        automation=ground.automation,
        coordinator=ground.coordinator,
        journal=ground.journal,
        picture=ground.picture,
        circumstances=circumstances,
        incidents=incidents,
        objectives=objectives,
        views=views,
        pipeline=pipeline,
        remediator=remediator,
        turn=turn,
        runner=runner,
        coverage=coverage,
        wanted=wanted,
        scheduler=Scheduler(
            turn.run, clock.monotonic, metrics, skipped, wanted, ground.picture.is_critical
        ),
        requests=requests,
        conductor=Conductor(requests),
        file_watch=FileWatch(requests, upkeep=Upkeep(metrics)),
    )


def _lay_ground(given: Surroundings) -> _Ground:
    clock, store, metrics = given.clock, given.store, given.metrics
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    hub = Hub()
    recorder = Recorder(store, metrics, clock.utcnow, given.scrub, given.paces, hub)
    halt_file = given.folder / HALT_FILE
    coordinator = LocalCoordinator(store, recorder, clock.utcnow)
    return _Ground(
        guard=guard,
        hub=hub,
        recorder=recorder,
        fleet=Fleet(),
        automation=Automation(store, metrics, clock.moment, halt_file, guard, given.restraint),
        coordinator=coordinator,
        journal=Journal(coordinator, store, metrics, clock.moment),
        picture=Picture(metrics, clock.utcnow),
        wanted=WantedChecks(),
    )


def _make_circumstances(given: Surroundings, ground: _Ground) -> Circumstances:
    return Circumstances(
        picture=ground.picture,
        fleet=ground.fleet,
        journal=ground.journal,
        automation=ground.automation,
        recorder=ground.recorder,
        moment=given.clock.moment,
        monotonic=given.clock.monotonic,
        quiet=given.quiet,
        journal_lost=given.journal_lost,
    )


def _make_incidents(
    given: Surroundings, ground: _Ground, circumstances: Circumstances, views: Views
) -> Incidents:
    return Incidents(
        picture=ground.picture,
        circumstances=circumstances,
        automation=ground.automation,
        runbooks=given.runbooks,
        views=views,
        recorder=ground.recorder,
        guard=ground.guard,
        scrub=given.scrub,
        utcnow=given.clock.utcnow,
    )


def _make_pipeline(
    given: Surroundings,
    ground: _Ground,
    incidents: Incidents,
    objectives: Objectives,
    views: Views,
) -> Pipeline:
    return Pipeline(
        picture=ground.picture,
        incidents=incidents,
        faults=Faults(given.metrics, given.scrub),
        objectives=objectives,
        views=views,
        recorder=ground.recorder,
        metrics=given.metrics,
        guard=ground.guard,
        utcnow=given.clock.utcnow,
        scrub=given.scrub,
    )


def _make_remediator(
    given: Surroundings, ground: _Ground, circumstances: Circumstances, incidents: Incidents
) -> Remediator:
    return Remediator(
        picture=ground.picture,
        fleet=ground.fleet,
        circumstances=circumstances,
        incidents=incidents,
        journal=ground.journal,
        automation=ground.automation,
        recorder=ground.recorder,
        metrics=given.metrics,
        wanted=ground.wanted,
        moment=given.clock.moment,
        monotonic=given.clock.monotonic,
    )


def _make_runner(given: Surroundings, ground: _Ground) -> Runner:
    clock, pid_of = given.clock, ground.fleet.pid_of
    return Runner(
        given.clients,
        ground.guard,
        given.metrics,
        clock.utcnow,
        clock.monotonic,
        pid_of,
        wall=clock.wall,
    )
