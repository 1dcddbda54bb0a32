"""When do equal numbers mean that nothing has changed? Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.stream import GroupView, StreamView


def is_still(view: StreamView, groups: Mapping[str, GroupAccount]) -> bool:
    """Whether nothing about the groups is vague or was found by asking for what equal numbers don't
    prove.
    """
    now = view.groups
    return all(g.gone or _is_group_still(g, now.get(name)) for name, g in groups.items())


def _is_group_still(group: GroupAccount, now: GroupView | None) -> bool:
    """Whether all that is told of a group is exact, or can't be, and follows from equal numbers."""
    waiting, vague = group.waiting, now is not None and now.missing
    named = not waiting.hi or group.oldest_waiting is not None
    return (waiting.exact or vague) and named and not group.asked_history


def may_drop(view: StreamView, groups: Mapping[str, GroupAccount]) -> bool:
    """Whether a deletion or claim could have taken something of a group with it."""
    return any(
        now.pending or now.missing or not groups[name].high_rank.exact
        for name, now in view.groups.items()
    )
