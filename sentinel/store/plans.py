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
from sentinel.store.document import read, write, write_instant


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
    """`write` gives a transaction with full sync, `query` reads."""

    write: Callable[[], AbstractContextManager[sqlite3.Connection]]
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
            row = (chore, write_instant(now.at), now.boot, now.uptime, count)
            cursor = db.execute("INSERT INTO cleaning VALUES (NULL, ?, ?, ?, ?, ?, NULL)", row)
            return Grant(int(cursor.lastrowid or 0), count)

    def settle(self, grant: Grant, done: int) -> None:
        """What the effect really was; the rest is given back. Not settled, all of it counts."""
        with self.write() as db:
            db.execute("UPDATE cleaning SET done = ? WHERE id = ?", (done, grant.id))

    def left(self, chore: str, cap: int, now: Moment) -> int:
        """How much of the cap is left now."""
        return remaining(cap, [_spent(row) for row in self.query(_SPENT, chore)], now)

    # -- plans ------------------------------------------------------------------------------------

    def add_plan(self, plan: CleanPlan) -> None:
        """Remember a plan."""
        with self.write() as db:
            row = (plan.id, plan.chore, write_instant(plan.made.at), plan.state, write(plan))
            db.execute("INSERT INTO clean_plan VALUES (?, ?, ?, ?, ?)", row)

    def plan(self, plan_id: str) -> CleanPlan | None:
        """A plan by id."""
        rows = self.query("SELECT document FROM clean_plan WHERE id = ?", plan_id)
        return read(CleanPlan, rows[0][0]) if rows else None

    def claim_plan(self, plan_id: str, now: Moment) -> Verdict:
        """Mark a plan as applied before the first effect; who comes second is refused, whichever
        process it is.
        """
        with self.write() as db:
            row = db.execute("SELECT document FROM clean_plan WHERE id = ?", (plan_id,)).fetchone()
            plan = read(CleanPlan, row[0]) if row else None
            verdict = judge_plan(plan, now)
            if plan is not None and not verdict.reason:
                _replace_plan(db, replace(plan, state="applied"))
            return verdict

    def close_plan(self, plan_id: str, state: str, outcome: str) -> None:
        """Note what became of a plan: applied, or void."""
        with self.write() as db:
            row = db.execute("SELECT document FROM clean_plan WHERE id = ?", (plan_id,)).fetchone()
            if row is not None:
                _replace_plan(db, replace(read(CleanPlan, row[0]), state=state, outcome=outcome))

    # -- memory -----------------------------------------------------------------------------------

    def life(self, resource: str) -> BusLife:
        """Who this server was when it was last looked at."""
        rows = self.query(_MEMORY, f"life/{resource}")
        if not rows:
            return BusLife()
        life = read(BusLife, rows[0][0])
        streams = {key: (int(added), str(last)) for key, (added, last) in life.streams.items()}
        broken = {key: _moment(document) for key, document in life.broken.items()}
        return replace(life, streams=streams, broken=broken)

    def keep_life(self, resource: str, life: BusLife) -> None:
        """Remember who this server is."""
        self._keep(f"life/{resource}", write(life))

    def last_run(self, chore: str) -> ChoreRun | None:
        """How the last run of a chore ended."""
        rows = self.query(_MEMORY, f"run/{chore}")
        return read(ChoreRun, rows[0][0]) if rows else None

    def keep_run(self, run: ChoreRun) -> None:
        """Remember how a run ended."""
        self._keep(f"run/{run.chore}", write(run))

    def _keep(self, name: str, document: str) -> None:
        with self.write() as db:
            db.execute("INSERT OR REPLACE INTO cleaning_memory VALUES (?, ?)", (name, document))

    def running_attempts(self) -> int:
        """Actions on components whose outcome is not known yet."""
        return int(self.query(_RUNNING)[0][0])


_SPENT = "SELECT at, boot, uptime, coalesce(done, reserved) FROM cleaning WHERE chore = ?"
_MEMORY = "SELECT document FROM cleaning_memory WHERE name = ?"
_RUNNING = """
SELECT count(*) FROM attempt WHERE json_extract(document, '$.outcome') = ''
AND coalesce(json_extract(document, '$.epoch'), 0) = (SELECT coalesce(max(epoch), 0) FROM member)
"""


def _read_spent(db: sqlite3.Connection, chore: str) -> list[Spent]:
    return [_spent(row) for row in db.execute(_SPENT, (chore,)).fetchall()]


def _spent(row: tuple[Any, ...]) -> Spent:
    at, boot, uptime, count = row
    return Spent(_moment({"at": at, "boot": boot, "uptime": uptime}), count)


def _moment(document: Any) -> Moment:
    return document if isinstance(document, Moment) else read(Moment, write(document))


def _replace_plan(db: sqlite3.Connection, plan: CleanPlan) -> None:
    db.execute(
        "UPDATE clean_plan SET state = ?, document = ? WHERE id = ?",
        (plan.state, write(plan), plan.id),
    )
