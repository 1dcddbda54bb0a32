"""Which guards are changed, and how."""

from __future__ import annotations

import ast

import pytest

from tools.mutation import find_mutations


def changed(text: str) -> list[str]:
    """The mutated forms of the one line that is changed in each."""
    found = []
    for mutation in find_mutations(text):
        lines = mutation.apply(text).splitlines()
        ast.parse("\n".join(lines))
        found.append(lines[mutation.line - 1].strip())
    return sorted(found)


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a >= b", ["x = a > b"]),
        ("x = (a) is  not (b)", ["x = (a) is (b)"]),
        ("x = a not in b", ["x = a in b"]),
        ("x = a < b <= c", ["x = a < b < c", "x = a <= b <= c"]),
        ("x = a == 1", ["x = a != 1", "x = a == 0", "x = a == 2"]),
        ("x = a == 1.5", ["x = a != 1.5"]),
        ("x = a and b and c", ["x = a and b or c", "x = a or b and c"]),
        ("x = (not a) or (b)", ["x = (not a) and (b)"]),
        ("x = max(a, 0)", ["x = min(a, 0)"]),
        ("x = stats.max(a)", []),
        ("x = a + 1", []),
        ("x = 1 if a else 2", ["x = 1 if not (a) else 2"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if not (a)]"]),
        ("x = 'grün' == b", ["x = 'grün' != b"]),
        ("x = (\n    a  # <\n    < b)", []),
    ],
)
def test_every_decision_is_changed_in_one_place(text: str, forms: list[str]) -> None:
    assert changed(text) == forms


def test_a_guard_is_negated_and_dropped_but_still_evaluated() -> None:
    text = "def f(a):\n    if b := a.b:\n        return 1\n    return 2\n"
    assert changed(text) == ["if ((b := a.b) and False):", "if not (b := a.b):"]


def test_a_branch_that_goes_on_is_only_negated() -> None:
    assert changed("if a:\n    x = 1\nelse:\n    x = 2\n") == ["if not (a):"]


def test_the_condition_of_a_loop_is_not_negated() -> None:
    assert changed("while a:\n    x = 1\n") == []


def test_guards_of_a_match_are_changed() -> None:
    text = "match a:\n    case 1 if b:\n        pass\n"
    assert changed(text) == ["case 1 if not (b):"]


@pytest.mark.parametrize(
    "text",
    [
        "x = f'{1 if a else 2}'",
        "assert a < b",
        "__all__ = ['a'] if b else ['c']",
        "if TYPE_CHECKING:\n    import a\n",
        "if a < b:\n    log.info('late', seconds=max(a, b))\n",
        "self._log.warning('late', seconds=max(a, b))",
        "x = 'one task' if n == 1 else f'{n} tasks'",
        "def __str__(self) -> str:\n    return self.a or self.b\n",
        "def f(a) -> str:\n    if a:\n        return 'it is late'\n    return f'{a} s late'\n",
    ],
)
def test_what_only_makes_text_is_left_alone(text: str) -> None:
    assert changed(text) == []


def test_an_empty_sentence_is_a_decision() -> None:
    text = "def find_hold(a) -> str:\n    return 'it is late' if a else ''\n"
    assert changed(text) == ["return 'it is late' if not (a) else ''"]


def test_a_change_that_gives_the_same_program_or_none_is_known() -> None:
    text = "x = a < b\n"
    (mutation,) = find_mutations(text)
    assert mutation.is_another(text)
    assert not mutation.is_another(text.replace("<", "<=").replace("b", ""))
    assert not type(mutation)(1, "same", 0, 1, "x").is_another(text)
