"""Facts → Markdown, HTML and JSON, through templates that a folder of one's own may override.

Shipped templates are rendered here; when there is a folder, in a process of their own. A template
that is broken costs its own document and no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sentinel.core.foreign.visible import make_document_visible
from sentinel.errors import SentinelError
from sentinel.reports import find_report
from sentinel.reports.paper.child import generate_apart
from sentinel.reports.paper.inert import write_json
from sentinel.reports.paper.pdf import PdfUnavailable, make_pdf
from sentinel.reports.paper.templates import ReportSheet, TemplateBroken, generate, refuse_odd

FORMATS = ("md", "html", "json")
"""What is always made."""
PDF = "pdf"
EVERY_FORMAT = (*FORMATS, PDF)
MAX_BYTES = 1024 * 1024
MAX_SECONDS = 60.0
"""A document of somebody's own template that takes longer is given up. It may need a dozen tries
until it is short enough, each in a process of its own that takes seconds on a busy machine.
"""

Make = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The documents by format, what is wrong with the templates of those that are missing, and the
    facts that they were made from.
    """

    texts: Mapping[str, str]
    problems: Sequence[SentinelError] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    pdf: bytes | None = None

    @property
    def documents(self) -> Mapping[str, str | bytes]:
        """Everything that was made, by format."""
        return self.texts if self.pdf is None else {**self.texts, PDF: self.pdf}

    def complain(self) -> None:
        """Raise one error that tells every problem; nothing when there is none."""
        if self.problems:
            told = "; ".join(dict.fromkeys(problem.message for problem in self.problems))
            raise type(self.problems[0])(told, self.problems[0].guidance)


def render(
    name: str,
    facts: Mapping[str, Any],
    formats: Sequence[str] = FORMATS,
    templates: Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> Rendered:
    """The report in each format, every text at most `max_bytes` long; PDF is made of the HTML.

    `facts` is the JSON document of `collect`. What is too long loses the ends of its longest lists,
    and says how many lines were cut. Raises UsageError for a report that is not there.
    """
    clean, texts, problems = make_document_visible(facts), dict[str, str](), list[SentinelError]()
    shipped = find_report(name).templates
    for form in dict.fromkeys("html" if form == PDF else form for form in formats):
        try:
            texts[form] = _fit(
                _maker(ReportSheet(name, form, shipped, templates)), clean, max_bytes
            )
        except TemplateBroken as error:
            problems.append(error)
    pdf = None
    if PDF in formats and "html" in texts:
        try:
            pdf = make_pdf(texts["html"])
        except PdfUnavailable as error:
            problems.append(error)
    return Rendered(texts, problems, clean, pdf)


def _maker(sheet: ReportSheet) -> Make:
    """How a format is made; all tries to make a document short enough share one deadline."""
    if sheet.form == "json":
        return write_json
    if sheet.own is None:
        return partial(generate, sheet)
    refuse_odd(sheet)
    end = time.monotonic() + MAX_SECONDS
    return lambda facts: generate_apart(sheet, facts, end - time.monotonic())


# -- size ------------------------------------------------------------------------------------------


def _fit(make: Make, facts: Mapping[str, Any], limit: int) -> str:
    text = make(facts)
    while len(text.encode()) > limit and (shorter := _halve_longest(facts)) is not None:
        facts = shorter
        text = make(facts)
    return text if len(text.encode()) <= limit else _cut_lines(text, limit)


def _halve_longest(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The facts with the longest of their lists halved, and `cut` raised by what went; None when
    none is left.
    """
    lists = {
        key: value for key, value in facts.items() if isinstance(value, list) and len(value) > 1
    }
    if not lists:
        return None
    key = max(lists, key=lambda name: len(json.dumps(lists[name])))
    kept = len(lists[key]) // 2
    return {**facts, key: lists[key][:kept], "cut": facts.get("cut", 0) + len(lists[key]) - kept}


def _cut_lines(text: str, limit: int) -> str:
    """The last resort for a template that writes more than its facts: whole lines from the
    beginning.
    """
    lines = text.splitlines(keepends=True)
    size, kept = 0, 0
    for line in lines:
        size += len(line.encode())
        if size > limit - 64:
            break
        kept += 1
    return "".join(lines[:kept]) + f"\ncut: {len(lines) - kept} lines\n"
