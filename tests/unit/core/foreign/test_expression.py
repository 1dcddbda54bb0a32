"""Expressions of people on texts of others: linear, bounded, refused with the way out."""

from __future__ import annotations

import time

import pytest
from pydantic import BaseModel, ValidationError

from sentinel.core.fault import Status
from sentinel.core.foreign.expression import (
    MAX_PATTERN,
    MAX_WORK,
    InvalidExpression,
    compile_expression,
)
from sentinel.core.servers.http import BodyExpectation, Endpoint, judge_values
from sentinel.probes.http import Assertion
from sentinel.probes.process import ProcessProbeOptions
from sentinel.probes.registry import Consumers, Heartbeats
from sentinel.runbook.written import WrittenParameter

CATASTROPHES = (r"(\w+\s?)*$", r"(a+)+$", r"(a|aa)+$", r"(.*)*x", r"(a|a?)+b", r"([a-z]+)*\d")


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_what_takes_re_for_ever_takes_no_time(pattern: str) -> None:
    """`re` needs more than a second for 30 letters of these."""
    expression = compile_expression(pattern)
    began = time.process_time()
    for text in ("a" * 60_000 + "!", "a " * 30_000 + "!", "é" * 30_000):
        expression.starts(text)
        expression.is_in(text)
        expression.covers(text)
    assert time.process_time() - began < 1


def test_the_worst_is_bounded() -> None:
    """No automaton of this fits into its memory; what it may cost is cut off before it is spent."""
    expression = compile_expression(r"((a|b)*a(a|b){900})c")
    text = "ab" * 2_000_000
    began = time.process_time()
    assert not expression.is_in(text)
    assert not expression.covers(text)
    assert time.process_time() - began < 3
    assert expression.cost(text) > MAX_WORK


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        (r"(a)\1", "linear time"),
        (r"(?=a)", "without lookaround"),
        (r"(?<!a)b", "without lookaround"),
        (r"(?P=a)", "refers back"),
        (r"a\Z", "\\z"),
        (r"a{1,2000}", "at most 1000"),
        (r"(.{900}){900}", "at most 1000"),
        (r"\p{L}{500}", "shorten it"),
        ("x" * (MAX_PATTERN + 1), "shorten it"),
        ("(", "mend it"),
        ("\ud800", "mend it"),
    ],
)
def test_what_has_no_linear_time_is_refused_with_a_remedy(pattern: str, remedy: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(pattern)
    assert remedy in refused.value.remedy
    assert "is no regular expression" in refused.value.message


def test_it_means_what_it_says() -> None:
    expression = compile_expression(r"(?P<agent>[a-zé]+)(?P<boot>-\d+)?")
    assert expression.fullmatch("éa-12") == {"agent": "éa", "boot": "-12"}
    assert expression.fullmatch("a") == {"agent": "a", "boot": ""}
    assert expression.fullmatch("A") is None
    assert expression.starts("ab!")
    assert not expression.starts("!ab")
    assert expression.is_in("!ab")
    assert not expression.covers("ab!")
    assert compile_expression(".+").covers("half \ud800 a pair")
    assert not compile_expression("(?s).*").covers("a" * MAX_WORK)  # too long to look at the whole


def places_of(model: type[BaseModel], document: dict[str, object]) -> list[str]:
    """Where it is refused with a remedy."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(document)
    return [
        ".".join(map(str, error["loc"]))
        for error in refused.value.errors()
        if error.get("ctx", {}).get("remedy")
    ]


BAD = r"(\w)\1"


@pytest.mark.parametrize(
    ("model", "document", "place"),
    [
        (Assertion, {"path": "$", "matches": BAD}, "matches"),
        (Assertion, {"path": f"$[?match(@, '{BAD}')]".replace("\\", "\\\\")}, "path"),
        (Assertion, {"path": "$.."}, "path"),
        (ProcessProbeOptions, {"pattern": BAD}, "pattern"),
        (Heartbeats, {"key": "k", "member": BAD}, "member"),
        (Heartbeats, {"key": "k", "member": "(.+)"}, "member"),
        (Consumers, {"streams": "s", "agent_of_stream": BAD}, "agent_of_stream"),
        (Consumers, {"streams": "s", "agent_of_consumer": BAD}, "agent_of_consumer"),
        (WrittenParameter, {"name": "a", "type": "str", "pattern": BAD}, "pattern"),
    ],
)
def test_wherever_people_write_one(
    model: type[BaseModel], document: dict[str, object], place: str
) -> None:
    assert places_of(model, document) == [place]


def test_texts_too_long_for_an_assertion_are_unknown_never_down() -> None:
    expected = BodyExpectation("$..*", matches=r".*a[ab]{900}c")
    values = [(f"$[{n}]", "ab" * 500) for n in range(40)]
    faults = list(judge_values(Endpoint("api", "/"), expected, values))
    assert [(fault.key, fault.status) for fault in faults] == [("unjudged", Status.UNKNOWN)]
    assert [f.status for f in judge_values(Endpoint("api", "/"), expected, values[:2])] == [
        Status.DOWN,
        Status.DOWN,
    ]
