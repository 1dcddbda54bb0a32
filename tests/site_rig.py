"""The web application on a store of its own, filled with one of everything that pages show."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from sentinel.core.bus.housekeeping import Chore
from sentinel.core.component.incident import Event
from sentinel.core.fault import Acceptance, Fault, StandingFault, Status
from sentinel.core.model import Attempt, Component, Incident, IncidentState, Transition
from sentinel.core.moment import Moment
from sentinel.core.notice.maintenance import Maintenance, MaintenanceWindow
from sentinel.core.notice.silence import Silence
from sentinel.core.objective import Counts, Objective, Slice, judge_slices
from sentinel.store import LOOK_DURATION, Changes, CheckView, ComponentView, Gap, Sample
from sentinel.store.document import write
from sentinel.store.notices import (
    MAINTENANCE_KEY,
    SILENCES_KEY,
    PlannedMaintenance,
    StandingSilences,
)
from sentinel.store.plans import ChoreRun
from sentinel.store.sqlite import SqliteStore
from sentinel.web.app import make_app
from sentinel.web.guard import listen_hosts
from sentinel.web.page import open_page
from sentinel.web.views.known import Known

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW = T0 + timedelta(seconds=100)
KINDS = ("registry", "flows", "tenant_probe", "task_assignment", "tcp")


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Site:
    """A running application: its store, its address, a session."""

    def __init__(self, store: SqliteStore, base: str, session: aiohttp.ClientSession) -> None:
        self.store, self.base, self.session = store, base, session

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and text."""
        url = aiohttp.client.URL(self.base + path, encoded=True)
        async with self.session.get(url, headers=headers) as answer:
            return answer.status, await answer.text()

    async def get_json(self, path: str) -> Any:
        async with self.session.get(self.base + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@asynccontextmanager
async def serve(
    store: SqliteStore,
    known: Known | None = None,
    now: Callable[[], datetime] = lambda: NOW,
    runbooks: Callable[[str], str | None] = {"bus-unreachable": "# Nobody answers\n"}.get,
) -> AsyncIterator[Site]:
    """The application on a free port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        app = make_app(
            store,
            lambda _: iter(()),
            lambda: (True, "watching"),
            lambda: listen_hosts("127.0.0.1", port),
            runbooks=runbooks,
            known=known or Known(),
            now=now,
        )
        page = await open_page(app, "127.0.0.1", [bound])
        async with aiohttp.ClientSession() as session:
            yield Site(store, f"http://127.0.0.1:{port}", session)
        await page.close()


def make_check(name: str, kind: str = "tcp", component: str = "", **changes: Any) -> CheckView:
    """A check that is degraded, with a row and evidence that bear its name."""
    rows = [{"labels": {name: name}, "values": {"connect_seconds": 0.2, name: 3.0}}]
    fields: dict[str, Any] = {
        "name": name, "kind": kind, "component": component or name, "status": "degraded", "soft": "up", "since": T0,
        "detail": name, "key": (name, name), "guidance": f"`{name}`", "evidence": {name: [name]}, "rows": rows,
        "runs": 3, "every": 5.0, "last_run": at(97), "duration": 2.5713, "outcome": "ok", "quality": "observed",
        "trace_id": "t", "runbook": "bus-unreachable", "flapping": False,
    }  # fmt: skip
    return CheckView(**{**fields, **changes})


def fill(store: SqliteStore, name: str) -> Known:
    """One of everything, and each of them called `name`; what the configuration knows of it."""
    checks = [make_check(f"{name}{kind}", kind, name) for kind in KINDS]
    faults = [_stand(each, name, n) for n, each in enumerate(checks)]
    incident = Incident(
        name, name, T0, IncidentState.OPEN, Status.DOWN, name, checks[0].name, runbook="bus-unreachable",
        acknowledged=at(9), acknowledged_by=name, fault=name, subject={name: name}, parameters={name: name},
    )  # fmt: skip
    closed = replace(
        incident, id=f"{name}-0", state=IncidentState.CLOSED, opened=at(-99), closed=at(-9)
    )
    texts = [("opened", {name: name}), ("note", {"by": name}), ("diagnosis", {"transcript": name})]
    objective = Objective(name, checks[0].name, name, "up", 0.99, 30 * 86400.0, title=name)
    counted = Slice(objective.source, at(-300), at(0), Counts(985, 1000, 300))
    silence = Silence(name, {name: (name,)}, at(-5), at(500), name, name)
    store.commit(
        Changes(
            meta={
                "platform": name,
                "watching_since": "2026-02-20T00:00:00.000000Z",
                SILENCES_KEY: write(StandingSilences((silence,))),
                MAINTENANCE_KEY: write(PlannedMaintenance(_list_maintenance(name))),
            },
            checks=checks,
            components=[
                ComponentView(name, "down", T0, name, [], "process", 1, 2, name),
                ComponentView(f"{name}-1", "up", T0, name, [name], "", None, 0, ""),
            ],
            incidents=[incident, closed],
            events=[(name, at(n), Event(kind, name), evidence) for n, (kind, evidence) in enumerate(texts)],
            faults=faults,
            transitions=[*_list_changes(name, "component"), *_list_changes(checks[0].name, "check")],
            gaps=[Gap(at(-7200), at(-3600), name)],
            samples=[Sample(at(-n * 1800), each.name, LOOK_DURATION, {}, 0.1 * n) for n in range(5) for each in checks],
            standings={name: judge_slices(objective, [counted], at(1))},
        )
    )  # fmt: skip
    store.claim_attempt(Attempt(name, 1, name, name, name, at(5), detail=name))
    store.add_audit(at(1), name, name, name, name)
    store.add_report("recovery", T0, [], {"headline": name})
    store.cleaning.keep_run(ChoreRun(name, Moment(T0), name, detail=name))
    return make_known(name)


def _stand(check: CheckView, name: str, n: int) -> StandingFault:
    subject = {"agent": name, "flow": name, "table": name, "tenant": name}
    fault = Fault("lost", subject, Status.DEGRADED, name, cure=(name,), guidance=name)
    accepted = Acceptance("lost", {}, name, at(86400)) if n % 2 else None
    return StandingFault(check.name, check.component, fault, T0, fault.status, accepted=accepted)


def _list_maintenance(name: str) -> tuple[Maintenance, ...]:
    past = Maintenance(name, (name,), name, at(-9000), at(-8000), at(-8000))
    return past, Maintenance(name, (name,), name, at(-10), at(500))


def _list_changes(name: str, scope: str) -> list[Transition]:
    steps = (
        (-80000, "unknown", "up"),
        (-3000, "up", "down"),
        (-2000, "down", "up"),
        (0, "up", "down"),
    )
    return [
        Transition(name, scope, Status(before), Status(after), at(seconds), name)
        for seconds, before, after in steps
    ]


def make_known(name: str) -> Known:
    """What the configuration tells, everything called `name`."""
    book = {
        "name": "bus-unreachable", "title": name, "command": name, "problem": name,
        "sections": [{"heading": name, "text": f"{name} `bus-unreachable` [x](bus-unreachable.md)"}],
        "parameters": [{"name": name, "value": name, "required": True, "description": name}],
        "steps": [{
            "name": name, "act": name, "changes": True, "skip": name, "precondition": name, "verify": name,
            "timeout": "5 s",
        }],
    }  # fmt: skip
    return Known(
        chores=lambda: [Chore(name, "poison", name, None)],
        components=lambda: [Component(name, driver="process", owner=name), Component(f"{name}-1")],
        windows=lambda: [MaintenanceWindow(name, (name,), name, at(500), at(900), by=name)],
        remembered=lambda: 14 * 86400.0,
        runbooks=lambda: {"bus-unreachable": name},
        show_runbook=lambda asked, _incident: book if asked == "bus-unreachable" else None,
    )


def name_pages(name: str) -> dict[str, list[str]]:
    """What stands for the name in each route, when everything is called so."""
    check = f"{name}{KINDS[0]}"
    return {
        "/check/{name}": [check],
        "/badge/check/{name}.svg": [check],
        "/component/{name}": [name, f"{name}-1"],
        "/badge/component/{name}.svg": [name],
        "/incident/{id}": [name, f"{name}-0"],
        "/runbooks/{name}": ["bus-unreachable"],
        "/runbooks/{name}.md": ["bus-unreachable"],
    }


def list_queries(name: str) -> list[str]:
    """Pages that are asked for with words."""
    word = quote(name[:200], safe="")
    return [
        f"/checks?text={word}",
        f"/checks?component={word}&status=degraded&page=1",
        f"/incidents?text={word}&state=open&since=2026-01-01&until=2026-12-31T10:00",
        f"/audit?text={word}&actor={word}",
        f"/agents?text={word}",
        f"/faults?component={word}",
        f"/runbooks/bus-unreachable?incident={word}",
        f"/component/{word}?window=90d",
        f"/component/{word}?window=24h&bar=2026-03-01T11:00:00Z",
    ]


def make_store(folder: Path) -> SqliteStore:
    """An empty one."""
    return SqliteStore(folder)
