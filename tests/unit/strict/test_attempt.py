"""Whatever is raised while reading becomes a problem of its place, and says nothing secret."""

from __future__ import annotations

import pytest

from sentinel.errors import ConfigurationError
from sentinel.strict.attempt import attempt
from sentinel.strict.place import Document


def dig(depth: int = 0) -> int:
    """Never ends by itself."""
    return dig(depth + 1)


def explode(error: Exception) -> None:
    """Raise it."""
    raise error


@pytest.mark.parametrize(
    "error",
    [ValueError("canary-pw"), OSError(5, "canary-pw"), MemoryError(), KeyError("canary-pw")],
    ids=lambda error: type(error).__name__,
)
def test_any_error_is_a_problem(error: Exception) -> None:
    """With its type, and not its text: that may quote a password."""
    document = Document("x.yaml", lines={("a",): 7})
    assert attempt(document.at("a"), explode, error) is None
    (problem,) = document.problems
    assert (problem.line, problem.key) == (7, "a")
    assert type(error).__name__ in problem.message
    assert "canary" not in str(problem)
    assert problem.remedy


def test_recursion_is_one_too() -> None:
    """Nesting that nobody bounded."""
    document = Document("x.yaml")
    assert attempt(document.at(), dig) is None
    assert "RecursionError" in document.problems[0].message


def test_what_is_understood_passes() -> None:
    """Results, and our own error with its problems."""
    document = Document("x.yaml")
    assert attempt(document.at(), int, "7") == 7
    with pytest.raises(ConfigurationError):
        attempt(document.at(), explode, ConfigurationError([]))
    assert document.problems == []
