"""`make mutants` on a house of two guards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import mutants

_CODE = """
def clamp(value, most):
    if value is None:
        return 0
    return min(value, most)
"""
_STRONG = """
from sentinel.core.clamp import clamp

def test_clamp():
    assert [clamp(None, 3), clamp(2, 3), clamp(4, 3)] == [0, 2, 3]
"""
_WEAK = """
from sentinel.core.clamp import clamp

def test_clamp():
    clamp(2, 3)
"""
_ENDLESS = """
from sentinel.core.clamp import clamp

def test_clamp():
    while clamp(4, 3) != 3:
        pass
"""


def write_house(root: Path, test: str) -> list[str]:
    """Options for a repository at `root` with one file of core and its test."""
    test_file = "tests/unit/core/test_clamp.py"
    files = {
        "sentinel/__init__.py": "",
        "sentinel/core/__init__.py": "",
        "sentinel/core/clamp.py": _CODE,
        test_file: test,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return ["--root", str(root), "--seed", "3"]


def test_a_test_that_looks_kills_them_all(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert mutants.main(write_house(tmp_path, _STRONG)) == 0
    said = capsys.readouterr().out
    assert "2 mutants, seed 3" in said
    assert "2 of 2 killed, goal ≥ 2: met (seed 3)" in said
    assert (tmp_path / "sentinel/core/clamp.py").read_text(encoding="utf-8") == _CODE


def test_survivors_are_shown_with_place_and_change(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = write_house(tmp_path, _WEAK)
    assert mutants.main([*options, "--only", "sentinel/core/clamp.py"]) == 1
    said = capsys.readouterr().out
    assert "SURVIVED sentinel/core/clamp.py:5  min → max" in said
    assert "\n+    return max(value, most)" in said


def test_a_test_without_end_has_noticed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mutants, "_TEST_TIMEOUT", 1)
    options = write_house(tmp_path, _ENDLESS)
    mutants.main(options)
    killed = [line for line in capsys.readouterr().out.splitlines() if "min → max" in line]
    assert "SURVIVED" not in killed[0]


def test_a_test_that_fails_anyway_kills_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = write_house(tmp_path, f"{_WEAK}\ndef test_red():\n    assert clamp(2, 3) == 9\n")
    assert mutants.main(options) == 1
    said = capsys.readouterr().out
    assert "fails without a mutant: tests/unit/core/test_clamp.py::test_red" in said
    assert "SURVIVED sentinel/core/clamp.py:5" in said


def test_without_tests_that_run_nothing_is_known(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = write_house(tmp_path, "from sentinel.core.clamp import is_not_there\n")
    assert mutants.main(options) == 69
    assert "without a mutant pytest ended with" in capsys.readouterr().err


def test_the_same_seed_chooses_the_same_guards() -> None:
    texts = {"a.py": "x = a < b\n" * 30, "b.py": "y = a or b\n" * 30}
    first = mutants.choose(texts, 10, 5)
    assert first == mutants.choose(dict(reversed(texts.items())), 10, 5)
    assert first != mutants.choose(texts, 10, 6)
    assert len({(mutant.path, mutant.mutation.line) for mutant in first}) == 10
    assert len(mutants.choose(texts, 100, 5)) == 60
