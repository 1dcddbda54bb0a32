"""What was lost for good: it stays a fault, whatever is found later, until somebody accepts it or its
retention ends. Pure.

A kind says at each look what this look found (`FaultKind.lasting`); here it is added up.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sentinel.core.fault.value import (
    Acceptance,
    Fault,
    FaultIdentity,
    FaultKind,
    Labels,
    Loss,
    StandingFault,
    add_cures,
    describe_subject,
    fits,
    worst,
)
from sentinel.core.quantity import MANY, Bounds

KEEP_LOSSES = 7 * 86400.0
"""Seconds for which a loss stands when nobody accepts it, unless a check says otherwise."""
MAX_LOSSES = 300
"""Subjects of one check whose losses are told one by one; those of all others are told as one."""
OTHERS: Labels = {"others": "together"}
"""The subject of what is told as one."""
ONE = Bounds(1, 1)


@dataclass(frozen=True, slots=True)
class LossRules:
    """For which check of which component losses are kept, how its kind calls them, and for how long:
    seconds since the last.
    """

    check: str
    component: str
    kinds: Mapping[str, FaultKind]
    keep: float = KEEP_LOSSES

    def lasts(self, fault: Fault) -> bool:
        """Whether it is a loss, and not something that can be repaired."""
        known = self.kinds.get(fault.key)
        return known is not None and bool(known.lasting)


def carry(
    rules: LossRules,
    standing: Sequence[StandingFault],
    found: Iterable[Fault],
    now: datetime,
    accept: Sequence[Acceptance] = (),
) -> list[Fault]:
    """All losses that stand after a look: what stood before, and what it `found` beside it.

    Counts are sums; the status is the worst so far, for nothing is mended by waiting. What somebody
    accepted by hand stays as it is, and what the subject lost since begins a loss of its own.
    `accept` is what the configuration bears.
    """
    before = {each.fault.identity: each for each in standing if each.fault.loss is not None}
    kept = {
        identity: each.fault
        for identity, each in before.items()
        if each.fault.loss is not None and now < each.fault.loss.until
    }
    for fault in found:
        if rules.lasts(fault):
            _take(rules, kept, fault, before.get(fault.identity), now)
    borne = {
        identity
        for identity, fault in kept.items()
        if any(word.covers(fault, now) for word in accept)
    }
    return _compact(rules, kept, before, borne)


def _take(
    rules: LossRules,
    kept: dict[FaultIdentity, Fault],
    fault: Fault,
    before: StandingFault | None,
    now: datetime,
) -> None:
    """Add what one look found of one subject."""
    known = kept.get(fault.identity)
    settled = before is not None and before.is_settled
    if known is not None and not settled:
        told = _add(rules, known, fault, now)
        same = told.loss is known.loss and told.mended == known.mended
        kept[fault.identity] = told if same else _tell(rules, told)
    elif known is None or _is_new(fault):
        begun = _begin(rules, fault, now)
        if begun is not None:
            kept[fault.identity] = _tell(rules, begun)


def accept(
    standing: Iterable[StandingFault], word: Acceptance, now: datetime
) -> list[StandingFault]:
    """The losses that somebody accepts by hand, as they stand from now on: each until its retention
    ends. What is accepted already, or can be repaired, is none of them.
    """
    return [
        replace(each, accepted=replace(word, until=each.fault.loss.until))
        for each in find_acceptable(standing, word.fault, word.subject)
        if each.fault.loss is not None and now < each.fault.loss.until
    ]


def find_acceptable(
    standing: Iterable[StandingFault], fault: str, subject: Labels
) -> list[StandingFault]:
    """The losses with this key and such a subject that nobody has accepted."""
    return [
        each
        for each in standing
        if each.fault.loss is not None
        and each.accepted is None
        and each.fault.key == fault
        and fits(each.fault.subject, subject)
    ]


def describe_extent(found: Sequence[StandingFault]) -> str:
    """What a person sees who is to accept it: when that has changed, they must look again."""
    counts = [each.fault.count or ONE for each in found]
    total = sum(counts, start=Bounds(0, 0))
    cases = sum(each.fault.loss.cases if each.fault.loss else 1 for each in found)
    return f"{_say(total)} of {count_subjects(cases)}"


def _write_pattern(name: str) -> str:
    """What is shown and copied loses characters that can't be printed: `?` stands for them."""
    return "".join(char if char.isprintable() else "?" for char in glob.escape(name))


def count_subjects(count: int) -> str:
    """`1 subject`, `2,000 subjects`."""
    return "1 subject" if count == 1 else f"{count:,} subjects"


def acceptance_command(check: str, fault: str, subject: Labels) -> str:
    """The command with which somebody accepts this loss and no other, as it is typed: a name is
    written as a pattern that fits it alone, on one line even where the name has two.
    """
    labels = "".join(
        f" --subject {shlex.quote(f'{label}={_write_pattern(name)}')}"
        for label, name in subject.items()
    )
    return f"sentinel faults accept {shlex.quote(check)} {fault}{labels} --reason known"


# -- one loss --------------------------------------------------------------------------------------


def _is_new(fault: Fault) -> bool:
    return fault.count is not None and fault.count.hi > 0


def _begin(rules: LossRules, fault: Fault, now: datetime) -> Fault | None:
    """A loss that is new; a look may also say only that nothing was added."""
    if fault.mended or (fault.count is not None and not _is_new(fault)):
        return None
    first = min(fault.since or now, now)
    return replace(fault, since=first, loss=Loss(first, now, now + timedelta(seconds=rules.keep)))


def _add(rules: LossRules, known: Fault, fault: Fault, now: datetime) -> Fault:
    """Both together; a subject that was lost as a whole is lost once. What was undone has another
    next step.
    """
    status = worst((known.status, fault.status))
    if fault.mended:
        mended, step = fault.mended, fault.guidance
        return replace(known, mended=mended, guidance=step, cure=fault.cure, status=status)
    if not _is_new(fault) or fault.count is None or known.loss is None:
        return known if status is known.status else replace(known, status=status)
    until = now + timedelta(seconds=rules.keep)
    return replace(
        add_cures(fault, known.cure),
        status=status,
        count=_sum(known.count or ONE, fault.count),
        since=known.since,
        loss=replace(known.loss, last=now, until=until),
    )


def _sum(left: Bounds, right: Bounds) -> Bounds:
    both = left + right
    return Bounds(both.lo, min(both.hi, MANY))


def _tell(rules: LossRules, fault: Fault) -> Fault:
    """With its sentence, and the command with which somebody accepts it."""
    command = acceptance_command(rules.check, fault.key, fault.subject)
    cure = (*(each for each in fault.cure if each != command), command)
    return replace(fault, text=_describe(rules, fault), cure=cure)


def _describe(rules: LossRules, fault: Fault) -> str:
    """Who lost how many, found when, and until when it stands."""
    loss = fault.loss
    if loss is None:
        return fault.text
    end = f"stands until accepted, at most until {loss.until.astimezone(UTC):%Y-%m-%d}"
    if fault.count is None:
        return f"{fault.text}; {end}"
    whom = describe_subject(fault.subject) or rules.component
    if fault.subject == OTHERS:
        whom = f"{count_subjects(loss.cases)} more, told together"
    mended = f"; {fault.mended}" if fault.mended else ""
    what = f"{_say(fault.count)} {rules.kinds[fault.key].lasting}, {_say_when(loss)}"
    text = f"{what}{mended}; {end}"
    return f"{whom}: {text}"


def _say(count: Bounds) -> str:
    if count.lo or count.exact:
        return str(count)
    return "an unknown number" if count.open_ended else f"up to {count.hi:,}"


def _say_when(loss: Loss) -> str:
    first, last = loss.first.astimezone(UTC), loss.last.astimezone(UTC)
    begin = f"{first:%Y-%m-%d %H:%M:%S}"
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    if begin.endswith(end):
        return f"found at {begin} UTC"
    return f"between {begin} and {end} UTC"


# -- too many --------------------------------------------------------------------------------------


def _compact(
    rules: LossRules,
    kept: Mapping[FaultIdentity, Fault],
    before: Mapping[FaultIdentity, StandingFault],
    borne: Container[FaultIdentity],
) -> list[Fault]:
    """At most MAX_LOSSES subjects: more are forgotten where somebody accepted them, by hand or in
    the configuration, and the oldest of the others are told as one, so that no sum gets lost. What
    is borne is no part of that sum: no pattern fits it, and it would be open again.
    """
    if len(kept) <= MAX_LOSSES:
        return list(kept.values())
    open_ones = {
        identity: fault
        for identity, fault in kept.items()
        if identity not in before or not before[identity].is_settled or _has_changed(before, fault)
    }
    spared = sorted((f for i, f in open_ones.items() if i in borne), key=_age)
    listed = sorted((f for i, f in open_ones.items() if i not in borne), key=_age)
    room = max(0, MAX_LOSSES - len(listed))
    kept_too = spared[len(spared) - room :] if room < len(spared) else spared
    first = max(0, len(listed) - MAX_LOSSES)
    few = {fault.identity: fault for fault in listed[first:]}
    for fault in listed[:first]:
        rest = few.get((fault.key, tuple(sorted(OTHERS.items()))))
        told = _join(rest, fault)
        few[told.identity] = _tell(rules, told)
    return [*few.values(), *kept_too]


def _has_changed(before: Mapping[FaultIdentity, StandingFault], fault: Fault) -> bool:
    return before[fault.identity].fault.loss != fault.loss


def _age(fault: Fault) -> tuple[bool, datetime]:
    """What is told as one already stays; else the one that lost last comes last."""
    last = fault.loss.last if fault.loss is not None else datetime.max.replace(tzinfo=UTC)
    return fault.subject == OTHERS, last


def _join(rest: Fault | None, fault: Fault) -> Fault:
    """A subject more among those that are told as one."""
    if rest is None or rest.loss is None or fault.loss is None:
        loss = replace(fault.loss, cases=1) if fault.loss is not None else None
        return replace(
            fault, subject=OTHERS, count=fault.count or ONE, cure=(), parameters={}, loss=loss
        )
    loss = Loss(
        min(rest.loss.first, fault.loss.first),
        max(rest.loss.last, fault.loss.last),
        max(rest.loss.until, fault.loss.until),
        rest.loss.cases + fault.loss.cases,
    )
    count = _sum(rest.count or ONE, fault.count or ONE)
    return replace(
        rest, status=worst((rest.status, fault.status)), count=count, loss=loss, since=loss.first
    )
