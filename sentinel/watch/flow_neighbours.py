"""Tables beside those of flows, as people write them: who works on flows, and their transitions."""

from __future__ import annotations

from pydantic import Field

from sentinel.adapters.flows.reader import CrewSource
from sentinel.strict.field import ZONE, Duration, Strict, Zone


class FlowWorkers(Strict):
    """The registry of the workers."""

    table: str = Field(min_length=1, description="table or view of the workers, with its schema")
    id: str = Field("id", description="column of the worker's id")
    name: str | None = Field(
        None, description="column of the name by which people know a worker; texts read: name (id)"
    )
    status: str = Field("status", description="column of the worker's status")
    last_heartbeat: str = Field("last_heartbeat", description="column of the last heartbeat")
    zone: Zone | None = Field(None, description=ZONE)
    ttl: Duration = Field(60.0, gt=0, description="a worker whose heartbeat is older is dead")
    sleeping: list[str] = Field(
        ["sleeping", "maintenance"], description="statuses of workers that may be silent"
    )

    @property
    def source(self) -> CrewSource:
        """What to read."""
        columns = self.model_dump(include={"id", "name", "status", "last_heartbeat"})
        return CrewSource(self.table, columns, self.sleeping, self.ttl, self.zone)


class Transitions(Strict):
    """A table of transitions, from which normal stays are learned; without it they are learned by
    watching.
    """

    table: str = Field(
        min_length=1, description="table with one row per stay of a flow in a status"
    )
    flow: str = Field("flow_id", description="column with the flow")
    status: str = Field("status", description="column with the status that was entered")
    entered_at: str = Field("entered_at", description="column with the time of entry")
    left_at: str | None = Field(
        None, description="column with the time of leaving; default: the flow's next row"
    )
    zone: Zone | None = Field(None, description=ZONE)
