"""Turns that are put together leave the store as they would have one after the other."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.component.health import Health
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Transition
from sentinel.core.objective import Counts, Slice
from sentinel.core.order import Answer
from sentinel.store import AuditLine, Changes, Sample, absorbing
from sentinel.store.absorbing import MAX_SAMPLES, put_all_together
from sentinel.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def draw(chance: random.Random, n: int) -> Changes:
    """One turn, with what the ones before and after it have, too."""
    at = NOW + timedelta(seconds=n)
    name = chance.choice("abc")
    fault = Fault("lost", {"stream": name}, Status.DOWN, f"look {n}")
    standing = StandingFault("bus", "messaging", fault, NOW, Status.DOWN)
    return Changes(
        health={name: Health()},
        probe_state={name: {"look": n}},
        transitions=[Transition(name, "check", Status.UP, Status.DOWN, at, str(n))],
        samples=[Sample(at, name, "x", {}, n)],
        faults=[replace(standing, ended=at if chance.random() < 0.3 else None)],
        audit=[AuditLine(at, "sentinel", "trial", name, str(n))],
        meta={name: str(n)},
        slices=[Slice(f"{name}/up", NOW + timedelta(days=n // 2), NOW, Counts(n, n + 1.0, 5.0))],
        clock_step=timedelta(seconds=chance.choice([0, 0, 5, -3])),
    )


@pytest.mark.parametrize("seed", range(5))
def test_together_is_as_one_after_the_other(tmp_path: Path, seed: int) -> None:
    """Every table, also with a clock that was set in between."""
    for name in ("apart", "together"):
        (tmp_path / name).mkdir()
    apart, together = (SqliteStore(tmp_path / name) for name in ("apart", "together"))
    chance = random.Random(seed)
    turns = [draw(chance, n) for n in range(30)]
    for turn in turns:
        apart.commit(turn)
    waiting = put_all_together(turns)
    assert len(waiting) < len(turns)
    for turn in waiting:
        together.commit(turn)
    tables = (
        "health",
        "probe_state",
        "transition",
        "sample",
        "fault",
        "meta",
        "objective_slice",
        "audit",
    )
    for table in tables:
        rows = [sorted(s.database.query(f"SELECT * FROM {table}")) for s in (apart, together)]
        assert rows[0] == rows[1], table
    apart.close()
    together.close()


def test_no_part_of_a_turn_is_forgotten() -> None:
    """A new part of a turn needs its word here, too."""
    whole = Changes(clock_step=timedelta(1), meta={"a": "b"}, answers={"k": Answer.done("x")})
    whole.payloads["l"] = {"tries": {}}
    known = {field.name for field in fields(Changes)}
    assert put_all_together([Changes(), whole]) == [whole]
    assert known == {
        *("checks", "components", "incidents", "attempts", "processes", "faults"),
        *("health", "probe_state", "meta", "payloads", "answers", "clock_step"),
        *("transitions", "events", "gaps", "samples", "orders", "audit"),
        *("slices", "tallies", "standings"),
    }


def test_what_waits_does_not_grow_for_ever() -> None:
    """A look that says the same again needs no room; of figures the latest stay."""
    chance = random.Random(1)
    turns = [replace(draw(chance, n), clock_step=timedelta()) for n in range(300)]
    (total,) = put_all_together(turns)
    assert len(total.health) == len(total.probe_state) == 3
    assert len(total.faults) <= 3
    points = [Sample(NOW, "a", "x", {}, n) for n in range(MAX_SAMPLES + 5)]
    (total,) = put_all_together([total, Changes(samples=points)])
    assert (len(total.samples), total.samples[-1]) == (MAX_SAMPLES, points[-1])


def test_a_turn_is_looked_at_once_however_many_wait(monkeypatch) -> None:
    """One after the other taken into a whole that grows, ten thousand would cost the loop minutes."""
    seen = 0

    def key(name: object) -> object:
        nonlocal seen
        seen += 1
        return name

    monkeypatch.setitem(absorbing._REPLACED, "processes", key)
    turns = [Changes(processes=[str(n)]) for n in range(1000)]  # type: ignore[list-item]
    (total,) = put_all_together(turns)
    assert len(total.processes) == seen == 1000
