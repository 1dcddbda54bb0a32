"""`make test` with a Python that only writes down what it was asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_PYTHON = """#!/bin/sh
[ "$2" = tools.second_look ] && exit $LOOK
[ "$2" = pytest ] && [ "$3" != --collect-only ] || exit 0
echo "$*" >> "$ASKED"
case "$*" in
  *"-n 2"*) exit $SECOND ;;
  *"-n 3"*) exit $THIRD ;;
  *) exit $FIRST ;;
esac
"""


@pytest.mark.parametrize(
    ("codes", "passes"),
    [
        ("0001", True),
        ("1001", False),
        ("0101", False),
        ("0011", False),
        ("1110", True),
        ("5001", True),
        ("0551", True),
        ("2550", False),
        ("0130", False),
    ],
)
def test_each_part_runs_and_any_fails(tmp_path: Path, codes: str, passes: bool) -> None:
    """5 is pytest's word for: the options chose none of these tests. The fourth is what the second
    look comes to, which only failed tests get: a part that broke off has failed.
    """
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    asked = tmp_path / "asked"
    words = dict(zip(("FIRST", "SECOND", "THIRD", "LOOK"), codes, strict=True)) | {
        "ASKED": str(asked)
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | words
    argv = ["make", "test", f"VENV={tmp_path / 'venv'}", "ARGS=-k some"]
    made = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (made.returncode == 0) is passes, made.stderr
    parts = asked.read_text(encoding="utf-8").splitlines()
    whole = ["tests/acceptance tests/browser" in part for part in parts]
    assert (whole, "tests/unit" in parts[2]) == ([False, True, False], True)
    assert all(part.endswith("-k some") for part in parts)
