"""Wall times to instants and back, in zones of all kinds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.moment.zone import (
    are_alike,
    find_zone,
    find_zone_fault,
    name_offset,
    offset_at,
    read_wall,
    wall_of,
)

ZONES = ("UTC", "Europe/Athens", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()


@given(st.floats(1e9, 2.2e9), st.sampled_from(ZONES))
def test_a_wall_time_is_read_back(at, zone):
    """Of an instant, what its clocks show; of that, the instant is one of its readings."""
    readings = read_wall(wall_of(at, zone), zone)
    assert min(abs(each - at) for each in readings) < 1e-3
    assert list(readings) == sorted(set(readings))


def test_an_hour_that_occurs_twice_has_two_readings():
    """Athens, the end of summer time: half past three is two instants; in May it is one."""
    twice = read_wall(datetime(2026, 10, 25, 3, 30, tzinfo=UTC), "Europe/Athens")
    assert [datetime.fromtimestamp(at, UTC).hour for at in twice] == [0, 1]
    assert len(read_wall(datetime(2026, 5, 25, 3, 30, tzinfo=UTC), "Europe/Athens")) == 1


def test_an_hour_that_is_left_out_is_read_as_postgres_reads_it():
    """Half past three of the day summer time begins: as if clocks had not been set yet."""
    (at,) = read_wall(datetime(2026, 3, 29, 3, 30, tzinfo=UTC), "Europe/Athens")
    assert datetime.fromtimestamp(at, UTC) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_names_are_those_of_the_data_base():
    """In any case, as PostgreSQL takes them; others are told."""
    assert find_zone("utc") is not None
    assert find_zone_fault("europe/athens") == ""
    for name in ("", "../x", "Europe", "<+09>-09", "Mars/X", "x" * 500):
        assert find_zone(name) is None
        assert "unknown time zone" in find_zone_fault(name)


@pytest.mark.parametrize(
    "name", ["Factory", "posixrules", "localtime", "POSIXRULES", "right/UTC", "posix/Asia/Tokyo"]
)
def test_files_beside_the_zones_are_none(name):
    """Nobody's clock shows them; what a server calls so is still read."""
    assert "unknown time zone" in find_zone_fault(name)


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0, "UTC"), (7200, "UTC+2"), (-12600, "UTC-3:30"), (20700, "UTC+5:45"), (-28800, "UTC-8")],
)
def test_names_of_offsets(seconds, name):
    """As people write them."""
    assert name_offset(seconds) == name


def test_two_names_of_one_clock():
    """Alike the whole year; zones that agree in winter only are not."""
    assert are_alike(("Europe/Athens", "Asia/Nicosia"), NOW)
    assert are_alike(("UTC", "Etc/UTC", "Zulu"), NOW)
    assert not are_alike(("Europe/London", "UTC"), NOW)
    assert offset_at("Asia/Tokyo", NOW) == 9 * 3600
