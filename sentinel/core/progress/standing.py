"""How each milestone stands: measured or claimed, and what contradicts what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sentinel.core.progress.plan import Milestone, Plan, Reading
from sentinel.core.quantity import format_duration

_SAME = 0.005
"""Half a point: people round."""
_A_DAY = timedelta(days=1)
"""So far ahead a date may be: today begins earlier elsewhere."""


class WorkState(StrEnum):
    """How far a milestone is."""

    DONE = "done"
    CLAIMED = "claimed done"
    """Somebody said so, and nothing measures it."""
    IN_PROGRESS = "in progress"
    READY = "ready"
    """Nothing is done, and nothing that it needs is missing."""
    WAITING = "waiting"
    """Something that it needs is missing."""
    UNKNOWN = "not measured"

    @property
    def is_over(self) -> bool:
        """Whether what needs it may begin."""
        return self in {WorkState.DONE, WorkState.CLAIMED}


@dataclass(frozen=True, slots=True)
class WorkStanding:
    """One milestone now. `ratio` is None where nothing was measured or claimed; `claimed`: it is
    what somebody said. `before` is what the last report told; `open_needs` is what it waits for.
    """

    milestone: Milestone
    state: WorkState
    ratio: float | None
    claimed: bool
    before: float | None
    basis: str
    notes: tuple[str, ...]
    open_needs: tuple[str, ...]

    @property
    def overdue(self) -> bool:
        """Whether one of its notes says so."""
        return any(note.startswith("overdue") for note in self.notes)


def judge_plan(
    plan: Plan,
    readings: Mapping[str, Reading],
    before: Mapping[str, float],
    best: Mapping[str, float],
    now: datetime,
) -> dict[str, WorkStanding]:
    """Every milestone, by name. `before`: ratios that the last report told, `best`: the highest that
    were ever measured.
    """
    ratios = {name: _find_ratio(each, readings.get(name)) for name, each in plan.milestones.items()}
    over = {name for name, (ratio, _) in ratios.items() if ratio is not None and ratio >= 1 - 1e-12}
    found = {}
    for name, milestone in plan.milestones.items():
        ratio, claimed = ratios[name]
        missing = tuple(need for need in milestone.needs if need not in over)
        reading = readings.get(name)
        found[name] = WorkStanding(
            milestone,
            _find_state(ratio, missing, claimed=claimed),
            ratio,
            claimed,
            before.get(name),
            _find_basis(milestone, reading, claimed=claimed),
            tuple(_note(milestone, reading, ratio, best.get(name), missing, now)),
            missing,
        )
    return found


def _find_ratio(milestone: Milestone, reading: Reading | None) -> tuple[float | None, bool]:
    """(ratio, whether it is only claimed): a measurement comes before any claim."""
    measured = reading.ratio if reading is not None else None
    if measured is not None:
        return measured, False
    claim = milestone.claim
    return (claim.ratio, True) if claim is not None else (None, False)


def _find_state(ratio: float | None, missing: tuple[str, ...], *, claimed: bool) -> WorkState:
    if ratio is None:
        return WorkState.UNKNOWN
    if ratio >= 1 - 1e-12:
        return WorkState.CLAIMED if claimed else WorkState.DONE
    if missing:
        return WorkState.WAITING
    return WorkState.IN_PROGRESS if ratio > 0 else WorkState.READY


def _find_basis(milestone: Milestone, reading: Reading | None, *, claimed: bool) -> str:
    if claimed and milestone.claim is not None:
        who = f" by {milestone.claim.by}" if milestone.claim.by else ""
        said = f"claimed{who} on {milestone.claim.at:%Y-%m-%d}"
        why = reading.why if reading is not None else ""
        return f"{said}; {why}" if why else said
    if reading is None:
        return "not measured: nobody has looked yet"
    return reading.basis if reading.ratio is not None else f"not measured: {reading.why}"


def _note(
    milestone: Milestone,
    reading: Reading | None,
    ratio: float | None,
    best: float | None,
    missing: tuple[str, ...],
    now: datetime,
) -> Iterator[str]:
    """What contradicts what, and what is late."""
    claim, measured = milestone.claim, reading.ratio if reading is not None else None
    if claim is not None and measured is not None and abs(claim.ratio - measured) > _SAME:
        yield f"contradiction: claimed {_show(claim.ratio)}, measured {_show(measured)}"
    if best is not None and ratio is not None and ratio < best - _SAME:
        yield f"went back: was {_show(best)}, is {_show(ratio)}"
    if ratio is not None and ratio > 0 and missing:
        word = "done" if ratio >= 1 else "begun"
        yield f"contradiction: {word} before what it needs ({', '.join(missing)})"
    yield from _note_age(milestone, reading, measured, now)
    unfinished = ratio is None or ratio < 1
    if milestone.due is not None and now > milestone.due and unfinished:
        yield f"overdue for {format_duration((now - milestone.due).total_seconds())}"


def _note_age(
    milestone: Milestone, reading: Reading | None, measured: float | None, now: datetime
) -> Iterator[str]:
    limit = timedelta(seconds=milestone.stale_after)
    said = milestone.claim.at if measured is None and milestone.claim is not None else None
    written = reading.written if reading is not None and measured is not None else said
    if written is not None and now - written > limit:
        yield f"stale: said {format_duration((now - written).total_seconds())} ago"
    if written is not None and written - now > _A_DAY:
        yield f"contradiction: said on {written:%Y-%m-%d}, which is yet to come"
    if reading is not None and measured is not None and now - reading.at > limit:
        yield f"stale: looked at {format_duration((now - reading.at).total_seconds())} ago"
    if reading is not None and reading.overdue is not None and now > reading.overdue:
        late = format_duration((now - reading.overdue).total_seconds())
        yield f"stale: its source is {late} behind its own next update"


def _show(ratio: float) -> str:
    return f"{100 * ratio:.1f}".rstrip("0").rstrip(".") + " %"
