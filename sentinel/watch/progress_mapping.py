"""Where the progress of agents is read, as people write it: the table of tasks, and a table or a
stream of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from sentinel.strict.field import ZONE, Duration, Strict, Zone


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns that a table must have, those that must be times, and the one that an index is needed
    for; the zone of times without one, as declared.
    """

    table: str
    columns: Sequence[str | None]
    times: Sequence[str | None]
    indexed: str
    zone: str | None


class AgentTasks(Strict):
    """The task table: what agents hold, and what they have finished."""

    table: str = Field("tasks", min_length=1, description="table or view of tasks, with its schema")
    agent: str = Field("assigned_agent_id", description="column of the agent that has the task")
    status: str = Field("status", description="column of the status")
    created_at: str | None = Field(
        "created_at", description="column that bounds the query; null for small tables"
    )
    finished_at: str | None = Field(
        None, description="column of the end of a task: makes the last progress exact"
    )
    lookback: Duration = Field(
        86400.0, gt=0, description="only tasks created in this time are looked at"
    )
    open: list[str] = Field(
        ["assigned", "in_progress", "running"], description="statuses that an agent works on"
    )
    finished: list[str] = Field(
        ["completed", "done", "failed", "cancelled"],
        description="statuses of tasks that an agent has done with",
    )
    zone: Zone | None = Field(None, description=ZONE)

    @property
    def shape(self) -> TableShape:
        """What the table must have."""
        times = [self.created_at, self.finished_at]
        indexed = self.created_at or self.agent
        return TableShape(self.table, [self.agent, self.status], times, indexed, self.zone)


class StepTable(Strict):
    """A table with one row per step of an agent."""

    table: str = Field(min_length=1, description="table or view of steps, with its schema")
    agent: str = Field("agent_id", description="column of the agent")
    step: str = Field(
        "step", description="column of the step's text or hash; column->key reads from JSON"
    )
    at: str = Field("created_at", description="column of the time; needs an index")
    lookback: Duration = Field(3600.0, gt=0, description="only steps of this time are looked at")
    zone: Zone | None = Field(None, description=ZONE)

    @property
    def shape(self) -> TableShape:
        """What the table must have."""
        return TableShape(self.table, [self.agent, self.step], [self.at], self.at, self.zone)


class StepEntries(Strict):
    """A stream with one entry per step of an agent."""

    key: str = Field(min_length=1, description="key of the stream")
    agent: str = Field("agent_id", description="field of the agent; field->key reads from JSON")
    step: str = Field(
        "step", description="field of the step's text or hash; field->key reads from JSON"
    )
    entries: int = Field(1000, gt=0, le=10_000, description="newest entries to read")
