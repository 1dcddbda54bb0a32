"""Phases as platforms write them: flags, and a log of transitions; what is out of order in them."""

from __future__ import annotations

import json

import pytest

from sentinel.core.flows.phase import (
    LogKeys,
    PhaseStep,
    find_entry,
    find_out_of_order,
    find_skipped,
    read_flag,
    read_log,
    went_back,
)

ORDER = {"import": 0, "map": 1, "clean": 2}
KEYS = LogKeys("phase", "status", "at")


def steps(*phases: str) -> list[PhaseStep]:
    return [PhaseStep(phase, "", None) for phase in phases]


def test_a_log_is_read_as_it_was_written() -> None:
    """In its order, in lower case; times as epoch, ISO, or none."""
    entries = [
        {"phase": " Import ", "at": 1_700_000_000},
        {"phase": "Map", "status": "RUNNING", "at": "2023-11-14T22:13:21Z", "by": {"x": []}},
        {"status": "done", "at": "soon", "phase": None},
    ]
    assert read_log(json.dumps(entries), KEYS) == (
        PhaseStep("import", "", 1_700_000_000.0),
        PhaseStep("map", "running", 1_700_000_001.0),
        PhaseStep("", "done", None),
    )


def test_a_time_without_its_zone_tells_nothing() -> None:
    """Unless the zone is declared; an offset in the text wins, a number needs none."""
    entries = [
        {"phase": "a", "at": at}
        for at in ("2025-06-15T12:00:00", "2025-06-15T12:00:00Z", 1_749_988_800)
    ]
    text = json.dumps(entries)
    assert [step.at for step in read_log(text, LogKeys())] == [None, 1_749_988_800, 1_749_988_800]
    athens = read_log(text, LogKeys(zone="Europe/Athens"))
    assert [step.at for step in athens] == [1_749_978_000, 1_749_988_800, 1_749_988_800]


@pytest.mark.parametrize("text", [None, "", "  ", "null", "[]"])
def test_no_log_is_none(text: str | None) -> None:
    """NULL, nothing, and an empty array."""
    assert read_log(text, KEYS) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deep"),
        ("{" * 3, "is no JSON"),
        (f"[{'9' * 5000}]", "is no JSON"),
        ('{"phase": "x"}', "is no array of transitions"),
        ('"import"', "is no array of transitions"),
        ("[1]", "has an entry without phase or status"),
        ('[{"phase": 7}]', "has an entry without phase or status"),
        ('[{"at": 7}]', "has an entry without phase or status"),
        ("[[]]", "has an entry without phase or status"),
    ],
)
def test_what_is_no_log_says_why(text: str, problem: str) -> None:
    """Hostile content ends in words, in nothing else."""
    with pytest.raises(ValueError, match=problem):
        read_log(text, KEYS)


def test_only_keys_that_are_named_are_asked() -> None:
    """Without `status` an entry needs its phase."""
    with pytest.raises(ValueError, match=r"without step$"):
        read_log('[{"status": "x"}]', LogKeys("step"))


def test_a_phase_that_was_skipped() -> None:
    """The first one that was entered too early, and what never came before it; unknown names are
    no phases.
    """
    assert find_skipped(steps("import", "map", "clean", "map"), ORDER) == ""
    assert find_skipped(steps("hello", "import", "import"), ORDER) == ""
    text = "its log enters clean, and never map before"
    assert find_skipped(steps("import", "clean", "map"), ORDER) == text
    assert find_skipped(steps("map"), ORDER) == "its log enters map, and never import before"


def test_a_log_that_went_back() -> None:
    """While its last phase is behind another one of its phases."""
    assert went_back(steps("import", "map", "import", "map"), ORDER) == ""
    assert went_back(steps("import", "map", "import"), ORDER) == "import"
    assert went_back(steps("map", "import", "hello"), ORDER) == "import"
    assert went_back(steps("hello"), ORDER) == ""


def test_the_entry_into_a_status() -> None:
    """The first of the last entries that have it; none where the last one has another."""
    log = [
        PhaseStep("", status, at) for status, at in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("a", 4.0))
    ]
    assert find_entry(log, "a") == 3.0
    assert find_entry(log[:2], "b") == 2.0
    assert find_entry(log, "b") is None
    assert find_entry([], "a") is None
    assert find_entry([PhaseStep("x", "", 5.0)], "") is None
    assert find_entry([PhaseStep("", "a", None)], "a") is None


def test_flags_are_booleans_as_people_write_them() -> None:
    """Whatever else is no phase that is done, and says so."""
    assert [read_flag(text) for text in ("true", "T", "1", "false", "no", "", None, "null")] == [
        True, True, True, False, False, False, False, False,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="says 'completed', which is no boolean: name it in done"):
        read_flag("completed")


def test_flags_out_of_order() -> None:
    """The first that is not done while a later one is."""
    names = ["a", "b", "c"]
    assert find_out_of_order(names, [True, True, False]) == ""
    assert find_out_of_order(names, [True, False, True]) == "c is done, b is not"
    assert find_out_of_order([], []) == ""
