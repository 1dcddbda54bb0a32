"""What an address asks: each word is checked, and everything that is wrong is told at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiohttp import web

from sentinel.web.views.ask import MAX_WORD, Ask, Leaf, find_text, is_asked


def test_words_are_read() -> None:
    """Texts are stripped, choices and numbers checked, a day is the beginning of it in UTC."""
    words = {
        "text": " a ",
        "status": "up",
        "page": "3",
        "since": "2026-03-01",
        "at": "2026-03-01T01:00+01:00",
    }
    ask = Ask("", words)
    assert (ask.read("text"), ask.choose("status", ["up"]), ask.read_number("page", 1, 9)) == (
        "a",
        "up",
        3,
    )
    assert ask.read_instant("since") == ask.read_instant("at") == datetime(2026, 3, 1, tzinfo=UTC)
    assert (ask.read("none"), ask.read_instant("none"), ask.choose("none", ["x"], "x")) == (
        "",
        None,
        "x",
    )
    ask.conclude()


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "٣", "99999999", "11"])
def test_a_number_is_within_its_limits(number: str) -> None:
    """Whatever Python would take for one."""
    ask = Ask("", {"page": number})
    assert ask.read_number("page", 1, 10) == 1
    with pytest.raises(web.HTTPBadRequest) as raised:
        ask.conclude()
    assert "whole number from 1 to 10" in str(raised.value.text)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "0001-01-01T00:00+14:00", "9" * 30])
def test_an_instant_that_is_none(text: str) -> None:
    """Is said with an example."""
    ask = Ask("", {"since": text})
    assert ask.read_instant("since") is None
    assert "2026-03-01" in ask.problems[0]


def test_everything_wrong_is_told_at_once() -> None:
    """An unknown word, a choice that is none, a text that is too long."""
    ask = Ask("", {"foo": "1", "status": "red", "text": "x" * (MAX_WORD + 1)})
    ask.refuse_unknown(["status", "text"])
    ask.choose("status", ["up", "down"])
    assert len(ask.read("text")) == MAX_WORD
    with pytest.raises(web.HTTPBadRequest) as raised:
        ask.conclude()
    told = str(raised.value.text)
    assert "there is no filter 'foo': known are status, text" in told
    assert "choose one of up, down" in told
    assert f"text may have {MAX_WORD} characters" in told


def test_pages_of_a_list() -> None:
    """The addresses of the neighbours keep the filters."""
    ask = Ask("", {"status": "a&b", "page": "2"})
    leaf = Leaf.read(ask, 10, 25)
    assert list(leaf.cut(range(25))) == list(range(10, 20))
    told = leaf.describe(ask)
    assert (told["first"], told["last"], told["before"], told["after"]) == (
        11, 20, "?status=a%26b&page=1", "?status=a%26b&page=3",
    )  # fmt: skip
    empty = Leaf.read(Ask("", {"page": "7"}), 10, 0)
    assert (empty.page, empty.describe(Ask())["first"], empty.describe(Ask())["after"]) == (
        1,
        0,
        "",
    )


def test_names_are_found_as_they_are_shown() -> None:
    """A direction mark in a name is shown written out, and is searched for so."""
    assert is_asked("", "any")
    assert is_asked("a\\u202eb", "a\u202eb")
    assert not is_asked("a", "ab")
    assert find_text("\\U202E", ["a\u202eb"])
    assert find_text("", [])
    assert not find_text("x", ["y", 1])
