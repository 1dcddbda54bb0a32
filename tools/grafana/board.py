"""What a dashboard shows, before any schema of Grafana: panels, their queries, and their places.

Queries are PromQL in which `{@check}`, `{@component}` and `{@platform}` stand for the matchers of the
dashboard's variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLATFORM = 'platform=~"$platform"'
MATCHERS = {
    "@platform": PLATFORM,
    "@component": f'{PLATFORM}, component=~"$component"',
    "@check": f'{PLATFORM}, check=~"$check"',
}
COLUMNS = 24
"""Width of Grafana's grid."""
HEIGHTS = {"stat": 4, "trend": 8, "table": 8}

NO_FAULT = '0 * count(sentinel_check_status{@check, status!="unknown"})'
"""That there is no fault is known only while a check has a verdict."""
GREEN, YELLOW, RED, BLUE, PURPLE = "green", "yellow", "red", "blue", "purple"
STATUS_COLORS = {"up": GREEN, "degraded": YELLOW, "down": RED, "unknown": PURPLE}


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus; `legend` names its series, in a table its column, which may have
    a `unit` of its own.
    """

    expr: str
    legend: str = ""
    unit: str = ""

    @property
    def promql(self) -> str:
        """With the matchers of the variables written out."""
        text = self.expr
        for mark, matchers in MATCHERS.items():
            text = text.replace(mark, matchers)
        return text


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `unit` is Grafana's id of it, or `suffix:` and a word; `steps` are colours from a
    value on, the first from below everything; `runbook` is where to go from here.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    runbook: str = ""

    @property
    def kind(self) -> str:
        """`stat`, `trend` or `table`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Stat(Panel):
    """One figure, of the present or of the whole range."""

    steps: tuple[tuple[float, str], ...] = ()
    base: str = GREEN
    decimals: int | None = None
    words: tuple[tuple[str, str, str], ...] = ()
    """Value, text and colour, where the figure is a word."""

    @property
    def kind(self) -> str:
        """It is a stat."""
        return "stat"


@dataclass(frozen=True, slots=True)
class Trend(Panel):
    """Lines over time."""

    stacked: bool = False
    top: float | None = None
    limits: tuple[tuple[float, str], ...] = ()
    """Lines that should not be crossed."""
    colors: tuple[tuple[str, str], ...] = ()
    """Series by name that have a colour of their own."""

    @property
    def kind(self) -> str:
        """It is a trend."""
        return "trend"


@dataclass(frozen=True, slots=True)
class Table(Panel):
    """Subjects with their figures: a column for each label, one for each query."""

    labels: tuple[tuple[str, str], ...] = ()
    """Labels in the order of their columns, with what people read above them."""

    @property
    def kind(self) -> str:
        """It is a table."""
        return "table"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands on the grid."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, under a heading when they have one."""

    panels: tuple[Panel, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `kinds` are the check kinds that it shows; none are all of them."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    kinds: tuple[str, ...] = ()
    order: int = 0
    """Its place among the others, where one leads to the next."""

    @property
    def uid(self) -> str:
        """Stable: links and alerts name it."""
        return f"sentinel-{self.name}"

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them, in the order of reading."""
        return tuple(panel for row in self.rows for panel in row.panels)


def place_row(panels: Sequence[Panel], y: int) -> list[Place]:
    """The panels of a row share its width as evenly as whole columns can; all are as high as the
    highest.
    """
    height = max(HEIGHTS[panel.kind] for panel in panels)
    least, more = divmod(COLUMNS, len(panels))
    places, x = list[Place](), 0
    for i in range(len(panels)):
        width = least + (i < more)
        places.append(Place(x, y, width, height))
        x += width
    return places
