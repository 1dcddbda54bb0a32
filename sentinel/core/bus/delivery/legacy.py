"""Servers without entries-added (Redis 6.2): publish ranks from what can be listed (measurement.md
§1.2).

Ranks count the entries that were alive at some snapshot. As long as an older entry still lives and
nobody ran XDEL, every new one does: then the count is exact. Otherwise entries may have come and
gone unseen between two snapshots, at most as many as the server ran XADD more often than we count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sentinel.core.bus.delivery.cohort import Answer
from sentinel.core.bus.delivery.stream import StreamView


@dataclass(frozen=True, slots=True)
class Marks:
    """Server-wide calls when a stream was looked at: `removals` rises with XDEL, `swaps` with what
    replaces a whole stream, `publishes` are the calls of XADD in this `epoch` of the counts.
    """

    removals: int
    swaps: int
    publishes: int | None
    epoch: int = 0


def count_new(
    view: StreamView, before: StreamView, fresh: Answer | None, *, removed: bool
) -> int | None:
    """Entries that came after the snapshot before and are alive in this one; None when they can't
    be counted.

    The newest entry counts in any case: that its id was given is proof enough, and ranks need it.
    `fresh` lists what is behind the last id known; `removed`: XDEL may have run in between.
    """
    if view.last <= before.last:
        return 0
    if fresh is not None and not fresh.full:
        return sum(1 for entry in fresh.ids if entry <= view.last) + view.last_gone
    if not view.length or view.first > before.last:
        return view.length + view.last_gone
    if not removed and before.length and view.first == before.first:
        return view.length - before.length
    return None


def judge_last(view: StreamView, before: StreamView | None) -> StreamView:
    """The snapshot with its last id as that of an entry, or as one that XSETID made up."""
    if view.newest is None or before is None:
        return replace(view, newest=None)
    set_anew = view.renumbers != before.renumbers
    if set_anew if view.last != before.last else before.newest is not None:
        return replace(view, last_gone=False)
    return replace(view, newest=None)


def complete_view(
    view: StreamView,
    before: StreamView | None,
    new: int | None,
    *,
    removed: bool,
    swapped: bool,
    spare: int | None,
) -> StreamView:
    """The snapshot with the rank of its last entry, and what may have happened unseen.

    `new` is what `count_new` found; `removed`, `swapped`: XDEL, or a command that replaces a whole
    stream, may have run in between; `spare`: at most so many XADD ran in between beyond those
    counted, None: unknown.
    """
    if before is None:
        gone = view.last if view.last_gone else view.max_deleted
        return replace(view, added=view.length + view.last_gone, max_deleted=gone, kept=None)
    view = replace(view, kept=_judge_kept(view, before, removed=removed))
    swapped = swapped and view.last != before.last
    moved = view.last != before.last
    kept = view.length > 0 and view.first <= before.last
    unseen = spare if moved and (removed or not kept) else 0
    if view.last < before.last or new is None or unseen is None or (swapped and not view.kept):
        gone = view.last if view.last_gone else view.max_deleted
        least = max(before.added, view.length + view.last_gone)
        return replace(view, added=least, max_deleted=gone, counted=False)
    return replace(
        view,
        added=before.added + new,
        max_deleted=max(before.max_deleted, view.last) if removed else before.max_deleted,
        unseen=max(0, unseen),
        doubtful=swapped,
    )


def begin_counting(view: StreamView, before: StreamView, spare: int | None) -> StreamView:
    """The snapshot of a stream that had been found gone: ranks go on behind those of the old life."""
    fresh = complete_view(view, None, 0, removed=False, swapped=False, spare=spare)
    unseen = 0 if spare is None else max(0, spare - fresh.added)
    return replace(
        fresh, added=before.added + fresh.added, unseen=unseen, counted=spare is not None
    )


def _judge_kept(view: StreamView, before: StreamView, *, removed: bool) -> bool | None:
    """Whether the newest entry of the view before is there; None where it may have been removed."""
    if view.kept or removed or not before.last_lives:
        return view.kept or None
    reachable = view.length > 0 and view.first <= before.last < view.last
    return False if view.kept is False and reachable else None
