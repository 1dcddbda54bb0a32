"""Flows about which there is nothing to say are not judged anew: the verdict is the same as if they
were.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from sentinel.core.flows.family import MasterRules
from sentinel.core.flows.history import FlowLook, History
from sentinel.core.flows.lasting import Families
from sentinel.core.flows.stuck import Crew, FlowRules, FlowSight, Worker, WorkOrder
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.verdict import judge

STATUSES = ["new", "planning", "running", "paused", "odd"]
FAMILIES = Families(MasterRules("new", frozenset({"done"})), [], 60.0)


def rules(crew):
    known = frozenset({*STATUSES, "done"} - {"odd"})
    order = WorkOrder({"planning": 0, "running": 1}, {"a": 0, "b": 1}, "new")
    own = FlowRules(
        "new", order, frozenset({"paused"}), 900.0, True, 120.0, 100.0, 60.0, crew, ("f", "g")
    )
    return TableRules("flows", own, {"new": 1600.0}, 900.0, known=known)


def crew(now, dead):
    """w0 to w3 are registered, some are dead; w4 is unknown."""
    return Crew(
        "agents", {f"w{n}": Worker(90.0 if n in dead else 1.0, n == 3) for n in range(4)}, 60.0
    )


def change(rng, sight, now):
    """What a platform may do to a row in one step: often nothing."""
    what = rng.random()
    if what < 0.95:
        return sight
    return replace(
        sight,
        status=rng.choice(STATUSES) if what > 0.97 else sight.status,
        progress=rng.choice([sight.progress, sight.progress, 50.0, 99.0, 100.0, None]),
        phase=rng.choice(["", "a", "b"]),
        flags=(rng.random() < 0.8, rng.random() < 0.2),
        worker=rng.choice(["", "w0", "w0", "w1", "w2", "w3", "w4"]),
        waits=rng.random() < 0.1,
        changed=rng.choice([sight.changed, now, now]),
        entered=rng.choice([None, None, now - 5, now + 500]),
    )


def tell(verdict):
    flows = {
        f.sight.id: (round(f.age(verdict.now), 6), f.waits, f.is_mapped, f.reasons)
        for f in verdict.flows
    }
    return flows | dict(verdict.longest)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_what_would_be_judged(seed):
    """60 random flows, 60 looks: one history that keeps what is quiet, one that judges every row at
    every look.
    """
    rng = random.Random(seed)
    keeping, fresh = History(), History()
    sights = {
        f"f{n}": FlowSight(
            f"f{n}", f"t{n % 2}", "new", created=0.0, changed=0.0, flags=(False, False)
        )
        for n in range(60)
    }
    now, reused = 1000.0, 0
    for _ in range(60):
        now += rng.choice([5.0, 30.0, 30.0, 120.0])
        sights = {
            key: change(rng, sight, now) for key, sight in sights.items() if rng.random() > 0.005
        }
        table = rules(crew(now, {n for n in range(4) if rng.random() < 0.2}))
        before = {
            id(flow): flow for past in keeping.tables.values() for flow in past.quiet.values()
        }
        kept = judge(keeping, [FlowLook(now, list(sights.values()))], [table], FAMILIES, now)
        reused += sum(id(flow) in before for flow in kept.flows)
        fresh.forget_readings()
        anew = judge(
            fresh, [FlowLook(now, [replace(s) for s in sights.values()])], [table], FAMILIES, now
        )
        assert tell(kept) == tell(anew)
    assert keeping.dump() == fresh.dump()
    assert reused > 200, f"{reused}: the test would prove nothing"


def test_a_restart_changes_no_verdict():
    """After each look the history goes through JSON: the same verdicts as without."""
    rng = random.Random(7)
    staying, restarted = History(), History()
    sights = {
        f"f{n}": FlowSight(f"f{n}", "t", "new", created=0.0, changed=0.0, flags=(False, False))
        for n in range(40)
    }
    now = 1000.0
    for _ in range(40):
        now += 30.0
        sights = {key: change(rng, sight, now) for key, sight in sights.items()}
        table = rules(crew(now, set()))
        stay = judge(staying, [FlowLook(now, list(sights.values()))], [table], FAMILIES, now)
        again = judge(restarted, [FlowLook(now, list(sights.values()))], [table], FAMILIES, now)
        assert tell(stay) == tell(again)
        restarted = History(json.loads(json.dumps(restarted.dump())))
