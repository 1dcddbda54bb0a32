"""Runbook files → values, strictly: every problem of every file at once, with file, line, key and
remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentinel.core.foreign.expression import compile_expression
from sentinel.errors import ConfigurationError, Problem
from sentinel.runbook.book import SECTIONS, AppliesTo, Parameter, Runbook
from sentinel.runbook.steps import read_steps
from sentinel.runbook.written import WrittenBook, WrittenParameter, WrittenPurpose
from sentinel.strict.attempt import attempt
from sentinel.strict.explain import validate
from sentinel.strict.file import LOOK_AT_RIGHTS, show_path
from sentinel.strict.place import Document, Place
from sentinel.strict.read import ReadLimits, read_text, read_yaml

FILE = ReadLimits("a runbook", size=256 << 10)
FRONT_MATTER = ReadLimits("a front matter", size=64 << 10, depth=20, nodes=10_000, aliases=False)
_PATTERNS = {
    "str": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}",
    "int": r"[0-9]{1,18}",
    "component": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "incident": r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}",
    "check": r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
    "resource": r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
    "table": r"[^\\]{1,200}",  # whatever a check takes: in a statement they are quoted
    "column": r"[^\\]{1,200}",
}


def read_runbooks(folder: Path) -> dict[str, Runbook]:
    """Every `*.md` of a folder by name. Raises ConfigurationError with every problem."""
    books: list[Runbook] = []
    problems: list[Problem] = []
    for path in _list_files(folder, problems):
        try:
            books.append(read_runbook(path))
        except ConfigurationError as error:
            problems += error.problems
    problems += _find_shared_names(books)
    if problems:
        raise ConfigurationError(problems)
    return {book.name: book for book in books}


def _list_files(folder: Path, problems: list[Problem]) -> list[Path]:
    try:
        return sorted(folder.glob("*.md"))
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        problems.append(Problem(show_path(folder), 0, "", message, LOOK_AT_RIGHTS))
        return []


def _find_shared_names(books: Sequence[Runbook]) -> list[Problem]:
    counted = Counter(book.name for book in books)
    shared = [book for book in books if counted[book.name] > 1]
    return [
        Problem(
            book.source,
            1,
            "name",
            f"{book.name!r} is the name of several runbooks",
            "name each differently",
        )
        for book in shared
    ]


def read_runbook(path: Path) -> Runbook:
    """One file. Raises ConfigurationError with every problem in it."""
    document = Document(str(path))
    content = read_text(path, document, FILE)
    book = attempt(document.at(), _read, content, document) if content is not None else None
    if book is None or document.problems:
        raise ConfigurationError(document.problems)
    return book


def _read(content: str, document: Document) -> Runbook | None:
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    ends = [number for number, line in enumerate(lines) if number and line.rstrip() == "---"]
    if lines[0].rstrip() != "---" or not ends:
        remedy = "begin the file with YAML between two lines of ---"
        document.note(1, "", "no front matter", remedy)
        return None
    sections = _read_sections(lines, ends[0] + 1, document)
    # The first line stays, empty: so the lines of the YAML are those of the file.
    text = "\n".join(["", *lines[1 : ends[0]]])
    if len(text) > FRONT_MATTER.size:
        message = f"the front matter is longer than {FRONT_MATTER.size >> 10} KiB"
        document.note(1, "", message, "move text into the sections")
        return None
    known = len(document.problems)
    read_yaml(text, document, limits=FRONT_MATTER)
    if not isinstance(document.value, dict):
        if len(document.problems) == known:
            remedy = "write `key: value` lines between the --- lines"
            document.note(1, "", "the front matter is no mapping", remedy)
        return None
    return _read_book(document.at(), document.value, sections)


def _read_sections(lines: list[str], start: int, document: Document) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    heading = ""
    for number, line in enumerate(lines[start:], start + 1):
        if line.startswith("## "):
            heading = line[3:].strip()
            places[heading] = number
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    texts = {name: "\n".join(body).strip() for name, body in sections.items()}
    for name in SECTIONS:
        if name not in texts:
            remedy = f"add it: {', '.join(SECTIONS)} are required"
            document.note(len(lines), f"## {name}", "section is missing", remedy)
        elif not texts[name]:
            remedy = "a tired person will read it at night: fill it"
            document.note(places[name], f"## {name}", "section is empty", remedy)
    return texts


def _read_book(place: Place, raw: dict[str, Any], sections: dict[str, str]) -> Runbook | None:
    written = validate(place, WrittenBook, raw)
    declared = _list_of(raw, "parameters")
    parameters = _read_parameters(place / "parameters", declared)
    types = {str(each["name"]): str(each.get("type")) for each in declared if _is_named(each)}
    steps = _list_of(raw, "steps")
    read = read_steps(place / "steps", steps, types) if isinstance(raw.get("steps"), list) else ()
    if written is None:
        return None
    purpose = _make_purpose(place / "applies_to", written.applies_to)
    return Runbook(
        written.name,
        written.title,
        purpose,
        parameters,
        read,
        sections,
        place.file,
        written.diagnose,
    )


def _list_of(raw: dict[str, Any], key: str) -> list[Any]:
    """The list at a key; what is no list was refused already."""
    value = raw.get(key)
    return value if isinstance(value, list) else []


def _is_named(raw: Any) -> bool:
    return isinstance(raw, dict) and "name" in raw


def _make_purpose(place: Place, written: WrittenPurpose) -> AppliesTo:
    return AppliesTo(
        faults=tuple(written.faults),
        components=tuple(written.components),
        conditions=tuple(written.conditions),
        alerts=tuple(written.alerts),
        line=place.line,
    )


def _read_parameters(place: Place, items: list[Any]) -> tuple[Parameter, ...]:
    found: dict[str, Parameter] = {}
    for n, item in enumerate(items):
        parameter = _read_parameter(place / n, item)
        if parameter is None:
            continue
        if parameter.name in found:
            place.at(n, "name").note(f"{parameter.name!r} is given twice", "remove one")
        found[parameter.name] = parameter
    return tuple(found.values())


def _read_parameter(place: Place, raw: Any) -> Parameter | None:
    written = validate(place, WrittenParameter, raw)
    if written is None:
        return None
    pattern = written.pattern or _PATTERNS[written.type]
    default = written.default
    if default and not compile_expression(pattern).covers(default):
        message = f"{default!r} does not match the pattern {pattern}"
        (place / "default").note(message, "correct the value, or the pattern")
    required = default is None if written.required is None else written.required
    if not required and default is None:
        message = "the key `default` is missing"
        (place / "default").note(message, "an optional parameter needs a default")
    return Parameter(
        name=written.name,
        type=written.type,
        pattern=pattern,
        required=required,
        default=default,
        description=written.description or "",
        sources=tuple(written.sources),
        line=place.line,
    )
