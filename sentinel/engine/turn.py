"""One turn of a check: run it once, count it, take what it says, and see whether to act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Quality, Result
from sentinel.engine.coverage import Coverage
from sentinel.engine.pipeline import Pipeline
from sentinel.engine.remediator import Remediator
from sentinel.engine.runner import Runner
from sentinel.probes import Kind


@dataclass(frozen=True, slots=True)
class Turn:
    """What the scheduler has done for each due check."""

    kinds: Mapping[str, Kind]
    runner: Runner
    coverage: Coverage
    pipeline: Pipeline
    remediator: Remediator

    async def run(self, check: Check) -> bool:
        """Run a check and take its result. True: look again soon."""
        result = await self.runner.run(check, self.kinds[check.kind])
        why = self.remediator.circumstances.why_unjudged(check.component)
        if why and result.finding.status is not Status.UP:
            result = replace(result, finding=_withhold(result.finding, why))
        seen = result.quality is Quality.OBSERVED and result.finding.status is not Status.UNKNOWN
        self.coverage.note(due=1, seen=seen)
        return await self.take(result)

    async def take(self, result: Result) -> bool:
        """A result has come: first it is taken in, then it may be acted upon."""
        soon = await self.pipeline.take(result)
        self.remediator.heed(result.check)
        return soon


def _withhold(finding: Finding, why: str) -> Finding:
    """What sentinel itself does not let run is not down: nobody is blamed, and what was measured is
    kept.
    """
    return Finding(
        Status.UNKNOWN, f"not judged: {why}", finding.rows, finding.evidence, key=finding.key
    )
