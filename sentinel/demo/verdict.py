"""Did sentinel keep its promises in a run? Found out afterwards, from its journal and from the
platform's own ledgers.

The two know nothing of each other. Every line that comes out is a promise that was broken
(reliability.md §3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Component, Incident, Transition
from sentinel.demo.ledger import Record

SERVERS = ("bus", "database")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Both records of a run: what sentinel wrote down, and the ledgers of the platform; `document`
    is the run's own.
    """

    components: Mapping[str, Component]
    attempts: Sequence[Attempt]
    incidents: Sequence[Incident]
    transitions: Sequence[Transition]
    notifications: Sequence[str]
    ledgers: Sequence[Record]
    document: Mapping[str, Any]


def find_violations(run: Evidence) -> list[str]:
    """Every broken promise; [] for a good run."""
    return [
        *_caps(run),
        *_two_at_once(run.attempts),
        *_while_a_dependency_was_down(run),
        *_starts_without_an_attempt(run),
        *_two_copies(run.ledgers),
        *_escalations(run),
        *_figures(run.document),
        *_left_broken(run.document),
    ]


def _automatic(run: Evidence) -> list[Attempt]:
    return [attempt for attempt in run.attempts if attempt.by == "sentinel"]


def _caps(run: Evidence) -> Iterable[str]:
    for (incident, name), n in Counter((a.incident, a.component) for a in _automatic(run)).items():
        cap = run.components[name].restart.max_attempts
        if n > cap:
            yield f"{n} attempts in incident {incident}, the cap is {cap}"


def _two_at_once(attempts: Sequence[Attempt]) -> Iterable[str]:
    for before, after in pairwise(sorted(attempts, key=lambda attempt: attempt.intended)):
        if before.ended is not None and after.intended < before.ended:
            yield (
                f"{after.component} was acted upon at {after.intended} while an action on"
                f" {before.component} ran"
            )


def _while_a_dependency_was_down(run: Evidence) -> Iterable[str]:
    outages = _outages(run.transitions)
    for attempt in _automatic(run):
        for name in _needed(attempt.component, run.components):
            for began, ended in outages.get(name, ()):
                if began < attempt.intended and (ended is None or attempt.intended < ended):
                    yield (
                        f"{attempt.component} was restarted at {attempt.intended} although {name}"
                        " was down"
                    )


def _outages(
    transitions: Sequence[Transition],
) -> dict[str, list[tuple[datetime, datetime | None]]]:
    """Component → (down at, no longer down at)."""
    found: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for change in sorted((t for t in transitions if t.scope == "component"), key=lambda t: t.at):
        mine = found.setdefault(change.subject, [])
        if mine and mine[-1][1] is None and change.after is not Status.DOWN:
            mine[-1] = (mine[-1][0], change.at)
        elif change.after is Status.DOWN and (not mine or mine[-1][1] is not None):
            mine.append((change.at, None))
    return found


def _needed(name: str, components: Mapping[str, Component]) -> set[str]:
    direct = set(components[name].depends_on)
    return direct.union(*(_needed(each, components) for each in direct))


def _starts_without_an_attempt(run: Evidence) -> Iterable[str]:
    """The first start is sentinel's own; each further one needs an attempt, or somebody who asked
    for it.
    """
    starts = Counter(record["component"] for record in run.ledgers if record["event"] == "started")
    acts = Counter(attempt.component for attempt in run.attempts if attempt.outcome != "failed")
    for name, n in starts.items():
        if name in run.components and n > 1 + acts[name]:
            yield f"{name} started {n} times, but there were {acts[name]} attempts"


def _two_copies(ledgers: Sequence[Record]) -> Iterable[str]:
    lives: dict[str, dict[str, tuple[float, float]]] = {}
    for record in ledgers:
        mine = lives.setdefault(record["component"], {})
        began, _ = mine.get(record["incarnation"], (record["t"], 0.0))
        mine[record["incarnation"]] = (began, record["t"])
    for name, incarnations in lives.items():
        for (_, ended), (began, _) in pairwise(sorted(incarnations.values())):
            if began < ended:
                yield f"two copies of {name} wrote at the same time, around {began:.3f}"


def _escalations(run: Evidence) -> Iterable[str]:
    told = Counter(key for key in run.notifications if key.endswith("/exhausted"))
    for incident in run.incidents:
        n = told[f"{incident.id}/exhausted"]
        if incident.escalated and n != 1:
            yield f"incident {incident.id} was escalated {n} times"


def _figures(document: Mapping[str, Any]) -> Iterable[str]:
    """What sentinel measured against what the ledgers say; both are intervals where something is in
    doubt.
    """
    measured, true = document.get("delivery"), (document.get("truth") or {}).get("delivery")
    if not measured or not true:
        yield "the run has no delivery figures to compare"
        return
    if abs(measured["published"] - true["published"]) > true.get("in_doubt", 0):
        yield f"published: measured {measured['published']}, the ledgers say {true['published']}"
    low, high = measured["lost"]
    if low > true["lost"][1] or high < true["lost"][0]:
        yield f"lost: measured {measured['lost']}, the ledgers say {true['lost']}"


def _left_broken(document: Mapping[str, Any]) -> Iterable[str]:
    for check in document["checks"]:
        if check["status"] in {"down", "degraded"} and check["component"] in {
            *SERVERS,
            *_supervised(document),
        }:
            yield f"at the end {check['name']} is {check['status']}: {check['detail']}"
    for incident in document["incidents"]:
        if incident["exhausted"] and incident["state"] != "closed":
            yield f"at the end {incident['component']} is given up: {incident['summary']}"


def _supervised(document: Mapping[str, Any]) -> set[str]:
    return {check["component"] for check in document["checks"] if check["kind"] == "supervision"}
