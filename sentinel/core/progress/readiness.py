"""Go or no-go: how many of the requirements hold, on what evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sentinel.core.progress.plan import Reading, Requirement


class GateState(StrEnum):
    """What became of one requirement."""

    PASSED = "passed"
    FAILED = "failed"
    INSUFFICIENT = "insufficient data"
    """Nothing was measured, or too little: that is no pass."""
    WAIVED = "waived"
    """It does not hold, and somebody bears that until a day."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One requirement with what was found."""

    requirement: Requirement
    state: GateState
    ratio: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict over all requirements. A waived one is no pass, and does not stop."""

    judged: Sequence[Judged]

    @property
    def passed(self) -> int:
        """How many hold."""
        return sum(each.state is GateState.PASSED for each in self.judged)

    @property
    def share(self) -> float | None:
        """Share that holds; None where nothing is required."""
        return self.passed / len(self.judged) if self.judged else None

    @property
    def is_go(self) -> bool:
        """Whether nothing stops it; where nothing is required nothing is known."""
        good = (GateState.PASSED, GateState.WAIVED)
        return bool(self.judged) and all(each.state in good for each in self.judged)


def judge_gate(
    requirements: Sequence[Requirement], readings: Mapping[str, Reading], now: datetime
) -> Gate:
    """Each requirement against what was read of its evidence, by its name."""
    return Gate([_judge(each, readings.get(each.name), now) for each in requirements])


def _judge(requirement: Requirement, reading: Reading | None, now: datetime) -> Judged:
    ratio = reading.ratio if reading is not None else None
    if reading is None:
        state, basis = GateState.INSUFFICIENT, "nobody has looked yet"
    elif ratio is None:
        state, basis = GateState.INSUFFICIENT, reading.why or "there was nothing to judge"
    else:
        basis = reading.basis
        state = GateState.PASSED if ratio >= 1 - 1e-12 else GateState.FAILED
    waiver = requirement.waiver
    if waiver is not None and state is not GateState.PASSED:
        if now < waiver.until:
            state = GateState.WAIVED
        else:
            basis = f"{basis}; its waiver ended at {waiver.until:%Y-%m-%d %H:%M} UTC"
    return Judged(requirement, state, ratio, basis)
