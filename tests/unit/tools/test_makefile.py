"""`make test` with a Python that only writes down what it was asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_PYTHON = """#!/bin/sh
[ "$2" = pytest ] || exit 0
echo "$*" >> "$ASKED"
case "$*" in
  *tests/acceptance*) exit $FIRST ;;
  *) exit $SECOND ;;
esac
"""


@pytest.mark.parametrize(
    ("first", "second", "passes"),
    [(0, 0, True), (1, 0, False), (0, 1, False), (5, 0, True), (0, 5, True), (2, 5, False)],
)
def test_both_halves_run_and_either_fails(
    tmp_path: Path, first: int, second: int, passes: bool
) -> None:
    """5 is pytest's word for: the options chose none of these tests."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    asked = tmp_path / "asked"
    words = {"ASKED": str(asked), "FIRST": str(first), "SECOND": str(second)}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | words
    argv = ["make", "test", f"VENV={tmp_path / 'venv'}", "ARGS=-k some"]
    made = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (made.returncode == 0) is passes, made.stderr
    halves = asked.read_text(encoding="utf-8").splitlines()
    assert ["tests/acceptance" in half for half in halves] == [True, False]
    assert all(half.endswith("-k some") for half in halves)
