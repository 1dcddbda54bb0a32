"""What needs what, as a small picture: what is needed by others stands left of them. The list of
components says the same in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sentinel.core.component.dependencies import DependsOn, find_needed, lay_out
from sentinel.web.live.line import ComponentLine, rank

MAX_NODES = 40
BOX, HIGH, GAP, ROW = 152, 26, 40, 34
_LETTERS = 19


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A component at its place, in pixels."""

    name: str
    label: str
    status: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """A line from what is needed to who needs it; `status` of what is needed."""

    way: str
    status: str


@dataclass(frozen=True, slots=True)
class DependencyGraph:
    """Nothing is drawn where nothing needs another."""

    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    width: int = 0
    height: int = 0
    cut: int = 0
    """Components that are not drawn: they are up, or too many."""


def draw_graph(components: Iterable[ComponentLine]) -> DependencyGraph:
    """All of them, where there are few; else those that are bad, with what they need."""
    known = {each.name: each for each in components}
    needs = {name: tuple(n for n in each.needs if n in known) for name, each in known.items()}
    if not any(needs.values()):
        return DependencyGraph()
    chosen = _choose(known, needs)
    if len(chosen) < 2:
        return DependencyGraph(cut=len(known))
    kept = {name: tuple(n for n in needs[name] if n in chosen) for name in known if name in chosen}
    places = _place(kept)
    nodes = tuple(
        GraphNode(name, _shorten(name), known[name].status, *place)
        for name, place in places.items()
    )
    edges = tuple(
        GraphEdge(_draw_way(places[need], places[name]), known[need].status)
        for name, needed in kept.items()
        for need in needed
    )
    width = max(x for x, _ in places.values()) + BOX + 2
    height = max(y for _, y in places.values()) + HIGH + 2
    return DependencyGraph(nodes, edges, width, height, len(known) - len(chosen))


def _choose(known: Mapping[str, ComponentLine], needs: DependsOn) -> set[str]:
    if len(known) <= MAX_NODES:
        return set(known)
    bad = sorted((each for each in known.values() if each.status != "up"), key=_urgency)
    chosen = dict[str, None]()
    for each in bad:
        if len(chosen) >= MAX_NODES:
            break
        chosen |= dict.fromkeys([each.name, *find_needed(each.name, needs)])
    return set(list(chosen)[:MAX_NODES])


def _urgency(line: ComponentLine) -> tuple[int, str]:
    return rank(line.status), line.name


def _place(needs: DependsOn) -> dict[str, tuple[int, int]]:
    return {
        name: (1 + column * (BOX + GAP), 1 + row * ROW)
        for name, (column, row) in lay_out(dict(sorted(needs.items()))).items()
    }


def _draw_way(begin: tuple[int, int], end: tuple[int, int]) -> str:
    x, y = begin[0] + BOX, begin[1] + HIGH // 2
    to_x, to_y = end[0], end[1] + HIGH // 2
    middle = (x + to_x) // 2
    return f"M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}"


def _shorten(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
