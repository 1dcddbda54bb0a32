"""What cleaning remembers: the cap per hour, plans that wait to be applied, who the servers were,
how runs ended.

Everything that holds an effect back is written with full sync, and before the effect.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from sentinel.core.bus.housekeeping import BusLife, CleanPlan, Spent, Verdict, judge_plan, remaining
from sentinel.core.moment import Moment
from sentinel.errors import StateError
from sentinel.store.document import read, write, write_instant
from sentinel.store.table import TABLES, change, insert, is_sealed
from sentinel.store.table import replace as replace_rows


@dataclass(frozen=True, slots=True)
class Grant:
    """So many things may go now; `id` names the reservation."""

    id: int
    count: int


@dataclass(frozen=True, slots=True)
class ChoreRun:
    """How the last run of a chore ended: done, dry run, nothing, refused, failed; and the counts."""

    chore: str
    at: Moment
    outcome: str
    found: int = 0
    removed: int = 0
    refused: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CleaningLedger:
    """`write` gives a transaction with full sync, `read` gives whole rows, `query` figures."""

    write: Callable[[], AbstractContextManager[sqlite3.Connection]]
    read: Callable[..., list[Any]]
    query: Callable[..., Sequence[tuple[Any, ...]]]

    # -- the cap per hour -------------------------------------------------------------------------

    def reserve(self, chore: str, wanted: int, cap: int, now: Moment) -> Grant:
        """Take at most `wanted` off what is left of this hour's cap, before the effect. Count 0:
        nothing is left.
        """
        with self.write() as db:
            count = min(wanted, remaining(cap, _read_spent(db, chore), now))
            if count < 1:
                return Grant(0, 0)
            uptime = None if now.uptime is None else float(now.uptime)
            row = (chore, write_instant(now.at), now.boot, uptime, count, None)
            return Grant(insert(db, "cleaning", row), count)

    def settle(self, grant: Grant, done: int) -> None:
        """What the effect really was; the rest is given back. Not settled, all of it counts."""
        with self.write() as db:
            change(db, "cleaning", "id = ?", (grant.id,), done=done)

    def left(self, chore: str, cap: int, now: Moment) -> int:
        """How much of the cap is left now."""
        return remaining(cap, self.read("cleaning", _spent, "WHERE chore = ?", chore), now)

    # -- plans ------------------------------------------------------------------------------------

    def add_plan(self, plan: CleanPlan) -> None:
        """Remember a plan."""
        with self.write() as db:
            row = (plan.id, plan.chore, write_instant(plan.made.at), plan.state, write(plan))
            insert(db, "clean_plan", row)

    def plan(self, plan_id: str) -> CleanPlan | None:
        """A plan by id."""
        found = self.read("clean_plan", _build_plan, "WHERE id = ?", plan_id)
        return found[0] if found else None

    def claim_plan(self, plan_id: str, now: Moment) -> Verdict:
        """Mark a plan as applied before the first effect; who comes second is refused, whichever
        process it is.
        """
        with self.write() as db:
            plan = _find_plan(db, plan_id)
            verdict = judge_plan(plan, now)
            if plan is not None and not verdict.reason:
                _replace_plan(db, replace(plan, state="applied"))
            return verdict

    def close_plan(self, plan_id: str, state: str, outcome: str) -> None:
        """Note what became of a plan: applied, or void."""
        with self.write() as db:
            plan = _find_plan(db, plan_id)
            if plan is not None:
                _replace_plan(db, replace(plan, state=state, outcome=outcome))

    # -- memory -----------------------------------------------------------------------------------

    def life(self, resource: str) -> BusLife:
        """Who this server was when it was last looked at."""
        lives = self.read("cleaning_memory", _build_life, _NAMED, f"life/{resource}")
        if not lives:
            return BusLife()
        life: BusLife = lives[0]
        streams = {key: (int(added), str(last)) for key, (added, last) in life.streams.items()}
        broken = {key: _moment(document) for key, document in life.broken.items()}
        return replace(life, streams=streams, broken=broken)

    def keep_life(self, resource: str, life: BusLife) -> None:
        """Remember who this server is."""
        self._keep(f"life/{resource}", write(life))

    def last_run(self, chore: str) -> ChoreRun | None:
        """How the last run of a chore ended."""
        runs = self.read("cleaning_memory", _build_run, _NAMED, f"run/{chore}")
        return runs[0] if runs else None

    def keep_run(self, run: ChoreRun) -> None:
        """Remember how a run ended."""
        self._keep(f"run/{run.chore}", write(run))

    def _keep(self, name: str, document: str) -> None:
        with self.write() as db:
            replace_rows(db, "cleaning_memory", (name, document))

    def running_attempts(self) -> int:
        """Actions on components whose outcome is not known yet."""
        return int(self.query(_RUNNING)[0][0])


_NAMED = "WHERE name = ?"
_RUNNING = """
SELECT count(*) FROM attempt
WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.outcome') = '' END
AND coalesce(json_extract(document, '$.epoch'), 0) = (SELECT coalesce(max(epoch), 0) FROM member)
"""


def _read_spent(db: sqlite3.Connection, chore: str) -> list[Spent]:
    """Of a damaged row nobody knows how much it was: until it is set aside all of it counts."""
    rows = db.execute(f"{TABLES['cleaning'].select} WHERE chore = ?", (chore,)).fetchall()
    if not all(is_sealed("cleaning", seal, row) for _, seal, *row in rows):
        raise StateError("a row of the cleaning cap is damaged", "start sentinel anew")
    return [_spent(*row) for _, _, *row in rows]


def _spent(
    _chore: str, at: str, boot: str, uptime: float, reserved: int, done: int | None
) -> Spent:
    count = reserved if done is None else done
    return Spent(_moment({"at": at, "boot": boot, "uptime": uptime}), count)


def _moment(document: Any) -> Moment:
    return document if isinstance(document, Moment) else read(Moment, write(document))


def _build_plan(*row: Any) -> CleanPlan:
    return read(CleanPlan, row[-1])


def _build_life(_: str, document: str) -> BusLife:
    return read(BusLife, document)


def _build_run(_: str, document: str) -> ChoreRun:
    return read(ChoreRun, document)


def _find_plan(db: sqlite3.Connection, plan_id: str) -> CleanPlan | None:
    """None, too, for one that is damaged: it is applied no more."""
    sql = f"{TABLES['clean_plan'].select} WHERE id = ?"
    for _, seal, *row in db.execute(sql, (plan_id,)):
        if is_sealed("clean_plan", seal, row):
            return _build_plan(*row)
    return None


def _replace_plan(db: sqlite3.Connection, plan: CleanPlan) -> None:
    change(db, "clean_plan", "id = ?", (plan.id,), state=plan.state, document=write(plan))
