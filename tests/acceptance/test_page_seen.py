"""What an open status page says of a chaos scenario: who, what of it, by which runbook; and nothing
when it is over.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.demo.chaos import load_scenarios
from tests.acceptance.conftest import SEEN, DemoRun
from tests.acceptance.injected import Injected, Traces, names_any
from tests.conftest import require_tool
from tools.screenshots.said import Said, judge_channel
from tools.screenshots.scenario import CALM, play

ROOT = Path(__file__).resolve().parents[2]


def tells(said: Said, injected: Injected) -> bool:
    """Whether a card is about the component, names a subject and has a runbook that there is."""
    return any(
        card.component == injected.component
        and card.status != "up"
        and names_any(card.text, injected)
        and (ROOT / "runbooks" / f"{card.runbook}.md").is_file()
        for card in said.cards
    )


def is_over(said: Said, injected: Injected) -> bool:
    """Whether the component is well in each place of the page."""
    bad = [card for card in said.cards if card.component == injected.component]
    rows = [row for row in said.rows if row.startswith(f"component:{injected.component}\n")]
    return not rows and all(card.status == "up" for card in bad)


def test_the_page_beside_a_demo_tells_it(demo_runs: dict[str, DemoRun], tmp_path: Path) -> None:
    """Opened once, before the fault; it brought all by its channel, and when it is over it does not
    speak of it: what hung on it may need more than this run (a minute's figures).
    """
    require_tool("chromium")
    run = demo_runs[SEEN]
    traces = Traces(run, "redis-down", tmp_path)
    looks = [each for each in run.shown if each.after >= traces.began.timestamp()]
    assert any(tells(each, traces.injected) for each in looks), looks
    told = max(each.after for each in looks if tells(each, traces.injected))
    after = [each for each in looks if each.after > told]
    assert any(is_over(each, traces.injected) for each in after), looks[-1]
    assert judge_channel(run.shown) == []
    traces.store.close()


@pytest.mark.nightly
@pytest.mark.parametrize("scenario", sorted(load_scenarios()))
async def test_the_page_of_each_scenario(scenario: str, tmp_path: Path) -> None:
    """What lasts is told after a minute, what happens once at some time; afterwards the page is calm."""
    require_tool("chromium")
    album = await play(scenario, tmp_path / "pictures", tmp_path)
    run = DemoRun({}, 0, "", tmp_path / "demo")
    traces = Traces(run, scenario, tmp_path)
    lasts = load_scenarios()[scenario].duration > 0
    looks = [album.said["60s"]] if lasts else album.looks
    assert any(tells(each, traces.injected) for each in looks), album.said
    assert album.said[CALM].is_calm
    assert album.wrong == []
    traces.store.close()
