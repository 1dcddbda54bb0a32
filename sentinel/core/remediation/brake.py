"""Limits over all components: how many actions at a time and per window, and the mass-failure
brake.

Many components that fail together have one cause, and restarting them one by one does not cure it
but may make it worse (reliability.md §3). A component that is blocked by an unhealthy dependency is
no cause and is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """Actions at a time, actions per window, and distinct components of one group per window; times
    in seconds.
    """

    concurrent: int = 1
    per_window: int = 3
    window: float = 300.0
    group_share: float = 0.2
    group_window: float = 600.0


@dataclass(frozen=True, slots=True)
class BrakePolicy:
    """More than `group_share` of a group (and `minimum`), or `total_share` of everything, is a
    common cause.

    `minimum` holds for both: with three components one alone would be a third of everything.
    `announce_after` is how long the incident of a member of a group waits before it is announced:
    ten that fall together are one page.
    """

    group_share: float = 0.5
    total_share: float = 0.3
    minimum: int = 3
    announce_after: float = 10.0


@dataclass(frozen=True, slots=True)
class Brake:
    """A brake that is on: for a group, or for everything (`group` ""). `text` says how many are
    unhealthy.
    """

    group: str
    text: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """One action of the past, seconds ago."""

    component: str
    age: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is in which group, and who is down by a cause of its own."""

    groups: Mapping[str, str] = field(default_factory=dict)
    """Every watched component with its group, or ""."""
    unhealthy: Collection[str] = ()

    def members(self, group: str) -> list[str]:
        """The components of a group."""
        return [name for name, mine in self.groups.items() if mine == group]


def find_brakes(policy: BrakePolicy, crowd: Crowd) -> list[Brake]:
    """Every brake that is on now; the one over everything comes first."""
    brakes = []
    down = [name for name in crowd.groups if name in crowd.unhealthy]
    total = len(crowd.groups)
    if len(down) >= policy.minimum and len(down) >= policy.total_share * total:
        brakes.append(Brake("", f"{len(down)} of {total} components down", tuple(down)))
    for group in sorted({group for group in crowd.groups.values() if group}):
        members = crowd.members(group)
        down = [name for name in members if name in crowd.unhealthy]
        if len(down) >= policy.minimum and len(down) > policy.group_share * len(members):
            brakes.append(Brake(group, f"{len(down)} of {len(members)} {group} down", tuple(down)))
    return brakes


def brake_of(brakes: Sequence[Brake], group: str) -> Brake | None:
    """The brake that holds a component of `group` back."""
    return next((brake for brake in brakes if not brake.group or brake.group == group), None)


def find_limit(
    limits: ActionLimits, component: str, crowd: Crowd, recent: Sequence[Recent]
) -> tuple[str, float] | None:
    """(why no action is allowed now, seconds until it is), or None. `recent` has the actions of all
    components.
    """
    ages = sorted(action.age for action in recent if action.age < limits.window)
    if len(ages) >= limits.per_window:
        wait = limits.window - ages[limits.per_window - 1] if limits.per_window else limits.window
        return f"{len(ages)} actions within {limits.window:g} s", wait
    return _find_group_limit(limits, component, crowd, recent)


def _find_group_limit(
    limits: ActionLimits, component: str, crowd: Crowd, recent: Sequence[Recent]
) -> tuple[str, float] | None:
    group = crowd.groups.get(component, "")
    if not group:
        return None
    members = set(crowd.members(group))
    allowed = max(1, math.floor(limits.group_share * len(members)))
    youngest: dict[str, float] = {}
    for action in recent:
        if action.component in members - {component} and action.age < limits.group_window:
            youngest[action.component] = min(action.age, youngest.get(action.component, math.inf))
    if len(youngest) < allowed:
        return None
    wait = limits.group_window - sorted(youngest.values())[allowed - 1]
    return (
        (
            f"{len(youngest)} of {len(members)} {group} were acted upon within"
            f" {limits.group_window:g} s"
        ),
        wait,
    )
