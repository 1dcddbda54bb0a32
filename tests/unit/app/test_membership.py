"""The sign of life of a daemon whose state takes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from sentinel.app.membership import Membership
from sentinel.coordination import View
from sentinel.errors import StateError


async def test_a_state_that_is_away_is_told_once() -> None:
    """Not every two seconds, for a full disk is no place for lines; another reason is told, too."""
    errors: list[str] = ["full", "full", "full", "gone", "", "", "full"]

    async def tick(_placement: object) -> View:
        error = errors.pop(0)
        if error:
            raise StateError(error)
        return View()

    nothing = SimpleNamespace(
        follow_state=lambda: None, fence=lambda _reason: None, note_writable=lambda: None
    )
    membership = Membership(cast(Any, SimpleNamespace(tick=tick)), nothing, nothing)
    with capture_logs() as lines:
        while errors:
            await membership.tick()
    failed, again = "coordination_failed", "coordination_works_again"
    assert [line["event"] for line in lines] == [failed, failed, again, failed]
    assert [line.get("error") for line in lines] == ["full", "gone", None, "full"]
