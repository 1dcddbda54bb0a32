"""Documents of the store: what is written is what `to_json` says, and reads back as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.store.document import read, read_instant, to_json, write, write_instant


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Part:
    at: datetime
    colour: Colour
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Whole:
    name: str
    part: Part | None = None
    rows: Sequence[Mapping[str, Any]] = field(default_factory=list)


class Odd:
    def __str__(self) -> str:
        return "odd\ud800"


INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=30))]),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | INSTANTS
    | st.sampled_from([Colour.RED, Level.HIGH, Odd(), 2**64, -(2**63) - 1, "\ud800", "a\0b"])
    | st.builds(Part, INSTANTS, st.just(Colour.RED), st.tuples(st.text()))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text() | st.integers() | st.sampled_from([Colour.RED, None, True]), inner
        )
        | st.dictionaries(st.text(), inner).map(MappingProxyType)
        | st.builds(Whole, st.text(), st.none(), st.lists(st.dictionaries(st.text(), inner)))
        | st.frozensets(st.integers(), max_size=1)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_what_to_json_says(value: Any) -> None:
    """The fast way and the plain way give one document, for all that a finding could hold."""
    assert json.loads(write(value)) == to_json(value)


@pytest.mark.parametrize(
    "value", [2**64, "\ud800", {1: 2}, float("nan"), b"\xff", {1}, Odd(), Colour.RED]
)
def test_what_json_has_no_word_for_is_written_all_the_same(value: Any) -> None:
    """Nothing that a target sends keeps a result from being stored."""
    assert json.loads(write({"value": value})) == {"value": to_json(value)}


def test_a_dataclass_reads_back_as_it_was() -> None:
    """Instants stay aware and exact, enums and tuples stay what they are."""
    part = Part(
        datetime(2026, 3, 1, 4, 5, 6, 7, timezone(timedelta(hours=2))), Colour.RED, ("a", "b")
    )
    whole = Whole("n", part, [{"labels": {"x": "ü"}, "values": {"v": 1.5}}])
    assert read(Whole, write(whole)) == whole


@given(INSTANTS, INSTANTS)
def test_the_order_of_written_instants_is_the_order_of_time(one: datetime, other: datetime) -> None:
    """Also in the first and last years, also at a full second: SQL compares the text."""
    assert read_instant(write_instant(one)) == one
    assert (write_instant(one) < write_instant(other)) == (one < other)
