"""The accountant of one stream: feed snapshots, settle each cohort once, keep totals that never go
back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from operator import attrgetter

from sentinel.core.bus.delivery.cohort import (
    ACK,
    DELIVER,
    STAGES,
    Answer,
    Cohort,
    Deadlines,
    Due,
    Question,
    Settlement,
    merge_cohorts,
)
from sentinel.core.bus.delivery.group import Account, GroupAccount, Step
from sentinel.core.bus.delivery.lineage import (
    GONE,
    REASONS,
    RECREATED,
    ROLLBACK,
    Break,
    find_sign,
    judge_break,
)
from sentinel.core.bus.delivery.stream import (
    NOTHING,
    ZERO,
    Anchor,
    Capability,
    GroupView,
    Id,
    StreamView,
    bound_head_gap,
)
from sentinel.core.quantity import Bounds

MAX_ANCHORS = 64
MAX_COHORTS = 128
MAX_INTERVALS = 128
_AT = attrgetter("at")
_NOBODY: frozenset[tuple[str, str]] = frozenset()
EMPTY = StreamView(now=0.0, added=0, length=0, last=ZERO)


@dataclass(slots=True)
class StreamAccount:
    """Everything remembered of one stream; pure: time comes from the snapshots (seconds, server
    clock).

    Per poll: `needs_survivors` → `feed` → `list_due` → `ask` → (snapshot with answers) `feed` →
    `settle`. Totals (`published`, `removed`, `rolled_back`, `resets`) count since the watch began
    and never go back.
    `unseen`: at most so many more were published (Redis 6.2).
    `now` and `calls` (deletions, claims) are those of the last snapshot; `touch` moves only these.
    """

    deadlines: Deadlines
    capability: Capability = field(default_factory=Capability)
    anchors: list[Anchor] = field(default_factory=list)
    cohorts: list[Cohort] = field(default_factory=list)
    groups: dict[str, GroupAccount] = field(default_factory=dict)
    view: StreamView | None = None
    gap: Bounds = NOTHING
    present: bool = True
    published: int = 0
    removed: int = 0
    removed_seen: int = 0
    rolled_back: int = 0
    resets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    now: float = 0.0
    calls: tuple[int, int] = (0, 0)
    still: bool = False
    unseen: int = 0

    # -- snapshots --------------------------------------------------------------------------------

    def needs_survivors(self, view: StreamView) -> bool:
        """Whether the caller should look which `anchors` still exist before it feeds this view."""
        return self.view is not None and (not self.present or find_sign(self.view, view) != "")

    def feed(
        self,
        view: StreamView,
        *,
        watched_from_birth: bool = False,
        survivors: AbstractSet[Id] | None = None,
    ) -> tuple[Break | None, list[Settlement]]:
        """Take a snapshot in; gives a break of the lineage, if any, and what had to be settled
        because of it.

        `watched_from_birth`: the stream was proven absent at the last complete discovery, so that
        its whole life counts; otherwise what exists at first sight is history.
        """
        if self.view is None:
            self._first_sight(view, watched_from_birth)
            return None, []
        self._catch_up()
        broken = judge_break(self.view, view, self.anchors, survivors)
        settled = self._begin_life(broken, view) if broken is not None else []
        lost_groups = self._advance(view)
        self.present = True
        return broken, settled + lost_groups

    def touch(self, now: float, calls: tuple[int, int]) -> bool:
        """Take in a snapshot that equals the last one fed in every number; False when it must be
        fed all the same.

        To feed equal numbers changes nothing but the time, unless a deletion or claim in between
        may have dropped what was pending, or something vague must be asked again.
        """
        if not (self.still and self.present) or (calls != self.calls and self._may_drop()):
            return False
        self.now, self.calls = now, calls
        return True

    def _may_drop(self) -> bool:
        groups = (self.view or EMPTY).groups
        return any(
            now.pending or not self.groups[name].high_rank.exact for name, now in groups.items()
        )

    def _catch_up(self) -> None:
        """Bring what `touch` moved into the last view, before the next one is compared with it."""
        view, (deletions, claims) = self.view, self.calls
        if view is not None and (self.now, deletions, claims) != (
            view.now,
            view.deletions,
            view.claims,
        ):
            self.view = replace(view, now=self.now, deletions=deletions, claims=claims)

    def _find_still(self) -> bool:
        """Whether nothing about the groups is vague or was found by asking for what equal numbers
        don't prove.
        """
        alive = [group for group in self.groups.values() if not group.gone]
        known = all(
            g.waiting.exact and (not g.waiting.hi or g.oldest_waiting is not None) for g in alive
        )
        return known and not any(group.asked_history for group in alive)

    def mark_gone(self) -> list[Settlement]:
        """The key no longer exists: settle what is open. A stream that comes back is judged by its
        anchors.
        """
        if not self.present or self.view is None:
            return []
        self._catch_up()
        self.present = False
        self.resets[GONE] += 1
        return self._close_groups(self.groups)

    def _first_sight(self, view: StreamView, watched_from_birth: bool) -> None:
        origin = (
            Anchor(ZERO, 0, view.now)
            if watched_from_birth
            else Anchor(view.last, view.added, view.now)
        )
        self.anchors = [origin]
        self.view = EMPTY if watched_from_birth else replace(view, groups={})
        self.gap = bound_head_gap(self.view, self.anchors)
        self.removed_seen = self.view.removed
        self._advance(view)

    def _begin_life(self, broken: Break, view: StreamView) -> list[Settlement]:
        """Close the books of the old life and open new ones at the anchor that the break leaves."""
        settled = self._close_groups(self.groups)
        before = self.view or EMPTY
        if self.present:
            self.resets[broken.reason] += 1
        if broken.reason == ROLLBACK:
            self._roll_back(max(0, before.added - broken.anchor.rank))
        kept = broken.reason == ROLLBACK and not view.legacy
        self.anchors = [a for a in self.anchors if kept and a.rank < broken.anchor.rank]
        self.anchors.append(broken.anchor)
        base = broken.anchor
        self.view = StreamView(now=before.now, added=base.rank, length=base.rank, last=base.id)
        self.gap = NOTHING
        self.removed_seen = 0 if broken.reason == RECREATED and not view.legacy else view.removed
        for group in self.groups.values():
            group.reopen(base)
            group.gone = True
        return settled

    def _roll_back(self, count: int) -> None:
        self.rolled_back += count
        for group in self.groups.values():
            closed = group.closed
            group.closed = replace(
                closed, lost=Bounds(closed.lost.lo, min(closed.lost.hi + count, closed.published))
            )

    def _advance(self, view: StreamView) -> list[Settlement]:
        before = self.view or EMPTY
        newest = self.anchors[-1]
        grown = view.added > newest.rank or view.unseen > 0
        if grown:
            self.anchors.append(Anchor(view.last, view.added, view.now))
        self.unseen += view.unseen
        self.published += max(0, view.added - before.added)
        self.removed += max(0, view.removed - self.removed_seen)
        self.removed_seen = view.removed
        floor = self.gap.lo
        gap = bound_head_gap(view, self.anchors, floor)
        quiet = not view.doubtful and (view.deletions, view.claims) == (
            before.deletions,
            before.claims,
        )
        step = Step(before, view, self.anchors, self.gap, gap, self.capability, quiet)
        vanished = {n: g for n, g in self.groups.items() if not g.gone and n not in view.groups}
        settled = self._close_groups(vanished) if vanished else []
        self._observe_groups(step, newest)
        self.view, self.gap = view, gap
        self.now, self.calls = view.now, (view.deletions, view.claims)
        self.still = self._find_still()
        if grown:
            self._open_cohort(newest, self.anchors[-1], view.unseen)
        self._prune()
        return settled

    def _observe_groups(self, step: Step, newest: Anchor) -> None:
        for name, now in step.view.groups.items():
            group = self.groups.get(name)
            if group is None or group.gone:
                group = self._begin_group(
                    name, self.anchors[-1] if _begins_at_end(step.view, now) else newest
                )
            if (
                not group.observe(step, now, None if group.fresh else step.before.groups.get(name))
                or group.losses
            ):
                group.count_up(group.settle_account(step.view, step.gap))

    def _begin_group(self, name: str, base: Anchor) -> GroupAccount:
        group = self.groups.setdefault(name, GroupAccount.begin(base))
        if group.gone:
            group.reopen(base)
        return group

    def _open_cohort(self, start: Anchor, end: Anchor, unseen: int) -> None:
        names = [
            n
            for n, group in self.groups.items()
            if not group.gone and group.base.rank <= start.rank
        ]
        pairs = frozenset((name, stage) for name in names for stage in STAGES)
        if pairs:
            self.cohorts.append(Cohort(start, end, pairs, unseen))
            self.cohorts = merge_cohorts(self.cohorts, MAX_COHORTS)

    def _close_groups(self, groups: Mapping[str, GroupAccount]) -> list[Settlement]:
        """Settle every open cohort of these groups with what is known, then end their life."""
        alive = {name: group for name, group in groups.items() if not group.gone}
        view = self.view or EMPTY
        settled = []
        for cohort in self.cohorts:
            for name, stage in sorted(cohort.open):
                if name in alive:
                    settled.append(self._settle_blind(cohort, name, stage))
        self._forget(
            [Due(cohort, n, s) for cohort in self.cohorts for n, s in cohort.open if n in alive]
        )
        for group in alive.values():
            group.close(view, self.gap)
            group.count_up(group.closed)
        return settled

    def _settle_blind(self, cohort: Cohort, name: str, stage: str) -> Settlement:
        """Nobody can be asked any more: whatever waited or pended may have ended in any way."""
        group = self.groups[name]
        after, upto = cohort.start.rank, cohort.end.rank
        unknown = Bounds(0, min(cohort.size, group.waiting.hi + group.pending.hi))
        return self._record(
            Settlement(
                name, stage, cohort.start.id, cohort.end.id, cohort.size,
                unknown, NOTHING, group.losses.lost_in(after, upto), group.losses.dropped_in(after, upto),
                cohort.unseen,
            )
        )  # fmt: skip

    # -- settlement -------------------------------------------------------------------------------

    def list_due(self) -> list[Due]:
        """Cohorts old enough to be judged, at the server time of the last snapshot."""
        if self.view is None or not self.present:
            return []
        now, first = self.now, min(self.deadlines.deliver, self.deadlines.ack)
        if not self.cohorts or now - self.cohorts[0].end.at < first:
            return []
        return [
            Due(cohort, group, stage)
            for cohort in self.cohorts
            if now - cohort.end.at >= first
            for group, stage in sorted(cohort.open)
            if now - cohort.end.at >= self.deadlines.of(stage)
        ]

    def ask(self, due: Sequence[Due], cap: int) -> list[Question]:
        """What must be asked, in one transaction with the next snapshot, to settle these; often
        nothing.
        """
        questions: dict[Question, None] = {}
        for name in self.groups:
            for question in self._ask_about_group(name, cap):
                questions[question] = None
        for each in due:
            for question in self._ask_about_cohort(each, cap):
                questions[question] = None
        return list(questions)

    def _ask_about_group(self, name: str, cap: int) -> list[Question]:
        group, view = self.groups[name], self.view or EMPTY
        if group.gone:
            return []
        asked = []
        readable = (
            view.length > 0
            and view.first <= group.delivered
            and view.max_deleted <= group.delivered
        )
        if not group.waiting.exact and readable:
            asked.append(
                Question("live", name, group.delivered, self._next_anchor(group.delivered), cap)
            )
        if group.waiting.hi and group.oldest_waiting is None:
            asked.append(Question("live", name, group.delivered, None, 1))
        if not group.pending.exact:
            asked.append(Question("pending", name, ZERO, group.base.id, cap))
        return asked

    def _next_anchor(self, entry: Id) -> Id:
        return next(
            (anchor.id for anchor in self.anchors if anchor.id > entry), self.anchors[-1].id
        )

    def _ask_about_cohort(self, due: Due, cap: int) -> list[Question]:
        group, view, cohort = self.groups[due.group], self.view or EMPTY, due.cohort
        asked = []
        if due.stage == ACK and view.groups[due.group].pending:
            asked.append(self._ask_pending(due, cap))
        if self._has_holes_ahead(due):
            asked.append(
                Question(
                    "live", due.group, max(group.delivered, cohort.start.id), cohort.end.id, cap
                )
            )
        return asked

    def _has_holes_ahead(self, due: Due) -> bool:
        """Whether XDEL may have made holes in the part of the cohort that still waits."""
        delivered, cohort, view = self.groups[due.group].delivered, due.cohort, self.view or EMPTY
        waits = view.length > 0 and delivered < cohort.end.id
        return waits and view.max_deleted > max(delivered, cohort.start.id)

    @staticmethod
    def _ask_pending(due: Due, cap: int) -> Question:
        """PEL ranges are cheap (2 ms per 10 000): the cap never cuts a cohort of ordinary size
        short.
        """
        return Question(
            "pending", due.group, due.cohort.start.id, due.cohort.end.id, max(cap, 10_000)
        )

    def settle(self, due: Sequence[Due], answers: Mapping[Question, Answer]) -> list[Settlement]:
        """Judge what is due, from the last snapshot fed and the answers taken in one transaction
        with it.
        """
        if answers:
            self._learn(answers)
        open_ = {id(cohort) for cohort in self.cohorts}
        ready = [
            each for each in due if id(each.cohort) in open_ and self._is_answered(each, answers)
        ]
        settled = [self._record(self._judge(each, answers)) for each in ready]
        self._forget(ready)
        self._prune()
        self.still = self._find_still()
        return settled

    def _is_answered(self, due: Due, answers: Mapping[Question, Answer]) -> bool:
        view = self.view or EMPTY
        if due.group not in view.groups or self.groups[due.group].gone:
            return False
        if self._is_clean(due):
            return True
        if self._has_holes_ahead(due) and not any(self._lists_waiting(q, due) for q in answers):
            return False
        if due.stage == DELIVER or not view.groups[due.group].pending:
            return True
        return any(self._covers(question, due) for question in answers)

    def _is_clean(self, due: Due) -> bool:
        """Whether everything was delivered, nothing pends, and nothing was lost or dropped of late."""
        group = self.groups[due.group]
        done = due.stage == DELIVER or not (self.view or EMPTY).groups[due.group].pending
        return done and group.delivered >= due.cohort.end.id and not group.losses

    @staticmethod
    def _covers(question: Question, due: Due) -> bool:
        span = (question.after, question.upto) == (due.cohort.start.id, due.cohort.end.id)
        return question.kind == "pending" and question.group == due.group and span

    def _lists_waiting(self, question: Question, due: Due) -> bool:
        unread_after = max(self.groups[due.group].delivered, due.cohort.start.id)
        mine = question.kind == "live" and question.group == due.group
        return mine and question.upto == due.cohort.end.id and question.after <= unread_after

    def _learn(self, answers: Mapping[Question, Answer]) -> None:
        view = self.view or EMPTY
        for question, answer in answers.items():
            group = self.groups.get(question.group)
            if group is None or group.gone or question.group not in view.groups:
                continue
            if question.kind == "live" and question.upto is None:
                group.oldest_waiting = min(
                    (e for e in answer.ids if e > group.delivered), default=None
                )
            elif question.kind == "live":
                self._learn_position(group, question, answer, view)
            elif question.after == ZERO and question.upto == group.base.id and not answer.full:
                group.learn_history(len(answer.ids), view.groups[question.group].pending)
            group.count_up(group.settle_account(view, self.gap))

    def _learn_position(
        self, group: GroupAccount, asked: Question, answer: Answer, view: StreamView
    ) -> None:
        """Nothing behind the group's position is missing: its rank is the anchor's less what is
        live between.
        """
        anchor = next((a for a in self.anchors if a.id == asked.upto), None)
        intact = (
            view.length > 0
            and view.first <= group.delivered
            and view.max_deleted <= group.delivered
        )
        if anchor is None or not intact or not asked.after <= group.delivered <= anchor.id:
            return
        live = answer.count(anchor.rank, after=group.delivered)
        position = Bounds(anchor.rank - live.hi, anchor.rank - live.lo)
        group.learn_position(position, view, view.groups[asked.group], self.capability)

    def _judge(self, due: Due, answers: Mapping[Question, Answer]) -> Settlement:
        group, cohort = self.groups[due.group], due.cohort
        after, upto = cohort.start.rank, cohort.end.rank
        if self._is_clean(due):
            ends = cohort.start.id, cohort.end.id
            return Settlement(
                due.group,
                due.stage,
                *ends,
                upto - after,
                NOTHING,
                NOTHING,
                NOTHING,
                0,
                cohort.unseen,
            )
        waiting = self._count_waiting(due, answers)
        pending = self._count_pending(due, answers) if due.stage == ACK else NOTHING
        room = max(0, cohort.size - waiting.lo - pending.lo)
        lost = group.losses.lost_in(after, upto).clip(0, room)
        dropped = min(group.losses.dropped_in(after, upto), room - lost.lo)
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
        )

    def _count_waiting(self, due: Due, answers: Mapping[Question, Answer]) -> Bounds:
        group, cohort, view = self.groups[due.group], due.cohort, self.view or EMPTY
        if group.delivered >= cohort.end.id or not view.length:
            return NOTHING
        after, upto = cohort.start.rank, cohort.end.rank
        head = self.gap if view.first > cohort.start.id else NOTHING
        hi = upto - max(after, group.position.lo, head.lo)
        lo = 0 if self._has_holes_ahead(due) else upto - max(after, group.position.hi, head.hi)
        found = Bounds(max(0, lo), max(0, lo, hi))
        for question, answer in answers.items():
            if self._lists_waiting(question, due):
                found = found.meet(answer.count(cohort.size, max(group.delivered, cohort.start.id)))
        return found

    def _count_pending(self, due: Due, answers: Mapping[Question, Answer]) -> Bounds:
        """Pending ids behind the group's position were put there by XCLAIM FORCE: they still wait."""
        if not (self.view or EMPTY).groups[due.group].pending:
            return NOTHING
        answer = next(answer for question, answer in answers.items() if self._covers(question, due))
        return answer.count(due.cohort.size, due.cohort.start.id, self.groups[due.group].delivered)

    def _record(self, settlement: Settlement) -> Settlement:
        group = self.groups[settlement.group]
        counts = group.settled if settlement.stage == ACK else group.reached
        if settlement.clean:
            counts["acked" if settlement.stage == ACK else "delivered"] += settlement.size
            return settlement
        for outcome, count in settlement.outcomes.items():
            counts[outcome] += count
        return settlement

    def _forget(self, done: Sequence[Due]) -> None:
        gone: dict[int, set[tuple[str, str]]] = {}
        for each in done:
            gone.setdefault(id(each.cohort), set()).add((each.group, each.stage))
        if not gone:
            return
        rest = ((cohort, cohort.open - gone.get(id(cohort), _NOBODY)) for cohort in self.cohorts)
        self.cohorts = [
            c if len(left) == len(c.open) else replace(c, open=left) for c, left in rest if left
        ]

    def _prune(self) -> None:
        """Bounded memory: at most MAX_ANCHORS, and loss intervals no older than the oldest open
        cohort.
        """
        floor = self.cohorts[0].start.rank if self.cohorts else self.anchors[-1].rank
        for group in self.groups.values():
            if group.losses:
                group.losses.prune(floor)
                group.losses.compact(MAX_INTERVALS)
        if len(self.anchors) > MAX_ANCHORS:
            self.anchors = self._thin(self.anchors)

    @staticmethod
    def _thin(anchors: list[Anchor]) -> list[Anchor]:
        """Drop the inner anchor whose neighbours are nearest in time, so that old ranks stay
        bounded too.
        """
        inner = range(1, len(anchors) - 8)
        drop = min(
            inner, key=lambda n: (anchors[n + 1].at - anchors[n - 1].at) * (len(anchors) - n)
        )
        return anchors[:drop] + anchors[drop + 1 :]

    # -- reading ----------------------------------------------------------------------------------

    def account_of(self, name: str) -> Account:
        """The account of a group at the last snapshot."""
        return self.groups[name].settle_account(self.view or EMPTY, self.gap)

    def publish_rate(self, window: float = 60.0) -> float:
        """Entries per second over about the last `window` seconds, 0 when it can't be told."""
        view, newest = self.view or EMPTY, self.anchors[-1:] or [Anchor(ZERO, 0, 0.0)]
        begin = bisect_left(self.anchors, self.now - window, key=_AT)
        old = self.anchors[begin] if begin < len(self.anchors) else newest[0]
        seconds = self.now - old.at
        return (view.added - old.rank) / seconds if seconds > 0 else 0.0

    def headroom(self, name: str) -> Bounds:
        """Entries already read but still kept: so many publishes until the first unread one is
        trimmed (measurement.md §1.5).
        """
        group, length = self.groups[name], (self.view or EMPTY).length
        return Bounds(max(0, length - group.waiting.hi), max(0, length - group.waiting.lo))


def _begins_at_end(view: StreamView, group: GroupView) -> bool:
    """Whether a group that is seen for the first time owes nothing yet: made at `$`, and nobody has
    read in it.
    """
    return group.last_delivered >= view.last and not (group.consumers or group.pending)


def begin_account(deadlines: Deadlines, capability: Capability | None = None) -> StreamAccount:
    """A fresh account."""
    return StreamAccount(deadlines, capability or Capability())
