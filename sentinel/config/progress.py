"""Tracks, milestones and the readiness gate of a configuration, judged as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sentinel.config.day import FORM, parse_begin, parse_end
from sentinel.config.model import PlatformSettings
from sentinel.config.progress_model import (
    ClaimSettings,
    EstimateSettings,
    EvidenceSettings,
    MilestoneSettings,
    RequirementSettings,
    WaiverSettings,
)
from sentinel.config.value import Resource
from sentinel.config.written import Written
from sentinel.core.component.dependencies import find_circle
from sentinel.core.model import Check
from sentinel.core.progress.plan import (
    Claim,
    Evidence,
    EvidenceKind,
    Milestone,
    Plan,
    Requirement,
    Track,
    Waiver,
)
from sentinel.probes import Kind
from sentinel.strict.explain import unknown_message
from sentinel.strict.place import Place

MAX_MILESTONES = 500
"""More than a page can show, and a simulation of them takes long."""
MAX_CIRCLES = 20
"""So many circles are told at once: a graph of hundreds of needs may have thousands, and a reload
would look for them for minutes.
"""


@dataclass(slots=True)
class PlanReader:
    """Reads everything that is to be reached; what is wrong is noted, each with its place."""

    written: Written
    settings: PlatformSettings
    resources: Mapping[str, Resource]
    checks: tuple[Check, ...]
    kinds: Mapping[str, Kind]

    def read(self) -> Plan:
        """The plan, as far as it is right."""
        settings = self.settings
        tracks = {
            name: Track(name, item.title, tuple(item.agents), item.owner)
            for name, item in settings.tracks.items()
        }
        milestones = {
            name: self._read_one(name, item) for name, item in settings.milestones.items()
        }
        self._refuse_circles(milestones)
        self._refuse_many()
        how = settings.progress
        return Plan(tracks, milestones, self._read_gate(), how.every, how.seed, how.trials)

    def _read_one(self, name: str, item: MilestoneSettings) -> Milestone:
        place = self.written.at("milestones", name)
        if item.track not in self.written.names("tracks"):
            self.written.unknown(place / "track", "track", item.track, self.settings.tracks)
        for i, need in enumerate(item.needs):
            if need not in self.written.names("milestones"):
                at = place.at("needs", i)
                self.written.unknown(at, "milestone", need, self.settings.milestones)
        if item.evidence is None and item.claimed is None:
            place.note("has neither evidence nor a claim", "add `evidence:`, or `claimed:`")
        evidence = item.evidence
        return Milestone(
            name=name,
            track=item.track,
            title=item.title,
            needs=tuple(dict.fromkeys(item.needs)),
            evidence=None
            if evidence is None
            else self._read_evidence(place / "evidence", evidence),
            claim=self._read_claim(place / "claimed", item.claimed),
            due=self._read_day(place / "due", item.due),
            stale_after=item.stale_after,
            estimate=_read_estimate(place / "estimate", item.estimate),
        )

    def _read_day(self, place: Place, text: str | None) -> datetime | None:
        end = parse_end(text) if text is not None else None
        if text is not None and end is None:
            place.note(f"{text[:60]!r} is no date, and no instant with a time zone", FORM)
        return end

    def _read_claim(self, place: Place, item: ClaimSettings | None) -> Claim | None:
        if item is None:
            return None
        at = parse_begin(item.at)
        if at is None:
            (place / "at").note(f"{item.at[:60]!r} is no date, and no instant with a zone", FORM)
            return None
        return Claim(item.percent, at, item.by)

    def _refuse_circles(self, milestones: Mapping[str, Milestone]) -> None:
        """Circles are named, up to a bound; the first edge of each is taken out, so that the next one
        is told, too.
        """
        needs = {
            name: tuple(need for need in each.needs if need in milestones)
            for name, each in milestones.items()
        }
        for _ in range(MAX_CIRCLES):
            circle = find_circle(needs)
            if not circle:
                return
            way = " → ".join([*circle, circle[0]])
            place = self.written.at("milestones", circle[0]) / "needs"
            place.note(f"milestones need each other: {way}", "remove one of these needs")
            after = circle[1] if len(circle) > 1 else circle[0]
            needs[circle[0]] = tuple(need for need in needs[circle[0]] if need != after)

    def _refuse_many(self) -> None:
        count = len(self.settings.milestones)
        if count > MAX_MILESTONES:
            place = self.written.at("milestones")
            place.note(f"has {count} milestones, more than {MAX_MILESTONES}", "join some of them")

    # -- the gate ---------------------------------------------------------------------------------

    def _read_gate(self) -> tuple[Requirement, ...]:
        first: dict[str, int] = {}
        found = []
        for i, item in enumerate(self.settings.readiness):
            place = self.written.at("readiness", i)
            if first.setdefault(item.name, i) != i:
                (place / "name").note(f"`{item.name}` is given twice", "keep one of them")
            evidence = self._read_evidence(place, item)
            waiver = self._read_waiver(place / "waive", item.waive)
            if evidence is not None:
                found.append(Requirement(item.name, evidence, waiver))
        return tuple(found)

    def _read_waiver(self, place: Place, item: WaiverSettings | None) -> Waiver | None:
        if item is None:
            return None
        until = self._read_day(place / "until", item.until)
        return None if until is None else Waiver(item.reason, item.by, until)

    # -- evidence ---------------------------------------------------------------------------------

    def _read_evidence(self, place: Place, item: EvidenceSettings) -> Evidence | None:
        """Exactly one form, whose names exist."""
        given = [name.removesuffix("_file") for name in item.given]
        if len(given) != 1:
            known = {name.removesuffix("_file") for name in type(item).model_fields}
            forms = ", ".join(kind.value for kind in EvidenceKind if kind.value in known)
            said = f"has {', '.join(given)}" if given else "names no evidence"
            place.note(said, f"write exactly one of {forms}")
            return None
        kind = EvidenceKind(given[0])
        found = _make_evidence(kind, item)
        self._check_names(place / kind.value, found)
        return self._resolve(found)

    def _check_names(self, place: Place, found: Evidence) -> None:
        """What is looked at is there."""
        kind, names = found.kind, [check.name for check in self.checks]
        checks = [name for name in self.written.check_keys("name") if isinstance(name, str)]
        if kind is EvidenceKind.CHECK:
            self._know(place, "check", found.subject, checks)
        elif kind is EvidenceKind.NO_FAULT:
            self._know(place / "check", "check", found.subject, checks)
            if found.subject in names:
                self._check_fault(place / "fault", found)
        elif kind is EvidenceKind.OBJECTIVE:
            self._know(place, "objective", found.subject, list(self._name_objectives()))
        elif kind is EvidenceKind.MILESTONE:
            self._know(place, "milestone", found.subject, self.settings.milestones)
        elif kind in {EvidenceKind.SQL, EvidenceKind.PROMQL}:
            wanted = "postgres" if kind is EvidenceKind.SQL else "http"
            self._check_resource(place / "resource", found.subject, wanted)

    def _name_objectives(self) -> Iterator[str]:
        """Also of those that are wrong otherwise: that is told at their own place."""
        for each in self.settings.objectives:
            name = each.get("name") if isinstance(each, dict) else None
            if isinstance(name, str):
                yield name

    def _know(self, place: Place, what: str, name: str, known: Iterable[str]) -> None:
        if name not in known:
            self.written.unknown(place, what, name, known)

    def _check_fault(self, place: Place, found: Evidence) -> None:
        check = next(each for each in self.checks if each.name == found.subject)
        known = self.kinds[check.kind].fault_kinds
        if found.detail not in known:
            ask = f"`sentinel kinds {check.kind}`"
            place.note(*unknown_message("fault", found.detail, known, ask))

    def _check_resource(self, place: Place, name: str, wanted: str) -> None:
        known = [each for each in self.settings.resources if self._is_type(each, wanted)]
        if name not in self.written.names("resources"):
            self.written.unknown(place, f"{wanted} resource", name, known)
        elif name in self.resources and self.resources[name].type != wanted:
            place.note(
                f"`{name}` is no {wanted} resource", f"name one of {', '.join(known) or '–'}"
            )

    def _is_type(self, name: str, wanted: str) -> bool:
        return name in self.resources and self.resources[name].type == wanted

    def _resolve(self, found: Evidence) -> Evidence:
        """Files begin at the folder of the configuration."""
        if found.kind not in {EvidenceKind.CHECKLIST, EvidenceKind.JSON}:
            return found
        path = str(self.written.relative(found.subject))
        return Evidence(
            found.kind,
            path,
            found.detail,
            found.whole,
            found.done,
            found.written,
            found.next_update,
        )


def _make_evidence(kind: EvidenceKind, item: EvidenceSettings) -> Evidence:
    if item.no_fault is not None:
        return Evidence(kind, item.no_fault.check, item.no_fault.fault)
    asked = item.sql or item.promql
    if asked is not None:
        return Evidence(kind, asked.resource, asked.query, asked.whole)
    if item.checklist is not None:
        return Evidence(kind, item.checklist.file, item.checklist.heading)
    if item.json_file is not None:
        given = item.json_file
        return Evidence(
            kind,
            given.file,
            given.path,
            given.whole,
            tuple(given.done),
            given.written or "",
            given.next_update or "",
        )
    named = item.milestone if isinstance(item, RequirementSettings) else None
    return Evidence(kind, item.check or item.objective or named or "")


def _read_estimate(place: Place, item: EstimateSettings | None) -> tuple[float, float] | None:
    if item is None:
        return None
    if item.high < item.low:
        (place / "high").note("is less than `low`", "write the longer time as `high`")
        return None
    return item.low, item.high
