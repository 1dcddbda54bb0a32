"""Judging an HTTP answer: each limit, each condition of a value, and whose fault it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.fault import MAX_FAULTS, Status
from sentinel.core.servers.http import (
    BodyExpectation,
    Endpoint,
    HttpAnswer,
    HttpLimits,
    find_no_json,
    find_too_long,
    is_same,
    judge_answer,
    judge_text,
    judge_values,
    keep_worst,
    name_place,
    show,
)

API = Endpoint("api", "/health")
GOOD = HttpAnswer(200, 0.5, certificate_left=14 * 86400.0)
LIMITS = HttpLimits((200, 204), ((Status.DOWN, 2.0), (Status.DEGRADED, 0.5)))


def judge(**changes):
    """Faults of the good answer with something else in it."""
    return list(judge_answer(API, replace(GOOD, **changes), LIMITS))


def test_figures_at_their_limits_are_no_faults():
    """Both good codes, the slow limit and the last day of the certificate themselves."""
    assert judge() == judge(status=204) == judge(certificate_left=None) == []


@pytest.mark.parametrize(
    ("changes", "key", "status", "words"),
    [
        ({"status": 500}, "wrong_status", Status.DOWN, "status 500, expected 200, 204"),
        ({"status": 401}, "unjudged", Status.UNKNOWN, "credentials refused"),
        ({"status": 407}, "unjudged", Status.UNKNOWN, "credentials refused"),
        ({"status": 503, "retry_after": 60.0}, "asks_for_rest", Status.DEGRADED, "for 1 min"),
        ({"status": 302, "location": "/in?t=s3cret"}, "wrong_status", Status.DOWN, 'to "/in")'),
        ({"seconds": 0.6}, "slow", Status.DEGRADED, "took 600 ms, more than 500 ms"),
        ({"seconds": 2.1}, "slow", Status.DOWN, "took 2.1 s, more than 2.0 s"),
        ({"certificate_left": -5.0}, "certificate", Status.DEGRADED, "expires in -5.0 s, less"),
    ],
)
def test_each_limit_broken_is_one_fault_of_the_path(changes, key, status, words):
    """One fault, with subject, resource, figures and a next step."""
    (fault,) = judge(**changes)
    assert (fault.key, fault.subject, fault.status) == (key, {"path": "/health"}, status)
    assert fault.parameters == {"resource": "api", "path": "/health"}
    assert fault.text.startswith("/health: ")
    assert words in fault.text
    assert "s3cret" not in fault.text
    assert fault.guidance


def test_slow_answer_of_the_wrong_status_is_judged_by_its_status_alone():
    """An error page that took long is one fault; the certificate is another matter."""
    faults = judge(status=500, seconds=9.0, certificate_left=1.0)
    assert [fault.key for fault in faults] == ["certificate", "wrong_status"]


@pytest.mark.parametrize(
    ("expected", "value", "words"),
    [
        (BodyExpectation("$.a", equals=("up",)), "down", '$.a is "down", not "up"'),
        (BodyExpectation("$.a", equals=(None,)), 0, "$.a is 0, not null"),
        (BodyExpectation("$.a", equals=(1,)), True, "$.a is true, not 1"),
        (BodyExpectation("$.a", one_of=["x", 2]), 3, 'none of ["x", 2]'),
        (BodyExpectation("$.a", matches="up"), "not up", "does not match up"),
        (BodyExpectation("$.a", matches="3"), 3, "does not match 3"),
        (BodyExpectation("$.a", min=3.5), 3, "not at least 3.5"),
        (BodyExpectation("$.a", max=2.5), 3, "not at most 2.5"),
        (BodyExpectation("$.a", min=1.0), "1", "not at least 1"),
        (BodyExpectation("$.a", max=1.0), True, "not at most 1"),
        (BodyExpectation("$.a", min=5.0, matches="u"), 1, "does not match u and not at least 5"),
        (BodyExpectation("$.a", exists=False), 1, "$.a is 1, unwanted"),
    ],
)
def test_value_that_is_not_as_expected(expected, value, words):
    """One fault at the value's own place, however many conditions it misses."""
    (fault,) = judge_values(API, expected, [("$['a']", value)])
    assert fault.subject == {"path": "/health", "assertion": "$.a"}
    assert (fault.key, fault.status) == ("wrong_value", Status.DOWN)
    assert words in fault.text


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (BodyExpectation("$.a"), [("$['a']", None)]),
        (BodyExpectation("$.a", exists=False), []),
        (BodyExpectation("$.a", equals=(3,)), [("$['a']", 3.0)]),
        (BodyExpectation("$.a", one_of=["x"], matches="x"), [("$['a']", "x")]),
        (BodyExpectation("$.a", min=3.0, max=3.0), [("$['a']", 3)]),
    ],
)
def test_values_as_expected(expected, found):
    """Limits themselves are good; without a condition it is enough to be there."""
    assert list(judge_values(API, expected, found)) == []


def test_value_that_is_not_there_is_named_by_the_path_of_the_check():
    """There is no other place to name; what a wrong value means holds for a missing one."""
    expected = BodyExpectation("$.a.*", status=Status.DEGRADED)
    (fault,) = judge_values(API, expected, [])
    assert fault.subject["assertion"] == "$.a.*"
    assert fault.status is Status.DEGRADED


def test_values_without_end_are_cut():
    """At most as many as are remembered."""
    found = [(f"$[{n}]", n) for n in range(2 * MAX_FAULTS)]
    assert len(list(judge_values(API, BodyExpectation("$[*]", max=-1.0), found))) == MAX_FAULTS


def test_two_limits_of_one_value_are_one_fault_the_worse():
    """Degraded above 1 and down above 5: at 6 it is down, once."""
    mild = BodyExpectation("$.n", max=1.0, status=Status.DEGRADED)
    hard = BodyExpectation("$.n", max=5.0)
    found = [("$['n']", 6)]
    both = [*judge_values(API, mild, found), *judge_values(API, hard, found)]
    (fault,) = keep_worst(both)
    assert fault.status is Status.DOWN


def test_bodies_that_can_not_be_judged_by_value():
    """No JSON and a missing text are the target's fault, one too long is nobody's."""
    assert list(judge_text(API, "acme", b"welcome to acme")) == []
    (fault,) = judge_text(API, "acme", b"parked")
    assert (fault.key, fault.status) == ("wrong_body", Status.DOWN)
    assert "(ValueError)" in find_no_json(API, ValueError("top-secret")).text
    assert "top-secret" not in find_no_json(API, ValueError("top-secret")).text
    assert find_too_long(API, 1024).status is Status.UNKNOWN


def test_foreign_text_is_short_and_printable():
    """Names and values of the body are ASCII and cut."""
    assert name_place("$['a']['b c'][0]['d_1']") == "$.a['b c'][0].d_1"
    assert name_place("$['é\x1b']") == r"$['\xe9\x1b']"
    assert len(name_place("$['" + "x" * 999 + "']")) == len(show("x" * 999)) == 121
    assert show("é\x1b") == r'"\u00e9\u001b"'


def test_true_is_not_one():
    """Equality is that of JSON."""
    assert is_same(1, 1.0)
    assert not is_same(True, 1)
    assert not is_same(0, False)
