"""The strict reader: limits of every kind, each with its line, and nothing ever raised."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

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
