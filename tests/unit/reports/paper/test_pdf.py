"""PDF by WeasyPrint: the real thing, without it, and one that never ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.reports.paper import pdf as pdf_module
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.pdf import PdfUnavailable, make_pdf
from sentinel.reports.paper.render import EVERY_FORMAT, render
from sentinel.reports.paper.write import forget_reports, write_report
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at

FETCHING = '<img src="http://127.0.0.1:9/x.png"><link rel="stylesheet" href="file:///etc/passwd">'


def test_a_report_as_pdf(incident_store: SqliteStore, tmp_path: Path) -> None:
    """Beside the others, remembered with them, and forgotten with them."""
    paths, rendered = write_report(
        incident_store, "recovery", at(1200), tmp_path / "out", formats=EVERY_FORMAT
    )
    rendered.complain()
    assert [path.suffix for path in paths] == [".md", ".html", ".json", ".pdf"]
    content = paths[-1].read_bytes()
    assert content.startswith(b"%PDF-")
    assert 10_000 < len(content) < 1024 * 1024
    (row,) = incident_store.reports("recovery")
    assert row.paths[-1] == str(paths[-1])
    assert forget_reports(tmp_path / "out", at(99_999)) == 4


def test_nothing_is_fetched() -> None:
    """A page that asks for something gets nothing, and is a page all the same."""
    assert make_pdf(f"<p>text</p>{FETCHING}").startswith(b"%PDF-")


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where the child finds another WeasyPrint: the file to write it into."""
    (tmp_path / "sentinel").symlink_to(pdf_module._PACKAGE / "sentinel")
    monkeypatch.setattr(pdf_module, "_PACKAGE", tmp_path)
    return tmp_path / "weasyprint.py"


def test_without_it_one_error_says_how_to_get_it(double: Path, store: SqliteStore) -> None:
    """And the other formats come."""
    double.write_text("raise ImportError('no library called \"pango\"')\n")
    rendered = render("recovery", collect(store, "recovery", at(0)), EVERY_FORMAT)
    assert list(rendered.documents) == ["md", "html", "json"]
    with pytest.raises(PdfUnavailable, match="pango") as caught:
        rendered.complain()
    assert "pip install 'sentinel-sre[pdf]'" in caught.value.guidance


@pytest.mark.parametrize(
    ("code", "said"),
    [("while True: pass", "did not lay out"), ("import os; os.abort()", "signal 6")],
    ids=["endless", "dead"],
)
def test_what_does_not_end_is_ended(double: Path, code: str, said: str) -> None:
    """Within its time, with a word about it."""
    double.write_text(f"{code}\n")
    with pytest.raises(PdfUnavailable, match=said):
        make_pdf("<p>text</p>", 2.0 if "while" in code else 60.0)
