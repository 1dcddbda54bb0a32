"""A picture of a dashboard's data as SVG, laid out on Grafana's grid: what its queries gave in a run.

It is drawn from the dashboard's JSON and from answers alone, so it shows what Grafana would be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from tools.grafana.chart import Curve, draw_chart
from tools.grafana.live import Answer, Answers, Line
from tools.grafana.quantity import write_quantity
from tools.grafana.question import list_panels

UNIT_WIDTH, UNIT_HEIGHT, GAP, HEAD = 50, 30, 6, 46
"""Pixels of a column, of a row, between panels, and of the heading of the whole."""
COLORS = {
    "green": "#2f7d3b",
    "yellow": "#9a6700",
    "red": "#b3261e",
    "dark-red": "#7d1414",
    "blue": "#1f60c4",
    "purple": "#7b3fb5",
}
"""Each has a contrast of at least 4.5 with white."""
LETTER = 6.6
"""Pixels of a letter, about, at the size of texts in panels."""
STYLE = (
    "text{font:12px sans-serif;fill:#1f2328}.h{font-size:20px;font-weight:600}.r{font-weight:600;"
    "font-size:14px}.t{font-weight:600}.n{font-size:26px;font-weight:600;fill:#fff;text-anchor:middle}"
    ".w,.w .t{fill:#fff}.m{fill:#57606a}.e{text-anchor:end}.c{text-anchor:middle}"
    ".p{fill:#fff;stroke:#d0d7de}.g{stroke:#e4e8ec}.l{fill:none;stroke-width:1.5}.a{fill-opacity:.3}"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel is, in pixels."""

    x: float
    y: float
    width: float
    height: float


def draw_picture(document: Mapping[str, Any], answers: Answers) -> str:
    """The picture of all panels."""
    found = {
        panel["id"]: [
            each for question, each in answers.by_question.items() if question.panel == panel["id"]
        ]
        for panel in list_panels(document)
    }
    bottom = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in document["panels"])
    width, height = 24 * UNIT_WIDTH + GAP, bottom * UNIT_HEIGHT + HEAD + GAP
    span = _find_span(answers)
    panels = (_draw_panel(panel, found.get(panel["id"], []), span) for panel in document["panels"])
    body = "\n".join(panels)
    title, about = escape(document["title"]), escape(document["description"])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{title}</title><desc>{about}</desc><style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#f6f8fa"/>\n'
        f'<text class="h" x="{2 * GAP}" y="22">{title}</text>'
        f'<text class="m" x="{2 * GAP}" y="40">{about}</text>\n{body}\n</svg>\n'
    )


def list_drawn(picture: str) -> dict[int, bool]:
    """Ids of the panels in a picture, and whether anything is shown in them."""
    root = ElementTree.fromstring(picture)
    groups = root.iter("{http://www.w3.org/2000/svg}g")
    return {
        int(group.attrib["data-panel"]): int(group.attrib["data-series"]) > 0
        for group in groups
        if "data-panel" in group.attrib
    }


def _find_span(answers: Answers) -> tuple[float, float]:
    """From the first to the last point of all lines of time: all panels have the same axis."""
    every = [each for question, each in answers.by_question.items() if question.form == "range"]
    times = [at for answer in every for line in answer.lines for at, _ in line.points]
    return (min(times), max(times)) if times else (0.0, 1.0)


def _draw_panel(
    panel: Mapping[str, Any], answers: Sequence[Answer], span: tuple[float, float]
) -> str:
    at = panel["gridPos"]
    frame = Frame(
        at["x"] * UNIT_WIDTH + GAP,
        at["y"] * UNIT_HEIGHT + HEAD,
        at["w"] * UNIT_WIDTH - GAP,
        at["h"] * UNIT_HEIGHT - GAP,
    )
    if panel["type"] == "row":
        return f'<text class="r" x="{frame.x + GAP}" y="{frame.y + 18}">{escape(panel["title"])}</text>'
    if panel["type"] == "timeseries":
        inner = _draw_trend(panel, frame, answers, span)
    else:
        inner = (_draw_stat if panel["type"] == "stat" else _draw_table)(panel, frame, answers)
    series = sum(len(answer.lines) for answer in answers)
    return (
        f'<g data-panel="{panel["id"]}" data-series="{series}" transform="translate({frame.x} {frame.y})">'
        f"<title>{escape(panel['description'])}</title>{inner}</g>"
    )


def _box(frame: Frame, fill: str = "") -> str:
    style = f" style={quoteattr('fill:' + fill)}" if fill else ""
    return f'<rect class="p" width="{frame.width}" height="{frame.height}" rx="3"{style}/>'


def cut(text: str, width: float) -> str:
    """As much of a text as so many pixels hold."""
    most = max(1, int(width / LETTER))
    return text if len(text) <= most else f"{text[: most - 1]}…"


# -- one figure ------------------------------------------------------------------------------------


def _draw_stat(panel: Mapping[str, Any], frame: Frame, answers: Sequence[Answer]) -> str:
    fields = panel["fieldConfig"]["defaults"]
    line = next((line for answer in answers for line in answer.lines), None)
    if line is None:
        text, color = fields.get("noValue", ""), COLORS["purple"]
    else:
        text, color = _show_value(line.points[-1][1], fields)
    title = escape(cut(panel["title"], frame.width))
    return (
        f'{_box(frame, color)}<g class="w"><text class="t w" x="8" y="18">{title}</text></g>'
        f'<text class="n" x="{frame.width / 2:g}" y="{frame.height / 2 + 20:g}">{escape(text)}</text>'
    )


def _show_value(value: float, fields: Mapping[str, Any]) -> tuple[str, str]:
    """Text and colour by words where there are any, else by thresholds."""
    words = {
        key: word for each in fields.get("mappings", ()) for key, word in each["options"].items()
    }
    word = words.get(f"{value:g}")
    if word is not None:
        return word["text"], COLORS[word["color"]]
    color = fields["thresholds"]["steps"][0]["color"]
    for step in fields["thresholds"]["steps"]:
        if step["value"] is not None and value >= step["value"]:
            color = step["color"]
    return write_quantity(value, fields["unit"], fields.get("decimals")), COLORS[color]


# -- over time -------------------------------------------------------------------------------------


def _draw_trend(
    panel: Mapping[str, Any],
    frame: Frame,
    answers: Sequence[Answer],
    span: tuple[float, float],
) -> str:
    fixed = {
        each["matcher"]["options"]: COLORS[each["properties"][0]["value"]["fixedColor"]]
        for each in panel["fieldConfig"].get("overrides", ())
    }
    curves = [
        Curve(name, line.points, fixed.get(name, ""))
        for target, answer in zip(panel["targets"], answers, strict=True)
        for line in answer.lines
        for name in [_write_legend(target["legendFormat"], line)]
    ]
    fields = panel["fieldConfig"]["defaults"]
    stacking = fields["custom"].get("stacking", {}).get("mode") == "normal"
    room = frame.width, frame.height
    chart = draw_chart(curves, room, span, fields["unit"], top=fields.get("max"), stacked=stacking)
    title = escape(cut(panel["title"], frame.width))
    return f'{_box(frame)}<text class="t" x="8" y="18">{title}</text>{chart}'


def _write_legend(form: str, line: Line) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: line.labels.get(found[1], ""), form).strip()


# -- subjects --------------------------------------------------------------------------------------


def _draw_table(panel: Mapping[str, Any], frame: Frame, answers: Sequence[Answer]) -> str:
    columns = panel["transformations"][-1]["options"]["renameByName"]
    units = {
        each["matcher"]["options"]: each["properties"][0]["value"]
        for each in panel["fieldConfig"].get("overrides", ())
        if each["properties"][0]["id"] == "unit"
    }
    rows = list(_join_rows(columns, answers, units))
    edges = _find_edges([list(columns.values()), *rows], frame.width)
    room = int((frame.height - 48) / 18)
    shown = rows if len(rows) <= room else rows[: room - 1]
    lines = [_draw_cells(list(columns.values()), edges, 38, "t")]
    lines += [_draw_cells(row, edges, 58 + 18 * i, "") for i, row in enumerate(shown)]
    if len(shown) < len(rows):
        y = 58 + 18 * len(shown)
        lines.append(f'<text class="m" x="8" y="{y}">and {len(rows) - len(shown)} more</text>')
    title = escape(cut(panel["title"], frame.width))
    rule = f'<path class="g" d="M4 43H{frame.width - 4:g}"/>'
    return f'{_box(frame)}<text class="t" x="8" y="18">{title}</text>{rule}{"".join(lines)}'


def _join_rows(
    columns: Mapping[str, str], answers: Sequence[Answer], units: Mapping[str, str]
) -> Iterator[list[str]]:
    """Rows of the same labels are one, as Grafana's transformation `merge` has it."""
    labels = [name for name in columns if not name.startswith("Value")]
    figures = [title for name, title in columns.items() if name.startswith("Value")]
    rows = dict[tuple[str, ...], list[str]]()
    for i, answer in enumerate(answers):
        for line in answer.lines:
            key = tuple(line.labels.get(label, "") for label in labels)
            row = rows.setdefault(key, [""] * len(figures))
            row[i] = write_quantity(line.points[-1][1], units.get(figures[i], "short"))
    yield from ([*key, *row] for key, row in sorted(rows.items()))


def _find_edges(rows: Sequence[Sequence[str]], width: float) -> list[float]:
    """Where columns begin, and where the last one ends: each as wide as its longest text wants."""
    wanted = [max(len(row[i]) for row in rows) + 3 for i in range(len(rows[0]))]
    unit = (width - 8) / sum(wanted)
    return [8 + unit * sum(wanted[:i]) for i in range(len(wanted) + 1)]


def _draw_cells(texts: Sequence[str], edges: Sequence[float], y: float, name: str) -> str:
    attribute = f' class="{name}"' if name else ""
    return "".join(
        f'<text{attribute} x="{begin:.0f}" y="{y}">{escape(cut(text, end - begin))}</text>'
        for text, begin, end in zip(texts, edges, edges[1:], strict=False)
        if text
    )
