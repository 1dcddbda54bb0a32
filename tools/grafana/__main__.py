"""`python -m tools.grafana`: write `dashboards/*.json` anew (`--schema v2 --into DIR`: as Grafana 13 has
them, elsewhere). With `--pictures` the pictures in
`docs/dashboards/` too: a demo runs under chaos for a minute, and a Prometheus scrapes it.

Exit status: 0 written, 1 a picture would have an empty panel, 69 Prometheus or the demo is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tools.grafana.live import PATIENCE, NoAnswer, ask_until, list_empty, watch_demo
from tools.grafana.picture import draw_picture
from tools.grafana.render import (
    FOLDER,
    PICTURES,
    SCHEMA,
    SCHEMAS,
    read_dashboards,
    render_dashboards,
)

LENGTH = 60.0
"""Seconds that a picture shows, at least."""


def write_dashboards(folder: Path, schema: str) -> None:
    """Every file."""
    for name, text in render_dashboards(schema).items():
        (folder / name).write_text(text, encoding="utf-8")


def write_pictures() -> list[str]:
    """Every picture, unless there are panels to which nothing came: these."""
    documents, begun = read_dashboards(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, watch_demo(Path(folder)) as prometheus:
        answers = ask_until(
            prometheus,
            documents,
            lambda found: not list_empty(found) and time.monotonic() > begun + LENGTH,
            LENGTH + 3 * PATIENCE,
        )
    empty = list_empty(answers)
    if not empty:
        PICTURES.mkdir(exist_ok=True)
        for name, document in documents.items():
            picture = draw_picture(document, answers[name])
            (PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
    return empty


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.grafana", description=__doc__)
    parser.add_argument(
        "--schema", choices=SCHEMAS, default=SCHEMA, help="of Grafana, with --into another folder"
    )
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the JSON files")
    parser.add_argument("--pictures", action="store_true", help="draw docs/dashboards anew")
    options = parser.parse_args(arguments)
    write_dashboards(options.into, options.schema)
    if not options.pictures:
        return 0
    try:
        empty = write_pictures()
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return 69
    print("\n".join(f"nothing came to {each}" for each in empty), end="\n" if empty else "")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
