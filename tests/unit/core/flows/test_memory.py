"""The memory of flows as a compact document: nothing of it is lost, and only changes cost."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.flows.memory import Packer, load_flows
from sentinel.core.flows.stuck import FlowMemory

NOW = 1_700_000_000.0
FLOW = FlowMemory("running", NOW - 60, NOW - 60, 0.5, NOW - 60, "a1b2", 0.5, type="order")


def carried(flows: dict[str, FlowMemory]) -> dict[str, FlowMemory]:
    """What comes back after a restart."""
    return load_flows(json.loads(json.dumps(Packer().dump(flows, NOW))))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"entered": None},
        {"entered": NOW - 90.25, "moved": NOW - 0.001},
        {"progress": None, "peak": None},
        {"progress": None, "peak": 0.75},
        {"progress": 1 / 3, "peak": 2 / 3},
        {"mark": ""},
        {"mark": "00"},
        {"mark": "ff" * 16},
        {"rank": 2, "phase": -1, "last_rank": 3, "last_phase": 0},
        {"status": "", "type": ""},
        {"status": "wartet auf Prüfung", "type": "a b"},
        {"since": NOW + 5},
    ],
)
def test_every_field_comes_back(changes):
    """Whatever is unknown, equal, or beyond what is short."""
    flow = replace(FLOW, **changes)
    assert carried({"f1": flow}) == {"f1": flow}


@pytest.mark.parametrize(
    "key", ["f1", "two words", "line\nbreak", "back\\slash", "\\n", "", " ", "a\\\nb", "ü"]
)
def test_any_id_comes_back(key):
    """Also one that holds what separates lines and fields."""
    assert carried({key: FLOW, "other": FLOW}) == {key: FLOW, "other": FLOW}


MEMORIES = st.builds(
    FlowMemory,
    status=st.text(max_size=5),
    since=st.integers(-(10**6), 10**6).map(lambda n: NOW + n / 1000),
    entered=st.none() | st.integers(-(10**6), 10**6).map(lambda n: NOW + n / 1000),
    progress=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    moved=st.integers(-(10**6), 10**6).map(lambda n: NOW + n / 1000),
    mark=st.binary(max_size=9).map(bytes.hex),
    peak=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    rank=st.integers(-1, 9),
    phase=st.integers(-1, 9),
    last_rank=st.integers(-1, 9),
    last_phase=st.integers(-1, 9),
    type=st.text(max_size=5),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), MEMORIES))
def test_memories_survive_a_restart(flows):
    """Times to the millisecond, everything else exactly."""
    found = carried(flows)
    assert found.keys() == flows.keys()
    for key, flow in flows.items():
        times = {name: getattr(flow, name) for name in ("since", "entered", "moved")}
        for name, at in times.items():
            assert getattr(found[key], name) == (at and pytest.approx(at, abs=0.002))
        assert replace(found[key], **times) == flow


def test_only_what_has_changed_is_written_anew():
    """The line of a flow that rests is the very same text; who left is forgotten."""
    packer = Packer()
    packer.dump({"f1": FLOW, "f2": FLOW, "f3": FLOW}, NOW)
    before = dict(packer.lines)
    packer.dump({"f1": FLOW, "f2": replace(FLOW, moved=NOW)}, NOW + 60)
    assert packer.lines["f1"][1] is before["f1"][1]
    assert packer.lines["f2"][1] != before["f2"][1]
    assert packer.lines.keys() == {"f1", "f2"}


def test_flows_of_one_type_and_status_share_their_words():
    """One text for all of them, whatever their number."""
    base, groups = Packer().dump({f"f{n}": FLOW for n in range(99)}, NOW)
    assert base == NOW
    ((type_, status, text),) = groups
    assert (type_, status, len(text.split("\n"))) == ("order", "running", 99)


def test_lists_of_older_versions_are_read():
    """Nothing starts anew at an upgrade."""
    assert load_flows({"f1": list(astuple(FLOW))}) == {"f1": FLOW}
    assert load_flows({}) == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [([NOW, [["order", "running", "too few fields"]]], "not enough"), ([1, 2, 3], "too many")],
)
def test_anything_else_is_refused(document, words):
    """With a ValueError, so that the check begins anew and says so."""
    with pytest.raises(ValueError, match=words):
        load_flows(document)
