"""What is refused before an order is given says why, and what there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sentinel.app import notice_ordering, ordering
from sentinel.app.ordering import actor, command_component, find_lost, move_platform
from sentinel.core.order import Answer
from sentinel.errors import NoDaemon, UnknownName, UsageError
from sentinel.store.sqlite import SqliteStore

STORE: Any = SimpleNamespace(
    checks=lambda: [SimpleNamespace(name="bus", kind="bus_delivery")], faults=lambda _check: []
)


@pytest.mark.parametrize(
    ("check", "fault", "message", "guidance"),
    [
        ("buss", "lost", "there is no check 'buss'", "known: bus"),
        ("bus", "lots", "bus_delivery has no fault 'lots'", "lost, skipped, rolled_back"),
        ("bus", "waiting", "waiting is no loss: it ends when it is repaired", "`accept:`"),
        ("bus", "lost", "bus has no such loss that stands open", "`accept:`"),
    ],
)
def test_what_is_no_loss_is_told_apart(check: str, fault: str, message: str, guidance: str) -> None:
    """A wrong check, a wrong fault, one that is repaired instead, and none that stands."""
    with pytest.raises(UsageError) as refused:
        find_lost(STORE, check, fault, {})
    assert message in refused.value.message
    assert guidance in refused.value.guidance


# -- what became of an order ----------------------------------------------------------------------

WATCHED = "sentinel can't restart queue: it only watches"


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A store in which a component is known."""
    monkeypatch.setattr(ordering, "_refuse_unknown", lambda _store, _component: None)
    store = SqliteStore(tmp_path)
    yield store
    store.close()


def _rows(store: SqliteStore) -> list[tuple[str, str, str]]:
    assert {row.actor for row in store.audit()} == {actor()}
    return [(row.action, row.subject, row.detail) for row in reversed(store.audit())]


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (Answer.refused(WATCHED), [("restart refused", "queue", WATCHED)]),
        (Answer.failed("1 of 2"), [("restart failed", "queue", "1 of 2")]),
        (Answer.unknown("unknown order"), [("restart refused", "queue", "unknown order")]),
        (Answer.done("restart: 1 component done"), []),
    ],
)
async def test_what_was_not_done_is_audited(
    watched: SqliteStore, monkeypatch: pytest.MonkeyPatch, answer: Answer, after: list[object]
) -> None:
    """The order stands in the audit log before its effect; when it had none, that stands there,
    too, and why.
    """

    async def give(*_order: object) -> Answer:
        assert _rows(watched)[-1] == ("restart", "queue", "why")
        return answer

    monkeypatch.setattr(ordering, "give_order", give)
    assert await move_platform(watched, "restart", "queue", "why", lambda _steps: None) == answer
    assert _rows(watched) == [("restart", "queue", "why"), *after]
    assert await command_component(watched, "restart", "queue", "why") == answer
    assert _rows(watched) == [("restart", "queue", "why"), *after] * 2


async def test_an_order_without_an_answer_is_audited(watched: SqliteStore) -> None:
    """No daemon runs: nobody has done it."""
    with pytest.raises(NoDaemon):
        await command_component(watched, "restart", "queue", "why")
    assert _rows(watched) == [
        ("restart", "queue", "why"),
        ("restart unanswered", "queue", "no daemon runs that could carry it out"),
    ]


async def test_a_silence_of_a_component_that_is_not_there_is_refused(
    watched: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slip of the pen somebody believes to be silent, and is called in the night all the same."""
    monkeypatch.setattr(SqliteStore, "components", lambda _self: [SimpleNamespace(name="queue")])
    for given in (["queeu"], ["queue", "nothing*"]):
        with pytest.raises(UnknownName, match=r"unknown component"):
            await notice_ordering.add_silence(watched, {"component": given}, 60.0, actor(), "x")
    assert list(watched.audit()) == []

    async def give(*_order: object) -> Answer:
        return Answer.refused("the state takes nothing")

    monkeypatch.setattr(notice_ordering, "give_order", give)
    for matchers in ({"component": ["qu*"]}, {"component": ["group"], "kind": ["brake"]}):
        await notice_ordering.add_silence(watched, matchers, 60.0, actor(), "move")
    assert len(_rows(watched)) == 4


async def test_what_is_ordered_about_notices_is_audited_the_same_way(
    watched: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acknowledgement, a silence or a window that was refused, and their ends, stand as that."""

    async def give(*_order: object) -> Answer:
        return Answer.refused("the state takes nothing")

    known = [SimpleNamespace(id="s-1", window="move", ended=None, name="queue")]
    monkeypatch.setattr(notice_ordering, "give_order", give)
    monkeypatch.setattr(notice_ordering, "read_silences", lambda _store: known)
    monkeypatch.setattr(notice_ordering, "read_maintenance", lambda _store: known)
    monkeypatch.setattr(SqliteStore, "incident", lambda *_: SimpleNamespace(state="open"))
    monkeypatch.setattr(SqliteStore, "components", lambda _self: known)
    me = actor()
    await notice_ordering.acknowledge(watched, "i-1", me, "mine")
    await notice_ordering.add_silence(watched, {"component": ["queue"]}, 60.0, me, "move")
    await notice_ordering.end_silence(watched, "s-1", me)
    await notice_ordering.add_window(watched, "move", ["queue"], 60.0, me, "racks")
    await notice_ordering.end_window(watched, "move", me)
    rows, why = _rows(watched), "the state takes nothing"
    ordered, after = rows[::2], rows[1::2]
    assert [(action, subject) for action, subject, _ in ordered] == [
        ("acknowledge", "i-1"), ("silence", "component=queue"), ("end silence", "s-1"),
        ("maintenance", "queue"), ("end maintenance", "move"),
    ]  # fmt: skip
    assert after == [(f"{action} refused", subject, why) for action, subject, _ in ordered]
