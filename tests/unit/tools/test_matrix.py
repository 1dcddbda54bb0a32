"""Interpreters that are found, and what a version that is not there comes to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools import matrix
from tools.matrix import Outcome


def write_interpreter(path: Path, says: str) -> str:
    """A program that answers as a Python would, or fails when it says nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n[ -n '{says}' ]\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_newest_patch_level_is_the_first_after_path(tmp_path: Path) -> None:
    first = write_interpreter(tmp_path / "bin/python3.12", "3.12")
    for name in (".pyenv/versions/3.12.9", ".pyenv/versions/3.12.10", ".pyenv/versions/3.1.2"):
        write_interpreter(tmp_path / name / "bin/python3.12", "3.12")
    uv = ".local/share/uv/python/cpython-3.12.11-linux-x86_64-gnu"
    write_interpreter(tmp_path / uv / "bin/python3.12", "3.12")
    found = matrix.list_candidates("3.12", tmp_path, {"PATH": str(tmp_path / "bin")})
    folders = [uv, ".pyenv/versions/3.12.10", ".pyenv/versions/3.12.9"]
    assert list(found) == [first, *(str(tmp_path / f / "bin/python3.12") for f in folders)]


def test_folders_of_pyenv_and_uv_are_taken_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "p/versions/3.13.0").mkdir(parents=True)
    (tmp_path / "u/cpython-3.13.1-linux").mkdir(parents=True)
    environment = {"PYENV_ROOT": f"{tmp_path}/p", "UV_PYTHON_INSTALL_DIR": f"{tmp_path}/u"}
    found = list(matrix.list_candidates("3.13", tmp_path, environment | {"PATH": ""}))
    assert found == [
        f"{tmp_path}/u/cpython-3.13.1-linux/bin/python3.13",
        f"{tmp_path}/p/versions/3.13.0/bin/python3.13",
    ]


def test_what_does_not_run_or_is_another_version_is_passed_over(tmp_path: Path) -> None:
    shim = write_interpreter(tmp_path / "shim", "")
    other = write_interpreter(tmp_path / "other", "3.11")
    right = write_interpreter(tmp_path / "right", "3.12")
    absent = str(tmp_path / "absent")
    assert matrix.find_interpreter("3.12", [shim, absent, other, right]) == right
    assert matrix.find_interpreter("3.12", [shim, absent, other]) is None


@pytest.mark.parametrize(
    ("version", "word", "in_ci", "fails"),
    [
        ("3.12", "passed", True, False),
        ("3.12", "failed", False, True),
        ("3.12", "not installed", False, True),
        ("3.12", "not available", True, False),
        ("3.11", "not available", True, True),
        ("3.11", "not available", False, False),
    ],
)
def test_only_ci_needs_an_interpreter(version: str, word: str, in_ci: bool, fails: bool) -> None:
    assert Outcome(version, word).fails(in_ci=in_ci) is fails


def test_a_version_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(matrix, "list_candidates", lambda *_: iter(()))
    monkeypatch.setenv("CI", "true")
    assert matrix.main(["--version", "3.12"]) == 0
    assert matrix.main(["--version", "3.11", "--version", "3.12"]) == 1
    assert "Python 3.12  not available" in capsys.readouterr().out


def test_the_versions_are_those_that_the_project_declares() -> None:
    with (matrix.ROOT / "pyproject.toml").open("rb") as file:
        needs = tomllib.load(file)["project"]["requires-python"]
    first, after = (int(minor) for minor in re.findall(r"3\.(\d+)", needs))
    assert list(matrix.VERSIONS) == [f"3.{minor}" for minor in range(first, after)]
