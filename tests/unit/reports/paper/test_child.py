"""Templates of somebody's own, rendered apart: bounded in time, memory and size, and named when
they are broken.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from sentinel.reports import TEMPLATES
from sentinel.reports.paper.child import generate_apart
from sentinel.reports.paper.templates import ReportSheet, TemplateBroken

FACTS: dict[str, Any] = {"headline": "all <b>well</b>", "items": [1, 2]}
ENOUGH = 60.0


def make(folder: Path, template: str, form: str = "md", seconds: float = ENOUGH) -> str:
    """What a template of one's own makes of the facts."""
    (folder / f"mine.{form}.j2").write_text(template)
    return generate_apart(ReportSheet("mine", form, TEMPLATES, folder), FACTS, seconds)


def test_the_document_and_nothing_else(tmp_path: Path) -> None:
    """Filters, escapes and characters are those of shipped templates."""
    text = make(tmp_path, "Größe {{ 1204 | count }}: {{ facts.headline }}\n")
    assert text == "Größe 1 204: all &lt;b&gt;well&lt;/b&gt;\n"


@pytest.mark.parametrize(
    ("template", "line", "message"),
    [
        ("fine\n{{ facts.nonsense }}", 2, "nonsense"),
        ("fine\n\n{% for x in %}", 3, "Expected"),
        ("{{ 1 / 0 }}", 1, "division"),
        ("{{ facts.__class__.__mro__ }}", 1, "unsafe|undefined|no attribute"),
        ('{% include "other.j2" %}', 1, "other.j2"),
        ("a\n{{ 'a' * 900000000 }}", 2, "more memory"),
        ("{% set a = namespace(s='x') %}{% for n in range(99) %}{% set a.s = a.s ~ a.s %}"
         "{% endfor %}", 1, "more memory"),
        ("{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", 0, "writes more than 16 MiB"),
    ],
)  # fmt: skip
def test_broken_template_is_named(tmp_path: Path, template: str, line: int, message: str) -> None:
    """One error with file, line and remedy, whatever it swells to."""
    with pytest.raises(TemplateBroken, match=message) as caught:
        make(tmp_path, template)
    assert str(tmp_path / "mine.md.j2") in caught.value.message
    if line:
        assert f"mine.md.j2:{line}:" in caught.value.message
    assert caught.value.guidance


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** 999999999 }}",
    ],
)
def test_what_does_not_end_is_killed(tmp_path: Path, template: str) -> None:
    """Also where one operation alone never comes back."""
    began = time.monotonic()
    with pytest.raises(TemplateBroken, match=r"mine\.md\.j2 does not end within its time"):
        make(tmp_path, template, seconds=1.0)
    assert time.monotonic() - began < 20


def test_no_secret_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets two variables of its own, and not the environment of the daemon."""
    given: dict[str, Any] = {}

    def look(*_: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        given.update(options)
        return subprocess.CompletedProcess((), 0, b"fine", b"")

    monkeypatch.setenv("SENTINEL_PASSWORD", "hidden")
    monkeypatch.setattr("sentinel.reports.paper.child.subprocess.run", look)
    assert make(tmp_path, "fine") == "fine"
    assert set(given["env"]) == {"PYTHONPATH", "LC_ALL"}


def test_a_program_that_dies_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended by the system: the template is named all the same."""
    killed = subprocess.CompletedProcess((), -9, b"", b"")
    monkeypatch.setattr("sentinel.reports.paper.child.subprocess.run", lambda *_, **__: killed)
    with pytest.raises(TemplateBroken, match=r"mine\.md\.j2: .* ended with signal 9"):
        make(tmp_path, "fine")
