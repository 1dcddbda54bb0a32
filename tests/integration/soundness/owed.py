"""Which entries are owed to a group, given when a key was looked at: the readings that can be
defended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.integration.soundness.ledger import Book, Epoch, Fates, Id, Segment, Truth

MUST = "must"
MAY = "may"
"""It may be counted or not, by itself."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One entry owed to a group. `tag` is MUST, MAY, or the name of a reading: entries of one
    reading are counted all or none. `place` says from which epoch and segment.
    """

    id: Id
    fates: Fates
    tag: str
    place: tuple[int, int]
    ended: bool


@dataclass(frozen=True, slots=True)
class Stay:
    """A life under a key, as looks at it saw it; those looks."""

    number: int
    epoch: Epoch
    attached: int
    brought: bool
    free: bool
    segments: dict[str, list[Segment]]
    snaps: list[int]
    ended: bool


def list_stays(truth: Truth, snaps: Sequence[int]) -> list[Stay]:
    """Epochs that a look saw. One that went and came back unseen goes on."""
    found: list[Stay] = []
    for number, (epoch, detached, segments) in enumerate(truth.epochs):
        mine = [s for s in snaps if s >= epoch.attached and (detached is None or s < detached)]
        if not mine:
            continue
        attached, brought = mine[0] if epoch.uncounted else epoch.attached, epoch.brought
        before = found[-1] if found else None
        same = before is not None and before.epoch.versions[1] == epoch.versions[0]
        if before is not None and same and not before.free:
            away = [s for s in snaps if before.snaps[-1] < s < mine[0]]
            if not away:
                found.pop()
                attached, brought, mine = before.attached, before.brought, before.snaps + mine
        free = epoch.free and detached is not None
        ended = detached is not None
        found.append(Stay(number, epoch, attached, brought, free, segments, mine, ended))
    return found


def merge_segments(segments: Sequence[Segment], snaps: Sequence[int]) -> list[Segment]:
    """Lives of a group that a look saw; destroyed and made anew unseen it goes on."""
    found: list[Segment] = []
    last: list[int] = []
    for each in segments:
        mine = [s for s in snaps if s >= each.born and (each.died is None or s < each.died)]
        if not mine:
            continue
        if found and not [s for s in snaps if last[-1] < s < mine[0]]:
            each = replace(each, born=found.pop().born)  # noqa: PLW2901
        found.append(each)
        last = mine
    return found


def list_owed(group: str, book: Book, *, legacy: bool) -> list[Owed]:
    """All that may count for a group. What was there at the very first look is history; `legacy`
    servers do not tell what came before a life was seen first.
    """
    found: list[Owed] = []
    if book.truth is None:
        return found
    for number, stay in enumerate(list_stays(book.truth, book.snaps)):
        watched = number > 0 or book.looks[stay.snaps[0]] > 0
        history = -1 if watched and not legacy else stay.snaps[0]
        for place, segment in enumerate(merge_segments(stay.segments.get(group, ()), stay.snaps)):
            found += _list_segment(stay, place, segment, history)
    return found


def _list_segment(stay: Stay, place: int, segment: Segment, history: int) -> list[Owed]:
    born, died = segment.born, segment.died
    mine = [s for s in stay.snaps if s >= born and (died is None or s < died)]
    first, last = mine[0], mine[-1]
    earlier = [s for s in stay.snaps if s < first]
    known = earlier[-1] if earlier else -1
    ended = died is not None or stay.ended or segment.missed
    found = []
    for item in segment.items:
        if item.moment > last or item.foreign or (stay.brought and item.moment <= stay.attached):
            tag = MAY
        elif item.moment <= history and first == stay.snaps[0] and not stay.number:
            tag = f"history {stay.number}"
        elif item.moment <= max(history, known) or (place and item.moment <= born):
            tag = MAY  # it is older than the group, or was owed to a former one of this name
        else:
            tag = MUST
        fates = item.fates
        if stay.free:
            fates = frozenset({"waiting", "pending", "acked", "lost", "dropped"})
        found.append(Owed(item.id, fates, tag, (stay.number, place), ended))
    return found
