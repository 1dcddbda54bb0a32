"""Which pages are photographed: all of them; and what is told of the page that was left open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sentinel.web.views.routes import VIEWS
from tools.screenshots.pages import list_addresses
from tools.screenshots.said import Said, SaidCard, judge_channel, write_json
from tools.screenshots.sheet import write_sheet

CHECKS = [{"name": "a", "status": "up"}, {"name": "b/c", "status": "down"}]
STATUS = {
    "checks": CHECKS,
    "components": CHECKS,
    "incidents": [{"id": "I1", "runbook": "r", "status": "down"}],
}


def test_every_page_has_its_picture() -> None:
    """Each view by its route, and what has a name of the worst one."""
    incidents = [
        {"id": "I0", "status": "down", "shown": "up"},
        {"id": "I1", "status": "down", "shown": "down"},
    ]
    found = list_addresses(STATUS, incidents)
    assert found["check"] == "/check/b%2Fc"
    assert found["incident"] == "/incident/I1"
    assert found["runbook"] == "/runbooks/r?incident=I1"
    routes = {view.path.split("{")[0] for view in VIEWS} | {"/", "/faults", "/reports/"}
    assert not [each for each in routes if not any(one.startswith(each) for one in found.values())]


def test_an_empty_platform_is_photographed_too() -> None:
    """Without a check, a component or an incident there is none to show."""
    found = list_addresses({"checks": [], "components": [], "incidents": []}, [])
    assert found["status"] == "/"
    assert "check" not in found


SAID = Said(2.04, "demo: up", "up", "Nothing is wrong", "", (), (), (), "live", 0, 7.5)
CARD = SaidCard("bus", "down", "bus\nit refuses <b>", "bus-unreachable")


def test_calm_is_when_nothing_is_left() -> None:
    """A bad card or row, a notice, an alarm or another status is something to see to."""
    assert SAID.is_calm
    assert replace(SAID, cards=(replace(CARD, status="up"),)).is_calm
    others = (
        {"overall": "unknown"},
        {"cards": (CARD,)},
        {"notices": ("held",)},
        {"alarm": "Stale"},
    )
    assert not any(replace(SAID, **each).is_calm for each in others)  # type: ignore[arg-type]


def test_only_what_ends_it_is_typed() -> None:
    """A command that only looks is not what the page waits for."""
    asks = replace(CARD, commands=("sentinel faults", "sentinel reset bus --reason repaired"))
    assert replace(SAID, cards=(asks,)).asked_for == {"sentinel reset bus --reason repaired"}


def test_the_channel_is_what_brought_it() -> None:
    """Not another load, not another fetch, and it stood at each look."""
    assert judge_channel([SAID, replace(SAID, after=10.0)]) == []
    assert judge_channel([SAID, replace(SAID, opened=8.0)]) == ["the page was loaded anew"]
    (word,) = judge_channel([SAID, replace(SAID, asked=1)])
    assert "fetched anew" in word
    assert judge_channel([replace(SAID, live="reconnecting")]) == [
        "2 s: the channel is reconnecting"
    ]


def test_all_pictures_are_on_one_sheet(tmp_path: Path) -> None:
    """Beside what the page said, the widest first; what it said is text."""
    folder = tmp_path / "redis-down"
    folder.mkdir()
    (folder / "said.json").write_text(write_json({"02s": SAID}))
    (folder / "02s.txt").write_text(replace(SAID, cards=(CARD,)).describe())
    for width in (390, 1400):
        (folder / f"02s-{width}-dark.png").touch()
    text = write_sheet(tmp_path).read_text()
    assert "it refuses &lt;b&gt;" in text
    assert 0 < text.index("redis-down/02s-1400-dark.png") < text.index("02s-390-dark.png")
