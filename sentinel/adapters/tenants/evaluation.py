"""Running the expressions of policies over made-up rows: read-only, rolled back, as the role where we
may take it, with a time limit of its own. The schema's functions run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sentinel.adapters.postgres import PostgresClient, Query
from sentinel.adapters.relation import quote_name
from sentinel.adapters.tenants import queries
from sentinel.core.tenants.catalogue import CatalogueIndex
from sentinel.core.tenants.hole import Hole, HoleSeverity
from sentinel.core.tenants.synthetic import (
    WORLDS,
    SyntheticTrial,
    SyntheticWorld,
    Untried,
    plan_trials,
    tell_counterexample,
)
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected

_FAILS_CLOSED = {"22P02", "42704", "22003"}
_MILLISECONDS = 300
_TOGETHER = 16
"""Policies of one question."""
_Numbered = tuple[int, SyntheticTrial]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """How many policies were tried, what passed, and what could not be tried."""

    tried: int
    holes: Sequence[Hole]
    untried: Sequence[Untried]


async def evaluate_policies(
    client: PostgresClient, index: CatalogueIndex, is_over: Callable[[], bool]
) -> EvaluationResult:
    """Try every policy, until `is_over` says that the time for it is spent."""
    tables = [table.oid for table in index.tables]
    rows = await client.query(queries.COLUMNS, {"relations": tables, "limit": 100_000})
    columns: dict[int, tuple[tuple[str, str], ...]] = {}
    for row in rows:
        columns[row["relation"]] = (*columns.get(row["relation"], ()), (row["name"], row["type"]))
    trials, untried = plan_trials(index, columns)
    async with client.snapshot(fresh=True) as query:
        # The snapshot's own statements bear no values of rows, so nothing is prepared or kept.
        return await _Evaluation(query, index.catalogue.settings, is_over, list(untried)).run(
            trials
        )


def _session(each: _Numbered) -> tuple[str, str]:
    """What of the session is the same for those that are tried together: the role, and the tenant."""
    return each[1].role.name, each[1].table.column_type


class _Evaluation:
    """One session; each question, about some policies at once, in a savepoint of its own."""

    def __init__(
        self,
        query: Query,
        settings: Sequence[str],
        is_over: Callable[[], bool],
        untried: list[Untried],
    ) -> None:
        self._query, self._settings, self._is_over = query, settings, is_over
        self._untried = untried
        self._found: dict[tuple[str, str, str], Hole] = {}
        self._failed: dict[int, Untried] = {}
        self._may_take: dict[str, bool] = {}

    async def run(self, trials: Sequence[SyntheticTrial]) -> EvaluationResult:
        """World by world, so that the first one finds the settings unset."""
        await self._query(f"SET LOCAL statement_timeout = {_MILLISECONDS}", {})
        order = sorted(enumerate(trials), key=_session)
        for world in WORLDS:
            for _, group in groupby(order, key=_session):
                wanted = [
                    (n, trial)
                    for n, trial in group
                    if n not in self._failed and (world != SyntheticWorld.SWITCHED or trial.others)
                ]
                for at in range(0, len(wanted), _TOGETHER):
                    await self._try(wanted[at : at + _TOGETHER], world)
        untried = list(dict.fromkeys([*self._untried, *self._failed.values()]))
        count = len(trials) - len(self._failed)
        return EvaluationResult(count, list(self._found.values()), untried)

    async def _try(self, trials: Sequence[_Numbered], world: SyntheticWorld) -> None:
        """Ask about some at once; where one of them fails, about half of them."""
        if self._is_over():
            self._fail(trials, "no time was left")
            return
        await self._query("SAVEPOINT tried", {})
        error: TargetError | None = None
        rows: Sequence[Mapping[str, Any]] = ()
        try:
            await self._enter(trials, world)
            rows = await self._query(*_write([trial for _, trial in trials]))
        except (NotMeasurable, SubjectError, TargetRejected) as raised:
            error = raised
        await self._query("ROLLBACK TO SAVEPOINT tried", {})
        for row in rows:
            self._keep(tell_counterexample(trials[row["n"]][1], world, row["passed"]))
        if error is None or (len(trials) == 1 and _says_no(error, world)):
            return
        if len(trials) == 1:
            self._fail(trials, _explain(error), error.code)
            return
        middle = len(trials) // 2
        await self._try(trials[:middle], world)
        await self._try(trials[middle:], world)

    async def _enter(self, trials: Sequence[_Numbered], world: SyntheticWorld) -> None:
        """Take the role, where we may: its rights decide which functions run, and who it is."""
        role = trials[0][1].role.name
        if await self._takes(role):
            await self._query(f"SET LOCAL ROLE {quote_name(role)}", {})
        given: dict[str, str] = {}
        for _, trial in trials:
            given |= trial.settings(world, self._settings)
        for name, value in given.items():
            sql = "SELECT set_config(%(name)s, %(value)s, true)"
            await self._query(sql, {"name": name, "value": value})

    async def _takes(self, role: str) -> bool:
        if role not in self._may_take:
            await self._query("SAVEPOINT role", {})
            try:
                await self._query(f"SET LOCAL ROLE {quote_name(role)}", {})
                self._may_take[role] = True
            except NotMeasurable as error:
                if error.code != "42501":
                    raise
                self._may_take[role] = False
            await self._query("ROLLBACK TO SAVEPOINT role", {})
        return self._may_take[role]

    def _keep(self, hole: Hole) -> None:
        known = self._found.get(hole.identity)
        if known is None or known.severity is not HoleSeverity.CRITICAL:
            self._found[hole.identity] = hole

    def _fail(self, trials: Sequence[_Numbered], why: str, code: str = "") -> None:
        for number, trial in trials:
            # As ourselves it may be our own lack of rights; as the role it is the role's.
            ours = code == "42501" and not self._may_take.get(trial.role.name)
            self._failed[number] = Untried(
                trial.table.name, trial.policy.name, why, trial.role.name if ours else ""
            )


def _says_no(error: TargetError, world: SyntheticWorld) -> bool:
    """A data exception is a policy's way to say no, where no tenant is set."""
    closed = {SyntheticWorld.UNSET, SyntheticWorld.EMPTY}
    return error.code in _FAILS_CLOSED and world in closed


def _explain(error: TargetError) -> str:
    return f"the server refused it ({error.code or 'no code'})"


def _write(trials: Sequence[SyntheticTrial]) -> tuple[str, Mapping[str, Any]]:
    """The question: for each policy made-up rows under its table's own name, and its expressions."""
    given: dict[str, Any] = {}
    parts = []
    for n, trial in enumerate(trials):
        alias = quote_name(trial.table.name.partition(".")[2])
        passes = " AND ".join(f"({text.replace('%', '%%')})" for text in trial.expressions)
        made_up = " UNION ALL ".join(_make_rows(trial.rows(), trial, f"{n}", given))
        if trial.reach:
            own = _make_rows(trial.rows(0), trial, f"{n}a", given)
            both = " UNION ALL ".join([made_up, *own])
            reached = " AND ".join(f"({text.replace('%', '%%')})" for text in trial.reach)
            passes += f" AND EXISTS (SELECT FROM ({both}) AS {alias} WHERE {reached})"
        parts.append(
            f"(SELECT {n} AS n, to_jsonb({alias}) AS passed FROM ({made_up}) AS {alias}"  # noqa: S608
            f" WHERE {passes} LIMIT 1)"
        )
    return " UNION ALL ".join(parts), given


def _make_rows(
    rows: Iterable[Mapping[str, str | None]], trial: SyntheticTrial, n: str, given: dict[str, Any]
) -> Iterator[str]:
    for number, row in enumerate(rows):
        cells: list[str] = []
        for name, kind in trial.columns:
            key = f"v{n}_{number}_{len(cells)}"
            given[key] = row.get(name)
            cells.append(f"%({key})s::{kind.replace('%', '%%')} AS {quote_name(name)}")
        yield f"SELECT {', '.join(cells)}"


def name_untried(untried: Iterable[Untried]) -> list[str]:
    """For evidence."""
    return [f"{each.table} {each.policy}: {each.why}" for each in untried]
