"""Platforms for the live page: views, incidents and faults by few words, and random changes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinel.core.component.incident import Event
from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.store import Changes, CheckView, ComponentView

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = ("up", "degraded", "down", "unknown")


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return T0 + timedelta(seconds=seconds)


def check(name: str, status: str = "up", **changes: Any) -> CheckView:
    """A check of the component that its name begins with."""
    fields: dict[str, Any] = {
        "name": name, "kind": "tcp", "component": name.partition("/")[0], "status": status, "soft": status,
        "since": T0, "detail": f"answered in {len(name)} ms", "key": None, "guidance": "", "evidence": {}, "rows": [],
        "runs": 3, "every": 10.0, "last_run": T0, "duration": 0.1, "outcome": "ok", "quality": "observed",
        "trace_id": "t", "runbook": "", "flapping": False,
    }  # fmt: skip
    return CheckView(**{**fields, **changes})


def component(name: str, status: str = "up", *needs: str, **changes: Any) -> ComponentView:
    """A component that sentinel restarts."""
    fields: dict[str, Any] = {
        "name": name, "status": status, "since": T0, "detail": "runs", "depends_on": needs,
        "driver": "process", "pid": 7, "restarts": 0, "action": "",
    }  # fmt: skip
    return ComponentView(**{**fields, **changes})


def incident(name: str, status: str = "down", **changes: Any) -> Incident:
    """An open incident of a component."""
    fields: dict[str, Any] = {
        "id": f"I-{name}", "component": name, "opened": T0, "state": IncidentState.OPEN, "status": Status(status),
        "summary": f"{name} does not answer", "check": f"{name}/port", "announced": True,
    }  # fmt: skip
    return Incident(**{**fields, **changes})


def stand(name: str, subject: str, status: Status = Status.DOWN, **changes: Any) -> StandingFault:
    """A fault of a component."""
    fault = Fault("lost", {"stream": subject}, status, f"{subject} lost 3")
    return StandingFault(f"{name}/port", name, fault, T0, status, **changes)


def make_platform(names: list[str], checks: int = 2) -> Changes:
    """Components in a row, each of which needs the one before; all is well."""
    needs = [(), *((each,) for each in names)]
    return Changes(
        components=[component(name, "up", *needs[n]) for n, name in enumerate(names)],
        checks=[check(f"{name}/{n}") for name in names for n in range(checks)],
    )


def wander(
    names: list[str], seed: int, rounds: int, began: datetime = T0, checks: int = 2
) -> Iterator[Changes]:
    """Turns of checks as the engine tells them, at random, reproducible by the seed."""
    draw, opened = random.Random(seed), dict[str, Incident]()
    for turn in range(rounds):
        now, name = began + timedelta(seconds=turn), draw.choice(names)
        status = draw.choice(WORDS)
        changes = Changes(
            checks=[_wander_check(draw, name, status, now, checks)],
            components=[component(name, status, since=now, detail=f"figure {turn}")],
        )
        known = opened.get(name)
        if known is None and status in {"down", "degraded"}:
            cause = draw.choice(["", *(each for each in opened if not opened[each].blocked_by)])
            known = incident(name, status, id=f"I-{turn}-{name}", opened=now, blocked_by=cause)
        elif known is not None and status == "up":
            known = _heal(draw, known, now)
        if known is not None:
            changes.incidents, opened[name] = [known], known
            changes.events = [(known.id, now, Event("attempt", f"attempt {turn}"), {})]
            ended = now if draw.random() < 0.4 else None
            changes.faults = [stand(name, f"s{draw.randrange(4)}", ended=ended)]
            if known.state is IncidentState.CLOSED:
                del opened[name]
        yield changes


def _wander_check(
    draw: random.Random, name: str, status: str, now: datetime, checks: int
) -> CheckView:
    soft = draw.choice([status, "down"])
    which = f"{name}/{draw.randrange(checks)}"
    return check(which, status, soft=soft, last_run=now, component=name, detail=f"at {now:%M:%S}")


def _heal(draw: random.Random, known: Incident, now: datetime) -> Incident:
    state = draw.choice([IncidentState.RECOVERING, IncidentState.CLOSED])
    closed = now if state is IncidentState.CLOSED else None
    return incident(
        known.component, known.status, id=known.id, opened=known.opened,
        state=state, recovered=now, closed=closed, watched_until=now,
    )  # fmt: skip
