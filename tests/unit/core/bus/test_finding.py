"""Subjects, names and faults that all kinds of the bus share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sentinel.core.bus.finding import (
    BLIND_KINDS,
    MAX_NAMED,
    count_noun,
    describe_faults,
    describe_place,
    find_nothing,
    find_unjudged,
    find_unwatched,
    merge_faults,
    name_some,
    read_instant,
    subject_of,
)
from sentinel.core.fault import Fault, Severity, Status


@pytest.mark.parametrize(
    ("stream", "group", "labels", "words"),
    [
        ("orders", "workers", {"stream": "orders", "group": "workers"}, "stream orders, group workers"),
        ("orders", None, {"stream": "orders"}, "stream orders"),
        ("orders", "", {"stream": "orders", "group": ""}, 'stream orders, group ""'),
        ("", "workers", {"stream": "", "group": "workers"}, 'stream "", group workers'),
        ("a b", None, {"stream": "a b"}, 'stream "a b"'),
    ],
)  # fmt: skip
def test_places(stream: str, group: str | None, labels: dict[str, str], words: str) -> None:
    """What is not there is left out; a name is one word, and stays itself as a label, also an empty
    one: Redis has such.
    """
    assert subject_of(stream, group) == labels
    assert describe_place(stream, group) == words


def test_more_labels_of_a_subject() -> None:
    """Beside its place."""
    found = subject_of("s", "g", consumer="c", entry=None)
    assert found == {"stream": "s", "group": "g", "consumer": "c"}


@pytest.mark.parametrize(
    ("count", "shown"), [(0, ""), (1, "n0"), (3, "n0, n1, n2"), (4, "n0, n1, n2 and 1 more")]
)
def test_the_first_few_names(count: int, shown: str) -> None:
    """Three, and how many are left."""
    assert name_some([f"n{n}" for n in range(count)]) == shown


def test_many_names_are_counted_for_people() -> None:
    """Each as one word."""
    assert MAX_NAMED == 3
    assert name_some(["a b"] * 2003) == '"a b", "a b", "a b" and 2,000 more'


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "entry", "1 entry"),
        (0, "entry", "0 entries"),
        (2, "entry", "2 entries"),
        (1, "consumer", "1 consumer"),
        (2000, "consumer", "2,000 consumers"),
    ],
)
def test_nouns(count: int, noun: str, text: str) -> None:
    """One, none, many."""
    assert count_noun(count, noun) == text


def test_instants() -> None:
    """Aware, and none where none is known; the beginning of time is one."""
    assert read_instant(None) is None
    assert read_instant(0.0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_place_that_cannot_be_judged() -> None:
    """Unknown: nobody is blamed; the runbook learns the place."""
    fault = find_unjudged("a b", "is a list", "exclude it", "g")
    assert fault.text == 'stream "a b", group g: is a list'
    assert fault.subject == fault.parameters == {"stream": "a b", "group": "g"}
    assert (fault.status, fault.guidance) == (Status.UNKNOWN, "exclude it")


def test_faults_of_the_whole_check() -> None:
    """More than may be watched, or nothing at all: with the option that mends it."""
    beyond, nothing = find_unwatched(1200, 500), find_nothing()
    assert beyond.text == "more streams match than max_streams = 500: 1,200 are not looked at"
    assert "max_streams" in beyond.guidance
    assert nothing.text == "no stream with a group matches: nothing to measure"
    assert {beyond.status, nothing.status} == {Status.UNKNOWN}
    assert (beyond.subject, nothing.subject) == ({}, {})


def test_every_blind_fault_is_declared() -> None:
    """As information, with the parameters that it gives."""
    declared = {kind.key: kind for kind in BLIND_KINDS}
    for fault in (find_unjudged("s", "p", "r", "g"), find_unwatched(1, 1), find_nothing()):
        kind = declared[fault.key]
        assert kind.severity is Severity.INFO
        assert set(fault.parameters) <= set(kind.parameters)


def test_an_identity_is_told_once() -> None:
    """What was said first stays, in its place; another subject is another fault."""
    first, again = (Fault("k", {"a": "1"}, Status.DOWN, text) for text in ("first", "again"))
    other = Fault("k", {"a": "2"}, Status.DOWN, "other")
    assert merge_faults([first], [again, other]) == [first, other]
    assert merge_faults() == []


def test_documents_of_the_first_few() -> None:
    """Key, subject and sentence."""
    faults = [Fault("k", {"stream": str(n)}, Status.DOWN, f"text {n}") for n in range(3)]
    assert describe_faults(faults, 2) == [
        {"fault": "k", "stream": "0", "text": "text 0"},
        {"fault": "k", "stream": "1", "text": "text 1"},
    ]
