"""What the last canaries of a path mean, and how it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.canary.finding import (
    READER_FAILED,
    REFUSED,
    CanaryLimits,
    PathNews,
    PathTrouble,
    find_canary_faults,
    find_in_use,
)
from sentinel.core.fault import Status, judge
from sentinel.core.quantity import Bounds

LIMITS = CanaryLimits(deadline=1.0, failures=2, of=20, down_after=3)
QUIET = PathNews("0", "sentinel:canary:{0}", ["ok"] * 5)


@pytest.mark.parametrize(
    ("recent", "status"),
    [
        ([], Status.UNKNOWN),
        (["ok"], Status.UP),
        (["ok"] * 18 + ["late"], Status.UP),
        (["late", "corrupt"] + ["ok"] * 18, Status.DEGRADED),
        (["late", "corrupt"] + ["ok"] * 19, Status.UP),
        (["ok"] * 9 + ["lost"] * 2, Status.DEGRADED),
        (["ok"] * 9 + ["lost", "publish_error", "lost"], Status.DEGRADED),
        (["ok"] * 9 + ["lost", "publish_error", "lost", "lost"], Status.DOWN),
        (["publish_error"] * 20, Status.DEGRADED),
        (["ok"] * 9 + ["lost", "late", "lost"], Status.DEGRADED),
        (["lost"] * 2, Status.DEGRADED),
        (["lost"] * 3, Status.DOWN),
    ],
)
def test_k_of_the_last_m(recent, status):
    """2 of 20 are degraded, 3 in a row sent and never arrived are down, refused ones are not, none
    is unknown.
    """
    assert judge(find_canary_faults(replace(QUIET, recent=recent), LIMITS)) is status


def test_each_kind_of_failure_is_a_fault_of_its_own():
    """Late and corrupt have different causes: each with its own figure, the path, and the limit."""
    recent = ["late", "ok", "corrupt", "late"]
    late, corrupt = find_canary_faults(replace(QUIET, recent=recent), LIMITS)
    assert (late.key, late.subject, late.count) == ("late", {"path": "0"}, Bounds(2, 2))
    assert late.text == (
        "path 0: 2 of the last 4 canaries were late, past 1.0 s; from 2 failures of 20 on it is"
        " degraded"
    )
    assert corrupt.text.startswith("path 0: 1 of the last 4 canaries was changed on their way;")
    assert corrupt.parameters == {"stream": "sentinel:canary:{0}"}


def test_a_dead_path_is_said_once():
    """The losses in a row are the fault `lost`; other failures of the window stand beside it."""
    faults = find_canary_faults(replace(QUIET, recent=["late", "lost", "lost", "lost"]), LIMITS)
    assert [(fault.key, fault.status) for fault in faults] == [
        ("lost", Status.DOWN),
        ("late", Status.DEGRADED),
    ]
    assert faults[0].text == "path 0: the last 3 canaries that were sent were all lost"
    one = replace(LIMITS, down_after=1, failures=2)
    (single,) = find_canary_faults(replace(QUIET, recent=["ok", "lost"]), one)
    assert single.text == "path 0: the last canary was lost"


def test_failing_hops_are_named_worst_first():
    """Which handler did it stands in the sentence; those without failures do not."""
    news = replace(QUIET, recent=["lost", "lost"], hops={"a": 1, "b": 0, "c": 4})
    (fault,) = find_canary_faults(news, LIMITS)
    assert fault.text.endswith("; failing hop: c (4), a (1)")


def test_why_nothing_is_sent_is_said_with_what_is_wrong():
    """A path that holds back says so."""
    news = replace(QUIET, recent=["lost", "lost"], held="nothing sent: agent is not running")
    (fault,) = find_canary_faults(news, LIMITS)
    assert fault.text.endswith("; nothing sent: agent is not running")


def test_an_error_of_the_server_comes_before_what_it_caused():
    """A refusal now has the server's words; the refused canaries of the window add no second one."""
    refused = PathTrouble(REFUSED, Status.DEGRADED, "OOM command not allowed", "raise maxmemory")
    news = replace(QUIET, recent=["publish_error"] * 4, troubles=[refused])
    (fault,) = find_canary_faults(news, LIMITS)
    assert fault.text == "path 0: publish refused: OOM command not allowed"
    assert fault.guidance == "raise maxmemory"
    reader = PathTrouble(READER_FAILED, Status.DOWN, "no answer", "is it there?")
    (fault,) = find_canary_faults(replace(QUIET, troubles=[reader]), LIMITS)
    assert (fault.text, fault.status) == ("path 0: reader: no answer", Status.DOWN)


def test_a_path_that_can_not_be_asked_is_not_also_unjudged():
    """Without any outcome the error is the news, not that there is no outcome."""
    down = PathTrouble("unreachable", Status.DOWN, "connection refused", "start it")
    news = replace(QUIET, recent=[], troubles=[down], asked=False)
    assert [fault.key for fault in find_canary_faults(news, LIMITS)] == ["unreachable"]
    blind = replace(QUIET, recent=[])
    assert [fault.key for fault in find_canary_faults(blind, LIMITS)] == ["no_verdict"]


def test_wiped_canaries_are_counted():
    """A flush is the platform's fault and says how many."""
    (fault,) = find_canary_faults(replace(QUIET, wiped=7), LIMITS)
    assert (fault.key, fault.status, fault.count) == ("wiped", Status.DEGRADED, Bounds(7, 7))
    assert "7 open canaries were wiped" in fault.text


def test_a_shared_path_is_unknown():
    """Who else sends there is named, and nobody is blamed."""
    fault = find_in_use("0", "host:42")
    assert (fault.status, fault.subject, fault.parameters) == (Status.UNKNOWN, {"path": "0"}, {})
    assert "host:42" in fault.text
    held = find_canary_faults(replace(QUIET, holder="host:42"), LIMITS)
    assert [each.key for each in held] == ["path_in_use"]


def test_what_was_given_up_is_told_by_the_run_that_did():
    """Beside a path that works again: one canary is enough, whatever the last ones say."""
    (fault,) = find_canary_faults(replace(QUIET, given_up=1), LIMITS)
    assert (fault.key, fault.status, fault.count) == (
        "never_arrived",
        Status.DEGRADED,
        Bounds(1, 1),
    )
    assert fault.text == "path 0: 1 of its canaries was given up since the last look"
