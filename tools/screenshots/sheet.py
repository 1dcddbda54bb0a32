"""One page to look through all pictures of the scenarios, each beside what the page said."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Chaos on the status page</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 1rem; color-scheme: light dark }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: .4rem }
img { width: 22rem; border: 1px solid #8888 } img.narrow { width: 9rem }
pre { max-width: 40rem; max-height: 32rem; overflow: auto; white-space: pre-wrap; margin: 0 }
nav a { margin-right: 1rem }
</style><h1>Chaos on the status page</h1>
"""


def write_sheet(out: Path) -> Path:
    """Of every scenario that has its pictures in `out`; where it is."""
    folders = sorted(path.parent for path in out.glob("*/said.json"))
    links = "".join(f'<a href="#{each.name}">{html.escape(each.name)}</a>' for each in folders)
    parts = [_HEAD, f"<nav>{links}</nav>", *map(_show_scenario, folders)]
    index = out / "index.html"
    index.write_text("".join(parts))
    return index


def _show_scenario(folder: Path) -> str:
    name = html.escape(folder.name)
    texts = sorted(folder.glob("*.txt"))
    rows = "".join(_show_moment(folder, text) for text in texts)
    return f'<h2 id="{name}">{name}</h2><table>{rows}</table>\n'


def _show_moment(folder: Path, text: Path) -> str:
    pictures = sorted(folder.glob(f"{text.stem}-*.png"), key=_by_width)
    shown = "".join(_show_pictures(folder.name, pictures))
    said = html.escape(text.read_text())
    return f"<tr><th>{html.escape(text.stem)}<td><pre>{said}</pre><td>{shown}\n"


def _by_width(picture: Path) -> tuple[int, str]:
    _, width, colour = picture.stem.split("-")
    return -int(width), colour


def _show_pictures(folder: str, pictures: Iterable[Path]) -> Iterable[str]:
    for picture in pictures:
        address = html.escape(f"{folder}/{picture.name}")
        narrow = "" if "-1400-" in picture.name else ' class="narrow"'
        yield f'<a href="{address}"><img src="{address}" alt="{address}"{narrow} loading="lazy"></a> '
