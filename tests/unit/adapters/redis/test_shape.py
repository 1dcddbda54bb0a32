"""Which replies fit which command: the two forms of XPENDING are told apart by what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.adapters.redis.shape import find_odd

ROW = [b"1-0", b"c", 5, 1]


@pytest.mark.parametrize(
    ("command", "reply", "fits"),
    [
        (("XPENDING", b"s", "g"), [1, b"1-0", b"1-0", [[b"c", b"1"]]], True),
        (("XPENDING", b"s", "g"), [0, None, None, None], True),
        (("XPENDING", b"s", "g"), [2, None, None, None], False),
        (("XPENDING", b"s", "g"), [ROW], False),
        (("XPENDING", b"s", "g", "-", "+", 9), [ROW, ROW], True),
        (("XPENDING", b"s", "g", "-", "+", 9), [], True),
        (("XPENDING", b"s", "g", "-", "+", 9), [0, None, None, None], False),
        (("XPENDING", b"s"), [ROW], True),  # as a reader of many replies remembers it
        (("XCLAIM", b"s", "g", "c", 0, "1-0"), [[b"1-0", [b"f", b"v"]], None], True),
        (("XCLAIM", b"s", "g", "c", 0, "1-0"), [1, b"moved"], False),
    ],
)
def test_a_reply_fits_what_was_asked(command: tuple[Any, ...], reply: Any, fits: bool) -> None:
    assert (find_odd(command, reply) == "") is fits
