"""Is a dashboard alive? Grafana shows an empty panel as calmly as a quiet system; here it is told.

What is judged are the answers of a run in which everything that the dashboards show did happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from tools.grafana.declared import list_declared
from tools.grafana.live import Answer, Answers
from tools.grafana.question import (
    Question,
    Selector,
    list_panels,
    list_questions,
    list_selectors,
    parse_query,
)

NOTHING = Answer()


def find_silence(
    document: Mapping[str, Any], answers: Answers, has_exported: Callable[[Selector], bool]
) -> list[str]:
    """Whatever shows nothing: a panel that asks nothing, a query without an answer or with an error,
    a metric that nothing declares, series that were never there.

    Each series that a query reads is judged by itself, for `a or b` is not empty without `a`.
    """
    return [*_find_mute(document), *_find_empty(document, answers, has_exported)]


def _find_mute(document: Mapping[str, Any]) -> Iterator[str]:
    for panel in list_panels(document):
        if not any(target.get("expr") for target in panel.get("targets", ())):
            yield f"panel {panel['id']} “{panel['title']}” asks nothing"


def _find_empty(
    document: Mapping[str, Any], answers: Answers, has_exported: Callable[[Selector], bool]
) -> Iterator[str]:
    for question in list_questions(document):
        answer = answers.by_question.get(question, NOTHING)
        if answer.error:
            yield f"{question.place}: {answer.error}"
        elif not answer:
            yield f"{question.place}: nothing came"
        for selector in list_read(question, answers):
            if selector.name not in list_declared():
                yield f"{question.place}: nothing declares {selector.name}"
            elif not has_exported(selector):
                yield f"{question.place}: there was never anything like {selector.text}"


def list_read(question: Question, answers: Answers) -> tuple[Selector, ...]:
    """Series that a query reads, as they were asked for; none of what is no PromQL."""
    return _parse(answers.filling.fill(question.expr))


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Selector, ...]:
    try:
        return tuple(list_selectors(parse_query(text)))
    except ValueError:
        return ()
