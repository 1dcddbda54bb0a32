"""One round of synthetic tasks: look at those on their way, clean up after those that have served,
send at most one.

Never waits for a task. What can't be done in a round is a problem of its finding and ends nothing
else.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.tasks.synthetic import (
    BusClock,
    TaskBoard,
    TaskRow,
    compare_clocks,
    find_entry,
    post,
    publish,
)
from sentinel.core.bus.envelope import Envelope, Template
from sentinel.core.canary.letter import is_same
from sentinel.core.fault import Fault, Status
from sentinel.core.foreign.document import ForeignDocument, OwnLimit, read_foreign_json
from sentinel.core.quantity import Bounds
from sentinel.core.tasks.synthetic import (
    CREATED,
    PUBLISHED,
    Canary,
    End,
    HopPlan,
    RowSight,
    Span,
    Watch,
    overdue,
    step,
)
from sentinel.core.tasks.synthetic_fleet import Litter, TaskFleet, token_prefix
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetUnreachable,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A task is made by a request to an API; `id` is the JSON path of its id in the answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    id: str


@dataclass(frozen=True, slots=True)
class Insertion:
    """A task is made by an INSERT of these columns."""

    table: str
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Publication:
    """A task is made by an entry of a stream; the platform makes its row."""

    stream: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Errand:
    """What a path does: how a task is made, what is watched, what its result must be, what becomes
    of its row.

    `result` is (JSON path, value), `published` (stream, places of the task's id), `cleanup` delete,
    update or none. Times in seconds.
    """

    path: str
    plan: HopPlan
    make: TaskRequest | Insertion | Publication
    lookback: float
    result: tuple[str, Any] | None
    published: tuple[Template, Envelope] | None
    cleanup: str
    cleanup_table: str
    cleanup_set: Mapping[str, Any]
    keep: float
    every: float
    max_open: int
    pause_file: str | None


@dataclass(frozen=True, slots=True)
class RoundReach:
    """What a round works with: the table, who may write, the API and the bus if there are, our
    clock and stalls.
    """

    board: TaskBoard
    writer: PostgresClient
    api: HttpClient | None
    bus: RedisClient | None
    monotonic: Callable[[], float]
    stalled: Callable[[float], float]
    trace_id: str
    timeout: float


@dataclass(slots=True)
class Round:
    """One round; `now` is the database's clock at its beginning. `faults` are what it has met."""

    errand: Errand
    reach: RoundReach
    fleet: TaskFleet
    now: float
    faults: list[Fault] = field(default_factory=list)
    paused: bool = False
    _clock: BusClock | None = None

    def complain(self, key: str, error: TargetError, about: str) -> None:
        """Note an error that does not end the round; one that blames nobody is ours."""
        path, is_ours = self.errand.path, error.status is Status.UNKNOWN
        self.faults.append(
            Fault(
                "unjudged" if is_ours else key,
                {"path": path, "part": key} if is_ours else {"path": path},
                error.status,
                f"path {path}, {about}: {error.message}",
                guidance=error.guidance,
                parameters={"path": path},
            )
        )

    async def search(self) -> None:
        """Rows that a former life has left behind; what was stored needs no search."""
        fleet = self.fleet
        start = self.now - self.errand.lookback if fleet.fresh else fleet.looked
        for row in await self.reach.board.find(start, self.now):
            if row.token.startswith(token_prefix(self.errand.path)) and fleet.is_unstored(
                row.token
            ):
                fleet.adopt(row.token, row.id, self.now, self.reach.monotonic())

    async def resolve_suspects(self) -> None:
        """A task that was promised before a kill: sent or not? Its row tells, for a while."""
        fleet, monotonic = self.fleet, self.reach.monotonic()
        if fleet.suspects:
            for row in await self.reach.board.find(
                min(fleet.suspects.values()), self.now, list(fleet.suspects)
            ):
                fleet.adopt(row.token, row.id, self.now, monotonic)
            fleet.forget_suspects(
                monotonic, self.errand.plan.patience * self.errand.plan.deadlines[CREATED]
            )

    # --- looking ----------------------------------------------------------------------------------

    async def look(self) -> None:
        """Take every task on its way one step on, or to its end."""
        fleet, board = self.fleet, self.reach.board
        nameless = [canary for canary in fleet.open.values() if not canary.id]
        if nameless:
            start = min(canary.sent for canary in nameless)
            for row in await board.find(start, self.now, [canary.token for canary in nameless]):
                fleet.accepted(row.token, row.id)
        rows = await board.read([canary.id for canary in fleet.open.values() if canary.id])
        for canary in list(fleet.open.values()):
            sight = await self._sight(canary, rows.get(canary.id))
            result = step(canary, sight, self.errand.plan, self.now, self.watch(canary))
            if isinstance(result, End):
                fleet.end(result, self.errand.plan, self.now, clean=self.errand.cleanup != "none")
            else:
                fleet.open[canary.token] = result

    def watch(self, canary: Canary) -> Watch:
        """How well this process has watched a task."""
        monotonic = self.reach.monotonic()
        stalled = self.reach.stalled(self.fleet.begun(canary.token, monotonic))
        return self.fleet.watch(canary.token, monotonic, stalled)

    def find_overdue(self, canary: Canary) -> str:
        """The hop whose deadline is over for a task on its way, "" when there is none."""
        return overdue(canary, self.errand.plan, self.now, self.watch(canary))

    async def _sight(self, canary: Canary, row: TaskRow | None) -> RowSight | None:
        """What the row shows. One under this id without our token is another's: neither judged nor
        touched.
        """
        if row is None:
            return None
        if row.token != canary.token:
            rows = self.reach.board.rows
            text = (
                f"row {row.id} of {rows.table}, which the platform named, has no token in"
                f" {rows.marker}"
            )
            path, remedy = self.errand.path, "correct enqueue.http.id, or the column rows.marker"
            subject = {"path": path, "task": row.id[:200]}
            said = f"path {path}: {text}"
            self.faults.append(Fault("foreign_row", subject, Status.UNKNOWN, said, guidance=remedy))
            return None
        spans, hidden = dict(row.spans), frozenset[str]()
        if self.errand.published is not None and PUBLISHED not in canary.reached:
            try:
                spans |= await self._look_at_bus(self.errand.published, canary, row)
            except TargetError as error:
                hidden = frozenset({PUBLISHED})
                if not isinstance(error, SubjectError):
                    self.complain("bus_unread", error, "the bus can't be read")
        return RowSight(row.now, spans, row.status, self._is_right(canary.token, row), hidden)

    async def _look_at_bus(
        self, place: tuple[Template, Envelope], canary: Canary, row: TaskRow
    ) -> dict[str, Span]:
        template, envelope = place
        if template.per_agent and not row.agent:
            return {}
        bus = _needed(self.reach.bus, "a Redis", "bus")
        self._clock = self._clock or await compare_clocks(self.reach.board, bus)
        stream = template.fill(row.agent)
        span = await find_entry(bus, stream, envelope, row.id, canary.sent, self.now, self._clock)
        return {} if span is None else {PUBLISHED: span}

    def _is_right(self, token: str, row: TaskRow) -> bool | None:
        """Whether the result is the expected value; None without an expectation, or when we can't read
        it.
        """
        if self.errand.result is None:
            return None
        path, wanted = self.errand.result
        try:
            found = read_foreign_json(row.result or "null")
            if isinstance(found, str) and path != "$":
                found = read_foreign_json(found)
            values = ForeignDocument(found).find(path)
        except OwnLimit as error:
            ours = NotMeasurable(f"own limit: {error}", "have the canary's handler answer shortly")
            self.complain("result", ours, "result")
            return None
        except ValueError:
            return False
        return any(is_same(fill_in(wanted, {"token": token}), value) for _, value in values)

    # --- sending ----------------------------------------------------------------------------------

    async def send(self) -> None:
        """Send the task that an earlier run has promised, if it is due. Its end is judged by later
        runs.
        """
        fleet, errand = self.fleet, self.errand
        self.paused = errand.pause_file is not None and os.path.exists(errand.pause_file)  # noqa: PTH110 - one stat
        if (
            self.paused
            or len(fleet.open) >= errand.max_open
            or not fleet.is_due(self.now, errand.every)
        ):
            return
        canary = fleet.depart(await self.reach.board.read_clock(), self.reach.monotonic())
        try:
            fleet.accepted(canary.token, await self._make(canary))
        except TargetUnreachable as error:  # taken or not? The row will tell
            self.complain("enqueue", error, "enqueue: taken or not is in doubt")
        except TargetRejected as error:
            perhaps = (
                isinstance(errand.make, TaskRequest)
                and error.code.startswith("5")
                and errand.cleanup != "none"
            )
            fleet.refused(canary.token, errand.plan, self.now, perhaps_there=perhaps)
            self.complain("enqueue", error, "enqueue")
        except TargetError as error:
            fleet.take_back(canary.token)
            self.complain("enqueue", error, "enqueue")

    async def _make(self, canary: Canary) -> str:
        """Give the task to the platform; its id, "" when the answer has none."""
        now = datetime.fromtimestamp(canary.sent, UTC).isoformat()
        marks = {"token": canary.token, "uuid": str(uuid.uuid4()), "now": now}
        make, reach = self.errand.make, self.reach
        if isinstance(make, Insertion):
            return await reach.board.insert(reach.writer, make.table, fill_in(make.columns, marks))
        if isinstance(make, Publication):
            await publish(
                _needed(reach.bus, "a Redis", "bus"), make.stream, fill_in(make.fields, marks)
            )
            return ""
        api = _needed(reach.api, "an HTTP", "api")
        headers = {**make.headers, "traceparent": f"00-{reach.trace_id}-{secrets.token_hex(8)}-01"}
        body = fill_in(make.body, marks)
        return await post(
            api, make.method, make.path, headers, body, make.id, timeout=0.4 * reach.timeout
        )

    # --- cleaning up ------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Remove rows that have served. What can't be removed is counted, said until it is, and
        tried again.
        """
        fleet = self.fleet
        due = fleet.due_litter(self.now, self.errand.keep)
        if due:
            try:
                await self._sweep(due)
            except TargetError as error:
                fleet.not_swept(due, self.now, (error.message, error.guidance))
        if fleet.uncleaned:
            self.faults.append(self._tell_litter())

    def _tell_litter(self) -> Fault:
        (text, guidance), left, errand = self.fleet.complaint, self.fleet.uncleaned, self.errand
        subject = {"path": errand.path, "table": errand.cleanup_table}
        rows = "row" if left == 1 else "rows"
        return Fault(
            "uncleaned",
            subject,
            Status.DEGRADED,
            f"path {errand.path}: {left} {rows} of synthetic tasks in {errand.cleanup_table} could"
            f" not be cleaned up: {text}",
            count=Bounds(left, left),
            guidance=guidance,
            parameters=subject,
        )

    async def _sweep(self, due: list[Litter]) -> None:
        """Learn missing ids by token, change the rows, and see whether they are really gone."""
        fleet, board, table = self.fleet, self.reach.board, self.errand.cleanup_table
        names = {item.token: item.id for item in due if item.id}
        if nameless := [item for item in due if not item.id]:
            start, end = min(item.sent for item in nameless), max(item.ended for item in nameless)
            found = await board.find(start, end, [item.token for item in nameless])
            names |= {row.token: row.id for row in found}
        ours = {name: token for token, name in names.items()}
        if self.errand.cleanup == "update":
            done = await board.update(self.reach.writer, table, ours, self.errand.cleanup_set)
        else:
            done = await board.delete(self.reach.writer, table, ours)
        rest = await board.read([name for name in ours if name not in done])
        kept = {row.token for row in rest.values() if ours[row.id] == row.token}
        fleet.swept([item for item in due if item.token not in kept], len(done))
        if kept:
            raise NotMeasurable(
                f"{table} took the change and {len(kept)} rows are as they were",
                f"let resource {self.reach.writer.name} see and change own rows of {table}"
                " (row-level security?)",
            )


def _needed(client: T | None, what: str, option: str) -> T:
    if client is None:
        raise NotMeasurable(
            f"this needs {what} resource, and the check has none", f"name one with `{option}:`"
        )
    return client


def fill_in(value: Any, marks: Mapping[str, str]) -> Any:
    """The value with every {mark} in its texts replaced."""
    if isinstance(value, Mapping):
        return {key: fill_in(each, marks) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, marks) for each in value]
    if isinstance(value, str):
        for name, text in marks.items():
            value = value.replace("{" + name + "}", text)
    return value
