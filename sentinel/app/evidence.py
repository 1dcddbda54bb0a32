"""Looks at the evidence of milestones and requirements, and remembers what it found.

A look only reads, has a deadline of its own, and never raises: what can't be read is not measured.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from sentinel.adapters.postgres.numbers import ask_numbers
from sentinel.adapters.prometheus import ask_number
from sentinel.app.wiring import Clients
from sentinel.config import Configuration
from sentinel.core.foreign.document import ForeignDocument, read_foreign_json
from sentinel.core.moment import from_unix, read_instant
from sentinel.core.objective import ObjectiveStanding
from sentinel.core.progress.checklist import count_boxes
from sentinel.core.progress.plan import Evidence, EvidenceKind, Plan, Reading
from sentinel.core.quantity import read_number
from sentinel.errors import SentinelError
from sentinel.reports.figures.milestone import EVIDENCE, NAME, name_requirement, read_readings
from sentinel.store import Changes, CheckView, Reader, Sample, Store, unobserved_since
from sentinel.store.document import write
from sentinel.strict.attempt import describe_surprise
from sentinel.strict.file import read_regular_file, show_path

log = structlog.get_logger()

PATIENCE = 10.0
"""Seconds for one look."""
MAX_FILE = 8 * 2**20
KEPT = timedelta(minutes=1)
"""For so long a round that found what was known is not written again: it may say that it looked a
minute ago when it did just now, never the reverse.
"""
MOVING = timedelta(seconds=20)
"""For so long one that found other figures alone: a count that goes up at each look is written three
times a minute. What is reached, lost, or not measured any more is written at once.
"""
AT_ONCE = 4
"""Looks side by side: a plan of hundreds of queries is no load for who answers them."""


class _Unmeasured(Exception):
    """Why nothing was measured."""


@dataclass(frozen=True, slots=True)
class KnownEvidence:
    """What the store tells before a round of looks: checks by name, the readings of the last round,
    since when nobody watches, if so, and objectives by name.
    """

    views: Mapping[str, CheckView]
    readings: Mapping[str, Reading]
    blind: datetime | None
    objectives: Mapping[str, ObjectiveStanding] = field(default_factory=dict)


def read_known(store: Reader, now: datetime) -> KnownEvidence:
    """All of it at once: the daemon asks its store in a thread."""
    views = {view.name: view for view in store.checks()}
    objectives = {each.objective.name: each for each in store.objectives()}
    return KnownEvidence(views, read_readings(store), unobserved_since(store, now), objectives)


@dataclass(slots=True)
class EvidenceReader:
    """One round of looks."""

    plan: Plan
    known: KnownEvidence
    clients: Mapping[str, Any]
    now: datetime

    async def read(self) -> list[Reading]:
        """A reading of every milestone with evidence, then of every requirement."""
        gate = asyncio.Semaphore(AT_ONCE)
        wanted = {
            name: each.evidence for name, each in self.plan.milestones.items() if each.evidence
        }
        milestones = await asyncio.gather(
            *(self._look(gate, name, evidence) for name, evidence in wanted.items())
        )
        found = {each.name: each for each in milestones}
        requirements = await asyncio.gather(
            *(
                self._follow(each.name, each.evidence, found)
                if each.evidence.kind is EvidenceKind.MILESTONE
                else self._look(gate, name_requirement(each.name), each.evidence)
                for each in self.plan.requirements
            )
        )
        return [*milestones, *requirements]

    async def _follow(self, name: str, evidence: Evidence, found: Mapping[str, Reading]) -> Reading:
        """What was just read of a milestone; a claim is no evidence."""
        own, reading = name_requirement(name), found.get(evidence.subject)
        if reading is None:
            why = f"nothing measures milestone {evidence.subject}: it is only claimed"
            return Reading(own, self.now, why=why)
        basis = f"milestone {evidence.subject}: {reading.basis}"
        return Reading(own, self.now, reading.done, reading.total, basis, reading.why)

    async def _look(self, gate: asyncio.Semaphore, name: str, evidence: Evidence) -> Reading:
        """One look; whatever goes wrong is why nothing was measured."""
        try:
            async with gate, asyncio.timeout(PATIENCE):
                return await _LOOKS[evidence.kind](self, name, evidence)
        except TimeoutError:
            why = f"no answer within {PATIENCE:g} s"
        except SentinelError as error:
            why = f"{error.message}; {error.guidance}" if error.guidance else error.message
        except _Unmeasured as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - one look must not cost the others
            why = f"sentinel itself failed: {describe_surprise(error)}"
            log.error("evidence_failed", evidence=name, error=repr(error)[:500])
        return Reading(name, self.now, why=why[:500])

    # -- what sentinel knows already --------------------------------------------------------------

    async def _check(self, name: str, evidence: Evidence) -> Reading:
        view = self._find_view(evidence.subject)
        return Reading(
            name, self.now, float(view.status == "up"), 1.0, f"check {view.name} is {view.status}"
        )

    async def _no_fault(self, name: str, evidence: Evidence) -> Reading:
        view = self._find_view(evidence.subject)
        count = view.faults.get(evidence.detail, 0)
        basis = f"{count} with fault {evidence.detail} by check {view.name}"
        return Reading(name, self.now, float(count == 0), 1.0, basis)

    def _find_view(self, name: str) -> CheckView:
        """A check that tells something now."""
        if self.known.blind is not None:
            raise _Unmeasured("sentinel does not run, so no check tells anything")
        view = self.known.views.get(name)
        if view is None or view.status not in {"up", "degraded", "down"}:
            raise _Unmeasured(
                f"check {name} tells nothing: {view.detail if view else 'not run yet'}"
            )
        return view

    # -- foreign systems --------------------------------------------------------------------------

    async def _sql(self, name: str, evidence: Evidence) -> Reading:
        numbers = await ask_numbers(self.clients[evidence.subject], evidence.detail, 2)
        done, total = (*numbers, evidence.whole)[:2]
        return _count(name, self.now, done, total, f"query on {evidence.subject}")

    async def _promql(self, name: str, evidence: Evidence) -> Reading:
        client = self.clients[evidence.subject]
        done = await ask_number(client, evidence.detail, PATIENCE)
        return _count(
            name, self.now, done, evidence.whole, f"{evidence.subject}: {evidence.detail}"
        )

    async def _checklist(self, name: str, evidence: Evidence) -> Reading:
        text, written = await _read_file(evidence.subject)
        counted = await asyncio.to_thread(count_boxes, text, evidence.detail)
        if counted is None:
            raise _Unmeasured(f"{show_path(evidence.subject)} has no heading {evidence.detail!r}")
        if not counted[1]:
            raise _Unmeasured(f"{show_path(evidence.subject)} has no boxes there")
        basis = f"boxes of {Path(evidence.subject).name}"
        return _count(name, self.now, *counted, basis, written)

    async def _json(self, name: str, evidence: Evidence) -> Reading:
        text, modified = await _read_file(evidence.subject)
        return await asyncio.to_thread(self._judge_json, name, evidence, text, modified)

    def _judge_json(self, name: str, evidence: Evidence, text: str, modified: datetime) -> Reading:
        """Beside the loop: to parse megabytes takes a second in which checks go on."""
        try:
            document = ForeignDocument(read_foreign_json(text))
            values = [value for _, value in document.find(evidence.detail)]
            written = _find_time(document, evidence.written) or modified
            overdue = _find_time(document, evidence.next_update)
        except ValueError as error:
            raise _Unmeasured(f"{show_path(evidence.subject)}: {error}") from error
        if not values:
            raise _Unmeasured(f"{evidence.detail} leads nowhere in {show_path(evidence.subject)}")
        done, total = _add_up(values, evidence)
        basis = f"{len(values)} value{'s' * (len(values) != 1)} of {Path(evidence.subject).name}, as it says itself"
        return _count(name, self.now, done, total, basis, min(written, modified), overdue)

    async def _objective(self, name: str, evidence: Evidence) -> Reading:
        if self.known.blind is not None:
            raise _Unmeasured("sentinel does not run, so no objective is judged")
        standing = self.known.objectives.get(evidence.subject)
        if standing is None:
            raise _Unmeasured(f"objective {evidence.subject} was not judged yet")
        told = f"objective {evidence.subject}: {standing.counts.total:g} events"
        if standing.ratio is None:
            raise _Unmeasured(f"{told}, {standing.state.value.replace('_', ' ')}")
        share = f"{100 * standing.ratio:.4g} % good of {100 * standing.objective.target:.4g} %"
        return Reading(name, self.now, float(standing.is_met), 1.0, f"{told}, {share}")


_LOOKS: Mapping[EvidenceKind, Callable[[EvidenceReader, str, Evidence], Awaitable[Reading]]] = {
    EvidenceKind.CHECK: EvidenceReader._check,
    EvidenceKind.NO_FAULT: EvidenceReader._no_fault,
    EvidenceKind.OBJECTIVE: EvidenceReader._objective,
    EvidenceKind.SQL: EvidenceReader._sql,
    EvidenceKind.PROMQL: EvidenceReader._promql,
    EvidenceKind.CHECKLIST: EvidenceReader._checklist,
    EvidenceKind.JSON: EvidenceReader._json,
}


async def read_evidence(
    plan: Plan, known: KnownEvidence, clients: Mapping[str, Any], now: datetime
) -> Changes:
    """One round of looks, as what is to be remembered: the readings, and points of their history."""
    readings = await EvidenceReader(plan, known, clients, now).read()
    if _is_known(readings, known.readings):
        return Changes()
    samples = [
        sample
        for each in readings
        if each.name in plan.milestones
        for sample in _find_points(each, known.readings.get(each.name))
    ]
    return Changes(meta={EVIDENCE: write({each.name: each for each in readings})}, samples=samples)


def _is_known(readings: Sequence[Reading], former: Mapping[str, Reading]) -> bool:
    """Whether they say what was written a short while ago, of the same names."""
    if len(readings) != len(former):
        return False
    for each in readings:
        known = former.get(each.name)
        if known is None:
            return False
        same = replace(each, at=known.at) == known
        if not timedelta() <= each.at - known.at < (KEPT if same else MOVING):
            return False
        if not same and _find_turn(each) != _find_turn(known):
            return False
    return True


def _find_turn(reading: Reading) -> tuple[object, ...]:
    """What of a reading somebody acts by: whether it is reached, or why nobody knows."""
    is_reached = reading.ratio is not None and reading.ratio >= 1.0
    return is_reached, reading.ratio is None, reading.why, reading.overdue


async def look_once(configuration: Configuration, store: Store, now: datetime) -> None:
    """One round of looks without a daemon, remembered."""
    plan, known = configuration.plan, read_known(store, now)
    clients = Clients({name: configuration.resources[name] for name in _find_resources(plan)})
    try:
        store.commit(await read_evidence(plan, known, clients, now))
    finally:
        await clients.close()


def _find_resources(plan: Plan) -> set[str]:
    """Which foreign systems the evidence lies in."""
    evidence = [each.evidence for each in plan.milestones.values()]
    evidence += [each.evidence for each in plan.requirements]
    foreign = {EvidenceKind.SQL, EvidenceKind.PROMQL}
    return {each.subject for each in evidence if each is not None and each.kind in foreign}


def _find_points(reading: Reading, former: Reading | None) -> list[Sample]:
    """Points of the history: where it moved, the last one before that, too, so that a step stays a
    step; a history without moves is one point.
    """
    if reading.ratio is None:
        return []
    if former is None or former.ratio is None:
        return _write_point(reading)
    if (former.done, former.total) == (reading.done, reading.total):
        return []
    return [*_write_point(former), *_write_point(reading)]


def _write_point(reading: Reading) -> list[Sample]:
    labels = {"milestone": reading.name}
    return [
        Sample(reading.at, NAME, word, labels, value)
        for word, value in (("done", reading.done), ("total", reading.total))
        if value is not None
    ]


def _count(
    name: str,
    now: datetime,
    done: float,
    total: float,
    basis: str,
    written: datetime | None = None,
    overdue: datetime | None = None,
) -> Reading:
    """A reading of so many of so many; of nothing nothing is done."""
    if total <= 0:
        raise _Unmeasured(f"there is nothing to do: {done:g} of {total:g}, {basis}")
    return Reading(name, now, done, total, f"{done:g} of {total:g}, {basis}", "", written, overdue)


def _add_up(values: list[Any], evidence: Evidence) -> tuple[float, float]:
    """(done, total) of the values of a document: numbers of their whole, words that mean done."""
    if evidence.done:
        wanted = {word.casefold() for word in evidence.done}
        return float(sum(str(each).strip().casefold() in wanted for each in values)), float(
            len(values)
        )
    numbers = [read_number(str(each)) for each in values]
    bad = next((each for each, number in zip(values, numbers, strict=True) if number is None), None)
    if bad is not None or None in numbers:
        raise _Unmeasured(
            f"{json.dumps(bad, default=str)[:60]} is no number; name words that mean done"
        )
    known = [min(max(number or 0.0, 0.0), evidence.whole) for number in numbers]
    return math.fsum(known) / evidence.whole, float(len(known))


def _find_time(document: ForeignDocument, path: str) -> datetime | None:
    """The first time that a path leads to."""
    found = document.find(path) if path else ()
    seconds = read_instant(found[0][1]) if found else None
    return from_unix(seconds) if seconds is not None else None


async def _read_file(path: str) -> tuple[str, datetime]:
    """Text of a file and when it was written. Raises UnreadableFile, which names it."""
    content = await asyncio.to_thread(_load, Path(path))
    written = from_unix(content[1])
    if written is None:
        raise _Unmeasured(f"{show_path(path)} was written at no time")
    return content[0], written


def _load(path: Path) -> tuple[str, float]:
    try:
        content = read_regular_file(path, MAX_FILE)
    except SentinelError as error:
        raise _Unmeasured(f"{show_path(path)} {error.message}") from error
    return content.data.decode("utf-8", "replace"), content.status.st_mtime
