"""What is to be reached: tracks, milestones that need each other, and where the evidence lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EvidenceKind(StrEnum):
    """Where the evidence of a milestone or a requirement lies."""

    CHECK = "check"
    NO_FAULT = "no_fault"
    OBJECTIVE = "objective"
    SQL = "sql"
    PROMQL = "promql"
    CHECKLIST = "checklist"
    JSON = "json"
    MILESTONE = "milestone"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One place to look. `subject`: the check, objective, milestone, resource or file; `detail`: a
    fault, a query, a heading or a path.

    A number is `whole` when all is done; of a JSON document, texts count that are in `done`, and
    `written` and `next_update` are paths of the times that it claims.
    """

    kind: EvidenceKind
    subject: str
    detail: str = ""
    whole: float = 1.0
    done: tuple[str, ...] = ()
    written: str = ""
    next_update: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody said, and nobody measured."""

    ratio: float
    at: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class Milestone:
    """One thing to reach. `estimate`: seconds from … to, before anything was observed."""

    name: str
    track: str
    title: str = ""
    needs: tuple[str, ...] = ()
    evidence: Evidence | None = None
    claim: Claim | None = None
    due: datetime | None = None
    stale_after: float = 86400.0
    estimate: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """A team or some agents that go the same way. `agents` are glob patterns."""

    name: str
    title: str = ""
    agents: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Waiver:
    """That a requirement need not hold until an instant, and who said so."""

    reason: str
    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing without which it is no go."""

    name: str
    evidence: Evidence
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be reached. `every`: seconds between two looks at the evidence; `seed`
    and `trials` are those of the forecast.
    """

    tracks: Mapping[str, Track] = field(default_factory=dict)
    milestones: Mapping[str, Milestone] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()
    every: float = 300.0
    seed: int = 1
    trials: int = 1000

    @property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Each milestone with what it needs directly."""
        return {name: each.needs for name, each in self.milestones.items()}

    def __bool__(self) -> bool:
        return bool(self.milestones or self.requirements)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at the evidence found: `done` of `total`, or `why` nothing was measured.

    `basis` says where and over what; `written` is when the source was written, where it tells.
    """

    name: str
    at: datetime
    done: float | None = None
    total: float | None = None
    basis: str = ""
    why: str = ""
    written: datetime | None = None
    overdue: datetime | None = None
    """When the source itself said that it would be written again, and was not."""

    @property
    def ratio(self) -> float | None:
        """How much is done, 0 … 1; None where that was not measured, or there is nothing to do."""
        if self.done is None or not self.total or self.total < 0:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)
