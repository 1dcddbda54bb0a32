"""The documents keep their word: every citation, link, path and metric leads somewhere."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sentinel.probes import load_kinds

ROOT = Path(__file__).parents[2]
FOLDERS = ("sentinel", "tests", "checks", "dashboards", "runbooks", "benchmarks", "docs")
ENDINGS = {".py", ".yaml", ".yml", ".sql", ".lua", ".md", ".j2", ".acl", ".toml", ".c"}
GUIDES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")

_HEADING = re.compile(r"^#{2,5} (?:(\d+[a-z]?(?:\.\d+)*)|Appendix ([A-Z]))\b", re.MULTILINE)
_CODE_ROW = re.compile(r'^\| <a id="[a-z]\d+"></a>([A-Z]\d{1,2}) \|', re.MULTILINE)
_SECTION = r"\d+[a-z]?(?:\.\d+)*"
_CODE = r"[A-GR][1-9]\d?"
_CITED = re.compile(
    rf"(?P<outside>(?:RFC \d+|Sampling Techniques,) §{_SECTION}(?:\.\d+)*)"
    r"|\b(?P<document>[a-z]+)\.md\b|\b(?P<brief>[a-z]+)(?= §)"
    rf"|§(?P<first>{_SECTION})(?:[–-]§?(?P<last>{_SECTION}))?"
    r"|\b[Aa]ppendix (?P<appendix>[A-Z])\b"
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_METRIC = re.compile(r"\bsentinel_[a-z0-9_]+\b")


@dataclass(frozen=True)
class Citation:
    """One place that sends its reader to a section, an appendix or a code.

    `document` is "" when none was named.
    """

    place: str
    document: str
    target: str

    def __str__(self) -> str:
        return f"{self.place}: {self.document or 'no document'} has no {self.target}"


# -- what is there ---------------------------------------------------------------------------------


def read_targets(text: str) -> set[str]:
    """Every section (`§1.2`), appendix (`appendix C`) and code (`A9`) that a document has."""
    targets = set(_CODE_ROW.findall(text))
    for section, appendix in _HEADING.findall(text):
        targets.add(f"§{section}" if section else f"appendix {appendix}")
    return targets


@cache
def read_library() -> Mapping[str, str]:
    """The documents by name, with their text."""
    return {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


def list_files() -> Iterator[Path]:
    """Every text of the repository that may cite; links are not followed."""
    for folder in FOLDERS:
        for place, _, names in os.walk(ROOT / folder):
            yield from (Path(place) / name for name in names if Path(name).suffix in ENDINGS)
    yield from (
        path for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".toml"}
    )


# -- what is cited ---------------------------------------------------------------------------------


def find_citations(place: str, text: str, documents: Sequence[str]) -> Iterator[Citation]:
    """Sections and appendices.

    A bare `§` means, in code, the document that was named last, and in a document itself;
    there `other §1` or `other.md §1` is a way out for this one time.
    """
    home = Path(place).stem if place.startswith("docs/") else ""
    current = home
    for found in _CITED.finditer(text := " ".join(text.split())):
        if name := found["document"] or found["brief"]:
            cites = text.startswith(" §", found.end())
            known = name in documents or (cites and found["document"] is not None)
            current = name if known and (cites or not home) else current
        elif not found["outside"]:
            yield from (Citation(place, current, target) for target in _targets_of(found, current))
            current = home or current


def _targets_of(found: re.Match[str], current: str) -> list[str]:
    if found["appendix"]:
        return [f"appendix {found['appendix']}"] if current else []
    return [f"§{section}" for section in spread(found["first"], found["last"])]


def spread(first: str, last: str | None) -> list[str]:
    """`2.1`, `2.3` → 2.1, 2.2, 2.3; both ends alone when they are no neighbours of one section."""
    if last is None:
        return [first]
    parent, _, low = first.rpartition(".")
    other, _, high = last.rpartition(".")
    if parent != other:
        return [first, last]
    dot = "." if parent else ""
    return [f"{parent}{dot}{number}" for number in range(int(low), int(high) + 1)]


def find_codes(place: str, source: str) -> Iterator[Citation]:
    """Codes of faults and rules: behind a document's name, and in docstrings of tests."""
    text = " ".join(source.split())
    for document, letters in (("reliability", "A-G"), ("platforms", "R")):
        for chain in re.finditer(
            rf"\b{document}\.md ((?:[{letters}]\d+(?:[–,]| to | and )? ?)+)", text
        ):
            yield from _codes_of(place, document, chain[1])
    if place.startswith("tests/") and place.endswith(".py"):
        for docstring in _docstrings(source):
            yield from _codes_of(place, "reliability", docstring)


def _codes_of(place: str, document: str, text: str) -> Iterator[Citation]:
    letters = "[R]" if document == "platforms" else "[A-G]"
    for code in re.findall(rf"(?<![\w.!+-]){letters}[1-9]\d?(?![\w.])", text):
        yield Citation(place, document, code)


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def find_dangling(files: Mapping[str, str], library: Mapping[str, str]) -> list[Citation]:
    """Citations that lead nowhere."""
    targets = {name: read_targets(text) for name, text in library.items()}
    cited = (
        citation
        for place, text in files.items()
        for citation in (*find_citations(place, text, tuple(library)), *find_codes(place, text))
    )
    return [each for each in cited if each.target not in targets.get(each.document, ())]


@cache
def read_files() -> Mapping[str, str]:
    """Text by path from the root; this file aside, whose examples are none."""
    found = {
        str(path.relative_to(ROOT)): path.read_text("utf-8", "replace") for path in list_files()
    }
    del found["tests/unit/test_docs.py"]
    return found


def test_every_citation_leads_somewhere() -> None:
    """Code, tests, YAML, SQL, Lua, documents: what they cite has its heading or row."""
    assert [str(each) for each in find_dangling(read_files(), read_library())] == []


def test_citations_are_really_read() -> None:
    """The search itself works: the code cites each of these documents, and many sections of one."""
    cited = {
        (each.document, each.target)
        for place, text in read_files().items()
        if place.startswith("sentinel/")
        for each in (*find_citations(place, text, tuple(read_library())), *find_codes(place, text))
    }
    assert {document for document, _ in cited} >= {
        "measurement",
        "reliability",
        "scale",
        "platforms",
    }
    assert len({target for document, target in cited if document == "measurement"}) >= 20


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("measurement", "### 1.7 "),
        ("measurement", "## Appendix C"),
        ("reliability", '| <a id="a25"></a>A25 |'),
    ],
)
def test_a_heading_that_is_removed_is_missed(document: str, heading: str) -> None:
    """Without its heading or row a citation dangles, so the test above fails."""
    text = read_library()[document]
    assert f"\n{heading}" in text
    lines = [line for line in text.splitlines() if not line.startswith(heading)]
    without = {**read_library(), document: "\n".join(lines)}
    assert find_dangling(read_files(), without) != []


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("measurement.md §2.1–2.3", ["§2.1", "§2.2", "§2.3"]),
        ("measurement.md §3.2–§3.3 and §9, appendix C", ["§3.2", "§3.3", "§9", "appendix C"]),
        ("(RFC 9110 §10.2.3)", []),
        ("measurement.md §1; see RFC 6585 §4, and §1.7.1", ["§1", "§1.7.1"]),
        ("[measurement §4](measurement.md)", ["§4"]),
    ],
)
def test_forms_of_a_citation(text: str, targets: list[str]) -> None:
    """Ranges, lists, appendices; sections of standards are not ours."""
    found = find_citations("sentinel/x.py", text, ("measurement",))
    assert [each.target for each in found] == targets


def test_in_a_document_a_section_is_its_own() -> None:
    """A name counts for the section right behind it; the next bare one is of the document again."""
    found = find_citations("docs/scale.md", "reliability §3, then §4", ("scale", "reliability"))
    assert [(each.document, each.target) for each in found] == [
        ("reliability", "§3"),
        ("scale", "§4"),
    ]


@pytest.mark.parametrize(
    "text", ["see §4", "elsewhere.md §1", "measurement.md §99", "reliability.md A99"]
)
def test_what_dangles(text: str) -> None:
    """No document named, one that is not there, a section or a code that it does not have."""
    assert len(find_dangling({"sentinel/x.py": text}, read_library())) == 1


# -- links, paths and metrics of the documents -------------------------------------------------------


def list_guides() -> list[Path]:
    """The Markdown files that people read."""
    return [
        *(ROOT / name for name in GUIDES),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "checks/acl/README.md",
    ]


def find_anchors(text: str) -> set[str]:
    """Anchors of a Markdown file: those that it sets, and those that its headings get."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("path", list_guides(), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link has its file, and its anchor there."""
    broken = []
    for pair in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
        link = pair[0] or pair[1]
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (
            anchor and anchor not in find_anchors(target.read_text("utf-8"))
        ):
            broken.append(link)
    assert broken == []


def drop_planned(text: str) -> str:
    """The text without its sections called "Planned": what they name is not there yet."""
    return re.sub(
        r"^(#+) [^\n]*\bPlanned\b.*?(?=^#{1,2} |\Z)", "", text, flags=re.MULTILINE | re.DOTALL
    )


def find_paths(text: str) -> Iterator[str]:
    """Repository paths between backticks, outside of fences; `<place holders>` make none."""
    roots = tuple(f"{name}/" for name in (*FOLDERS, ".ci"))
    for span in _SPAN.findall(_FENCE.sub("", drop_planned(text))):
        path = span.split("::")[0]
        if path.startswith(roots) and re.fullmatch(r"[\w./*-]+", path):
            yield path


@pytest.mark.parametrize("path", list_guides(), ids=lambda path: path.name)
def test_named_paths_exist(path: Path) -> None:
    """Each repository path between backticks is there; `*` must match something."""
    named = set(find_paths(path.read_text("utf-8")))
    assert [name for name in sorted(named) if not list(ROOT.glob(name.rstrip("/")))] == []


@cache
def list_metrics() -> frozenset[str]:
    """What the kinds declare, what stands in source and rules, and the users of the ACL."""
    declared = (each.metric for kind in load_kinds().values() for each in kind.measurements)
    places = ("sentinel/", "dashboards/", "checks/acl/")
    texts = (text for place, text in read_files().items() if place.startswith(places))
    return frozenset(declared).union(*(_METRIC.findall(text) for text in texts))


@pytest.mark.parametrize("path", list_guides(), ids=lambda path: path.name)
def test_named_metrics_exist(path: Path) -> None:
    """Each metric that a document names is declared in the source or made by a rule."""
    spans = " ".join(_SPAN.findall(_FENCE.sub("", drop_planned(path.read_text("utf-8")))))
    assert sorted(set(_METRIC.findall(spans)) - list_metrics()) == []
