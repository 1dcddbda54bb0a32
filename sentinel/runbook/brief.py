"""A run on one screen: what was found, the worst first, and what would be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sentinel.core.quantity import format_duration
from sentinel.runbook.act import describe_condition
from sentinel.runbook.book import BookStep
from sentinel.runbook.plan import BookPlan
from sentinel.runbook.transcript import StepRecord

MAX_LINES = 4
"""Lines of a step's output that are shown at once; the transcript has them all."""
MAX_CELLS = 160
_ORDER = ("down", "degraded", "unknown", "failed", "stopped", "declined", "up", "done", "skipped")


@dataclass(frozen=True, slots=True)
class BriefLine:
    """What one step found: `word` is a status or an outcome, `rest` stands below."""

    word: str
    text: str
    rest: tuple[str, ...] = ()


def describe_evidence(records: Mapping[int, StepRecord]) -> list[BriefLine]:
    """Verdicts first, the worst of them at the top, in the order of the steps within each."""
    lines = [(_word(record), number, record) for number, record in records.items()]
    ranked = sorted(lines, key=lambda each: (_rank(each[0]), each[1]))
    return [_brief(word, number, record) for word, number, record in ranked]


def _word(record: StepRecord) -> str:
    """The verdict of a check, else how the step ended."""
    status, colon, _ = record.detail.partition(":")
    is_verdict = record.outcome == "done" and record.act.startswith("check ")
    return status if colon and is_verdict and status in _ORDER[:7] else record.outcome


def _rank(word: str) -> int:
    return _ORDER.index(word) if word in _ORDER else len(_ORDER)


def _brief(word: str, number: int, record: StepRecord) -> BriefLine:
    detail = record.detail.removeprefix(f"{word}:").strip()
    said = f": {detail}" if detail else ""
    lines = record.output.splitlines()
    if record.act.startswith("check "):
        lines = [line for line in lines if line.startswith("next: ")][:1]
    shown = [line[:MAX_CELLS] for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        shown.append(f"… {len(lines) - MAX_LINES} more lines")
    return BriefLine(word, f"{number + 1}. {record.name}{said}"[: 2 * MAX_CELLS], tuple(shown))


def describe_changes(plan: BookPlan) -> Iterator[BriefLine]:
    """Every step that changes something: what exactly, on which condition, until when."""
    for number, step in enumerate(plan.steps):
        if step.changes:
            word = "skipped" if step.skip else "would"
            text = f"{number + 1}. {step.name}"
            yield BriefLine(word, text, tuple(_describe_step(step)))


def _describe_step(step: BookStep) -> Iterator[str]:
    if step.skip:
        yield step.skip
        return
    yield str(step.run)
    parts = [f"at most {format_duration(step.timeout)}"]
    if step.precondition is not None:
        parts.insert(0, f"only if {describe_condition(step.precondition)}")
    if step.verify is not None:
        parts.append(f"then until {describe_condition(step.verify)}")
    yield "; ".join(parts)
