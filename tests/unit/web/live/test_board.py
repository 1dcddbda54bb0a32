"""A board that follows what changes shows what a board shows that is read anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sentinel.core.model import Attempt, IncidentState
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from sentinel.web.live import board as board_of
from sentinel.web.live.board import LiveBoard, read_facts, say_change
from sentinel.web.live.line import STALE
from tests.unit.web.live.world import at, check, component, incident, make_platform, stand, wander

NAMES = [f"part-{n}" for n in range(8)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with a platform on which all is well."""
    made = SqliteStore(tmp_path)
    made.commit(make_platform(NAMES))
    yield made
    made.close()


def read(store: SqliteStore, now: datetime) -> LiveBoard:
    """A board that is read now."""
    return LiveBoard.over(read_facts(store, now), now)


def take(board: LiveBoard, store: SqliteStore, changes: Changes, now: datetime) -> None:
    """The engine changes something; an attempt is a row before anybody is told of it."""
    for incident_id, began, event, _ in changes.events:
        number = len(store.attempts(incident=incident_id)) + 1
        store.claim_attempt(Attempt(incident_id, number, "part", event.kind, "down", began))
    store.commit(changes)
    board.take(changes, now)
    board.renew()


@pytest.mark.parametrize("most", [2000, 5])
def test_following_is_reading_anew(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """After 160 random turns, also where only the worst five are shown: every piece of it,
    and the order of the page; and whoever has seen any turn is told all that is different since.
    """
    monkeypatch.setattr(board_of, "MAX_CHECKS", most)
    monkeypatch.setattr(board_of, "MAX_COMPONENTS", most)
    board = read(store, at(0))
    seen = {piece.id: piece.model for piece in board.book.pieces.values()}
    turn = board.book.turn
    for n, changes in enumerate(wander(NAMES, seed=most, rounds=160), 1):
        take(board, store, changes, at(n))
        if n % 4:
            continue
        board.follow_time(at(n))
        board.renew()
        fresh = read(store, at(n))
        assert {name: each.model for name, each in board.book.pieces.items()} == {
            name: each.model for name, each in fresh.book.pieces.items()
        }
        shown, anew = board.show(), fresh.show()
        assert replace(shown, turn=0) == replace(anew, turn=0)
        if n % 12 == 0:  # somebody who looks now and then
            put, gone = board.book.since(turn)
            turn = board.book.turn
            for name in gone:
                seen.pop(name, None)
            seen |= {piece.id: piece.model for piece in put}
            assert seen == {piece.id: piece.model for piece in fresh.book.pieces.values()}


def test_what_says_the_same_is_no_turn(store: SqliteStore) -> None:
    """Nobody is told what he sees already."""
    board = read(store, at(0))
    before = board.book.turn
    take(board, store, Changes(checks=[check("part-0/0")], components=[component("part-0")]), at(1))
    assert board.book.turn == before
    take(board, store, Changes(checks=[check("part-0/0", last_run=at(1))]), at(1))
    assert board.book.turn == before + 1
    assert [piece.id for piece in board.book.since(before)[0]] == ["check:part-0/0"]


def test_overdue_is_stale_and_its_component_with_it(store: SqliteStore) -> None:
    """By time alone; and it is over with the next run."""
    board = read(store, at(21))
    board.follow_time(at(21.3))
    board.renew()
    lines = {line.name: line.status for line in board.show().checks}
    assert set(lines.values()) == {STALE}
    assert {line.status for line in board.show().components} == {STALE}
    assert board.show().overview.status == "unknown", "nobody is called down for our own silence"
    late = check("part-3/0", last_run=at(22))
    take(board, store, Changes(checks=[late]), at(22))
    assert {line.name: line.status for line in board.show().components}["part-3"] == "up"
    assert board.show().checks[-1].name == "part-3/0", "the worst stand first"


def test_dependants_are_folded(store: SqliteStore) -> None:
    """200 that are down because of one are one card, and no word of their own."""
    board = read(store, at(0))
    down = [incident(f"agent-{n:03}", blocked_by="part-0") for n in range(200)]
    take(board, store, Changes(incidents=[incident("part-0"), *down]), at(1))
    page = board.show()
    (card,) = page.cards
    assert (card.component, len(card.dependants) + card.more_dependants) == ("part-0", 200)
    assert (page.count.causes, page.count.effects) == (1, 200)
    assert board.said == ["part-0 is down: part-0 does not answer"]
    healed = incident("part-0", state=IncidentState.RECOVERING, recovered=at(2))
    take(board, store, Changes(incidents=[healed]), at(2))
    assert board.show().count.causes == 200, "without their cause they stand for themselves"
    assert (board.show().count.watched, board.show().count.effects) == (1, 0)


def test_a_card_names_the_subjects_of_its_faults(store: SqliteStore) -> None:
    """The worst first, five of them, and how many there are."""
    board = read(store, at(0))
    faults = [stand("part-1", f"stream-{n}") for n in range(9)]
    take(board, store, Changes(incidents=[incident("part-1")], faults=faults), at(1))
    (card,) = board.show().cards
    assert (len(card.faults), card.standing) == (5, 9)
    assert card.faults[0].subject == "stream stream-0"
    ended = [replace(each, ended=at(2)) for each in faults[1:]]
    take(board, store, Changes(faults=ended), at(2))
    assert [each.subject for each in board.show().cards[0].faults] == ["stream stream-0"]


def test_a_card_says_nothing_twice(store: SqliteStore) -> None:
    """What several checks say alike is one line, what the summary says is none; subjects that differ
    in a figure alone are all named.
    """
    board = read(store, at(0))
    alike = [stand("part-1", "bus") for _ in range(6)]
    faults = [replace(each, check=f"part-1/{n}") for n, each in enumerate(alike)]
    take(board, store, Changes(incidents=[incident("part-1")], faults=faults), at(1))
    (card,) = board.show().cards
    assert ([each.text for each in card.faults], card.standing) == (["bus lost 3"], 6)
    assert card.faults[0].is_named, "no subject stands before a text that has it"
    told = incident("part-1", summary="stream s-1 lost 2: s-1 lost 3; and 1 more")
    ended = [replace(each, ended=at(2)) for each in faults]
    others = [stand("part-1", "s-1"), stand("part-1", "s-2")]
    take(board, store, Changes(incidents=[told], faults=[*ended, *others]), at(2))
    assert [each.subject for each in board.show().cards[0].faults] == ["stream s-2"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, incident("bus"), "bus is down: bus does not answer"),
        (None, incident("bus", blocked_by="host"), ""),
        (incident("bus"), incident("bus"), ""),
        (incident("bus"), incident("bus", "degraded"), "bus is degraded now"),
        (incident("bus"), incident("bus", recovered=at(1)), "bus works again"),
        (incident("bus", recovered=at(1)), incident("bus"), "bus is down: bus does not answer"),
        (
            incident("bus"),
            incident("bus", acknowledged=at(1), acknowledged_by="eve"),
            "bus: eve sees to it",
        ),
        (incident("bus"), incident("bus", state=IncidentState.CLOSED), "bus: incident closed"),
        (None, incident("bus", state=IncidentState.CLOSED), ""),
    ],
)
def test_what_is_said(before: object, after: object, said: str) -> None:
    """Who listens hears of what happens, once, and not of what goes on."""
    assert say_change(before, after) == said  # type: ignore[arg-type]
