"""What a scenario of chaos did to whom, as the ledger of its run has it, and what sentinel remembers
of it. Nothing of what was injected is repeated here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sentinel.app.runbooks.places import find_told, find_values, open_shelf
from sentinel.cli import main
from sentinel.config import load
from sentinel.core.fault import Labels, StandingFault
from sentinel.core.model import Incident
from sentinel.demo.bus import group_of, stream_of
from sentinel.demo.ledger import Record, read_ledgers
from sentinel.store.sqlite import SqliteStore
from tests.acceptance.conftest import DemoRun

TARGET: Sequence[Labels] = ({},)
"""The subject is the component itself."""


@dataclass(frozen=True)
class Injected:
    """What a scenario did, as the check that must find it says it.

    `subjects` are labels that the faults must have, one fault for each; `count` is how many entries
    each must tell; `told` is what the runbook must hear, beside the subject itself.
    """

    check: str
    fault: str
    component: str
    subjects: Sequence[Labels] = TARGET
    count: int | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[Sequence[str]]:
        """The words that name each subject; the component where the subject is the target."""
        return [tuple(subject.values()) or (self.component,) for subject in self.subjects]


class Traces:
    """What a scenario left behind: its lines of the ledgers, and what sentinel remembers."""

    def __init__(self, run: DemoRun, scenario: str, folder: Path) -> None:
        self.run, self.scenario, self._folder = run, scenario, folder
        self.ledgers = read_ledgers(run.folder / "latest")
        self.store = SqliteStore(run.state, writable=False)
        self.began = datetime.fromtimestamp(self.tell("begin")["t"], UTC)
        self.injected = INJECTED[scenario](self)

    def tell(self, phase: str) -> Record:
        """The scenario's line of a phase."""
        (line, *_) = (
            each
            for each in self.ledgers
            if each.get("scenario") == self.scenario and each.get("phase") == phase
        )
        return line

    @property
    def params(self) -> Mapping[str, Any]:
        """What the scenario was given."""
        given: Mapping[str, Any] = self.tell("begin")["params"]
        return given

    @cached_property
    def faults(self) -> list[StandingFault]:
        """Those of the check and key in question that began after the scenario."""
        found = self.store.faults(self.injected.check, since=self.began)
        return [
            each
            for each in found
            if each.fault.key == self.injected.fault and each.began >= self.began
        ]

    @cached_property
    def incident(self) -> Incident:
        """The component's first one since then."""
        name = self.injected.component
        found = self.store.incidents(limit=1000)
        since = [each for each in found if each.component == name and each.opened >= self.began]
        assert since, f"no incident of {name}"
        return min(since, key=lambda each: each.opened)

    @cached_property
    def headlines(self) -> list[str]:
        """Every headline that the incident had while somebody looked, the first and the last."""
        seen = self.run.seen.incidents.values()
        shown = [each["summary"] for each in seen if each["id"] == self.incident.id]
        return [self.incident.began_as, *shown, self.incident.summary]

    @cached_property
    def told(self) -> list[Mapping[str, str]]:
        """What the incident's fault told its runbook, whenever somebody looked."""
        seen = self.run.seen.incidents.values()
        shown = [each["parameters"] for each in seen if each["id"] == self.incident.id]
        return [*shown, self.incident.parameters]

    @cached_property
    def plan(self) -> Mapping[str, str]:
        """With what the runbook of the incident runs here."""
        configuration = load(self.run.folder / "latest" / "config")
        book = open_shelf(configuration.folder).books[self.incident.runbook]
        told = find_told(book, self.incident, self.store)
        return find_values(book, configuration, self.incident, {}, told)

    @cached_property
    def report(self) -> str:
        """The recovery report of the incident, as Markdown without its escapes."""
        folder = self._folder / self.incident.id
        state = str(self.run.state)
        words = ["report", "recovery", "--incident", self.incident.id, "--output", str(folder)]
        with redirect_stdout(io.StringIO()):
            assert main(["--state", state, *words]) == 0
        (paper,) = folder.glob("*.md")
        return paper.read_text().replace("\\", "")


def _killed(traces: Traces) -> Injected:
    name = str(traces.params["component"])
    return Injected(f"{name}.process", "not_running", name, told={"component": name})


def _frozen(traces: Traces) -> Injected:
    name = str(traces.params["component"])
    return Injected(f"{name}-process", "stopped", name, told={"component": name})


def _unassigned(traces: Traces) -> Injected:
    queue = {"queue": "default"}  # the demo has one
    return Injected("task-assignment", "unassigned", "assignment", [queue])


def _poisoned(traces: Traces) -> Injected:
    stream = stream_of(traces.params["agent"])
    buried = [
        each
        for each in traces.ledgers
        if each.get("outcome") == "dead_letter" and each["stream"] == stream
    ]
    return Injected("bus-ledger", "arrivals", "messaging", [{"stream": stream}], len(buried))


def _lost(traces: Traces) -> Injected:
    trimmed, group = traces.tell("trimmed"), group_of(traces.params["agent"])
    place = {"stream": trimmed["stream"], "group": group}
    return Injected("bus-delivery", "lost", "messaging", [place], trimmed["lost"])


def _evicted(traces: Traces) -> Injected:
    stream = {"stream": traces.tell("evicted")["stream"]}
    return Injected("bus-delivery", "recreated", "messaging", [stream])


def _stuck(traces: Traces) -> Injected:
    flows = [{"flow": flow} for flow in traces.tell("stuck")["flows"]]
    return Injected("flows", "overdue", "flows", flows)


def _leaking(traces: Traces) -> Injected:
    tables = traces.tell("leaking")["tables"]
    subjects = [{"table": table, "role": "app_user"} for table in tables]
    return Injected("tenant-isolation", "leak", "tenants", subjects)


def _away(traces: Traces) -> Injected:
    servers = {"valkey": ("bus-server", "bus"), "postgres": ("database-health", "database")}
    check, name = servers[traces.params["server"]]
    return Injected(check, "unreachable", name, told={"resource": name})


INJECTED: Mapping[str, Callable[[Traces], Injected]] = {
    "crash-agent": _killed,
    "crash-orchestrator": _killed,
    "crash-loop": _killed,
    "wedge-agent": _frozen,
    "slow-assigner": _unassigned,
    "poison-message": _poisoned,
    "lose-messages": _lost,
    "evict-stream": _evicted,
    "stuck-flow": _stuck,
    "tenant-leak": _leaking,
    "redis-down": _away,
    "postgres-down": _away,
}


def names_all(text: str, names: Sequence[str]) -> bool:
    """Whether a text names all of it."""
    return all(name in text for name in names)


def names_any(text: str, injected: Injected) -> bool:
    """Whether a text names one subject at least."""
    return any(names_all(text, names) for names in injected.names)
