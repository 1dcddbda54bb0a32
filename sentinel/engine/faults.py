"""The faults of a check over its turns: what began, changed or ended, and which ones count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentinel.core import fault as fault_core
from sentinel.core.fault import Fault, FaultStep, StandingFault, Status
from sentinel.core.incident import BAD
from sentinel.core.model import Finding
from sentinel.engine.picture import WatchedCheck
from sentinel.metrics import Metrics
from sentinel.store import Changes


@dataclass(frozen=True, slots=True)
class Faults:
    """Keeps the faults of each check in the picture, the store and the metrics, without secrets."""

    metrics: Metrics
    scrub: Callable[[Any], Any]

    def take(self, watched: WatchedCheck, finding: Finding, changes: Changes) -> Finding:
        """Take in what a run found; the finding without what somebody accepted.

        A run that could not see leaves what stands as it is; what it can't judge is added to it.
        """
        found = [self._clean(fault) for fault in finding.faults]
        if finding.status is Status.UNKNOWN:
            found = [*_bad(watched.standing), *found]
        check, now = watched.check, watched.at
        step = fault_core.step(
            watched.standing, found, check.name, check.component, check.accept, now
        )
        watched.moved, watched.standing, watched.cut = step, step.present, step.cut
        changes.faults.extend(step.written)
        self.show(watched)
        return _spare(replace(finding, faults=tuple(found)), step)

    def show(self, watched: WatchedCheck) -> None:
        """Export how many subjects have each fault."""
        standing, accepted = watched.count_faults()
        self.metrics.set_faults(watched.check.name, standing, accepted)

    def _clean(self, fault: Fault) -> Fault:
        """Names and texts come from the platform: they may hold what must not be shown."""
        return replace(
            fault,
            subject=self.scrub(dict(fault.subject)),
            text=self.scrub(fault.text),
            cure=tuple(self.scrub(command) for command in fault.cure),
            guidance=self.scrub(fault.guidance),
            parameters=self.scrub(dict(fault.parameters)),
        )


def _bad(standing: Sequence[StandingFault]) -> list[Fault]:
    return [each.fault for each in standing if each.fault.status in BAD]


def _spare(finding: Finding, step: FaultStep) -> Finding:
    """What is accepted makes no check bad; what else is wrong still does."""
    if finding.status not in BAD or not any(each.accepted for each in step.present):
        return finding
    counting = [each.fault for each in step.present if each.accepted is None]
    status = fault_core.judge(counting)
    spared = sum(each.accepted is not None for each in step.present)
    head = fault_core.headline(counting) or "nothing but what is accepted"
    rest = finding.detail.removeprefix(fault_core.headline(finding.faults)).removeprefix("; ")
    parts = [head, f"{spared} accepted", rest]
    return replace(finding, status=status, detail="; ".join(part for part in parts if part))
