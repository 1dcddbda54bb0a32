"""Validation errors in our words, each at the place of its key."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from sentinel.strict.explain import unknown_message, validate
from sentinel.strict.field import Duration, Name, Strict, Text, choice, shaped
from sentinel.strict.place import Document


class Inner(Strict):
    """A mapping within."""

    size: int = 1
    as_: str = Field("", alias="as")


class Outer(Strict):
    """Everything that can be wrong."""

    name: Name = "x"
    text: Text = "x"
    every: Duration = 1.0
    share: float = 0.0
    on: bool = False
    items: list[Inner] = Field(default_factory=list)
    word: Annotated[str, choice("word", ["alpha", "beta"])] = "alpha"
    code: Annotated[str, shaped("[0-9]+", "code", "use 0-9")] = "1"
    password: SecretStr = SecretStr("")
    most: int = Field(1, le=5)


@pytest.mark.parametrize(
    ("value", "key", "message", "remedy"),
    [
        ({"nmae": 1}, "nmae", "unknown key `nmae`", "did you mean `name`?"),
        ({"owner": 1}, "owner", "unknown key `owner`", "did you mean `owners`?"),
        ({"items": [{"zz": 1}]}, "items[0].zz", "unknown key `zz`", "known: as, size"),
        ({"items": [{"size": "1"}]}, "items[0].size", "must be a whole number, found str '1'",
         "write a number without quotes"),
        ({"most": "1234567890123456789"}, "most", "must be a whole number of at most 18 digits",
         "write fewer digits"),
        ({"share": "0.12345678901234567890"}, "share", "must be a number of at most 18 digits",
         "write fewer digits"),
        ({"items": {}}, "items", "must be a list, found a mapping", "write a list: [one, two]"),
        ({"items": [3]}, "items[0]", "must be a mapping, found int '3'",
         "write `key: value` lines, indented, below it"),
        ({"name": "a b"}, "name", "'a b' is no name",
         "use letters, digits and . _ : - (at most 100, a letter or digit first)"),
        ({"text": " "}, "text", "is empty", "write something, or leave the key out"),
        ({"text": None}, "text", "must be text, found nothing",
         'write text, in quotes where it looks like something else: "…"'),
        ({"on": "yes"}, "on", "must be true or false, found str 'yes'",
         "write true or false, without quotes"),
        ({"word": "aplha"}, "word", "unknown word `aplha`", "did you mean `alpha`?"),
        ({"word": "zz"}, "word", "unknown word `zz`", "known: alpha, beta"),
        ({"code": "x"}, "code", "'x' is no code", "use 0-9"),
        ({"most": 6}, "most", "input should be less than or equal to 5 (found int '6')",
         "correct the value"),
        ({"password": 1234}, "password", "must be text, found a value that is not shown",
         'write text, in quotes where it looks like something else: "…"'),
    ],
)  # fmt: skip
def test_each_error_is_explained(value: Any, key: str, message: str, remedy: str) -> None:
    """One problem: what is wrong, and what to write instead."""
    document = Document("x.yaml")
    assert validate(document.at("at"), Outer, value, beside=["owners"]) is None
    (problem,) = document.problems
    assert problem.key == f"at.{key}"
    assert (problem.message, problem.remedy) == (message, remedy)


def test_all_problems_at_once() -> None:
    """None hides another."""
    document = Document("x.yaml")
    value = {"text": "", "on": 1, "items": [{"size": "1"}, {"zz": 1}]}
    assert validate(document.at(), Outer, value) is None
    keys = [problem.key for problem in document.problems]
    assert keys == ["text", "on", "items[0].size", "items[1].zz"]


def test_what_is_right_is_the_model() -> None:
    """With nothing noted."""
    document = Document("x.yaml")
    made = validate(document.at(), Outer, {"every": "2m", "items": [{"as": "x"}]})
    assert made is not None
    assert (made.every, made.items[0].as_, document.problems) == (120.0, "x", [])


def test_a_name_that_is_far_from_all() -> None:
    """The known ones, and where they are listed."""
    assert unknown_message("kind", "q", ["b", "a"], "`x`")[1] == "known: a, b (`x` lists them)"
    assert unknown_message("kind", "q", [])[1] == "none is configured"
