"""The unit tests mirror the house: who looks for the tests of a room finds them in its mirror."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT, HOUSE = ROOT / "tests" / "unit", ROOT / "sentinel"
ELSEWHERE = {"tools"}
"""Rooms beside the package that have unit tests."""
WINGS = (
    "agents",
    "bus",
    "bus/delivery",
    "canary",
    "flows",
    "progress",
    "remediation",
    "servers",
    "tasks",
)


def rooms(folder: Path) -> set[str]:
    """Every folder with Python files, relative to the top."""
    return {str(file.parent.relative_to(folder)) for file in folder.rglob("*.py")}


def test_every_room_of_the_tests_is_a_room_of_the_house() -> None:
    """A folder that moved takes its tests along."""
    mirrored = {room for room in rooms(UNIT) if room.split("/")[0] not in ELSEWHERE}
    assert mirrored - rooms(HOUSE) == set()


@pytest.mark.parametrize("wing", [*WINGS, "tenants"])
def test_every_wing_of_the_core_has_unit_tests(wing: str) -> None:
    """Judgements are tested where they stand."""
    assert list((UNIT / "core" / wing).glob("test_*.py"))
