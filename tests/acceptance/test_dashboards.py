"""Every query of every dashboard, asked of a real Prometheus that scrapes the demo under chaos: none
is empty, none fails, and whichever falls silent is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require_tool
from tools.grafana.judge import find_silence, list_read
from tools.grafana.live import Answer, Answers, ask_until, list_empty, watch_demo
from tools.grafana.picture import draw_picture, list_drawn
from tools.grafana.question import Selector, list_panels, list_questions
from tools.grafana.render import read_dashboards

DOCUMENTS = read_dashboards()
PATIENCE = 120.0
"""Seconds for everything to happen once; on a machine of its own it takes 35."""
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """What was seen of one run: the answers to each dashboard, and the series that ever were."""

    answers: Mapping[str, Answers]
    exported: Mapping[str, bool]

    def has_exported(self, selector: Selector) -> bool:
        """As the server said."""
        return self.exported[selector.text]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A run that lasts until every query has had an answer."""
    require_tool("prometheus")
    with watch_demo(tmp_path_factory.mktemp("dashboards")) as prometheus:
        answers = ask_until(prometheus, DOCUMENTS, lambda found: not list_empty(found), PATIENCE)
        selectors = {
            selector.text
            for each in answers.values()
            for question in each.by_question
            for selector in list_read(question, each)
        }
        yield Seen(answers, {text: prometheus.has_exported(text) for text in selectors})


def judge(name: str, document: Document, seen: Seen) -> list[str]:
    """What is silent."""
    return find_silence(document, seen.answers[name], seen.has_exported)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_everything_shows_something(seen: Seen, name: str) -> None:
    """No panel, variable or annotation is empty, fails, or reads what nobody exports."""
    assert judge(name, DOCUMENTS[name], seen) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_panel_without_its_target_is_noticed(seen: Seen, name: str) -> None:
    """Whichever panel loses its query."""
    quiet = []
    for panel in list_panels(DOCUMENTS[name]):
        document = alone(DOCUMENTS[name], panel)
        document["panels"][0]["targets"] = []
        quiet += [] if judge(name, document, seen) else [panel["title"]]
    assert quiet == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_answer_that_stays_away_is_noticed(seen: Seen, name: str) -> None:
    """Whichever query of a panel, of a variable or of an annotation is answered no more."""
    quiet = []
    for question in list_questions(DOCUMENTS[name]):
        answers = seen.answers[name]
        without = Answers(answers.filling, {**answers.by_question, question: Answer()})
        found = find_silence(DOCUMENTS[name], without, seen.has_exported)
        quiet += [] if any(each.startswith(question.place) for each in found) else [question.place]
    assert quiet == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_metric_that_is_gone_is_noticed(seen: Seen, name: str) -> None:
    """Whichever metric of whichever panel is exported no more, though others fill the panel."""
    quiet = []
    for panel in list_panels(DOCUMENTS[name]):
        document = alone(DOCUMENTS[name], panel)
        for metric in metrics_of(document, seen.answers[name]):
            found = find_silence(
                document, seen.answers[name], lambda each, gone=metric: each.name != gone
            )
            quiet += [] if found else [f"{panel['title']}: {metric}"]
    assert quiet == []


def test_a_metric_that_nobody_declares_is_noticed(seen: Seen) -> None:
    """A name with a slip of the pen is told as such, before somebody waits for its data."""
    document = alone(DOCUMENTS["overview"], next(list_panels(DOCUMENTS["overview"])))
    target = document["panels"][0]["targets"][0]
    target["expr"] = target["expr"].replace("sentinel_bus_settled", "sentinel_bus_setled")
    assert "nothing declares sentinel_bus_setled_total" in " ".join(
        find_silence(document, seen.answers["overview"], lambda _each: True)
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_answers_can_be_drawn(seen: Seen, name: str) -> None:
    """The picture of the run has every panel of the dashboard, none of them empty."""
    picture = draw_picture(DOCUMENTS[name], seen.answers[name])
    assert list_drawn(picture) == {panel["id"]: True for panel in list_panels(DOCUMENTS[name])}


@pytest.mark.nightly
@pytest.mark.parametrize(
    "chaos",
    [
        ("evict-stream", "crash-loop", "slow-assigner", "stuck-flow", "tenant-leak", "crash-agent"),
        ("redis-down", "crash-loop", "crash-orchestrator", "stuck-flow", "tenant-leak"),
        ("postgres-down", "poison-message", "crash-loop", "crash-orchestrator", "wedge-agent"),
    ],
    ids=lambda chaos: chaos[0],
)
def test_other_chaos_breaks_no_query(tmp_path: Path, chaos: tuple[str, ...]) -> None:
    """Whatever breaks, no query fails, and once all is back each panel shows something: but for what
    did not happen.
    """
    require_tool("prometheus")
    with watch_demo(tmp_path, chaos) as prometheus:
        answers = ask_until(prometheus, DOCUMENTS, lambda found: not list_empty(found), PATIENCE)
    every = [each for found in answers.values() for each in found.by_question.items()]
    assert [(question.place, answer.error) for question, answer in every if answer.error] == []
    empty = [question for question, answer in every if not answer]
    assert [each.place for each in empty if not is_of_what_happened(each.expr)] == []


def is_of_what_happened(expr: str) -> bool:
    """Whether nothing comes while nothing is wrong."""
    return "sentinel_faults" in expr or expr.endswith("> 0")


def alone(document: Document, panel: Document) -> dict[str, Any]:
    """A dashboard of this panel and nothing else."""
    return {
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [deepcopy(dict(panel))],
    }


def metrics_of(document: Document, answers: Answers) -> set[str]:
    """Names of all that its queries read."""
    return {
        selector.name
        for question in list_questions(document)
        for selector in list_read(question, answers)
    }
