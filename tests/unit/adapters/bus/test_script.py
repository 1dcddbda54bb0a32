"""What a script of ours can give, and what is no reply to it."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.adapters.bus.script import (
    DEAD_LETTER,
    EXPIRING,
    IDLE_CONSUMERS,
    RECLAIM,
    TRIM,
    CleaningScript,
)
from sentinel.errors import NotMeasurable, TargetRejected, WrongTarget


@pytest.mark.parametrize(
    ("script", "reply", "things"),
    [
        (TRIM, [b"", b"5-0", b"g", 9, 4, 4, 0], 0),
        (TRIM, [b"group_missing", b"0-0", b"g", 9, 0, 0, 0], 0),
        (IDLE_CONSUMERS, [b"gone", b"heard"], 2),
        (RECLAIM, [b"moved", b"payload_gone", b"in_work"], 3),
        (RECLAIM, [b"no_heir"], 3),
        (DEAD_LETTER, [], 0),
        (EXPIRING, b"has_ttl", 0),
    ],
)
def test_what_a_script_gives_is_taken(script: CleaningScript, reply: Any, things: int) -> None:
    """As it came."""
    assert script.take(reply, things) == reply


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        (TRIM, [1, b"2"]),
        (TRIM, [b"", b"5-0", b"g", 9, 4, 4, b"0"]),
        (TRIM, [b"because", b"5-0", b"g", 9, 4, 4, 0]),
        (TRIM, b"OK"),
        (IDLE_CONSUMERS, [b"gone"]),
        (IDLE_CONSUMERS, [b"gone", b"odd"]),
        (IDLE_CONSUMERS, [b"gone", 1]),
        (IDLE_CONSUMERS, [b"no_heir"]),
        (IDLE_CONSUMERS, [b""]),
        (RECLAIM, [b"no_heir", b"no_heir", b"moved"]),
        (RECLAIM, None),
        (EXPIRING, b"GONE"),
        (EXPIRING, [b"gone"]),
        (EXPIRING, 1),
    ],
)
def test_what_it_can_not_give_is_no_redis(script: CleaningScript, reply: Any) -> None:
    """Nothing is counted as done by it."""
    with pytest.raises(WrongTarget, match="it answers EVAL with what no Redis would say"):
        script.take(reply, 2)


def test_what_failed_inside_is_in_the_words_of_that_command() -> None:
    """A missing right has the command's name."""
    text = "SENTINEL XTRIM NOPERM User has no permissions to run the 'xtrim' command"
    with pytest.raises(NotMeasurable, match="'xtrim' command in a script") as caught:
        TRIM.take(TargetRejected(text))
    assert caught.value.code == "NOPERM"
