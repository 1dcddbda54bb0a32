"""Pieces as they are read: commands as such, no subject twice, what is over in the past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.core.model import IncidentState
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from sentinel.web.live.board import LiveBoard, read_facts
from sentinel.web.live.paint import paint_page
from sentinel.web.site import load_templates
from tests.unit.web.live.world import at, component, incident, make_platform, stand

Print = Callable[[Changes], str]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Print]:
    """The page after changes."""
    store = SqliteStore(tmp_path)
    store.commit(make_platform(["part-0", "part-1"]))

    def paint(changes: Changes) -> str:
        store.commit(changes)
        board = LiveBoard.over(read_facts(store, at(1)), at(1))
        return paint_page(load_templates(), board.show(), "mark", at(1)).decode()

    yield paint
    store.close()


def test_a_command_is_set_as_one(show: Print) -> None:
    """What else stands in the text stays text."""
    told = component("part-1", "down", action="<b> after repair `sentinel reset part-1`")
    text = show(Changes(components=[told]))
    assert "&lt;b&gt; after repair <code>sentinel reset part-1</code>" in text


def test_a_subject_stands_before_a_text_that_lacks_it(show: Print) -> None:
    """And not before one that has it."""
    named = stand("part-1", "orders")
    lacks = replace(named, fault=replace(named.fault, subject={"stream": "bills"}, text="2 lost"))
    text = show(Changes(incidents=[incident("part-1")], faults=[named, lacks]))
    assert "<strong>stream bills</strong> 2 lost" in text
    assert "orders lost 3" in text
    assert "<strong>stream orders" not in text


def test_what_works_again_was_bad(show: Print) -> None:
    """Its sentence is of the past."""
    bad = incident("part-1")
    assert '<p class="summary">part-1 does not answer' in show(Changes(incidents=[bad]))
    healed = replace(bad, state=IncidentState.RECOVERING, recovered=at(0))
    assert '<p class="summary">Was: part-1 does not answer' in show(Changes(incidents=[healed]))
