"""JSON of others, and paths into it: bounded in depth, digits, steps and memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest

from sentinel.core.foreign.document import (
    MAX_DEPTH,
    MAX_PATH,
    ForeignDocument,
    InvalidPath,
    OwnLimit,
    check_path,
    read_foreign_json,
)


def nested(levels: int) -> Any:
    document: Any = 1
    for _ in range(levels):
        document = [document]
    return document


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "b": {"x": 1, "y": 2, "x": 3}}', "'x' stands twice"),
        ("[NaN]", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "too large"),
        ("9" * 5000, "too many digits"),
        ("[" * 100_000, "too deep"),
        (json.dumps(nested(MAX_DEPTH)), "levels deep"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, "too deep"),
    ],
)
def test_what_we_do_not_read_is_our_limit(text: str, why: str) -> None:
    with pytest.raises(OwnLimit, match=why):
        read_foreign_json(text)


@pytest.mark.parametrize("text", ["", "{", "nul", "'a'", b"\xff", "[1,]"])
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_foreign_json(text)


def test_what_is_json() -> None:
    assert read_foreign_json('\ufeff{"a": [1, 2.5, null, "x"]}') == {"a": [1, 2.5, None, "x"]}
    assert read_foreign_json(b"\xff\xfe" + "[1]".encode("utf-16-le")) == [1]
    assert read_foreign_json('"\\ud83d\\ude00"') == "😀"
    assert read_foreign_json('{"\\udc00": "\\ud800"}') == {"?": "?"}
    assert read_foreign_json(json.dumps(nested(MAX_DEPTH - 1))) == nested(MAX_DEPTH - 1)


SERVICES = {"parts": [{"name": f"p{n}", "ok": n % 3 == 0, "tags": {"a": n}} for n in range(60)]}


def test_paths_lead_where_rfc_9535_says() -> None:
    document = ForeignDocument(SERVICES)
    assert document.find("$.parts[1].tags.a") == [("$['parts'][1]['tags']['a']", 1)]
    assert len(document.find("$.parts[?@.ok == true]")) == 20
    assert len(document.find("$..a")) == 60
    assert len(document.find("$.parts[?match(@.name, 'p1.')]")) == 10
    assert len(document.find("$.parts[?search(@.name, '9')]")) == 6
    assert document.find("$.parts[?match(@.name, @.name)].tags.a")[59][1] == 59
    assert document.find("$.nothing") == []
    assert ForeignDocument("[1]").find("$") == [("$", "[1]")]  # a text is no second document


WIDE = [[{"a": n, "b": str(n)} for n in range(100)] for _ in range(100)]


@pytest.mark.parametrize(
    "path",
    [
        "$..*..*..nothing",
        "$..[?count($..a) > 1]",
        "$..*..[?@ == $]",
    ],
)
def test_a_path_stops_at_its_bound(path: str) -> None:
    document = ForeignDocument(WIDE)
    began = time.process_time()
    with pytest.raises(OwnLimit):
        document.find(check_path(path))
    assert time.process_time() - began < 5


def test_all_paths_into_one_document_share_the_bound() -> None:
    document = ForeignDocument(WIDE[:60])
    for _ in range(2):
        document.find("$..a")
    with pytest.raises(OwnLimit):
        document.find("$..a")


def test_long_keys_are_not_written_for_each_node_below() -> None:
    """Each node has its whole path as text: half a megabyte of key × 50,000 nodes is 25 GB."""
    document = ForeignDocument({"k" * 500_000: list(range(50_000))})
    tracemalloc.start()
    try:
        with pytest.raises(OwnLimit):
            document.find("$..*")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_expressions_from_the_document_are_bounded() -> None:
    document = ForeignDocument([{"t": "a" * 50_000, "p": r"(.*){500}"} for _ in range(100)])
    began = time.process_time()
    with pytest.raises(OwnLimit):
        document.find("$[?match(@.t, @.p)]")
    assert time.process_time() - began < 3
    assert ForeignDocument([{"p": "(", "t": "x"}]).find("$[?match(@.t, @.p)]") == []


@pytest.mark.parametrize("path", ["a", "$..", "$.a | $.b", "$" + ".a" * MAX_PATH, "$[?@" * 200])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidPath):
        check_path(path)
