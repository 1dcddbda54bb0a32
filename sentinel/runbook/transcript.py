"""What became of a run, as values and as text for terminals, tickets and timelines. Nothing secret,
nothing hostile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sentinel.core.quantity import format_duration
from sentinel.redaction import hide_shapes

BEGUN = "begun"
"""A step that was begun and whose end nobody wrote down: what became of it is not known."""
MAX_EVIDENCE = 4096
_NOT_KEPT = "(not kept: what is in messages or command lines)"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step.

    `outcome`: `planned`, `begun`, `done`, `skipped`, `failed`, `stopped`, `declined`, or `not
    reached`.
    """

    name: str
    act: str
    changes: bool
    outcome: str
    detail: str = ""
    output: str = ""
    seconds: float | None = None
    private: bool = False
    """The output shows what is in messages, or command lines: it is shown to who asked, and kept
    nowhere.
    """

    @property
    def kept(self) -> StepRecord:
        """What may be kept of it."""
        return replace(self, output=_NOT_KEPT) if self.private and self.output else self

    @property
    def is_settled(self) -> bool:
        """Whether a resumed run leaves this step as it is: it is done, or it only looked."""
        return self.outcome in {"done", "skipped"} or (
            self.outcome == "failed" and not self.changes
        )


@dataclass(frozen=True, slots=True)
class Transcript:
    """A run of a runbook. `outcome`: `dry run`, `done`, `done with failures`, `stopped`, `failed`
    or `declined`.
    """

    book: str
    title: str
    parameters: Mapping[str, str]
    dry_run: bool
    began: datetime
    ended: datetime
    outcome: str
    records: tuple[StepRecord, ...]

    @property
    def text(self) -> str:
        """The transcript for a terminal or a ticket."""
        return render_transcript(self)


def describe_kept(
    transcript: Transcript, max_output: int = 25, max_text: int = 16_000
) -> dict[str, Any]:
    """The transcript as it may be kept: bounded, and nothing of what is in messages.

    Keys: `runbook`; `steps`, each with name, outcome and detail; `transcript`, the text.
    """
    kept = replace(transcript, records=tuple(record.kept for record in transcript.records))
    return {
        "runbook": transcript.book,
        "steps": [
            {"name": r.name, "outcome": r.outcome, "detail": r.detail[:300]} for r in kept.records
        ],
        "transcript": render_transcript(kept, max_output)[:max_text],
    }


def render_transcript(transcript: Transcript, max_output: int | None = None) -> str:
    """The transcript as plain text; `max_output` is the most lines shown of the output of one step."""
    given = ", ".join(f"{name}={value}" for name, value in transcript.parameters.items())
    lines = [
        (
            f"{transcript.book}:"
            f" {transcript.title}{' (dry run: nothing was run)' if transcript.dry_run else ''}"
        ),
        f"began {transcript.began:%Y-%m-%d %H:%M:%S} UTC{f', with {given}' if given else ''}",
    ]
    for number, record in enumerate(transcript.records, 1):
        lines += ["", *_render_record(number, record, max_output)]
    return "\n".join([*lines, "", f"outcome: {transcript.outcome}", ""])


def _render_record(number: int, record: StepRecord, max_output: int | None) -> list[str]:
    mark = " [changes]" if record.changes else ""
    idle = record.seconds is None or record.outcome == "skipped"
    took = "" if idle else f" in {format_duration(record.seconds)}"
    shown = record.output.splitlines()
    cut = (
        [f"   | … {len(shown) - max_output} more lines"]
        if max_output is not None and len(shown) > max_output
        else []
    )
    return [
        f"{number}. {record.name}{mark}: {record.outcome}{took}",
        f"   {redact(record.act)}",
        *([f"   {record.detail}"] if record.detail else []),
        *(f"   | {line}" for line in shown[:max_output]),
        *cut,
    ]


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def redact(text: str) -> str:
    """The text without what looks like a secret, and without control characters."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", hide_shapes(text))


def show_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as columns with a heading; of nothing, nothing."""
    if not rows:
        return ""
    names = list(rows[0])
    table = [names, *([" ".join(str(row[name]).split()) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def show_reply(reply: Any, *, paired: bool = False, depth: int = 0) -> str:
    """A Redis reply for people: one line per item, nested ones indented; `paired`: names beside
    their values.
    """
    indent = "  " * max(depth - 1, 0)
    if not isinstance(reply, list):
        return "\n".join(f"{indent}{line}" for line in _word(reply).splitlines())
    if not reply:
        return f"{indent}(empty)"
    if paired and len(reply) % 2 == 0 and all(isinstance(name, bytes | str) for name in reply[::2]):
        return "\n".join(
            _show_pair(name, value, depth)
            for name, value in zip(reply[::2], reply[1::2], strict=True)
        )
    return "\n".join(show_reply(item, paired=paired, depth=depth + 1) for item in reply)


_ENTRIES = {b"first-entry", b"last-entry"}
"""In the reply to XINFO STREAM, whole messages: their ids are enough."""


def _show_pair(name: Any, value: Any, depth: int) -> str:
    indent = "  " * max(depth - 1, 0)
    if name in _ENTRIES and isinstance(value, list) and value:
        return f"{indent}{_word(name)}: {_word(value[0])}"
    if isinstance(value, list) and value:
        return f"{indent}{_word(name)}:\n{show_reply(value, paired=True, depth=max(depth, 1) + 1)}"
    return f"{indent}{_word(name)}: {_word(value) if not isinstance(value, list) else '(empty)'}"


def _word(value: Any) -> str:
    if value is None:
        return "(nil)"
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def show_evidence(guidance: str, evidence: Mapping[str, Any]) -> str:
    """What a check says beside its line: the next step, then its evidence, one fact a line,
    bounded.
    """
    facts = [
        f"{name}: {_brief(value)}"
        for name, value in evidence.items()
        if value not in (None, "", [], {})
    ]
    text = "\n".join([*([f"next: {guidance}"] if guidance else []), *facts])
    return text if len(text) <= MAX_EVIDENCE else f"{text[:MAX_EVIDENCE]}\n…"


def _brief(value: Any) -> str:
    """Lists of facts one a line, everything else as one line of JSON."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping | str):
        return "".join(f"\n  {item if isinstance(item, str) else _json(item)}" for item in value)
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
