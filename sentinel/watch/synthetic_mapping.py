"""What a check needs to know of the platform to send synthetic tasks through it, as people write it:
how a task is given, where its row and its message are, what they must say, what is cleaned up.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from sentinel.strict.field import ZONE, Duration, JsonPath, Strict, Zone
from sentinel.watch.synthetic import Insertion, Publication, TaskRequest


class HttpEnqueue(Strict):
    """A task is made by a request to an API."""

    path: str = Field(
        pattern=r"^/[^\s#]*$", description="path behind the address of the resource `api`"
    )
    method: Literal["POST", "PUT"] = Field("POST", description="HTTP method")
    headers: dict[str, SecretStr] = Field(
        {}, description="headers to send; their values are never shown"
    )
    body: dict[str, Any] = Field(
        description="JSON body; {token}, {uuid} and {now} in its texts are filled in"
    )
    id: JsonPath = Field("$.id", description="JSON path of the new task's id in the answer")

    @property
    def content(self) -> dict[str, Any]:
        """What the task is made of."""
        return self.body

    @property
    def way(self) -> TaskRequest:
        """For the adapter."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        return TaskRequest(self.method, self.path, headers, self.body, self.id)


class SqlEnqueue(Strict):
    """A task is made by an INSERT."""

    table: str = Field(min_length=1, description="table or view to insert into, with its schema")
    columns: dict[str, Any] = Field(
        min_length=1,
        description="value of each column; {token}, {uuid} and {now} in texts are filled in",
    )

    @property
    def content(self) -> dict[str, Any]:
        """What the task is made of."""
        return self.columns

    @property
    def way(self) -> Insertion:
        """For the adapter."""
        return Insertion(self.table, self.columns)


class StreamEnqueue(Strict):
    """A task is made by an entry of a stream."""

    key: str = Field(min_length=1, description="the stream; it must be there")
    fields: dict[str, Any] = Field(
        min_length=1,
        description="fields, what is no text goes as JSON; {token}, {uuid} and {now} are filled in",
    )

    @property
    def content(self) -> dict[str, Any]:
        """What the task is made of."""
        return self.fields

    @property
    def way(self) -> Publication:
        """For the adapter."""
        return Publication(self.key, self.fields)


class Enqueue(Strict):
    """How a task is given to the platform: by one of these. The token must get into the marker
    column.
    """

    http: HttpEnqueue | None = Field(None, description="by a request to an API")
    sql: SqlEnqueue | None = Field(None, description="by an INSERT")
    stream: StreamEnqueue | None = Field(None, description="by an entry of a stream")

    @model_validator(mode="after")
    def _is_one(self) -> Enqueue:
        if len(self._ways) != 1:
            raise ValueError("give one of `http`, `sql` and `stream`")
        if "{token}" not in json.dumps(self._ways[0].content):
            raise ValueError(
                "nothing carries {token}: without it own tasks can't be told from others"
            )
        return self

    @property
    def _ways(self) -> list[HttpEnqueue | SqlEnqueue | StreamEnqueue]:
        return [way for way in (self.http, self.sql, self.stream) if way is not None]

    @property
    def way(self) -> TaskRequest | Insertion | Publication:
        """The one that is given."""
        return self._ways[0].way


class RowOptions(Strict):
    """Where a task's row is read. A column that the table lacks is null."""

    table: str = Field("tasks", min_length=1, description="table or view of tasks, with its schema")
    id: str = Field("id", description="column of the task's id, with an index")
    marker: str = Field(
        description=(
            "column (text or JSON) in which the token arrives; it tells own rows from all others"
        )
    )
    created_at: str | None = Field(
        "created_at", description="column of the creation time, with an index"
    )
    assigned_at: str | None = Field("assigned_at", description="column of the assignment time")
    started_at: str | None = Field(
        "started_at", description="column of the time at which an agent began"
    )
    completed_at: str | None = Field("completed_at", description="column of the completion time")
    status: str | None = Field("status", description="column of the status")
    agent: str | None = Field(
        None, description="column of the agent; needed for a stream for each agent"
    )
    zone: Zone | None = Field(None, description=ZONE)
    lookback: Duration = Field(
        3600.0,
        gt=0,
        le=86400,
        description="a sentinel without memory looks so far back for tasks that it left behind",
    )


class Statuses(Strict):
    """Which statuses, in any case, say what; only with a status column."""

    assigned: list[str] = Field(["assigned"], description="an agent was chosen")
    started: list[str] = Field(
        ["in_progress", "running", "processing"], description="the agent has begun"
    )
    completed: list[str] = Field(
        ["completed", "done", "succeeded"], description="done; the only sign of completion"
    )
    failed: list[str] = Field(
        ["failed", "error", "cancelled", "dead_letter"], description="given up by the platform"
    )


class HopDeadlines(Strict):
    """How long each hop may take after the one before it."""

    created: Duration = Field(1.0, gt=0, description="from sending to a row in the table")
    assigned: Duration = Field(1.0, gt=0, description="until an agent is chosen")
    published: Duration = Field(2.0, gt=0, description="until the message is on the bus")
    started: Duration = Field(5.0, gt=0, description="until the agent begins")
    completed: Duration = Field(60.0, gt=0, description="until it is done")


class ResultOptions(Strict):
    """What a completed task's row must hold: "completed" with garbage is a failure."""

    column: str = Field(description="column of the result, JSON or text")
    path: JsonPath = Field("$", description="JSON path into it")
    equals: str | int | float | bool | None = Field(
        description="the value; {token} in a text is filled in"
    )


class BusOptions(Strict):
    """Where the message about an assigned task must be."""

    stream: str = Field(
        "agent_messages:{agent}", min_length=1, description="the stream; {agent} is from rows.agent"
    )
    task_id: list[str] = Field(
        ["task_id", "payload.task_id"],
        min_length=1,
        description="places of the task's id: field, or field.key of JSON",
    )


class Cleanup(Strict):
    """What happens to rows of synthetic tasks that have ended. Only a row with a known id and our
    token is touched.
    """

    how: Literal["delete", "update", "none"] = Field(
        "delete", description="delete the row, set columns, or leave it"
    )
    table: str | None = Field(None, description="table or view to change; default: rows.table")
    set: dict[str, Any] = Field({}, description="columns to set with `how: update`")
    keep: Duration = Field(60.0, le=3600, description="so long an ended task's row stays")

    @model_validator(mode="after")
    def _is_whole(self) -> Cleanup:
        if (self.how == "update") != bool(self.set):
            raise ValueError("`how: update` and `set` belong together")
        return self
