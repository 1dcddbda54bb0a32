"""The picture of what needs what: right of all that is needed, no two at one place, bounded."""

from __future__ import annotations

from sentinel.web.live import piece as piece_of
from sentinel.web.live.graph import BOX, HIGH, MAX_NODES, DependencyGraph, draw_graph
from sentinel.web.live.line import ComponentLine, describe_component_line
from sentinel.web.live.piece import PieceBook
from tests.unit.web.live.world import component


def line(name: str, status: str = "up", *needs: str) -> ComponentLine:
    return describe_component_line(component(name, status, *needs))


def test_who_needs_stands_right_of_what_is_needed() -> None:
    """And nothing lies upon another."""
    graph = draw_graph(
        [line("api", "up", "db", "bus"), line("db"), line("bus", "down"), line("web", "up", "api")]
    )
    places = {node.name: (node.x, node.y) for node in graph.nodes}
    assert places["db"][0] == places["bus"][0] < places["api"][0] < places["web"][0]
    assert len(set(places.values())) == 4
    assert max(x for x, _ in places.values()) + BOX < graph.width
    assert max(y for _, y in places.values()) + HIGH < graph.height
    assert sorted(edge.status for edge in graph.edges) == ["down", "up", "up"]


def test_of_many_only_the_bad_are_drawn() -> None:
    """With what they need; how many are left out is said."""
    many = [line(f"n{n}", "up", "db") for n in range(100)]
    graph = draw_graph([line("db"), line("sick", "down", "db"), *many])
    assert {node.name for node in graph.nodes} == {"db", "sick"}
    assert graph.cut == 100
    sick = [line(f"n{n}", "down", "db") for n in range(100)]
    assert len(draw_graph([line("db"), *sick]).nodes) == MAX_NODES


def test_what_needs_nothing_is_no_picture() -> None:
    """Nor what needs something that nobody watches."""
    assert draw_graph([line("a"), line("b", "down", "unknown")]) == DependencyGraph()
    assert draw_graph([]) == DependencyGraph()


def test_what_went_away_is_remembered_for_a_while(monkeypatch) -> None:
    """Who has not seen it for longer begins anew; what comes back is not gone."""
    monkeypatch.setattr(piece_of, "MAX_GONE", 2)
    book = PieceBook()
    for n in range(4):
        book.put("checks", f"check:{n}", n)
    book.end_turn()
    for n in range(4):
        book.drop(f"check:{n}")
        book.end_turn()
    assert (book.turn, book.knows(1), book.knows(2), book.knows(3)) == (5, False, False, True)
    assert book.since(3) == ([], ["check:2", "check:3"])
    book.put("checks", "check:3", 3)
    book.end_turn()
    fresh, gone = book.since(3)
    assert ([each.id for each in fresh], gone) == (["check:3"], ["check:2"])
    assert not book.knows(7), "nobody has seen what is still to come"
