"""The faults of a check over its turns: what began, changed or ended, and which ones count."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentinel.core import fault as fault_core
from sentinel.core.component.incident import BAD
from sentinel.core.fault import (
    HIDING,
    Acceptance,
    Fault,
    FaultIdentity,
    FaultKind,
    FaultStep,
    StandingFault,
    Status,
    worst,
)
from sentinel.core.fault import loss as loss_core
from sentinel.core.fault.loss import LossRules
from sentinel.core.model import Finding
from sentinel.engine.picture import NOTHING_MOVED, WatchedCheck, rank_severity
from sentinel.metrics import Metrics
from sentinel.store import Changes
from sentinel.store.document import clean_text

MAX_NAME = 300
"""Characters of a subject's name; those of Redis and PostgreSQL that people give are shorter."""
MAX_TEXT = 1000
"""Characters of a sentence about a fault."""
MAX_COMMAND = 8 * MAX_TEXT
"""Characters of a command, with every quote of the longest names written as a shell needs it."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Keeps the faults of each check in the picture, the store and the metrics, without secrets."""

    metrics: Metrics
    scrub: Callable[[Any], Any]

    def take(self, watched: WatchedCheck, finding: Finding, changes: Changes) -> Finding:
        """Take in what a run found; the finding without what somebody accepted, and with what was
        lost before and nobody accepted.

        What a run could not look at stays as it is: nobody has seen that it is over.
        """
        if not (finding.faults or watched.standing or watched.cut or any(watched.beyond)):
            watched.moved, watched.verdict = NOTHING_MOVED, finding.status
            return finding
        finding = put_worst_first(finding, watched.kind.fault_kinds)
        rules = _loss_rules(watched)
        named = [self._name(fault) for fault in finding.faults]
        found = [fault for fault in named if not rules.lasts(fault)]
        blind = finding.status is Status.UNKNOWN
        hidden = any(fault.key in HIDING for fault in found)
        unseen = _find_unseen(watched.standing, found, blind=blind) if blind or hidden else []
        accept = watched.check.accept
        losses = loss_core.carry(rules, watched.standing, named, watched.at, accept)
        step = self._step(watched, [*found, *unseen, *losses])
        watched.moved, watched.standing = step, step.present
        if not (blind or hidden):  # who can't see does not know that there are fewer
            watched.cut, watched.beyond = step.cut, step.beyond
        changes.faults.extend(step.written)
        check = watched.check
        self.metrics.beginnings.note(check.name, check.component, find_begun(step.begun))
        if step.begun or step.ended or step.turned or step.cut:
            self.show(watched)
        watched.verdict = _judge_now(finding, watched, {fault.identity for fault in found})
        return _describe(finding, watched)

    def _step(self, watched: WatchedCheck, faults: Sequence[Fault]) -> FaultStep:
        check = watched.check
        return fault_core.step(
            watched.standing,
            faults,
            check.name,
            check.component,
            check.accept,
            watched.at,
            self._clean,
        )

    def accept(self, watched: WatchedCheck, word: Acceptance, changes: Changes) -> None:
        """Somebody accepts by hand what was lost."""
        settled = loss_core.accept(watched.standing, word, watched.at)
        now = {each.fault.identity: each for each in settled}
        watched.standing = tuple(now.get(e.fault.identity, e) for e in watched.standing)
        watched.moved = FaultStep(
            watched.standing, changed=tuple(settled), turned=frozenset(now), cut=watched.cut
        )
        changes.faults.extend(settled)
        self.show(watched)
        if watched.result is not None:
            watched.finding = _describe(watched.result.finding, watched)

    def show(self, watched: WatchedCheck) -> None:
        """Export how many subjects have each fault."""
        standing, accepted = watched.count_faults()
        self.metrics.set_faults(watched.check.name, standing, accepted)

    def _name(self, fault: Fault) -> Fault:
        """With the subject as it is shown: names come from the platform, and may hold a secret,
        what no database takes, or be of any length.
        """
        subject = {
            label: shorten_name(self._clean_text(name)) for label, name in fault.subject.items()
        }
        return replace(fault, subject=subject)

    def _clean(self, fault: Fault) -> Fault:
        """Texts as they may be shown. A parameter that is not what the platform calls the thing any
        more would have a runbook look at another one: it is left out.
        """
        parameters = {
            name: value
            for name, value in fault.parameters.items()
            if self._clean_text(value) == value and len(value) <= MAX_TEXT
        }
        return replace(
            fault,
            text=shorten(self._clean_text(fault.text)),
            cure=tuple(each for each in fault.cure if self._is_shown_whole(each)),
            guidance=shorten(self._clean_text(fault.guidance)),
            parameters=parameters,
        )

    def _is_shown_whole(self, command: str) -> bool:
        """Whether a command can be shown as it is: half of one, or one in which a name is scrubbed,
        would be about something else.
        """
        return self._clean_text(command) == command and len(command) <= MAX_COMMAND

    def _clean_text(self, text: str) -> str:
        return clean_text(str(self.scrub(text)))


def find_begun(faults: Iterable[StandingFault]) -> dict[str, float]:
    """When those that nobody had accepted began: the latest of each key, seconds since the epoch.
    That we could not tell is nothing that came and went on the platform.
    """
    found: dict[str, float] = {}
    for each in faults:
        if each.accepted is None and each.worst in BAD:
            key = each.fault.key
            found[key] = max(each.began.timestamp(), found.get(key, 0.0))
    return found


def shorten(text: str) -> str:
    """At most MAX_TEXT characters, and a sign that there were more."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def shorten_name(name: str) -> str:
    """At most MAX_NAME characters; two long names never become one."""
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: MAX_NAME - len(digest) - 1]}~{digest}"


def put_worst_first(finding: Finding, kinds: Mapping[str, FaultKind]) -> Finding:
    """The line of a check begins with what somebody must hear of first: a kind names its faults in
    the order in which it looks, and does not know which of two is the lighter.
    """
    faults = sorted(
        finding.faults, key=lambda each: (-each.status.rank, rank_severity(kinds, each))
    )
    before, after = fault_core.headline(finding.faults), fault_core.headline(faults)
    if before == after:
        return replace(finding, faults=tuple(faults))
    if not finding.detail.startswith(before):
        return replace(finding, faults=tuple(faults))
    detail = after + finding.detail.removeprefix(before)
    guidance = faults[0].guidance or finding.guidance
    return replace(finding, faults=tuple(faults), detail=detail, guidance=guidance)


def _loss_rules(watched: WatchedCheck) -> LossRules:
    check = watched.check
    return LossRules(check.name, check.component, watched.kind.fault_kinds, check.keep_losses)


def _find_unseen(
    standing: Sequence[StandingFault], found: Sequence[Fault], *, blind: bool
) -> list[Fault]:
    """What stands and could not be looked at: all of it by a `blind` run, else what the target
    holds; of the target itself the run has found how it is. What was lost stands anyhow.
    """
    here = {fault.identity for fault in found}
    bad = [each.fault for each in standing if each.fault.status in BAD and each.fault.loss is None]
    return [each for each in bad if each.identity not in here and (blind or each.subject)]


def _judge_now(finding: Finding, watched: WatchedCheck, seen: Container[FaultIdentity]) -> Status:
    """What the run says of now: what is accepted makes no check bad, nor what is past; what else was
    `seen` to be wrong does.
    """
    if finding.status not in BAD or not _is_other(finding, watched):
        return finding.status
    counting = [each.fault for each in watched.counting if each.fault.identity in seen]
    return fault_core.judge([fault for fault in counting if fault.loss is None])


def _describe(finding: Finding, watched: WatchedCheck) -> Finding:
    """The finding as it is shown: its status with what was lost, its line with the faults that
    count, the worst first.
    """
    faults = [each.fault for each in watched.standing]
    kept = replace(finding, faults=tuple(faults))
    if finding.status is Status.UNKNOWN or not _is_other(finding, watched):
        return kept
    counting = [each.fault for each in watched.counting]
    spared = len(faults) - len(counting)
    head = fault_core.headline(counting) or ("nothing but what is accepted" if spared else "")
    rest = finding.detail.removeprefix(fault_core.headline(finding.faults)).removeprefix("; ")
    parts = [head, f"{spared} accepted" if spared else "", rest]
    status = worst([watched.verdict, watched.lost])
    return replace(kept, status=status, detail="; ".join(part for part in parts if part))


def _is_other(finding: Finding, watched: WatchedCheck) -> bool:
    """Whether the run says something else than what counts."""
    kinds = watched.kind.fault_kinds
    has_losses = any(each.fault.loss is not None for each in watched.standing)
    has_losses |= any(bool(kinds[each.key].lasting) for each in finding.faults if each.key in kinds)
    has_accepted = any(each.accepted for each in watched.standing)
    return has_losses or (has_accepted and finding.status in BAD)
