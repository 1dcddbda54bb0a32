"""A place is a file, a line and a key; what is noted there is told once."""

from __future__ import annotations

import pytest

from sentinel.errors import Problem
from sentinel.strict.place import Document, KeyPath, Place


@pytest.fixture
def document() -> Document:
    """A file with a few places."""
    lines: dict[KeyPath, int] = {(): 1, ("a",): 2, ("a", 0): 3, ("a", 0, "b"): 4}
    return Document("x.yaml", lines=lines)


@pytest.mark.parametrize(
    ("path", "line", "key"),
    [
        ((), 1, ""),
        (("a",), 2, "a"),
        (("a", 0, "b"), 4, "a[0].b"),
        (("a", 0, "missing", 7), 3, "a[0].missing[7]"),
        (("nowhere",), 1, "nowhere"),
        ((3, "x"), 1, "[3].x"),
    ],
)
def test_line_and_key(document: Document, path: KeyPath, line: int, key: str) -> None:
    """What is missing has the line of what it is missing in."""
    place = document.at(*path)
    assert (place.file, place.line, place.key, str(place)) == (
        "x.yaml",
        line,
        key,
        f"x.yaml:{line}",
    )


def test_places_within_places(document: Document) -> None:
    """By one step or several; equal when they are the same."""
    assert document.at("a") / 0 / "b" == document.at("a", 0, "b") == document.at("a").at(0, "b")
    assert document.at("a") != Place(Document("y.yaml"), ("a",))


def test_what_could_not_be_read_is_not_judged(document: Document) -> None:
    """A second complaint about an unknown value would not help; its neighbours are judged."""
    place = document.at("a", 0, "b")
    place.refuse("is not set", "set it")
    place.note("must be a number")
    document.at("a").note("is short", "add more")
    assert document.problems == [
        Problem("x.yaml", 4, "a[0].b", "is not set", "set it"),
        Problem("x.yaml", 2, "a", "is short", "add more"),
    ]
