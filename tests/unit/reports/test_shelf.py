"""The shelf of reports: a file is a report, and each has its templates."""

from __future__ import annotations

from sentinel.reports import load_reports


def test_every_report_has_its_templates() -> None:
    """Both formats that need one."""
    shelf = load_reports()
    assert {"recovery", "progress"} <= shelf.keys()
    for name, report in shelf.items():
        assert report.name == name
        assert report.summary
        for form in ("md", "html"):
            assert (report.templates / f"{name}.{form}.j2").is_file()
