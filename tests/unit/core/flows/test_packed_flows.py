"""The compact document of thousands of flows: every value comes back, and only what changed is new."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.flows.memory import Packer, load_flows
from sentinel.core.flows.stuck import FlowMemory, FlowSight

BASE = 1_700_000_000.0
MARK = FlowSight("x", "t", "s").mark
INSTANTS = st.integers(-(10**9), 10**9).map(lambda ms: BASE + ms / 1000)
RANKS = st.integers(-1, 40)
PROGRESS = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def there_and_back(memories: dict[str, FlowMemory], now: float = BASE) -> dict[str, FlowMemory]:
    """Through a document as it is stored."""
    return load_flows(json.loads(json.dumps(Packer().dump(memories, now))))


@given(
    st.dictionaries(
        WORDS,
        st.builds(
            FlowMemory,
            status=WORDS,
            since=INSTANTS,
            entered=st.none() | INSTANTS,
            progress=PROGRESS,
            moved=INSTANTS,
            mark=st.just(MARK),
            peak=PROGRESS,
            rank=RANKS,
            phase=RANKS,
            last_rank=RANKS,
            last_phase=RANKS,
            type=WORDS,
        ),
        max_size=5,
    )
)
def test_whatever_was_packed_comes_back(memories: dict[str, FlowMemory]) -> None:
    """Any id, any status, any figure; instants to the millisecond."""
    found = there_and_back(memories)
    assert found.keys() == memories.keys()
    for key, memory in memories.items():
        again = found[key]
        assert again.since == pytest.approx(memory.since, abs=0.001)
        assert again.moved == pytest.approx(memory.moved, abs=0.001)
        assert (again.entered is None) is (memory.entered is None)
        assert (again.status, again.type, again.mark) == (memory.status, memory.type, memory.mark)
        assert (again.progress, again.peak) == (memory.progress, memory.peak)
        ranks = again.rank, again.phase, again.last_rank, again.last_phase
        assert ranks == (memory.rank, memory.phase, memory.last_rank, memory.last_phase)


def memory(**facts: Any) -> FlowMemory:
    known = {"status": "run", "since": BASE, "entered": BASE, "progress": None, "moved": BASE}
    return FlowMemory(**{**known, "mark": MARK, "type": "t", **facts})  # type: ignore[arg-type]


def lines_of(packer: Packer, memories: dict[str, FlowMemory], now: float = BASE) -> list[str]:
    _, groups = packer.dump(memories, now)
    return [line for _, _, text in groups for line in text.split("\n")]


def test_equal_values_are_written_once() -> None:
    """A flow that never moved has one instant; its peak is its progress; no ranks are a dash."""
    (line,) = lines_of(Packer(), {"f": memory(progress=5.0, peak=5.0)})
    since, entered, moved, _, progress, peak, ranks, key = line.split(" ")
    assert (since, entered, moved) == ("0", "=", "=")
    assert (progress, peak, ranks, key) == ("5", "=", "-", "f")


def test_flows_are_grouped_by_type_and_status() -> None:
    """Both are written once for all of their flows."""
    memories = {"a": memory(), "b": memory(), "c": memory(status="plan"), "d": memory(type="u")}
    _, groups = Packer().dump(memories, BASE)
    assert [(type_, status, text.count("\n") + 1) for type_, status, text in groups] == [
        ("t", "run", 2),
        ("t", "plan", 1),
        ("u", "run", 1),
    ]


def test_the_base_is_that_of_the_first_dump() -> None:
    """Lines that are kept count from it, also hours later."""
    packer = Packer()
    assert packer.dump({"f": memory()}, BASE + 0.7)[0] == BASE
    assert packer.dump({"f": memory()}, BASE + 9000)[0] == BASE


def test_an_unknown_entry_stays_unknown() -> None:
    """It is none, and not the beginning of the status."""
    assert there_and_back({"f": memory(entered=None)})["f"].entered is None
    assert there_and_back({"f": memory(entered=BASE - 7)})["f"].entered == BASE - 7


@pytest.mark.parametrize("progress", [0.1 + 0.2, 1e-9, 123456789.0, -4.0, 100.0])
def test_a_number_is_never_rounded(progress: float) -> None:
    """Short where that is exact, whole where it is not."""
    assert there_and_back({"f": memory(progress=progress)})["f"].progress == progress
