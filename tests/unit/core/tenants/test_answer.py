"""Answers of an API to one tenant: a pass needs its control, and what changes by itself is no proof."""

from __future__ import annotations

import json

import pytest

from sentinel.core.tenants.answer import (
    FOREIGN_ID,
    FORGED,
    NO_TOKEN,
    Baselines,
    judge_own,
    judge_refusal,
    name_paths,
    read_answer,
)
from sentinel.redaction import hide_shapes

MARKERS = ("marker-of-a", "marker-of-b")


def answer(status: int, body: object, sent: tuple[str, ...] = (), unread: str = ""):
    """An answer with a JSON body."""
    return read_answer(status, json.dumps(body).encode(), MARKERS, sent, unread)


def row(who: str, tick: int) -> dict[str, str]:
    """A row of somebody, and a field that changes each time."""
    return {
        "text": f"marker-of-{who}",
        "owner": f"owner-of-{who}",
        "state": "pending-all",
        "at": f"tick-{tick:06}",
    }


B = Baselines([answer(200, row("b", n)) for n in (1, 3, 5)], answer(200, row("a", 2)))


@pytest.mark.parametrize(
    ("status", "body", "key"),
    [
        (403, {"error": "no, thanks"}, None),
        (404, {"error": "not found"}, None),
        (302, "", None),
        (200, {"error": "in a 200"}, None),
        (200, {"state": "pending-all"}, None),
        (200, {"at": "tick-000003"}, None),
        (200, row("b", 4), "leak"),
        (200, {"owner": "owner-of-b"}, "leak"),
        (403, {"error": "belongs to owner-of-b"}, None),
        (403, {"hint": "owner-of-b"}, "leak"),
        (500, {"error": "oops"}, "unjudged"),
        (429, {"error": "slowly"}, "unjudged"),
    ],
)
def test_what_must_be_refused(status, body, key):
    """Refused, or nothing of B in it: neither what both are shown nor what changes by itself."""
    fault = judge_refusal("/t", FORGED, answer(status, body), B)
    assert (fault.key if fault else None) == key


def test_without_a_token_nobody_is_shown_anything():
    """A's own rows are as bad as B's."""
    assert judge_refusal("/t", NO_TOKEN, answer(200, row("a", 1)), B).key == "leak"
    assert judge_refusal("/t", FORGED, answer(200, row("a", 1)), B) is None


def test_an_echo_gives_nothing_away():
    """A refusal that repeats what it was asked for; a 200 that does is another thing."""
    sent = ("/t/marker-of-b",)
    said = {"error": "no marker-of-b for you", "id": "marker-of-b"}
    assert judge_refusal("/t", FOREIGN_ID, answer(404, said, sent), B) is None
    assert judge_refusal("/t", FOREIGN_ID, answer(200, said, sent), B).key == "leak"


def test_without_the_control_of_b_nothing_is_proved():
    """Neither pass nor leak by values."""
    broken = Baselines([answer(200, {"owner": "owner-of-b"})] * 3)
    for each in (broken, Baselines(())):
        assert judge_refusal("/t", FORGED, answer(403, {}), each).key == "unjudged"
        assert (
            judge_refusal("/t", FORGED, answer(200, {"owner": "owner-of-b"}), each).key
            == "unjudged"
        )


@pytest.mark.parametrize(
    ("body", "unread", "key"),
    [
        (row("a", 1), "", None),
        ([row("a", 1), row("b", 1)], "", "leak"),
        ({"rows": []}, "", "unjudged"),
        (row("a", 1), "answer longer than 1 MiB", "unjudged"),
        (row("b", 1), "answer longer than 1 MiB", "leak"),
    ],
)
def test_lists_of_ones_own(body, unread, key):
    """A must find its own, and nothing of B, also where the answer was cut."""
    fault = judge_own("/t", "A", answer(200, body, unread=unread))
    assert (fault.key if fault else None) == key


def test_paths_are_named_without_their_queries():
    """A query may be a token; requests that differ in it alone are told apart."""
    assert name_paths(["/a?t=1", "/b", "/a?t=2", "/a"]) == ["/a", "/b", "/a#2", "/a#3"]
    assert name_paths([]) == []


def test_other_bodies_are_taken_apart_by_lines():
    """HTML and CSV."""
    assert read_answer(200, b"<td>owner-of-b</td>\nx", MARKERS).leaves == {"owner-of-b"}


@pytest.mark.parametrize("way", [FOREIGN_ID, FORGED, NO_TOKEN])
def test_a_sentence_holds_nothing_that_looks_like_a_secret(way: str) -> None:
    """Else whoever reads it reads `***` in its midst."""
    fault = judge_refusal("/t", way, answer(500, row("a", 1)), B)
    assert fault is not None
    assert hide_shapes(fault.text) == fault.text
