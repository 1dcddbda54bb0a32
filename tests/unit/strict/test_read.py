"""The strict reader: limits of every kind, each with its line, and nothing ever raised."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.strict.place import Document
from sentinel.strict.read import ReadLimits, read_document, read_text, read_yaml

SMALL = ReadLimits("a note", size=1024, depth=3, nodes=20, aliases=False)


def read(text: str, limits: ReadLimits = SMALL) -> Document:
    """The document of a text."""
    document = Document("x.yaml")
    read_yaml(text, document, limits=limits)
    return document


def said(document: Document) -> list[tuple[int, str, str]]:
    """Line, key and message of each problem; each has a remedy."""
    assert all(problem.remedy for problem in document.problems)
    return [(problem.line, problem.key, problem.message) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: &x 2", (2, "", "anchors and aliases (& and *) are not allowed")),
        ("a: 1\nb: *x", (2, "", "anchors and aliases (& and *) are not allowed")),
        ("a:\n  b:\n    c:\n      d: 1", (4, "", "is nested more than 3 levels deep")),
        ("[[[[", (1, "", "is nested more than 3 levels deep")),
        ("a: !x 1", (1, "a", "the tag !x is not allowed")),
        ("a: 1\n---\nb: 2", (2, "", "has several documents")),
        ("a: 1\n\tb: 2", (2, "", "is not YAML: found a tab character that violates indentation")),
        ("a: 1\nb: [1,", (2, "", "is not YAML: did not find expected node content")),
        ("? [a]\n: 1", (1, "", "a key must be a word")),
        ("a: 1\nb: {c: 1,\n  c: 2}", (3, "b.c", "the key `c` is given twice (first in line 2)")),
        ("\n".join(f"a{n}: 1" for n in range(30)), (20, "a19", "is too large or too deep to be a note")),
        ("a: \x00", (1, "", "is not YAML: the character U+0000 is not allowed")),
    ],
)  # fmt: skip
def test_refused_at_its_line(text: str, expected: tuple[int, str, str]) -> None:
    """One problem, with the line that a person has to go to."""
    assert said(read(text)) == [expected]


def test_what_is_refused_as_a_whole_has_no_value() -> None:
    """Nobody goes on with half of a document."""
    assert read("\n".join(f"a{n}: 1" for n in range(30))).value is None
    assert read("a: &x 1").value is None


def test_values_and_lines() -> None:
    """Plain values, with the line of each key and item."""
    document = read("a: no\nb:\n  - 1\n  - {c: 0777}\n")
    assert document.value == {"a": "no", "b": [1, {"c": "0777"}]}
    assert [document.at(*path).line for path in (("a",), ("b",), ("b", 1), ("b", 1, "c"))] == [
        1,
        2,
        4,
        4,
    ]


def test_without_an_environment_a_reference_is_text() -> None:
    """A runbook's shell text is no configuration."""
    assert read("a: ${HOME}").value == {"a": "${HOME}"}


def test_a_file_has_a_size(tmp_path: Path) -> None:
    """To the byte; what is larger is not read to its end."""
    path = tmp_path / "x"
    path.write_text("a" * SMALL.size)
    assert len(read_text(path, Document("x"), SMALL) or "") == SMALL.size
    path.write_text("a" * (SMALL.size + 1))
    document = Document("x")
    assert read_text(path, document, SMALL) is None
    assert said(document) == [(0, "", "is larger than 1 KiB")]


def test_a_file_is_a_file(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a folder, and nothing at all do not hold the reader up."""
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("pipe", "is no file but a pipe"),
        (".", "is no file but a folder"),
        ("gone", "can't be read: No such file or directory"),
    ):
        document = Document("x")
        reader = threading.Thread(target=read_text, args=(tmp_path / name, document), daemon=True)
        reader.start()
        reader.join(5)
        assert not reader.is_alive()
        assert [text for _, _, text in said(document)] == [message]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """With the line and the byte."""
    (tmp_path / "x.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert said(read_document(tmp_path / "x.yaml")) == [(2, "", "is not UTF-8 text (byte 0xff)")]


def by_nodes(node: yaml.Node, path: tuple[str | int, ...], lines: dict[Any, int]) -> Any:
    """The value of a tree of nodes: what a reader of nodes makes of it."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found = {}
        for key, value in node.value:
            child = (*path, key.value)
            lines[child] = key.start_mark.line + 1
            found[key.value] = by_nodes(value, child, lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [by_nodes(each, (*path, i), lines) for i, each in enumerate(node.value)]
    document = Document("x")
    read_yaml(f"[{node.value}]" if not node.style else '["x"]', document)
    return node.value if node.style else document.value[0]


SHARED = st.shared(
    st.recursive(
        st.one_of(
            st.integers(-9, 9), st.booleans(), st.none(), st.sampled_from(["no", "a b", "1e3"])
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
        ),
        max_leaves=8,
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SHARED, min_size=1, max_size=4), st.booleans())
def test_events_and_nodes_say_the_same(values: list[Any], flow: bool) -> None:
    """Values and lines, with anchors and aliases where something occurs twice."""
    text = yaml.safe_dump({"v": values, "again": values[:1]}, default_flow_style=flow)
    lines: dict[Any, int] = {}
    expected = by_nodes(yaml.compose(text), (), lines)
    document = Document("x")
    read_yaml(text, document)
    assert document.problems == []
    assert (document.value, document.lines) == (expected, lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("&k key: 1\nother: {*k : 2}", {"key": 1, "other": {"key": 2}}),
        ("a: &x {b: &y [1]}\nc: *x\nd: *y", {"a": {"b": [1]}, "c": {"b": [1]}, "d": [1]}),
        ("a: &x 0777\nb: *x", {"a": "0777", "b": "0777"}),
    ],
)
def test_anchors(text: str, value: Any) -> None:
    """Of keys, within anchors, of words."""
    document = Document("x")
    read_yaml(text, document)
    assert (document.value, document.problems) == (value, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: *x", "found undefined alias"),
        ("a: &x 1\nb: &x 2", "found duplicate anchor"),
        ("*x : 1", "found undefined alias"),
        ("&x a: 1\n&x b: 2", "found duplicate anchor"),
    ],
)
def test_anchors_that_are_none(text: str, said: str) -> None:
    """As every reader of YAML refuses them, and nothing is made of the text."""
    document = Document("x")
    read_yaml(text, document)
    assert [problem.message for problem in document.problems] == [f"is not YAML: {said}"]
    assert document.value is None
