"""Rendering: inert in every format, overridable, bounded, and clear about broken templates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Acceptance, Fault, StandingFault, Status
from sentinel.core.model import Attempt, Incident, IncidentState
from sentinel.errors import StateError
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.inert import escape_markdown
from sentinel.reports.paper.render import MAX_BYTES, render
from sentinel.reports.paper.templates import TemplateBroken
from sentinel.reports.paper.write import write_report
from sentinel.store import Changes, ComponentView
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import agent, check, row

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LATER = T0 + timedelta(seconds=1200)
HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(1)) `{{7*7}}` \x1b[31m\u202e https://evil.example &amp;"


@pytest.fixture
def hostile_store(store: SqliteStore) -> SqliteStore:
    """Everything that comes from outside is hostile."""
    incident = Incident(
        "I1", HOSTILE, T0, IncidentState.OPEN, Status.DOWN, HOSTILE, HOSTILE, blocked_by=HOSTILE
    )
    component = ComponentView(HOSTILE, "down", T0, HOSTILE, [], "", None, 0, "=cmd|' /C calc'!A0")
    event = ("I1", T0, Event(HOSTILE, HOSTILE), {HOSTILE: HOSTILE})
    fault = Fault(HOSTILE, {HOSTILE: HOSTILE}, Status.DOWN, HOSTILE, cure=(HOSTILE,))
    rows = [agent(HOSTILE, HOSTILE, 3.0, 1.0), row({HOSTILE: HOSTILE}, open=1.0)]
    known = Acceptance(HOSTILE, {}, HOSTILE, LATER)
    store.commit(
        Changes(
            meta={"platform": HOSTILE},
            components=[component],
            incidents=[incident],
            events=[event],
            checks=[check(HOSTILE, kind, HOSTILE, rows=rows) for kind in ("registry", "flows")],
            faults=[
                StandingFault(HOSTILE, HOSTILE, fault, T0, Status.DOWN),
                StandingFault(HOSTILE + "2", HOSTILE, fault, T0, Status.DOWN, accepted=known),
            ],
        )
    )
    store.claim_attempt(
        Attempt("I1", 1, HOSTILE, HOSTILE, HOSTILE, T0, HOSTILE, HOSTILE, verdict=HOSTILE)
    )
    return store


class Tags(HTMLParser):
    """Collects what a browser would see as elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("kind", ["recovery", "progress", "shift", "daily", "readiness"])
def test_hostile_names_are_inert_in_html(hostile_store: SqliteStore, kind: str) -> None:
    """No element, link or handler comes out of a name; nothing foreign is loaded; direction marks
    are visible.
    """
    html = render(kind, collect(hostile_store, kind, LATER), ("html",)).texts["html"]
    tags = Tags()
    tags.feed(html)
    assert not {"script", "a", "img", "link", "iframe"} & {tag for tag, _ in tags.seen}
    assert not any(
        name.startswith("on") or name in {"href", "src"} for _, attrs in tags.seen for name in attrs
    )
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "{{7*7}}" in html


@pytest.mark.parametrize("kind", ["recovery", "progress", "shift", "daily", "readiness"])
def test_hostile_names_are_inert_in_markdown(hostile_store: SqliteStore, kind: str) -> None:
    """No raw HTML, link, code, extra table cell or formula comes out of a name."""
    text = render(kind, collect(hostile_store, kind, LATER), ("md",)).texts["md"]
    assert "<script" not in text
    assert "](" not in text.replace("\\](", "")
    assert "`" not in text.replace("\\`", "").replace("sentinel reset", "")
    assert "https://" not in text
    assert "| =cmd" not in text
    for line in text.splitlines():
        if line.startswith("| ") and HOSTILE[8:13] in line:
            assert line.replace("\\|", "").count("|") in {3, *range(5, 12)}


@pytest.mark.parametrize("kind", ["recovery", "progress", "shift", "daily", "readiness"])
def test_hostile_names_are_inert_in_json(hostile_store: SqliteStore, kind: str) -> None:
    """The JSON keeps the text, and can stand inside a script element without ending it."""
    text = render(kind, collect(hostile_store, kind, LATER), ("json",)).texts["json"]
    assert "<" not in text
    assert json.loads(text)["platform"].startswith("<script>alert(1)</script>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task_assignment", "task_assignment"), ("_x_", "\\_x\\_"), ("a|b", "a\\|b"), ("=1+1", "'=1+1"),
        ("-3", "'-3"), ("@x", "'@x"), ("a\nb", "a b"), ("# x", "\\# x"), ("www.evil.example", "www\\.evil.example"),
        ("<b>", "&lt;b&gt;"), ("&lt;", "&amp;lt;"), ("\\", "\\\\"), ("*x*", "\\*x\\*"), ("http://e", "http\\://e"),
        ("\t=1", "'=1"),
    ],
)  # fmt: skip
def test_markdown_escapes(text: str, expected: str) -> None:
    """What would be markup, a link or a formula is escaped, plain words are not."""
    assert escape_markdown(text) == expected


def test_numbers_arrive_in_every_format(incident_store: SqliteStore) -> None:
    """The measured numbers stand in all three formats, made from one set of facts."""
    texts = render("recovery", collect(incident_store, "recovery", LATER)).texts
    assert "| messages lost before they were read | 7 – 11 | bus-delivery |" in texts["md"]
    assert ">7 – 11</td>" in texts["html"]
    lost = next(
        item
        for item in json.loads(texts["json"])["impact"]
        if item["name"].startswith("messages lost")
    )
    assert (lost["low"], lost["high"]) == (7, 11)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("recovery", "Nothing to report"),
        ("progress", "Nothing to report"),
        ("shift", "Nothing happened in 8 h"),
        ("daily", "Nothing happened in 1 d"),
        ("readiness", "nothing is required"),
    ],
)
def test_nothing_to_report_is_still_a_report(store: SqliteStore, kind: str, said: str) -> None:
    """An empty store gives a whole report that says so."""
    texts = render(kind, collect(store, kind, T0)).texts
    assert said in texts["md"]
    assert said in texts["html"]
    assert json.loads(texts["json"])["kind"] == kind


def test_user_template_overrides_ours(incident_store: SqliteStore, tmp_path: Path) -> None:
    """A template of the same name in the user's folder wins, may build on ours, and is escaped as
    ours.
    """
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "recovery.md.j2").write_text("mine: {{ facts.headline }} {{ '<b>' }}")
    (folder / "recovery.html.j2").write_text(
        '{% extends "shipped/recovery.html.j2" %}{% block title %}MINE{% endblock %}'
    )
    texts = render("recovery", collect(incident_store, "recovery", LATER), templates=folder).texts
    assert (
        texts["md"]
        == "mine: agent-1 recovered after 1 min 30 s (down 1 min 20 s, unobserved 10.0 s);"
        " the incident is closed. &lt;b&gt;"
    )
    assert "<title>MINE</title>" in texts["html"]
    assert "Recovery time" in texts["html"]


def test_a_broken_template_costs_its_own_document_only(
    incident_store: SqliteStore, tmp_path: Path
) -> None:
    """The other formats come all the same, and one error tells what is broken."""
    (tmp_path / "progress.md.j2").write_text("fine\n{{ facts.nonsense }}")
    (tmp_path / "progress.html.j2").write_text("{% for x in %}")
    rendered = render("progress", collect(incident_store, "progress", LATER), templates=tmp_path)
    assert list(rendered.texts) == ["json"]
    with pytest.raises(TemplateBroken, match=r"progress\.md\.j2:2: .*; .*progress\.html\.j2:1: "):
        rendered.complain()
    whole = render("recovery", collect(incident_store, "recovery", LATER), templates=tmp_path)
    assert list(whole.texts) == ["md", "html", "json"]
    whole.complain()


def _long(facts: dict[str, Any], lines: int) -> dict[str, Any]:
    moment = {
        "at": "2026-03-01T12:00:00.000000Z",
        "event": "note",
        "text": "x" * 100,
        "evidence": "",
    }
    return {**facts, "timeline": [moment] * lines}


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_long_reports_are_cut_and_say_so(incident_store: SqliteStore, form: str) -> None:
    """A report of 20 000 events is at most 1 MiB, whole, and says how many lines were cut."""
    facts = _long(collect(incident_store, "recovery", LATER), 20_000)
    text = render("recovery", facts, (form,)).texts[form]
    assert len(text.encode()) <= MAX_BYTES
    if form == "json":
        shown = json.loads(text)
        assert shown["cut"] == 20_000 - len(shown["timeline"])
    else:
        shown_lines = text.count("x" * 100)
        assert f"cut: {20_000 - shown_lines} lines" in text
    if form == "html":
        assert text.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "count",
    [50_000, pytest.param(1_000_000, marks=[pytest.mark.nightly, pytest.mark.timeout(900)])],
)
def test_a_report_over_very_many_events(incident_store: SqliteStore, count: int) -> None:
    """Of a million events both ends are told; every format is at most 1 MiB and says what was cut."""
    for begin in range(0, count, 50_000):
        events = [
            ("I1", T0 + timedelta(milliseconds=n), Event("fault", f"number {n} " + "x" * 80), {})
            for n in range(begin, min(begin + 50_000, count))
        ]
        incident_store.commit(Changes(events=events))
    facts = collect(incident_store, "recovery", LATER)
    assert len(facts["timeline"]) == 400
    assert facts["cut"] == count + 4 - 400
    rendered = render("recovery", facts)
    rendered.complain()
    for text in rendered.texts.values():
        assert len(text.encode()) <= MAX_BYTES
        assert "number 3 " in text
    assert f"cut: {count + 4 - 400} lines" in rendered.texts["md"]


def test_long_template_is_cut_by_lines(incident_store: SqliteStore, tmp_path: Path) -> None:
    """A user's template that writes too much by itself is cut at whole lines, with the count."""
    (tmp_path / "progress.md.j2").write_text("{% for n in range(3000) %}line\n{% endfor %}")
    rendered = render(
        "progress", collect(incident_store, "progress", LATER), ("md",), tmp_path, max_bytes=1000
    )
    rendered.complain()
    text = rendered.texts["md"]
    kept = text.count("line\n")
    assert len(text) <= 1000
    assert f"cut: {3000 - kept} lines" in text


def test_written_reports(incident_store: SqliteStore, tmp_path: Path) -> None:
    """Files are named by kind and UTC second, never replaced, and remembered with their facts."""
    folder = tmp_path / "reports"
    first, _ = write_report(incident_store, "recovery", LATER, folder)
    second, _ = write_report(incident_store, "recovery", LATER, folder, formats=("md",))
    assert [path.name for path in first] == [
        f"recovery-20260301T122000Z.{form}" for form in ("md", "html", "json")
    ]
    assert [path.name for path in second] == ["recovery-20260301T122000Z-2.md"]
    rows = incident_store.reports("recovery")
    assert [len(row.paths) for row in rows] == [1, 3]
    assert rows[0].facts["incident"]["id"] == "I1"
    assert not list((tmp_path / "reports").glob(".*"))


def test_folder_that_cannot_be_written(incident_store: SqliteStore, tmp_path: Path) -> None:
    """A report folder that can't be made is a state error, and nothing is remembered."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be written"):
        write_report(incident_store, "progress", LATER, tmp_path / "file")
    assert incident_store.reports() == []


def test_what_has_the_name_of_a_template_and_is_none(
    incident_store: SqliteStore, tmp_path: Path
) -> None:
    """A folder or a link in a circle is named, and not passed over for the shipped template."""
    (tmp_path / "progress.md.j2").mkdir()
    (tmp_path / "progress.html.j2").symlink_to("progress.html.j2")
    rendered = render("progress", collect(incident_store, "progress", LATER), templates=tmp_path)
    assert set(rendered.texts) == {"json"}
    assert [each.message for each in rendered.problems] == [
        f"{tmp_path}/progress.md.j2 is no file",
        f"{tmp_path}/progress.html.j2 is no file",
    ]


def test_a_name_that_somebody_else_writes_under(
    incident_store: SqliteStore, tmp_path: Path
) -> None:
    """Two processes in the same second: the draft of one holds its name, the other gets the next."""
    stem = f"progress-{LATER:%Y%m%dT%H%M%SZ}"
    (tmp_path / f".{stem}.json.draft").touch()
    paths, _ = write_report(incident_store, "progress", LATER, tmp_path)
    assert {path.name for path in paths} == {f"{stem}-2.{form}" for form in ("md", "html", "json")}
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".draft"} == {
        f".{stem}.json.draft"
    }
