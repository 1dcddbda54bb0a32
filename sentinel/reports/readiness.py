"""The readiness gate: does everything hold that must hold before it is a go?"""

from __future__ import annotations

from datetime import datetime

from sentinel.core.progress.plan import Evidence
from sentinel.core.progress.readiness import Gate, GateState, Judged, judge_gate
from sentinel.reports import Report, ReportRequest
from sentinel.reports.figures.milestone import name_requirement, read_readings
from sentinel.reports.figures.work import ReadinessFacts, RequirementFact
from sentinel.store import Reader


def readiness_facts(store: Reader, now: datetime, request: ReportRequest) -> ReadinessFacts:
    """Each requirement with the last look at its evidence."""
    readings, required = read_readings(store), request.plan.requirements
    mine = {
        each.name: reading
        for each in required
        if (reading := readings.get(name_requirement(each.name))) is not None
    }
    gate = judge_gate(required, mine, now)
    return ReadinessFacts(
        platform=store.meta("platform") or "platform",
        generated=now,
        headline=_headline(gate),
        go=gate.is_go,
        passed=gate.passed,
        required=len(required),
        share=gate.share,
        requirements=[_tell(each) for each in gate.judged],
        next_update=request.next_update,
    )


def _headline(gate: Gate) -> str:
    if gate.share is None:
        return "No-go: nothing is required in the configuration, so nothing is known."
    share = f"{100 * gate.share:.1f}".rstrip("0").rstrip(".")
    counts = f"{gate.passed} of {len(gate.judged)}, {share} %"
    waived = sum(each.state is GateState.WAIVED for each in gate.judged)
    tail = f", {waived} waived" if waived else ""
    return f"{'Go' if gate.is_go else 'No-go'}: {counts}{tail}."


def _tell(judged: Judged) -> RequirementFact:
    waiver = judged.requirement.waiver
    return RequirementFact(
        name=judged.requirement.name,
        state=judged.state.value,
        ratio=judged.ratio,
        evidence=describe_evidence(judged.requirement.evidence),
        basis=judged.basis,
        waived_by=waiver.by if waiver else "",
        waiver=waiver.reason if waiver else "",
        until=waiver.until if waiver else None,
    )


def describe_evidence(evidence: Evidence) -> str:
    """Where one looks, in a few words."""
    words = evidence.kind.value.replace("_", " ")
    return f"{words} {evidence.subject}" + (f": {evidence.detail}" if evidence.detail else "")


REPORT = Report(
    name="readiness",
    summary="go or no-go: what must hold, and on what evidence it does",
    facts=readiness_facts,
)
