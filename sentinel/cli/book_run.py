"""A runbook is carried out: evidence first, then what it would do, then one question, at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sentinel.cli.columns import Line, show
from sentinel.cli.tables import clean, command_text, status_text
from sentinel.runbook.book import BookStep
from sentinel.runbook.brief import BriefLine, describe_changes, describe_evidence
from sentinel.runbook.plan import BookPlan
from sentinel.runbook.transcript import BEGUN, StepRecord, Transcript, render_transcript

FOLDER = "runbooks"
KEPT = 50
"""Transcripts in the state folder; the oldest go."""
_SAID_BY_OUTCOME = {BEGUN, "declined", "not reached"}


class BookRun:
    """What a person sees of a run, and is asked. `quiet`: a program reads the transcript."""

    def __init__(self, plan: BookPlan, incident: str, *, yes: bool, repeat: bool, quiet: bool):
        self._plan, self._incident = plan, incident
        self._yes, self._repeat, self._quiet = yes, repeat, quiet
        self._records: dict[int, StepRecord] = {}
        self._shown: set[int] = set()
        self._answer: bool | None = None

    def begin(self) -> None:
        """Which runbook for whom, before anything is read."""
        if self._quiet:
            return
        book, given = self._plan.book, self._plan.parameters
        values = ", ".join(f"{name}={value}" for name, value in given.items() if value)
        about = f"for incident {self._incident}" if self._incident else "no incident"
        show(Line(clean(f"{book.name}: {book.title}"), "bold"), clean(f"{about}; {values}"), "")
        sys.stdout.flush()

    def tell(self, number: int, record: StepRecord) -> None:
        """A step began or ended: it is kept, and shown when it changes something."""
        self._records[number] = record
        if record.changes or (self._quiet and record.outcome != BEGUN):
            line = clean(f"{number + 1}. {record.name}: {record.outcome}")
            print(line, file=sys.stderr, flush=True)

    def confirm(self, step: BookStep) -> bool:
        """Asked before every change, and asks a person once: for all of them, after the evidence."""
        if self._answer is None:
            self._show_evidence()
            self._show_changes()
            self._answer = self._yes or self._ask(step)
        return self._answer

    def confirm_again(self, step: BookStep) -> bool:
        """Asked before a change that was begun, and of which nobody knows whether it was done."""
        if self._repeat:
            return True
        self._show_evidence()
        question = (
            f"{step.name}: {step.run}\n  this was begun before, and nobody knows whether it was"
            " done. Do it again?"
        )
        return _ask(question, "--repeat")

    def _ask(self, step: BookStep) -> bool:
        count = sum(each.changes and not each.skip for each in self._plan.steps)
        what = "this change" if count == 1 else f"these {count} changes"
        if self._quiet:
            return _ask(f"{step.name}: {step.run}\n  do {what}?", "--yes")
        return _ask(f"do {what}?", "--yes")

    def _show_evidence(self) -> None:
        ended = {n: r for n, r in self._records.items() if r.outcome not in _SAID_BY_OUTCOME}
        new = {n: r for n, r in ended.items() if n not in self._shown}
        self._shown |= set(new)
        if new and not self._quiet:
            show(*_draw(describe_evidence(new)), "")

    def _show_changes(self) -> None:
        if not self._quiet:
            show(Line("it would change", "bold"), *_draw(describe_changes(self._plan)), "")
            sys.stdout.flush()

    def end(self, transcript: Transcript, path: Path | None, run: str, *, full: bool) -> None:
        """What became of it, and where all of it stands."""
        if self._quiet:
            return
        if full:
            print(transcript.text)
        else:
            self._records |= dict(enumerate(transcript.records))
            self._show_evidence()
        declined = transcript.outcome == "declined"
        style = "" if transcript.outcome == "done" else "bold yellow" if declined else "bold red"
        count = sum(len(record.output.splitlines()) for record in transcript.records)
        where = [f"in the timeline of incident {self._incident}"] if self._incident else []
        if path is not None:
            where.append(f"with its {count:,} lines of output in {path}")
        show(
            Line(f"outcome: {transcript.outcome}", style),
            clean(f"run {run}; transcript {' and '.join(where) or 'in the run only'}"),
        )
        if declined:
            show(
                "to be asked again:",
                command_text(f"sentinel runbook resume {run}"),
            )


def _draw(lines: Iterable[BriefLine]) -> list[str | list[Line]]:
    drawn: list[str | list[Line]] = []
    for line in lines:
        word = status_text(line.word)
        drawn.append([word, Line(" " * max(10 - len(word), 1) + clean(line.text))])
        drawn += [Line(f"             {clean(rest)}", "dim") for rest in line.rest]
    return drawn


def _ask(question: str, option: str) -> bool:
    if not sys.stdin.isatty():
        print(f"{question} Nobody is there to ask: add {option}", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def keep_transcript(folder: Path, run: str, transcript: Transcript) -> Path | None:
    """Write what may be kept of a run beside the state; None when the disk does not let us."""
    kept = replace(transcript, records=tuple(record.kept for record in transcript.records))
    place = folder / FOLDER
    path = place / f"{run}.txt"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(render_transcript(kept))
        _drop_old(sorted(place.glob("*.txt")))
    except OSError:
        return None
    return path


def _drop_old(paths: Sequence[Path]) -> None:
    for path in paths[:-KEPT]:
        path.unlink(missing_ok=True)
