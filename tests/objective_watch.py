"""A watch of objectives without a daemon: looks at a task table, a store, a clock in one's hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sentinel.core.component.health import Health
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Quality, Result, Row
from sentinel.core.notice.maintenance import Maintenance
from sentinel.core.objective import Objective, ObjectiveStanding
from sentinel.engine.objectives import Objectives, read_kept
from sentinel.engine.picture import WatchedCheck
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds
from sentinel.store.sqlite import SqliteStore

EVERY = 5.0
KIND = load_kinds()["task_assignment"]
CHECK = Check("tasks", "task_assignment", "assignment", EVERY, 5.0, None)
IN_TIME = Objective("in-time", "tasks", "assignment", "in_deadline", 0.99, 30 * 86400.0)
UP = replace(IN_TIME, name="up", sli="up")


class Watch:
    """Looks at a task table, and what becomes of them; `restart` is a new daemon on the store."""

    def __init__(
        self,
        store: SqliteStore,
        clock: Any,
        *objectives: Objective,
        maintenance: Callable[[], Sequence[Maintenance]] = tuple,
    ) -> None:
        self.store, self.clock, self.aims = store, clock, objectives
        self.maintenance = maintenance
        self.good = self.late = 0
        self.restart()

    def restart(self, *objectives: Objective) -> None:
        """Whatever was not written is gone."""
        self.aims = objectives or self.aims
        self.metrics = Metrics(self.clock.monotonic)
        self.objectives = Objectives(self.metrics, self.clock.utcnow, self.clock.monotonic)
        self.objectives.heed(self.maintenance)
        self.follow(*self.aims)

    def follow(self, *objectives: Objective) -> None:
        """As at a start or a reload."""
        kept = read_kept(self.store, objectives, self.clock.utcnow())
        self.objectives.follow(objectives, kept)

    def look(
        self,
        good: int = 0,
        late: int = 0,
        status: Status = Status.UP,
        quality: Quality = Quality.OBSERVED,
        after: float = EVERY,
        took: float = 0.0,
    ) -> None:
        """One look that found so many more settled tasks, and ended `after` the one before."""
        self.clock.now += after
        self.good, self.late = self.good + good, self.late + late
        counted = {"in_deadline": self.good, "late": self.late}
        rows = [Row({"queue": "q", "outcome": o}, {"settled": n}) for o, n in counted.items()]
        finding = Finding(status, "", rows if status is not Status.UNKNOWN else [])
        started = self.clock.utcnow() - timedelta(seconds=took)
        result = Result("tasks", finding, started, took, "", quality)
        watched = WatchedCheck(CHECK, KIND, Health(), verdict=status)
        self.objectives.take(watched, result)
        self.metrics.observe(result, KIND.measurements)

    def settle(self, *, last: bool = False) -> None:
        """Write what is due."""
        self.store.commit(self.objectives.settle(last=last))

    def standing(self, name: str = "in-time") -> ObjectiveStanding:
        """How an objective stands, for whoever reads the store."""
        return next(each for each in self.store.objectives() if each.objective.name == name)

    def exported(self, word: str) -> float:
        """The counter of the objective on /metrics: `events` or `good`."""
        line = f"sentinel_objective_{word}_total{{"
        found = (each for each in self.metrics.render().decode().splitlines() if line in each)
        return next(float(each.split()[-1]) for each in found if 'objective="in-time"' in each)

    def settled(self, outcome: str) -> float:
        """The counter of the check itself on /metrics."""
        line = f'sentinel_task_assignment_settled_total{{check="tasks",outcome="{outcome}"'
        found = (each for each in self.metrics.render().decode().splitlines() if line in each)
        return next(float(each.split()[-1]) for each in found)
