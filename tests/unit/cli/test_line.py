"""What is typed beside a command: on one line, visible, bounded."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.cli.line import MAX_LINE, one_line
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore


def test_a_line_hides_nothing() -> None:
    """Lines are joined; what moves a cursor or turns a line around is written out."""
    assert one_line("ada\n\x1b[31m \u202e<b>\udcff") == "ada \\u001b[31m \\u202e<b>\\udcff"
    assert one_line("x" * MAX_LINE) == "x" * MAX_LINE


def test_a_line_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """What no table has room for is a mistake of whoever typed it: exit code 64, and no effect."""
    with pytest.raises(ArgumentTypeError, match="more than"):
        one_line("x" * (MAX_LINE + 1))
    with pytest.raises(SystemExit, match="64"):
        main(["incident", "note", "I1", "hi", "--by", "x" * 9999])
    assert "argument --by: has 9999 characters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("incident", "note", "\udcff", "hi"),
        ("incident", "show", "\udcff"),
        ("incident", "ack", "\udcff"),
        ("silence", "end", "\udcff"),
        ("maintenance", "end", "\udcff"),
        ("report", "recovery", "--incident", "\udcff"),
        ("report", "recovery", "--from", "0001-01-01T00:00+14:00"),
        ("report", "recovery", "--from", "9999-12-31T23:59-14:00"),
        ("report", "recovery", "--from", "0001-01-01"),
        ("report", "recovery", "--from", "1h", "--to", "2h"),
        ("maintenance", "add", "nosuch", "--for", "1h", "--reason", "x"),
    ],
    ids=str,
)
def test_bytes_that_are_no_name(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id of any bytes is one that nobody knows, and an instant beyond the calendar is none."""
    SqliteStore(tmp_path).close()
    assert main(["--config", "/nowhere", "--state", str(tmp_path), *words]) == 64
    assert "remedy: " in capsys.readouterr().err


def test_a_report_of_a_configuration_that_can_not_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate is none without its requirements; another report says what it lacks. A folder of
    templates that is not there is a mistake.
    """
    (tmp_path / "state").mkdir()
    SqliteStore(tmp_path / "state").close()
    (tmp_path / "bad.yaml").write_text("x: [")
    begin = ["--config", str(tmp_path / "bad.yaml"), "--state", str(tmp_path / "state"), "report"]
    assert main([*begin, "readiness"]) == 78
    assert not (tmp_path / "state/reports").exists()
    assert main([*begin, "daily"]) == 0
    assert "knows neither targets nor milestones" in capsys.readouterr().err
    assert main([*begin, "daily", "--templates", str(tmp_path / "none")]) == 64


def test_a_report_by_the_configuration_of_another_platform(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says of targets, owners and milestones is not of this state; a gate is none by it."""
    checks = "checks: [{name: a, kind: tcp, component: c, address: 'localhost:1'}]\n"
    head = "platform: one\ntasks_per_hour_target: 7\ncomponents: {c: {owner: ada}}\n"
    (tmp_path / "sentinel.yaml").write_text(head + checks)
    state = tmp_path / "state"
    state.mkdir()
    for platform, code, targets in (("one", 2, 1), ("other", 64, 0)):
        store = SqliteStore(state)
        store.commit(Changes(meta={"platform": platform}))
        store.close()
        begin = ["--config", str(tmp_path / "sentinel.yaml"), "--state", str(state), "report"]
        assert main([*begin, "readiness"]) == code
        capsys.readouterr()
        assert main([*begin, "daily", "--json"]) == 0
        told = capsys.readouterr()
        assert len(json.loads(told.out)["targets"]) == targets
        said = "the configuration is of the platform one, the state of other"
        assert (said in told.err) is (targets == 0)


@pytest.mark.parametrize("count", ["0", "-3", "x", "9" * 30, ""])
def test_a_list_of_nothing_is_not_asked_for(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--limit 0` would read as if nothing were there."""
    with pytest.raises(SystemExit, match="64"):
        main(["maintenance", "list", f"--limit={count}"])
    assert "is no count" in capsys.readouterr().err
