"""Random faults on the demo platform, drawn from a seed: the same seed breaks the same things at
the same times.

What is drawn can be survived: no component is killed again before it had time to prove its
recovery, one server is away at a time, and nothing begins in the last seconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.demo.chaos import Scenario

PAUSE = (5.0, 20.0)
"""Seconds between two faults, at random; shorter in a run of less than `SHORT`."""
SHORT = 180.0
SHORT_PAUSE = (2.0, 6.0)
FIRST = 6.0
QUIET_END = 22.0
REST = 40.0
"""Seconds in which a component that was killed is left alone."""
SERVER_REST = 12.0
AGENTS = ("agent-1", "agent-2", "agent-3", "agent-4")
COMPONENTS = (*AGENTS, "orchestrator", "api", "load")


@dataclass(slots=True)
class _Draw:
    """What was drawn so far."""

    chance: random.Random
    at: float = FIRST
    rested: dict[str, float] = field(default_factory=dict)
    servers_until: float = 0.0
    messages_until: float = 0.0
    faults: list[Scenario] = field(default_factory=list)

    def add(self, action: str, duration: float = 0.0, **params: Any) -> bool:
        """One more fault, now."""
        name = f"nemesis-{len(self.faults) + 1}-{action}"
        self.faults.append(Scenario(name, "drawn at random", self.at, action, (), duration, params))
        return True

    def pick(self, names: Sequence[str]) -> str | None:
        """A component that has rested; it is not picked again soon."""
        rested = [name for name in names if self.rested.get(name, 0.0) <= self.at]
        if not rested:
            return None
        name = self.chance.choice(rested)
        self.rested[name] = self.at + REST
        return name


def draw_faults(seed: int, seconds: float) -> list[Scenario]:
    """The faults of a run of `seconds`, by their start."""
    draw = _Draw(random.Random(seed))  # noqa: S311 - chaos, not cryptography
    pause = SHORT_PAUSE if seconds < SHORT else PAUSE
    while draw.at < seconds - QUIET_END:
        kinds = draw.chance.sample(list(_KINDS), len(_KINDS))
        any(kind(draw) for kind in kinds)
        draw.at += draw.chance.uniform(*pause)
    return draw.faults


def _kill(draw: _Draw) -> bool:
    name = draw.pick(COMPONENTS)
    return name is not None and draw.add("kill", component=name)


def _kill_two(draw: _Draw) -> bool:
    first = draw.pick(AGENTS)
    second = draw.pick(("orchestrator", "api"))
    for name in (first, second):
        if name is not None:
            draw.add("kill", component=name)
    return first is not None or second is not None


def _crash_loop(draw: _Draw) -> bool:
    name = draw.pick(AGENTS)
    return name is not None and draw.add(
        "crash_loop", draw.chance.uniform(1.0, 4.0), component=name
    )


def _freeze(draw: _Draw) -> bool:
    name = draw.pick(AGENTS)
    return name is not None and draw.add("freeze", draw.chance.uniform(1.0, 6.0), component=name)


def _server_down(draw: _Draw) -> bool:
    if draw.at < max(draw.servers_until, draw.messages_until):
        return False
    duration = draw.chance.uniform(2.0, 6.0)
    draw.servers_until = draw.at + duration + SERVER_REST
    return draw.add("server_down", duration, server=draw.chance.choice(("valkey", "postgres")))


def _slow_assigner(draw: _Draw) -> bool:
    return draw.add("slow_assigner", draw.chance.uniform(1.0, 4.0), delay_seconds=None)


def _poison(draw: _Draw) -> bool:
    if draw.at < draw.servers_until:
        return False
    draw.messages_until = max(draw.messages_until, draw.at + 2.0)
    return draw.add("poison", agent=draw.chance.choice(AGENTS), count=draw.chance.randint(1, 3))


def _lose_messages(draw: _Draw) -> bool:
    name = draw.pick(AGENTS) if draw.at >= draw.servers_until else None
    if name is None:
        return False
    draw.messages_until = draw.at + 12.0
    return draw.add("lose_messages", agent=name, count=draw.chance.randint(1, 40), settle_seconds=4)


_KINDS: tuple[Callable[[_Draw], bool], ...] = (
    _kill,
    _kill_two,
    _crash_loop,
    _freeze,
    _server_down,
    _slow_assigner,
    _poison,
    _lose_messages,
)
