"""Is it still the same stream? Deleted, recreated, rolled back, or renumbered (measurement.md
§1.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sentinel.core.bus.delivery.stream import ZERO, Anchor, Id, StreamView

RECREATED = "recreated"
ROLLBACK = "rollback"
XSETID = "xsetid"
GONE = "gone"
UNCOUNTED = "more happened between two looks than can be counted on this server"
SWAPPED = "another stream may have been put in its place, the newest known entry is not in it"
UNPROVEN = "the server's counts of commands began anew, so XSETID may have run, and entries went"
REASONS = (RECREATED, ROLLBACK, XSETID, GONE)


@dataclass(frozen=True, slots=True)
class Break:
    """The stream's life was broken: why, by which sign, and the newest anchor that still holds."""

    reason: str
    sign: str
    anchor: Anchor
    open: bool = False
    """It may as well go on: of what there is now, nobody knows how much is new."""
    most: int = 0
    """So many entries may have been taken back, where the anchor tells only the least."""


def find_sign(before: StreamView, view: StreamView) -> str:
    """The sign that a stream isn't the continuation of what was seen before; empty when it may be."""
    if not view.counted:
        return "last-generated-id went back" if view.last < before.last else UNCOUNTED
    return (
        _find_counter_sign(before, view)
        or _find_head_sign(before, view)
        or _find_setid_sign(before, view)
        or (SWAPPED if may_be_swapped(before, view) else "")
        or (UNPROVEN if may_be_set_unseen(before, view) and not view.recounted else "")
    )


def _find_counter_sign(before: StreamView, view: StreamView) -> str:
    if view.added < before.added:
        return "entries-added went back"
    if view.last < before.last:
        return "last-generated-id went back"
    if view.removed < before.removed:
        return "the number of removed entries went back"
    if view.max_deleted < before.max_deleted:
        return "max-deleted-entry-id went back"
    return ""


def _find_head_sign(before: StreamView, view: StreamView) -> str:
    if not view.length:
        return ""
    if view.first > before.last and view.removed < before.added:
        return "old entries are missing that were never removed"
    if not before.length:
        return "an entry appeared behind the last one" if ZERO < view.first <= before.last else ""
    if view.first < before.first:
        return "the first entry is older than before"
    if view.first > before.first and view.removed == before.removed:
        return "the first entry changed with nothing removed"
    return ""


def _find_setid_sign(before: StreamView, view: StreamView) -> str:
    if view.legacy and is_renumbered(before, view) and view.last != before.last:
        return "XSETID was run, and the last id moved"
    if view.unseen:
        return ""
    if (view.added == before.added) != (view.last == before.last):
        return "entries-added and last-generated-id moved apart (XSETID)"
    counters = (view.removed, view.max_deleted) != (before.removed, before.max_deleted)
    if is_renumbered(before, view) and counters and not view.legacy:
        return "XSETID was run, and the counters moved"
    return ""


def may_be_swapped(before: StreamView, view: StreamView) -> bool:
    """Whether another stream may have been put in the place of this one: what does so was run, and
    nobody knows of the newest entry.
    """
    swapped = view.swaps != before.swaps and not view.legacy
    return swapped and view.last > before.last and view.kept is not True


def may_be_set_unseen(before: StreamView, view: StreamView) -> bool:
    """Whether XSETID may have run before the counts of commands began anew: where entries went as
    well, entries-added alone does not tell (measurement.md §11.7).
    """
    anew = view.epochs != before.epochs and not view.legacy and view.added > before.added
    return anew and (view.removed, view.max_deleted) != (before.removed, before.max_deleted)


def is_renumbered(before: StreamView, view: StreamView) -> bool:
    """Whether XSETID may have run: nothing is certain across it (measurement.md §11.6)."""
    return view.renumbers != before.renumbers


def _is_put_in_place(before: StreamView, view: StreamView) -> bool:
    """Whether an older copy of the stream explains what XSETID can't have done: by the counts of
    commands only the one may have run.
    """
    counted = (view.renumbers, view.epochs) == (before.renumbers, before.epochs)
    return counted and view.swaps != before.swaps


def is_lost(anchor: Anchor, view: StreamView, survivors: AbstractSet[Id]) -> bool:
    """Whether an anchor is missing although nothing that we know of can have removed it."""
    reachable = view.length > 0 and view.first <= anchor.id and view.max_deleted < anchor.id
    return anchor.rank > 0 and reachable and anchor.id not in survivors


def judge_break(
    before: StreamView,
    view: StreamView,
    anchors: Sequence[Anchor],
    survivors: AbstractSet[Id] | None,
) -> Break | None:
    """Decide what happened. `survivors` are the ids of anchors that still exist, None when nobody
    looked.
    """
    sign = find_sign(before, view)
    lost = survivors is not None and bool(anchors) and is_lost(anchors[-1], view, survivors)
    if not sign and (lost or view.kept is False):
        sign = "the newest known entry is missing"
    if not sign:
        return None
    if sign == SWAPPED and not lost and view.kept is not False:
        if survivors and anchors[-1].id in survivors:
            return None
        return Break(RECREATED, sign, Anchor(view.end, view.added, view.now), open=True)
    if sign == UNPROVEN and not lost and view.kept is not False:
        return Break(XSETID, sign, Anchor(view.end, view.added, view.now), open=True)
    set_anew = is_renumbered(before, view) and not lost and view.kept is not False
    if view.legacy:
        reason = ROLLBACK if view.last < before.last else RECREATED
        reason = XSETID if set_anew else reason
        return Break(reason, sign, Anchor(view.end, view.added, view.now))
    if (set_anew and view.last >= before.last) or _is_renumbered(
        before, view, anchors, survivors or set()
    ):
        # why open: XSETID may have run elsewhere, and what was put in place here may be new
        swapped = view.swaps != before.swaps
        return Break(XSETID, sign, Anchor(view.end, view.added, view.now), open=swapped)
    kept = [anchor for anchor in anchors if anchor.rank and anchor.id in (survivors or ())]
    if kept:
        return Break(ROLLBACK, sign, kept[-1])
    if _may_be_rolled_back(before, view):
        base = Anchor(view.end, view.added, view.now)
        return Break(ROLLBACK, sign, base, open=True, most=before.added)
    return Break(RECREATED, sign, Anchor(ZERO, 0, view.now))


def begin_again(before: StreamView, view: StreamView) -> Break:
    """A stream that was found gone, and is there: another life, all of which counts."""
    if not view.counted:
        return Break(RECREATED, UNCOUNTED, Anchor(view.end, view.added, view.now))
    # why not 0 there: ranks of a server that tells none go on
    rank = before.added if view.legacy else 0
    return Break(RECREATED, "it had been found gone", Anchor(ZERO, rank, view.now))


def _is_renumbered(
    before: StreamView, view: StreamView, anchors: Sequence[Anchor], survivors: AbstractSet[Id]
) -> bool:
    if _is_put_in_place(before, view):
        return False
    untouched = (view.length, view.first) == (before.length, before.first)
    moved = _find_setid_sign(before, view) != "" and view.last >= before.last and untouched
    return moved or bool(anchors and anchors[-1].rank and anchors[-1].id in survivors)


def _may_be_rolled_back(before: StreamView, view: StreamView) -> bool:
    """Whether an older state of the stream may have come back of which nothing known is left: that
    takes another process. Without one, whatever lost its numbers was ended and made anew.
    """
    ended = view.ends != before.ends and view.epochs == before.epochs
    fresh = not view.removed and (not view.length or view.first > before.last)
    return not (ended or fresh or view.swaps != before.swaps)
