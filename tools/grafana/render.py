"""Dashboards as text: the one place that knows in which schema of Grafana they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sentinel.shelf import read_shelf
from tools.grafana.board import Board
from tools.grafana.classic import build_classic
from tools.grafana.v2 import build_v2

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
PICTURES = FOLDER.parent / "docs" / "dashboards"
SCHEMAS: Mapping[str, Callable[[Board], dict[str, Any]]] = {
    "classic": build_classic,
    "v2": build_v2,
}
SCHEMA = "classic"
"""The switch: in which of them the committed files are written."""


def read_boards() -> Mapping[str, Board]:
    """All dashboards by name, in the order in which they lead on."""
    boards = read_shelf("tools.grafana.boards", Board, "BOARD")
    return dict(sorted(boards.items(), key=lambda each: each[1].order))


def render_dashboards(schema: str = SCHEMA) -> dict[str, str]:
    """The text of each file of `dashboards/` by its name."""
    build = SCHEMAS[schema]
    return {
        f"{board.name}.json": json.dumps(build(board), indent=1, ensure_ascii=False) + "\n"
        for board in read_boards().values()
    }


def read_dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards as they are committed, by name."""
    files = (FOLDER / f"{name}.json" for name in read_boards())
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
