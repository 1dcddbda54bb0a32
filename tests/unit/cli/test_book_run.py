"""`sentinel runbook run --execute`: evidence first, the question last, and once."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from sentinel.cli import main

BOOK = """---
name: repair
title: Repair the bus
applies_to: {faults: [tcp/unreachable]}
parameters:
  - {name: place, type: str, default: here, description: where}
steps:
  - {name: Numbers, run: [seq, "300"], changes: false, timeout: 5s}
  - {name: Does it listen?, run: {check: port}, timeout: 5s}
  - {name: One, run: [touch, "FOLDER/{place}"], changes: true, timeout: 5s}
  - {name: Two, run: [touch, "FOLDER/two"], changes: true, timeout: 5s}
---
"""
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify", "Escalation")
RUN = ("runbook", "run", "repair", "--execute", "place=there")
"""With a value after an option: typed so, it was refused."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    (folder / "runbooks").mkdir(parents=True)
    (tmp_path / "state").mkdir(mode=0o700)
    (folder / "sentinel.yaml").write_text(
        f"state: {tmp_path}/state\ncomponents: {{bus: {{}}}}\nchecks:\n"
        "- {name: port, kind: tcp, component: bus, address: '127.0.0.1:1', runbook: repair}\n"
    )
    text = "".join(f"\n## {name}\n\ntext\n" for name in SECTIONS)
    (folder / "runbooks" / "repair.md").write_text(BOOK.replace("FOLDER", str(tmp_path)) + text)
    monkeypatch.setenv("SENTINEL_CONFIG", str(folder))
    return tmp_path


class Person(io.StringIO):
    """A terminal with somebody at it."""

    def isatty(self) -> bool:
        return True


def touched(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_file())


def test_evidence_then_plan_then_one_question(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdicts on top, output bounded, every change with its words, asked once for both."""
    seen: list[str] = []
    asked: list[str] = []

    def answer(question: str) -> str:
        assert touched(place) == []
        seen.append(capsys.readouterr().out)
        asked.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(sys, "stdin", Person())
    assert main(RUN) == 0
    assert asked == ["do these 2 changes? [y/N] "]
    assert touched(place) == ["there", "two"]
    (before,) = seen
    order = ["down      2. Does it listen?", "done      1. Numbers", "… 296 more lines"]
    order += ["it would change", "3. One", f"touch {place}/there", "4. Two", f"touch {place}/two"]
    places = [before.index(words) for words in order]
    assert places == sorted(places)
    assert len(before.splitlines()) < 30
    after = capsys.readouterr().out
    assert "outcome: done" in after
    (kept,) = (place / "state" / "runbooks").iterdir()
    assert str(kept) in after
    assert "   | 300" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_nobody_to_ask_is_a_plan(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused by a guard, and how to go on; nothing is changed."""
    assert main(RUN) == 75
    told = capsys.readouterr()
    assert "it would change" in told.out
    assert "outcome: declined" in told.out
    assert "$ sentinel runbook resume " in told.out
    assert "add --yes" in told.err
    assert touched(place) == []


def test_full_is_the_whole_transcript(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--yes asks nobody; --full shows every line."""
    assert main([*RUN, "--yes", "--full"]) == 0
    assert "   | 300" in capsys.readouterr().out
    assert touched(place) == ["there", "two"]


@pytest.mark.parametrize("words", [["place"], ["--what"], ["place=a", "--what"]])
def test_what_is_no_value_is_refused(place: Path, words: list[str]) -> None:
    """A word too many is said, wherever it stands."""
    try:
        code = main([*RUN[:3], "--execute", *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 64
    assert touched(place) == []
