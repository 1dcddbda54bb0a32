"""What is owed to groups that are not there: required ones that are missing, and those that come
later than what they are owed (measurement.md §11.8).

A required group that no group of the stream is has an account all the same, in which nothing is
ever read: what is published waits for it, and is lost when it vanishes. Which group that is, is
told by its pattern: the one that matches and was there last, else the pattern itself, until the
first group that matches takes the account over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from sentinel.core.bus.delivery.cohort import STAGES, Cohort
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.step import SnapshotStep
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    Anchor,
    GroupView,
    Id,
    StreamView,
    bound_waiting,
    point,
    precede,
)
from sentinel.core.quantity import Bounds

Groups = Mapping[str, GroupAccount]


def stands_for(name: str, pattern: str) -> bool:
    """Whether a group, or the account of a pattern, is what the pattern asks for."""
    return name == pattern or fnmatchcase(name, pattern)


# -- which group is missing -----------------------------------------------------------------------


def add_missing(
    view: StreamView,
    before: StreamView,
    groups: Groups,
    required: Sequence[str],
    start: Id,
    *,
    proven: bool,
) -> StreamView:
    """The snapshot with each required group that it lacks, as one that has read nothing.

    `before` is the snapshot before of this life, which began or stood at `start`. `proven`: no
    group can have come and gone since; else one may have read everything up to this look.
    """
    there = {*view.groups, *view.others}
    lacking = [each for each in required if not any(stands_for(name, each) for name in there)]
    if not lacking:
        return view
    found = dict(view.groups)
    for pattern in lacking:
        name = find_missing(pattern, before, groups)
        known = groups.get(name)
        last = before.groups.get(name) if known is not None and not known.gone else None
        upto = view.end
        if proven and (last is None or last.missing):
            upto = start if last is None else last.last_delivered
        found[name] = GroupView(name, upto, 0, missing=True)
    return replace(view, groups=found)


def find_missing(pattern: str, before: StreamView, groups: Groups) -> str:
    """The group that is missed: the one that matches and was there last, else the pattern."""
    matching = [name for name in groups if stands_for(name, pattern)]

    def order(name: str) -> tuple[bool, float, str]:
        return name in before.groups, groups[name].ended, name

    return max(matching, key=order, default=pattern)


def find_heirs(view: StreamView, groups: Groups, required: Sequence[str]) -> dict[str, str]:
    """Groups seen for the first time that take over the account of a pattern, with the pattern."""
    heirs: dict[str, str] = {}
    for pattern in required:
        if pattern not in groups or pattern in view.groups:
            continue
        new = [each for name, each in view.groups.items() if name not in {*groups, *heirs}]
        fit = [each for each in new if stands_for(each.name, pattern)]
        if fit:
            first = min(fit, key=lambda each: (each.last_delivered, each.name))
            heirs[first.name] = pattern
    return heirs


def rename_pairs(cohort: Cohort, old: str, new: str) -> Cohort:
    """The cohort with the account that was taken over by another name."""
    pairs = frozenset((new if name == old else name, stage) for name, stage in cohort.open)
    return cohort if pairs == cohort.open else replace(cohort, open=pairs)


def may_have_come(before: StreamView, view: StreamView) -> bool:
    """Whether a group can have come and gone between two looks: it must have been made, or have
    come with a whole stream.
    """
    counts = before.creations, before.moves
    return view.doubtful or counts != (view.creations, view.moves)


# -- one look at a group that is missing ----------------------------------------------------------


def observe_missing(group: GroupAccount, step: SnapshotStep, now: GroupView) -> None:
    """Take a snapshot in that lacks the group: nothing behind its position was read.

    Of what lies between its rank and the position nobody knows: it was published while the group
    went, or while another may have come and gone.
    """
    view = step.view
    group.unseen += view.unseen
    reach = group.base.rank
    if now.last_delivered > group.base.id:
        reach = max(reach, step.rank(now.last_delivered).hi)
    low = group.base.rank if group.fresh else group.position.lo
    if now.last_delivered != group.delivered or group.fresh:
        group.losses.add_blur(max(group.base.rank, group.position.hi), reach)
    group.position = group.high_rank = Bounds(min(low, reach), reach)
    _lose(group, step, now, reach)
    _wait(group, step, now, reach)
    group.delivered = group.high = now.last_delivered
    group.fresh = False


def _lose(group: GroupAccount, step: SnapshotStep, now: GroupView, reach: int) -> None:
    """Entries that vanished unread: nobody can have read those behind the position."""
    certain = group.losses.add_certain(max(reach, step.gap_before.lo), step.gap.lo)
    removed = step.view.removed - step.before.removed
    if step.gap_before.exact and not step.before.has_holes:
        removed -= certain
    after, upto = group.find_suspects(step, point(reach), now.last_delivered)
    group.losses.add_possible(after, upto, 0, removed)
    group.losses.bury(step.gap.lo)


def _wait(group: GroupAccount, step: SnapshotStep, now: GroupView, reach: int) -> None:
    """What waits for certain lies behind the position; what lies before it may."""
    view = step.view
    sure = bound_waiting(view, now, point(reach))
    vague = max(0, reach - max(group.position.lo, step.gap.lo))
    group.waiting = Bounds(sure.lo, min(view.length, sure.hi + vague))
    group.pending, group.replayed, group.asked_history = NOTHING, False, False
    group.overlap = None
    known, stood = group.oldest_waiting, group.delivered
    group.oldest_waiting = step.find_oldest(now.last_delivered, known, stood) if sure.hi else None


# -- groups that come later -----------------------------------------------------------------------


def find_origin(step: SnapshotStep, now: GroupView, newest: Anchor) -> Anchor | None:
    """Where the duty begins of a group that the look before proved absent; None where it is the
    look before, as for everybody.

    A group that stands before what was there then was made to read it: all that was kept when it
    has begun to read, for nobody knows where from; else what lies behind its position. What went
    since that look was owed, or went before the group was made.
    """
    view, before, position = step.view, step.before, now.last_delivered
    if position >= newest.id or not before.length:
        return None
    untouched = not (now.consumers or now.pending or step.deleted or step.moved)
    if view.length and position >= view.first and untouched:
        rank = step.rank(position)
        if step.capability.lag_exact and now.lag is not None and view.max_deleted <= position:
            rank = rank.meet(point(view.added - now.lag))
        intact = rank.exact and view.max_deleted <= position
        return Anchor(position, rank.lo, newest.at) if intact else None
    if not step.gap_before.exact or before.has_holes or view.has_holes:
        return None
    return Anchor(precede(before.first), step.gap_before.lo, newest.at)


def open_history(name: str, origin: Anchor, anchors: Collection[Anchor]) -> list[Cohort]:
    """Cohorts of what was there when a group came: each is as old as the look that saw it first."""
    pairs = frozenset((name, stage) for stage in STAGES)
    later = [anchor for anchor in anchors if anchor.rank > origin.rank and anchor.id > origin.id]
    starts = [origin, *later[:-1]]
    return [Cohort(start, end, pairs) for start, end in zip(starts, later, strict=True)]


def find_vanished(
    before: StreamView, view: StreamView, groups: Mapping[str, GroupAccount]
) -> dict[str, GroupAccount]:
    """Groups that were there at the last snapshot and are not at this one."""
    found = {}
    for name, group in groups.items():
        now, was = view.groups.get(name), before.groups.get(name)
        went = now is None or (now.missing and was is not None and not was.missing)
        if went and not group.gone:
            found[name] = group
    return found
