"""Dashboards as text: the one place that knows in which schema of Grafana they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.shelf import read_shelf
from tools.grafana.board import Board
from tools.grafana.classic import build_classic

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
PICTURES = FOLDER.parent / "docs" / "dashboards"
build_dashboard = build_classic
"""The switch: whatever is assigned here makes all of them."""


def read_boards() -> Mapping[str, Board]:
    """All dashboards by name, in the order in which they lead on."""
    boards = read_shelf("tools.grafana.boards", Board, "BOARD")
    return dict(sorted(boards.items(), key=lambda each: each[1].order))


def render_dashboards() -> dict[str, str]:
    """The text of each file of `dashboards/` by its name."""
    return {
        f"{board.name}.json": json.dumps(build_dashboard(board), indent=1, ensure_ascii=False)
        + "\n"
        for board in read_boards().values()
    }


def read_dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards as they are committed, by name."""
    files = (FOLDER / f"{name}.json" for name in read_boards())
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
