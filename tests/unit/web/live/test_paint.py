"""How large the first paint is: a phone at night has to load it."""

from __future__ import annotations

from pathlib import Path

from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore
from sentinel.web.live.board import LiveBoard, read_facts
from sentinel.web.live.paint import paint_page
from sentinel.web.site import load_templates
from tests.unit.web.live.world import at, check, component

MOST = 400_000
"""Bytes, uncompressed, of 2,000 checks with names and details as they are usually."""


def test_a_large_platform_is_a_small_page(tmp_path: Path) -> None:
    """2,000 checks of 500 components, a hundred of them down: the worst components are on it, the
    way to the others is.
    """
    names = [f"worker-{n:03}" for n in range(500)]
    words = ["down"] * 100 + ["up"] * 400
    needs = [(), *((names[n // 2],) for n in range(1, 500))]
    store = SqliteStore(tmp_path)
    store.commit(
        Changes(
            components=[
                component(name, word, *need)
                for name, word, need in zip(names, words, needs, strict=True)
            ],
            checks=[
                check(f"{name}/{n}", word)
                for name, word in zip(names, words, strict=True)
                for n in range(4)
            ],
        )
    )
    board = LiveBoard.over(read_facts(store, at(0)), at(0))
    page = paint_page(load_templates(), board.show(), "mark", at(5))
    store.close()
    assert len(page) <= MOST
    text = page.decode()
    assert text.count('<tr id="component:') == 200
    assert all(f'<tr id="component:{name}"' in text for name in names[:100])
    assert 'The worst 200 of 500: <a href="/components">all components</a>' in text
    assert text.count('<tr id="check:') == 2000
