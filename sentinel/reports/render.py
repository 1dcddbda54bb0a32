"""Facts → Markdown, HTML and JSON, through Jinja2 templates that a user's folder may override by
name.

Everything in the facts is inert in each format: HTML escapes, Markdown escapes what would become
markup, a link, raw HTML or a spreadsheet formula, JSON escapes what could end a script element.
"""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    nodes,
)
from jinja2 import TemplateSyntaxError as BadSyntax
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sentinel.core.quantity import format_duration
from sentinel.errors import SentinelError
from sentinel.reports.facts import NOT_MEASURED

FORMATS = ("md", "html", "json")
MAX_BYTES = 1024 * 1024
MAX_RENDERED = 16 * MAX_BYTES
"""A template that writes more than this is broken: it is stopped, not cut."""
MAX_REPEAT = 100_000
MAX_SECONDS = 10.0
"""A user's template that works for longer is broken, whether it writes anything or not."""
TEMPLATES = Path(__file__).with_name("templates")
_FAULTS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip


class TemplateBroken(SentinelError):
    """A report template can't be used: which, where, and what to do."""

    exit_code = 78


def render(
    kind: str,
    facts: Mapping[str, Any],
    formats: Sequence[str] = FORMATS,
    templates: Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> dict[str, str]:
    """The report in each format, every one at most `max_bytes` long.

    `facts` is the JSON document of `collect`. What is too long loses the ends of its longest lists,
    and says how many lines were cut. Raises TemplateBroken.
    """
    clean = clean_document(facts)
    return {
        form: _fit(
            _render_json if form == "json" else partial(_render_template, kind, form, templates),
            clean,
            max_bytes,
        )
        for form in formats
    }


# -- size ------------------------------------------------------------------------------------------


def _fit(make: Callable[[Mapping[str, Any]], str], facts: Mapping[str, Any], limit: int) -> str:
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


# -- what comes from outside ----------------------------------------------------------------------

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def clean_document(value: Any) -> Any:
    """The document with control and direction characters made visible, so that no text can hide or
    reorder.
    """
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_document(item) for item in value]
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """One string without control, zero-width and direction characters."""
    visible = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return visible.encode(errors="backslashreplace").decode()


def _render_json(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


_MARKUP = re.compile(
    r"[\\`*\[\]|~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|(?<=[A-Za-z]):(?=//)|(?<=\bwww)\.",
    re.IGNORECASE,
)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape_markdown(value: Any) -> str:
    """Text that means itself in Markdown, also in a table cell, and no formula when pasted into a
    spreadsheet.
    """
    if not isinstance(value, str):
        return str(value)
    line = " ".join(value.split())
    inert = _MARKUP.sub(lambda found: f"\\{found[0]}", line).translate(_ENTITIES)
    if inert[:1] == "#":
        return f"\\{inert}"
    return f"'{inert}" if inert[:1] in ("=", "+", "-", "@") else inert


# -- templates ------------------------------------------------------------------------------------


class _BoundedJoins(CodeGenerator):
    """`~` is no operator to Jinja2's sandbox: what it joins is looked at all the same."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - as in Jinja2
        """`environment.bounded(…)` around what Jinja2 would write."""
        self.write("environment.bounded(")
        super().visit_Concat(node, frame)
        self.write(")")


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox that also refuses to make huge texts: a typing error must not eat the memory."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _BoundedJoins

    def bounded(self, text: str) -> str:
        """A text that was put together with `~`, unless it has become huge."""
        if len(text) > MAX_RENDERED:
            raise SecurityError(f"a text of more than {MAX_RENDERED // 1024 // 1024} MiB")
        return text

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`+` within reason, `*` for numbers and short texts, `%` for numbers, no `**`."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" or (operator == "%" and not numbers):
            raise SecurityError(f"`{operator}` is not allowed here")
        if operator == "+" and not numbers and _length(left) + _length(right) > MAX_RENDERED:
            raise SecurityError(f"a text or list of more than {MAX_RENDERED} items")
        if operator == "*" and not numbers and _product(left, right) > MAX_REPEAT:
            raise SecurityError(f"a text or list of more than {MAX_REPEAT} items")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        """Calls whose numbers are within reason: `ljust(200000000)` is not."""
        if any(
            isinstance(value, int) and value > MAX_REPEAT for value in (*args, *kwargs.values())
        ):
            raise SecurityError(f"a number above {MAX_REPEAT} in a call")
        return super().call(__context, __obj, *args, **kwargs)


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def _product(left: Any, right: Any) -> int:
    """How long a repeated sequence would be; without one, 0."""
    sizes = [len(side) for side in (left, right) if hasattr(side, "__len__")]
    times = [side for side in (left, right) if isinstance(side, int)]
    return sizes[0] * times[0] if sizes and times else 0


def _render_template(kind: str, form: str, templates: Path | None, facts: Mapping[str, Any]) -> str:
    name = f"{kind}.{form}.j2"
    environment = _environment(form, templates)
    try:
        if templates is None:
            return _generate(environment, name, facts)
        with _in_time(templates / name, MAX_SECONDS):
            return _generate(environment, name, facts)
    except _FAULTS as error:
        raise _broken(name, error, templates) from error


def _generate(environment: _Environment, name: str, facts: Mapping[str, Any]) -> str:
    pieces, size = [], 0
    for piece in environment.get_template(name).generate(facts=facts):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RENDERED:
            raise TemplateBroken(
                f"{name} writes more than {MAX_RENDERED // 1024 // 1024} MiB",
                "is there a loop in a loop?",
            )
    return "".join(pieces)


@contextmanager
def _in_time(file: Path, seconds: float) -> Iterator[None]:
    """End a template that does not end; on every line of it, for one that writes nothing is not
    seen otherwise.
    """
    end, before = time.monotonic() + seconds, sys.gettrace()

    def look(frame: FrameType, _event: str, _arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(".j2"):
            return None
        if time.monotonic() > end:
            raise TemplateBroken(
                f"{file} does not end within {seconds:g} s", "is there a loop in a loop?"
            )
        return look

    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


def _environment(form: str, templates: Path | None) -> _Environment:
    own = FileSystemLoader(TEMPLATES)
    loaders: list[BaseLoader] = [own, PrefixLoader({"shipped": own})]
    if templates is not None:
        loaders.insert(0, FileSystemLoader(templates))
    environment = _Environment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        autoescape=form == "html",
        finalize=escape_markdown if form == "md" else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        instant=show_instant, day_time=show_time, seconds=show_seconds, count=show_count,
        ratio=show_ratio, figure=show_figure, number=show_number,
    )  # fmt: skip
    return environment


def _broken(name: str, error: BaseException, templates: Path | None) -> TemplateBroken:
    file, line = _place(name, error)
    message = " ".join(str(getattr(error, "message", None) or error).split())
    mine = templates is not None and Path(file).is_relative_to(templates)
    remedy = (
        "correct it, or remove it so that the shipped one is used" if mine else "reinstall sentinel"
    )
    return TemplateBroken(f"{file}:{line}: {message}", remedy)


def _place(name: str, error: BaseException) -> tuple[str, int]:
    """File and line in a template where it broke, from the error or from the frames that Jinja2
    rewrote.
    """
    if isinstance(error, BadSyntax):
        return error.filename or error.name or name, error.lineno
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(".j2")
    ]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else (name, 0)


# -- filters --------------------------------------------------------------------------------------


def show_instant(text: str | None) -> str:
    """`2026-03-01 12:00:05 UTC` of an ISO text."""
    return "–" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"


def show_time(text: str | None) -> str:
    """`12:00:05.250` of an ISO text: lines of a timeline share their day."""
    if text is None:
        return "–"
    at = datetime.fromisoformat(text)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def show_count(value: float | None) -> str:
    """`1 204`, with thin spaces; an unknown count says so."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,.{0 if value == int(value) else 1}f}".replace(",", "\u202f")


def show_ratio(value: float | None) -> str:
    """`99.95 %`; never rounded up to 100."""
    if value is None:
        return NOT_MEASURED
    text = f"{value * 100:.3f}".rstrip("0").rstrip(".")
    return f"{'99.999' if text == '100' and value < 1 else text} %"


def show_seconds(value: float | None) -> str:
    """`1 min 30 s`, `0 s`, or a dash."""
    return "0 s" if value == 0 else format_duration(value)


def show_number(value: float | None, unit: str = "") -> str:
    """A number in its unit: a count, `ratio` or `seconds`."""
    if unit == "ratio":
        return show_ratio(value)
    return (
        (NOT_MEASURED if value is None else show_seconds(value))
        if unit == "seconds"
        else show_count(value)
    )


def show_figure(figure: Mapping[str, Any]) -> str:
    """`0`, `3 – 7`, `99.95 %`, `4.2 s` or `not measured`."""
    low, high, unit = figure["low"], figure["high"], figure["unit"]
    if low is None or low == high:
        return show_number(low, unit)
    return f"{show_number(low, unit)} – {show_number(high, unit)}"
