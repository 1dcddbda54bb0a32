"""The one place that wires the engine, for the daemon and for tests: everything is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sentinel.coordination import Coordinator
from sentinel.coordination.local import LocalCoordinator
from sentinel.core.moment import Moment
from sentinel.engine.automation import HALT_FILE, Automation, Restraint
from sentinel.engine.conductor import Conductor
from sentinel.engine.coverage import Coverage
from sentinel.engine.faults import Faults
from sentinel.engine.file_watch import FileWatch
from sentinel.engine.fleet import Fleet
from sentinel.engine.incidents import Incidents
from sentinel.engine.journal import Journal
from sentinel.engine.pause import PauseGuard
from sentinel.engine.picture import Picture
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.recorder import Recorder
from sentinel.engine.remediator import Remediator
from sentinel.engine.requests import OperatorRequests
from sentinel.engine.runbooks import OwnRunbooks, RunbookGuide
from sentinel.engine.runner import Runner
from sentinel.engine.scheduler import Scheduler, WantedChecks
from sentinel.engine.situation import Circumstances
from sentinel.engine.supervision import make_kind
from sentinel.engine.turn import Turn
from sentinel.engine.views import Views
from sentinel.metrics import Metrics
from sentinel.probes import Kind
from sentinel.store import Store


class EngineClock(Protocol):
    """Time as the engine needs it: monotonic for durations, the wall for people, both for rows."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def utcnow(self) -> datetime:
        """Aware UTC."""
        ...

    def moment(self) -> Moment:
        """Now, as another process of this machine can compare it."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that an engine is made from. `kinds` gets no other kind than those and `supervision`."""

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
    journal_lost: datetime | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts, for those who start, stop and ask them."""

    kinds: Mapping[str, Kind]
    guard: PauseGuard
    recorder: Recorder
    fleet: Fleet
    automation: Automation
    coordinator: Coordinator
    journal: Journal
    picture: Picture
    circumstances: Circumstances
    incidents: Incidents
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


def make_engine(given: Surroundings) -> Engine:
    """Make the parts in the order in which they need each other; nothing runs yet."""
    clock, store, metrics = given.clock, given.store, given.metrics
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    recorder, fleet, wanted = Recorder(store, metrics, clock.utcnow), Fleet(), WantedChecks()
    halt_file = given.folder / HALT_FILE
    automation = Automation(store, metrics, clock.utcnow, halt_file, guard, given.restraint)
    coordinator = LocalCoordinator(store, recorder, clock.utcnow)
    journal = Journal(coordinator, store, metrics, clock.moment)
    picture = Picture(metrics, clock.utcnow)
    circumstances = Circumstances(
        picture=picture,
        fleet=fleet,
        journal=journal,
        automation=automation,
        recorder=recorder,
        moment=clock.moment,
        monotonic=clock.monotonic,
        quiet=given.quiet,
        journal_lost=given.journal_lost,
    )
    views = Views(picture, circumstances, given.runbooks, given.scrub)
    incidents = Incidents(
        picture=picture,
        circumstances=circumstances,
        automation=automation,
        runbooks=given.runbooks,
        views=views,
        recorder=recorder,
        guard=guard,
        scrub=given.scrub,
        utcnow=clock.utcnow,
    )
    pipeline = Pipeline(
        picture=picture,
        incidents=incidents,
        faults=Faults(metrics, given.scrub),
        views=views,
        recorder=recorder,
        metrics=metrics,
        guard=guard,
        utcnow=clock.utcnow,
        scrub=given.scrub,
    )
    remediator = Remediator(
        picture=picture,
        fleet=fleet,
        circumstances=circumstances,
        incidents=incidents,
        journal=journal,
        automation=automation,
        recorder=recorder,
        metrics=metrics,
        wanted=wanted,
        moment=clock.moment,
        monotonic=clock.monotonic,
    )
    kinds = {**given.kinds, "supervision": make_kind(fleet)}
    runner = Runner(given.clients, guard, metrics, clock.utcnow, clock.monotonic, fleet.pid_of)
    coverage = Coverage(clock.monotonic)
    turn = Turn(kinds, runner, coverage, pipeline, remediator)
    requests = OperatorRequests(remediator)
    return Engine(
        kinds=kinds,
        guard=guard,
        recorder=recorder,
        fleet=fleet,
        automation=automation,
        coordinator=coordinator,
        journal=journal,
        picture=picture,
        circumstances=circumstances,
        incidents=incidents,
        pipeline=pipeline,
        remediator=remediator,
        turn=turn,
        runner=runner,
        coverage=coverage,
        wanted=wanted,
        scheduler=Scheduler(turn.run, clock.monotonic, metrics, coverage.note_skipped, wanted),
        requests=requests,
        conductor=Conductor(requests),
        file_watch=FileWatch(requests),
    )
