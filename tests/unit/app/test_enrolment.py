"""What is taken of a configuration when it is enrolled, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sentinel.app.enrolment import Enrolment
from sentinel.core.objective import Objective


async def test_where_an_objective_is_written_is_not_kept() -> None:
    """It would be written with each standing; one that only moved is the same objective."""
    taken = list[Objective]()

    async def call(_work: Callable[[], object]) -> None:
        return None

    objectives = SimpleNamespace(utcnow=lambda: None, follow=lambda aims, _kept: taken.extend(aims))
    place: Any = SimpleNamespace(
        engine=SimpleNamespace(objectives=objectives, recorder=SimpleNamespace(call=call))
    )
    aim = Objective("up", "bus", "bus", "up", 0.99, 86400.0, origin="/etc/sentinel.yaml:7")
    await Enrolment.take_objectives(place, [aim])
    assert taken == [aim]
    assert taken[0].origin == ""
