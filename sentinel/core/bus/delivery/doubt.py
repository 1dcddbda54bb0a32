"""What must be asked before a snapshot is fed: is it still the same stream, and how does it go on
(measurement.md §11.6)? Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sentinel.core.bus.delivery.account import EMPTY, StreamAccount
from sentinel.core.bus.delivery.cohort import Answer, Question
from sentinel.core.bus.delivery.lineage import find_sign, may_be_set_unseen
from sentinel.core.bus.delivery.stream import ZERO, Id, StreamView, precede


def needs_survivors(account: StreamAccount, view: StreamView) -> bool:
    """Whether the caller should look which `anchors` still exist before it feeds this view."""
    return (
        account.view is not None
        and account.present
        and (view.kept is False or find_sign(account.view, view) != "")
    )


def may_be_another(account: StreamAccount, view: StreamView) -> bool:
    """Whether it takes a look at the newest entry of the last snapshot to know that this is the
    same stream (measurement.md §11.6).
    """
    before = account.view
    return (
        before is not None
        and account.present
        and view.last > before.last
        and view.length > 0
        and view.first <= account.anchors[-1].id
        and view.max_deleted < account.anchors[-1].id
        and account.anchors[-1].rank > 0
        and (before.last_lives or before.newest is not None)
    )


def list_doubts(account: StreamAccount, view: StreamView, cap: int) -> list[Question]:
    """What must be asked, in one transaction with another snapshot, to know how this stream
    goes on: its anchors, and what came since (at most `cap` of it).
    """
    anchors = [anchor.id for anchor in account.anchors if anchor.id != ZERO]
    asked = [Question("live", "", precede(entry), entry, 2) for entry in anchors]
    if may_be_set_unseen(account.view or EMPTY, view):
        asked.append(Question("live", "", account.anchors[-1].id, None, cap))
    return asked


def resolve_doubts(
    account: StreamAccount, view: StreamView, answers: Mapping[Question, Answer]
) -> tuple[StreamView, frozenset[Id]]:
    """The snapshot with what the answers taken with it prove, and the anchors that exist."""
    end, known = account.anchors[-1].id, (account.view or EMPTY).added
    alive = {entry for answer in answers.values() for entry in answer.ids}
    found = frozenset(anchor.id for anchor in account.anchors if anchor.id in alive)
    later = [each for each in answers if each.after == end and each.upto is None]
    counted = any(
        not answers[each].full and len(answers[each].ids) == view.added - known for each in later
    )
    whole = view.length > 0 and view.first <= end and view.max_deleted <= end
    return replace(view, kept=end in found or None, recounted=counted and whole), found
