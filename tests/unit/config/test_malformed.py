"""Two hundred malformed configurations: each is refused with places and remedies, or holds."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.config import load
from sentinel.config.component import ComponentReader
from sentinel.errors import ConfigurationError, Problem
from tests.malformed import GOOD, furnish, make_malformed


def test_the_good_one_holds(tmp_path: Path) -> None:
    """Otherwise every malformed one would be refused for another reason."""
    furnish(tmp_path)
    (tmp_path / "sentinel.yaml").write_text(GOOD)
    assert len(load(tmp_path, {}).checks) == 3


def said_of(folder: Path) -> str:
    """Its problems, each with a remedy; "" when it holds."""
    problems: list[Problem] = []
    try:
        load(folder, {})
    except ConfigurationError as error:
        problems = error.problems
    assert all(problem.file and problem.remedy for problem in problems), problems
    return "\n".join(map(str, problems))


def test_malformed_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No error but ConfigurationError, each problem with a remedy, none slow. The seed is printed."""
    seed = int(os.environ.get("MALFORMED_SEED", random.randrange(1 << 32)))
    furnish(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused = 0
    for n, data in enumerate(make_malformed(seed, 200)):
        (tmp_path / "sentinel.yaml").write_bytes(data)
        began = time.monotonic()
        said = said_of(tmp_path)
        assert "Error (" not in said, (seed, n, said)  # a surprise: it needs words of its own
        assert time.monotonic() - began < 10, (seed, n)
        refused += bool(said)
        if n % 10 == 0:
            assert main(["--config", str(tmp_path), "validate"]) in {0, 78}, (seed, n)
            assert "Traceback" not in "".join(capsys.readouterr()), (seed, n)
    sys.stdout.write(f"seed {seed}: {refused} of 200 refused\n")
    assert refused > 150


@pytest.mark.parametrize("error", [RecursionError(), RuntimeError("canary"), OSError(5, "canary")])
def test_a_surprise_is_a_problem(
    tmp_path: Path,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Raised where nobody foresaw it: exit 78 with the file, and no traceback."""

    def surprise(_self: object) -> None:
        raise error

    furnish(tmp_path)
    (tmp_path / "sentinel.yaml").write_text(GOOD)
    monkeypatch.setattr(ComponentReader, "check_needed", surprise)
    with pytest.raises(ConfigurationError):
        load(tmp_path, {})
    assert main(["--config", str(tmp_path), "validate"]) == 78
    said = "".join(capsys.readouterr())
    assert f"{tmp_path}: can't be read: {type(error).__name__}" in said
    assert "canary" not in said
    assert "Traceback" not in said
