"""Judging a conversation: the words, the time, and that the words come first."""

from __future__ import annotations

import pytest

from sentinel.core.fault import Status
from sentinel.core.servers.tcp import TcpLimits, judge_conversation


@pytest.mark.parametrize(
    ("connected", "answer", "limits"),
    [
        (9.0, b"", TcpLimits()),
        (1.0, b"", TcpLimits(connect=1.0)),
        (0.1, b"220 mail ready", TcpLimits("mail", 1.0)),
    ],
)
def test_good_conversations(connected, answer, limits):
    """Nothing asked for, the limit itself, and the text anywhere in the answer."""
    assert list(judge_conversation("h:1", connected, answer, limits)) == []


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b"", "answered nothing, expected 'mail'"),
        (b"\x1b[2J" + b"x" * 200, r"answered '\x1b[2J" + "x" * 76 + "', expected"),
        (b"\xff", r"answered '\ufffd'"),
    ],
)
def test_wrong_answer_is_down_and_shown_harmlessly(answer, shown):
    """Escaped and cut; that it was slow, too, does not matter then."""
    (fault,) = judge_conversation("h:1", 9.0, answer, TcpLimits("mail", 1.0))
    assert (fault.key, fault.subject, fault.status) == ("wrong_answer", {}, Status.DOWN)
    assert fault.text.startswith("h:1: ")
    assert shown in fault.text


def test_slow_is_degraded_with_its_limit():
    """Both figures are in the sentence."""
    (fault,) = judge_conversation("h:1", 1.5, b"", TcpLimits(connect=1.0))
    assert (fault.key, fault.status) == ("slow", Status.DEGRADED)
    assert fault.text == "h:1: connected in 1.5 s, more than 1.0 s"
