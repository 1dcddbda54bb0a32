"""Runbooks as the page shows them: with the values of an incident, and with what is not told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.shown import fill_known, make_known, show_runbook
from sentinel.config import Configuration
from sentinel.store.sqlite import SqliteStore
from tests.unit.app.runbooks.test_places import SHELF, incident, write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty one."""
    (folder := tmp_path / "state").mkdir()
    made = SqliteStore(folder)
    yield made
    made.close()


def show(
    store: SqliteStore, platform: Configuration, book: str, component: str = ""
) -> dict[str, object]:
    found = incident(component) if component else None
    return show_runbook(SHELF.books[book], platform, found, store)


def test_an_incident_fills_its_steps(tmp_path: Path, store: SqliteStore) -> None:
    """Whose incident it is, is who the steps are about; the command names the incident."""
    platform = write(tmp_path)
    found = show(store, platform, "component-exhausted", "worker-a")
    assert found["command"] == "sentinel runbook run component-exhausted --incident I-worker-a"
    acts = [step["act"] for step in found["steps"]]  # type: ignore[attr-defined]
    assert "check worker-a.process" in acts
    assert not [act for act in acts if "{component}" in act]
    values = {each["name"]: each["value"] for each in found["parameters"]}  # type: ignore[attr-defined]
    assert values["component"] == "worker-a"


def test_without_an_incident_nobody_is_picked(tmp_path: Path, store: SqliteStore) -> None:
    """The step says what must be told."""
    found = show(store, write(tmp_path), "component-exhausted")
    step = found["steps"][0]  # type: ignore[index]
    assert "{component}" in step["act"]
    assert "nobody told component" in step["skip"]
    assert found["command"] == "sentinel runbook run component-exhausted"


def test_a_value_that_may_not_be_taken_is_said(tmp_path: Path, store: SqliteStore) -> None:
    """The steps stand without values then, and why."""
    book = SHELF.books["component-exhausted"]
    odd = replace(book.parameters[1], default="\x07", sources=())
    broken = replace(book, parameters=(book.parameters[0], odd, *book.parameters[2:]))
    found = show_runbook(broken, write(tmp_path), incident("worker-a"), store)
    assert "control characters" in found["problem"]
    assert "{component}" in found["steps"][0]["act"]


def test_only_what_is_known_is_filled() -> None:
    """A value that looks like a placeholder is not looked at again."""
    assert fill_known("{a} {b} {c}", {"a": "{b}", "b": ""}) == "{b} {b} {c}"


def test_the_page_may_ask_what_is_configured(tmp_path: Path, store: SqliteStore) -> None:
    """What is in force now, also after a reload."""
    platforms = [write(tmp_path)]
    known = make_known(lambda: platforms[-1], Bookcase(lambda: platforms[-1]), store)
    assert [each.name for each in known.components()][-1] == "brain"
    assert known.runbooks()["component-exhausted"] == "A component used up its restarts"
    assert known.show_runbook("nothing", None) is None
    assert known.remembered() == platforms[0].retention
    platforms.append(replace(platforms[0], components=()))
    assert known.components() == ()
