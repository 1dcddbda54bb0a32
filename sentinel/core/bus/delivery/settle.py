"""Settling cohorts of one stream at one snapshot: what must be asked, and what the answers prove
(measurement.md §1.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sentinel.core.bus.delivery.cohort import ACK, DELIVER, Answer, Due, Question, Settlement
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.stream import (
    MAX_SEQUENCE,
    NOTHING,
    ZERO,
    Anchor,
    Id,
    StreamView,
)
from sentinel.core.quantity import Bounds

Answers = Mapping[Question, Answer]
END: Id = (MAX_SEQUENCE, MAX_SEQUENCE)
"""No id is greater."""
PENDING_PAGE = 10_000
"""PEL ranges are cheap (2 ms for so many): no cohort of ordinary size is cut short."""


@dataclass(frozen=True, slots=True)
class CohortJudge:
    """One snapshot of a stream with the accounts of its groups, as judge over due cohorts.

    `gap` bounds the ranks before the head, `anchors` are points whose id and rank are known.
    """

    view: StreamView
    gap: Bounds
    anchors: Sequence[Anchor]
    groups: Mapping[str, GroupAccount]

    # -- questions --------------------------------------------------------------------------------

    def ask(self, due: Sequence[Due], cap: int) -> list[Question]:
        """What must be asked, in one transaction with the next snapshot, to settle these."""
        asked: dict[Question, None] = {}
        for name, group in self.groups.items():
            if not group.gone:
                asked |= dict.fromkeys(self._ask_about_group(name, group, cap))
        for each in due:
            asked |= dict.fromkeys(self._ask_about_cohort(each, cap))
        if any(question.counts for question in asked):
            asked |= dict.fromkeys(self._ask_for_oldest())
        return list(asked)

    def _ask_for_oldest(self) -> list[Question]:
        """The snapshot that comes with other answers forgets which entry waits longest: ask anew."""
        waiting = ((n, g) for n, g in self.groups.items() if not g.gone and g.waiting.hi)
        return [Question("live", name, group.delivered, None, 1) for name, group in waiting]

    def _ask_about_group(self, name: str, group: GroupAccount, cap: int) -> list[Question]:
        asked = []
        if not (group.waiting.exact or self._is_missing(name)) and is_intact_behind(
            self.view, group.delivered
        ):
            upto = self._next_anchor(group.delivered)
            asked.append(Question("live", name, group.delivered, upto, cap))
        if group.waiting.hi and group.oldest_waiting is None:
            asked.append(Question("live", name, group.delivered, None, 1))
        if not group.pending.exact and group.base.rank:
            asked.append(Question("pending", name, ZERO, group.base.id, cap))
        if not group.pending.exact and group.replayed:
            asked.append(Question("pending", name, group.delivered, END, cap))
        return asked

    def _is_missing(self, name: str) -> bool:
        """Whether a group is required and not there: what lies before its position may wait too."""
        now = self.view.groups.get(name)
        return now is not None and now.missing

    def _next_anchor(self, entry: Id) -> Id:
        """The first point of known rank behind an entry, else the last one."""
        later = (anchor.id for anchor in self.anchors if anchor.id > entry)
        return next(later, self.anchors[-1].id)

    def _ask_about_cohort(self, due: Due, cap: int) -> list[Question]:
        start, end = due.cohort.start.id, due.cohort.end.id
        asked = []
        if due.stage == ACK and self.view.groups[due.group].pending:
            asked.append(Question("pending", due.group, start, end, max(cap, PENDING_PAGE)))
        if self._has_holes_ahead(due):
            asked.append(Question("live", due.group, self._unread_after(due), end, cap))
        return asked

    def _unread_after(self, due: Due) -> Id:
        """Where the part of the cohort begins that the group has not read."""
        return max(self.groups[due.group].delivered, due.cohort.start.id)

    def _has_holes_ahead(self, due: Due) -> bool:
        """Whether XDEL may have made holes in the part of the cohort that still waits."""
        # why `<`: a group at the cohort's end has read all of it, nothing of it waits
        waits = self.view.length > 0 and self.groups[due.group].delivered < due.cohort.end.id
        # why `>`: what was deleted up to there was read before, or is no part of the cohort
        return waits and self.view.max_deleted > self._unread_after(due)

    # -- answers ----------------------------------------------------------------------------------

    def is_answered(self, due: Due, answers: Answers) -> bool:
        """Whether this cohort can be judged from the snapshot and these answers."""
        if due.group not in self.view.groups or self.groups[due.group].gone:
            return False
        if self._is_clean(due):
            return True
        if self._has_holes_ahead(due) and not self._find_waiting_lists(due, answers):
            return False
        if due.stage == DELIVER or not self.view.groups[due.group].pending:
            return True
        return self._find_pending_list(due, answers) is not None

    def _is_clean(self, due: Due) -> bool:
        """Whether all was delivered, nothing pends, and nothing was lost or dropped of late."""
        group = self.groups[due.group]
        done = due.stage == DELIVER or not self.view.groups[due.group].pending
        # why `>=`: the cohort's last entry is one of it, so the group must have got that one
        return done and group.delivered >= due.cohort.end.id and not group.losses

    def _find_pending_list(self, due: Due, answers: Answers) -> Answer | None:
        """The pending ids of exactly this cohort."""
        span = due.cohort.start.id, due.cohort.end.id
        for question, answer in answers.items():
            mine = question.kind == "pending" and question.group == due.group
            if mine and (question.after, question.upto) == span:
                return answer
        return None

    def _find_waiting_lists(self, due: Due, answers: Answers) -> list[Answer]:
        """Lists of live entries that hold all of the cohort that the group has not read."""
        unread_after = self._unread_after(due)
        found = []
        for question, answer in answers.items():
            mine = question.kind == "live" and question.group == due.group
            # why `<=`: a list that begins earlier holds these as well
            whole = question.upto == due.cohort.end.id and question.after <= unread_after
            if mine and whole:
                found.append(answer)
        return found

    def bound_position(self, asked: Question, answer: Answer) -> Bounds | None:
        """Rank of the group's position: an anchor's, less what is live between; None when unproven.

        It holds only where nothing behind the position is missing.
        """
        delivered = self.groups[asked.group].delivered
        anchor = next((each for each in self.anchors if each.id == asked.upto), None)
        if anchor is None or not is_intact_behind(self.view, delivered):
            return None
        # why `<=` twice: the list begins behind `after`, and ends with the anchor itself
        if not asked.after <= delivered <= anchor.id:
            return None
        live = answer.count(anchor.rank, after=delivered)
        return Bounds(anchor.rank - live.hi, anchor.rank - live.lo)

    def bound_overlap(self, asked: Question, answer: Answer) -> Bounds | None:
        """How many entries pend and wait as well: those behind the position that are still there;
        None when it isn't known.
        """
        view, delivered = self.view, self.groups[asked.group].delivered
        if answer.full or asked.after != delivered:
            return None
        live = answer.count(len(answer.ids), after=(view.first[0], view.first[1] - 1))
        # why `>`: what was deleted up to there had been delivered in its turn
        return Bounds(0, live.hi) if view.max_deleted > delivered else live

    # -- judgement --------------------------------------------------------------------------------

    def judge(self, due: Due, answers: Answers) -> Settlement:
        """The settlement of a cohort that is answered."""
        cohort = due.cohort
        if self._is_clean(due):
            return make_settlement(due, NOTHING, NOTHING, NOTHING, 0)
        waiting = self._count_waiting(due, answers)
        pending = self._count_pending(due, answers) if due.stage == ACK else NOTHING
        # what waits or pends for certain can't have been lost as well
        room = max(0, cohort.size - waiting.lo - pending.lo)
        lost, dropped, shared = self._bound_gone(due, room)
        shared = shared if due.stage == ACK else 0
        return make_settlement(due, waiting, pending, lost, dropped, shared)

    def _bound_gone(self, due: Due, room: int) -> tuple[Bounds, int, int]:
        """Lost and dropped of a cohort, and how many are in both because nobody knows their fate."""
        losses, cohort = self.groups[due.group].losses, due.cohort
        span = cohort.start.rank, cohort.end.rank
        known, gone, blurred = (
            losses.lost_in(*span),
            losses.dropped_in(*span),
            losses.blurred_in(*span),
        )
        lost = (known + Bounds(0, blurred)).clip(0, room)
        dropped = min(gone + blurred, room - lost.lo)
        return lost, dropped, max(0, lost.hi + dropped - known.hi - gone - blurred)

    def judge_blind(self, due: Due) -> Settlement:
        """Nobody can be asked any more: whatever waited or pended may have ended in any way, or wait
        and pend still, if it was no end.
        """
        group, size, ack = self.groups[due.group], due.cohort.size, due.stage == ACK
        unknown = min(size, group.waiting.hi + group.pending.hi)
        lost, dropped, shared = self._bound_gone(due, size)
        known = lost.hi + (dropped - shared if ack else 0) + unknown
        lost = Bounds(lost.lo, min(size, lost.hi + unknown))
        dropped = min(size - lost.lo, dropped + unknown)
        told = unknown + lost.hi + (unknown + dropped if ack else 0)
        rest, pending = Bounds(0, unknown), Bounds(0, unknown if ack else 0)
        return make_settlement(due, rest, pending, lost, dropped, max(0, told - known))

    def judge_unread(self, due: Due) -> Settlement:
        """Nobody was there to read, and the stream is gone: what waited for certain is lost."""
        found = self.judge(due, {})
        rest = Bounds(0, found.waiting.hi - found.waiting.lo)
        return replace(
            found, waiting=rest, lost=found.lost + Bounds(found.waiting.lo, found.waiting.lo)
        )

    def _count_waiting(self, due: Due, answers: Answers) -> Bounds:
        """How many of the cohort the group has not been given, and are still there."""
        group, cohort = self.groups[due.group], due.cohort
        # why `>=`: with the cohort's last entry the group has got all of it
        missing = self._is_missing(due.group)
        if not self.view.length or (group.delivered >= cohort.end.id and not missing):
            return NOTHING
        found = self._bound_waiting(due)
        if missing and not group.position.exact:
            return found
        for answer in self._find_waiting_lists(due, answers):
            found = found.meet(answer.count(cohort.size, self._unread_after(due)))
        return found

    def _bound_waiting(self, due: Due) -> Bounds:
        """From ranks alone: the part behind the cohort's start, the position and the head.

        Where XDEL may have made holes, nothing of it waits for certain.
        """
        position, cohort = self.groups[due.group].position, due.cohort
        after, upto = cohort.start.rank, cohort.end.rank
        # why `>`: the entry at the start is not of the cohort, so a head there has cut nothing
        head = self.gap if self.view.first > cohort.start.id else NOTHING
        hi = max(0, upto - max(after, position.lo, head.lo))
        if self._has_holes_ahead(due):
            return Bounds(0, hi)
        lo = max(0, upto - max(after, position.hi, head.hi))
        return Bounds(lo, max(lo, hi))

    def _count_pending(self, due: Due, answers: Answers) -> Bounds:
        """Pending ids behind the group's position come from XCLAIM FORCE, or it was put back over
        them: those that are still there wait.
        """
        listed = self._find_pending_list(due, answers)
        if not self.view.groups[due.group].pending or listed is None:
            return NOTHING
        cohort, view, delivered = due.cohort, self.view, self.groups[due.group].delivered
        head = (view.first[0], view.first[1] - 1) if view.length else cohort.end.id
        sure = listed.count(cohort.size, cohort.start.id, max(delivered, head))
        if view.max_deleted > max(delivered, head):
            return Bounds(sure.lo, listed.count(cohort.size, cohort.start.id).hi)
        return sure


def is_intact_behind(view: StreamView, entry: Id) -> bool:
    """Whether nothing behind an entry can be missing: it is not before the head, and nothing later
    was deleted.
    """
    # why `<=` twice: what is the head, or was deleted itself, leaves out none behind it
    return view.length > 0 and view.first <= entry and view.max_deleted <= entry


def make_settlement(
    due: Due,
    waiting: Bounds,
    pending: Bounds,
    lost: Bounds,
    dropped: int,
    shared: int = 0,
) -> Settlement:
    """A settlement of this cohort with these figures."""
    cohort = due.cohort
    return Settlement(
        due.group,
        due.stage,
        cohort.start.id,
        cohort.end.id,
        cohort.size,
        waiting,
        pending,
        lost,
        dropped,
        cohort.unseen,
        shared,
    )


def count_settlement(groups: Mapping[str, GroupAccount], settlement: Settlement) -> Settlement:
    """Count it in the totals of its group, and hand it on."""
    group = groups[settlement.group]
    counts = group.settled if settlement.stage == ACK else group.reached
    if settlement.clean:
        counts["acked" if settlement.stage == ACK else "delivered"] += settlement.size
        return settlement
    for outcome, count in settlement.outcomes.items():
        counts[outcome] += count
    return settlement
