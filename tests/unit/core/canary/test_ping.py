"""Pings in the product's envelope: what is sent, what counts as an unchanged answer, which hop
failed.
"""

from __future__ import annotations

import json
import uuid

import pytest

from sentinel.core.bus.smell import smell_entry
from sentinel.core.canary.ping import (
    ENVELOPE,
    PingLetter,
    find_failing_hop,
    find_faults,
    find_id_field,
    measure_legs,
    read_hops,
)

REPLY = "sentinel:canary:reply:{s}:p"
PRODUCT = {
    "message_id": "{uuid}",
    "type": "sentinel.ping",
    "payload": '{"ping": {body}, "answer": "{reply_to}"}',
    "correlation_id": "{id}",
    "timestamp": "{instant}",
    "traceparent": "{traceparent}",
    "note": "{unknown} {",
}


def letter(envelope=None, *steps):
    return PingLetter(tuple((envelope or PRODUCT).items()), REPLY, steps)


def written(which):
    fields = [
        part.decode() for part in which.write("abc:7", "00-t-s-01", "2026-01-01T00:00:00+00:00")
    ]
    return dict(zip(fields[::2], fields[1::2], strict=True))


def answered(which, **changes):
    """What is read of a ping whose fields came back with changes; None takes one away."""
    fields = {**written(which), **changes}
    flat = [
        part.encode()
        for name, value in fields.items()
        if value is not None
        for part in (name, value)
    ]
    return which.read(flat)


def test_a_template_is_filled_in_and_other_braces_stay():
    """Only the known placeholders are replaced; JSON stays JSON; the id is a UUID where one is
    asked for.
    """
    fields = written(letter())
    assert fields["correlation_id"] == "abc:7"
    assert fields["note"] == "{unknown} {"
    assert fields["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert uuid.UUID(fields["message_id"]).version == 4
    payload = json.loads(fields["payload"])
    assert payload["answer"] == REPLY
    assert payload["ping"]["seq"] == "abc:7"


def test_pings_are_text_without_smells():
    """What sentinel sends into a product is UTF-8 throughout, and bus_codec finds nothing wrong
    with it.
    """
    for envelope in (PRODUCT, dict(ENVELOPE)):
        fields = [
            (name.encode(), value.encode()) for name, value in written(letter(envelope)).items()
        ]
        assert smell_entry(fields, envelope) == set()


def test_an_answer_may_be_encoded_anew():
    """Another order, other spaces and escapes, another time and sender: it is the same message."""
    which = letter()
    again = json.dumps(json.loads(written(which)["payload"]), indent=1, sort_keys=True)
    arrival = answered(which, payload=again, timestamp="later", message_id="x", extra="y")
    assert arrival is not None
    assert arrival.intact
    assert arrival.final


@pytest.mark.parametrize("wrong", [None, "", "{}", "not json", "true_is_one", "other_name"])
def test_a_changed_or_missing_payload_is_corruption(wrong):
    """Also when only a type changed inside it, or when another ping's payload came."""
    which = letter()
    payload = json.loads(written(which)["payload"])
    if wrong == "true_is_one":
        payload["ping"]["vectors"]["booleans"] = [1, 0, 1, 0]
        wrong = json.dumps(payload)
    elif wrong == "other_name":
        payload["ping"]["seq"] = "abc:8"
        wrong = json.dumps(payload)
    arrival = answered(which, payload=wrong)
    assert arrival is not None
    assert not arrival.intact


@pytest.mark.parametrize("changes", [{"correlation_id": "hello"}, {"correlation_id": None}])
def test_an_answer_without_our_id_is_foreign(changes):
    """Nothing else tells which ping it answers."""
    assert answered(letter(), **changes) is None


def test_hops_report_one_by_one():
    """The last one named is the final one; a hop that nobody named, or none, is foreign."""
    which = letter(None, "a", "b")
    first = answered(which, hops='[["a", 5]]')
    assert (first.reporter, first.final) == ("a", False)
    last = answered(which, hops='[["a", 5], ["b", 7]]')
    assert (last.reporter, last.final, last.passed) == ("b", True, (("a", 5), ("b", 7)))
    assert answered(which) is None
    assert answered(which, hops='[["x", 1]]') is None


@pytest.mark.parametrize(
    "text", [b"", b"x", b"{}", b"7", b'[["a"]]', b'[["a", "b"]]', b"[1]", b'"ab"', b"[null]"]
)
def test_hops_of_nonsense_are_none(text):
    """Whatever a product writes there."""
    assert read_hops(text) == ()


def test_the_failing_hop_is_the_first_silent_one():
    """All heard of: then it is the last one's answer that is missing."""
    assert find_failing_hop(["a", "b", "c"], []) == "a"
    assert find_failing_hop(["a", "b", "c"], ["a"]) == "b"
    assert find_failing_hop(["a", "b"], ["a", "b"]) == "b"


def test_legs_are_differences_of_entry_ids():
    """Each since the hop before; a leg without its beginning is not guessed; never negative."""
    assert measure_legs(["a", "b"], 1000, {"a": 1250, "b": 1300}) == {"a": 0.25, "b": 0.05}
    assert measure_legs(["a", "b"], 1000, {"b": 1300}) == {}
    assert measure_legs(["a", "b", "c"], 1000, {"a": 1100, "c": 1300}) == {"a": 0.1}
    assert measure_legs(["a"], 1000, {"a": 900}) == {"a": 0.0}


def test_an_envelope_that_nobody_can_answer_is_refused():
    """An id field and the address of the answer are needed; the default has both."""
    assert find_faults(dict(ENVELOPE)) == []
    assert find_id_field(PRODUCT) == "correlation_id"
    assert len(find_faults({"a": "x{id}"})) == 2
