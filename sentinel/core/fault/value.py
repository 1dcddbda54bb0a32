"""What is wrong, with whom, how bad, since when, and what cures it: a fact keeps its subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from sentinel.core.quantity import Bounds

Labels = Mapping[str, str]
NO_LABELS: Labels = {}
FaultIdentity = tuple[str, tuple[tuple[str, str], ...]]
FaultCounts = tuple[Mapping[str, int], Mapping[str, int]]
THRESHOLD = "threshold"
"""Key of the fault that a measurement crossed a configured limit; every kind has it."""
UNREACHABLE, STARTING, REJECTED = "unreachable", "starting", "rejected"
HIDING = frozenset({UNREACHABLE, STARTING, REJECTED})
"""Faults of a target itself, while which nobody can look at what it holds."""
MAX_FAULTS = 500
"""Subjects of one check that are remembered one by one; more are counted."""


class Status(StrEnum):
    """What a check says of its target. `unknown` means that *we* could not tell; it blames nobody."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """How bad, for taking the worst: up < unknown < degraded < down."""
        return _RANK[self]

    @property
    def exit_code(self) -> int:
        """The Nagios convention: 0 ok, 1 degraded, 2 failed, 3 unknown."""
        return _EXIT[self]


_RANK = {Status.UP: 0, Status.UNKNOWN: 1, Status.DEGRADED: 2, Status.DOWN: 3}
_EXIT = {Status.UP: 0, Status.DEGRADED: 1, Status.DOWN: 2, Status.UNKNOWN: 3}


def worst(statuses: Sequence[Status]) -> Status:
    """The worst of several statuses; of none, nothing is known."""
    return max(statuses, key=lambda status: status.rank, default=Status.UNKNOWN)


class Severity(StrEnum):
    """Who must hear of a fault of this kind: somebody now, somebody at work, nobody."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Declaration of one way to be wrong, beside the measurements of a check kind.

    `key` is stable: metrics, alerts and configuration name it. `runbook` is the one for it,
    `meaning` one line for people, `parameters` the names of what its faults tell the runbook.

    `lasting` says of what was lost for good how it was lost, behind a number: "lost before
    delivery". Such a fault does not end by itself (`core/fault/loss.py`): its `count` is what this very
    look found, and the engine adds up, until somebody accepts it or its retention ends. Without a
    count the subject itself is what was lost.

    An alert calls somebody when a fault has stood for `hold` seconds; where none is given, by
    severity. A `sudden` one happened in a moment and may be gone at the next look: it calls at once.
    Of a `certain` one a single look is proof: the check is as bad as it says at once, without a soft
    state.
    """

    key: str
    severity: Severity
    runbook: str
    meaning: str
    parameters: tuple[str, ...] = ()
    lasting: str = ""
    hold: float | None = None
    sudden: bool = False
    certain: bool = False

    @property
    def alert_after(self) -> float:
        """Seconds for which it stands before an alert calls."""
        if self.hold is not None:
            return self.hold
        return 0.0 if self.lasting or self.sudden else _HOLDS[self.severity]


_HOLDS = {Severity.PAGE: 60.0, Severity.TICKET: 300.0, Severity.INFO: 900.0}
"""By severity: a blip calls nobody, and what nobody must hear of has time."""


@dataclass(frozen=True, slots=True)
class Loss:
    """That a fault is of the past: lost for good, so that no repair and no restart mends it.

    Found by looks from `first` to `last`; it stands until somebody accepts it, at the latest until
    `until`. `cases`: how many subjects are told as one, because there are too many.
    """

    first: datetime
    last: datetime
    until: datetime
    cases: int = 1

    def follow_clock(self, step: timedelta) -> Loss:
        """The same looks, as the clock calls their instants now."""
        return Loss(self.first + step, self.last + step, self.until + step, self.cases)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one subject, as one look found it.

    `subject` names it: {"stream": …, "group": …}, {"agent": …}, {"flow": …}, {"table": …}; empty
    for the target itself. `text` is one sentence about this subject with its figures and the limit
    that it broke. `count` is how many entries, tasks or rows it concerns. `cure` are commands for
    this very fault, runnable as they are printed; `guidance` is the next step in words.
    """

    key: str
    subject: Labels
    status: Status
    text: str
    since: datetime | None = None
    count: Bounds | None = None
    cure: tuple[str, ...] = ()
    guidance: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    loss: Loss | None = None
    """What the engine knows of a fault that lasts; no kind sets it."""
    mended: str = ""
    """What undid a loss since, in words: it stands all the same, and says so."""

    @property
    def identity(self) -> FaultIdentity:
        """Key and subject: the same fault at the next look, whatever its figures are then."""
        return self.key, tuple(sorted(self.subject.items()))


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Somebody's word that a fault is known and bearable until an instant.

    `subject` has a pattern for some or all labels of the subject; none given accepts every subject.
    `by` is who accepted a loss by hand, "" where the configuration says it.
    """

    fault: str
    subject: Labels
    reason: str
    until: datetime
    by: str = ""

    def covers(self, fault: Fault, now: datetime) -> bool:
        """Whether a fault is accepted at this instant."""
        if fault.key != self.fault or now >= self.until:
            return False
        return fits(fault.subject, self.subject)


@dataclass(frozen=True, slots=True)
class StandingFault:
    """A fault of a check over the time for which it stands: first seen, last seen text, ended."""

    check: str
    component: str
    fault: Fault
    began: datetime
    worst: Status
    ended: datetime | None = None
    accepted: Acceptance | None = None

    @property
    def is_settled(self) -> bool:
        """Whether somebody accepted by hand what was lost: what is lost later is another fault."""
        return self.accepted is not None and bool(self.accepted.by)

    def follow_clock(self, step: timedelta) -> StandingFault:
        """Our clock was set: it has stood, and what was lost will stand, as long as before."""
        fault, accepted = self.fault, self.accepted
        if fault.loss is not None:
            fault = replace(fault, loss=fault.loss.follow_clock(step))
        if accepted is not None and accepted.by:
            accepted = replace(accepted, until=accepted.until + step)
        return replace(self, began=self.began + step, fault=fault, accepted=accepted)


@dataclass(frozen=True, slots=True)
class FaultStep:
    """What one look changed: all that stand now, and which of them began, changed or ended."""

    present: tuple[StandingFault, ...] = ()
    begun: tuple[StandingFault, ...] = ()
    changed: tuple[StandingFault, ...] = ()
    ended: tuple[StandingFault, ...] = ()
    turned: frozenset[FaultIdentity] = frozenset()
    """Those of the changed ones that are better or worse now, or whose acceptance began or ended."""
    cut: int = 0
    """Subjects that are more than can be kept one by one."""
    beyond: FaultCounts = ({}, {})
    """How many of those each fault has: that count, and that somebody accepted."""

    @property
    def written(self) -> tuple[StandingFault, ...]:
        """Everything that must be remembered anew."""
        return (*self.begun, *self.changed, *self.ended)


def step(
    standing: Sequence[StandingFault],
    found: Sequence[Fault],
    check: str,
    component: str,
    accept: Sequence[Acceptance],
    now: datetime,
    finish: Callable[[Fault], Fault] = lambda fault: fault,
) -> FaultStep:
    """The faults of a check after one look that could see; a blind one changes nothing.

    At most `MAX_FAULTS` subjects are kept, those that nobody accepted and the worst of them first;
    `cut` says how many were not. A subject that is named twice for one key counts once, with what
    is worse. `finish` makes those that are kept fit to be shown, without changing whose they are.
    """
    named = _find_worst(found)
    before = _find_continued(standing, named)
    judged = [
        (each, _find_word(before.get(each.identity)) or _find_acceptance(each, accept, now))
        for each in named
    ]
    kept = _keep(judged, before)
    present = tuple(
        _stand(before.get(each.identity), finish(each), check, component, accepted, now)
        for each, accepted in kept
    )
    here = {each.fault.identity for each in present}
    known = [each for each in present if each.fault.identity in before]
    return FaultStep(
        present=present,
        begun=tuple(each for each in present if each.fault.identity not in before),
        changed=tuple(each for each in known if each != before[each.fault.identity]),
        ended=tuple(
            replace(each, ended=now)
            for each in standing
            if each.fault.identity not in here or each.fault.identity not in before
        ),
        turned=frozenset(
            each.fault.identity for each in known if _has_turned(before[each.fault.identity], each)
        ),
        cut=len(named) - len(present),
        beyond=_count_beyond(judged, kept),
    )


def _find_worst(found: Iterable[Fault]) -> list[Fault]:
    """One fault for each identity, the worst one; sorted."""
    worst_of: dict[FaultIdentity, Fault] = {}
    for fault in sort_faults(found):
        worst_of.setdefault(fault.identity, fault)
    return list(worst_of.values())


_Judged = tuple[Fault, Acceptance | None]


def _find_continued(
    standing: Sequence[StandingFault], named: Sequence[Fault]
) -> dict[FaultIdentity, StandingFault]:
    """What stood before, except what is settled and has lost anew: that begins again."""
    losses = {each.identity: each.loss for each in named}
    return {
        each.fault.identity: each
        for each in standing
        if not each.is_settled
        or losses.get(each.fault.identity, each.fault.loss) == each.fault.loss
    }


def _find_word(before: StandingFault | None) -> Acceptance | None:
    """What somebody said by hand, which no configuration takes back."""
    return before.accepted if before is not None and before.is_settled else None


def _find_acceptance(
    fault: Fault, accept: Sequence[Acceptance], now: datetime
) -> Acceptance | None:
    return next((each for each in accept if each.covers(fault, now)), None)


def _keep(found: Sequence[_Judged], before: Container[FaultIdentity]) -> Sequence[_Judged]:
    """The worst `MAX_FAULTS`; many that are accepted must not hide one that is not, and what was
    lost is known nowhere else. Among equals those that stood before stay: what is only cut must not
    end and begin with the order in which a kind names its subjects.
    """
    if len(found) <= MAX_FAULTS:
        return found

    def place(judged: _Judged) -> tuple[bool, bool, int, bool]:
        fault, accepted = judged
        is_new = fault.identity not in before
        return fault.loss is None, accepted is not None, -fault.status.rank, is_new

    chosen = {fault.identity for fault, _ in sorted(found, key=place)[:MAX_FAULTS]}
    return [each for each in found if each[0].identity in chosen]


def _count_beyond(judged: Sequence[_Judged], kept: Sequence[_Judged]) -> FaultCounts:
    """Of those that are not kept, for a figure that is too low is worse than none."""
    if len(judged) == len(kept):
        return {}, {}
    here = {fault.identity for fault, _ in kept}
    cut = [each for each in judged if each[0].identity not in here]
    counting = count_by_key(fault for fault, accepted in cut if accepted is None)
    return counting, count_by_key(fault for fault, accepted in cut if accepted is not None)


def _stand(
    before: StandingFault | None,
    fault: Fault,
    check: str,
    component: str,
    accepted: Acceptance | None,
    now: datetime,
) -> StandingFault:
    """The fault as it stands now; a check may have been given to another component."""
    if before is None:
        return StandingFault(check, component, fault, now, fault.status, accepted=accepted)
    worse = worst((before.worst, fault.status))
    return replace(before, component=component, fault=fault, worst=worse, accepted=accepted)


def _has_turned(before: StandingFault, after: StandingFault) -> bool:
    return (before.fault.status, before.accepted) != (after.fault.status, after.accepted)


def sort_faults(faults: Iterable[Fault]) -> list[Fault]:
    """The worst status first, what is of the past behind what is now; among equals the order in
    which the kind named them.
    """
    return sorted(faults, key=lambda fault: (fault.loss is not None, -fault.status.rank))


def judge(faults: Sequence[Fault], otherwise: Status = Status.UP) -> Status:
    """The status that faults justify; `otherwise` when there is none."""
    return worst([fault.status for fault in faults]) if faults else otherwise


def find_breach(status: Status, faults: Sequence[Fault], declared: Mapping[str, FaultKind]) -> str:
    """What a finding says that its kind must not, or "": a verdict that rests on nothing, on another
    status, on a fault that nobody declared, or that tells what no runbook expects.
    """
    if status in {Status.DEGRADED, Status.DOWN} and not faults:
        return f"it is {status} without a fault"
    if status in {Status.DEGRADED, Status.DOWN} and judge(faults) is not status:
        return f"it is {status}, and its faults say {judge(faults)}"
    if status in {Status.UP, Status.UNKNOWN} and judge(faults, status).rank > status.rank:
        return f"it is {status}, and its faults say {judge(faults)}"
    for fault in faults:
        known = declared.get(fault.key)
        if known is None:
            return f"nobody declared the fault {fault.key!r}"
        if odd := sorted(fault.parameters.keys() - set(known.parameters)):
            return f"the fault {fault.key!r} tells {', '.join(odd)}, which nobody declared"
    return ""


def headline(faults: Sequence[Fault]) -> str:
    """One line: the first fault's sentence, and how many more there are; "" of none."""
    if not faults:
        return ""
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{faults[0].text}{more}"


def describe_subject(subject: Labels) -> str:
    """`stream orders, group workers`; "" for the target itself."""
    return ", ".join(
        f"{label} {value}" if value else f'{label} ""' for label, value in subject.items()
    )


def find_prompt(command: str) -> str:
    """Where to type a command: in SQL it ends so, and the words of Redis are in capitals."""
    if command.endswith(";"):
        return "sql>"
    return "redis>" if command.partition(" ")[0].isupper() else "$"


MAX_CURES = 9
"""Commands that one fault shows."""


def add_cures(fault: Fault, earlier: Sequence[str]) -> Fault:
    """The fault with the commands for what befell its subject before, behind its own: of a group that
    was moved twice the second command alone puts back only the second part. The oldest come last,
    so that who types them all ends with all of it; of too many they stay.
    """
    others = [each for each in earlier if each not in fault.cure]
    room = max(0, MAX_CURES - len(fault.cure))
    return replace(fault, cure=(*fault.cure, *others[len(others) - min(room, len(others)) :]))


def count_by_key(faults: Iterable[Fault]) -> dict[str, int]:
    """How many subjects each kind of fault has."""
    return dict(Counter(fault.key for fault in faults))


def fits(subject: Labels, patterns: Labels) -> bool:
    """Whether a subject has all these labels, each with this very name or one that the pattern
    fits.
    """
    return all(
        label in subject and (subject[label] == pattern or fnmatchcase(subject[label], pattern))
        for label, pattern in patterns.items()
    )
