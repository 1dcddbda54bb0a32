"""Faults of what should be there now: groups that vanished, groups that are required, the stream
itself. Pure.
"""

from __future__ import annotations

from sentinel.core.bus.delivery.account import StreamAccount
from sentinel.core.bus.delivery.finding import (
    FORGET_AFTER,
    GROUP_LOST,
    GROUP_MISSING,
    MISHAP_OF,
    DeliveryRules,
    tell_position,
)
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.lineage import GONE
from sentinel.core.bus.delivery.owed import find_missing, stands_for
from sentinel.core.bus.delivery.stream import StreamView, format_id
from sentinel.core.bus.finding import PLACE, describe_place, read_instant, subject_of
from sentinel.core.bus.naming import is_literal, quote
from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import format_duration


def find_group_faults(rules: DeliveryRules, stream: str, account: StreamAccount) -> list[Fault]:
    """Known groups of a stream that vanished within the last hour, and required ones it lacks; of
    one that is not there itself, that it is gone.
    """
    view = account.view
    if view is None:
        return []
    if not account.present:
        return [_make_stream_gone(stream, view)]
    there = {name for name, now in view.groups.items() if not now.missing}
    # why `<`: after an hour the group is history, as a stream that is gone
    recent = {
        name: known
        for name, known in sorted(account.groups.items())
        if name not in there and known.ended and view.now - known.ended < FORGET_AFTER
    }
    lost = [
        _make_group_lost(stream, name, known, owed=name in view.groups)
        for name, known in recent.items()
    ]
    names = {*there, *recent}
    missing = [
        _make_group_missing(stream, pattern, find_missing(pattern, view, account.groups))
        for pattern in rules.required
        if not any(stands_for(name, pattern) for name in names)
    ]
    return [*lost, *missing]


def _make_group_lost(stream: str, group: str, known: GroupAccount, *, owed: bool) -> Fault:
    """`owed`: it is required, so that what is published goes on to be owed to it."""
    subject = subject_of(stream, group)
    delivered = known.stood if owed else known.delivered
    rest = "; what is published since is owed to it" if owed else ""
    return Fault(
        GROUP_LOST,
        subject,
        Status.DEGRADED,
        f"{describe_place(stream, group)} is gone, {tell_position(delivered)}{rest}; told for"
        f" {format_duration(FORGET_AFTER)}",
        since=read_instant(known.ended),
        cure=(f"XGROUP CREATE {quote(stream)} {quote(group)} {format_id(delivered)}",),
        guidance="make the group again where it stood, then start its consumers",
        parameters=subject,
    )


def _make_stream_gone(stream: str, view: StreamView) -> Fault:
    """As long as it is known: that a window slides brings no stream back."""
    subject, kept = subject_of(stream), format_duration(FORGET_AFTER)
    return Fault(
        MISHAP_OF[GONE],
        subject,
        Status.DEGRADED,
        f"{describe_place(stream)} is gone, last known id {format_id(view.last)}; told for {kept}",
        since=read_instant(view.now),
        cure=(f"EXISTS {quote(stream)}",),
        guidance="compare producers, trimming (MAXLEN) and consumers of the stream",
        parameters=subject,
    )


def _make_group_missing(stream: str, pattern: str, name: str) -> Fault:
    """A pattern with a wildcard is no name: nobody can make a group of it. What is published counts
    under `name`.
    """
    to = "it" if name == pattern else f"{quote(name)}, which matched and was there last"
    if is_literal(pattern):
        subject = subject_of(stream, pattern)
        cure: tuple[str, ...] = (f"XGROUP CREATE {quote(stream)} {quote(pattern)} 0",)
        guidance = "start its consumer, or make the group: from 0 on it gets all that is kept"
    else:
        subject = subject_of(stream, pattern=pattern)
        cure = (f"XINFO GROUPS {quote(stream)}",)
        guidance = (
            "start the consumer of this stream: it makes its group; or correct groups.required,"
            " or leave the stream out (streams.exclude)"
        )
    return Fault(
        GROUP_MISSING,
        subject,
        Status.DEGRADED,
        f"{describe_place(stream)}: no group {quote(pattern)}, which groups.required names;"
        f" what is published is owed to {to}",
        cure=cure,
        guidance=guidance,
        parameters={label: value for label, value in subject.items() if label in PLACE},
    )
