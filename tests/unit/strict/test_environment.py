"""What is advised about a variable of the environment that is not set."""

from __future__ import annotations

import pytest

from sentinel.strict.environment import substitute
from sentinel.strict.place import Document, KeyPath


def advise(text: str, *path: str | int) -> str:
    """The remedy of the one problem."""
    document = Document("x.yaml")
    substitute(text, document.at(*path), {})
    (problem,) = document.problems
    return problem.remedy


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("${API_TOKEN}", ("checks", 0, "query")),
        ("${WORD}", ("checks", 0, "headers", "X-Key")),
        ("${WORD}", ("components", "api", "environment", "API_TOKEN")),
        ("${WORD}", ("channels", "room", "address")),
        ("redis://bus:${WORD}@127.0.0.1", ("resources", "bus", "redis")),
    ],
)
def test_no_default_is_advised_for_a_secret(text: str, path: KeyPath) -> None:
    """It would stand in the file, where everybody reads it."""
    name = "API_TOKEN" if "API_TOKEN" in text else "WORD"
    assert advise(text, *path) == f"export {name}=…"


@pytest.mark.parametrize(
    ("section", "key"),
    [("resources", "password"), ("channels", "routing_key"), ("channels", "addresses")],
)
def test_a_file_is_advised_where_a_key_takes_one(section: str, key: str) -> None:
    """The variable, or the key beside it that names a file."""
    remedy = f"export WORD=…, or name a file that holds it: `{key}_file: …`"
    assert advise("${WORD}", section, "x", key) == remedy


def test_a_default_is_advised_for_anything_else() -> None:
    """And one that is written counts, wherever it stands."""
    assert advise("${PORT}", "listen") == "export PORT=…, or write ${PORT:-default}"
    document = Document("x.yaml")
    place = document.at("resources", "bus", "password")
    assert substitute("${BUS_PASSWORD:-as before}", place, {}) == "as before"
    assert document.problems == []
