"""Jinja2 templates of reports: ours, and those of a folder that override them by name."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from sentinel.errors import SentinelError
from sentinel.reports import TEMPLATES
from sentinel.reports.paper import show
from sentinel.reports.paper.inert import escape_markdown

MAX_RENDERED = 16 * 1024 * 1024
"""A template that writes more characters than this is broken: it is stopped, not cut."""
LOOP = "is there a loop in a loop?"
FAULTS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError,
    OSError,
)  # fmt: skip
"""What a template can raise."""


class TemplateBroken(SentinelError):
    """A report template can't be used: which, where, and what to do."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class ReportSheet:
    """One document to make: `<report>.<form>.j2` of a folder of somebody's own, else of `shipped`."""

    report: str
    form: str
    shipped: Path
    own: Path | None = None

    @property
    def name(self) -> str:
        """The template's name."""
        return f"{self.report}.{self.form}.j2"

    @property
    def file(self) -> Path:
        """Where it is."""
        own = self.own / self.name if self.own is not None else None
        return own if own is not None and own.is_file() else self.shipped / self.name


def refuse_odd(sheet: ReportSheet) -> None:
    """Raises TemplateBroken where a folder, a pipe or a link that leads nowhere has the name of a
    template: whoever put it there means something by it.
    """
    own = sheet.own / sheet.name if sheet.own is not None else None
    if own is not None and os.path.lexists(own) and not own.is_file():
        raise TemplateBroken(f"{own} is no file", "remove it so that the shipped one is used")


def generate(sheet: ReportSheet, facts: Mapping[str, Any]) -> str:
    """The document. Raises TemplateBroken with file, line and remedy."""
    pieces, size = [], 0
    try:
        template = _make_environment(sheet).get_template(sheet.name)
        for piece in template.generate(facts=facts):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_RENDERED:
                break
    except FAULTS as error:
        raise _broken(sheet, error) from error
    if size > MAX_RENDERED:
        written = f"{sheet.file} writes more than {MAX_RENDERED // 1024 // 1024} MiB"
        raise TemplateBroken(written, LOOP)
    return "".join(pieces)


def _make_environment(sheet: ReportSheet) -> SandboxedEnvironment:
    folders = dict.fromkeys((sheet.shipped, TEMPLATES))
    ours = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
    own: list[BaseLoader] = [FileSystemLoader(sheet.own)] if sheet.own is not None else []
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*own, ours, PrefixLoader({"shipped": ours})]),
        undefined=StrictUndefined,
        autoescape=sheet.form == "html",
        finalize=escape_markdown if sheet.form == "md" else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(show.FILTERS)
    return environment


def _broken(sheet: ReportSheet, error: BaseException) -> TemplateBroken:
    file, line = _place(sheet, error)
    message = " ".join(str(getattr(error, "message", None) or error).split())
    if isinstance(error, MemoryError):
        message = "needs more memory than a report may take"
    mine = sheet.own is not None and Path(file).is_relative_to(sheet.own)
    remedy = "correct it, or remove it so that the shipped one is used"
    return TemplateBroken(f"{file}:{line}: {message}", remedy if mine else "reinstall sentinel")


def _place(sheet: ReportSheet, error: BaseException) -> tuple[str, int]:
    """File and line in a template where it broke, from the error or from the frames that Jinja2
    rewrote.
    """
    if isinstance(error, TemplateSyntaxError):
        return error.filename or error.name or sheet.name, error.lineno
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(".j2")
    ]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else (str(sheet.file), 0)
