"""Runbooks made from a few lines of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.runbook.book import SECTIONS

BODY = "\n".join(f"## {name}\n\nText.\n" for name in SECTIONS)


@pytest.fixture
def write_book(tmp_path: Path) -> Callable[..., Path]:
    """Writes a runbook file: `write_book(steps, parameters="", name="x")`."""

    def write(steps: str, parameters: str = "", name: str = "x", body: str = BODY) -> Path:
        path = tmp_path / f"{name}.md"
        declared = f"parameters:\n{parameters}\n" if parameters else ""
        path.write_text(
            f"---\nname: {name}\ntitle: X\n{declared}steps:\n{steps}\n---\n# X\n\n{body}"
        )
        return path

    return write
