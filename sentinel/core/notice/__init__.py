"""Who is told what, when, and what not: decided here, sent by `sentinel/engine`. Pure.

An *affair* is what people are told about: an incident, a brake, the breaker. A *notice* is one
message about it on one channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sentinel.core.fault import Severity, Status

NoticeLabels = Mapping[str, str]
RANKS = {Severity.INFO: 0, Severity.TICKET: 1, Severity.PAGE: 2}
LABELS = ("platform", "component", "severity", "status", "fault", "check", "kind")
"""What a route, a silence and a window may ask of an affair."""


class Tidings(StrEnum):
    """What a notice says of its affair."""

    OPENED = "opened"
    WORSE = "worse"
    ESCALATED = "escalated"
    """Nobody has acknowledged it in time: others are told."""
    REMINDER = "reminder"
    EXHAUSTED = "exhausted"
    """Sentinel can do nothing more: a person has to."""
    ACKNOWLEDGED = "acknowledged"
    RELAPSED = "relapsed"
    RECOVERED = "recovered"
    CLOSED = "closed"
    DIGEST = "digest"
    """Several at once, because there were too many one by one."""
    TEST = "test"
    REPORT = "report"
    """A report was written, also one that says that nothing happened."""


OVER = frozenset({Tidings.RECOVERED, Tidings.CLOSED})
"""Notices that say that it is over."""
PASSING = frozenset({Tidings.TEST, Tidings.REPORT})
"""Notices of nothing that lasts: who keeps alerts lets them end at once."""


@dataclass(frozen=True, slots=True)
class Affair:
    """What people are told about, as it is now. Instants are aware UTC.

    `kind` is `incident`, `brake` or `breaker`. `needed_by` is the number of components that
    need this one, `dependants` of those that are bad because of it: they are told by this number,
    and not one by one. `seen` is when it was
    last observed to be bad, None where nothing is observed.

    Two are equal when people would be told the same of them: figures that move at every look are
    not compared.
    """

    id: str
    kind: str
    platform: str
    component: str
    severity: Severity
    status: str
    text: str = field(compare=False)
    began: datetime
    fault: str = field(default="", compare=False)
    check: str = field(default="", compare=False)
    runbook: str = field(default="", compare=False)
    cause: str = ""
    """The component that it is only an effect of, "" for a cause."""
    dependants: int = field(default=0, compare=False)
    needed_by: int = field(default=0, compare=False)
    seen: datetime | None = field(default=None, compare=False)
    over: bool = False
    """Whether it works again, while a relapse is possible."""
    tried: bool = field(default=False, compare=False)
    """Whether a restart of sentinel's own is watched: it has to hold before it counts."""

    @property
    def labels(self) -> NoticeLabels:
        """What it is, for those who choose by it."""
        return {name: str(getattr(self, name)) for name in LABELS}


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one channel. `key` is the same at every repetition of it; `affair` is the same
    for all messages about one affair.

    `labels` name the alert for receivers that keep alerts: the same at the end as at the beginning.
    `former` are those that no longer hold, where they changed. `lines` are what a digest lists.
    """

    key: str
    channel: str
    told: Tidings
    affair: str
    platform: str
    component: str
    severity: Severity
    title: str
    text: str
    at: datetime
    began: datetime
    labels: NoticeLabels = field(default_factory=dict)
    former: NoticeLabels = field(default_factory=dict)
    runbook: str = ""
    link: str = ""
    dependants: int = 0
    lines: Sequence[str] = ()

    @property
    def is_over(self) -> bool:
        """Whether it says that the affair is over."""
        return self.told in OVER


def judge_severity(status: Status, of_fault: Severity | None, *, exhausted: bool) -> Severity:
    """Who must hear of an incident: what its fault asks for, and somebody at once when it is down
    or nothing more is tried.
    """
    if exhausted or status is Status.DOWN:
        return Severity.PAGE
    return of_fault or Severity.TICKET
