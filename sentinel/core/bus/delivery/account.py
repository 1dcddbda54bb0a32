"""The accountant of one stream: feed snapshots, settle each cohort once, keep totals that never go
back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from sentinel.core.bus.delivery.balance import Account
from sentinel.core.bus.delivery.cohort import (
    STAGES,
    Answer,
    Cohort,
    Deadlines,
    Due,
    Question,
    Settlement,
    forget_settled,
    list_open,
    list_ripe,
    merge_cohorts,
)
from sentinel.core.bus.delivery.group import GroupAccount
from sentinel.core.bus.delivery.jump import Skip, begins_at_end
from sentinel.core.bus.delivery.lag import LagDoubt
from sentinel.core.bus.delivery.lineage import (
    GONE,
    REASONS,
    RECREATED,
    ROLLBACK,
    XSETID,
    Break,
    begin_again,
    judge_break,
)
from sentinel.core.bus.delivery.owed import (
    add_missing,
    find_heirs,
    find_origin,
    find_vanished,
    may_have_come,
    observe_missing,
    open_history,
    rename_pairs,
    stands_for,
)
from sentinel.core.bus.delivery.settle import END, CohortJudge, count_settlement
from sentinel.core.bus.delivery.step import TOUCHING, SnapshotStep, find_quiet
from sentinel.core.bus.delivery.still import is_still, may_drop
from sentinel.core.bus.delivery.stream import (
    NO_CALLS,
    NOTHING,
    ZERO,
    Anchor,
    Calls,
    Capability,
    GroupView,
    Id,
    StreamView,
    bound_head_gap,
    seen_by,
    thin_anchors,
)
from sentinel.core.quantity import Bounds

MAX_ANCHORS = 64
MAX_COHORTS = 128
MAX_INTERVALS = 128
EMPTY = StreamView(now=0.0, added=0, length=0, last=ZERO)


@dataclass(slots=True)
class StreamAccount:
    """Everything remembered of one stream; pure: time comes from the snapshots (seconds, server
    clock).

    Per poll: `feed` (what doubt.py asks comes before) → `list_due` → `ask` → (snapshot with answers)
    `feed` → `settle`. Totals (`published`, `removed`, `rolled_back`, `resets`) count since the watch began
    and never go back.
    `unseen`: at most so many more were published (Redis 6.2).
    `now` and `calls` are those of the last snapshot; `touch` moves only these. `skips` are what
    groups were moved over unread, as of the last snapshot.
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
    calls: Calls = NO_CALLS
    still: bool = False
    unseen: int = 0
    skips: dict[str, Skip] = field(default_factory=dict)
    lags: LagDoubt = field(default_factory=LagDoubt)
    required: Sequence[str] = ()
    knows: bool = True
    """The groups of the last snapshot are all that were there of those that are watched now."""
    born: bool = False
    """The life of the stream began between the last snapshot and this one."""
    adopted: dict[str, str] = field(default_factory=dict)
    """Groups that took over the account of a pattern (owed.py)."""

    # -- snapshots --------------------------------------------------------------------------------

    def feed(
        self,
        view: StreamView,
        *,
        watched_from_birth: bool = False,
        absent_at: float = 0.0,
        absent_calls: Calls | None = None,
        survivors: AbstractSet[Id] | None = None,
    ) -> tuple[Break | None, list[Settlement]]:
        """Take a snapshot in; gives a break of the lineage, if any, and what had to be settled
        because of it.

        `watched_from_birth`: the stream was proven absent at the last complete discovery, at server
        time `absent_at` and after `absent_calls`, so that its whole life counts; otherwise what
        exists at first sight is history.
        """
        self.skips = {}
        if self.view is None:
            self._first_sight(view, watched_from_birth, absent_at, absent_calls)
            self.knows = True
            return None, []
        self._follow_clock(view.now)
        self._catch_up()
        self._adopt(view)
        broken, knew = self._judge_break(self.view, view, survivors), self.knows
        before = self.view
        settled = self._begin_life(broken, view) if broken is not None else []
        if broken is not None and broken.open:
            same = broken.reason == XSETID and view.swaps == before.swaps
            known = before.added if same else 0
            view = replace(view, unseen=view.unseen + view.added - known)
        settled += self._advance(view, proven=knew)
        if broken is not None:
            self._forget_returns()
        self.present = self.knows = True
        return broken, settled

    def _adopt(self, view: StreamView) -> None:
        """A group that is new takes over the account of the pattern that it matches."""
        for name, pattern in find_heirs(view, self.groups, self.required).items():
            self.groups[name] = self.groups.pop(pattern)
            self.cohorts = [rename_pairs(cohort, pattern, name) for cohort in self.cohorts]
            self.adopted[name] = pattern
            if self.view is not None and pattern in self.view.groups:
                groups = dict(self.view.groups)
                groups[name] = replace(groups.pop(pattern), name=name)
                self.view = replace(self.view, groups=groups)

    def _judge_break(
        self, before: StreamView, view: StreamView, survivors: AbstractSet[Id] | None
    ) -> Break | None:
        if not self.present:
            return begin_again(before, view)
        return judge_break(before, view, self.anchors, survivors)

    def touch(self, now: float, calls: Calls) -> bool:
        """Take in a snapshot that equals the last one fed in every number; False when it must be
        fed all the same.

        To feed equal numbers changes nothing but the time, unless a command in between may have
        dropped what was pending, or something vague must be asked again.
        """
        if not (self.still and self.present):
            return False
        if calls[:TOUCHING] != self.calls[:TOUCHING] and may_drop(self.view or EMPTY, self.groups):
            return False
        self._follow_clock(now)
        self.now, self.calls = now, calls
        return True

    def _follow_clock(self, now: float) -> None:
        """The server's clock was set back: what was seen earlier was seen by now at the latest, and
        no age may wait until the clock is there again.
        """
        if now >= self.now:
            return
        self.anchors = [seen_by(now, anchor) for anchor in self.anchors]
        self.cohorts = [
            replace(cohort, start=seen_by(now, cohort.start), end=seen_by(now, cohort.end))
            for cohort in self.cohorts
        ]

    def _catch_up(self) -> None:
        """Bring what `touch` moved into the last view, before the next one is compared with it."""
        view = self.view
        if view is not None and (self.now, self.calls) != (view.now, view.calls):
            self.view = replace(view, now=self.now, **self.calls._asdict())

    def mark_gone(self, calls: Calls | None = None) -> list[Settlement]:
        """The key no longer exists: settle what is open. A stream that comes back is another.

        After `calls`: what waited for a missing group is lost when none can have come meanwhile.
        """
        if not self.present or self.view is None:
            return []
        self._catch_up()
        self.present = False
        self.resets[GONE] += 1
        last = self.view if calls is None else replace(self.view, **calls._asdict())
        unread = calls is not None and not may_have_come(self.view, last)
        return self._close_groups(self.groups, unread=unread)

    def _first_sight(
        self,
        view: StreamView,
        watched_from_birth: bool,
        absent_at: float,
        absent_calls: Calls | None,
    ) -> None:
        """Begin at zero, or where the stream stands now: what came before is history."""
        self.knows, self.born = False, watched_from_birth
        if watched_from_birth:
            calls = (absent_calls or NO_CALLS)._asdict()
            origin, self.view = Anchor(ZERO, 0, view.now), replace(EMPTY, now=absent_at, **calls)
        else:
            origin = Anchor(view.end, view.added, view.now)
            # why no XCLAIM: it may have run at any time before
            self.view = replace(view, groups={}, forces=0)
        self.anchors = [origin]
        self.gap = bound_head_gap(self.view, self.anchors)
        self.removed_seen = self.view.removed
        self._advance(view, proven=watched_from_birth and absent_calls is not None)

    def _begin_life(self, broken: Break, view: StreamView) -> list[Settlement]:
        """Close the books of the old life and open new ones at the anchor that the break leaves."""
        before, base = self.view or EMPTY, broken.anchor
        replaced = broken.reason == RECREATED and (not view.length or view.first > before.last)
        unread = replaced and not may_have_come(before, view)
        self.knows, self.born = False, broken.reason == RECREATED and base.id == ZERO
        settled = self._close_groups(self.groups, unread=unread)
        if broken.reason == RECREATED:
            base = replace(base, after=before.now)
            self.lags.begin(before.renumbers)
        if broken.reason == XSETID or broken.open or view.swaps != before.swaps:
            # why swaps: groups that come from elsewhere bring what XCLAIM did to them there
            self.lags.doubt(view.groups)
        if self.present:
            self.resets[broken.reason] += 1
        if broken.reason == ROLLBACK:
            taken_back = max(0, before.added - base.rank)
            self._roll_back(taken_back, max(taken_back, broken.most))
        # why `<`: the anchor that still holds takes the place of one with its rank
        kept = broken.reason == ROLLBACK and not (view.legacy or broken.open)
        older = [anchor for anchor in self.anchors if kept and anchor.rank < base.rank]
        self.anchors = [*older, base]
        self.view = StreamView(before.now, base.rank, base.rank, base.id, **before.calls._asdict())
        self.gap = NOTHING
        self.removed_seen = 0 if broken.reason == RECREATED and not view.legacy else view.removed
        for group in self.groups.values():
            group.reopen(base)
            group.gone = group.returned = True
        return settled

    def _forget_returns(self) -> None:
        """A group that the first look at a life did not see comes into it later, as any other."""
        for group in self.groups.values():
            group.returned = group.returned and not group.gone

    def _roll_back(self, count: int, most: int) -> None:
        """So many entries were taken back, at least: at most `most` more of each group may be
        lost.
        """
        self.rolled_back += count
        for group in self.groups.values():
            closed = group.closed
            highest = min(closed.lost.hi + most, closed.published)
            group.closed = replace(closed, lost=Bounds(closed.lost.lo, highest))

    def _advance(self, view: StreamView, *, proven: bool) -> list[Settlement]:
        """Move on to a snapshot of the same life; gives what groups that vanished left open.
        `proven`: what the last snapshot lacks was not there.
        """
        view = self.lags.screen(self.view or EMPTY, view, self.capability)
        newest = self.anchors[-1]
        if self.required:
            sure = proven and not may_have_come(self.view or EMPTY, view)
            known = self.view or EMPTY, self.groups, self.required
            view = add_missing(view, *known, newest.id, proven=sure)
        # why `>`: a rank that is not higher is no new entry, and needs no anchor
        grown = view.added > newest.rank or view.unseen > 0
        if grown:
            looked = self.view.now if self.view else 0.0
            self.anchors.append(Anchor(view.end, view.added, view.now, looked))
        step = self._make_step(view)
        self._count_stream(step)
        settled = self._close_groups(find_vanished(self.view or EMPTY, view, self.groups))
        self._observe_groups(step, newest)
        self.view, self.gap = view, step.gap
        self.now, self.calls = view.now, view.calls
        self.still = is_still(self.view or EMPTY, self.groups)
        if grown:
            self._open_cohort(newest, self.anchors[-1], view.unseen)
        self._prune()
        return settled

    def _make_step(self, view: StreamView) -> SnapshotStep:
        """The move from the last snapshot to this one; the head never goes back."""
        before = self.view or EMPTY
        gap = bound_head_gap(view, self.anchors, self.gap.lo)
        quiet = find_quiet(before, view)
        return SnapshotStep(before, view, self.anchors, self.gap, gap, self.capability, quiet)

    def _count_stream(self, step: SnapshotStep) -> None:
        """Totals of the stream: they never go back."""
        view = step.view
        self.unseen += view.unseen
        self.published += max(0, view.added - step.before.added)
        self.removed += max(0, view.removed - self.removed_seen)
        self.removed_seen = view.removed

    def _observe_groups(self, step: SnapshotStep, newest: Anchor) -> None:
        for name, now in step.view.groups.items():
            group = self.groups.get(name)
            if group is None or group.gone:
                group = self._begin_group(name, self._find_base(step, now, group, newest))
            if now.missing:
                observe_missing(group, step, now)
                group.count_up(group.settle_account(step.view, step.gap))
                continue
            before = step.before.groups.get(name)
            if group.fresh:
                before = GroupView(name, ZERO, 0, missing=True) if self._is_owed(name) else None
            if before is not None and group.follow(step, now, before):
                if group.losses:
                    group.count_up(group.settle_account(step.view, step.gap))
                continue
            skip = group.observe(step, now, before)
            if skip is not None:
                self.skips[name] = skip
            group.count_up(group.settle_account(step.view, step.gap))

    def _find_base(
        self, step: SnapshotStep, now: GroupView, group: GroupAccount | None, newest: Anchor
    ) -> Anchor:
        """Where the watch of a group begins that is seen for the first time in this life."""
        if now.missing or self._is_owed(now.name):
            return newest
        if begins_at_end(step, now):
            return self.anchors[-1]
        if group is not None or not self.knows:
            return newest
        origin = find_origin(step, now, newest)
        if origin is None:
            return newest
        older = [anchor for anchor in self.anchors if anchor.rank <= newest.rank]
        self.cohorts += open_history(now.name, origin, older)
        self.cohorts.sort(key=lambda cohort: cohort.end.at)
        return origin

    def _is_owed(self, name: str) -> bool:
        """Whether a group was missed from the beginning of a life that was watched from there: what
        was published before it was made is owed to it.
        """
        from_birth = not self.knows and self.born
        return from_birth and any(stands_for(name, pattern) for pattern in self.required)

    def _begin_group(self, name: str, base: Anchor) -> GroupAccount:
        group = self.groups.setdefault(name, GroupAccount.begin(base))
        if group.gone:
            returned, stood = group.returned, group.delivered
            group.reopen(base)
            group.returned, group.stood = returned, stood
        return group

    def _open_cohort(self, start: Anchor, end: Anchor, unseen: int) -> None:
        """What was published since the last snapshot is owed to the groups that were there then."""
        pairs = []
        for name, group in self.groups.items():
            # why `<=`: a group whose watch begins at the start owes everything behind it
            if not group.gone and group.base.rank <= start.rank:
                pairs += [(name, stage) for stage in STAGES]
        if pairs:
            self.cohorts.append(Cohort(start, end, frozenset(pairs), unseen))
            self.cohorts = merge_cohorts(self.cohorts, MAX_COHORTS)

    def _close_groups(
        self, groups: Mapping[str, GroupAccount], *, unread: bool = False
    ) -> list[Settlement]:
        """Settle every open cohort of these groups with what is known, then end their life.
        `unread`: nobody can have read what waited for those that are missing.
        """
        alive = {name: group for name, group in groups.items() if not group.gone}
        if not alive:
            return []
        view, judge = self.view or EMPTY, self._judge
        missed = {name for name, now in view.groups.items() if now.missing}
        lost = missed if unread else ()
        due = list_open(self.cohorts, alive)
        judged = (
            (judge.judge_unread if each.group in lost else judge.judge_blind)(each) for each in due
        )
        settled = [count_settlement(self.groups, each) for each in judged]
        self.cohorts = forget_settled(self.cohorts, due)
        for name, group in alive.items():
            group.close(view, self.gap, missing=name in missed, unread=name in lost)
            group.count_up(group.closed)
        return settled

    # -- settlement -------------------------------------------------------------------------------

    @property
    def _judge(self) -> CohortJudge:
        return CohortJudge(self.view or EMPTY, self.gap, self.anchors, self.groups)

    def list_due(self) -> list[Due]:
        """Cohorts old enough to be judged, at the server time of the last snapshot."""
        if self.view is None or not self.present:
            return []
        return list_ripe(self.cohorts, self.deadlines, self.now)

    def ask(self, due: Sequence[Due], cap: int) -> list[Question]:
        """What must be asked, in one transaction with the next snapshot, to settle these; often
        nothing.
        """
        return self._judge.ask(due, cap)

    def settle(self, due: Sequence[Due], answers: Mapping[Question, Answer]) -> list[Settlement]:
        """Judge what is due, from the last snapshot fed and the answers taken in one transaction
        with it.
        """
        if answers:
            self._learn(answers)
        judge, known = self._judge, {id(cohort) for cohort in self.cohorts}
        mine = (each for each in due if id(each.cohort) in known)
        ready = [each for each in mine if judge.is_answered(each, answers)]
        settled = [count_settlement(self.groups, judge.judge(each, answers)) for each in ready]
        self.cohorts = forget_settled(self.cohorts, ready)
        self._prune()
        self.still = is_still(self.view or EMPTY, self.groups)
        return settled

    def _learn(self, answers: Mapping[Question, Answer]) -> None:
        """Take in what was asked about groups, cohorts aside."""
        view = self.view or EMPTY
        for question, answer in answers.items():
            group = self.groups.get(question.group)
            if group is None or group.gone or question.group not in view.groups:
                continue
            self._learn_about(group, question, answer, view)
            group.count_up(group.settle_account(view, self.gap))

    def _learn_about(
        self, group: GroupAccount, question: Question, answer: Answer, view: StreamView
    ) -> None:
        now = view.groups[question.group]
        if question.kind == "live" and question.upto is None:
            unread = (entry for entry in answer.ids if entry > group.delivered)
            group.oldest_waiting = min(unread, default=None)
        elif question.kind == "live":
            position = self._judge.bound_position(question, answer)
            if position is not None:
                group.learn_position(position, view, now, self.capability)
        elif question.upto == END:
            twice = self._judge.bound_overlap(question, answer)
            if twice is not None:
                group.learn_overlap(twice, view, now)
        elif question.after == ZERO and question.upto == group.base.id and not answer.full:
            group.learn_history(len(answer.ids), now.pending)

    def _prune(self) -> None:
        """Bounded memory: at most MAX_ANCHORS, and loss intervals no older than the oldest open
        cohort.
        """
        # why not the first: what a late group is owed is older than its neighbours in age
        floor = min((each.start.rank for each in self.cohorts), default=self.anchors[-1].rank)
        for group in self.groups.values():
            if group.losses:
                group.losses.prune(floor)
                group.losses.compact(MAX_INTERVALS)
        if len(self.anchors) > MAX_ANCHORS:
            self.anchors = thin_anchors(self.anchors)

    # -- reading ----------------------------------------------------------------------------------

    def account_of(self, name: str) -> Account:
        """The account of a group at the last snapshot."""
        return self.groups[name].settle_account(self.view or EMPTY, self.gap)


def begin_account(deadlines: Deadlines, capability: Capability | None = None) -> StreamAccount:
    """A fresh account."""
    return StreamAccount(deadlines, capability or Capability())
