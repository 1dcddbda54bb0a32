"""Bars and badges: what was bad is seen, however short it was; letters say what colours say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from sentinel.web.views.badge import draw_badge
from sentinel.web.views.bar import HEIGHT, LEAST, draw_bar
from sentinel.web.views.figures import show_value

SVG = "{http://www.w3.org/2000/svg}"
NONE = dict.fromkeys(("up", "degraded", "down", "maintenance", "unobserved"), 0.0)


def heights(**seconds: float) -> dict[str, float]:
    root = ElementTree.fromstring(draw_bar({**NONE, **seconds}))
    return {
        each.attrib["class"]: float(each.attrib["height"])
        for each in root
        if "class" in each.attrib
    }


def test_a_minute_of_a_day_is_seen() -> None:
    """What was bad has a height that is seen, and all of it is as high as the bar."""
    found = heights(up=86340, down=60)
    assert found["down"] > 0.8 * LEAST
    assert sum(found.values()) == pytest.approx(HEIGHT, abs=0.05)
    assert heights(up=43200, unobserved=43200) == {"up": 20, "unobserved": 20}
    assert heights() == {}


@pytest.mark.parametrize("name", ["bus", "<script>&\"'", "ü" * 300])
def test_a_badge_says_name_and_status(name: str) -> None:
    """As text, too, whatever the name."""
    root = ElementTree.fromstring(draw_badge({"name": name, "status": "down"}))
    left, right = (each.text for each in root.findall("text") or root.findall(f"{SVG}text"))
    assert right == "down"
    assert left is not None
    assert left.rstrip("…") == name[: len(left.rstrip("…"))]
    assert len(left) <= 60


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("wait_seconds", 90.0, "1 min 30 s"),
        ("seen_timestamp_seconds", 1772366400.0, "2026-03-01 12:00:00 UTC"),
        ("memory_used_bytes", 1024**2, "1.0 MiB"),
        ("cpu_ratio", 0.125, "12.5 %"),
        ("entries", 12345.0, "12,345"),
        ("seconds", None, "not measured"),
        ("seconds", {"total": 1200, "sum": 3.0}, "1,200 observed"),
    ],
)
def test_figures_are_shown_by_their_unit(name: str, value: object, shown: str) -> None:
    """The name of a figure says its unit."""
    assert show_value(name, value) == shown
